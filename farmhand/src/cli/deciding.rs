//! The word of a person that a workflow waits for.

use clap::{Args, ValueEnum};
use domain::WorkflowId;
use domain::host::AckOutcome;

#[derive(Debug, Clone, Args)]
pub struct Approve {
    pub id: WorkflowId,
    /// Approve the plan of this hash and no other; without it the plan is shown and asked about
    #[arg(long, value_name = "HASH")]
    pub plan_hash: Option<String>,
    /// Do not ask; approve the plan as it is shown
    #[arg(short, long)]
    pub yes: bool,
    /// Why; kept with the decision
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Follow to the end with live progress; ends with 5 where only a person can go on
    #[arg(long)]
    pub wait: bool,
}

#[derive(Debug, Clone, Args)]
pub struct Reject {
    pub id: WorkflowId,
    /// Why; for who asked and for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Reject only the plan of this hash [default: the one that it waits with]
    #[arg(long, value_name = "HASH")]
    pub plan_hash: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub struct Ack {
    pub id: WorkflowId,
    /// The step by its number as `workflow show` prints it (from 1), or by its name
    pub step: String,
    /// A host, by its sAMAccountName; may be repeated [default: every host that is awaited]
    #[arg(long, value_name = "HOST")]
    pub host: Vec<String>,
    /// What became of it; skipped: not needed on this host (switched off, rebuilt)
    #[arg(long, value_enum)]
    pub outcome: Outcome,
    /// What was seen; kept with the host
    #[arg(long, value_name = "TEXT")]
    pub detail: Option<String>,
    /// Follow to the end with live progress; ends with 5 where only a person can go on
    #[arg(long)]
    pub wait: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Outcome {
    Succeeded,
    Failed,
    Skipped,
}

impl From<Outcome> for AckOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => Self::Succeeded,
            Outcome::Failed => Self::Failed,
            Outcome::Skipped => Self::Skipped,
        }
    }
}
