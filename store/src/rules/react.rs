//! An event becomes what is recorded of it, workflows, and deliveries to webhooks: each once,
//! however often it comes and however many hear it.
//!
//! All of it is one transaction, after which the event is acknowledged. The rule's row is locked in
//! it, so two events of one rule are counted one after the other; the key (rule, event) lets an event
//! through once.

use chrono::{DateTime, Utc};
use domain::{FiringOutcome, Mode, WorkflowKind};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect, Value,
};
use tracing::instrument;
use uuid::Uuid;

use crate::entity::{clean, rule_firings, rules, to_json, webhook_deliveries, webhooks};
use crate::sql::{one_of, statement};
use crate::store::timed;
use crate::submit::ROWS_PER_INSERT;
use crate::{HeardEvent, NewDelivery, NewWorkflow, PlannedFiring, Reacted, SettledFiring, Store, StoreError};

/// In the words of the indexes.
const ASKED: &str = "outcome in ('fired', 'dry-run')";

/// The same containment, under way. With the words of the index, which SQLite takes literally.
const SAME_CONTAINMENT: &str = "select id from workflows where kind = 'compromise-removal' \
      and state in ('queued', 'running', 'waiting', 'paused') and state <> 'succeeded' and mode = 'apply' \
      and directory_key = $1 and input = $2 order by id limit 1";

impl Store {
    /// Records what rules make of an event and what webhooks are told of it.
    #[instrument(level = "debug", name = "db.react", skip_all, fields(firings = firings.len(), deliveries = deliveries.len()))]
    pub async fn react(
        &self,
        event: &HeardEvent,
        firings: &[PlannedFiring],
        deliveries: &[NewDelivery],
        now: DateTime<Utc>,
    ) -> Result<Reacted, StoreError> {
        let _time = timed("react");
        let tx = self.begin().await?;
        // Everybody locks in the order of ids, or two would wait for each other.
        let mut in_order: Vec<_> = firings.iter().collect();
        in_order.sort_by_key(|firing| firing.rule);
        let (mut recorded, mut new) = (Vec::new(), Vec::new());
        for firing in in_order {
            if !self.lock_rule(&tx, firing).await? {
                return Ok(Reacted::Stale);
            }
            let met = rule_firings::Entity::find_by_id((firing.rule.0, event.key.clone()));
            if met.count(&tx).await? > 0 {
                continue;
            }
            let settled = self.settle_firing(&tx, firing, now).await?;
            let row = rule_firings::Model::of(event, firing, &settled, now).into_active_model().reset_all();
            rule_firings::Entity::insert(row).exec_without_returning(&tx).await?;
            if let (true, Ok(workflow)) = (settled.outcome.asked(), &firing.asked) {
                note_fired(&tx, firing, workflow, now).await?;
                new.push(workflow.as_ref().clone());
            }
            recorded.push((firing.rule, settled));
        }
        for new in new.chunks(ROWS_PER_INSERT) {
            self.insert(&tx, new).await?;
        }
        let told = self.insert_deliveries(&tx, event, deliveries, now).await?;
        tx.commit().await?;
        if !new.is_empty() {
            self.wake_relay();
        }
        if told {
            self.wake_deliverer();
        }
        Ok(Reacted::Recorded(recorded))
    }

    /// What would become of it, without recording anything.
    #[instrument(name = "db.rules.outlook", skip_all, fields(rule = %firing.rule))]
    pub async fn outlook(
        &self,
        firing: &PlannedFiring,
        now: DateTime<Utc>,
    ) -> Result<SettledFiring, StoreError> {
        let _time = timed("outlook");
        self.settle_firing(self.reader(), firing, now).await
    }

    /// Whether it is still the rule that was planned from, and on. Until the end of the transaction
    /// nobody else fires it.
    async fn lock_rule(&self, db: &impl ConnectionTrait, firing: &PlannedFiring) -> Result<bool, StoreError> {
        let lock = if self.is_postgresql() { " for update" } else { "" };
        let sql = format!("select revision from rules where id = $1 and state = 'enabled'{lock}");
        let row = db.query_one_raw(statement(db, sql, [firing.rule.0.into()])).await?;
        let revision: Option<i64> = row.map(|row| row.try_get("", "revision")).transpose()?;
        Ok(revision == Some(firing.revision))
    }

