//! The directory through OpenLDAP's programs: an independent witness of what the product wrote.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::lab::Account;
use crate::script;

/// Exit status of the OpenLDAP programs for a base that is not there (RFC 4511, noSuchObject).
const NO_SUCH_OBJECT: i32 = 32;

/// One object; attribute names in small letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub dn: String,
    pub attributes: BTreeMap<String, Vec<Vec<u8>>>,
}

impl Entry {
    /// All values, sorted, as text. Empty where the attribute is not there.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let mut texts: Vec<String> =
            self.values(name).iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect();
        texts.sort();
        texts
    }

    /// The first value as text.
    pub fn text(&self, name: &str) -> Option<String> {
        self.values(name).first().map(|value| String::from_utf8_lossy(value).into_owned())
    }

    pub fn values(&self, name: &str) -> &[Vec<u8>] {
        self.attributes.get(&name.to_ascii_lowercase()).map_or(&[], Vec::as_slice)
    }
}

/// A way into one DC as one account. Every call binds anew.
#[derive(Debug, Clone)]
pub struct Ldap {
    url: String,
    ca_file: PathBuf,
    account: Account,
}

impl Ldap {
    pub fn new(url: &str, ca_file: &Path, account: Account) -> Self {
        Self { url: url.to_owned(), ca_file: ca_file.to_owned(), account }
    }

    /// One object, `None` where there is none. Without attributes: all that the DC gives unasked.
    pub fn read(&self, dn: &str, attributes: &[&str]) -> Result<Option<Entry>> {
        Ok(self.look(dn, "base", "(objectClass=*)", attributes)?.pop())
    }

    /// The subtree below `base`; nothing where `base` is not there.
    pub fn search(&self, base: &str, filter: &str, attributes: &[&str]) -> Result<Vec<Entry>> {
        self.look(base, "sub", filter, attributes)
    }

    fn look(&self, base: &str, scope: &str, filter: &str, attributes: &[&str]) -> Result<Vec<Entry>> {
        let mut arguments =
            vec!["-LLL", "-o", "ldif-wrap=no", "-E", "pr=500/noprompt", "-b", base, "-s", scope, filter];
        arguments.extend(attributes);
        let output = self.run("ldapsearch", &arguments, b"")?;
        match output.status.code() {
            Some(0) => parse_ldif(&String::from_utf8_lossy(&output.stdout)),
            Some(NO_SUCH_OBJECT) => Ok(Vec::new()),
            _ => bail!("ldapsearch {base} {filter}: {}", String::from_utf8_lossy(&output.stderr).trim()),
        }
    }

