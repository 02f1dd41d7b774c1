//! `rule_firings`: what became of each event that a rule was for. Its key makes a second firing
//! impossible, however often the event comes.

use chrono::{DateTime, Utc};
use domain::WorkflowId;
use sea_orm::entity::prelude::*;

use super::{Cell, clean};
use crate::{Firing, FiringEvent, HeardEvent, PlannedFiring, SettledFiring, StoreError};

/// An id or a source can have 64 KiB; nobody reads more than this.
const MAX_SHOWN: usize = 512;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "rule_firings")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub rule_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub event_key: String,
    pub id: Uuid,
    pub event_id: String,
    pub event_source: String,
    pub event_type: String,
    pub event_subject: Option<String>,
    pub outcome: String,
    pub code: Option<String>,
    pub detail: Option<String>,
    pub dedupe_key: Option<String>,
    pub workflow_id: Option<Uuid>,
    pub owner: String,
    pub recorded_at: DateTime<Utc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What is kept of a text of others.
pub fn shown(text: &str) -> String {
    clean(&text.chars().take(MAX_SHOWN).collect::<String>())
}

impl Model {
    pub fn of(
        event: &HeardEvent,
        firing: &PlannedFiring,
        settled: &SettledFiring,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            rule_id: firing.rule.0,
            event_key: event.key.clone(),
            id: firing.id,
            event_id: shown(&event.id),
            event_source: shown(&event.source),
            event_type: shown(&event.kind),
            event_subject: event.subject.as_deref().map(shown),
            outcome: settled.outcome.to_string(),
            code: settled.code.map(|code| code.to_string()),
            detail: settled.detail.as_deref().map(clean),
            dedupe_key: firing.dedupe.as_ref().map(|(key, _)| clean(key)),
            workflow_id: settled.workflow.map(|id| id.0),
            owner: clean(&firing.owner),
            recorded_at: now,
        }
    }
}

impl TryFrom<Model> for Firing {
    type Error = StoreError;
    fn try_from(row: Model) -> Result<Self, StoreError> {
        let cell = |column| Cell { table: "rule_firings", column, row: &row.id };
        let code = row.code.as_ref().map(|code| serde_json::Value::String(code.clone()));
        let code = code.map(serde_json::from_value).transpose().map_err(|_| cell("code").inconsistent())?;
        Ok(Self {
            id: row.id,
            outcome: cell("outcome").parse(&row.outcome)?,
            code,
            detail: row.detail,
            dedupe_key: row.dedupe_key,
            workflow: row.workflow_id.map(WorkflowId),
            event: FiringEvent {
                id: row.event_id,
                source: row.event_source,
                kind: row.event_type,
                subject: row.event_subject,
            },
            recorded_at: row.recorded_at,
        })
    }
}
