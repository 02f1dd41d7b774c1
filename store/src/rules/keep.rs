//! Rules are made, changed, looked at and deleted; what became of events is shown and forgotten.

use chrono::{DateTime, Utc};
use domain::{FiringOutcome, RuleId, RuleName, RuleState, WorkflowId};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, Value,
};
use tracing::instrument;
use uuid::Uuid;

use crate::entity::rule_firings;
use crate::entity::rules::{Column, Entity, Model};
use crate::listing::MAX_LIMIT;
use crate::sql::statement;
use crate::store::timed;
use crate::{Firing, Page, Rule, Store, StoreError};

/// A firing whose workflow goes on is kept: it says who answers for it.
const PRUNE: &str = "delete from rule_firings where (rule_id, event_key) in ( \
      select f.rule_id, f.event_key from rule_firings f \
      where f.recorded_at < $1 and not exists ( \
        select 1 from workflows w where w.id = f.workflow_id \
          and w.state in ('queued', 'running', 'waiting', 'paused')) \
      order by f.recorded_at limit $2)";

/// Whether a workflow, or one that it belongs to, was asked for by a rule.
const ASKED_BY_RULE: &str = "with recursive up(id, parent) as ( \
      select w.id, w.parent from workflows w where w.id = $2 \
      union all select w.id, w.parent from workflows w join up on w.id = up.parent) \
    select 1 as found from rule_firings f join up on f.workflow_id = up.id where f.rule_id = $1 limit 1";

impl Store {
    /// Whether it is new: `false` when there is one of that name.
    #[instrument(name = "db.rules.create", skip_all, fields(rule = %rule.spec.name))]
    pub async fn create_rule(&self, rule: &Rule) -> Result<bool, StoreError> {
        let _time = timed("create_rule");
        let row = Model::of(rule)?.into_active_model().reset_all();
        // Without a target: the key that is met is the name's.
        let inserted = Entity::insert(row)
            .on_conflict(OnConflict::new().do_nothing().to_owned())
            .exec_without_returning(self.writer())
            .await?;
        self.reactions_have_changed();
        Ok(inserted == 1)
    }

    /// Writes a rule that was read before and changed; its revision grows. `false`: it has changed
    /// meanwhile, or is gone, and nothing was written.
    #[instrument(name = "db.rules.save", skip_all, fields(rule = %rule.spec.name))]
    pub async fn save_rule(&self, rule: &Rule) -> Result<bool, StoreError> {
        let _time = timed("save_rule");
        let mut row = Model::of(rule)?;
        let read = row.revision;
        row.revision += 1;
        let mut change = row.into_active_model().reset_all();
        // What firings write is not the caller's.
        change.last_fired_at = sea_orm::ActiveValue::NotSet;
        change.last_workflow = sea_orm::ActiveValue::NotSet;
        let saved = Entity::update_many()
            .set(change)
            .filter(Column::Id.eq(rule.id.0))
            .filter(Column::Revision.eq(read))
            .exec(self.writer())
            .await?;
        self.reactions_have_changed();
        Ok(saved.rows_affected > 0)
    }

    #[instrument(name = "db.rules.get", skip_all, fields(rule = %name))]
    pub async fn rule(&self, name: &RuleName) -> Result<Option<Rule>, StoreError> {
        let _time = timed("rule");
        let row = Entity::find().filter(Column::NameKey.eq(name.key())).one(self.reader()).await?;
        row.as_ref().map(Rule::try_from).transpose()
    }

