//! How farms stand to what was asked for.

use chrono::{DateTime, Utc};
use utoipa::ToSchema;

/// A farm, as the last check found it.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct DriftEntry {
    directory: String,
    #[schema(example = "ITFarm1")]
    farm: String,
    state: DriftState,
    /// Why nothing can be told, or why it is not mended.
    why: Option<String>,
    /// The first 200.
    items: Vec<DriftItem>,
    item_count: u32,
    /// dNSHostName of the DC that was read.
    domain_controller: String,
    /// When it was last known to be so.
    checked_at: DateTime<Utc>,
    /// When the directory was last read for it; since then nothing that it rests on has changed.
    compared_at: DateTime<Utc>,
    /// Since when the items are as they are.
    changed_at: DateTime<Utc>,
    /// The last update that was asked for to mend it.
    mended_by: Option<String>,
}

/// One thing that is not as it was asked for, or not as it is on record.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct DriftItem {
    kind: DriftKind,
    /// The account, the group, a host, a reader.
    subject: String,
    /// LDAP attribute; of an object that is gone, `objectSid`.
    attribute: String,
    /// What the manifest that was asked for last says; `null`: nothing, or not to be there.
    asked: Option<String>,
    /// What is on record as achieved.
    recorded: Option<String>,
    /// What the directory shows.
    found: Option<String>,
    /// An `update` puts it right.
    mendable: bool,
    /// As long as it stands, an `update` of the farm is refused. Left out when false.
    #[schema(required = false)]
    blocks_update: bool,
    /// What to do about it.
    hint: String,
}

#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
pub(crate) enum DriftState {
    InLine,
    Drifted,
    Mending,
    CannotTell,
}

#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
pub(crate) enum DriftKind {
    Changed,
    Missing,
    Extra,
    Orphan,
    Denied,
    CannotRead,
    Gone,
    Replaced,
    Moved,
    NotAchieved,
    NotRecorded,
}

#[derive(ToSchema)]
pub(crate) struct DriftPage {
    items: Vec<DriftEntry>,
    next: Option<String>,
}
