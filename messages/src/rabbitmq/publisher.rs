//! Publishing: one task owns the connection and its channel, callers hand it messages.
//!
//! One task, because on a channel that several tasks publish to, lapin neither keeps the order of
//! delivery tags and frames together nor ties a returned message to its publish: the confirm of
//! one message could be taken for another's. Confirms are awaited side by side, so thousands of
//! publishes can be under way.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::Poll;

use futures::FutureExt;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use lapin::message::BasicReturnMessage;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio::sync::{mpsc, oneshot, watch};

use domain::Lane;

use super::error::LinkError;
use super::link::{Core, Link, Pauses, establish};
use super::options::Settings;
use crate::bus::Origin;
use crate::envelope::{self, CONTENT_TYPE};
use crate::topology::{DEAD_LETTER_ORIGIN, DEAD_LETTER_REASON};
use crate::{BusError, Topology};

/// Publishes under way at most; more wait their turn.
const WINDOW: usize = 2_048;
/// Commands taken from the queue at once.
const BATCH: usize = 128;
pub(super) const PERSISTENT: u8 = 2;
/// The name of the connection that publishes work.
pub(super) const ROLE: &str = "publish";

/// Something to publish.
pub(super) struct Message {
    exchange: String,
    routing_key: String,
    id: ShortString,
    headers: FieldTable,
    /// Comes back where no queue takes it.
    mandatory: bool,
    /// Who says it; the broker checks it.
    user: Option<ShortString>,
    body: Vec<u8>,
}

impl Message {
    pub fn event(topology: &Topology, lane: Lane, event_id: &str, body: &[u8]) -> Self {
        Self {
            exchange: topology.workflows_exchange(),
            routing_key: topology.routing_key(lane),
            id: ShortString::try_new(event_id).unwrap_or_default(),
            headers: trace_headers(body),
            mandatory: true,
            user: None,
            body: body.to_vec(),
        }
    }

    pub fn announcement(settings: &Settings, event_type: &str, event_id: &str, body: &[u8]) -> Self {
        Self {
            exchange: settings.topology.events_exchange(),
            routing_key: event_type.to_owned(),
            id: ShortString::try_new(event_id).unwrap_or_default(),
            headers: trace_headers(body),
            mandatory: false,
            user: ShortString::try_new(settings.user()).ok().filter(|user| !user.as_str().is_empty()),
            body: body.to_vec(),
        }
    }

    pub fn dead(
        topology: &Topology,
        origin: Origin,
        id: Option<ShortString>,
        body: &[u8],
        reason: &str,
    ) -> Self {
        let mut headers = FieldTable::default();
        headers.insert(DEAD_LETTER_REASON.into(), text(reason));
        headers.insert(DEAD_LETTER_ORIGIN.into(), text(origin.as_str()));
        Self {
            exchange: topology.dead_letters(),
            routing_key: String::new(),
            id: id.unwrap_or_default(),
            headers,
            mandatory: true,
            user: None,
            body: body.to_vec(),
        }
    }
}

fn trace_headers(body: &[u8]) -> FieldTable {
    let mut headers = FieldTable::default();
    if let Some(trace) = envelope::traceparent_of(body) {
        headers.insert("traceparent".into(), text(&trace));
    }
    headers
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}

enum Command {
    Publish(Publishing),
    /// The publishing connection, for a channel of the caller's own.
    Borrow(oneshot::Sender<Result<Arc<Connection>, BusError>>),
}

struct Publishing {
    message: Message,
    reply: oneshot::Sender<Result<(), BusError>>,
}

impl Command {
    fn refuse(self, error: &LinkError) {
        // Whoever no longer waits needs no answer.
        match self {
            Self::Publish(publishing) => _ = publishing.reply.send(Err(error.to_bus_error())),
            Self::Borrow(reply) => _ = reply.send(Err(error.to_bus_error())),
        }
    }
}

/// The callers' side.
#[derive(Clone)]
pub(super) struct Publisher {
    core: Arc<Core>,
    commands: mpsc::Sender<Command>,
}

impl Publisher {
    /// A connection of its own under that name.
    pub fn start(core: &Arc<Core>, role: &'static str) -> Self {
        let (commands, queue) = mpsc::channel(WINDOW);
        core.tasks.spawn(run(core.clone(), role, queue));
        Self { core: core.clone(), commands }
    }