    /// Carries out change records (RFC 2849).
    pub fn apply(&self, ldif: &str) -> Result<()> {
        let output = self.run("ldapmodify", &[], ldif.as_bytes())?;
        if !output.status.success() {
            bail!("ldapmodify: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    /// Deletes one object; gives whether it was there.
    pub fn delete(&self, dn: &str) -> Result<bool> {
        let output = self.run("ldapdelete", &[dn], b"")?;
        match output.status.code() {
            Some(0) => Ok(true),
            Some(NO_SUCH_OBJECT) => Ok(false),
            _ => bail!("ldapdelete {dn}: {}", String::from_utf8_lossy(&output.stderr).trim()),
        }
    }

    fn run(&self, program: &str, arguments: &[&str], input: &[u8]) -> Result<std::process::Output> {
        // Not on the command line, where every user of the machine could read it.
        let mut password = tempfile::NamedTempFile::new().context("a file for the password")?;
        password.write_all(self.account.password.as_bytes())?;
        // libldap has no limit of its own in the TLS handshake with a server that is frozen.
        let mut command = Command::new("timeout");
        command
            .args(["20", program, "-x", "-H", &self.url, "-D", &self.account.dn, "-y"])
            .arg(password.path())
            .args(arguments)
            .env("LDAPTLS_CACERT", &self.ca_file);
        script::run(&mut command, input)
    }
}

/// Entries of unfolded LDIF (RFC 2849) as `ldapsearch` prints it.
fn parse_ldif(text: &str) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for block in text.split("\n\n") {
        let mut lines = block.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).peekable();
        // referrals of a subtree search are blocks of their own without a dn
        if !lines.peek().is_some_and(|line| line.starts_with("dn:")) {
            continue;
        }
        let (_, dn) = attribute(lines.next().unwrap_or_default())?;
        let mut entry = Entry { dn: String::from_utf8(dn)?, attributes: BTreeMap::new() };
        for line in lines {
            let (name, value) = attribute(line)?;
            entry.attributes.entry(name).or_default().push(value);
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn attribute(line: &str) -> Result<(String, Vec<u8>)> {
    let (name, rest) = line.split_once(':').with_context(|| format!("no attribute: {line}"))?;
    let value = match rest.strip_prefix(':') {
        Some(encoded) => STANDARD.decode(encoded.trim()).with_context(|| format!("base64 of {name}"))?,
        None => rest.strip_prefix(' ').unwrap_or(rest).as_bytes().to_vec(),
    };
    Ok((name.to_ascii_lowercase(), value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{Cleanup, GROUP_CONTAINER, HOST_CONTAINER, Lab};

    #[test]
    fn ldif_with_binary_values_and_referrals_is_read() {
        let text = "dn: CN=a\ncn: a\nobjectSid:: AQI=\nmember: CN=x\nmember: CN=b\nempty:\n\n\
                    # refldap://contoso.com\n\ndn:: Q049w6Q=\ncn:: w6Q=\n\n";
        let entries = parse_ldif(text).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].values("objectSID"), [vec![1, 2]]);
        assert_eq!(entries[0].texts("member"), ["CN=b", "CN=x"]);
        assert_eq!(entries[0].text("empty").as_deref(), Some(""));
        assert_eq!(entries[0].text("missing"), None);
        assert_eq!((entries[1].dn.as_str(), entries[1].text("cn").as_deref()), ("CN=ä", Some("ä")));
    }

    #[test]
    fn the_witness_writes_reads_and_deletes_on_the_real_dc() {
        let lab = Lab::from_env();
        let mut cleanup = Cleanup::new(&lab);
        let (admin, name) = (lab.as_admin(), cleanup.name("kit"));
        let dn = format!("CN={name},{GROUP_CONTAINER}");
        assert_eq!(admin.read(&dn, &[]).unwrap(), None);
        let host = format!("CN=Host1,{HOST_CONTAINER}");
        let add = format!(
            "dn: {dn}\nchangetype: add\nobjectClass: group\nsAMAccountName: {name}\nmember: {host}\ndescription: ä\n"
        );
        admin.apply(&add).unwrap();
        let entry = admin.read(&dn, &["member", "description", "objectSid"]).unwrap().unwrap();
        assert_eq!(entry.texts("member"), [host]);
        assert_eq!(entry.text("description").as_deref(), Some("ä"));
        assert_eq!(entry.values("objectSid")[0].len(), 28);
        assert!(admin.delete(&dn).unwrap());
        assert!(!admin.delete(&dn).unwrap());
    }

    #[test]
    fn the_limited_account_makes_groups_and_no_accounts() {
        let lab = Lab::from_env();
        let mut cleanup = Cleanup::new(&lab);
        let (limited, name) = (lab.bound_as(&lab.limited), cleanup.name("kit"));
        let group = format!(
            "dn: CN={name},{GROUP_CONTAINER}\nchangetype: add\nobjectClass: group\nsAMAccountName: {name}\n"
        );
        limited.apply(&group).unwrap();
        let account = format!(
            "dn: CN={name},{}\nchangetype: add\nobjectClass: msDS-GroupManagedServiceAccount\nsAMAccountName: {name}$\n\
             dNSHostName: {name}.contoso.com\nmsDS-ManagedPasswordInterval: 30\nuserAccountControl: 4096\n",
            crate::lab::GMSA_CONTAINER
        );
        let refused = limited.apply(&account).unwrap_err().to_string();
        assert!(refused.contains("Insufficient access (50)"), "{refused}");
    }
}
