//! The list of workflows: newest first, a page at a time, on an index however many there are.

use chrono::{DateTime, Duration, Utc};
use domain::{Workflow, WorkflowId};
use sea_orm::sea_query::{Expr, Query, SelectStatement};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};
use tracing::instrument;
use uuid::Uuid;

use crate::entity::workflow_hosts::{self, host_key};
use crate::entity::workflows::{Column, Entity};
use crate::store::timed;
use crate::{Page, Store, StoreError, WorkflowFilter};

/// More than that is no page.
pub(crate) const MAX_LIMIT: u32 = 500;

/// An id is made of the same moment as `created_at`, or of one very near.
const SLACK: Duration = Duration::minutes(1);

impl Store {
    /// Without their steps. The order is that of the ids, which are made of the time of creation:
    /// newest first, and a page never shifts because something was asked for meanwhile.
    #[instrument(name = "db.workflows.list", skip_all)]
    pub async fn workflows(
        &self,
        filter: &WorkflowFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Workflow>, StoreError> {
        let _time = timed("workflows");
        let limit = limit.clamp(1, MAX_LIMIT);
        let mut select = conditions(Entity::find(), filter);
        if let Some(cursor) = cursor {
            let after: WorkflowId = cursor.parse().map_err(|_| StoreError::InvalidCursor)?;
            select = select.filter(Column::Id.lt(after.0));
        }
        let rows = select.order_by_desc(Column::Id).limit(u64::from(limit) + 1).all(self.reader()).await?;
        let more = rows.len() > limit as usize;
        let items =
            rows.iter().take(limit as usize).map(Workflow::try_from).collect::<Result<Vec<_>, _>>()?;
        let next = items.last().filter(|_| more).map(|last| last.id.to_string());
        Ok(Page { items, next })
    }
}

fn conditions(mut select: Select<Entity>, filter: &WorkflowFilter) -> Select<Entity> {
    if let Some(state) = filter.state {
        // Written out, not bound: only a constant shows the planner that a partial index fits.
        select = select.filter(Expr::cust(format!("state = '{state}'")));
        if state != domain::WorkflowState::Succeeded {
            select = select.filter(Expr::cust("state <> 'succeeded'"));
        }
    }
    if let Some(kind) = &filter.kind {
        select = select.filter(Column::Kind.eq(kind.as_str()));
    }
    if let Some(directory) = &filter.directory {
        select = select.filter(Column::DirectoryKey.eq(directory.key()));
    }
    if let Some(farm) = &filter.farm {
        select = select.filter(Column::FarmKey.eq(farm.key()));
    }
    if let Some(host) = &filter.host {
        select = select.filter(Column::Id.in_subquery(of_host(host, filter)));
    }
    if let Some(parent) = &filter.parent {
        select = select.filter(Column::Parent.eq(parent.0));
    }
    if let Some(since) = filter.since {
        select = select.filter(Column::CreatedAt.gte(since)).filter(Column::Id.gte(first_id(since - SLACK)));
    }
    if let Some(until) = filter.until {
        select = select.filter(Column::CreatedAt.lt(until)).filter(Column::Id.lt(first_id(until + SLACK)));
    }
    select
}

/// The times once more: the planner does not carry a range from one side of a join to the other, and
/// without it reads the whole range of the primary key to find one host's few rows in it.
fn of_host(host: &str, filter: &WorkflowFilter) -> SelectStatement {
    let mut named = Query::select();
    named
        .column(workflow_hosts::Column::WorkflowId)
        .from(workflow_hosts::Entity)
        .and_where(workflow_hosts::Column::HostKey.eq(host_key(host)));
    if let Some(since) = filter.since {
        named.and_where(workflow_hosts::Column::WorkflowId.gte(first_id(since - SLACK)));
    }
    if let Some(until) = filter.until {
        named.and_where(workflow_hosts::Column::WorkflowId.lt(first_id(until + SLACK)));
    }
    named
}

/// The least UUIDv7 of a moment: a time becomes a range of the primary key.
fn first_id(at: DateTime<Utc>) -> Uuid {
    let millis = u64::try_from(at.timestamp_millis()).unwrap_or(0).min((1 << 48) - 1);
    Uuid::from_u128(u128::from(millis) << 80)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::SystemRng;

    #[test]
    fn the_first_id_of_a_moment_comes_before_all_ids_of_it_and_after_those_before() {
        let at = DateTime::from_timestamp_millis(1_700_000_000_123).expect("a time");
        let before = WorkflowId::new(at - Duration::milliseconds(1), &SystemRng);
        assert!(before.0 < first_id(at));
        assert!(first_id(at) < WorkflowId::new(at, &SystemRng).0);
    }
}
