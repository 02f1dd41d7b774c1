//! The promises of the port for requests, kept by both adapters.

use messages::rabbitmq::DIRECT_REPLY_TO;
use messages::{Asker, Origin, RabbitMqAsker, Reply, RequestConsumer, RequestDelivery, Requests};

use super::*;

/// A bus from both sides: the intake's and an asker's.
pub struct Desk {
    bus: Shared,
    requests: Arc<dyn Requests>,
    asking: Asking,
}

enum Asking {
    Memory(Arc<MemoryBus>),
    RabbitMq(Box<tokio::sync::Mutex<RabbitMqAsker>>),
}

/// What becomes of direct reply-to on the way through the in-process bus.
const MADE_UP: &str = "amq.rabbitmq.reply-to.1";

/// The asker's user: that of the broker's URL.
fn user() -> String {
    let url = url::Url::parse(&broker_url()).expect("a URL");
    url.username().to_owned()
}

impl Desk {
    pub fn in_memory() -> Self {
        let bus = Arc::new(MemoryBus::new());
        Self { bus: bus.clone(), requests: bus.clone(), asking: Asking::Memory(bus) }
    }

    pub async fn on(broker: &Broker) -> Self {
        let bus = Arc::new(RabbitMqBus::start(&broker.options).expect("options that work"));
        // The exchange is there when the bus has declared it.
        eventually("the intake is declared", async || bus.requests_waiting().await.is_ok()).await;
        let asker = RabbitMqAsker::connect(&broker.options).await.expect("connected");
        let asking = Asking::RabbitMq(Box::new(tokio::sync::Mutex::new(asker)));
        Self { bus: bus.clone(), requests: bus, asking }
    }

    async fn ask_as(&self, asker: Asker, body: &[u8]) {
        let asked = match &self.asking {
            Asking::Memory(bus) => {
                // As a broker does it.
                let reply_to = asker.reply_to.map(|queue| queue.replace(DIRECT_REPLY_TO, MADE_UP));
                bus.ask(Asker { reply_to, ..asker }, body)
            }
            Asking::RabbitMq(own) => own.lock().await.ask(&asker, body).await,
        };
        asked.expect("the broker takes it");
    }

    async fn ask(&self, body: &str) {
        let asker = Asker {
            user_id: Some(user()),
            reply_to: Some(DIRECT_REPLY_TO.to_owned()),
            correlation_id: Some(format!("mark of {body}")),
            message_id: Some(format!("id of {body}")),
        };
        self.ask_as(asker, body.as_bytes()).await;
    }

    async fn next_reply(&self) -> Reply {
        let next = async {
            match &self.asking {
                Asking::Memory(bus) => {
                    bus.take_reply(MADE_UP).map(|reply| Reply { to: DIRECT_REPLY_TO.to_owned(), ..reply })
                }
                Asking::RabbitMq(own) => own.lock().await.next_reply().await,
            }
        };
        tokio::time::timeout(PATIENCE, next).await.expect("in time").expect("a reply")
    }

    async fn consume(&self, prefetch: u16) -> Box<dyn RequestConsumer> {
        self.requests.consume_requests(prefetch).await.expect("consuming")
    }

    async fn waiting_becomes(&self, count: u64) {
        eventually(&format!("{count} requests wait"), async || {
            self.requests.requests_waiting().await.ok() == Some(count)
        })
        .await;
    }

    async fn buried(&self, expected: &[DeadLetter]) {
        eventually("the dead letters are as they should be", async || {
            self.bus.dead_letters(10).await.ok().as_deref() == Some(expected)
        })
        .await;
    }
}

async fn take(consumer: &mut Box<dyn RequestConsumer>) -> RequestDelivery {
    let next = tokio::time::timeout(PATIENCE, consumer.next()).await;
    next.expect("a request in time").expect("the consumer goes on")
}

async fn is_quiet(consumer: &mut Box<dyn RequestConsumer>) {
    let next = tokio::time::timeout(QUIET, consumer.next()).await;
    assert!(next.is_err(), "nothing should have come, but {next:?}");
}

