//! From a URL to a connection that is encrypted, logged in and says which DC it leads to.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, LdapResult, Scope, StdStream};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use url::Url;

use super::entries::{ROOT_DSE_ATTRIBUTES, parse_entry, root_dse};
use super::login::{Login, brief};
use super::options::{LdapOptions, endpoint};
use super::{diagnostic, tls};
use crate::entry::RootDse;
use crate::error::{DirectoryError, DirectoryErrorKind, Refusal, ResultCode};

/// Opens connections of one directory.
#[derive(Debug)]
pub(super) struct Connector {
    pub options: LdapOptions,
    tls: Arc<ClientConfig>,
    login: Login,
}

/// An open connection. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    pub ldap: Ldap,
    /// As it was when the connection was opened.
    pub root: Arc<RootDse>,
}

impl Connector {
    pub fn new(options: LdapOptions) -> Result<Self, Refusal> {
        options.validate()?;
        let tls = tls::client_config(&options)?;
        Ok(Self { options, tls, login: Login::default() })
    }

    /// TCP, TLS, login and rootDSE within the one deadline.
    pub async fn open(&self, url: &Url) -> Result<Connection, DirectoryError> {
        let opening = async {
            let mut ldap = self.encrypt_within(url).await?;
            self.login.bind(&mut ldap, &self.options).await?;
            let root = read_root_dse(&mut ldap, &self.options).await?;
            Ok(Connection { ldap, root: Arc::new(root) })
        };
        self.deadline(opening).await.map_err(|kind| DirectoryError::new(url.as_str(), "connect", kind))
    }

    /// Only TCP and TLS.
    pub async fn encrypt(&self, url: &Url) -> Result<Ldap, DirectoryError> {
        let encrypted = self.deadline(self.encrypt_within(url)).await;
        encrypted.map_err(|kind| DirectoryError::new(url.as_str(), "connect", kind))
    }

    /// Only the login, on a connection of [`Self::encrypt`].
    pub async fn bind(&self, url: &Url, ldap: &mut Ldap) -> Result<(), DirectoryError> {
        let bound = self.deadline(self.login.bind(ldap, &self.options)).await;
        bound.map_err(|kind| DirectoryError::new(url.as_str(), "log in", kind))
    }

    pub async fn root_dse(&self, url: &Url, ldap: &mut Ldap) -> Result<RootDse, DirectoryError> {
        let read = self.deadline(read_root_dse(ldap, &self.options)).await;
        read.map_err(|kind| DirectoryError::new(url.as_str(), "read rootDSE", kind))
    }

    async fn deadline<T>(
        &self,
        work: impl Future<Output = Result<T, DirectoryErrorKind>>,
    ) -> Result<T, DirectoryErrorKind> {
        let limit = self.options.connect_timeout;
        let late = || {
            let seconds = limit.as_secs_f32();
            Err(DirectoryErrorKind::Unreachable(format!("no connection within {seconds} s")))
        };
        // ldap3 panics in the caller's task on answers that it cannot read.
        let work = AssertUnwindSafe(work).catch_unwind();
        match tokio::time::timeout(limit, work).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => {
                Err(DirectoryErrorKind::Malformed("the client could not read the answer".to_owned()))
            }
            Err(_) => late(),
        }
    }

    async fn encrypt_within(&self, url: &Url) -> Result<Ldap, DirectoryErrorKind> {
        let unreachable = |error: std::io::Error| DirectoryErrorKind::Unreachable(error.to_string());
        let tcp = TcpStream::connect(endpoint(url)).await.map_err(unreachable)?;
        // Small requests that wait for one another: nothing is won by collecting them.
        tcp.set_nodelay(true).map_err(unreachable)?;
        let tcp = tcp.into_std().map_err(unreachable)?;
        let settings = LdapConnSettings::new()
            .set_config(self.tls.clone())
            .set_starttls(url.scheme() == "ldap")
            .set_std_stream(StdStream::Tcp(tcp));
        let opened = LdapConnAsync::from_url_with_settings(settings, url).await;
        let (driver, ldap) = opened.map_err(not_encrypted)?;
        tokio::spawn(drive(driver, url.clone()));
        Ok(ldap)
    }
}

