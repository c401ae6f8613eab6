//! As much HTTP as a test needs: one request, one connection, no TLS.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(20);

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResponse {
    pub status: u16,
    pub body: String,
}

/// GETs `http://host:port/path`. An error is a sentence.
pub fn http_get(url: &str) -> Result<HttpResponse, String> {
    exchange(url, "GET", &[], "")
}

/// POSTs `body`, with the headers given.
pub fn http_post(url: &str, headers: &[(&str, &str)], body: &str) -> Result<HttpResponse, String> {
    exchange(url, "POST", headers, body)
}

fn exchange(
    url: &str,
    method: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<HttpResponse, String> {
    let rest = url
        .strip_prefix("http://")
        .ok_or_else(|| format!("not an http address: {url}"))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let failed = |error: std::io::Error| format!("{method} {url}: {error}");

    let mut stream = TcpStream::connect(authority).map_err(failed)?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
    // 1.0: the answer ends with the connection, and is never chunked.
    let mut request = format!(
        "{method} /{path} HTTP/1.0\r\nHost: {authority}\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    request.push_str(body);
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(failed)?;

    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| format!("{method} {url}: no head in {answer:?}"))?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| format!("{method} {url}: no status in {head:?}"))?;
    Ok(HttpResponse {
        status,
        body: body.to_owned(),
    })
}
