//! Schedules and calendars.

use chrono::{DateTime, Utc};
use serde_json::Value;
use utoipa::ToSchema;

use super::Role;

/// A schedule as people write it; unknown keys are refused.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ScheduleManifest {
    #[schema(example = "nightly", max_length = 64)]
    name: String,
    description: Option<String>,
    /// What is asked for: any kind of request.
    #[schema(example = "inspect")]
    kind: String,
    #[schema(required = false)]
    target: ScheduleTarget,
    /// What the HTTP request of this kind has as its body.
    #[schema(required = false, value_type = Object)]
    input: Option<Value>,
    /// Each run is a dry run.
    #[schema(required = false)]
    plan: bool,
    /// Kept with each workflow; left out: the schedule's name and the due time.
    reason: Option<String>,
    /// Five fields as in a crontab, six with seconds before them, seven with years behind; or
    /// `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
    #[schema(example = "30 2 * * MON-FRI")]
    cron: String,
    /// Of the IANA database.
    #[schema(default = "UTC", example = "Europe/Berlin")]
    timezone: Option<String>,
    /// Not due before (RFC 3339).
    start: Option<String>,
    /// Not due at this time or later (RFC 3339).
    end: Option<String>,
    /// Each due time is fired up to this much later, by an amount that is always the same for it;
    /// at most 24h.
    #[schema(default = "0s", example = "10m")]
    jitter: Option<String>,
    /// skip, queue or allow: what becomes of a due time while the last run has not ended. Left out:
    /// skip; with `misfire: run-all` queue.
    overlap: Option<String>,
    /// run-once, run-all or skip: what becomes of due times that are later than `lateness`.
    #[schema(default = "run-once")]
    misfire: Option<String>,
    /// How late a due time may be fired as if it were on time; at most 7 days.
    #[schema(default = "5m")]
    lateness: Option<String>,
}

/// With a farm: that farm. With a directory alone: the whole directory.
#[derive(ToSchema)]
pub(crate) struct ScheduleTarget {
    farm: Option<String>,
    directory: Option<String>,
}

/// A schedule on record.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Schedule {
    /// UUIDv7.
    id: String,
    name: String,
    description: Option<String>,
    kind: String,
    target: ScheduleTarget,
    #[schema(value_type = Object)]
    input: Value,
    plan: bool,
    reason: Option<String>,
    cron: String,
    timezone: String,
    #[schema(required = false)]
    start: Option<DateTime<Utc>>,
    #[schema(required = false)]
    end: Option<DateTime<Utc>>,
    jitter: String,
    overlap: Overlap,
    misfire: Misfire,
    lateness: String,
    state: ScheduleState,
    /// `null` once it has ended, and only then.
    next_due: Option<DateTime<Utc>>,
    /// The same with its jitter.
    fire_at: Option<DateTime<Utc>>,
    ended_because: Option<String>,
    last_due: Option<DateTime<Utc>>,
    last_workflow: Option<String>,
    /// Due times that wait for the end of the runs before them.
    queued: u64,
    paused: Option<SchedulePaused>,
    /// Who defined it as it is; its runs may do what this principal may.
    owner: String,
    owner_roles: Vec<Role>,
    created_by: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(ToSchema)]
pub(crate) struct SchedulePaused {
    at: DateTime<Utc>,
    by: String,
    reason: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum ScheduleState {
    Enabled,
    Paused,
    Ended,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum Overlap {
    Skip,
    Queue,
    Allow,
}

#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
pub(crate) enum Misfire {
    RunOnce,
    RunAll,
    Skip,
}

#[derive(ToSchema)]
pub(crate) struct SchedulePage {
    items: Vec<Schedule>,
    next: Option<String>,
}

/// What became of a due time.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Fire {
    due: DateTime<Utc>,
    outcome: FireOutcome,
    /// overlap, queue-full, paused, late, superseded, refused or deleted
    reason: Option<String>,
    detail: Option<String>,
    workflow: Option<String>,
    recorded_at: DateTime<Utc>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum FireOutcome {
    Fired,
    Queued,
    Skipped,
    Missed,
}

#[derive(ToSchema)]
pub(crate) struct FirePage {
    items: Vec<Fire>,
    next: Option<String>,
}

#[derive(ToSchema)]
pub(crate) struct PreviewPage {
    items: Vec<crate::http::schedules::Preview>,
    next: Option<String>,
}

/// A calendar as people write it; unknown keys are refused.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct CalendarManifest {
    #[schema(example = "year-end", max_length = 64)]
    name: String,
    /// freeze: held back within the periods. window: held back outside of them.
    #[schema(example = "freeze")]
    effect: String,
    /// Left out: decommission, replace and remove-host.
    kinds: Option<Vec<String>>,
    /// Left out: every directory.
    directory: Option<String>,
    /// Left out: every farm.
    farm: Option<String>,
    #[schema(default = "UTC")]
    timezone: Option<String>,
    #[schema(min_items = 1, max_items = 100)]
    periods: Vec<CalendarPeriod>,
    reason: Option<String>,
}

/// `from` and `until` (RFC 3339), or `cron` and `duration` (at most 31 days).
#[derive(ToSchema)]
pub(crate) struct CalendarPeriod {
    from: Option<String>,
    until: Option<String>,
    #[schema(example = "0 22 * * SAT")]
    cron: Option<String>,
    #[schema(example = "4h")]
    duration: Option<String>,
}

/// A calendar on record.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Calendar {
    name: String,
    effect: CalendarEffect,
    kinds: Vec<String>,
    directory: Option<String>,
    farm: Option<String>,
    timezone: String,
    periods: Vec<CalendarPeriod>,
    reason: Option<String>,
    created_by: String,
    created_at: DateTime<Utc>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum CalendarEffect {
    Freeze,
    Window,
}

#[derive(ToSchema)]
pub(crate) struct CalendarPage {
    items: Vec<Calendar>,
    next: Option<String>,
}
