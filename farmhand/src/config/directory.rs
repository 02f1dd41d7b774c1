//! `[directories.NAME]`: one domain that Farmhand works in.

use std::path::PathBuf;

use domain::DirectoryName;
use serde::Deserialize;

use super::{ConfigError, Findings, Secret};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Directory {
    pub urls: Vec<String>,
    pub bind_dn: Option<String>,
    pub password: Option<Secret>,
    pub password_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
    pub global_catalog_url: Option<String>,
    pub connect_timeout_seconds: u64,
    pub operation_timeout_seconds: u64,
    pub connections: u32,
}

impl Default for Directory {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            bind_dn: None,
            password: None,
            password_file: None,
            ca_file: None,
            global_catalog_url: None,
            connect_timeout_seconds: 5,
            operation_timeout_seconds: 30,
            connections: 4,
        }
    }
}

impl Directory {
    /// An empty section: the name is known and nothing else. That is all that an orchestrator needs,
    /// which never talks to a DC and should not hold the password of one.
    pub fn is_name_only(&self) -> bool {
        let Self { urls, bind_dn, password, password_file, ca_file, global_catalog_url, .. } = self;
        let files = password_file.is_none() && ca_file.is_none();
        urls.is_empty() && bind_dn.is_none() && password.is_none() && files && global_catalog_url.is_none()
    }

    pub fn validate(&self, name: &str, findings: &mut Findings) {
        let key = |suffix: &str| format!("directories.{name}.{suffix}");
        if let Err(error) = DirectoryName::parse(name) {
            findings.add(format!("directories.{name}"), error.to_string(), "");
        }
        if self.is_name_only() {
            return;
        }
        if self.urls.is_empty() {
            findings.add(key("urls"), "is required", "e.g. ldaps://dc1.contoso.com");
        }
        for url in self.urls.iter().chain(&self.global_catalog_url) {
            if let Err(problem) = ldap_url(url) {
                let field = if self.urls.contains(url) { "urls" } else { "global_catalog_url" };
                findings.add(key(field), problem, "e.g. ldaps://dc1.contoso.com");
            }
        }
        if self.bind_dn.as_deref().unwrap_or_default().trim().is_empty() {
            findings.add(
                key("bind_dn"),
                "is required",
                "the DN or user principal name of the delegated account",
            );
        }
        let empty = self.password.as_ref().is_some_and(|password| password.expose().is_empty());
        if empty || (self.password.is_none() && self.password_file.is_none()) {
            // RFC 4513 5.1.2: a DC takes a name without a password for an anonymous login.
            let hint = "set the password, or password_file to a file that holds it";
            findings.add(key("password"), "is required and must not be empty", hint);
        }
        findings.range(&key("connect_timeout_seconds"), self.connect_timeout_seconds, 1..=120);
        findings.range(&key("operation_timeout_seconds"), self.operation_timeout_seconds, 1..=600);
        findings.range(&key("connections"), self.connections.into(), 1..=100);
    }

    /// The password, from the file where one is named.
    pub fn password(&self, name: &str) -> Result<Secret, ConfigError> {
        let key = format!("directories.{name}.password");
        match (&self.password_file, &self.password) {
            (Some(path), _) => Secret::from_file(&format!("{key}_file"), path),
            (None, Some(password)) => Ok(password.clone()),
            (None, None) => Err(ConfigError::one(key, "is required", "")),
        }
    }
}

fn ldap_url(text: &str) -> Result<(), String> {
    // A password in the URL would be shown wherever the URL is.
    let url = url::Url::parse(text).map_err(|_| "an LDAP URL cannot be understood".to_owned())?;
    if !matches!(url.scheme(), "ldap" | "ldaps") {
        return Err(format!("{} is no LDAP scheme: use ldaps, or ldap (with StartTLS)", url.scheme()));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("an LDAP URL names no host".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("an LDAP URL holds a login: use bind_dn and password".to_owned());
    }
    Ok(())
}
