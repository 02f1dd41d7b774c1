//! Requests of other systems, from the broker: judged and recorded as those over HTTP, answered
//! where somebody waits, and acknowledged only when their workflow is on record.
//!
//! One after the other, in the order in which they were published: a request for a farm's hosts
//! may follow the one that makes the farm.
//!
//! While the database is away a request is held, and tried again, for as long as a delivery may be
//! held. Each return counts towards the limit after which the broker makes a dead letter of a
//! message, so it is given back only then, and nothing more is taken before the database answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use domain::ids::uuid_v7;
use domain::{Clock, ErrorCode, Principal, Problem, Rng, Role};
use messages::{
    Answered, Asker, BusError, ReplyData, RequestConsumer, RequestDelivery, RequestEvent, Requests as Port,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::outage::{Backoff, Outage, chain};
use crate::requests::{Accepted, Ask, FarmRef, Refusal, RefusalKind, Request, RequestError, Requests};

/// Requests are taken one by one; the next ones are on their way meanwhile.
const PREFETCH: u16 = 16;
/// How long one answer may hold up the requests behind it. Far less than a delivery may be held:
/// the request comes again, and its asker asks again if it hears nothing.
const REPLY_PATIENCE: Duration = Duration::from_secs(120);

/// Who may ask over the broker, and through what.
#[derive(Clone)]
pub struct IntakeOptions {
    pub requests: Arc<dyn Port>,
    /// The broker's users with what they may do. Nobody else is heard.
    pub users: BTreeMap<String, BTreeSet<Role>>,
}

pub(crate) struct Intake {
    pub(crate) options: IntakeOptions,
    pub(crate) requests: Requests,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    /// How long a request is held while the database is away, or its answer cannot be sent.
    pub(crate) hold: Duration,
}

/// Why there is no workflow.
enum Trouble {
    Refused(Problem),
    /// The database is away.
    Away(store::StoreError),
    /// Our own fault; the request may be the cause of it.
    Fault(Box<dyn std::error::Error + Send + Sync>),
}

/// What follows for the consumer.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Go,
    /// The database or the broker stayed away: take nothing more before a pause.
    Rest,
}

impl Intake {
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut backoff = Backoff::new(self.rng.clone());
        let mut outage = Outage::new("intake");
        while !stop.is_cancelled() {
            let next = match self.options.requests.consume_requests(PREFETCH).await {
                Ok(consumer) => {
                    backoff.reset();
                    self.serve(consumer, &stop, &mut outage).await
                }
                Err(error) => {
                    outage.failed("broker", &error);
                    Next::Go
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.rested(next, &mut backoff) => {}
            }
        }
    }

    /// Before consuming anew: after a pause, and not before the database answers.
    async fn rested(&self, next: Next, backoff: &mut Backoff) {
        tokio::time::sleep(backoff.delay()).await;
        while next == Next::Rest && self.requests.store.ping().await.is_err() {
            tokio::time::sleep(backoff.delay()).await;
        }
    }

    /// Until the stop, the end of the consumer, or an outage that lasts.
    async fn serve(
        &self,
        mut consumer: Box<dyn RequestConsumer>,
        stop: &CancellationToken,
        outage: &mut Outage,
    ) -> Next {
        loop {
            let delivery = tokio::select! {
                () = stop.cancelled() => None,
                delivery = consumer.next() => delivery,
            };
            let Some(delivery) = delivery else { break };
            if self.handle(delivery, stop, outage).await == Next::Rest {
                // Cancelled, so that what it has not handed out goes back without a word.
                consumer.cancel().await;
                return Next::Rest;
            }
        }
        consumer.cancel().await;
        Next::Go
    }

    async fn handle(&self, delivery: RequestDelivery, stop: &CancellationToken, outage: &mut Outage) -> Next {
        let event = RequestEvent::parse(&delivery.body);
        let span = tracing::info_span!(
            "request",
            user = delivery.asker.user_id,
            request = event.as_ref().map(RequestEvent::key).unwrap_or_default(),
            redelivered = delivery.redelivered,
        );
        if let Some(traceparent) = event.as_ref().ok().and_then(|event| event.traceparent.as_deref()) {
            messages::trace::follow(&span, traceparent);
        }
        async {
            match self.judge_while_away(&delivery, event, stop, outage).await {
                Ok(accepted) => self.accept(delivery, accepted, stop, outage).await,
                Err(Trouble::Refused(problem)) => self.refuse(delivery, &problem, stop, outage).await,
                Err(Trouble::Away(_)) => {
                    settled(delivery.nack().await);
                    Next::Rest
                }
                Err(Trouble::Fault(error)) => {
                    // Given back so often that the broker buries it, should it never go better.
                    tracing::error!(error = %chain(error.as_ref()), "a request could not be judged");
                    settled(delivery.nack().await);
                    Next::Go
                }
            }
        }
        .instrument(span)
        .await
    }

