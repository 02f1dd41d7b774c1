//! Hears what is announced, by Farmhand and by others, and has rules and webhooks react to it. Any
//! number of these share the queue; the store lets each event through once for each rule.
//!
//! What nobody is for is acknowledged at once. The rest is worked on side by side, a few at a time;
//! what asks for a containment waits for none of them. An event is acknowledged when everything that
//! follows from it is committed, and held while the database is away.

use std::sync::Arc;
use std::time::Duration;

use domain::rule::RuleEvent;
use domain::webhook::Direction;
use domain::{Clock, DeliveryId, FiringOutcome, Rng, WorkflowKind};
use messages::{Announcements, BusError, CloudEvent, Heard, Listener, Publisher};
use sha2::{Digest, Sha256};
use store::{HeardEvent, NewDelivery, Reacted, SettledFiring, Store, StoreError, Webhook};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::Rules;
use super::plan::{Match, ReadyRule, Seen};
use crate::options::Settings;
use crate::outage::{Backoff, Outage, chain};

/// How many events are worked on side by side, apart from urgent ones.
const SIDE_BY_SIDE: usize = 4;
/// How long another process may not know of a change; ours knows at once. What was changed is
/// looked at again before anything is recorded.
const BELIEVED_FOR: Duration = Duration::from_secs(1);
const PRUNE_EVERY: Duration = Duration::from_secs(15 * 60);
const PRUNE_BATCH: u32 = 1_000;
/// How long the same call of a webhook is known.
const KEEP_RECEIPTS: Duration = Duration::from_secs(7 * 24 * 60 * 60);

pub(crate) struct Reactor {
    pub(crate) rules: Rules,
    pub(crate) announcements: Arc<dyn Announcements>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) settings: Settings,
    known: Mutex<Option<Known>>,
    ordinary: Semaphore,
}

/// Rules and webhooks as they were read.
#[derive(Clone)]
struct Known {
    version: u64,
    at: Instant,
    rules: Arc<Vec<ReadyRule>>,
    webhooks: Arc<Vec<Webhook>>,
}

/// An event that was understood.
struct Understood {
    event: RuleEvent,
    traceparent: Option<String>,
    body: Vec<u8>,
}

/// What follows from an event, before the database is asked.
#[derive(Default)]
struct Concerned {
    /// By their place in what is known.
    rules: Vec<(usize, Match)>,
    webhooks: Vec<usize>,
    urgent: bool,
}

impl Reactor {
    pub(crate) fn new(
        rules: Rules,
        announcements: Arc<dyn Announcements>,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        settings: Settings,
    ) -> Self {
        let ordinary = Semaphore::new(SIDE_BY_SIDE);
        Self { rules, announcements, clock, rng, settings, known: Mutex::new(None), ordinary }
    }

