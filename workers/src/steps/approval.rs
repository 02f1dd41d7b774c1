//! `approval`: a second person approves what the steps after it would do.
//!
//! A marker: the engine does the work (`engine/approve.rs`), since only it can rehearse the steps
//! that follow.

use async_trait::async_trait;
use domain::request::UpdateRequest;
use serde_json::Value;

use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "approval";

#[derive(Debug)]
pub struct Approval;

/// The same where the decision itself is a second person's, also when no write follows from it.
#[derive(Debug)]
pub struct ApprovalOfAnything;

#[async_trait]
impl Step for Approval {
    type Observed = ();

    fn name(&self) -> &'static str {
        NAME
    }

    fn is_approval(&self, _: &StepContext) -> bool {
        true
    }

    async fn check(&self, _: &StepContext) -> Result<(), StepError> {
        Ok(())
    }

    /// Reached in a dry run only.
    fn plan(&self, _: &StepContext, (): &()) -> Result<StepPlan, StepError> {
        Ok(StepPlan::skip("what follows would wait for a second person's approval"))
    }

    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: Value::Null, detail: plan.detail.clone() })
    }
}

/// Only of an update that nobody asked for but a check that found drift.
#[derive(Debug)]
pub struct ApprovalOfMending;

#[async_trait]
impl Step for ApprovalOfMending {
    type Observed = ();

    fn name(&self) -> &'static str {
        NAME
    }

    fn is_approval(&self, cx: &StepContext) -> bool {
        mends(cx)
    }

    async fn check(&self, _: &StepContext) -> Result<(), StepError> {
        Ok(())
    }

    fn plan(&self, cx: &StepContext, (): &()) -> Result<StepPlan, StepError> {
        match mends(cx) {
            true => Approval.plan(cx, &()),
            false => Ok(StepPlan::skip("a person asked for the update")),
        }
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Step::verify(&Approval, cx, plan).await
    }
}

/// An input that cannot be read fails the steps that follow, before any of them writes.
fn mends(cx: &StepContext) -> bool {
    cx.input::<UpdateRequest>().is_ok_and(|request| request.approval)
}

#[async_trait]
impl Step for ApprovalOfAnything {
    type Observed = ();

    fn name(&self) -> &'static str {
        NAME
    }

    fn is_approval(&self, _: &StepContext) -> bool {
        true
    }

    fn approves_anything(&self) -> bool {
        true
    }

    async fn check(&self, cx: &StepContext) -> Result<(), StepError> {
        Approval.check(cx).await
    }

    fn plan(&self, cx: &StepContext, observed: &()) -> Result<StepPlan, StepError> {
        Approval.plan(cx, observed)
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Step::verify(&Approval, cx, plan).await
    }
}
