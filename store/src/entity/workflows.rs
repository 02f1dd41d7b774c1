//! `workflows`: one row owns the truth about a workflow.

use chrono::{DateTime, Utc};
use domain::{
    DirectoryName, FarmName, Lane, Mode, Problem, Wait, WaitReason, Workflow, WorkflowId, WorkflowKind,
    WorkflowState,
};
use sea_orm::entity::prelude::*;

use super::{Cell, clean, to_json};
use crate::{Control, NewWorkflow, StoreError};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "workflows")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub kind: String,
    pub directory: String,
    /// Lower case: names are compared without regard to case.
    pub directory_key: String,
    pub farm: Option<String>,
    pub farm_key: Option<String>,
    pub hosts: String,
    pub lane: String,
    pub mode: String,
    pub state: String,
    pub requested_by: String,
    pub reason: Option<String>,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub waiting_for: Option<String>,
    pub due_at: Option<DateTime<Utc>>,
    pub waiting_detail: Option<String>,
    pub plan: Option<String>,
    /// JSON list; `None` until the first commit.
    pub step_names: Option<String>,
    pub error: Option<String>,
    pub result: Option<String>,
    pub input: String,
    pub traceparent: Option<String>,
    pub revision: i64,
    pub fencing_token: i64,
    pub lease_owner: Option<String>,
    pub lease_until: Option<DateTime<Utc>>,
    pub pinned_dc: Option<String>,
    pub unwinding: Option<String>,
    pub control: Option<String>,
    pub control_by: Option<String>,
    /// When the last event about it was written, and how many since it was last queued.
    pub emitted_at: DateTime<Utc>,
    pub emissions: i32,
    pub parent: Option<Uuid>,
    pub preempted_by: Option<Uuid>,
    /// A containment had stopped it: whoever claims it next reads and plans anew. Beside `control`,
    /// so that what a person asks for meanwhile does not take its place.
    pub replan: bool,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a workflow that has just been asked for.
    pub fn queued(new: &NewWorkflow) -> Result<Self, StoreError> {
        Ok(Self {
            id: new.id.0,
            kind: new.kind.to_string(),
            directory: new.directory.to_string(),
            directory_key: new.directory.key(),
            farm: new.farm.as_ref().map(FarmName::to_string),
            farm_key: new.farm.as_ref().map(FarmName::key),
            hosts: to_json(&new.hosts)?,
            lane: new.lane.to_string(),
            mode: new.mode.to_string(),
            state: WorkflowState::Queued.to_string(),
            requested_by: clean(&new.requested_by),
            reason: new.reason.as_deref().map(clean),
            created_at: new.now,
            started_at: None,
            finished_at: None,
            waiting_for: None,
            due_at: None,
            waiting_detail: None,
            plan: None,
            step_names: None,
            error: None,
            result: None,
            input: to_json(&new.input)?,
            traceparent: new.traceparent.as_deref().map(clean),
            revision: 1,
            fencing_token: 0,
            lease_owner: None,
            lease_until: None,
            pinned_dc: None,
            unwinding: None,
            control: None,
            control_by: None,
            emitted_at: new.now,
            emissions: 1,
            parent: new.parent.map(|id| id.0),
            preempted_by: None,
            replan: false,
        })
    }

    pub fn id(&self) -> WorkflowId {
        WorkflowId(self.id)
    }

    pub fn state(&self) -> Result<WorkflowState, StoreError> {
        self.cell("state").parse(&self.state)
    }

    pub fn lane(&self) -> Result<Lane, StoreError> {
        self.cell("lane").parse(&self.lane)
    }

    pub fn kind(&self) -> Result<WorkflowKind, StoreError> {
        WorkflowKind::parse(&self.kind).map_err(|_| self.cell("kind").inconsistent())
    }

    pub fn control(&self) -> Result<Option<Control>, StoreError> {
        control(&self.id, self.control.as_deref())
    }

    pub fn unwinding(&self) -> Result<Option<Problem>, StoreError> {
        self.cell("unwinding").optional_json(self.unwinding.as_deref())
    }

    pub fn input(&self) -> Result<serde_json::Value, StoreError> {
        self.cell("input").json(&self.input)
    }

    /// `None` before the first commit.
    pub fn step_names(&self) -> Result<Option<Vec<String>>, StoreError> {
        self.cell("step_names").optional_json(self.step_names.as_deref())
    }

    /// Whether it works only while it holds its farm's lock. Never changes in a workflow's life.
    pub fn needs_lock(&self) -> bool {
        self.farm_key.is_some() && self.lane == Lane::Lifecycle.as_str() && self.mode == Mode::Apply.as_str()
    }

    pub fn waits_for(&self, reason: WaitReason) -> bool {
        self.waiting_for.as_deref() == Some(reason.as_str())
    }

    fn cell(&self, column: &'static str) -> Cell<'_> {
        Cell { table: "workflows", column, row: &self.id }
    }

    fn waiting(&self) -> Result<Option<Wait>, StoreError> {
        let Some(reason) = &self.waiting_for else { return Ok(None) };
        Ok(Some(Wait {
            reason: self.cell("waiting_for").parse(reason)?,
            until: self.due_at,
            detail: self.waiting_detail.clone().unwrap_or_default(),
        }))
    }
}

/// Reads the column `control` of a workflow.
pub fn control(id: &Uuid, text: Option<&str>) -> Result<Option<Control>, StoreError> {
    match text {
        None => Ok(None),
        Some("pause") => Ok(Some(Control::Pause)),
        Some("cancel") => Ok(Some(Control::Cancel)),
        Some("preempt") => Ok(Some(Control::Preempt)),
        Some(_) => Err(Cell { table: "workflows", column: "control", row: id }.inconsistent()),
    }
}

/// Without its steps, which are rows of another table.
impl TryFrom<&Model> for Workflow {
    type Error = StoreError;
    fn try_from(row: &Model) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id(),
            kind: row.kind()?,
            directory: row.cell("directory").parse::<DirectoryName>(&row.directory)?,
            farm: row.farm.as_deref().map(|name| row.cell("farm").parse(name)).transpose()?,
            hosts: row.cell("hosts").json(&row.hosts)?,
            lane: row.lane()?,
            mode: row.cell("mode").parse(&row.mode)?,
            state: row.state()?,
            parent: row.parent.map(WorkflowId),
            preempted_by: row.preempted_by.map(WorkflowId),
            requested_by: row.requested_by.clone(),
            reason: row.reason.clone(),
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            waiting: row.waiting()?,
            plan: row.cell("plan").optional_json(row.plan.as_deref())?,
            steps: Vec::new(),
            error: row.cell("error").optional_json(row.error.as_deref())?,
            result: row.cell("result").optional_json(row.result.as_deref())?,
        })
    }
}
