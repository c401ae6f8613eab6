//! Certificates for loopback.

use std::fs;
use std::path::PathBuf;
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
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "1",
            ])
            .args([
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=IP:127.0.0.1,DNS:localhost",
                "-keyout",
            ])
            .arg(&key_pem)
            .arg("-out")
            .arg(&certificate_pem)
            .output()
            .unwrap_or_else(|error| {
                panic!("openssl does not run ({error}): run scripts/test once, it installs it")
            });
        assert!(
            made.status.success(),
            "openssl: {}",
            String::from_utf8_lossy(&made.stderr)
        );
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
