//! A workflow kind as a list of steps.

use std::sync::Arc;

use domain::WorkflowKind;
use serde_json::Value;
use store::FarmRecord;

use crate::step::DynStep;
use crate::{StepContext, StepError};

/// What a workflow leaves behind when all its steps have succeeded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunResult {
    /// The workflow's `result`.
    pub result: Value,
    /// What goes on record about the farm.
    pub farm: Option<FarmRecord>,
}

/// How a workflow that a containment had stopped goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Replan {
    /// Every step that changed nothing is read and planned anew, from the first on.
    #[default]
    FromStart,
    /// Only those behind the last that changed something: the ones before it have read what is no
    /// longer there.
    FromLastChange,
}

/// A workflow kind as a list of steps, carried out in order.
pub struct Runbook {
    pub kind: WorkflowKind,
    /// It works on a farm on record: the record is loaded before the first step.
    pub needs_farm: bool,
    pub steps: Vec<Arc<dyn DynStep>>,
    pub replan: Replan,
    /// From the steps' outputs to the workflow's result; pure.
    pub result: fn(&StepContext) -> Result<RunResult, StepError>,
}
