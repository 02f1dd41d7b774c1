//! Where the services are, and names that no other test has.

use std::fmt;
use std::path::PathBuf;
use std::process::Command;

use domain::{Rng, SystemRng};

use crate::ldap::Ldap;
use crate::script::report_drop;

pub const BASE_DN: &str = "DC=contoso,DC=com";
/// Where the delegated accounts may make groups.
pub const GROUP_CONTAINER: &str = "OU=Farms,DC=contoso,DC=com";
pub const GMSA_CONTAINER: &str = "CN=Managed Service Accounts,DC=contoso,DC=com";
/// Where `Host1` to `Host20` are.
pub const HOST_CONTAINER: &str = "OU=Servers,DC=contoso,DC=com";

/// Somebody who binds to the directory.
#[derive(Clone)]
pub struct Account {
    pub dn: String,
    pub password: String,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({})", self.dn)
    }
}

/// What `deploy/lab/up` started.
#[derive(Debug, Clone)]
pub struct Lab {
    pub directory_url: String,
    pub ca_file: PathBuf,
    /// May do what Farmhand needs, and nothing else.
    pub service: Account,
    /// May make groups in [`GROUP_CONTAINER`] but no gMSA: refused in the middle of a deploy.
    pub limited: Account,
    pub admin: Account,
    pub amqp_url: String,
    /// A superuser's URL; tests make databases of their own through it.
    pub database_url: String,
    /// The folder of the lab's scripts.
    pub scripts: PathBuf,
    /// Where the state of the lab with this directory is.
    pub folder: PathBuf,
}

impl Lab {
    /// Reads `FARMHAND_TEST_*`.
    ///
    /// # Panics
    /// When a variable is missing: these tests need the real services, and skipping them would
    /// look like passing.
    pub fn from_env() -> Self {
        Self {
            directory_url: variable("FARMHAND_TEST_DIRECTORY_URL"),
            ca_file: variable("FARMHAND_TEST_DIRECTORY_CA_FILE").into(),
            service: account("FARMHAND_TEST_DIRECTORY_BIND_DN", "FARMHAND_TEST_DIRECTORY_PASSWORD"),
            limited: account("FARMHAND_TEST_LIMITED_BIND_DN", "FARMHAND_TEST_LIMITED_PASSWORD"),
            admin: account("FARMHAND_TEST_DIRECTORY_ADMIN_DN", "FARMHAND_TEST_DIRECTORY_ADMIN_PASSWORD"),
            amqp_url: variable("FARMHAND_TEST_AMQP_URL"),
            database_url: variable("FARMHAND_TEST_DATABASE_URL"),
            scripts: variable("FARMHAND_TEST_LAB").into(),
            folder: variable("LAB_DIR").into(),
        }
    }

    /// The directory as the administrator sees it.
    pub fn as_admin(&self) -> Ldap {
        self.bound_as(&self.admin)
    }

    pub fn bound_as(&self, account: &Account) -> Ldap {
        Ldap::new(&self.directory_url, &self.ca_file, account.clone())
    }

    /// Tries to read a gMSA's password as that host itself does, over a new NTLM session; gives
    /// whether the DC let it.
    ///
    /// # Errors
    /// When the attempt itself fails.
    pub fn host_reads_password(&self, host: &str, gmsa: &str) -> anyhow::Result<bool> {
        self.host_reads_password_over("ntlm", host, gmsa)
    }

    /// The same with a Kerberos ticket that the host gets for the purpose, as after `klist purge`.
    ///
    /// # Errors
    /// When the attempt itself fails.
    pub fn host_reads_password_by_new_ticket(&self, host: &str, gmsa: &str) -> anyhow::Result<bool> {
        self.host_reads_password_over("krb5", host, gmsa)
    }

    fn host_reads_password_over(&self, login: &str, host: &str, gmsa: &str) -> anyhow::Result<bool> {
        let mut command = self.command("as-host");
        let output = crate::script::run(command.args([host, gmsa, "--auth", login]), b"")?;
        match output.status.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => anyhow::bail!(
                "as-host {host} {gmsa}: {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            ),
        }
    }

    /// What `samba-tool` prints, run as the administrator: a peer with its own idea of the directory.
    ///
    /// # Errors
    /// When it does not start, or says that it failed.
    pub fn samba_tool(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = self.command("lab-run");
        command.arg("samba-tool").args(arguments).args([
            "-H",
            "ldap://dc1.contoso.com",
            "-U",
            "Administrator",
        ]);
        // Not on the command line, where every user of the machine could read it.
        let output = crate::script::run(command.env("PASSWD", &self.admin.password), b"")?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if !output.status.success() {
            let command = arguments.iter().take(2).copied().collect::<Vec<_>>().join(" ");
            anyhow::bail!("samba-tool {command}: {}{}", text(&output.stdout), text(&output.stderr));
        }
        Ok(text(&output.stdout))
    }

