//! Schedules: what is asked for by itself, when, and what becomes of a due time that cannot be
//! kept.
//!
//! * [`timing`]: when it is due, from the schedule alone, never from the run before.
//! * [`round`]: what becomes of the due times that have come, by the policies.
//! * [`manifest`]: a schedule as people write it.

mod cron;
mod manifest;
mod round;
mod timing;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use cron::{CronError, CronExpression};
pub(crate) use manifest::Findings;
pub use manifest::{ScheduleManifest, TargetManifest};
pub use round::{Due, Pause, Round, Standing, Verdict};
pub use timing::Timing;

use crate::workflow::text_enum;
use crate::{DirectoryName, FarmName, ScheduleName, WorkflowKind};

text_enum! {
    /// What becomes of a due time while the last run has not ended.
    Overlap, "overlap policy" {
        /// It is passed over.
        Skip = "skip",
        /// It runs when those before it have ended.
        Queue = "queue",
        /// It runs beside the others.
        Allow = "allow",
    }
}

text_enum! {
    /// What becomes of due times that are late beyond the allowance, since nothing ran here then.
    Misfire, "misfire policy" {
        /// One run stands for all that have come.
        RunOnce = "run-once",
        /// Each is made up for.
        RunAll = "run-all",
        /// They are passed over.
        Skip = "skip",
    }
}

text_enum! {
    /// What became of a due time.
    FireOutcome, "outcome of a due time" {
        /// A workflow was asked for.
        Fired = "fired",
        /// It waits for the end of the runs before it.
        Queued = "queued",
        /// Passed over by policy.
        Skipped = "skipped",
        /// It should have run and did not.
        Missed = "missed",
    }
}

text_enum! {
    /// Why a due time was not fired.
    FireReason, "reason" {
        /// The run before it had not ended.
        Overlap = "overlap",
        /// Too many wait for the end of the runs before them.
        QueueFull = "queue-full",
        Paused = "paused",
        /// Later than the allowance.
        Late = "late",
        /// A later due time had come as well and ran in its place.
        Superseded = "superseded",
        /// What it asks for is not allowed, or not possible, by now.
        Refused = "refused",
        /// The schedule was deleted.
        Deleted = "deleted",
    }
}

text_enum! {
    /// Where a schedule stands.
    ScheduleState, "schedule state" {
        Enabled = "enabled",
        /// Its due times are recorded and passed over.
        Paused = "paused",
        /// There is no due time left.
        Ended = "ended",
    }
}

/// What a schedule's runs are about. Neither: what the kind is about by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub farm: Option<FarmName>,
    /// With a farm the farm's; alone the whole directory.
    pub directory: Option<DirectoryName>,
}

/// A schedule, judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleSpec {
    pub name: ScheduleName,
    pub description: Option<String>,
    /// What is asked for.
    pub kind: WorkflowKind,
    pub target: Target,
    /// What the HTTP request of that kind has as its body.
    pub input: Value,
    /// Each run is a dry run.
    pub plan: bool,
    /// Kept with each workflow.
    pub reason: Option<String>,
    #[serde(flatten)]
    pub timing: Timing,
    pub overlap: Overlap,
    pub misfire: Misfire,
    /// How late a due time may be fired as if it were on time.
    #[serde(with = "duration_text")]
    pub lateness: Duration,
}

/// Durations as people write them: `15m`, `1h 30m`.
pub(crate) mod duration_text {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*duration))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map_err(D::Error::custom)
    }
}
