//! Certificates for loopback.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::place;

/// A certificate for 127.0.0.1 and localhost that signed itself: it is also the authority to trust.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub certificate_pem: PathBuf,
    /// PKCS #8.
    pub key_pem: PathBuf,
    /// Key and certificate in one file, as Kafka wants them.
    pub keystore_pem: PathBuf,
}

impl Certificate {
    /// A new one, good for a day.
    pub fn self_signed() -> Self {
        let dir = place::run_dir("certificate");
        let (certificate_pem, key_pem) = (dir.join("certificate.pem"), dir.join("key.pem"));
        let mut openssl = openssl_req("localhost", &key_pem, &certificate_pem);
        openssl.args(["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]);
        run(openssl);
        let read = |path: &PathBuf| fs::read_to_string(path).expect("openssl wrote it");
        let keystore_pem = dir.join("keystore.pem");
        fs::write(&keystore_pem, read(&key_pem) + &read(&certificate_pem))
            .expect("a key store can be written");
        Self {
            certificate_pem,
            key_pem,
            keystore_pem,
        }
    }
}

/// A certificate authority, for parts that tell an authority from those whom it vouches for.
#[derive(Debug, Clone)]
pub struct Authority {
    pub certificate_pem: PathBuf,
    key_pem: PathBuf,
}

impl Authority {
    /// A new one, good for a day.
    pub fn new() -> Self {
        let dir = place::run_dir("authority");
        let (certificate_pem, key_pem) = (dir.join("certificate.pem"), dir.join("key.pem"));
        let mut openssl = openssl_req("tests", &key_pem, &certificate_pem);
        openssl.args(["-addext", "keyUsage=critical,keyCertSign"]);
        run(openssl);
        Self {
            certificate_pem,
            key_pem,
        }
    }

    /// A certificate for this DNS name and 127.0.0.1: its PEM file, and its key's.
    pub fn sign(&self, name: &str) -> (PathBuf, PathBuf) {
        let dir = place::run_dir(name);
        let (certificate_pem, key_pem) = (dir.join("certificate.pem"), dir.join("key.pem"));
        let mut openssl = openssl_req(name, &key_pem, &certificate_pem);
        openssl
            .arg("-CA")
            .arg(&self.certificate_pem)
            .arg("-CAkey")
            .arg(&self.key_pem)
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-addext"])
            .arg(format!("subjectAltName=DNS:{name},IP:127.0.0.1"));
        run(openssl);
        (certificate_pem, key_pem)
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

fn openssl_req(name: &str, key_pem: &Path, certificate_pem: &Path) -> Command {
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ]);
    openssl
        .args(["-nodes", "-days", "1", "-subj"])
        .arg(format!("/CN={name}"));
    openssl
        .arg("-keyout")
        .arg(key_pem)
        .arg("-out")
        .arg(certificate_pem);
    openssl
}

fn run(mut openssl: Command) {
    let made = openssl.output().unwrap_or_else(|error| {
        panic!("openssl does not run ({error}): run scripts/test once, it installs it")
    });
    assert!(
        made.status.success(),
        "openssl: {}",
        String::from_utf8_lossy(&made.stderr)
    );
}