fn text(delivery: &RequestDelivery) -> &str {
    std::str::from_utf8(&delivery.body).expect("UTF-8")
}

fn letter(reason: &str, body: &[u8]) -> DeadLetter {
    DeadLetter { origin: Some(Origin::Intake), reason: reason.to_owned(), body: body.to_vec() }
}

pub async fn a_request_comes_with_who_asks_and_is_gone_after_the_ack(desk: Desk) {
    desk.ask("one").await;
    desk.waiting_becomes(1).await;
    let mut consumer = desk.consume(4).await;
    let request = take(&mut consumer).await;
    assert_eq!((text(&request), request.redelivered), ("one", false));
    let Asker { user_id, reply_to, correlation_id, message_id } = request.asker.clone();
    assert_eq!(user_id, Some(user()));
    assert!(reply_to.is_some_and(|queue| queue.starts_with(DIRECT_REPLY_TO)), "{request:?}");
    assert_eq!((correlation_id.as_deref(), message_id.as_deref()), (Some("mark of one"), Some("id of one")));
    desk.waiting_becomes(0).await;
    request.ack().await.expect("acknowledged");
    drop(consumer);
    is_quiet(&mut desk.consume(4).await).await;
}

pub async fn a_request_without_a_user_is_from_nobody(desk: Desk) {
    desk.ask_as(Asker::default(), b"anonymous").await;
    let mut consumer = desk.consume(1).await;
    let request = take(&mut consumer).await;
    assert_eq!((text(&request), &request.asker), ("anonymous", &Asker::default()));
}

pub async fn a_request_that_is_given_back_or_dropped_comes_again_and_says_so(desk: Desk) {
    desk.ask("one").await;
    let mut consumer = desk.consume(1).await;
    take(&mut consumer).await.nack().await.expect("given back");
    let again = take(&mut consumer).await;
    assert!(again.redelivered);
    assert_eq!(again.asker.user_id, Some(user()));
    drop(again);
    let again = take(&mut consumer).await;
    assert_eq!((text(&again), again.redelivered), ("one", true));
    again.ack().await.expect("acknowledged");
}

pub async fn requests_keep_their_order_and_no_more_than_the_prefetch_are_in_hand(desk: Desk) {
    for number in 0..5 {
        desk.ask(&number.to_string()).await;
    }
    let mut consumer = desk.consume(2).await;
    let first = take(&mut consumer).await;
    let _second = take(&mut consumer).await;
    is_quiet(&mut consumer).await;
    desk.waiting_becomes(3).await;
    first.ack().await.expect("acknowledged");
    assert_eq!(text(&take(&mut consumer).await), "2");
}

pub async fn a_refused_request_is_kept_with_the_reason(desk: Desk) {
    desk.ask("nonsense").await;
    let mut consumer = desk.consume(2).await;
    take(&mut consumer).await.dead_letter("no \"JSON\": ä").await.expect("buried");
    desk.buried(&[letter("no \"JSON\": ä", b"nonsense")]).await;
    is_quiet(&mut consumer).await;
}

pub async fn of_a_request_that_is_too_large_the_beginning_is_kept(desk: Desk) {
    let limit = messages::request::MAX_BYTES;
    let body: Vec<u8> = (0..limit as u32 + 10).map(|number| (number % 251) as u8).collect();
    desk.ask_as(Asker { user_id: Some(user()), ..Asker::default() }, &body).await;
    let mut consumer = desk.consume(1).await;
    let request = take(&mut consumer).await;
    assert!(request.body == body, "{} bytes came", request.body.len());
    request.dead_letter("too large").await.expect("buried");
    desk.buried(&[letter("too large", &body[..limit])]).await;
}

pub async fn a_request_that_is_given_back_for_ever_becomes_a_dead_letter(desk: Desk) {
    desk.ask("poison").await;
    let mut consumer = desk.consume(1).await;
    for _ in 0..=DELIVERY_LIMIT {
        take(&mut consumer).await.nack().await.expect("given back");
    }
    desk.buried(&[letter(&delivery_limit_reason(), b"poison")]).await;
}

