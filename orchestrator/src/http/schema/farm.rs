//! Farms and their manifests.

use chrono::{DateTime, Utc};
use utoipa::ToSchema;

/// What a person asks for; unknown keys are refused.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct FarmManifest {
    #[schema(example = "farmhand/v1")]
    api_version: String,
    #[schema(example = "Farm")]
    kind: String,
    metadata: Metadata,
    spec: FarmManifestSpec,
}

#[derive(ToSchema)]
pub(crate) struct Metadata {
    #[schema(example = "ITFarm1")]
    name: String,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct FarmManifestSpec {
    #[schema(default = "default")]
    directory: Option<String>,
    #[schema(required = false)]
    account: AccountManifest,
    #[schema(required = false)]
    membership: MembershipManifest,
    /// `Host1`, `Host1$`, a DN or a SID.
    #[schema(required = false)]
    hosts: Vec<String>,
    host_actions: Option<HostActionsManifest>,
    rotation: Option<RotationManifest>,
    drift: Option<DriftManifest>,
}

/// What becomes of drift.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct DriftManifest {
    #[schema(required = false)]
    on_drift: OnDrift,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum OnDrift {
    /// It is told. The default.
    Report,
    /// And a check asks for an update that mends it, which a second person approves.
    Mend,
}

/// How the password's rolling is helped along.
#[derive(ToSchema)]
pub(crate) struct RotationManifest {
    /// A check that finds the password due has a member host fetch it, so that it rolls.
    #[schema(required = false, default = false)]
    nudge: bool,
}

/// How things are done on the farm's hosts.
#[derive(ToSchema)]
pub(crate) struct HostActionsManifest {
    /// none, manual or command. Left out: as the workers are configured.
    adapter: Option<String>,
    /// Windows services that run as the account.
    #[schema(required = false)]
    services: Vec<String>,
    /// Hosts at a time: 1 to 1000.
    wave: Option<u16>,
}

/// Named after the parameters of New-ADServiceAccount.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct AccountManifest {
    /// At most 15 characters, without the `$`. Left out: `metadata.name`.
    sam_account_name: Option<String>,
    /// Required unless `outboundOnly`.
    dns_host_name: Option<String>,
    display_name: Option<String>,
    description: Option<String>,
    /// Left out: the domain's container for managed service accounts.
    container: Option<String>,
    #[schema(required = false)]
    service_principal_names: Vec<String>,
    /// Of RC4, AES128, AES256; or Default alone: the attribute is not set. Left out: AES128 and AES256.
    kerberos_encryption_types: Option<Vec<String>>,
    /// Fixed when the account is made.
    #[schema(minimum = 1, maximum = 365, default = 30)]
    managed_password_interval_in_days: Option<i64>,
    #[schema(required = false)]
    outbound_only: bool,
    /// Left out: an account is made enabled, and one that stands is left as it is.
    #[schema(required = false)]
    enabled: Option<bool>,
    /// wWWHomePage.
    #[schema(required = false)]
    home_page: Option<String>,
    /// RFC 3339; in a manifest also a date alone.
    #[schema(required = false)]
    account_expiration_date: Option<String>,
    #[schema(required = false)]
    account_not_delegated: Option<bool>,
    /// Never together with `trustedToAuthForDelegation`.
    #[schema(required = false)]
    trusted_for_delegation: Option<bool>,
    #[schema(required = false)]
    trusted_to_auth_for_delegation: Option<bool>,
    /// SPNs of the services to which the account may delegate.
    #[schema(required = false)]
    allowed_to_delegate_to: Option<Vec<String>>,
    #[schema(required = false)]
    compound_identity_supported: Option<bool>,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct MembershipManifest {
    #[schema(required = false)]
    mode: MembershipMode,
    /// Required when the mode is `group`.
    group: Option<String>,
    #[schema(default = true)]
    create_group: Option<bool>,
    group_container: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum MembershipMode {
    Group,
    Direct,
}

/// A farm on record.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Farm {
    name: String,
    directory: String,
    state: FarmState,
    spec: FarmSpec,
    /// What the last successful deploy left in the directory.
    recorded: Option<FarmFacts>,
    last_workflow: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum FarmState {
    Requested,
    Deployed,
    Decommissioned,
}

/// The manifest, judged, with its defaults filled in.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct FarmSpec {
    name: String,
    directory: String,
    account: AccountSpec,
    membership: MembershipSpec,
    hosts: Vec<String>,
    /// Left out where nothing is said.
    #[schema(required = false)]
    host_actions: Option<HostActionsManifest>,
    /// Left out where nothing is said.
    #[schema(required = false)]
    rotation: Option<RotationManifest>,
    /// Left out where nothing is said.
    #[schema(required = false)]
    drift: Option<DriftManifest>,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct AccountSpec {
    sam_account_name: String,
    dns_host_name: Option<String>,
    display_name: Option<String>,
    description: Option<String>,
    container: Option<String>,
    service_principal_names: Vec<String>,
    kerberos_encryption_types: Vec<String>,
    managed_password_interval_in_days: u16,
    outbound_only: bool,
    /// Left out: an account is made enabled, and one that stands is left as it is.
    #[schema(required = false)]
    enabled: Option<bool>,
    /// wWWHomePage.
    #[schema(required = false)]
    home_page: Option<String>,
    /// RFC 3339; in a manifest also a date alone.
    #[schema(required = false)]
    account_expiration_date: Option<String>,
    #[schema(required = false)]
    account_not_delegated: Option<bool>,
    /// Never together with `trustedToAuthForDelegation`.
    #[schema(required = false)]
    trusted_for_delegation: Option<bool>,
    #[schema(required = false)]
    trusted_to_auth_for_delegation: Option<bool>,
    /// SPNs of the services to which the account may delegate.
    #[schema(required = false)]
    allowed_to_delegate_to: Option<Vec<String>>,
    #[schema(required = false)]
    compound_identity_supported: Option<bool>,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct MembershipSpec {
    mode: MembershipMode,
    group: Option<String>,
    create_group: bool,
    group_container: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct FarmFacts {
    spec: FarmSpec,
    account_dn: String,
    account_sid: String,
    group_dn: Option<String>,
    group_sid: Option<String>,
    /// A deploy of this farm made the group: a decommission deletes it with the farm.
    group_made: bool,
    /// Others whom the reader list names; their entries stay. Left out when empty.
    #[schema(required = false)]
    foreign_readers: Vec<ForeignReader>,
}

#[derive(ToSchema)]
pub(crate) struct ForeignReader {
    sid: String,
    /// The entry denies instead of allowing.
    denied: bool,
    #[schema(required = false)]
    name: Option<String>,
}

#[derive(ToSchema)]
pub(crate) struct FarmPage {
    items: Vec<Farm>,
    next: Option<String>,
}
