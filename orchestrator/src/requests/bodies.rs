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