/// Runs a connection to its end. ldap3 panics on messages that it does not expect; then every
/// operation on the connection fails as if it had been cut, and the process goes on.
async fn drive(driver: LdapConnAsync, url: Url) {
    match AssertUnwindSafe(driver.drive()).catch_unwind().await {
        Ok(Ok(())) => tracing::debug!(%url, "LDAP connection closed"),
        Ok(Err(error)) => tracing::info!(%url, "LDAP connection lost: {}", brief(&error)),
        Err(_) => {
            tracing::error!(%url, "LDAP connection dropped: the server sent what the client cannot read")
        }
    }
}

fn not_encrypted(error: LdapError) -> DirectoryErrorKind {
    let tls = |error: &rustls::Error| match error {
        rustls::Error::InvalidCertificate(_)
        | rustls::Error::NoCertificatesPresented
        | rustls::Error::UnsupportedNameType => DirectoryErrorKind::Untrusted(error.to_string()),
        other => DirectoryErrorKind::Unreachable(format!("TLS failed: {other}")),
    };
    match &error {
        LdapError::LdapResult { result } => start_tls_refused(result),
        LdapError::Rustls { source } => tls(source),
        LdapError::Io { source } => {
            let inner = source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            inner.map_or_else(|| DirectoryErrorKind::Unreachable(source.to_string()), tls)
        }
        LdapError::DNSName { .. } => {
            let text = "the host in the URL is no name that a certificate could hold";
            DirectoryErrorKind::Refused(Refusal::Configuration(text.to_owned()))
        }
        other => DirectoryErrorKind::Unreachable(brief(other)),
    }
}

/// A server that is busy, starting or stopping may do TLS later; one that does not know it never will.
fn start_tls_refused(result: &LdapResult) -> DirectoryErrorKind {
    match ResultCode(result.rc) {
        ResultCode::BUSY | ResultCode::UNAVAILABLE => diagnostic::refusal(result),
        code => DirectoryErrorKind::Refused(Refusal::NoTls(code)),
    }
}

async fn read_root_dse(ldap: &mut Ldap, options: &LdapOptions) -> Result<RootDse, DirectoryErrorKind> {
    let ldap = ldap.with_timeout(options.operation_timeout);
    let asked = ldap.search("", Scope::Base, "(objectClass=*)", ROOT_DSE_ATTRIBUTES.to_vec());
    let answer = asked.await.map_err(|error| DirectoryErrorKind::Unreachable(brief(&error)))?;
    if answer.1.rc != 0 {
        return Err(diagnostic::refusal(&answer.1));
    }
    let entry = answer.0.into_iter().next().map(|entry| parse_entry(entry.0));
    match entry {
        Some(Ok(entry)) => root_dse(entry).map_err(DirectoryErrorKind::Malformed),
        Some(Err(error)) => Err(DirectoryErrorKind::Malformed(error)),
        None => Err(DirectoryErrorKind::Malformed("there is no rootDSE".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(rc: u32) -> DirectoryErrorKind {
        let result =
            LdapResult { rc, matched: String::new(), text: String::new(), refs: vec![], ctrls: vec![] };
        not_encrypted(LdapError::LdapResult { result })
    }

    #[test]
    fn a_server_that_does_no_tls_is_told_from_one_that_does_none_now() {
        for rc in [1, 2, 12] {
            assert_eq!(answered(rc), DirectoryErrorKind::Refused(Refusal::NoTls(ResultCode(rc))));
        }
        for code in [ResultCode::BUSY, ResultCode::UNAVAILABLE] {
            assert!(
                matches!(answered(code.0), DirectoryErrorKind::Result { code: found, .. } if found == code)
            );
        }
    }
}
