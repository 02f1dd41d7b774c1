//! Requests as they are written down, over HTTP and AMQP alike. Loose types, so that every broken
//! rule is reported at once and by the name of its field.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Hosts that join or leave a farm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct HostsBody {
    /// Each `Host1`, `Host1$`, a DN or a SID.
    #[schema(min_items = 1, max_items = 10_000)]
    pub hosts: Vec<String>,
}

/// A farm retires.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct DecommissionBody {
    /// How long the account stays disabled before it is deleted, e.g. `7d` or `12h`; at most 365
    /// days. Left out: as the orchestrator is configured (`lifecycle.cool_down`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "7d")]
    pub cool_down: Option<String>,
}

/// A gMSA is rebuilt with a new SID.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct ReplaceBody {
    /// Side by side under this name; left out: under the same name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 15)]
    pub new_account: Option<String>,
    /// The new account's; left out: as the old one's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 365)]
    pub managed_password_interval_in_days: Option<i64>,
    /// How long the old account stays, disabled, before it is deleted, e.g. `7d` or `12h`; at most
    /// 365 days. Left out: as the orchestrator is configured (`lifecycle.cool_down`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "7d")]
    pub cool_down: Option<String>,
}

/// A gMSA that others made is put on record as a farm.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct ImportBody {
    /// The gMSA: `ITFarm1`, `ITFarm1$`, a DN or a SID; left out: the one of the farm's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Which of several groups that may read holds the farm's hosts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

/// How gMSAs' passwords stand is looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RotationCheckBody {
    /// Only this farm's account; left out: every gMSA of the directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "ITFarm1")]
    pub farm: Option<String>,
    /// Left out: `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// Every writable DC is asked for its own copy, not only the one that answers.
    pub every_dc: bool,
}

/// What the directory holds of farms is compared with what was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct DriftCheckBody {
    /// Only this farm; left out: every deployed farm of the directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "ITFarm1")]
    pub farm: Option<String>,
    /// Left out: `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// Every farm is compared, whether or not anything has changed about it.
    pub full: bool,
}

/// A compromised host is cut off; or, with `kdsRootKey` instead of `host`, every gMSA moves off an
/// exposed KDS root key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct CompromiseBody {
    /// `Host1`, `Host1$`, a DN or a SID.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Host1")]
    pub host: Option<String>,
    /// Cut off from these farms only; left out or empty: from everything that it can read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 1000)]
    pub farms: Vec<String>,
    /// The computer account is not disabled.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub keep_computer_enabled: bool,
    /// Why a domain controller's own account is meant nevertheless.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1024)]
    pub force: Option<String>,
    /// GUID of the exposed KDS root key. Role: admin.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "7dc95c96-fa85-183a-dff5-f70696bf0b11")]
    pub kds_root_key: Option<String>,
    /// With `kdsRootKey`: how long replaced accounts stay disabled before they are deleted, e.g. `7d` or
    /// `12h`. Left out: as the orchestrator is configured (`lifecycle.cool_down`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "7d")]
    pub cool_down: Option<String>,
    /// Left out: `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
}

/// A host leaves the quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct QuarantineReleaseBody {
    /// The host's name, with or without its `$`, DN or SID, as it was when it was quarantined.
    pub host: String,
    /// Why; kept with the workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
}

/// The same, where the path names the host and the query its directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct ReleaseBody {
    /// Why; kept with the workflow. Required here or as `?reason=`.
    #[schema(max_length = 1024)]
    pub reason: Option<String>,
    /// Why it does not wait until tickets from before its removal must be dead (7 days and 10 hours).
    #[schema(max_length = 1024)]
    pub force: Option<String>,
}

/// Can a quarantined host read anything again?
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct QuarantineCheckBody {
    /// Left out: `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
}

/// What becomes of the farms whose password a compromised host may know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RecoveryBody {
    /// By farm: `replace` (a new account now, after a second person's approval) or `wait` (for the roll).
    #[schema(value_type = std::collections::BTreeMap<String, RecoveryChoice>, example = json!({"ITFarm1": "replace"}))]
    pub farms: std::collections::BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RecoveryChoice {
    Replace,
    Wait,
}

/// Which farm is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct InspectBody {
    #[schema(example = "ITFarm1")]
    pub farm: String,
    /// Left out: `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
}
