//! Sends events to webhooks until they arrive, or a day is over. Any number of these share the work:
//! each delivery is leased.
//!
//! A receiver that is slow or hangs holds up its own deliveries only: each has a few places of its
//! own, and nobody waits for another's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::webhook::{Direction, Way};
use domain::{Clock, Rng, WebhookId};
use store::{Attempt, ClaimedDelivery, Settlement, Store, StoreError, Webhook};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::post::{self, Posted};
use crate::options::Settings;
use crate::outage::{Backoff, Outage, chain};

/// Deliveries to one webhook side by side, from one process.
const SIDE_BY_SIDE: u32 = 4;
const GONE: u16 = 410;

pub(crate) struct Deliverer {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) settings: Settings,
}

/// Deliveries under way.
#[derive(Default)]
struct UnderWay {
    tasks: JoinSet<WebhookId>,
    /// By the task, so that one that panicked gives its place back, too.
    places: HashMap<tokio::task::Id, WebhookId>,
}

impl UnderWay {
    fn to(&self, webhook: WebhookId) -> u32 {
        let count = self.places.values().filter(|to| **to == webhook).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    async fn ended(&mut self) {
        match self.tasks.join_next_with_id().await {
            Some(Ok((id, _))) => drop(self.places.remove(&id)),
            Some(Err(error)) => {
                self.places.remove(&error.id());
                if error.is_panic() {
                    tracing::error!("a delivery panicked (this is a bug: please report it)");
                }
            }
            None => std::future::pending().await,
        }
    }
}

impl Deliverer {
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut backoff = Backoff::new(self.rng.clone());
        let mut outage = Outage::new("deliverer");
        let client = loop {
            match post::client(self.settings.webhook_timeout) {
                Ok(client) => break client,
                Err(error) => drop(outage.failed("client", &error)),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(backoff.delay()) => {}
            }
        };
        let mut under_way = UnderWay::default();
        loop {
            let pause = match self.claim(&client, &mut under_way).await {
                Ok(next) => {
                    outage.over();
                    backoff.reset();
                    self.until(next)
                }
                Err(error) => {
                    outage.failed("database", &error);
                    self.settings.webhook_every.max(backoff.delay())
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.store.deliveries_written() => {}
                () = under_way.ended() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        // None takes longer than its timeout; what is cut off nevertheless is sent again.
        let rest = async { while under_way.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(self.settings.drain, rest).await;
    }

    /// Never longer than the setting: another process can have something to send.
    fn until(&self, next: Option<DateTime<Utc>>) -> Duration {
        let left = next.map(|next| (next - self.clock.now()).to_std().unwrap_or_default());
        // What is due and was not claimed waits for a place, whose end wakes us.
        let left = left.filter(|left| !left.is_zero());
        left.unwrap_or(Duration::MAX).min(self.settings.webhook_every)
    }

    /// Begins with what is due and has a place. When something is due next.
    async fn claim(
        self: &Arc<Self>,
        client: &reqwest::Client,
        under_way: &mut UnderWay,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        let Some(next) = self.store.next_delivery().await? else { return Ok(None) };
        if next > self.clock.now() {
            return Ok(Some(next));
        }
        for webhook in self.store.enabled_webhooks(Direction::Out).await? {
            let free = SIDE_BY_SIDE.saturating_sub(under_way.to(webhook.id));
            if free == 0 {
                continue;
            }
            let (lease, now) = (self.settings.webhook_lease, self.clock.now());
            let webhook = Arc::new(webhook);
            for delivery in self.store.claim_deliveries(webhook.id, free, lease, now).await? {
                let (this, client, to) = (self.clone(), client.clone(), webhook.clone());
                let id = webhook.id;
                let task = under_way.tasks.spawn(async move {
                    if let Err(error) = this.deliver(&client, &to, &delivery).await {
                        tracing::warn!(
                            webhook = %to.spec.name, delivery = %delivery.id, error = %chain(&error),
                            "how a delivery went could not be written; it is sent again"
                        );
                    }
                    id
                });
                under_way.places.insert(task.id(), id);
            }
        }
        self.store.next_delivery().await
    }

    async fn deliver(
        &self,
        client: &reqwest::Client,
        webhook: &Webhook,
        delivery: &ClaimedDelivery,
    ) -> Result<(), StoreError> {
        let Way::Out { url, .. } = &webhook.spec.way else { return Ok(()) };
        // Deleted in this moment, and its deliveries with it.
        let Some(secret) = self.store.webhook_secret(webhook.id).await? else { return Ok(()) };
        let at = self.clock.now();
        let started = Instant::now();
        let posted = post::post(client, url, &secret, delivery, at.timestamp()).await;
        metrics::histogram!("farmhand_webhook_post_seconds").record(started.elapsed().as_secs_f64());
        let now = self.clock.now();
        let settlement = self.settlement(delivery, posted, now);
        let Posted { answer, took } = posted;
        let attempt = Attempt {
            at,
            status: answer.ok(),
            error: answer.err().map(str::to_owned),
            millis: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        };
        self.report(webhook, delivery, &attempt, settlement);
        self.store.settle_delivery(webhook.id, delivery, &attempt, settlement, now).await?;
        Ok(())
    }

    fn settlement(&self, delivery: &ClaimedDelivery, posted: Posted, now: DateTime<Utc>) -> Settlement {
        match posted.answer {
            Ok(200..=299) => return Settlement::Delivered,
            Ok(GONE) => return Settlement::Gone,
            Ok(_) | Err(_) => {}
        }
        let at = now + self.pause(delivery.attempts.len());
        if at >= delivery.give_up_at { Settlement::GivenUp } else { Settlement::RetryAt(at) }
    }

    /// Doubling, with jitter: receivers that come back are not met by everything at once.
    fn pause(&self, attempts_before: usize) -> Duration {
        let doublings = u32::try_from(attempts_before).unwrap_or(u32::MAX).min(20);
        let full = self.settings.webhook_retry_first.saturating_mul(2_u32.saturating_pow(doublings));
        full.min(self.settings.webhook_retry_most).mul_f64(0.75 + self.rng.fraction() / 4.0)
    }

    fn report(
        &self,
        webhook: &Webhook,
        delivery: &ClaimedDelivery,
        attempt: &Attempt,
        settlement: Settlement,
    ) {
        let outcome = match settlement {
            Settlement::Delivered => "delivered",
            Settlement::RetryAt(_) => "failed",
            Settlement::GivenUp => "given-up",
            Settlement::Gone => "gone",
        };
        metrics::counter!("farmhand_webhook_deliveries_total", "outcome" => outcome).increment(1);
        let (name, id) = (&webhook.spec.name, delivery.id);
        let status = attempt.status.map(|status| status.to_string());
        let answer = status.or_else(|| attempt.error.clone()).unwrap_or_default();
        match settlement {
            Settlement::Delivered => tracing::debug!(webhook = %name, delivery = %id, "delivered"),
            Settlement::RetryAt(at) => {
                tracing::info!(webhook = %name, delivery = %id, answer, %at, "not delivered; tried again");
            }
            Settlement::GivenUp => {
                tracing::warn!(webhook = %name, delivery = %id, answer, "a delivery is given up");
            }
            Settlement::Gone => {
                tracing::warn!(webhook = %name, "the receiver wants nothing more; the webhook is paused");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use domain::{DeliveryId, SystemRng, webhook::GIVE_UP_AFTER};

    use super::*;
    use crate::http::testing::World;

    fn posted(answer: Result<u16, &'static str>) -> Posted {
        Posted { answer, took: Duration::ZERO }
    }

    async fn deliverer() -> (World, Deliverer) {
        let world = World::new().await;
        let (store, clock, rng) = (world.store.clone(), world.clock.clone(), world.api.rng.clone());
        let deliverer = Deliverer { store, clock, rng, settings: Settings::default() };
        (world, deliverer)
    }

    fn claimed(attempts: usize, now: DateTime<Utc>) -> ClaimedDelivery {
        let attempt = Attempt { at: now, status: Some(500), error: None, millis: 1 };
        ClaimedDelivery {
            id: DeliveryId::new(now, &SystemRng),
            claim: 1,
            event_type: "x".to_owned(),
            body: Vec::new(),
            attempts: vec![attempt; attempts],
            give_up_at: now + GIVE_UP_AFTER,
            created_at: now,
        }
    }

    #[tokio::test]
    async fn what_an_answer_means() {
        let (world, deliverer) = deliverer().await;
        let now = world.clock.now();
        let of = |answer| deliverer.settlement(&claimed(0, now), posted(answer), now);
        for status in [200, 202, 204, 299] {
            assert_eq!(of(Ok(status)), Settlement::Delivered);
        }
        assert_eq!(of(Ok(410)), Settlement::Gone);
        for answer in [Ok(301), Ok(400), Ok(404), Ok(429), Ok(500), Err("timeout"), Err("connect")] {
            assert!(matches!(of(answer), Settlement::RetryAt(at) if at > now), "{answer:?}");
        }
    }

    #[tokio::test]
    async fn pauses_double_up_to_an_hour_and_a_day_ends_it() {
        let (world, deliverer) = deliverer().await;
        let start = world.clock.now();
        let (mut now, mut attempts, mut last) = (start, 0, TimeDelta::zero());
        while let Settlement::RetryAt(at) = deliverer.settlement(
            &ClaimedDelivery { give_up_at: start + GIVE_UP_AFTER, ..claimed(attempts, now) },
            posted(Err("connect")),
            now,
        ) {
            let pause = at - now;
            assert!(pause >= last.min(TimeDelta::minutes(44)) && pause <= TimeDelta::hours(1), "{pause}");
            (now, attempts, last) = (at, attempts + 1, pause);
        }
        assert!((25..50).contains(&attempts), "{attempts} attempts");
        let tried = now - start;
        assert!(tried > TimeDelta::hours(22) && tried < TimeDelta::hours(24), "{tried}");
    }
}
