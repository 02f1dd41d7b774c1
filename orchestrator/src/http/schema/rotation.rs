//! The rotation board.

use chrono::{DateTime, Utc};
use utoipa::ToSchema;

/// How the password of a gMSA stands, as the last check found it.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct RotationEntry {
    directory: String,
    /// sAMAccountName, with its `$`.
    #[schema(example = "ITFarm1$")]
    account: String,
    sid: String,
    dn: String,
    /// The farm on record whose account it is.
    farm: Option<String>,
    verdict: RotationVerdict,
    /// What the verdict rests on, in one line.
    why: String,
    key_id: Option<KeyId>,
    interval_days: Option<i64>,
    /// After how many hours the password rolls in truth.
    rollover_hours: Option<u32>,
    /// What the password's life is counted from.
    slot_start: Option<DateTime<Utc>>,
    /// From then on the first authorised read makes a DC roll it.
    next_due: Option<DateTime<Utc>>,
    /// pwdLastSet; decides nothing.
    password_set: Option<DateTime<Utc>>,
    enabled: bool,
    /// The first 20 entries of the reader list, in its order.
    readers: Vec<RotationReader>,
    reader_count: u32,
    findings: Vec<RotationFinding>,
    /// What each DC that was asked shows.
    copies: Vec<RotationCopy>,
    checked_at: DateTime<Utc>,
    /// Since when verdict and key are as they are.
    changed_at: DateTime<Utc>,
    /// A check of the whole directory did not find it any more.
    gone_at: Option<DateTime<Utc>>,
}

#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
pub(crate) enum RotationVerdict {
    Current,
    Rolling,
    Due,
    Idle,
    Never,
    Overdue,
    CannotTell,
}

#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
pub(crate) enum FindingCode {
    NoReaderDescriptor,
    ReaderDescriptorBroken,
    NobodyMayRead,
    BroadReader,
    OrphanReader,
    DistributionGroupReader,
    HostCannotRead,
    HostNotFound,
    ReaderNotOnRecord,
    Rc4Allowed,
    DesAllowed,
    EncryptionUnset,
    IntervalOverPolicy,
    IntervalInvalid,
    DisabledYetReadable,
    OldRootKey,
    RootKeyMissing,
    NoUsableRootKey,
    KeyIdAhead,
    DcClocksApart,
    DcsDisagree,
    DcSilent,
}

/// Names a key of the key distribution service.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct KeyId {
    l0: u32,
    l1: u32,
    l2: u32,
    /// GUID of the KDS root key.
    root_key: String,
}

#[derive(ToSchema)]
pub(crate) struct RotationReader {
    sid: String,
    /// `null`: not found in this domain.
    name: Option<String>,
    /// The entry denies instead of allowing. Left out when false.
    #[schema(required = false)]
    denied: bool,
}

#[derive(ToSchema)]
pub(crate) struct RotationFinding {
    code: FindingCode,
    text: String,
    /// The first 20 hosts, readers or DCs that it is about.
    #[schema(required = false)]
    subjects: Vec<String>,
    /// When it bites, where that is known.
    #[schema(required = false)]
    at: Option<DateTime<Utc>>,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct RotationCopy {
    dc: String,
    key_id: Option<KeyId>,
}

#[derive(ToSchema)]
pub(crate) struct RotationPage {
    items: Vec<RotationEntry>,
    next: Option<String>,
}

/// One account with its changes, newest first.
#[derive(ToSchema)]
pub(crate) struct RotationDetail {
    entry: RotationEntry,
    history: Vec<RotationChange>,
}

/// A moment at which verdict or key had changed.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct RotationChange {
    at: DateTime<Utc>,
    verdict: RotationVerdict,
    why: String,
    key_id: Option<KeyId>,
    /// The account was gone. Left out when false.
    #[schema(required = false)]
    gone: bool,
    /// The check that saw it.
    workflow: String,
}