    /// By name.
    #[instrument(name = "db.rules.list", skip_all)]
    pub async fn rules(
        &self,
        state: Option<RuleState>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Rule>, StoreError> {
        let _time = timed("rules");
        let limit = limit.clamp(1, MAX_LIMIT);
        let mut select = Entity::find();
        if let Some(state) = state {
            select = select.filter(Column::State.eq(state.as_str()));
        }
        if let Some(cursor) = cursor {
            let after: RuleName = cursor.parse().map_err(|_| StoreError::InvalidCursor)?;
            select = select.filter(Column::NameKey.gt(after.key()));
        }
        let rows =
            select.order_by_asc(Column::NameKey).limit(u64::from(limit) + 1).all(self.reader()).await?;
        let more = rows.len() > limit as usize;
        let items = rows.iter().take(limit as usize).map(Rule::try_from).collect::<Result<Vec<_>, _>>()?;
        let next = items.last().filter(|_| more).map(|last| last.spec.name.key());
        Ok(Page { items, next })
    }

    /// Every rule that is on. One row that cannot be read must not stop the rest.
    #[instrument(level = "debug", name = "db.rules.enabled", skip_all)]
    pub async fn enabled_rules(&self) -> Result<Vec<Rule>, StoreError> {
        let _time = timed("enabled_rules");
        let rows = Entity::find()
            .filter(Column::State.eq(RuleState::Enabled.as_str()))
            .order_by_asc(Column::Id)
            .all(self.reader())
            .await?;
        let readable = rows.iter().filter_map(|row| match Rule::try_from(row) {
            Ok(rule) => Some(rule),
            Err(error) => {
                tracing::error!(rule = row.name, %error, "a rule cannot be read and does not fire");
                metrics::counter!("farmhand_rules_unreadable_total").increment(1);
                None
            }
        });
        Ok(readable.collect())
    }

    /// What it has asked for goes on, and stays on record. Whether there was one.
    #[instrument(name = "db.rules.delete", skip_all, fields(rule = %id))]
    pub async fn delete_rule(&self, id: RuleId) -> Result<bool, StoreError> {
        let _time = timed("delete_rule");
        let deleted = Entity::delete_by_id(id.0).exec(self.writer()).await?.rows_affected > 0;
        self.reactions_have_changed();
        Ok(deleted)
    }

    /// What became of its events, the latest first.
    #[instrument(name = "db.rules.firings", skip_all, fields(rule = %id))]
    pub async fn rule_firings(
        &self,
        id: RuleId,
        outcome: Option<FiringOutcome>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Firing>, StoreError> {
        use rule_firings::Column;
        let _time = timed("rule_firings");
        let limit = limit.clamp(1, MAX_LIMIT);
        let mut select = rule_firings::Entity::find().filter(Column::RuleId.eq(id.0));
        if let Some(outcome) = outcome {
            select = select.filter(Column::Outcome.eq(outcome.as_str()));
        }
        if let Some(cursor) = cursor {
            let before = Uuid::parse_str(cursor).map_err(|_| StoreError::InvalidCursor)?;
            select = select.filter(Column::Id.lt(before));
        }
        let rows = select.order_by_desc(Column::Id).limit(u64::from(limit) + 1).all(self.reader()).await?;
        let more = rows.len() > limit as usize;
        let items =
            rows.into_iter().take(limit as usize).map(Firing::try_from).collect::<Result<Vec<_>, _>>()?;
        let next = items.last().filter(|_| more).map(|last| last.id.to_string());
        Ok(Page { items, next })
    }

    /// Who answers for a workflow that a rule asked for.
    pub(crate) async fn rule_owner_of(
        &self,
        db: &impl ConnectionTrait,
        workflow: Uuid,
    ) -> Result<Option<String>, StoreError> {
        let firing = rule_firings::Entity::find()
            .filter(rule_firings::Column::WorkflowId.eq(workflow))
            .one(db)
            .await?;
        Ok(firing.map(|firing| firing.owner))
    }

    /// Whether a workflow comes of this rule: asked for by it, or by what it asked for.
    #[instrument(level = "debug", name = "db.rules.asked_by", skip_all, fields(rule = %rule))]
    pub async fn asked_by_rule(&self, rule: RuleId, workflow: WorkflowId) -> Result<bool, StoreError> {
        let _time = timed("asked_by_rule");
        let db = self.reader();
        let values: [Value; 2] = [rule.0.into(), workflow.0.into()];
        Ok(db.query_one_raw(statement(db, ASKED_BY_RULE, values)).await?.is_some())
    }

    /// Forgets what was recorded of events before `before`, at most `limit` of them. How many.
    #[instrument(level = "debug", name = "db.rules.prune", skip_all)]
    pub async fn prune_firings(&self, before: DateTime<Utc>, limit: u32) -> Result<u64, StoreError> {
        let _time = timed("prune_firings");
        let db = self.writer();
        let values: [Value; 2] = [before.into(), i64::from(limit).into()];
        Ok(db.execute_raw(statement(db, PRUNE, values)).await?.rows_affected())
    }
}
