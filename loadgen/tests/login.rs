//! How the generator proves who it is.

#[allow(dead_code)]
mod program;
#[allow(dead_code)]
mod responder;
#[allow(dead_code)]
mod short;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use program::{loadgen, output};
use responder::{Faults, Responder};
use short::plan;
use sluice_loadgen::{Credential, Error, Measured, Mode, Plan, ScramMechanism, Target, run};

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

#[test]
fn scram_proves_the_password_on_every_connection_without_telling_it() {
    for (mechanism, name) in MECHANISMS {
        let responder = scram_responder(name, false);
        for (mode, connections_count) in [(Mode::Ping, 3), (Mode::Storm, 4)] {
            let plan = Plan {
                connections_count,
                ..plan(mode, 20)
            };
            let target = scram_target(&responder, mechanism, "s=cr,et\n");
            let measured = run(&target, &plan).unwrap();
            assert_eq!(measured.answered_count, 20, "{name}, {mode:?}");
        }
    }
}

#[test]
fn scram_refuses_a_wrong_password_and_a_target_that_does_not_know_it() {
    for (mechanism, name) in MECHANISMS {
        let refused = |lies, password| {
            let responder = scram_responder(name, lies);
            let target = scram_target(&responder, mechanism, password);
            let error = run(&target, &plan(Mode::Ping, 5)).unwrap_err();
            assert!(
                matches!(error, Error::TargetLoginRefused { .. }),
                "{error:?}"
            );
            error.to_string()
        };
        let wrong = refused(false, "guess\n");
        assert!(wrong.contains(name) && !wrong.contains("guess"), "{wrong}");
        let stranger = refused(true, "s=cr,et\n");
        assert!(
            stranger.contains("does not prove that it knows the password"),
            "{stranger}"
        );
    }
    // A target without the mechanism says which it has.
    let responder = scram_responder("SCRAM-SHA-512", false);
    let target = scram_target(&responder, ScramMechanism::ScramSha256, "s=cr,et");
    let error = run(&target, &plan(Mode::Ping, 5)).unwrap_err().to_string();
    assert!(
        error.contains("mechanisms there are: SCRAM-SHA-512"),
        "{error}"
    );
}

#[test]
fn the_program_takes_scram_by_its_name_for_one_target_and_for_one_of_several() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("password"), "s=cr,et\n").unwrap();
    let (scram, open) = (
        scram_responder("SCRAM-SHA-512", false),
        Responder::start(Faults::default()),
    );
    let load = "--topic orders --mode ping --rate 20 --seconds 1 --quiet";
    let login = "--sasl scram-sha-512 --username al,ice --password-file password";
    let text = loadgen(
        &format!("run {load} {login} --target {}", scram.address),
        &[],
        directory.path(),
    );
    assert!(text.contains("answered         20, 0 failed"), "{text}");
    let with =
        "--with b.sasl=scram-sha-512 --with b.username=al,ice --with b.password-file=password";
    let text = loadgen(
        &format!(
            "compare {load} {with} --rounds 1 --warm-up-seconds 0 --target a={} --target b={}",
            open.address, scram.address
        ),
        &[],
        directory.path(),
    );
    assert!(text.contains("| requests/s | 20.0"), "{text}");
    let fault = output(
        &format!("run {load} --target h:1 --sasl scram-sha-256 --username a"),
        &[],
        directory.path(),
    );
    let fault = String::from_utf8(fault.stderr).unwrap();
    assert!(fault.contains("both username and password-file"), "{fault}");
}

const MECHANISMS: [(ScramMechanism, &str); 2] = [
    (ScramMechanism::ScramSha256, "SCRAM-SHA-256"),
    (ScramMechanism::ScramSha512, "SCRAM-SHA-512"),
];

/// Commas and equal signs are written otherwise in the name, and not in the password.
fn scram_responder(mechanism: &'static str, lies: bool) -> Responder {
    Responder::start(Faults {
        login: Some(("al=2Cice", "s=cr,et")),
        scram: Some((mechanism, lies)),
        ..Faults::default()
    })
}

fn scram_target(responder: &Responder, mechanism: ScramMechanism, password: &str) -> ScramTarget {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(password.as_bytes()).unwrap();
    let credential = Credential::Scram {
        mechanism,
        username: "al,ice".to_owned(),
        password_file: file.path().to_owned(),
    };
    let target = Target {
        credential,
        ..short::target("broker", responder.address)
    };
    ScramTarget {
        target,
        _file: file,
    }
}

/// A target, with the file that has its password.
struct ScramTarget {
    target: Target,
    _file: tempfile::NamedTempFile,
}

impl std::ops::Deref for ScramTarget {
    type Target = Target;

    fn deref(&self) -> &Target {
        &self.target
    }
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
