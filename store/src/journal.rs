//! The journal: what workers have done, made durable many workflows at a time.
//!
//! A durable commit is the dearest thing that a step does, so the outcomes of all workflows that
//! come together in one process share one. On PostgreSQL that is one statement and one round trip
//! for any number of them; only what concerns others than the workflow itself (a lock handed on, an
//! event, a farm's record) takes a transaction with more statements.

mod announced;
mod change;
mod columns;
mod settle;

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use sea_orm::{ConnectionTrait, QueryResult, Value};
use tracing::instrument;
use uuid::Uuid;

use crate::entity::{steps, workflows::control};
use crate::sql::statement;
use crate::store::timed;
use crate::{Committed, Control, JournalEntry, Store, StoreError, WorkflowChange};

use announced::Announced;
use change::{Change, Row};
use columns::StepColumns;

/// Workflows whose rows were written, each with what a person asked of it.
type Held = HashMap<Uuid, Option<Control>>;

/// `entry` is the batch, `step` the steps of all its entries, each array a column: PostgreSQL reads
/// them several times faster than JSON. An array of ours holds no null, so a text that is not there
/// is empty, a time the epoch, a bool -1. `change` is JSON, empty where there is none, as it mostly is.
///
/// A prepared plan is made once, perhaps for empty tables, and must still be the right one when they
/// are full; so it is left only one way, from each entry to its row by the primary key; `token + 0` makes the planner expect
/// one entry; `state || ''` hides the state's index, through which it would visit every running
/// workflow.
const COMMIT_ON_POSTGRESQL: &str = r#"with entry as (
  select * from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::text[])
    as e(id, token, lease_until, change)
  where e.token = e.token + 0
), written as (
  update workflows w set revision = w.revision + 1,
    state = coalesce(c.state, w.state),
    lease_owner = case when c.state is null then w.lease_owner end,
    lease_until = case when c.state is null then greatest(w.lease_until, e.lease_until) end,
    step_names = coalesce(c.step_names, w.step_names),
    pinned_dc = coalesce(c.pinned_dc, w.pinned_dc),
    unwinding = coalesce(c.unwinding, w.unwinding),
    waiting_for = c.waiting_for, due_at = c.due_at, waiting_detail = c.waiting_detail,
    finished_at = c.finished_at,
    error = coalesce(c.error, w.error),
    result = coalesce(c.result, w.result),
    plan = coalesce(c.plan, w.plan),
    emitted_at = coalesce(c.emitted_at, w.emitted_at),
    emissions = case when c.emitted_at is null then w.emissions else 1 end
  from entry e left join lateral json_to_record(nullif(e.change, '')::json) as c(
    state text, step_names text, pinned_dc text, unwinding text, waiting_for text,
    due_at timestamptz, waiting_detail text, finished_at timestamptz, error text, result text,
    plan text, emitted_at timestamptz) on true
  where w.id = e.id and w.fencing_token = e.token and w.state || '' = 'running'
  returning w.id, w.control
), stepped as (
  insert into steps (workflow_id, "index", name, state, changed, attempts, started_at, finished_at,
    detail, error, intent, outcome, wrote)
  select s.id, s."index", s.name, s.state, case when s.changed >= 0 then s.changed > 0 end, s.attempts,
    nullif(s.started_at, 'epoch'), nullif(s.finished_at, 'epoch'), nullif(s.detail, ''),
    nullif(s.error, ''), nullif(s.intent, ''), nullif(s.outcome, ''), s.wrote
  from unnest($5::uuid[], $6::integer[], $7::text[], $8::text[], $9::smallint[], $10::integer[],
      $11::timestamptz[], $12::timestamptz[], $13::text[], $14::text[], $15::text[], $16::text[],
      $17::boolean[])
    as s(id, "index", name, state, changed, attempts, started_at, finished_at, detail, error, intent,
      outcome, wrote)
  where s.id in (select id from written)
  on conflict (workflow_id, "index") do update set name = excluded.name, state = excluded.state,
    changed = excluded.changed, attempts = excluded.attempts, started_at = excluded.started_at,
    finished_at = excluded.finished_at, detail = excluded.detail, error = excluded.error,
    intent = excluded.intent, outcome = excluded.outcome, wrote = excluded.wrote
)
select id, control from written"#;

