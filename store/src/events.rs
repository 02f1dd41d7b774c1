//! Writing events: the same transaction as the change of state that they tell of.

use chrono::{DateTime, Utc};
use domain::Cause;
use sea_orm::{ActiveModelTrait, ConnectionTrait, EntityTrait, IntoActiveModel, Value};

use crate::entity::{outbox, workflows};
use crate::sql::statement;
use crate::{NewEvent, Store, StoreError};

/// Six columns each; SQLite takes 32,766 values in a statement.
const ROWS_PER_INSERT: usize = 1000;

const INSERT_ON_POSTGRESQL: &str = "insert into outbox (id, workflow_id, lane, body, created_at) \
    select e.id, e.workflow_id, e.lane, e.body, $5 \
    from unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[]) as e(id, workflow_id, lane, body)";

impl Store {
    /// One event for each of `rows`. Their `emitted_at` is the caller's to set, in the statement
    /// that changes them anyway.
    pub(crate) async fn write_events(
        &self,
        db: &impl ConnectionTrait,
        rows: &[workflows::Model],
        cause: Cause,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let events = rows.iter().map(|row| self.event(row, cause, now)).collect::<Result<Vec<_>, _>>()?;
        if self.is_postgresql() {
            db.execute_raw(statement(db, INSERT_ON_POSTGRESQL, columns(events, now))).await?;
            return Ok(());
        }
        for events in events.chunks(ROWS_PER_INSERT) {
            let rows = events.iter().map(|event| event.clone().into_active_model().reset_all());
            outbox::Entity::insert_many(rows).exec_without_returning(db).await?;
        }
        Ok(())
    }

    fn event(
        &self,
        row: &workflows::Model,
        cause: Cause,
        now: DateTime<Utc>,
    ) -> Result<outbox::Model, StoreError> {
        let event = self.0.events.write(&NewEvent {
            workflow_id: row.id(),
            kind: row.kind()?,
            lane: row.lane()?,
            cause,
            traceparent: row.traceparent.clone(),
            now,
        });
        Ok(outbox::Model {
            id: event.id,
            workflow_id: Some(row.id),
            lane: Some(event.lane.to_string()),
            topic: None,
            body: event.body,
            created_at: now,
        })
    }
}

fn columns(events: Vec<outbox::Model>, now: DateTime<Utc>) -> [Value; 5] {
    let ids: Vec<_> = events.iter().map(|event| event.id).collect();
    // An event has both; an array of ours holds no null.
    let workflows: Vec<_> = events.iter().map(|event| event.workflow_id.unwrap_or_default()).collect();
    let parts = events.into_iter().map(|event| (event.lane.unwrap_or_default(), event.body));
    let (lanes, bodies): (Vec<_>, Vec<_>) = parts.unzip();
    [ids.into(), workflows.into(), lanes.into(), bodies.into(), now.into()]
}
