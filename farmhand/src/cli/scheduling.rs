//! What is asked for by itself, and when work does not begin.

use std::path::PathBuf;

use chrono::{DateTime, FixedOffset};
use clap::{Args, Subcommand};
use domain::schedule::{FireOutcome, Misfire, Overlap, ScheduleState};

use super::Paging;

#[derive(Debug, Subcommand)]
pub enum Schedule {
    /// Lists schedules
    List(ScheduleList),
    /// Shows a schedule with what became of its last due times
    Show { name: String },
    /// Makes a schedule, from a file or from flags
    ///
    /// What it asks for is judged now as if it were asked for now; one that could never work is
    /// refused. See docs/schedules.md.
    Create(ScheduleDefinition),
    /// Changes a schedule: to what a file says, or what is named by flags
    Update(ScheduleDefinition),
    /// Deletes a schedule; what it has asked for goes on
    Delete { name: String },
    /// Passes over due times until the schedule is resumed
    Pause(SchedulePause),
    /// Ends a pause; due times of the pause are not made up for
    Resume { name: String },
    /// Shows the due times to come, e.g. around the next change of the clocks
    Preview(SchedulePreview),
    /// Shows what became of each due time, the latest first
    Fires(ScheduleFires),
}

#[derive(Debug, Clone, Args)]
pub struct ScheduleList {
    /// Only in this state: enabled, paused or ended
    #[arg(long)]
    pub state: Option<ScheduleState>,
    #[command(flatten)]
    pub paging: Paging,
}

#[derive(Debug, Clone, Default, Args)]
pub struct ScheduleDefinition {
    /// The schedule's name [default: the file's]
    #[arg(required_unless_present = "file")]
    pub name: Option<String>,
    /// Definition in YAML or JSON; `-` reads standard input
    #[arg(short, long, value_name = "FILE", conflicts_with_all = DEFINING)]
    pub file: Option<PathBuf>,
    /// What is asked for, e.g. drift-check
    #[arg(long)]
    pub kind: Option<String>,
    /// About this farm
    #[arg(long)]
    pub farm: Option<String>,
    /// The farm's directory; without a farm: about the whole directory
    #[arg(long, value_name = "NAME")]
    pub directory: Option<String>,
    /// What the HTTP request of this kind has as its body, e.g. '{"hosts": ["Host1"]}'
    #[arg(long, value_name = "JSON")]
    pub input: Option<String>,
    /// `minute hour day month weekday` as in a crontab, or @hourly, @daily, @weekly, @monthly, @yearly
    #[arg(long)]
    pub cron: Option<String>,
    /// IANA time zone, e.g. Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<String>,
    /// Not due before this time, e.g. 2026-12-01T00:00:00+01:00
    #[arg(long, value_name = "TIME")]
    pub start: Option<String>,
    /// Not due at this time or later
    #[arg(long, value_name = "TIME")]
    pub end: Option<String>,
    /// Fire each due time up to this much later, e.g. 10m
    #[arg(long, value_name = "DURATION")]
    pub jitter: Option<String>,
    /// While the last run has not ended: skip, queue or allow [default: skip; with --misfire run-all queue]
    #[arg(long)]
    pub overlap: Option<Overlap>,
    /// For due times later than --lateness: run-once, run-all or skip [default: run-once]
    #[arg(long)]
    pub misfire: Option<Misfire>,
    /// How late a due time may be fired as if it were on time [default: 5m]
    #[arg(long, value_name = "DURATION")]
    pub lateness: Option<String>,
    /// For people
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// Why; kept with each workflow
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Each run is a dry run
    #[arg(long)]
    pub plan: bool,
}

const DEFINING: [&str; 15] = [
    "kind",
    "farm",
    "directory",
    "input",
    "cron",
    "timezone",
    "start",
    "end",
    "jitter",
    "overlap",
    "misfire",
    "lateness",
    "description",
    "reason",
    "plan",
];

#[derive(Debug, Clone, Args)]
pub struct SchedulePause {
    pub name: String,
    /// Why; shown beside the schedule and with each due time that is passed over
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub struct SchedulePreview {
    /// A schedule on record
    #[arg(required_unless_present = "cron", conflicts_with = "cron")]
    pub name: Option<String>,
    /// An expression that is yet to be used; asks no server
    #[arg(long)]
    pub cron: Option<String>,
    /// The time zone of --cron [default: UTC]
    #[arg(long, value_name = "ZONE", requires = "cron")]
    pub timezone: Option<String>,
    /// How many: 1 to 200
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub count: u16,
    /// Due times after this moment [default: now]
    #[arg(long, value_name = "TIME")]
    pub from: Option<DateTime<FixedOffset>>,
    /// With the next change of the zone's clocks in their middle
    #[arg(long)]
    pub around_change: bool,
}

#[derive(Debug, Clone, Args)]
pub struct ScheduleFires {
    pub name: String,
    /// Only with this outcome: fired, queued, skipped or missed
    #[arg(long)]
    pub outcome: Option<FireOutcome>,
    #[command(flatten)]
    pub paging: Paging,
}

#[derive(Debug, Subcommand)]
pub enum Calendar {
    /// Lists calendars
    List,
    /// Makes a calendar from a file: a freeze, or maintenance windows
    ///
    /// From now on what it covers (decommission, replace and remove-host unless it says otherwise)
    /// waits before it writes anything. Containment is never held back. See docs/schedules.md.
    Create {
        /// Definition in YAML or JSON; `-` reads standard input
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Deletes a calendar; what waits for it is judged again
    Delete { name: String },
}
