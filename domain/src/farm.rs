//! A farm: what a person writes (the manifest) and what it means (the specification).
//!
//! Field names follow the parameters of New-ADServiceAccount.

mod manifest;
mod validate;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    AccountName, DirectoryName, Dn, DnsHostName, EncryptionTypes, FarmName, HostAdapter,
    ManagedPasswordInterval, PrincipalRef, ServicePrincipalName, Sid,
};

pub use manifest::{
    AccountManifest, DriftManifest, FarmManifest, HostActionsManifest, MembershipManifest, Metadata,
    RotationManifest, SpecManifest,
};

/// How hosts come to read the managed password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MembershipMode {
    /// The reader list names a security group, hosts are its members.
    #[default]
    Group,
    /// The reader list names each host.
    Direct,
}

/// A validated farm: every name obeys AD's rules, every default is filled in that does not
/// depend on the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FarmSpec {
    pub name: FarmName,
    pub directory: DirectoryName,
    pub account: AccountSpec,
    pub membership: MembershipSpec,
    pub hosts: Vec<PrincipalRef>,
    #[serde(default, skip_serializing_if = "HostActionsSpec::is_default")]
    pub host_actions: HostActionsSpec,
    #[serde(default, skip_serializing_if = "RotationSpec::is_default")]
    pub rotation: RotationSpec,
    #[serde(default, skip_serializing_if = "DriftSpec::is_default")]
    pub drift: DriftSpec,
}

/// What becomes of drift.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DriftSpec {
    pub on_drift: OnDrift,
}

impl DriftSpec {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDrift {
    /// It is told.
    #[default]
    Report,
    /// And an update that mends it is asked for, which a second person approves.
    Mend,
}

/// How the password's rolling is helped along.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RotationSpec {
    /// A check that finds the password due has a member host fetch it.
    pub nudge: bool,
}

impl RotationSpec {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How things are done on the farm's hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HostActionsSpec {
    /// `None`: as the workers are configured.
    pub adapter: Option<HostAdapter>,
    /// Windows services that run as the account; restarted where it is replaced.
    pub services: Vec<String>,
    /// Hosts at a time. `None`: as the workers are configured.
    pub wave: Option<u16>,
}

impl HostActionsSpec {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountSpec {
    pub sam_account_name: AccountName,
    pub dns_host_name: Option<DnsHostName>,
    pub display_name: Option<String>,
    pub description: Option<String>,
    /// `None`: the domain's well-known container for managed service accounts.
    pub container: Option<Dn>,
    pub service_principal_names: Vec<ServicePrincipalName>,
    pub kerberos_encryption_types: EncryptionTypes,
    pub managed_password_interval_in_days: ManagedPasswordInterval,
    pub outbound_only: bool,
    /// `None`: an account is made enabled, and one that stands is left as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// What follows is left alone on an account as long as nothing is said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home_page: Option<String>,
    /// From then on the account cannot be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_expiration_date: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_not_delegated: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_for_delegation: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_to_auth_for_delegation: Option<bool>,
    /// msDS-AllowedToDelegateTo: the services to which it may delegate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_to_delegate_to: Option<Vec<ServicePrincipalName>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compound_identity_supported: Option<bool>,
}

/// Somebody whom an account's reader list names and who is none of the farm's: was there when the
/// account was imported, and is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForeignReader {
    pub sid: Sid,
    /// The entry denies instead of allowing.
    pub denied: bool,
    /// As the directory named it then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MembershipSpec {
    pub mode: MembershipMode,
    /// `Some` exactly when the mode is `group`.
    pub group: Option<PrincipalRef>,
    pub create_group: bool,
    /// Where a missing group is made. `None`: the domain's Users container.
    pub group_container: Option<Dn>,
}

impl FarmSpec {
    /// What is allowed and still unwise, in words for the requester.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.account.kerberos_encryption_types.allows_rc4() {
            warnings.push(
                "kerberosEncryptionTypes allows RC4, whose tickets can be cracked offline; drop it once \
                 every host and client of the service does AES"
                    .to_owned(),
            );
        }
        if self.account.kerberos_encryption_types.is_unset() {
            warnings.push(
                "kerberosEncryptionTypes Default leaves the choice to the DCs, which may be RC4; name AES128 and \
                 AES256 once every host and client of the service does AES"
                    .to_owned(),
            );
        }
        let unconstrained = self.account.trusted_for_delegation == Some(true);
        if unconstrained || self.account.trusted_to_auth_for_delegation == Some(true) {
            warnings.push(
                "the account is trusted for delegation: whoever gets hold of one of its hosts can act as the \
                 service's users"
                    .to_owned(),
            );
        }
        let interval = self.account.managed_password_interval_in_days;
        if interval.rollover_hours() != u32::from(interval.days()) * 24 {
            warnings.push(format!(
                "managedPasswordIntervalInDays {} is no multiple of 5: the password rolls after {} hours",
                interval.days(),
                interval.rollover_hours()
            ));
        }
        if self.hosts.is_empty() {
            warnings.push("hosts is empty: a gMSA that nobody reads never rolls its password".to_owned());
        }
        warnings
    }
}