pub async fn a_reply_reaches_its_asker_with_the_askers_mark(desk: Desk) {
    desk.ask("one").await;
    let mut consumer = desk.consume(1).await;
    let request = take(&mut consumer).await;
    let reply = Reply {
        to: request.asker.reply_to.clone().expect("a queue"),
        correlation_id: request.asker.correlation_id.clone(),
        message_id: "the reply's id".to_owned(),
        body: "taken: \"ä\"".into(),
    };
    assert!(desk.requests.takes_replies(&reply.to, &user()));
    desk.requests.reply(&reply).await.expect("published");
    let heard = desk.next_reply().await;
    assert_eq!(heard, Reply { to: DIRECT_REPLY_TO.to_owned(), ..reply });
}

pub async fn a_reply_to_an_asker_who_is_gone_is_no_error(desk: Desk) {
    let reply = Reply {
        to: "amq.gen-nobody-has-this".to_owned(),
        correlation_id: None,
        message_id: "id".to_owned(),
        body: b"hello?".to_vec(),
    };
    desk.requests.reply(&reply).await.expect("the broker took it");
}

pub async fn requests_and_lanes_are_separate(desk: Desk) {
    desk.ask("request").await;
    publish(&desk.bus, Lane::Lifecycle, "event").await;
    let mut lane = desk.bus.consume(Lane::Lifecycle, 5).await.expect("consuming");
    let event = super::take(&mut lane).await;
    assert_eq!(event.body, b"event");
    super::is_quiet(&mut lane).await;
    let mut consumer = desk.consume(5).await;
    let request = take(&mut consumer).await;
    assert_eq!(text(&request), "request");
    is_quiet(&mut consumer).await;
}

pub async fn a_cancelled_intake_ends_and_what_it_handed_out_can_be_settled(desk: Desk) {
    for body in ["one", "two"] {
        desk.ask(body).await;
    }
    let mut consumer = desk.consume(1).await;
    let in_hand = take(&mut consumer).await;
    consumer.cancel().await;
    let next = tokio::time::timeout(PATIENCE, consumer.next()).await.expect("an end in time");
    assert!(next.is_none(), "{next:?}");
    drop(consumer);
    in_hand.ack().await.expect("still ours");
    let mut other = desk.consume(5).await;
    let second = take(&mut other).await;
    assert_eq!(text(&second), "two");
    is_quiet(&mut other).await;
}

pub async fn a_closed_bus_ends_the_intake(desk: Desk) {
    let mut idle = desk.consume(1).await;
    let waiting = tokio::spawn(async move { idle.next().await.is_none() });
    desk.bus.close().await;
    assert!(tokio::time::timeout(PATIENCE, waiting).await.expect("in time").expect("no panic"));
    assert!(matches!(desk.requests.consume_requests(1).await.err(), Some(BusError::Closed)));
    assert!(matches!(desk.requests.requests_waiting().await, Err(BusError::Closed)));
    let reply =
        Reply { to: "q".into(), correlation_id: None, message_id: "id".into(), body: b"late".to_vec() };
    assert!(matches!(desk.requests.reply(&reply).await, Err(BusError::Closed)));
}

/// Only a broker knows who is connected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_refuses_a_request_in_the_name_of_another() {
    on_broker(async |broker| {
        let desk = Desk::on(broker).await;
        let Asking::RabbitMq(asker) = &desk.asking else { unreachable!("a broker's desk") };
        let forged = Asker { user_id: Some("somebody-else".to_owned()), ..Asker::default() };
        let refused = asker.lock().await.ask(&forged, b"forged").await;
        assert!(matches!(&refused, Err(BusError::Rejected(text)) if text.contains("user_id")), "{refused:?}");
        is_quiet(&mut desk.consume(1).await).await;
    })
    .await;
}