/// With it goes what is announced: in the one statement, since most of it tells of an end, and an end
/// is one round trip otherwise. `rests`: only if nobody has asked for something else meanwhile.
static COMMIT_AND_ANNOUNCE_ON_POSTGRESQL: LazyLock<String> = LazyLock::new(|| {
    let announced = r#", announced as (
  insert into outbox (id, topic, body, created_at)
  select a.event, a.topic, a.body, a.at
  from unnest($18::uuid[], $19::boolean[], $20::timestamptz[], $21::uuid[], $22::text[], $23::bytea[])
      as a(id, rests, at, event, topic, body)
    join written w on w.id = a.id
  where not a.rests or w.control is null
)
select id, control from written"#;
    COMMIT_ON_POSTGRESQL.replace("\nselect id, control from written", announced)
});

const WRITE_ON_SQLITE: &str = "update workflows set revision = revision + 1, \
    state = coalesce($4, state), \
    lease_owner = case when $4 is null then lease_owner end, \
    lease_until = case when $4 is null then max(lease_until, $3) end, \
    step_names = coalesce($5, step_names), pinned_dc = coalesce($6, pinned_dc), \
    unwinding = coalesce($7, unwinding), \
    waiting_for = $8, due_at = $9, waiting_detail = $10, finished_at = $11, \
    error = coalesce($12, error), result = coalesce($13, result), plan = coalesce($14, plan), \
    emitted_at = coalesce($15, emitted_at), \
    emissions = case when $15 is null then emissions else 1 end \
  where id = $1 and fencing_token = $2 and state = 'running' returning id, control";

const STEP_ON_SQLITE: &str = "insert or replace into steps (workflow_id, \"index\", name, state, changed, \
    attempts, started_at, finished_at, detail, error, intent, outcome, wrote) \
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

impl Store {
    /// All entries in one transaction; answers in their order. After
    /// [`StoreError::Unavailable`] the same batch may be given again: its writes are those of the
    /// first time. (An end that had been written after all is then [`Committed::LeaseLost`].) After
    /// any other error one entry spoils the batch: give them singly to learn which.
    #[instrument(name = "db.journal.commit", skip_all, fields(entries = entries.len()))]
    pub async fn commit(&self, entries: &[JournalEntry]) -> Result<Vec<Committed>, StoreError> {
        let _time = timed("commit");
        let rows = rows_of(entries)?;
        let announced = Announced::of(self, entries);
        let announces = !announced.is_empty();
        let held = if !self.is_postgresql() {
            self.commit_one_by_one(entries, rows, announced).await?
        } else if entries.iter().all(|entry| self.concerns_itself_only(entry)) {
            held_of(self.writer().query_all_raw(batch(self.writer(), rows, announced)?).await?)?
        } else {
            let tx = self.begin().await?;
            let held = held_of(tx.query_all_raw(batch(&tx, rows, announced)?).await?)?;
            let events = self.settle(&tx, entries, &held).await?;
            tx.commit().await?;
            if events {
                self.wake_relay();
            }
            held
        };
        self.wake_announcer(announces);
        let answer = |entry: &JournalEntry| match held.get(&entry.workflow_id.0) {
            Some(control) => {
                if Change::ends_lease(&entry.change) {
                    self.forget(entry.workflow_id);
                }
                Committed::Yes { control: *control }
            }
            None => {
                self.forget(entry.workflow_id);
                Committed::LeaseLost
            }
        };
        Ok(entries.iter().map(answer).collect())
    }