    /// Publishes and waits for the confirm, for `confirm_timeout` at most. A message whose
    /// confirm was not waited for may arrive all the same.
    pub async fn publish(&self, message: Message) -> Result<(), BusError> {
        self.ask(|reply| Command::Publish(Publishing { message, reply })).await
    }

    pub async fn connection(&self) -> Result<Arc<Connection>, BusError> {
        self.ask(Command::Borrow).await
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, BusError>>) -> Command,
    ) -> Result<T, BusError> {
        self.core.ensure_open()?;
        let (reply, answer) = oneshot::channel();
        let asking = async {
            self.commands.send(command(reply)).await.map_err(|_| BusError::Closed)?;
            // No answer: the connection went while the message was under way, or the bus was
            // closed before there was one.
            answer
                .await
                .unwrap_or_else(|_| Err(self.core.ensure_open().err().unwrap_or(BusError::Unreachable(None))))
        };
        match tokio::time::timeout(self.core.settings.confirm_timeout, asking).await {
            Ok(answered) => answered,
            Err(_) => Err(BusError::Unreachable(Some("the broker did not confirm in time".into()))),
        }
    }
}

async fn run(core: Arc<Core>, role: &'static str, mut queue: mpsc::Receiver<Command>) {
    let mut pauses = Pauses::new(&core.settings);
    let mut connected_before = false;
    while let Some(link) = connect(&core, role, &mut queue, &mut pauses).await {
        if connected_before {
            metrics::counter!("farmhand_bus_reconnects_total", "link" => role).increment(1);
        }
        connected_before = true;
        let mut channel = PublishChannel::new(core.clone(), role, link);
        match channel.serve(&mut queue).await {
            Some(error) => {
                pauses.lost(channel.link.was_stable());
                core.board.down(role, error.text());
            }
            None => {
                channel.link.close().await;
                break;
            }
        }
    }
    core.board.forget(role);
}

/// Connects; meanwhile answers callers, once it is known that this will take a while. `None`
/// when the bus closes.
async fn connect(
    core: &Arc<Core>,
    role: &'static str,
    queue: &mut mpsc::Receiver<Command>,
    pauses: &mut Pauses,
) -> Option<Link> {
    let verdict = watch::Sender::new(None);
    let mut heard = verdict.subscribe();
    let establishing = establish(core, role, pauses, &verdict, || open(core.clone(), role).boxed());
    tokio::pin!(establishing);
    loop {
        let failing: Option<LinkError> = heard.borrow_and_update().clone();
        tokio::select! {
            biased;
            () = core.closing.cancelled() => return None,
            link = &mut establishing => return Some(link),
            _ = heard.changed() => {}
            command = queue.recv(), if failing.is_some() => match (command, failing) {
                (Some(command), Some(error)) => command.refuse(&error),
                _ => return None,
            },
        }
    }
}

async fn open(core: Arc<Core>, role: &'static str) -> Result<Link, LinkError> {
    let link = Link::open(&core, role).await?;
    link.channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(LinkError::opening)?;
    Ok(link)
}

/// A publish that has its answer.
struct Answered {
    publishing: Publishing,
    answer: lapin::Result<Confirmation>,
}

struct PublishChannel {
    core: Arc<Core>,
    role: &'static str,
    link: Link,
    under_way: FuturesUnordered<BoxFuture<'static, Answered>>,
    /// Messages that came back, by id, whose own confirm has not been seen yet.
    returned: HashMap<String, usize>,
}

impl PublishChannel {
    fn new(core: Arc<Core>, role: &'static str, link: Link) -> Self {
        Self { core, role, link, under_way: FuturesUnordered::new(), returned: HashMap::new() }
    }

    /// Publishes until the connection is lost (the error) or the bus closes (`None`).
    async fn serve(&mut self, queue: &mut mpsc::Receiver<Command>) -> Option<LinkError> {
        let mut commands = Vec::with_capacity(BATCH);
        let mut closed = false;
        loop {
            if closed && self.under_way.is_empty() {
                return None;
            }
            tokio::select! {
                biased;
                answered = all_answered(&mut self.under_way), if !self.under_way.is_empty() => {
                    if let Err(error) = self.conclude(answered).await {
                        return Some(error);
                    }
                }
                taken = queue.recv_many(&mut commands, BATCH), if !closed && self.under_way.len() < WINDOW => {
                    closed = taken == 0;
                    commands.drain(..).for_each(|command| self.begin(command));
                }
                error = self.link.lost(&self.core, self.role) => return Some(error),
                // What is queued is still published, nothing new is taken.
                () = self.core.closing.cancelled(), if !queue.is_closed() => queue.close(),
            }
        }
    }

