//! `drift`: how each farm stood when it was last compared.

use chrono::{DateTime, Utc};
use domain::drift::{DriftEntry, DriftState};
use domain::{DriftItem, WorkflowId};
use sea_orm::entity::prelude::*;

use super::{Cell, clean, to_json};
use crate::{Compared, DriftBatch, DriftRow, Mend, Newest, StoreError};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "drift")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub directory_key: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub farm_key: String,
    pub directory: String,
    pub farm: String,
    pub state: String,
    pub why: Option<String>,
    pub items: String,
    pub item_count: i32,
    pub drift_hash: Option<String>,
    pub rests_on: String,
    pub settled: bool,
    pub dc: String,
    pub invocation: String,
    pub usn: i64,
    pub farm_updated_at: DateTime<Utc>,
    pub newest_workflow: Option<Uuid>,
    pub newest_revision: Option<i64>,
    pub checked_at: DateTime<Utc>,
    pub compared_at: DateTime<Utc>,
    pub changed_at: DateTime<Utc>,
    pub mended_by: Option<Uuid>,
    pub mended_hash: Option<String>,
    pub mended_at: Option<DateTime<Utc>>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// As it was compared now. [`Self::changed_at`] is the caller's to correct.
    pub fn of(compared: &Compared, batch: &DriftBatch) -> Result<Self, StoreError> {
        let listed = compared.items.get(..DriftItem::LISTED).unwrap_or(&compared.items);
        // A mending that nothing is left of is over.
        let mend = compared.mend.as_ref().filter(|_| !compared.items.is_empty());
        Ok(Self {
            directory_key: batch.directory.key(),
            farm_key: compared.farm.key(),
            directory: batch.directory.to_string(),
            farm: compared.farm.to_string(),
            state: compared.state.to_string(),
            why: compared.why.as_deref().map(clean),
            items: to_json(listed)?,
            item_count: i32::try_from(compared.items.len()).unwrap_or(i32::MAX),
            drift_hash: DriftItem::hash(&compared.items),
            rests_on: to_json(&compared.rests_on)?,
            settled: compared.settled,
            dc: batch.dc.clone(),
            invocation: batch.invocation.clone(),
            usn: batch.usn,
            farm_updated_at: compared.farm_updated_at,
            newest_workflow: compared.newest.map(|newest| newest.workflow.0),
            newest_revision: compared.newest.map(|newest| newest.revision),
            checked_at: batch.now,
            compared_at: batch.now,
            changed_at: batch.now,
            mended_by: mend.map(|mend| mend.workflow.0),
            mended_hash: mend.map(|mend| mend.hash.clone()),
            mended_at: mend.map(|mend| mend.at),
        })
    }

    fn cell(&self, column: &'static str) -> Cell<'_> {
        Cell { table: "drift", column, row: &self.farm_key }
    }

    pub fn state(&self) -> Result<DriftState, StoreError> {
        self.cell("state").parse(&self.state)
    }
}

impl TryFrom<&Model> for DriftRow {
    type Error = StoreError;
    fn try_from(row: &Model) -> Result<Self, StoreError> {
        let newest = row.newest_workflow.zip(row.newest_revision);
        let mend = match (row.mended_by, &row.mended_hash, row.mended_at) {
            (Some(workflow), Some(hash), Some(at)) => {
                Some(Mend { workflow: WorkflowId(workflow), hash: hash.clone(), at })
            }
            _ => None,
        };
        Ok(Self {
            state: row.state()?,
            hash: row.drift_hash.clone(),
            newest: newest.map(|(id, revision)| Newest { workflow: WorkflowId(id), revision }),
            mend,
        })
    }
}

impl TryFrom<Model> for DriftEntry {
    type Error = StoreError;
    fn try_from(row: Model) -> Result<Self, StoreError> {
        Ok(Self {
            directory: row.cell("directory").parse(&row.directory)?,
            farm: row.cell("farm").parse(&row.farm)?,
            state: row.state()?,
            items: row.cell("items").json(&row.items)?,
            item_count: row.cell("item_count").number(row.item_count)?,
            why: row.why,
            domain_controller: row.dc,
            checked_at: row.checked_at,
            compared_at: row.compared_at,
            changed_at: row.changed_at,
            mended_by: row.mended_by.map(WorkflowId),
        })
    }
}
