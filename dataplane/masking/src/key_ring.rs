//! The keys of key domains. A domain is what may be joined: equal values have equal tokens within one, and only there.

use std::fmt;

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::error::PlanError;
use crate::limits::DOMAIN_BYTES_MAX;

const KEY_BYTES: usize = 32;

/// The key of one domain in one version. Erased from memory when dropped, never printed.
#[derive(Clone)]
pub struct DomainKey {
    version: u32,
    bytes: Zeroizing<[u8; KEY_BYTES]>,
}

impl DomainKey {
    /// Derives a domain's key from the tenant's with HKDF-SHA-256 (RFC 5869): no salt, and as info `sluice mask key`,
    /// a zero byte, the version as 4 bytes big endian, and the domain. Only what holds the tenant's key can do this.
    #[must_use]
    pub fn derive(tenant_key: &[u8; KEY_BYTES], domain: &str, version: u32) -> DomainKey {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        let info = [
            b"sluice mask key\0".as_slice(),
            &version.to_be_bytes(),
            domain.as_bytes(),
        ];
        let expanded =
            Hkdf::<Sha256>::new(None, tenant_key).expand_multi_info(&info, &mut bytes[..]);
        debug_assert!(expanded.is_ok(), "32 bytes are within HKDF's 8160");
        DomainKey { version, bytes }
    }

    /// The version, which tokens show.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The key itself, for the message that carries it to a gateway.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.bytes
    }
}

impl fmt::Debug for DomainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DomainKey")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// The newest key of each domain that a gateway was given.
#[derive(Clone, Debug, Default)]
pub struct KeyRing {
    keys: Vec<(Box<str>, DomainKey)>,
}

impl KeyRing {
    /// A ring without keys, with which no plan compiles.
    #[must_use]
    pub fn new() -> KeyRing {
        KeyRing::default()
    }

    /// Adds a key as it was derived. Of several versions of one domain the highest counts, in whatever order they come.
    ///
    /// # Errors
    /// [`PlanError::OperatorDomainLength`].
    pub fn insert(&mut self, domain: &str, key: DomainKey) -> Result<(), PlanError> {
        if domain.is_empty() || domain.len() > DOMAIN_BYTES_MAX {
            return Err(PlanError::OperatorDomainLength {
                bytes: domain.len(),
            });
        }
        match self.keys.iter_mut().find(|(known, _)| **known == *domain) {
            Some((_, known)) if known.version > key.version => {}
            Some((_, known)) => *known = key,
            None => self.keys.push((domain.into(), key)),
        }
        Ok(())
    }

    /// Adds a key as it came from the control plane: 32 bytes.
    ///
    /// # Errors
    /// [`PlanError::ControlKeyLength`], [`PlanError::OperatorDomainLength`].
    pub fn insert_bytes(
        &mut self,
        domain: &str,
        version: u32,
        key: &[u8],
    ) -> Result<(), PlanError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        if key.len() != KEY_BYTES {
            return Err(PlanError::ControlKeyLength {
                domain: domain.to_owned(),
                bytes: key.len(),
            });
        }
        bytes.copy_from_slice(key);
        self.insert(domain, DomainKey { version, bytes })
    }

    /// The newest key of a domain.
    #[must_use]
    pub fn newest(&self, domain: &str) -> Option<&DomainKey> {
        let found = self.keys.iter().find(|(known, _)| **known == *domain);
        found.map(|(_, key)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derives_another_key_for_every_tenant_domain_and_version() {
        let keys = [
            DomainKey::derive(&[1; 32], "customers", 1),
            DomainKey::derive(&[2; 32], "customers", 1),
            DomainKey::derive(&[1; 32], "customer", 1),
            DomainKey::derive(&[1; 32], "customers", 2),
            DomainKey::derive(&[1; 32], "", 1),
        ];
        for (at, key) in keys.iter().enumerate() {
            assert_ne!(key.as_bytes(), &[0; 32]);
            for other in keys.iter().skip(at + 1) {
                assert_ne!(key.as_bytes(), other.as_bytes());
            }
        }
    }

    #[test]
    fn keeps_the_highest_version_in_any_order() {
        let mut ring = KeyRing::new();
        for version in [2, 3, 1] {
            let key = DomainKey::derive(&[1; 32], "customers", version);
            ring.insert("customers", key).unwrap();
        }
        assert_eq!(ring.newest("customers").unwrap().version(), 3);
        assert!(ring.newest("orders").is_none());
    }

    #[test]
    fn takes_a_key_of_32_bytes_only() {
        let mut ring = KeyRing::new();
        assert!(ring.insert_bytes("a", 1, &[7; 32]).is_ok());
        for bytes in [0, 31, 33] {
            let error = ring.insert_bytes("b", 1, &vec![7; bytes]).unwrap_err();
            assert!(matches!(error, PlanError::ControlKeyLength { .. }));
        }
        assert!(ring.newest("b").is_none());
        assert!(ring.insert_bytes("", 1, &[7; 32]).is_err());
        assert!(ring.insert_bytes(&"d".repeat(256), 1, &[7; 32]).is_err());
    }

    #[test]
    fn prints_no_key() {
        let mut ring = KeyRing::new();
        ring.insert_bytes("customers", 1, &[0xab; 32]).unwrap();
        let printed = format!("{ring:?}");
        assert!(printed.contains("customers"));
        assert!(
            !printed.contains("171") && !printed.contains("ab, ab"),
            "{printed}"
        );
    }
}