    fn begin(&mut self, command: Command) {
        match command {
            Command::Publish(publishing) => {
                self.under_way.push(publish(self.link.channel.clone(), publishing).boxed());
            }
            Command::Borrow(reply) => _ = reply.send(Ok(self.link.connection.clone())),
        }
    }

    /// Tells the callers. A message that came back is known by its id, not by the confirm that
    /// lapin attached it to: when the broker confirms several at once, that may be any of them.
    async fn conclude(&mut self, answered: Vec<Answered>) -> Result<(), LinkError> {
        for Answered { answer, .. } in &answered {
            if let Ok(Confirmation::Ack(Some(message)) | Confirmation::Nack(Some(message))) = answer {
                *self.returned.entry(message_id(message)).or_default() += 1;
            }
        }
        let mut unroutable = false;
        for Answered { publishing, answer } in answered {
            let came_back = self.came_back(publishing.message.id.as_str());
            unroutable |= came_back;
            let answer = match answer {
                Err(error) => Err(LinkError::working(error).to_bus_error()),
                Ok(_) if came_back => Err(BusError::Unroutable(describe(&publishing.message))),
                Ok(Confirmation::Ack(_)) => Ok(()),
                Ok(Confirmation::Nack(_)) => {
                    Err(BusError::Rejected("the queue did not take it (negative confirm)".to_owned()))
                }
                Ok(Confirmation::NotRequested) => {
                    Err(BusError::Rejected("no confirm was asked for".to_owned()))
                }
            };
            // Whoever no longer waits needs no answer.
            let _ = publishing.reply.send(answer);
        }
        if unroutable {
            // Somebody deleted a queue or a binding: mend it for the next try.
            self.core.declare(&self.link.channel).await?;
            self.core.queues_renewed.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    fn came_back(&mut self, id: &str) -> bool {
        let Some(count) = self.returned.get_mut(id) else { return false };
        *count -= 1;
        if *count == 0 {
            self.returned.remove(id);
        }
        true
    }
}

async fn publish(channel: Channel, publishing: Publishing) -> Answered {
    let message = &publishing.message;
    let mut properties = BasicProperties::default()
        .with_content_type(CONTENT_TYPE.into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(message.id.clone())
        .with_app_id("farmhand".into())
        .with_headers(message.headers.clone());
    if let Some(user) = &message.user {
        properties = properties.with_user_id(user.clone());
    }
    let options = BasicPublishOptions { mandatory: message.mandatory, immediate: false };
    let (exchange, key) = (message.exchange.as_str().into(), message.routing_key.as_str().into());
    let sent = channel.basic_publish(exchange, key, options, &message.body, properties).await;
    let answer = match sent {
        Ok(confirm) => confirm.await,
        Err(error) => Err(error),
    };
    Answered { publishing, answer }
}

/// Everything that is answered by now, at least one. lapin answers several publishes one after
/// the other for one frame of the broker; whoever looks at a message that came back must see them
/// all, so this goes on until a whole pass brings nothing new.
async fn all_answered(under_way: &mut FuturesUnordered<BoxFuture<'static, Answered>>) -> Vec<Answered> {
    std::future::poll_fn(|context| {
        let mut answered = Vec::new();
        loop {
            let before = answered.len();
            while let Poll::Ready(Some(one)) = under_way.poll_next_unpin(context) {
                answered.push(one);
            }
            if answered.len() == before {
                break;
            }
        }
        if answered.is_empty() { Poll::Pending } else { Poll::Ready(answered) }
    })
    .await
}

fn message_id(message: &BasicReturnMessage) -> String {
    message.delivery.properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default()
}

fn describe(message: &Message) -> String {
    if message.routing_key.is_empty() {
        message.exchange.clone()
    } else {
        format!("{} with key {}", message.exchange, message.routing_key)
    }
}
