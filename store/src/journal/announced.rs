//! What the entries of a batch announce.

use chrono::{DateTime, Utc};
use sea_orm::Value;
use uuid::Uuid;

use crate::entity::outbox;
use crate::{AnnouncementRow, JournalEntry, Store};

use super::Held;
use super::settle::rests;

/// In the order of the entries.
#[derive(Default)]
pub struct Announced(Vec<One>);

struct One {
    workflow_id: Uuid,
    /// It counts only where the workflow comes to rest as it meant to.
    rests: bool,
    at: DateTime<Utc>,
    row: AnnouncementRow,
}

impl Announced {
    pub fn of(store: &Store, entries: &[JournalEntry]) -> Self {
        let of_entry = |entry: &JournalEntry| {
            let (workflow_id, rests, at) = (entry.workflow_id.0, rests(&entry.change), entry.now);
            let rows: Vec<_> =
                entry.announcements.iter().filter_map(|one| store.announcement_row(one, at)).collect();
            rows.into_iter().map(move |row| One { workflow_id, rests, at, row })
        };
        Self(entries.iter().flat_map(of_entry).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of workflows whose write counted, as rows.
    pub fn that_count(self, held: &Held) -> Vec<outbox::Model> {
        let counts = |one: &One| match held.get(&one.workflow_id) {
            None => false,
            Some(control) => !one.rests || control.is_none(),
        };
        self.0.into_iter().filter(counts).map(|one| outbox::Model::announcement(one.row, one.at)).collect()
    }

    /// In the order of the places in PostgreSQL's statement.
    pub fn into_values(self) -> [Value; 6] {
        let all = &self.0;
        let workflows: Vec<_> = all.iter().map(|one| one.workflow_id).collect();
        let rests: Vec<_> = all.iter().map(|one| one.rests).collect();
        let times: Vec<_> = all.iter().map(|one| one.at).collect();
        let ids: Vec<_> = all.iter().map(|one| one.row.id).collect();
        let (topics, bodies): (Vec<_>, Vec<_>) =
            self.0.into_iter().map(|one| (one.row.topic, one.row.body)).unzip();
        [workflows.into(), rests.into(), times.into(), ids.into(), topics.into(), bodies.into()]
    }
}
