//! What an LDAP directory is configured with.

use std::path::PathBuf;
use std::time::Duration;

use domain::DirectoryName;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::error::Refusal;

/// One configured directory: its DCs, the account that logs in, and what is trusted.
#[derive(Debug, Clone)]
pub struct LdapOptions {
    pub name: DirectoryName,
    /// Tried in this order. `ldaps://`, or `ldap://`, which is always upgraded by StartTLS before
    /// anything else is sent.
    pub urls: Vec<Url>,
    /// DN, `name@domain` or `DOMAIN\name`.
    pub bind_dn: String,
    pub password: SecretString,
    /// PEM file with the authorities that are trusted, instead of the operating system's.
    pub ca_file: Option<PathBuf>,
    /// The same as text; both together add up.
    pub ca_pem: Option<String>,
    /// Where the global catalogue answers, if not at the usual port of a DC.
    pub global_catalog_url: Option<Url>,
    /// For TCP, TLS and login together. A frozen server holds the TLS handshake for ever.
    pub connect_timeout: Duration,
    /// For each answer of an operation.
    pub operation_timeout: Duration,
    /// How many connections are opened to a DC at most; each carries many operations at once.
    pub connections: usize,
    /// Whether this is the directory inside the process.
    pub embedded: bool,
}

impl LdapOptions {
    pub fn new(
        name: DirectoryName,
        urls: Vec<Url>,
        bind_dn: impl Into<String>,
        password: SecretString,
    ) -> Self {
        Self {
            name,
            urls,
            bind_dn: bind_dn.into(),
            password,
            ca_file: None,
            ca_pem: None,
            global_catalog_url: None,
            connect_timeout: Duration::from_secs(10),
            operation_timeout: Duration::from_secs(30),
            connections: 4,
            embedded: false,
        }
    }

    pub fn validate(&self) -> Result<(), Refusal> {
        let wrong = |text: &str| Err(Refusal::Configuration(text.to_owned()));
        if self.urls.is_empty() {
            return wrong("no URL of a domain controller is configured");
        }
        self.urls.iter().chain(&self.global_catalog_url).try_for_each(check_url)?;
        if self.password.expose_secret().is_empty() {
            return Err(Refusal::EmptyPassword);
        }
        match () {
            // A simple bind without a name is an anonymous one too (RFC 4513, 5.1).
            () if self.bind_dn.trim().is_empty() => wrong("the bind DN is empty"),
            () if self.connections == 0 => wrong("at least one connection is needed"),
            () if self.connect_timeout.is_zero() || self.operation_timeout.is_zero() => {
                wrong("a timeout of 0 leaves no time for an answer")
            }
            () => Ok(()),
        }
    }
}

/// A comma-separated list, as FARMHAND_DIRECTORY_URL holds it.
pub fn parse_urls(list: &str) -> Result<Vec<Url>, Refusal> {
    let parts = list.split(',').map(str::trim).filter(|part| !part.is_empty());
    let urls = parts.map(|part| {
        let url = Url::parse(part)
            .map_err(|error| Refusal::Configuration(format!("{part:?} is no URL: {error}")))?;
        check_url(&url)?;
        Ok(url)
    });
    urls.collect()
}

fn check_url(url: &Url) -> Result<(), Refusal> {
    let wrong = |why: &str| {
        // The URL is not repeated where it may hold a password.
        let shown = if has_login(url) { url.host_str().unwrap_or_default() } else { url.as_str() };
        Err(Refusal::Configuration(format!("the URL {shown} {why}")))
    };
    if !matches!(url.scheme(), "ldap" | "ldaps") {
        return wrong("does not start with ldaps:// or ldap://");
    }
    if has_login(url) {
        return wrong("holds a login; set the bind DN and the password apart from it");
    }
    match url.host_str() {
        None | Some("") => return wrong("names no host"),
        Some(host) if host.starts_with('[') => {
            return wrong("names an IPv6 address; use a name that the certificate holds");
        }
        Some(_) => {}
    }
    let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    if bare { Ok(()) } else { wrong("has a path or query; only scheme, host and port are used") }
}

fn has_login(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// Host and port to connect to.
pub(super) fn endpoint(url: &Url) -> (String, u16) {
    let usual = if url.scheme() == "ldaps" { 636 } else { 389 };
    (url.host_str().unwrap_or_default().to_owned(), url.port().unwrap_or(usual))
}

/// The same scheme at another host or port.
pub(super) fn sibling(url: &Url, host: &str, ports: (u16, u16)) -> Option<Url> {
    let port = if url.scheme() == "ldaps" { ports.0 } else { ports.1 };
    Url::parse(&format!("{}://{host}:{port}", url.scheme())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(urls: &str) -> LdapOptions {
        let urls = urls.split(',').map(|url| Url::parse(url).expect("a URL")).collect();
        LdapOptions::new(DirectoryName::default(), urls, "CN=svc,DC=x", "secret".to_owned().into())
    }

    #[test]
    fn what_would_log_in_anonymously_or_nowhere_is_refused() {
        let mut empty = options("ldaps://dc1");
        empty.password = String::new().into();
        assert_eq!(empty.validate(), Err(Refusal::EmptyPassword));
        let mut nameless = options("ldaps://dc1");
        nameless.bind_dn = " ".to_owned();
        assert!(nameless.validate().is_err());
        for bad in ["https://dc1", "ldaps://[::1]:636", "ldaps://dc1/DC=x", "ldaps://dc1?x", "ldap://u:p@dc1"]
        {
            assert!(options(bad).validate().is_err(), "{bad}");
        }
        assert_eq!(options("ldaps://dc1,ldap://dc2:3389").validate(), Ok(()));
    }

    #[test]
    fn a_password_in_a_url_is_not_repeated() {
        let refused = parse_urls("ldap://svc:hunter2@dc1").expect_err("a login in it");
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
        assert!(!format!("{:?}", options("ldaps://dc1")).contains("secret\""));
    }

    #[test]
    fn a_list_keeps_its_order_and_ports_have_defaults() {
        let urls = parse_urls("ldaps://dc2.contoso.com, ldap://dc1:10389").expect("valid");
        let ends: Vec<_> = urls.iter().map(endpoint).collect();
        assert_eq!(ends, [("dc2.contoso.com".to_owned(), 636), ("dc1".to_owned(), 10389)]);
        let catalog = |url: &Url| sibling(url, "gc", (3269, 3268)).map(|url| url.to_string());
        assert_eq!(catalog(&urls[0]).as_deref(), Some("ldaps://gc:3269"));
        assert_eq!(catalog(&urls[1]).as_deref(), Some("ldap://gc:3268"));
    }
}