    async fn commit_one_by_one(
        &self,
        entries: &[JournalEntry],
        rows: Vec<Row>,
        announced: Announced,
    ) -> Result<Held, StoreError> {
        let tx = self.begin().await?;
        let mut held = Held::new();
        for row in rows {
            let steps = row.steps.clone();
            let written = held_of(tx.query_all_raw(statement(&tx, WRITE_ON_SQLITE, row.values())).await?)?;
            if !written.is_empty() {
                for step in steps {
                    tx.execute_raw(statement(&tx, STEP_ON_SQLITE, step_values(step))).await?;
                }
            }
            held.extend(written);
        }
        self.insert_announcements(&tx, announced.that_count(&held)).await?;
        let events = self.settle(&tx, entries, &held).await?;
        tx.commit().await?;
        if events {
            self.wake_relay();
        }
        Ok(held)
    }

    /// Whether nothing but the workflow's own rows changes.
    fn concerns_itself_only(&self, entry: &JournalEntry) -> bool {
        match &entry.change {
            WorkflowChange::None
            | WorkflowChange::Begin { .. }
            | WorkflowChange::Pin { .. }
            | WorkflowChange::Unwind { .. } => true,
            WorkflowChange::Finish(finish) => {
                finish.farm.is_none() && self.known_without_lock(entry.workflow_id)
            }
            WorkflowChange::Wait(_)
            | WorkflowChange::AwaitApproval { .. }
            | WorkflowChange::Pause
            | WorkflowChange::Release
            | WorkflowChange::Replanned => false,
        }
    }
}

fn rows_of(entries: &[JournalEntry]) -> Result<Vec<Row>, StoreError> {
    let mut seen = HashSet::with_capacity(entries.len());
    let row = |entry: &JournalEntry| {
        if !seen.insert(entry.workflow_id) {
            return Err(StoreError::DoubleEntry(entry.workflow_id));
        }
        Row::of(entry)
    };
    entries.iter().map(row).collect()
}

fn batch(
    db: &impl ConnectionTrait,
    mut rows: Vec<Row>,
    announced: Announced,
) -> Result<sea_orm::Statement, StoreError> {
    // The order in which others lock several rows, so that they do not wait for each other.
    rows.sort_unstable_by_key(|row| row.id);
    let mut ids = Vec::with_capacity(rows.len());
    let mut tokens = Vec::with_capacity(rows.len());
    let mut leases = Vec::with_capacity(rows.len());
    let mut changes = Vec::with_capacity(rows.len());
    let mut steps = StepColumns::default();
    for row in rows {
        changes.push(row.change_json()?);
        ids.push(row.id);
        tokens.push(row.fencing_token);
        leases.push(row.lease_until);
        row.steps.into_iter().for_each(|step| steps.push(step));
    }
    let entries: [Value; 4] = [ids.into(), tokens.into(), leases.into(), changes.into()];
    let values = entries.into_iter().chain(steps.into_values());
    if announced.is_empty() {
        return Ok(statement(db, COMMIT_ON_POSTGRESQL, values));
    }
    let values = values.chain(announced.into_values());
    Ok(statement(db, COMMIT_AND_ANNOUNCE_ON_POSTGRESQL.as_str(), values))
}

fn held_of(rows: Vec<QueryResult>) -> Result<Held, StoreError> {
    let read = |row: QueryResult| {
        let id: Uuid = row.try_get_by_index(0)?;
        let text: Option<String> = row.try_get_by_index(1)?;
        Ok((id, control(&id, text.as_deref())?))
    };
    rows.into_iter().map(read).collect()
}

fn step_values(step: steps::Model) -> [Value; 13] {
    [
        step.workflow_id.into(),
        step.index.into(),
        step.name.into(),
        step.state.into(),
        step.changed.into(),
        step.attempts.into(),
        step.started_at.into(),
        step.finished_at.into(),
        step.detail.into(),
        step.error.into(),
        step.intent.into(),
        step.outcome.into(),
        step.wrote.into(),
    ]
}
