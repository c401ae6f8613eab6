//! Certificates for the link inside one process: made at every start, their keys never written.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
};

use crate::failure::Failure;

/// The name of the control plane's certificate, besides its addresses.
pub(super) const CONTROL_NAME: &str = "sluice-control";

/// One authority, and what it signed. Whoever holds the authority's certificate recognises the control plane; only this
/// process can present itself as the gateway.
#[derive(Debug)]
pub(super) struct Certificates {
    pub(super) authority_pem: String,
    pub(super) control: Signed,
    pub(super) gateway: Signed,
}

pub(super) struct Signed {
    pub(super) certificate_pem: String,
    pub(super) key_pem: String,
}

impl std::fmt::Debug for Signed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signed")
    }
}

impl Certificates {
    /// For a gateway of this name and a control plane that listens at `control`.
    pub(super) fn generate(gateway: &str, control: IpAddr) -> Result<Self, Failure> {
        generate(gateway, control)
            .map_err(|error| Failure::refused(format!("certificates for the link: {error}")))
    }
}

fn generate(gateway: &str, control: IpAddr) -> Result<Certificates, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name = named("sluice up, this process");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

    let mut params = CertificateParams::new(vec![CONTROL_NAME.to_owned(), "localhost".to_owned()])?;
    for address in [
        IpAddr::from([127, 0, 0, 1]),
        IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1_u16]),
        control,
    ] {
        let name = SanType::IpAddress(address);
        if !address.is_unspecified() && !params.subject_alt_names.contains(&name) {
            params.subject_alt_names.push(name);
        }
    }
    let control = sign(
        params,
        CONTROL_NAME,
        ExtendedKeyUsagePurpose::ServerAuth,
        &authority,
    )?;
    let params = CertificateParams::new(vec![gateway.to_owned()])?;
    let gateway = sign(
        params,
        gateway,
        ExtendedKeyUsagePurpose::ClientAuth,
        &authority,
    )?;
    Ok(Certificates {
        authority_pem: authority.pem(),
        control,
        gateway,
    })
}

fn sign(
    mut params: CertificateParams,
    name: &str,
    purpose: ExtendedKeyUsagePurpose,
    authority: &CertifiedIssuer<'_, KeyPair>,
) -> Result<Signed, rcgen::Error> {
    params.distinguished_name = named(name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, authority)?;
    Ok(Signed {
        certificate_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
    })
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use rustls::server::WebPkiClientVerifier;
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

    use super::*;

    fn roots(pem: &str) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
            .unwrap();
        Arc::new(roots)
    }

    fn material(signed: &Signed) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let certificate =
            CertificateDer::from_pem_slice(signed.certificate_pem.as_bytes()).unwrap();
        (
            vec![certificate],
            PrivateKeyDer::from_pem_slice(signed.key_pem.as_bytes()).unwrap(),
        )
    }

    fn handshake(
        server: &Certificates,
        client: &Certificates,
        name: &str,
    ) -> Result<(), rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(
            roots(&server.authority_pem),
            provider.clone(),
        );
        let (chain, key) = material(&server.control);
        let config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(chain, key)?;
        let mut server_end = ServerConnection::new(Arc::new(config))?;
        let (chain, key) = material(&client.gateway);
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots(&server.authority_pem))
            .with_client_auth_cert(chain, key)?;
        let mut client_end = ClientConnection::new(
            Arc::new(config),
            ServerName::try_from(name.to_owned()).unwrap(),
        )?;
        let mut wire = Vec::new();
        while client_end.is_handshaking() || server_end.is_handshaking() {
            client_end.write_tls(&mut wire).unwrap();
            server_end.read_tls(&mut wire.as_slice()).unwrap();
            wire.clear();
            server_end.process_new_packets()?;
            server_end.write_tls(&mut wire).unwrap();
            client_end.read_tls(&mut wire.as_slice()).unwrap();
            wire.clear();
            client_end.process_new_packets()?;
        }
        Ok(())
    }

    #[test]
    fn the_planes_of_one_process_recognise_each_other_and_nobody_else() {
        let ours = Certificates::generate("gateway-1", IpAddr::from([127, 0, 0, 1])).unwrap();
        let theirs = Certificates::generate("gateway-1", IpAddr::from([127, 0, 0, 1])).unwrap();
        for name in [CONTROL_NAME, "localhost", "127.0.0.1", "::1"] {
            handshake(&ours, &ours, name).unwrap();
        }
        assert!(handshake(&ours, &ours, "gateway-1").is_err());
        assert!(handshake(&ours, &theirs, CONTROL_NAME).is_err());
    }

    #[test]
    fn keys_do_not_show_in_debug_output() {
        let made = Certificates::generate("gateway-1", IpAddr::from([127, 0, 0, 1])).unwrap();
        assert!(!format!("{made:?}").contains("PRIVATE"));
    }
}
