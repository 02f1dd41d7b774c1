//! One refused login is enough: the next ones could lock the account out of the whole domain.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ldap3::{Ldap, LdapError};
use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::diagnostic;
use super::options::LdapOptions;
use crate::error::{DirectoryErrorKind, Refusal, ResultCode};

/// What is known of the configured login, shared by every connection of a directory.
#[derive(Debug, Default)]
pub(super) struct Login {
    state: Mutex<State>,
    /// Logins go one at a time, so that many connections which open at once try a wrong
    /// password once.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone, Copy, Default)]
enum State {
    #[default]
    Untried,
    Proven,
    /// Until the moment, or for the life of this configuration.
    Refused(Option<Instant>),
}

/// Once the login has worked, a DC that froze between TLS and login must not hold up the others
/// for longer than this; a changed password then costs a few attempts, not one.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long an account's state (locked, disabled, wrong hour) is believed before it is asked
/// again. Such an answer is no wrong password, and asking again counts towards no lockout.
const STATE_BELIEVED: Duration = Duration::from_secs(60);

impl Login {
    /// Logs in, or refuses to try.
    pub async fn bind(&self, ldap: &mut Ldap, options: &LdapOptions) -> Result<(), DirectoryErrorKind> {
        let _turn = match self.state() {
            State::Proven => tokio::time::timeout(PATIENCE, self.turn.lock()).await.ok(),
            State::Untried | State::Refused(_) => Some(self.turn.lock().await),
        };
        // Another attempt may have been refused while this one waited.
        self.check()?;
        let password = options.password.expose_secret();
        if password.is_empty() {
            return Err(DirectoryErrorKind::Refused(Refusal::EmptyPassword));
        }
        let answer = ldap.with_timeout(options.connect_timeout).simple_bind(&options.bind_dn, password).await;
        match answer {
            Ok(result) if result.rc == 0 => {
                self.set(State::Proven);
                Ok(())
            }
            Ok(result) => {
                let refusal = diagnostic::refusal(&result);
                self.learn(&refusal);
                Err(refusal)
            }
            Err(error) => {
                Err(DirectoryErrorKind::Unreachable(format!("the login got no answer: {}", brief(&error))))
            }
        }
    }

    fn check(&self) -> Result<(), DirectoryErrorKind> {
        match self.state() {
            State::Refused(None) => Err(DirectoryErrorKind::Refused(Refusal::LoginRefusedBefore)),
            State::Refused(Some(until)) if Instant::now() < until => {
                Err(DirectoryErrorKind::Refused(Refusal::LoginRefusedBefore))
            }
            _ => Ok(()),
        }
    }

    fn learn(&self, refusal: &DirectoryErrorKind) {
        let DirectoryErrorKind::Result { code: ResultCode::INVALID_CREDENTIALS, data, .. } = refusal else {
            return;
        };
        // Hours, workstation, disabled, expired, locked: the account, not the password.
        let passing = matches!(data, Some(0x530 | 0x531 | 0x533 | 0x701 | 0x775));
        self.set(State::Refused(passing.then(|| Instant::now() + STATE_BELIEVED)));
    }

    fn state(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

/// An error of the client in a few words.
pub(super) fn brief(error: &LdapError) -> String {
    match error {
        LdapError::Timeout { .. } => "the deadline passed".to_owned(),
        LdapError::ResultRecv { .. } | LdapError::EndOfStream => "the connection broke".to_owned(),
        LdapError::OpSend { .. } | LdapError::IdScrubSend { .. } => "the connection was closed".to_owned(),
        LdapError::Io { source } => source.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(data: Option<u32>) -> DirectoryErrorKind {
        let code = ResultCode::INVALID_CREDENTIALS;
        DirectoryErrorKind::Result { code, extended: None, data, diagnostic: String::new() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wrong_password_is_remembered_for_good_and_a_locked_account_for_a_minute() {
        for (data, for_good) in [(Some(0x52E), true), (None, true), (Some(0x525), true), (Some(0x775), false)]
        {
            let login = Login::default();
            assert_eq!(login.check(), Ok(()));
            login.learn(&refused(data));
            assert_eq!(login.check(), Err(DirectoryErrorKind::Refused(Refusal::LoginRefusedBefore)));
            tokio::time::advance(Duration::from_secs(61)).await;
            assert_eq!(login.check().is_err(), for_good, "{data:x?}");
        }
    }

    #[test]
    fn other_answers_do_not_stop_the_login() {
        let login = Login::default();
        let code = ResultCode::UNAVAILABLE;
        login.learn(&DirectoryErrorKind::Result {
            code,
            extended: None,
            data: None,
            diagnostic: String::new(),
        });
        assert_eq!(login.check(), Ok(()));
    }
}
