//! A host that tries gMSA passwords in sessions that stay open: what an intruder on it can still do.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::lab::Lab;

/// For one attempt; a DC that is cut off makes a login hang.
const LIMIT: Duration = Duration::from_secs(60);

/// What came of an attempt to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    Password,
    Denied,
    /// It did not get as far as that: what Samba's client said, e.g. of a disabled account.
    NoLogin(String),
}

/// One Kerberos login of a host at one DC, held open by `as-host --hold`. Ends when dropped.
#[derive(Debug)]
pub struct HostSession {
    child: Child,
    input: ChildStdin,
    answers: Receiver<String>,
    what: String,
    /// What Samba's client says beside its answers.
    errors: tempfile::NamedTempFile,
}

impl HostSession {
    /// Prepares the host at the DC of that short name (`dc1`); the first attempt logs in.
    ///
    /// # Errors
    /// When the script cannot be started.
    pub fn new(lab: &Lab, host: &str, dc: &str, gmsa: &str) -> Result<Self> {
        let mut command = lab.command("as-host");
        command.args([host, gmsa, "--hold", "--auth", "krb5", "--url"]);
        command.arg(format!("ldap://{dc}.contoso.com"));
        let errors = tempfile::NamedTempFile::new()?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors.reopen()?);
        let mut child =
            command.spawn().context("cannot start as-host; deploy/lab/up installs what it needs")?;
        let input = child.stdin.take().context("its standard input")?;
        let output = BufReader::new(child.stdout.take().context("its standard output")?);
        // A reader of its own, so that waiting for an answer can be given up.
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line).ok())
        });
        Ok(Self { child, input, answers, what: format!("{host} at {dc}"), errors })
    }

    /// In the session that is open.
    ///
    /// # Errors
    /// When there is no answer; so for the others.
    pub fn same_session(&mut self, gmsa: &str) -> Result<Seen> {
        self.attempt("same", gmsa)
    }

    /// In a new session with the ticket of the last one.
    pub fn new_session(&mut self, gmsa: &str) -> Result<Seen> {
        self.attempt("session", gmsa)
    }

    /// In a new session with new tickets, as after `klist purge`.
    pub fn new_ticket(&mut self, gmsa: &str) -> Result<Seen> {
        self.attempt("ticket", gmsa)
    }

    fn attempt(&mut self, how: &str, gmsa: &str) -> Result<Seen> {
        let said = || std::fs::read_to_string(self.errors.path()).unwrap_or_default();
        let what = || format!("{how} of {}, {gmsa}: {}", self.what, said().trim());
        self.input.write_all(format!("{how} {gmsa}\n").as_bytes()).with_context(what)?;
        match self.answers.recv_timeout(LIMIT).with_context(what)?.as_str() {
            "password" => Ok(Seen::Password),
            "denied" => Ok(Seen::Denied),
            other => match other.strip_prefix("error ") {
                Some(text) => Ok(Seen::NoLogin(text.to_owned())),
                None => bail!("{}: {other}", what()),
            },
        }
    }
}

impl Drop for HostSession {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Cleanup;
    use crate::objects::{account_dn, entry, group_dn, make_gmsa, make_group, readers, sid};

    #[test]
    fn a_removed_host_reads_on_until_it_has_a_new_ticket_and_a_deny_entry_stops_it_at_once() {
        let lab = Lab::from_env();
        let mut names = Cleanup::new(&lab);
        let (gmsa, group, admin) = (names.name("ses"), names.name("sesg"), lab.as_admin());
        let host = crate::objects::host_dn("Host7");
        let reader = make_group(&admin, &group, std::slice::from_ref(&host)).unwrap();
        make_gmsa(&admin, &gmsa, &[entry::allow(&reader)]).unwrap();
        let mut session = HostSession::new(&lab, "Host7", "dc1", &gmsa).unwrap();
        assert_eq!(session.same_session(&gmsa).unwrap(), Seen::Password);
        let removed =
            format!("dn: {}\nchangetype: modify\ndelete: member\nmember: {host}\n", group_dn(&group));
        admin.apply(&removed).unwrap();
        assert_eq!(session.same_session(&gmsa).unwrap(), Seen::Password, "its session knows the group");
        assert_eq!(session.new_session(&gmsa).unwrap(), Seen::Password, "its ticket knows the group");
        let denied = [entry::deny(&sid(&admin, &host).unwrap()), entry::allow(&reader)];
        readers(&admin, &account_dn(&gmsa), &denied).unwrap();
        assert_eq!(session.same_session(&gmsa).unwrap(), Seen::Denied);
        assert_eq!(session.new_session(&gmsa).unwrap(), Seen::Denied);
        readers(&admin, &account_dn(&gmsa), &[entry::allow(&reader)]).unwrap();
        assert_eq!(session.new_session(&gmsa).unwrap(), Seen::Password, "the ticket is still the old one");
        assert_eq!(session.new_ticket(&gmsa).unwrap(), Seen::Denied);
    }

    #[test]
    fn an_unknown_host_does_not_log_in() {
        let lab = Lab::from_env();
        let mut session = HostSession::new(&lab, "NoSuchHost", "dc1", "any").unwrap();
        let seen = session.same_session("any").unwrap();
        assert!(matches!(&seen, Seen::NoLogin(_)), "{seen:?}");
    }
}
