//! Rules and webhooks.

use chrono::{DateTime, Utc};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Role, SchedulePaused, ScheduleTarget};

/// A rule as people write it; unknown keys are refused.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct RuleManifest {
    #[schema(example = "new-web-host", max_length = 64)]
    name: String,
    description: Option<String>,
    on: RuleTrigger,
    /// An expression over `event` that gives true or false.
    #[schema(example = "event.data.body.name is like('WEB-*')")]
    when: Option<String>,
    #[schema(rename = "do")]
    action: RuleAction,
    dedupe: Option<RuleDedupe>,
    /// Left out: 30 in 1h.
    rate: Option<RuleRate>,
    /// Each run is a dry run.
    #[schema(required = false)]
    dry_run: bool,
}

/// Which events a rule looks at.
#[derive(ToSchema)]
pub(crate) struct RuleTrigger {
    /// CloudEvents types; a `*` at the end stands for any rest.
    #[schema(min_items = 1, max_items = 20, example = json!(["farmhand.event.webhook-received.v1"]))]
    types: Vec<String>,
    /// CloudEvents source; a `*` at the end stands for any rest.
    source: Option<String>,
    /// Users of the broker whose events count. Farmhand's own, with what webhooks received, always do.
    #[schema(required = false, max_items = 20)]
    publishers: Vec<String>,
}

/// What is asked for. Texts in `target`, `input` and `reason` are templates over `event`.
#[derive(ToSchema)]
pub(crate) struct RuleAction {
    /// Any kind of request.
    #[schema(example = "add-host")]
    kind: String,
    #[schema(required = false)]
    target: ScheduleTarget,
    /// What the HTTP request of this kind has as its body.
    #[schema(required = false, value_type = Object, example = json!({"hosts": ["{{ event.data.body.name }}"]}))]
    input: Option<Value>,
    /// Kept with each workflow; left out: the rule's name and the event.
    reason: Option<String>,
}

#[derive(ToSchema)]
pub(crate) struct RuleDedupe {
    /// A template: what is the same.
    #[schema(example = "{{ event.data.body.name }}")]
    key: String,
    /// At most 30 days.
    #[schema(example = "1h")]
    within: String,
}

#[derive(ToSchema)]
pub(crate) struct RuleRate {
    #[schema(minimum = 1, maximum = 10_000)]
    most: u32,
    /// 1s to 7 days.
    #[schema(example = "1h")]
    per: String,
}

/// A rule on record.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Rule {
    /// UUIDv7.
    id: String,
    name: String,
    description: Option<String>,
    on: RuleTrigger,
    when: Option<String>,
    #[schema(rename = "do")]
    action: RuleAction,
    dedupe: Option<RuleDedupe>,
    rate: RuleRate,
    dry_run: bool,
    state: RuleState,
    paused: Option<SchedulePaused>,
    /// When it last asked for something, and for what.
    last_fired_at: Option<DateTime<Utc>>,
    last_workflow: Option<String>,
    /// Who defined it as it is; its runs may do what this principal may.
    owner: String,
    owner_roles: Vec<Role>,
    created_by: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum RuleState {
    Enabled,
    Paused,
}

#[derive(ToSchema)]
pub(crate) struct RulePage {
    items: Vec<Rule>,
    next: Option<String>,
}

/// What became of an event that a rule was for.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Firing {
    id: String,
    outcome: FiringOutcome,
    /// Where it was refused: the error's code.
    code: Option<String>,
    detail: Option<String>,
    dedupe_key: Option<String>,
    workflow: Option<String>,
    event: FiringEvent,
    recorded_at: DateTime<Utc>,
}

#[derive(ToSchema)]
pub(crate) struct FiringEvent {
    id: String,
    source: String,
    r#type: String,
    subject: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
pub(crate) enum FiringOutcome {
    Fired,
    DryRun,
    Deduplicated,
    RateLimited,
    Refused,
    Failed,
}

#[derive(ToSchema)]
pub(crate) struct FiringPage {
    items: Vec<Firing>,
    next: Option<String>,
}

/// A webhook as people write it; unknown keys are refused.
#[derive(ToSchema)]
pub(crate) struct WebhookManifest {
    #[schema(example = "siem", max_length = 64)]
    name: String,
    description: Option<String>,
    /// in: another system calls us; out: we call another system.
    direction: WebhookDirection,
    /// in: bearer, hmac or github.
    #[schema(default = "hmac")]
    auth: Option<String>,
    /// out: https; http only to this machine itself, unless configured.
    #[schema(example = "https://siem.contoso.com/farmhand")]
    url: Option<String>,
    /// out: CloudEvents types; a `*` at the end stands for any rest.
    #[schema(required = false, max_items = 20, example = json!(["farmhand.event.*"]))]
    events: Vec<String>,
    /// 20 to 256 visible ASCII characters; left out, one is made.
    secret: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum WebhookDirection {
    In,
    Out,
}

/// A webhook on record, without its secret.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Webhook {
    /// UUIDv7.
    id: String,
    name: String,
    description: Option<String>,
    direction: WebhookDirection,
    /// in: bearer, hmac or github.
    #[schema(required = false)]
    auth: Option<String>,
    #[schema(required = false)]
    url: Option<String>,
    #[schema(required = false)]
    events: Option<Vec<String>>,
    state: RuleState,
    paused: Option<SchedulePaused>,
    created_by: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// A webhook with its secret, which is shown only now.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct CreatedWebhook {
    id: String,
    name: String,
    description: Option<String>,
    direction: WebhookDirection,
    #[schema(required = false)]
    auth: Option<String>,
    #[schema(required = false)]
    url: Option<String>,
    #[schema(required = false)]
    events: Option<Vec<String>>,
    state: RuleState,
    paused: Option<SchedulePaused>,
    created_by: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    #[schema(example = "fhwh_...")]
    secret: String,
}

#[derive(ToSchema)]
pub(crate) struct WebhookPage {
    items: Vec<Webhook>,
    next: Option<String>,
}

/// What was sent to a webhook.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Delivery {
    /// In `X-Farmhand-Delivery`.
    id: String,
    state: DeliveryState,
    event: FiringEvent,
    attempts: Vec<DeliveryAttempt>,
    next_attempt: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

#[derive(ToSchema)]
pub(crate) struct DeliveryAttempt {
    at: DateTime<Utc>,
    /// What the receiver answered.
    #[schema(required = false)]
    status: Option<u16>,
    /// Why there is no answer: timeout, connect, tls, connection lost or url.
    #[schema(required = false)]
    error: Option<String>,
    millis: u64,
}

#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
pub(crate) enum DeliveryState {
    Pending,
    Delivered,
    GivenUp,
}

#[derive(ToSchema)]
pub(crate) struct DeliveryPage {
    items: Vec<Delivery>,
    next: Option<String>,
}
