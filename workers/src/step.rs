//! A step is an *ensure*: `check` reads, `plan` compares, `apply` writes, `verify` reads back.
//!
//! The engine calls, in this order:
//!
//! 1. `check`: reads the directory. No write, ever.
//! 2. `plan`: pure; from what is wanted and what was read to the changes that are missing. A
//!    repeated step finds nothing to do. A dry run ends here.
//! 3. persists the plan as the step's *intent* (only if it has changes).
//! 4. applies: carries the changes out one by one on the pinned DC ([`execute::carry_out`]). A
//!    step has no say in this, so every write of Farmhand compares before it writes and knows
//!    what to do when no answer comes.
//! 5. `verify`: reads back and returns the output that later steps use.
//!
//! `undo` is computed from the persisted writes of this very workflow; the default takes each
//! back in reverse order, comparing before it writes.

use async_trait::async_trait;
use domain::{Change, HostWork, Problem, Write};
use serde_json::Value;

use crate::engine::execute;
use crate::{StepContext, StepError};

/// What a step would do.
#[derive(Debug, Clone, PartialEq)]
pub struct StepPlan {
    /// In the order in which they are sent. Empty: all is as wanted.
    pub changes: Vec<Change>,
    /// What is to be done on hosts, after the changes are in the directory.
    pub host_actions: Vec<HostWork>,
    /// One line for people: what was found and what is to be done.
    pub detail: String,
    /// What the output is expected to be; later steps of a dry run work from it.
    pub expected: Value,
    /// The step does not apply to this request (its state becomes `skipped`).
    pub skipped: bool,
    /// Each change stands for itself: one that a DC refuses, or a DC that is away, stops none of the
    /// others, and `verify` judges what is left by [`StepContext::refused`] and by what it reads.
    pub independent: bool,
}

/// A change of an independent plan that was not made.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    pub change: Change,
    pub problem: Problem,
    /// It may be taken another time.
    pub passing: bool,
}

impl StepPlan {
    pub fn new(changes: Vec<Change>, detail: impl Into<String>, expected: Value) -> Self {
        let (host_actions, detail) = (Vec::new(), detail.into());
        Self { changes, host_actions, detail, expected, skipped: false, independent: false }
    }

    /// The same, each change for itself.
    #[must_use]
    pub fn independent(self) -> Self {
        Self { independent: true, ..self }
    }

    /// Work on hosts.
    pub fn on_hosts(host_actions: Vec<HostWork>, detail: impl Into<String>, expected: Value) -> Self {
        Self { host_actions, ..Self::new(Vec::new(), detail, expected) }
    }

    /// Nothing to do: the directory is as wanted.
    pub fn nothing(detail: impl Into<String>, expected: Value) -> Self {
        Self::new(Vec::new(), detail, expected)
    }

    pub fn skip(detail: impl Into<String>) -> Self {
        Self { skipped: true, ..Self::new(Vec::new(), detail, Value::Null) }
    }
}

/// What reading back showed.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    pub output: Value,
    /// One line for people: what is so now.
    pub detail: String,
}

impl Refused {
    /// Each of `changes` for the same reason.
    pub(crate) fn all(changes: &[&Change], error: &StepError) -> Vec<Self> {
        let passing = matches!(error, StepError::Retry { .. } | StepError::ReadAgain(_));
        let refused =
            |change: &&Change| Self { change: (*change).clone(), problem: error.problem().clone(), passing };
        changes.iter().map(refused).collect()
    }
}

/// One step of a runbook.
#[async_trait]
pub trait Step: Send + Sync + 'static {
    type Observed: Send + Sync;

    /// Stable, kebab-case; outputs are stored under it.
    fn name(&self) -> &'static str;

    /// The engine rehearses the steps that follow and waits for approval of their plan.
    fn is_approval(&self, _cx: &StepContext) -> bool {
        false
    }

    /// Of an approval: it is asked for even where nothing would be written after it.
    fn approves_anything(&self) -> bool {
        false
    }

    /// What it wrote stays, whatever becomes of the workflow: a failure or a cancellation takes
    /// nothing back. All steps of a runbook, or none.
    fn is_kept(&self) -> bool {
        false
    }

    async fn check(&self, cx: &StepContext) -> Result<Self::Observed, StepError>;

    fn plan(&self, cx: &StepContext, observed: &Self::Observed) -> Result<StepPlan, StepError>;

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError>;

    async fn undo(&self, cx: &StepContext, writes: &[Write]) -> Result<(), StepError> {
        execute::take_back(cx, writes).await
    }
}

/// A step of any type, as a runbook holds it.
#[async_trait]
pub trait DynStep: Send + Sync + 'static {
    fn name(&self) -> &'static str;
    fn is_approval(&self, cx: &StepContext) -> bool;
    fn approves_anything(&self) -> bool;
    fn is_kept(&self) -> bool;
    /// `check`, then `plan`.
    async fn assess(&self, cx: &StepContext) -> Result<StepPlan, StepError>;
    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError>;
    async fn undo(&self, cx: &StepContext, writes: &[Write]) -> Result<(), StepError>;
}

#[async_trait]
impl<S: Step> DynStep for S {
    fn name(&self) -> &'static str {
        Step::name(self)
    }

    fn is_approval(&self, cx: &StepContext) -> bool {
        Step::is_approval(self, cx)
    }

    fn approves_anything(&self) -> bool {
        Step::approves_anything(self)
    }

    fn is_kept(&self) -> bool {
        Step::is_kept(self)
    }

    async fn assess(&self, cx: &StepContext) -> Result<StepPlan, StepError> {
        let observed = self.check(cx).await?;
        self.plan(cx, &observed)
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Step::verify(self, cx, plan).await
    }

    async fn undo(&self, cx: &StepContext, writes: &[Write]) -> Result<(), StepError> {
        Step::undo(self, cx, writes).await
    }
}
