//! What a compromised host could read, what it may still know, and what was done about it: the
//! `result` of `compromise-removal`, from which incident, report and countdown are made.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Dn, FarmName, Sid, WorkflowId};

/// `result` of a containment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Containment {
    /// One line for people.
    pub summary: String,
    /// Whether the directory had to be changed.
    pub changed: bool,
    pub host: ContainedHost,
    /// Every gMSA that the host could read, farms on record first.
    pub accounts: Vec<ContainedAccount>,
    pub domain_controllers: Vec<ContainedDc>,
    /// Workflows that were stopped for it.
    pub preempted: Vec<WorkflowId>,
    /// gMSAs that were looked at.
    pub swept: u64,
    /// What was left undone on purpose or could not be done, and why.
    pub not_done: Vec<String>,
    pub warnings: Vec<String>,
    /// What people should do next.
    pub next: Vec<String>,
    /// The directory is Farmhand's own small one, for trying out.
    pub embedded_directory: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainedHost {
    /// sAMAccountName without its `$`.
    pub name: String,
    pub dn: Dn,
    pub sid: Sid,
    pub dns_host_name: Option<String>,
    pub computer: ComputerState,
    /// Of another computer account of this name that is under quarantine: the host was rebuilt.
    pub rebuilt_from: Option<Sid>,
}

impl ContainedHost {
    /// What no entry in a directory can do.
    pub fn advice(name: &str) -> String {
        format!(
            "take {name} off the network and rebuild it: open sessions and tickets that it holds live on, and so does \
             every password that it has read"
        )
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ComputerState {
    Disabled,
    /// It was so before; a release leaves it so.
    DisabledBefore,
    /// Asked for with `keepComputerEnabled`, or the account of a domain controller.
    KeptEnabled,
    /// It could not be disabled; `notDone` says why.
    StillEnabled,
}

/// A gMSA that the host could read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainedAccount {
    /// With its `$`.
    pub account: String,
    pub dn: Dn,
    pub sid: Sid,
    /// The farm on record whose account it is.
    pub farm: Option<FarmName>,
    /// How the host was let in, e.g. `as a member of CN=ITFarmHosts,..., through CN=Web,...`.
    pub paths: Vec<String>,
    pub service_principal_names: Vec<String>,
    /// Delegation that a holder of the password could use, in words.
    pub delegation: Vec<String>,
    /// Groups of the account: what a holder of the password could reach.
    pub member_of: Vec<Dn>,
    /// Other hosts that read the same password.
    pub other_hosts: Vec<String>,
    pub exposure: Exposure,
}

/// What the attacker may know of one account's passwords, and until when it works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exposure {
    /// The key id whose password is known; `null` where it could not be read.
    pub key_id: Option<KeyId>,
    /// Bytes of msDS-ManagedPasswordId, base64.
    pub exposed_key_id: Option<String>,
    pub interval_days: Option<u32>,
    pub slot_start: Option<DateTime<Utc>>,
    pub known: Vec<KnownPassword>,
    /// When the known password stops working if somebody who may reads it from then on; the next
    /// one's end where that is known too. `null`: cannot be told.
    pub ends_at: Option<DateTime<Utc>>,
    /// Why it may end later, and what was assumed.
    pub assumptions: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KnownPassword {
    Previous,
    Current,
    /// A DC hands it out in the last five minutes before the roll.
    Next,
}

/// Names a key of the key distribution service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyId {
    pub l0: u32,
    pub l1: u32,
    pub l2: u32,
    pub root_key: Uuid,
}

/// What one DC was seen to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainedDc {
    /// dNSHostName.
    pub name: String,
    /// When the last deny entry was acknowledged by it; `null`: it had them by replication or
    /// from before.
    pub denied_at: Option<DateTime<Utc>>,
    /// When it was last read back with every account denied.
    pub verified_at: DateTime<Utc>,
}

/// `result` of `await-roll`: the exposed password is no longer the current one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rolled {
    pub summary: String,
    pub account: String,
    pub sid: Sid,
    /// What its password is made from now; `null`: the account is gone, and its password opens nothing.
    pub key_id: Option<KeyId>,
    pub seen_at: DateTime<Utc>,
    pub domain_controllers: Vec<String>,
}