    /// Tries again while the database is away and the delivery may be held.
    async fn judge_while_away(
        &self,
        delivery: &RequestDelivery,
        event: Result<RequestEvent, messages::EnvelopeError>,
        stop: &CancellationToken,
        outage: &mut Outage,
    ) -> Result<Accepted, Trouble> {
        let since = tokio::time::Instant::now();
        let mut backoff = Backoff::new(self.rng.clone());
        loop {
            let error = match self.judge(&delivery.asker, &event).await {
                Err(Trouble::Away(error)) => error,
                decided => {
                    outage.over();
                    return decided;
                }
            };
            outage.failed("database", &error);
            if since.elapsed() >= self.hold {
                return Err(Trouble::Away(error));
            }
            tokio::select! {
                () = stop.cancelled() => return Err(Trouble::Away(error)),
                () = tokio::time::sleep(backoff.delay()) => {}
            }
        }
    }

    async fn judge(
        &self,
        asker: &Asker,
        event: &Result<RequestEvent, messages::EnvelopeError>,
    ) -> Result<Accepted, Trouble> {
        let principal = self.principal(asker).map_err(Trouble::Refused)?;
        if let Some(queue) = asker.reply_to.as_deref().filter(|queue| !self.may_hear(queue, asker)) {
            return Err(Trouble::Refused(Problem::new(
                ErrorCode::InvalidRequest,
                format!(
                    "replies to {principal} do not go to the queue {queue:?}",
                    principal = principal.name
                ),
                "let reply_to name amq.rabbitmq.reply-to, a queue of your own whose name the broker made up, or \
                 your user's reply queue; docs/requests.md has their names",
            )));
        }
        let event = event.as_ref().map_err(|error| {
            Trouble::Refused(Problem::new(
                ErrorCode::InvalidRequest,
                format!("the message is no request: {error}"),
                "send a CloudEvent 1.0 in structured JSON mode; docs/requests.md and `farmhand asyncapi` describe it",
            ))
        })?;
        let farm = event.farm.as_ref();
        let farm = farm.map(|name| FarmRef { name: name.clone(), directory: event.directory.clone() });
        let body = match &event.data {
            serde_json::Value::Null => Vec::new(),
            data => serde_json::to_vec(data).map_err(|error| Trouble::Fault(error.into()))?,
        };
        let request = Request::parse(event.kind.as_str(), farm, event.directory.as_deref(), &body)
            .map_err(|refusal| Trouble::Refused(refusal.problem))?;
        let ask = Ask {
            plan: event.plan,
            reason: event.reason.clone(),
            idempotency_key: Some(event.key()),
            traceparent: event.traceparent.clone(),
        };
        self.requests.submit(&request, ask, &principal).await.map_err(|error| match error {
            RequestError::Refused(refusal) => Trouble::Refused(in_our_words(refusal)),
            RequestError::Store(error) if error.is_passing() => Trouble::Away(error),
            RequestError::Store(error) => Trouble::Fault(error.into()),
            RequestError::Fault(error) => Trouble::Fault(error.into()),
        })
    }

    /// Who asks, as it is recorded: the broker's word for it.
    fn principal(&self, asker: &Asker) -> Result<Principal, Problem> {
        let Some(user) = &asker.user_id else {
            return Err(Problem::new(
                ErrorCode::Unauthenticated,
                "the message does not say whose it is",
                "set the AMQP property user_id to the user of the connection; RabbitMQ checks it",
            ));
        };
        let roles = self.options.users.get(user).ok_or_else(|| {
            Problem::new(
                ErrorCode::Forbidden,
                format!("RabbitMQ's user {user:?} may not ask for work"),
                "an administrator of Farmhand names the user with its roles under [intake.users]",
            )
        })?;
        Ok(Principal { name: format!("amqp:{user}"), roles: roles.clone() })
    }

    fn may_hear(&self, queue: &str, asker: &Asker) -> bool {
        self.options.requests.takes_replies(queue, asker.user_id.as_deref().unwrap_or_default())
    }

