//! How the generator proves who it is.

#[allow(dead_code)]
mod responder;
#[allow(dead_code)]
mod short;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use responder::{Faults, Responder};
use short::plan;
use sluice_loadgen::{Credential, Error, Measured, Mode, Target, run};

#[test]
fn asks_the_token_endpoint_with_the_secret_in_the_form() {
    let (url, asked) = token_endpoint("200 OK", r#"{"access_token":"abc.def"}"#);
    // The responder knows no OAUTHBEARER: that it is refused there shows that a token was had.
    let refused = with_client_credentials(&url).unwrap_err();
    assert!(
        matches!(refused, Error::TargetLoginRefused { .. }),
        "{refused:?}"
    );
    let asked = asked.recv().unwrap();
    let form = "grant_type=client_credentials&client_id=svc-orders&client_secret=s%26cret";
    assert!(asked.ends_with(form), "{asked}");
    assert!(asked.starts_with("POST /token HTTP/1.1"), "{asked}");
}

#[test]
fn a_token_endpoint_that_says_no_is_quoted_by_its_code_alone() {
    let body = r#"{"error":"invalid_client","error_description":"s&cret is wrong"}"#;
    let (url, _asked) = token_endpoint("401 Unauthorized", body);
    let error = with_client_credentials(&url).unwrap_err().to_string();
    assert!(error.contains("HTTP 401, invalid_client"), "{error}");
    assert!(!error.contains("s&cret"), "{error}");
}

/// Answers one request; what it asked arrives in the channel.
fn token_endpoint(status: &str, body: &str) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let length = body.len();
    let answer =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    let (sender, asked) = channel();
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut request = String::new();
        let mut buf = [0; 4096];
        while !request.contains("client_secret=") {
            let read = socket.read(&mut buf).unwrap();
            request.push_str(std::str::from_utf8(&buf[..read]).unwrap());
        }
        socket.write_all(answer.as_bytes()).unwrap();
        sender.send(request).unwrap();
    });
    (url, asked)
}

fn with_client_credentials(url: &str) -> Result<Measured, Error> {
    let responder = Responder::start(Faults {
        login: Some(("nobody", "nothing")),
        ..Faults::default()
    });
    let mut secret_file = tempfile::NamedTempFile::new().unwrap();
    secret_file.write_all(b"s&cret\n").unwrap();
    let target = Target {
        credential: Credential::ClientCredentials {
            url: url.to_owned(),
            client_id: "svc-orders".to_owned(),
            secret_file: secret_file.path().to_owned(),
            roots: None,
        },
        ..short::target("gateway", responder.address)
    };
    run(&target, &plan(Mode::Ping, 1))
}
