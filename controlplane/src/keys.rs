//! The tenant's mask key, which never leaves the control plane, and the domain keys that gateways get.

use sluice_masking::DomainKey;
use sluice_proto::v1;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::random;
use crate::store::{Change, Space, Store};

const TENANT_KEY: &str = "mask-tenant";
const KEY_BYTES: usize = 32;
/// Domain keys of this release; a rotation raises it.
const VERSION: u32 = 1;

/// Derives domain keys, as [`DomainKey::derive`] says.
pub struct MaskKeys {
    tenant: Zeroizing<[u8; KEY_BYTES]>,
}

impl MaskKeys {
    /// Reads the tenant's key, or makes it: once in the life of a store, or tokens made before would match no longer.
    pub async fn open(store: &dyn Store) -> Result<Self, Error> {
        let mut contents = store.load_all(Space::Keys).await?;
        if contents.revision == 0 {
            let value = random::bytes::<KEY_BYTES>()?.to_vec();
            let made = store
                .transact(
                    Space::Keys,
                    0,
                    &[Change::Put {
                        key: TENANT_KEY.to_owned(),
                        value,
                    }],
                )
                .await;
            match made {
                // Moved: another control plane made it at the same moment.
                Ok(_) | Err(Error::StoreMoved) => contents = store.load_all(Space::Keys).await?,
                Err(error) => return Err(error),
            }
        }
        let stored = contents.entries.get(TENANT_KEY).map(Vec::as_slice);
        match stored.and_then(|key| <[u8; KEY_BYTES]>::try_from(key).ok()) {
            Some(key) => Ok(Self {
                tenant: Zeroizing::new(key),
            }),
            // Never made anew: every token would change without anybody having asked for it.
            None => Err(Error::StoreContentInvalid(
                "the tenant's mask key is missing or damaged".to_owned(),
            )),
        }
    }

    /// The key of one domain, for the gateways.
    pub fn domain(&self, domain: &str) -> v1::MaskKey {
        let key = DomainKey::derive(&self.tenant, domain, VERSION);
        v1::MaskKey {
            domain: domain.to_owned(),
            version: VERSION,
            key: key.as_bytes().to_vec().into(),
        }
    }
}

impl std::fmt::Debug for MaskKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MaskKeys")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_tenant_key_is_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.sqlite");
        let mut keys = Vec::new();
        for _ in 0..2 {
            let store = crate::store::embedded::EmbeddedStore::open(&path, 1).unwrap();
            keys.push(
                MaskKeys::open(&store)
                    .await
                    .unwrap()
                    .domain("customers")
                    .key,
            );
        }
        assert_eq!(keys[0], keys[1]);
    }
}