    async fn accept(
        &self,
        delivery: RequestDelivery,
        accepted: Accepted,
        stop: &CancellationToken,
        outage: &mut Outage,
    ) -> Next {
        let workflow = &accepted.workflow;
        tracing::info!(workflow = %workflow.id, kind = %workflow.kind, by = workflow.requested_by, replayed = accepted.replayed, "a request was taken");
        count(workflow.kind.as_str(), if accepted.replayed { "replayed" } else { "accepted" });
        let data = ReplyData::accepted(workflow, accepted.replayed);
        if !self.reply_while_away(&delivery, &data, stop, outage).await {
            settled(delivery.nack().await);
            return Next::Rest;
        }
        settled(delivery.ack().await);
        Next::Go
    }

    async fn refuse(
        &self,
        delivery: RequestDelivery,
        problem: &Problem,
        stop: &CancellationToken,
        outage: &mut Outage,
    ) -> Next {
        tracing::warn!(code = %problem.code, problem = problem.message, "a request was refused");
        count("", problem.code.as_str());
        if !self.reply_while_away(&delivery, &ReplyData::refused(problem), stop, outage).await {
            settled(delivery.nack().await);
            return Next::Rest;
        }
        settled(delivery.dead_letter(&format!("{}: {}", problem.code, problem.message)).await);
        Next::Go
    }

    /// Whether the answer is out, or nobody can hear it. Tries again while the broker is away:
    /// requests come on one connection and answers leave on another, so after an outage requests
    /// can be here before answers can leave, and giving a request back at once would use up its
    /// returns in milliseconds.
    async fn reply_while_away(
        &self,
        delivery: &RequestDelivery,
        data: &ReplyData<'_>,
        stop: &CancellationToken,
        outage: &mut Outage,
    ) -> bool {
        let since = tokio::time::Instant::now();
        let mut backoff = Backoff::new(self.rng.clone());
        loop {
            let Err(error) = self.reply(delivery, data).await else {
                outage.over();
                return true;
            };
            outage.failed("reply", &error);
            if since.elapsed() >= self.hold.min(REPLY_PATIENCE) {
                return false;
            }
            tokio::select! {
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(backoff.delay()) => {}
            }
        }
    }

    /// Sends the answer, if somebody waits for it. An error: the broker is away, so the request may
    /// not be settled yet.
    async fn reply(&self, delivery: &RequestDelivery, data: &ReplyData<'_>) -> Result<(), BusError> {
        let Some(queue) =
            delivery.asker.reply_to.as_ref().filter(|queue| self.may_hear(queue, &delivery.asker))
        else {
            return Ok(());
        };
        let now = self.clock.now();
        let id = uuid_v7(now, self.rng.as_ref());
        let body = match data.to_bytes(id, now, &Answered::peek(&delivery.body)) {
            Ok(body) => body,
            Err(error) => {
                tracing::error!(%error, "a reply could not be written");
                return Ok(());
            }
        };
        let reply = messages::Reply {
            to: queue.clone(),
            correlation_id: delivery.asker.correlation_id.clone(),
            message_id: id.to_string(),
            body,
        };
        match self.options.requests.reply(&reply).await {
            Ok(()) => Ok(()),
            Err(error @ (BusError::Unreachable(_) | BusError::Closed)) => Err(error),
            Err(error) => {
                tracing::error!(
                    error = %chain(&error), queue,
                    "a reply could not be published; Farmhand's own user must be allowed to write to amq.default"
                );
                Ok(())
            }
        }
    }
}

/// The hint of a missing role is about tokens otherwise.
fn in_our_words(refusal: Refusal) -> Problem {
    match refusal.kind {
        RefusalKind::Forbidden => Problem {
            hint: "an administrator of Farmhand gives the user the role under [intake.users]".to_owned(),
            ..refusal.problem
        },
        _ => refusal.problem,
    }
}

/// A request that could not be settled comes again, and is known by its key.
fn settled(result: Result<(), BusError>) {
    if let Err(error) = result {
        tracing::debug!(error = %chain(&error), "a request could not be settled; it comes again");
    }
}

fn count(kind: &str, outcome: &'static str) {
    metrics::counter!("farmhand_requests_total", "kind" => kind.to_owned(), "outcome" => outcome)
        .increment(1);
}

#[cfg(test)]
#[path = "intake_tests.rs"]
mod tests;
