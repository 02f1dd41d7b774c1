//! The manifest as it is written: loose types, so that every broken rule is reported at once
//! and by the name of its field.

use serde::{Deserialize, Serialize};

use super::{MembershipMode, OnDrift};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FarmManifest {
    /// Always `farmhand/v1`.
    pub api_version: String,
    /// Always `Farm`.
    pub kind: String,
    pub metadata: Metadata,
    pub spec: SpecManifest,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SpecManifest {
    /// Which configured directory; `default` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    #[serde(default)]
    pub account: AccountManifest,
    #[serde(default)]
    pub membership: MembershipManifest,
    #[serde(default)]
    pub hosts: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_actions: Option<HostActionsManifest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationManifest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftManifest>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DriftManifest {
    /// `report`, or `mend`: a check that finds drift asks for an update, which a second person approves.
    pub on_drift: OnDrift,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RotationManifest {
    /// A check that finds the password due has a member host fetch it, so that it rolls.
    pub nudge: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HostActionsManifest {
    /// `none`, `manual` or `command`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    pub services: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wave: Option<i64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AccountManifest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sam_account_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_host_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    pub service_principal_names: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kerberos_encryption_types: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_password_interval_in_days: Option<i64>,
    pub outbound_only: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub home_page: Option<String>,
    /// RFC 3339, or a date alone: its midnight, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_expiration_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_not_delegated: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trusted_for_delegation: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trusted_to_auth_for_delegation: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_to_delegate_to: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compound_identity_supported: Option<bool>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MembershipManifest {
    pub mode: MembershipMode,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create_group: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_container: Option<String>,
}
