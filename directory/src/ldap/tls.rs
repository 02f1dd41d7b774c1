//! What certificates are trusted.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::options::LdapOptions;
use crate::error::Refusal;

/// Our own configuration, never ldap3's: that trusts nothing at all, silently, when one of the
/// system's certificates cannot be loaded.
pub(super) fn client_config(options: &LdapOptions) -> Result<Arc<ClientConfig>, Refusal> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Refusal::Configuration(format!("TLS cannot be set up: {error}")))?;
    Ok(Arc::new(builder.with_root_certificates(roots(options)?).with_no_client_auth()))
}

fn roots(options: &LdapOptions) -> Result<RootCertStore, Refusal> {
    let mut store = RootCertStore::empty();
    if options.ca_file.is_none() && options.ca_pem.is_none() {
        // Some systems hold certificates that cannot be read; the others still count.
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return match store.is_empty() {
            true => Err(Refusal::Configuration(
                "the operating system trusts no certificate authority and none is configured".to_owned(),
            )),
            false => Ok(store),
        };
    }
    if let Some(path) = &options.ca_file {
        let pem = std::fs::read(path).map_err(|error| {
            Refusal::Configuration(format!("the CA file {} cannot be read: {error}", path.display()))
        })?;
        add(&mut store, &pem, &format!("the CA file {}", path.display()))?;
    }
    if let Some(pem) = &options.ca_pem {
        add(&mut store, pem.as_bytes(), "the configured CA")?;
    }
    Ok(store)
}

fn add(store: &mut RootCertStore, pem: &[u8], what: &str) -> Result<(), Refusal> {
    let before = store.len();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate
            .map_err(|error| Refusal::Configuration(format!("{what} is not valid PEM: {error}")))?;
        store.add(certificate).map_err(|error| {
            Refusal::Configuration(format!("{what} holds no usable certificate: {error}"))
        })?;
    }
    match store.len() == before {
        true => Err(Refusal::Configuration(format!("{what} holds no certificate"))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use domain::DirectoryName;

    use super::*;

    fn options() -> LdapOptions {
        LdapOptions::new(DirectoryName::default(), Vec::new(), "CN=x", "x".to_owned().into())
    }

    #[test]
    fn a_configured_authority_is_all_that_is_trusted() {
        let made = rcgen::generate_simple_self_signed(["ca".to_owned()]).expect("a certificate");
        let with_pem = LdapOptions { ca_pem: Some(made.cert.pem()), ..options() };
        assert_eq!(roots(&with_pem).expect("valid").len(), 1);
        assert!(client_config(&with_pem).is_ok());
    }

    #[test]
    fn a_ca_that_holds_nothing_is_an_error_not_trust_in_nothing() {
        for (pem, reason) in [("", "no certificate"), ("-----BEGIN CERTIFICATE-----\n", "PEM")] {
            let error = roots(&LdapOptions { ca_pem: Some(pem.to_owned()), ..options() }).expect_err(reason);
            assert!(
                error.to_string().contains(reason) || error.to_string().contains("no certificate"),
                "{error}"
            );
        }
        let missing = LdapOptions { ca_file: Some("/nonexistent/ca.pem".into()), ..options() };
        assert!(roots(&missing).expect_err("missing").to_string().contains("/nonexistent/ca.pem"));
    }
}
