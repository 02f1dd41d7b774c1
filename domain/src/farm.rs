//! A farm: what a person writes (the manifest) and what it means (the specification).
//!
//! Field names follow the parameters of New-ADServiceAccount.

mod manifest;
mod validate;

use serde::{Deserialize, Serialize};

use crate::{
    AccountName, DirectoryName, Dn, DnsHostName, EncryptionTypes, FarmName, HostAdapter,
    ManagedPasswordInterval, PrincipalRef, ServicePrincipalName,
};

pub use manifest::{
    AccountManifest, FarmManifest, HostActionsManifest, MembershipManifest, Metadata, SpecManifest,
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