    /// What points the `farmhand` binary at this directory.
    pub fn directory_env(&self, account: &Account) -> Vec<(String, String)> {
        let pairs = [
            ("FARMHAND_DIRECTORY_URL", self.directory_url.clone()),
            ("FARMHAND_DIRECTORY_CA_FILE", self.ca_file.display().to_string()),
            ("FARMHAND_DIRECTORY_BIND_DN", account.dn.clone()),
            ("FARMHAND_DIRECTORY_PASSWORD", account.password.clone()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    pub(crate) fn script(&self, name: &str) -> PathBuf {
        self.scripts.join(name)
    }

    /// One of the lab's scripts at work on this directory.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.script(name));
        command.env("LAB_DIR", &self.folder);
        command
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run deploy/lab/up, then source ${{LAB_DIR}}/farmhand.env (make test does both)")
    })
}

fn account(dn: &str, password: &str) -> Account {
    Account { dn: variable(dn), password: variable(password) }
}

/// `prefix` and eight random letters and digits; at most 15 characters, so that it can be an account's name.
///
/// # Panics
/// When `prefix` is longer than 7 characters.
pub fn unique_name(prefix: &str) -> String {
    assert!(prefix.len() <= 7, "{prefix} and eight characters are more than an account name may have");
    format!("{prefix}{}", random_text(8))
}

/// Small letters and digits from the operating system's generator.
pub(crate) fn random_text(length: usize) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut bytes = vec![0; length];
    SystemRng.fill(&mut bytes);
    bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect()
}

/// Takes a test's objects out of the directory, whoever made them: everything whose CN or account
/// name begins with one of its names.
#[derive(Debug)]
pub struct Cleanup {
    ldap: Ldap,
    names: Vec<String>,
}

impl Cleanup {
    pub fn new(lab: &Lab) -> Self {
        Self { ldap: lab.as_admin(), names: Vec::new() }
    }

    /// A new unique name; it and all names that begin with it are this test's.
    pub fn name(&mut self, prefix: &str) -> String {
        let name = unique_name(prefix);
        self.names.push(name.clone());
        name
    }

    /// DNs of what is there now under this test's names.
    pub fn found(&self) -> anyhow::Result<Vec<String>> {
        if self.names.is_empty() {
            return Ok(Vec::new());
        }
        let each: String =
            self.names.iter().map(|name| format!("(cn={name}*)(sAMAccountName={name}*)")).collect();
        let entries = self.ldap.search(BASE_DN, &format!("(|{each})"), &["1.1"])?;
        Ok(entries.into_iter().map(|entry| entry.dn).collect())
    }

    /// Deletes it now instead of at the drop.
    pub fn sweep(&self) -> anyhow::Result<()> {
        self.found()?.iter().try_for_each(|dn| self.ldap.delete(dn).map(drop))
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        report_drop(&format!("directory objects of {:?}", self.names), self.sweep());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unique_name_fits_an_account_name_and_is_drawn_anew() {
        let (one, two) = (unique_name("farm-de"), unique_name("farm-de"));
        assert_eq!(one.len(), 15);
        assert!(one.starts_with("farm-de") && one.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
        assert_ne!(one, two);
    }

    #[test]
    fn an_account_does_not_print_its_password() {
        let account = Account { dn: "CN=a".into(), password: "geheim".into() };
        assert_eq!(format!("{account:?}"), "Account(CN=a)");
    }

    #[test]
    fn cleanup_takes_away_what_bears_its_names_and_nothing_else() {
        let lab = Lab::from_env();
        let admin = lab.as_admin();
        let (mut mine, mut other) = (Cleanup::new(&lab), Cleanup::new(&lab));
        let (name, stranger) = (mine.name("kit"), other.name("kit"));
        for name in [format!("{name}-a"), format!("{name}-b"), stranger] {
            admin.apply(&group_ldif(&name)).unwrap();
        }
        assert_eq!(mine.found().unwrap().len(), 2);
        mine.sweep().unwrap();
        assert_eq!(mine.found().unwrap(), Vec::<String>::new());
        assert_eq!(other.found().unwrap().len(), 1);
    }

    fn group_ldif(name: &str) -> String {
        format!(
            "dn: CN={name},{GROUP_CONTAINER}\nchangetype: add\nobjectClass: group\nsAMAccountName: {name}\n"
        )
    }
}