    async fn settle_firing(
        &self,
        db: &impl ConnectionTrait,
        firing: &PlannedFiring,
        now: DateTime<Utc>,
    ) -> Result<SettledFiring, StoreError> {
        let not = |outcome, detail: String| SettledFiring {
            outcome,
            code: None,
            detail: Some(detail),
            workflow: None,
        };
        let new = match &firing.asked {
            Ok(new) => new,
            Err(unfired) => {
                return Ok(SettledFiring {
                    code: unfired.code,
                    ..not(unfired.outcome, unfired.detail.clone())
                });
            }
        };
        if let Some(same) = under_way(db, new).await? {
            let detail = format!("the same containment is under way: workflow {same}");
            return Ok(not(FiringOutcome::Deduplicated, detail));
        }
        if let Some((key, within)) = &firing.dedupe
            && let Some(earlier) = earlier(db, firing, key, now - *within).await?
        {
            let within = humantime::format_duration(*within);
            let asked = earlier.workflow_id.map(|id| format!(": workflow {id}")).unwrap_or_default();
            let detail = format!("{key:?} was asked for within {within}{asked}");
            return Ok(not(FiringOutcome::Deduplicated, detail));
        }
        let asked = asked_since(db, firing, now - firing.rate.per).await?;
        if asked >= u64::from(firing.rate.most) {
            let per = humantime::format_duration(firing.rate.per);
            let detail = format!("{asked} within {per}, the most is {}", firing.rate.most);
            return Ok(not(FiringOutcome::RateLimited, detail));
        }
        let outcome = if firing.dry_run { FiringOutcome::DryRun } else { FiringOutcome::Fired };
        Ok(SettledFiring { outcome, code: None, detail: None, workflow: Some(new.id) })
    }

    /// To those webhooks that are still there and on. Whether any is told.
    async fn insert_deliveries(
        &self,
        db: &impl ConnectionTrait,
        event: &HeardEvent,
        deliveries: &[NewDelivery],
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        if deliveries.is_empty() {
            return Ok(false);
        }
        let wanted: Vec<Uuid> = deliveries.iter().map(|new| new.webhook.0).collect();
        let there: Vec<Uuid> = webhooks::Entity::find()
            .select_only()
            .column(webhooks::Column::Id)
            .filter(one_of(self.backend(), webhooks::Column::Id, &wanted))
            .filter(webhooks::Column::State.eq("enabled"))
            .into_tuple()
            .all(db)
            .await?;
        let rows = deliveries.iter().filter(|new| there.contains(&new.webhook.0));
        let rows: Vec<_> = rows
            .map(|new| webhook_deliveries::Model::of(event, new, now).into_active_model().reset_all())
            .collect();
        let any = !rows.is_empty();
        // Few rows at a time: each holds the event.
        for rows in rows.chunks(50) {
            webhook_deliveries::Entity::insert_many(rows.to_vec())
                .on_conflict(OnConflict::new().do_nothing().to_owned())
                .exec_without_returning(db)
                .await?;
        }
        Ok(any)
    }
}

/// A containment of the same host, asked for in the same words, that has not ended.
async fn under_way(db: &impl ConnectionTrait, new: &NewWorkflow) -> Result<Option<Uuid>, StoreError> {
    if new.kind != WorkflowKind::COMPROMISE_REMOVAL || new.mode != Mode::Apply {
        return Ok(None);
    }
    let values: [Value; 2] = [new.directory.key().into(), to_json(&new.input)?.into()];
    let row = db.query_one_raw(statement(db, SAME_CONTAINMENT, values)).await?;
    Ok(row.map(|row| row.try_get("", "id")).transpose()?)
}

async fn earlier(
    db: &impl ConnectionTrait,
    firing: &PlannedFiring,
    key: &str,
    since: DateTime<Utc>,
) -> Result<Option<rule_firings::Model>, StoreError> {
    use rule_firings::Column;
    let select = rule_firings::Entity::find()
        .filter(Column::RuleId.eq(firing.rule.0))
        .filter(Column::DedupeKey.eq(clean(key)))
        .filter(Column::RecordedAt.gt(since))
        .filter(Expr::cust(ASKED));
    Ok(select.order_by_desc(Column::RecordedAt).one(db).await?)
}

async fn asked_since(
    db: &impl ConnectionTrait,
    firing: &PlannedFiring,
    since: DateTime<Utc>,
) -> Result<u64, StoreError> {
    use rule_firings::Column;
    let select = rule_firings::Entity::find()
        .filter(Column::RuleId.eq(firing.rule.0))
        .filter(Column::RecordedAt.gt(since))
        .filter(Expr::cust(ASKED));
    Ok(select.count(db).await?)
}

async fn note_fired(
    db: &impl ConnectionTrait,
    firing: &PlannedFiring,
    new: &NewWorkflow,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    rules::Entity::update_many()
        .col_expr(rules::Column::LastFiredAt, Expr::value(now))
        .col_expr(rules::Column::LastWorkflow, Expr::value(new.id.0))
        .filter(rules::Column::Id.eq(firing.rule.0))
        .exec(db)
        .await?;
    Ok(())
}
