//! What is done on member hosts themselves, and what became of it.
//!
//! The directory has no record of what a host has installed or cached, so these are asked of the
//! hosts, one by one, and their answers are kept with the step.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{AccountName, DnsHostName, Sid, workflow::UnknownValue};

/// One thing to do on one host: what an adapter is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostAction {
    #[serde(flatten)]
    pub kind: HostActionKind,
    pub host: MemberHost,
    /// The gMSA, without its `$`.
    pub account: AccountName,
}

/// Everything that a step wants done on one host, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostWork {
    pub host: MemberHost,
    /// The gMSA, without its `$`.
    pub account: AccountName,
    pub actions: Vec<HostActionKind>,
}

impl HostWork {
    /// One by one, as an adapter is asked.
    pub fn each(&self) -> impl Iterator<Item = HostAction> {
        self.actions.iter().map(|kind| HostAction {
            kind: kind.clone(),
            host: self.host.clone(),
            account: self.account.clone(),
        })
    }
}

/// A host as an adapter reaches it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberHost {
    /// sAMAccountName without its `$`.
    pub name: String,
    pub sid: Sid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_host_name: Option<DnsHostName>,
}

/// Named after the cmdlets of Microsoft's guide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum HostActionKind {
    /// `klist -li 0x3e7 purge`: the host's next ticket carries its new groups.
    PurgeTickets,
    /// Install-ADServiceAccount.
    Install,
    /// Test-ADServiceAccount: can this host fetch the password now?
    Test,
    /// Uninstall-ADServiceAccount.
    Uninstall,
    /// A Windows service takes the account's current password when it starts.
    RestartService {
        /// The service's name (not its display name).
        service: String,
    },
}

impl HostActionKind {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::PurgeTickets => "purge-tickets",
            Self::Install => "install",
            Self::Test => "test",
            Self::Uninstall => "uninstall",
            Self::RestartService { .. } => "restart-service",
        }
    }
}

impl HostAction {
    /// What a person runs on the host, in an elevated PowerShell.
    pub fn powershell(&self) -> String {
        let account = &self.account;
        match &self.kind {
            HostActionKind::PurgeTickets => "klist -li 0x3e7 purge".to_owned(),
            HostActionKind::Install => format!("Install-ADServiceAccount -Identity {account}"),
            HostActionKind::Test => format!("Test-ADServiceAccount -Identity {account}"),
            HostActionKind::Uninstall => format!("Uninstall-ADServiceAccount -Identity {account}"),
            // In PowerShell a quote within single quotes is written twice.
            HostActionKind::RestartService { service } => {
                format!("Restart-Service -Name '{}'", service.replace('\'', "''"))
            }
        }
    }
}

impl fmt::Display for HostAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.kind.as_str(), self.host.name)
    }
}

/// How host actions of a farm are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostAdapter {
    /// Not at all; the step says what a person may run.
    #[default]
    None,
    /// By people: the workflow waits for their word.
    Manual,
    /// By a configured program, called for each host.
    Command,
}

impl HostAdapter {
    pub const ALL: [Self; 3] = [Self::None, Self::Manual, Self::Command];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Manual => "manual",
            Self::Command => "command",
        }
    }
}

impl fmt::Display for HostAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for HostAdapter {
    type Err = UnknownValue;
    fn from_str(text: &str) -> Result<Self, UnknownValue> {
        let found = Self::ALL.into_iter().find(|adapter| adapter.as_str() == text);
        found.ok_or_else(|| UnknownValue::new("host adapter", text))
    }
}

/// Where one host action stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostTaskState {
    /// Not begun.
    Pending,
    /// Asked of somebody whose answer comes later.
    Asked,
    Succeeded,
    Failed,
    /// A person said that it is not needed on this host (switched off, rebuilt).
    Skipped,
}

impl HostTaskState {
    /// Whether the workflow may go on as far as this host is concerned.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Succeeded | Self::Skipped)
    }
}

/// The work on one host with its outcome; kept in the step's outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostTask {
    #[serde(flatten)]
    pub work: HostWork,
    /// For people: each action's [`HostAction::powershell`].
    pub powershell: Vec<String>,
    pub state: HostTaskState,
    /// What the host, the program or the person said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Who or what answered: a principal, or the adapter's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
}

impl HostTask {
    pub fn pending(work: HostWork) -> Self {
        let powershell = work.each().map(|action| action.powershell()).collect();
        Self { work, powershell, state: HostTaskState::Pending, detail: None, by: None, at: None }
    }
}

/// What a person says of hosts whose answer is awaited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostAck {
    /// sAMAccountName of the host, with or without `$`, in any case; left out: every host whose
    /// answer is awaited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    pub outcome: AckOutcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AckOutcome {
    Succeeded,
    Failed,
    Skipped,
}

impl AckOutcome {
    pub const ALL: [Self; 3] = [Self::Succeeded, Self::Failed, Self::Skipped];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }

    pub fn state(self) -> HostTaskState {
        match self {
            Self::Succeeded => HostTaskState::Succeeded,
            Self::Failed => HostTaskState::Failed,
            Self::Skipped => HostTaskState::Skipped,
        }
    }
}

impl std::str::FromStr for AckOutcome {
    type Err = UnknownValue;
    fn from_str(text: &str) -> Result<Self, UnknownValue> {
        let found = Self::ALL.into_iter().find(|outcome| outcome.as_str() == text);
        found.ok_or_else(|| UnknownValue::new("outcome of a host action", text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(kind: HostActionKind) -> HostAction {
        let sid = "S-1-5-21-1-2-3-1104".parse().expect("valid");
        let host = MemberHost { name: "Host1".into(), sid, dns_host_name: None };
        HostAction { kind, host, account: AccountName::parse("ITFarm1").expect("valid") }
    }

    #[test]
    fn an_action_reads_as_the_cmdlet_of_the_guide() {
        for (kind, expected) in [
            (HostActionKind::Install, "Install-ADServiceAccount -Identity ITFarm1"),
            (HostActionKind::Test, "Test-ADServiceAccount -Identity ITFarm1"),
            (HostActionKind::Uninstall, "Uninstall-ADServiceAccount -Identity ITFarm1"),
            (HostActionKind::PurgeTickets, "klist -li 0x3e7 purge"),
            (HostActionKind::RestartService { service: "a'b".into() }, "Restart-Service -Name 'a''b'"),
        ] {
            assert_eq!(action(kind).powershell(), expected);
        }
    }

    #[test]
    fn a_task_survives_the_database_and_names_its_actions() {
        let HostAction { host, account, .. } = action(HostActionKind::Install);
        let restart = HostActionKind::RestartService { service: "W3SVC".into() };
        let actions = vec![HostActionKind::Install, restart.clone()];
        let task = HostTask::pending(HostWork { host, account, actions });
        assert_eq!(task.work.each().nth(1), Some(action(restart)));
        let json = serde_json::to_value(&task).expect("serialises");
        assert_eq!(json["actions"][1]["action"], "restart-service");
        assert_eq!(json["host"]["name"], "Host1");
        assert_eq!(json["powershell"][0], "Install-ADServiceAccount -Identity ITFarm1");
        assert_eq!(json["state"], "pending");
        assert_eq!(serde_json::from_value::<HostTask>(json).expect("reads back"), task);
    }
}