    fn store(&self) -> &Store {
        self.rules.store()
    }

    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut backoff = Backoff::new(self.rng.clone());
        let mut outage = Outage::new("reactor");
        while !stop.is_cancelled() {
            match self.announcements.listen(self.settings.react_prefetch).await {
                Ok(listener) => {
                    outage.over();
                    backoff.reset();
                    self.clone().serve(listener, &stop).await;
                }
                Err(error) => drop(outage.failed("broker", &error)),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(backoff.delay()) => {}
            }
        }
    }

    /// Until the stop, or the end of the listener.
    async fn serve(self: Arc<Self>, mut listener: Box<dyn Listener>, stop: &CancellationToken) {
        let mut under_way = JoinSet::new();
        let mut prune_at = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                heard = listener.next() => match heard {
                    Some(heard) => self.clone().take(heard, &mut under_way, stop).await,
                    None => break,
                },
                Some(ended) = under_way.join_next() => log_panic(ended),
                () = tokio::time::sleep_until(prune_at) => {
                    self.prune(stop).await;
                    prune_at = Instant::now() + PRUNE_EVERY;
                }
            }
        }
        // What it has not handed out goes back without a word.
        listener.cancel().await;
        while let Some(ended) = under_way.join_next().await {
            log_panic(ended);
        }
    }

    /// Settles an event that nobody is for, and begins with the others.
    async fn take(self: Arc<Self>, heard: Heard, under_way: &mut JoinSet<()>, stop: &CancellationToken) {
        let understood = match understand(&heard) {
            Ok(understood) => understood,
            Err(error) => {
                count("dead");
                tracing::warn!(publisher = %heard.publisher, %error, "what was announced is no event");
                settled(heard.dead_letter(&error.to_string()).await);
                return;
            }
        };
        let Some(known) = self.known_while_away(stop).await else {
            settled(heard.nack().await);
            return;
        };
        let concerned = concerned(&known, &understood.event);
        if concerned.rules.is_empty() && concerned.webhooks.is_empty() {
            count("passed");
            settled(heard.ack().await);
            return;
        }
        let (reactor, stop) = (self, stop.clone());
        let span = tracing::info_span!(
            "reaction",
            kind = understood.event.kind,
            redelivered = heard.redelivered,
            urgent = concerned.urgent,
        );
        if let Some(traceparent) = &understood.traceparent {
            messages::trace::link(&span, traceparent);
        }
        under_way.spawn(
            async move {
                // A containment waits for no other event's reactions. Closed it never is.
                let _turn = match concerned.urgent {
                    true => None,
                    false => reactor.ordinary.acquire().await.ok(),
                };
                let done = reactor.react_while_away(&understood, known, &stop).await;
                settled(if done { heard.ack().await } else { heard.nack().await });
            }
            .instrument(span),
        );
    }

    /// Whether everything that follows is on record. Tries again while the database is away and the
    /// event may be held.
    async fn react_while_away(
        &self,
        understood: &Understood,
        mut known: Known,
        stop: &CancellationToken,
    ) -> bool {
        let since = Instant::now();
        let mut backoff = Backoff::new(self.rng.clone());
        let mut outage = Outage::new("reactor");
        loop {
            let error = match self.react(understood, &known).await {
                Ok(Reacted::Recorded(recorded)) => {
                    outage.over();
                    count("reacted");
                    recorded.iter().for_each(|(rule, settled)| report(&known, *rule, settled));
                    return true;
                }
                Ok(Reacted::Stale) => match self.known(true).await {
                    Ok(anew) => {
                        known = anew;
                        continue;
                    }
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if !error.is_passing() {
                // Given back so often that the broker buries it, should it never go better.
                tracing::error!(error = %chain(&error), "the reaction to an event could not be recorded");
                return false;
            }
            outage.failed("database", &error);
            if since.elapsed() >= self.settings.intake_hold {
                return false;
            }
            tokio::select! {
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(backoff.delay()) => {}
            }
        }
    }

    async fn react(&self, understood: &Understood, known: &Known) -> Result<Reacted, StoreError> {
        let event = &understood.event;
        let concerned = concerned(known, event);
        let seen = Seen { event, traceparent: understood.traceparent.as_deref() };
        let mut firings = Vec::with_capacity(concerned.rules.len());
        for (at, matched) in &concerned.rules {
            let rule = &known.rules[*at].rule;
            match self.rules.plan(rule, matched, &seen).await? {
                Some(planned) => firings.push(planned),
                None => {
                    count("own");
                    tracing::debug!(rule = %rule.spec.name, "an event of its own work does not fire a rule");
                }
            }
        }
        let now = self.clock.now();
        let delivery = |at: &usize| NewDelivery {
            id: DeliveryId::new(now, self.rng.as_ref()),
            webhook: known.webhooks[*at].id,
            body: understood.body.clone(),
        };
        let deliveries: Vec<_> = concerned.webhooks.iter().map(delivery).collect();
        if firings.is_empty() && deliveries.is_empty() {
            return Ok(Reacted::Recorded(Vec::new()));
        }
        self.store().react(&named(event), &firings, &deliveries, now).await
    }

    /// Rules and webhooks, as they are or were a moment ago.
    async fn known(&self, anew: bool) -> Result<Known, StoreError> {
        let mut remembered = self.known.lock().await;
        let version = self.store().reactions_version();
        if let Some(known) = &*remembered
            && !anew
            && known.version == version
            && known.at.elapsed() < BELIEVED_FOR
        {
            return Ok(known.clone());
        }
        let at = Instant::now();
        let rules = self.store().enabled_rules().await?.into_iter().map(ReadyRule::new).collect();
        let webhooks = self.store().enabled_webhooks(Direction::Out).await?;
        let known = Known { version, at, rules: Arc::new(rules), webhooks: Arc::new(webhooks) };
        *remembered = Some(known.clone());
        Ok(known)
    }

    /// `None`: the stop came first, or the database stayed away for as long as an event is held.
    async fn known_while_away(&self, stop: &CancellationToken) -> Option<Known> {
        let since = Instant::now();
        let mut backoff = Backoff::new(self.rng.clone());
        let mut outage = Outage::new("reactor");
        loop {
            match self.known(false).await {
                Ok(known) => {
                    outage.over();
                    return Some(known);
                }
                Err(error) => drop(outage.failed("database", &error)),
            }
            if since.elapsed() >= self.settings.intake_hold {
                return None;
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(backoff.delay()) => {}
            }
        }
    }

    async fn prune(&self, stop: &CancellationToken) {
        let now = self.clock.now();
        let before = now - self.settings.keep_reactions;
        while !stop.is_cancelled() {
            let pruned = async {
                let firings = self.store().prune_firings(before, PRUNE_BATCH).await?;
                let deliveries = self.store().prune_deliveries(before, now - KEEP_RECEIPTS, PRUNE_BATCH);
                Ok::<_, StoreError>(firings.max(deliveries.await?))
            };
            match pruned.await {
                Ok(pruned) if pruned >= u64::from(PRUNE_BATCH) => {}
                Ok(_) => return,
                Err(error) => {
                    tracing::debug!(error = %chain(&error), "old reactions are forgotten later");
                    return;
                }
            }
        }
    }
}

fn understand(heard: &Heard) -> Result<Understood, messages::EnvelopeError> {
    let CloudEvent { id, source, kind, subject, time, traceparent, data } = CloudEvent::parse(&heard.body)?;
    let (own, publisher) = match &heard.publisher {
        Publisher::Farmhand => (true, None),
        Publisher::User(user) => (false, Some(user.clone())),
        Publisher::Unknown => (false, None),
    };
    let event = RuleEvent { id, source, kind, subject, time, own, publisher, data };
    Ok(Understood { event, traceparent, body: heard.body.clone() })
}

/// By source and id, as CloudEvents names events; and by who published it, so that nobody can take
/// the name of another's event and keep it from being heard.
fn named(event: &RuleEvent) -> HeardEvent {
    let publisher = if event.own { "" } else { event.publisher.as_deref().unwrap_or("?") };
    let mut digest = Sha256::new();
    for part in [publisher, &event.source, &event.id] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    HeardEvent {
        key: hex::encode(digest.finalize()),
        id: event.id.clone(),
        source: event.source.clone(),
        kind: event.kind.clone(),
        subject: event.subject.clone(),
    }
}

fn concerned(known: &Known, event: &RuleEvent) -> Concerned {
    let mut concerned = Concerned::default();
    for (at, rule) in known.rules.iter().enumerate() {
        match rule.matches(event) {
            Match::No(_) => {}
            matched => {
                concerned.urgent |= rule.rule.spec.action.kind == WorkflowKind::COMPROMISE_REMOVAL;
                concerned.rules.push((at, matched));
            }
        }
    }
    // Only our own go out: what others announce is theirs to tell.
    if event.own {
        let wanting =
            known.webhooks.iter().enumerate().filter(|(_, webhook)| webhook.spec.wants(&event.kind));
        concerned.webhooks = wanting.map(|(at, _)| at).collect();
    }
    concerned
}

fn report(known: &Known, rule: domain::RuleId, settled: &SettledFiring) {
    let name = known.rules.iter().find(|ready| ready.rule.id == rule).map(|ready| &ready.rule.spec.name);
    let rule = name.map(ToString::to_string).unwrap_or_default();
    let outcome = settled.outcome;
    metrics::counter!("farmhand_rule_firings_total", "outcome" => outcome.as_str()).increment(1);
    let detail = settled.detail.as_deref().unwrap_or_default();
    match outcome {
        FiringOutcome::Fired | FiringOutcome::DryRun => {
            let workflow = settled.workflow.map(|id| id.to_string()).unwrap_or_default();
            tracing::info!(rule, %outcome, workflow, "a rule fired");
        }
        FiringOutcome::Deduplicated => tracing::info!(rule, %outcome, detail, "a rule did not fire"),
        FiringOutcome::RateLimited | FiringOutcome::Refused | FiringOutcome::Failed => {
            tracing::warn!(rule, %outcome, detail, "a rule did not fire; `farmhand rule firings NAME` shows it");
        }
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("farmhand_events_heard_total", "outcome" => outcome).increment(1);
}

/// An event that could not be settled comes again, and is known.
fn settled(result: Result<(), BusError>) {
    if let Err(error) = result {
        tracing::debug!(error = %chain(&error), "an event could not be settled; it comes again");
    }
}

/// The event of a task that panicked was dropped with it, and comes again.
fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        tracing::error!("a reaction panicked (this is a bug: please report it)");
    }
}

#[cfg(test)]
#[path = "reactor_tests.rs"]
mod tests;
