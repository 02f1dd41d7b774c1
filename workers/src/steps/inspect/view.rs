//! What an inspection shows: the `result` of an `inspect` workflow.

use chrono::{DateTime, Utc};
use domain::{Dn, FarmName, FarmSpec, Sid, WorkflowId};
use serde::{Deserialize, Serialize};
use store::FarmState;

use crate::steps::ensure_gmsa::KeyId;
use crate::steps::gmsa::Difference;

/// A farm as it was asked for, as it is on record, and as the directory holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// One line for people.
    pub summary: String,
    pub farm: FarmName,
    pub state: FarmState,
    pub asked: FarmSpec,
    /// `null` until a deploy or an import has succeeded.
    pub recorded: Option<Recorded>,
    pub found: Found,
    /// Between `asked` and what the asked DC shows; empty where the account is missing.
    pub differences: Vec<Difference>,
    /// Every host that was asked for, and members of the group that were not (the first ones).
    pub hosts: Vec<HostView>,
    /// Hosts under quarantine that the reader list denies, or that the farm's record or group names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contained: Vec<ContainedView>,
    pub warnings: Vec<String>,
    /// The directory is Farmhand's own small one, for trying out.
    pub embedded_directory: bool,
}

/// A host under quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainedView {
    /// sAMAccountName without its `$`.
    pub name: String,
    pub sid: Sid,
    /// Since when, and the containment that put it there.
    pub since: DateTime<Utc>,
    pub workflow: WorkflowId,
    /// The reader list denies it before anything can let it in.
    pub denied_first: bool,
}

/// Where the account and the group were when they were last recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recorded {
    pub account_dn: Dn,
    pub account_sid: Sid,
    pub group_dn: Option<Dn>,
    pub group_sid: Option<Sid>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// The DC that answered for all but `perDc`.
    pub dc: String,
    /// `null`: there is no such gMSA.
    pub account: Option<AccountView>,
    /// `null`: the farm has no group, or it is not there.
    pub group: Option<GroupView>,
    /// Each writable DC of the domain with its own copy.
    pub per_dc: Vec<DcView>,
}

/// The gMSA, decoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountView {
    pub dn: Dn,
    pub sid: Option<Sid>,
    pub guid: Option<String>,
    /// With its `$`.
    pub sam_account_name: String,
    pub enabled: bool,
    /// The whole value of userAccountControl.
    pub user_account_control: Option<i64>,
    pub dns_host_name: Option<String>,
    pub display_name: Option<String>,
    pub description: Option<String>,
    pub home_page: Option<String>,
    /// `null`: it never expires.
    pub account_expiration_date: Option<DateTime<Utc>>,
    pub service_principal_names: Vec<String>,
    /// Names of the ciphers; empty: none set, a DC uses its own default.
    pub kerberos_encryption_types: Vec<String>,
    /// The whole value of msDS-SupportedEncryptionTypes.
    pub supported_encryption_types: Option<i64>,
    pub compound_identity_supported: bool,
    pub managed_password_interval: IntervalView,
    pub key_id: Option<KeyId>,
    /// When the life of the current password began.
    pub password_since: Option<DateTime<Utc>>,
    /// From when on a DC makes the next password, at the first authorised read.
    pub password_due: Option<DateTime<Utc>>,
    pub delegation: DelegationView,
    /// The reader list in its order: the first entry that fits a host decides.
    pub readers: Vec<ReaderView>,
    /// Why the reader list cannot be read, where it cannot.
    pub readers_unreadable: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IntervalView {
    pub days: Option<i64>,
    /// After how many hours the password rolls in truth; `null` for an interval that no DC can
    /// work with.
    pub rollover_hours: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DelegationView {
    pub account_not_delegated: bool,
    pub trusted_for_delegation: bool,
    pub trusted_to_auth_for_delegation: bool,
    /// msDS-AllowedToDelegateTo.
    pub allowed_to_delegate_to: Vec<String>,
    /// msDS-AllowedToActOnBehalfOfOtherIdentity: who may delegate to this account.
    pub principals_allowed_to_delegate_to_account: Vec<String>,
}

/// One entry of the reader list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReaderView {
    pub effect: ReaderEffect,
    pub sid: Sid,
    /// sAMAccountName; `null`: nobody of that SID is to be seen in this domain.
    pub name: Option<String>,
    pub kind: ReaderKind,
    /// Only a DC can evaluate its condition.
    pub conditional: bool,
    /// None of the farm's: kept as it is by every workflow.
    pub foreign: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReaderEffect {
    Allow,
    Deny,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReaderKind {
    Computer,
    Group,
    Gmsa,
    User,
    Other,
    /// Not found in this domain.
    Unknown,
}

/// The farm's group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupView {
    pub dn: Dn,
    pub sid: Option<Sid>,
    pub name: String,
    /// global, domain-local, universal or other.
    pub scope: String,
    /// A distribution group lets nobody read.
    pub security: bool,
    pub member_count: usize,
    /// The first ones by name: computers without their `$`, others by DN.
    pub members: Vec<String>,
    /// Asked for and no members.
    pub missing: Vec<String>,
    /// Members that were not asked for: how many, and the first ones.
    pub unasked_count: usize,
    pub unasked: Vec<String>,
}

/// One DC's copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DcView {
    /// dNSHostName.
    pub name: String,
    /// Why it could not be asked; the rest is `null` then.
    pub error: Option<String>,
    pub account_found: Option<bool>,
    /// uSNChanged of the account there.
    pub account_usn: Option<i64>,
    pub key_id: Option<KeyId>,
    pub member_count: Option<usize>,
    /// What this DC shows otherwise than was asked.
    pub differences: Vec<Difference>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostView {
    /// sAMAccountName without its `$`; as it was asked for where nobody of that name is there.
    pub name: String,
    /// The farm's record lists it.
    pub on_record: bool,
    pub can_read: CanRead,
    /// What decides: a group, an entry of its own, or why it is not known.
    pub through: Option<String>,
}

/// What a host that logs on anew gets; an open session keeps what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CanRead {
    Yes,
    No,
    /// It turns on something that cannot be seen from here, or the host was not found.
    Unknown,
}
