//! Values that cannot print.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

use super::ConfigError;

/// A password or token. `Debug` and `Display` show `***`.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    pub fn into_inner(self) -> SecretString {
        self.0
    }

    /// Reads a secret from a file; a trailing line end does not belong to it.
    ///
    /// A file that everybody on the machine can read holds no secret and is refused.
    pub fn from_file(key: &str, path: &Path) -> Result<Self, ConfigError> {
        let refuse = |message: String, hint: &str| ConfigError::one(key, message, hint);
        let shown = path.display();
        let metadata = std::fs::metadata(path).map_err(|e| {
            refuse(format!("{shown} cannot be read: {e}"), "name a file that this user can read")
        })?;
        if metadata.permissions().mode() & 0o004 != 0 {
            return Err(refuse(
                format!("{shown} can be read by every user of this machine"),
                &format!("chmod 600 {shown} (or 640 with a group of its own)"),
            ));
        }
        let text = std::fs::read_to_string(path).map_err(|e| {
            refuse(format!("{shown} cannot be read: {e}"), "name a file that this user can read")
        })?;
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err(refuse(format!("{shown} is empty"), "write the secret into it")),
            secret => Ok(Self::new(secret)),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// A URL that may hold a password (`postgres://user:password@host/db`): prints without it.
#[derive(Clone)]
pub struct SecretUrl(Secret);

impl SecretUrl {
    pub fn new(text: impl Into<String>) -> Self {
        Self(Secret::new(text))
    }

    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    pub fn scheme(&self) -> &str {
        self.expose().split(':').next().unwrap_or_default()
    }
}

impl From<Secret> for SecretUrl {
    fn from(secret: Secret) -> Self {
        Self(secret)
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(mut url) = url::Url::parse(self.expose()) else {
            // What cannot be taken apart may hold a password anywhere.
            return f.write_str("***");
        };
        if url.password().is_some() && url.set_password(Some("***")).is_err() {
            return f.write_str("***");
        }
        // sqlx and lapin take passwords from the query as well.
        if url.query().is_some() {
            url.set_query(Some("***"));
        }
        f.write_str(url.as_str())
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for SecretUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Secret::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
    }

    #[test]
    fn a_url_prints_without_its_password_wherever_it_stands() {
        let shown = |text: &str| format!("{0} {0:?}", SecretUrl::new(text));
        assert_eq!(
            shown("postgres://fh:hunter2@db/farmhand"),
            "postgres://fh:***@db/farmhand postgres://fh:***@db/farmhand"
        );
        assert!(!shown("postgres://fh@db/farmhand?password=hunter2").contains("hunter2"));
        assert_eq!(shown("hunter2 is no url"), "*** ***");
        assert!(shown("sqlite:///var/lib/farmhand.db").contains("/var/lib/farmhand.db"));
    }

    #[test]
    fn a_secret_file_that_everybody_can_read_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("password");
        std::fs::write(&path, "hunter2\n").expect("written");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).expect("set");
        let error = Secret::from_file("directories.default.password_file", &path).expect_err("refused");
        assert!(error.to_string().contains("every user"), "{error}");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).expect("set");
        assert_eq!(Secret::from_file("k", &path).expect("read").expose(), "hunter2");
    }
}
