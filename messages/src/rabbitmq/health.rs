//! One health out of several connections: the bus is as well as its worst one.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::BusHealth;

/// The connection that announces. What others are told is no reason to take no work: it is looked
/// after, and does not count.
pub(super) const ANNOUNCER: &str = "announce";

pub(super) struct HealthBoard {
    /// What is wrong with each connection, by its name; `None` for a good one.
    links: Mutex<BTreeMap<String, Option<String>>>,
    health: watch::Sender<BusHealth>,
}

impl HealthBoard {
    pub fn new() -> Self {
        let health = watch::Sender::new(BusHealth::Down("not connected yet".to_owned()));
        Self { links: Mutex::default(), health }
    }

    pub fn subscribe(&self) -> watch::Receiver<BusHealth> {
        self.health.subscribe()
    }

    pub fn up(&self, link: &str) {
        self.change(|links| _ = links.insert(link.to_owned(), None));
    }

    pub fn down(&self, link: &str, problem: &str) {
        let before = self.change(|links| links.insert(link.to_owned(), Some(problem.to_owned())));
        // Said once; the attempts that follow say the same for hours.
        if before.flatten().as_deref() != Some(problem) {
            tracing::warn!(link, problem, "the message broker does not answer us");
        }
    }

    pub fn forget(&self, link: &str) {
        self.change(|links| _ = links.remove(link));
    }

    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<String, Option<String>>) -> T) -> T {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut links);
        let counts = links.iter().filter(|(link, _)| *link != ANNOUNCER);
        let worst = counts.clone().find_map(|(link, problem)| Some((link, problem.as_ref()?)));
        let health = match worst {
            Some((link, problem)) => BusHealth::Down(format!("{link}: {problem}")),
            None if counts.count() == 0 => BusHealth::Down("the bus is shut down".to_owned()),
            None => BusHealth::Connected,
        };
        self.health.send_if_modified(|current| {
            let changed = *current != health;
            *current = health;
            changed
        });
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bus_is_as_well_as_its_worst_connection() {
        let board = HealthBoard::new();
        let health = board.subscribe();
        assert!(matches!(*health.borrow(), BusHealth::Down(_)));
        board.up("publish");
        board.up("urgent");
        assert_eq!(*health.borrow(), BusHealth::Connected);
        board.down("urgent", "gone");
        assert_eq!(*health.borrow(), BusHealth::Down("urgent: gone".to_owned()));
        board.forget("urgent");
        assert_eq!(*health.borrow(), BusHealth::Connected);
        board.down(ANNOUNCER, "ACCESS_REFUSED");
        assert_eq!(*health.borrow(), BusHealth::Connected);
        board.forget("publish");
        assert_eq!(*health.borrow(), BusHealth::Down("the bus is shut down".to_owned()));
    }
}
