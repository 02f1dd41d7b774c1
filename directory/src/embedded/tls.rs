//! A certificate authority of its own and a server certificate, made at every start: the client
//! checks the embedded directory as it checks a real DC.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use super::names;

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    #[error("cannot use the certificate")]
    Rustls(#[from] rustls::Error),
}

pub struct Tls {
    pub acceptor: TlsAcceptor,
    /// What a client has to trust.
    pub ca_pem: String,
}

pub fn make(address: std::net::IpAddr) -> Result<Tls, TlsError> {
    let mut ca = CertificateParams::default();
    ca.distinguished_name.push(DnType::CommonName, "Farmhand embedded directory");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let issuer = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;

    let subjects = [names::DC_HOST.to_owned(), "localhost".to_owned(), address.to_string()];
    let mut server = CertificateParams::new(subjects)?;
    server.distinguished_name.push(DnType::CommonName, names::DC_HOST);
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &issuer)?;

    let chain = vec![certificate.der().clone()];
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), ca_pem: issuer.pem() })
}
