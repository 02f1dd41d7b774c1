//! Asks again and again whether a quarantined host can read anything: somebody may have put it back
//! into a group, or taken our deny entry out of a list.
//!
//! One check for each directory with an open quarantine in each slot of time. Slots are counted from
//! the epoch and name the request, so that many orchestrators, and one that was started anew, ask once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::request::QuarantineCheckRequest;
use domain::{Clock, DirectoryName, Lane, Mode, Rng, WorkflowId, WorkflowKind, WorkflowState};
use store::{IdempotencyKey, NewWorkflow, Store, StoreError, Submitted, WorkflowFilter};
use tokio_util::sync::CancellationToken;

use crate::outage::{Backoff, Outage};

/// Whose keys these are, and who asks.
const PRINCIPAL: &str = "farmhand/quarantine-watch";
/// How often it is looked whether a slot has begun.
const LOOK_EVERY: Duration = Duration::from_secs(5);

pub(crate) struct QuarantineWatch {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) directories: Vec<DirectoryName>,
    pub(crate) check_every: Duration,
}

impl QuarantineWatch {
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut backoff = Backoff::new(self.rng.clone());
        let mut outage = Outage::new("quarantine watch");
        let mut looked = BTreeMap::new();
        loop {
            let pause = match self.tick(&mut looked).await {
                Ok(()) => {
                    outage.over();
                    backoff.reset();
                    LOOK_EVERY
                }
                Err(error) => {
                    outage.failed("database", &error);
                    LOOK_EVERY.max(backoff.delay())
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// `looked`: the slot in which each directory was last looked at; only a saving.
    async fn tick(&self, looked: &mut BTreeMap<String, DateTime<Utc>>) -> Result<(), StoreError> {
        let now = self.clock.now();
        let slot = slot_of(now, self.check_every);
        for directory in &self.directories {
            if looked.get(&directory.key()) == Some(&slot) {
                continue;
            }
            let hosts = self.store.quarantined(directory).await?.len();
            if hosts > 0 && !self.is_under_way(directory).await? {
                self.ask(directory, slot, hosts, now).await?;
            }
            // A host that is quarantined now was read back everywhere now: the next slot is soon enough.
            looked.insert(directory.key(), slot);
        }
        Ok(())
    }

    /// Where checks take longer than a slot, or no worker is there, they do not pile up. One that waits
    /// for a person, or was paused, keeps no other from looking.
    async fn is_under_way(&self, directory: &DirectoryName) -> Result<bool, StoreError> {
        let kind = Some(WorkflowKind::QUARANTINE_CHECK);
        let filter = WorkflowFilter { kind, directory: Some(directory.clone()), ..WorkflowFilter::default() };
        let newest = self.store.workflows(&filter, None, 1).await?.items.pop();
        Ok(newest.is_some_and(|check| {
            let goes_on = match check.state {
                WorkflowState::Queued | WorkflowState::Running => true,
                WorkflowState::Waiting => check.waiting.is_some_and(|wait| wait.until.is_some()),
                _ => false,
            };
            goes_on && check.mode == Mode::Apply
        }))
    }

    async fn ask(
        &self,
        directory: &DirectoryName,
        slot: DateTime<Utc>,
        hosts: usize,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let input = serde_json::to_value(QuarantineCheckRequest {}).unwrap_or_default();
        let every = humantime::format_duration(self.check_every);
        let new = NewWorkflow {
            id: WorkflowId::new(now, self.rng.as_ref()),
            kind: WorkflowKind::QUARANTINE_CHECK,
            directory: directory.clone(),
            farm: None,
            hosts: Vec::new(),
            lane: Lane::Checks,
            mode: Mode::Apply,
            requested_by: PRINCIPAL.to_owned(),
            reason: Some(format!("every {every}, as configured; hosts under quarantine: {hosts}")),
            input,
            traceparent: None,
            parent: None,
            farm_spec: None,
            now,
        };
        let key = IdempotencyKey {
            principal: PRINCIPAL.to_owned(),
            key: format!("{}/{}", directory.key(), slot.timestamp()),
            request_hash: directory.key(),
        };
        if let Submitted::New(workflow) = self.store.submit(new, Some(key)).await? {
            tracing::info!(workflow = %workflow.id, %directory, hosts, "a check of the quarantine was asked for");
            metrics::counter!("farmhand_quarantine_checks_total", "directory" => directory.to_string())
                .increment(1);
        }
        Ok(())
    }
}

/// The beginning of the slot of `now`: a multiple of `every` since the epoch.
fn slot_of(now: DateTime<Utc>, every: Duration) -> DateTime<Utc> {
    let every = i64::try_from(every.as_secs()).unwrap_or(i64::MAX).max(1);
    let start = now.timestamp().div_euclid(every) * every;
    DateTime::from_timestamp(start, 0).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use domain::{ManualClock, SystemRng};
    use store::Action;

    use super::*;
    use crate::http::testing::World;

    const EVERY: Duration = Duration::from_secs(900);
    const BY: &str = "01890000-0000-7000-8000-000000000000";

    fn watch(world: &World, clock: Arc<ManualClock>) -> QuarantineWatch {
        let directories = vec![DirectoryName::default(), DirectoryName::parse("lab").expect("a name")];
        QuarantineWatch {
            store: world.store.clone(),
            clock,
            rng: Arc::new(SystemRng),
            directories,
            check_every: EVERY,
        }
    }

    async fn checks(world: &World) -> Vec<domain::Workflow> {
        let kind = Some(WorkflowKind::QUARANTINE_CHECK);
        let filter = WorkflowFilter { kind, ..WorkflowFilter::default() };
        world.store.workflows(&filter, None, 50).await.expect("works").items
    }

    #[test]
    fn a_slot_begins_at_a_multiple_of_its_length() {
        let at = |second| DateTime::from_timestamp(second, 0).expect("a time");
        for (now, start) in [(0, 0), (899, 0), (900, 900), (1_799, 900), (1_790_000_123, 1_790_000_100)] {
            assert_eq!(slot_of(at(now), EVERY), at(start), "{now}");
        }
    }

    #[tokio::test]
    async fn many_orchestrators_ask_once_in_a_slot_and_only_where_a_host_is_under_quarantine() {
        let world = World::new().await;
        let (one, two) = (watch(&world, world.clock.clone()), watch(&world, world.clock.clone()));
        let (mut of_one, mut of_two) = (BTreeMap::new(), BTreeMap::new());
        one.tick(&mut of_one).await.expect("works");
        assert!(checks(&world).await.is_empty(), "nobody is under quarantine");
        world.quarantine("Host1", "S-1-5-21-1-2-3-1601", BY).await;
        world.clock.advance(EVERY);
        for _ in 0..2 {
            one.tick(&mut of_one).await.expect("works");
            two.tick(&mut of_two).await.expect("works");
            two.tick(&mut BTreeMap::new()).await.expect("started anew");
        }
        let asked = checks(&world).await;
        assert_eq!(asked.len(), 1, "{asked:?}");
        assert_eq!((asked[0].directory.as_str(), asked[0].lane), ("default", Lane::Checks));
        let claimed = world.claim(&asked[0].id.to_string()).await;
        assert_eq!(claimed.input, serde_json::json!({}));
    }

    #[tokio::test]
    async fn the_next_slot_asks_again_unless_the_last_check_still_goes_on() {
        let world = World::new().await;
        world.quarantine("Host1", "S-1-5-21-1-2-3-1601", BY).await;
        let (watch, mut looked) = (watch(&world, world.clock.clone()), BTreeMap::new());
        watch.tick(&mut looked).await.expect("works");
        world.clock.advance(EVERY);
        watch.tick(&mut looked).await.expect("works");
        let asked = checks(&world).await;
        assert_eq!(asked.len(), 1, "the first is still queued");
        // A person who paused it does not switch the watch off.
        world.store.act(asked[0].id, Action::Pause, "olaf", world.clock.now()).await.expect("works");
        world.clock.advance(EVERY);
        watch.tick(&mut looked).await.expect("works");
        assert_eq!(checks(&world).await.len(), 2);
    }
}
