//! The promises of the port for announcements, kept by both adapters.

use messages::{
    Announcements, Heard, Listener, Origin, Publisher, RabbitMqPeer, RequestConsumer, Requests, cloud_event,
};
use tests::lab::Lab;
use tests::private::PrivateRabbit;

use super::*;

const TYPE: &str = "farmhand.event.workflow-finished.v1";

/// A bus from both sides: ours and another system's.
pub struct Market {
    bus: Shared,
    announcements: Arc<dyn Announcements>,
    requests: Arc<dyn Requests>,
    other: Other,
}

enum Other {
    Memory(Arc<MemoryBus>),
    RabbitMq(Box<RabbitMqPeer>),
}

impl Market {
    pub fn in_memory() -> Self {
        let bus = Arc::new(MemoryBus::new());
        let other = Other::Memory(bus.clone());
        Self { bus: bus.clone(), announcements: bus.clone(), requests: bus, other }
    }

    pub async fn on(broker: &Broker) -> Self {
        let bus = Arc::new(RabbitMqBus::start(&broker.options).expect("options that work"));
        // The exchange is there when the bus has declared it.
        eventually("the topology is declared", async || bus.requests_waiting().await.is_ok()).await;
        let other = Other::RabbitMq(Box::new(peer(&broker.options).await));
        Self { bus: bus.clone(), announcements: bus.clone(), requests: bus, other }
    }

    async fn announce(&self, body: &str) {
        self.announcements.announce(TYPE, body, body.as_bytes()).await.expect("confirmed");
    }

    /// Another system that does not say who it is.
    async fn announce_anonymously(&self, body: &[u8]) {
        let announced = match &self.other {
            Other::Memory(bus) => bus.announce_as(None, body),
            Other::RabbitMq(peer) => peer.announce(None, "com.contoso.alert", body).await,
        };
        announced.expect("the broker takes it");
    }

    /// Announced from here on is what it hears.
    async fn listen(&self, prefetch: u16) -> Box<dyn Listener> {
        let listener = self.announcements.listen(prefetch).await.expect("listening");
        eventually("the queue is there", async || self.announcements.reactions_waiting().await.is_ok()).await;
        listener
    }

    async fn waiting_becomes(&self, count: u64) {
        eventually(&format!("{count} events wait"), async || {
            self.announcements.reactions_waiting().await.ok() == Some(count)
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

async fn peer(options: &RabbitMqOptions) -> RabbitMqPeer {
    RabbitMqPeer::connect(options).await.expect("connected")
}

async fn hear(listener: &mut Box<dyn Listener>) -> Heard {
    let next = tokio::time::timeout(PATIENCE, listener.next()).await;
    next.expect("an event in time").expect("the listener goes on")
}

async fn is_quiet(listener: &mut Box<dyn Listener>) {
    let next = tokio::time::timeout(QUIET, listener.next()).await;
    assert!(next.is_err(), "nothing should have come, but {next:?}");
}

fn text(heard: &Heard) -> &str {
    std::str::from_utf8(&heard.body).expect("UTF-8")
}

fn letter(reason: &str, body: &[u8]) -> DeadLetter {
    DeadLetter { origin: Some(Origin::Reactions), reason: reason.to_owned(), body: body.to_vec() }
}

pub async fn what_is_announced_is_heard_as_farmhands_and_is_gone_after_the_ack(market: Market) {
    let mut listener = market.listen(4).await;
    market.announce("one").await;
    let heard = hear(&mut listener).await;
    assert_eq!((text(&heard), &heard.publisher, heard.redelivered), ("one", &Publisher::Farmhand, false));
    heard.ack().await.expect("acknowledged");
    drop(listener);
    is_quiet(&mut market.listen(4).await).await;
}

pub async fn nobody_needs_to_listen_and_what_came_before_the_first_is_gone(market: Market) {
    market.announce("before").await;
    let mut listener = market.listen(4).await;
    market.announce("after").await;
    let heard = hear(&mut listener).await;
    assert_eq!(text(&heard), "after");
    is_quiet(&mut listener).await;
}

pub async fn what_is_announced_between_two_listeners_is_kept(market: Market) {
    drop(market.listen(1).await);
    for body in ["one", "two"] {
        market.announce(body).await;
    }
    market.waiting_becomes(2).await;
    let mut listener = market.listen(2).await;
    for body in ["one", "two"] {
        let heard = hear(&mut listener).await;
        assert_eq!(text(&heard), body);
        heard.ack().await.expect("acknowledged");
    }
}

pub async fn an_event_without_a_user_is_from_nobody_who_is_known(market: Market) {
    let mut listener = market.listen(1).await;
    market.announce_anonymously(b"anonymous").await;
    let heard = hear(&mut listener).await;
    assert_eq!((text(&heard), &heard.publisher), ("anonymous", &Publisher::Unknown));
}

pub async fn an_event_that_is_given_back_or_dropped_comes_again_and_says_so(market: Market) {
    let mut listener = market.listen(1).await;
    market.announce("one").await;
    hear(&mut listener).await.nack().await.expect("given back");
    let again = hear(&mut listener).await;
    assert_eq!((again.redelivered, &again.publisher), (true, &Publisher::Farmhand));
    drop(again);
    let again = hear(&mut listener).await;
    assert_eq!((text(&again), again.redelivered), ("one", true));
    again.ack().await.expect("acknowledged");
}

pub async fn events_keep_their_order_and_no_more_than_the_prefetch_are_in_hand(market: Market) {
    let mut listener = market.listen(2).await;
    for number in 0..5 {
        market.announce(&number.to_string()).await;
    }
    let first = hear(&mut listener).await;
    let _second = hear(&mut listener).await;
    is_quiet(&mut listener).await;
    market.waiting_becomes(3).await;
    first.ack().await.expect("acknowledged");
    assert_eq!(text(&hear(&mut listener).await), "2");
}

pub async fn listeners_share_what_is_announced(market: Market) {
    let (mut one, mut two) = (market.listen(1).await, market.listen(1).await);
    for body in ["a", "b"] {
        market.announce(body).await;
    }
    let (first, second) = futures::join!(hear(&mut one), hear(&mut two));
    let mut heard = [text(&first), text(&second)];
    heard.sort_unstable();
    assert_eq!(heard, ["a", "b"]);
}

pub async fn an_event_that_cannot_be_understood_is_kept_with_the_reason(market: Market) {
    let mut listener = market.listen(2).await;
    market.announce_anonymously(b"nonsense").await;
    hear(&mut listener).await.dead_letter("no \"JSON\": ä").await.expect("buried");
    market.buried(&[letter("no \"JSON\": ä", b"nonsense")]).await;
    is_quiet(&mut listener).await;
}

pub async fn of_an_event_that_is_too_large_the_beginning_is_kept(market: Market) {
    let limit = cloud_event::MAX_BYTES;
    let body: Vec<u8> = (0..limit as u32 + 10).map(|number| (number % 251) as u8).collect();
    let mut listener = market.listen(1).await;
    market.announce_anonymously(&body).await;
    let heard = hear(&mut listener).await;
    assert!(heard.body == body, "{} bytes came", heard.body.len());
    heard.dead_letter("too large").await.expect("buried");
    market.buried(&[letter("too large", &body[..limit])]).await;
}

pub async fn an_event_that_is_given_back_for_ever_becomes_a_dead_letter(market: Market) {
    let mut listener = market.listen(1).await;
    market.announce("poison").await;
    for _ in 0..=DELIVERY_LIMIT {
        hear(&mut listener).await.nack().await.expect("given back");
    }
    market.buried(&[letter(&delivery_limit_reason(), b"poison")]).await;
}

pub async fn announcements_lanes_and_requests_are_separate(market: Market) {
    let mut listener = market.listen(5).await;
    market.announce("announced").await;
    publish(&market.bus, Lane::Lifecycle, "event").await;
    let mut lane = market.bus.consume(Lane::Lifecycle, 5).await.expect("consuming");
    assert_eq!(super::take(&mut lane).await.body, b"event");
    super::is_quiet(&mut lane).await;
    assert_eq!(text(&hear(&mut listener).await), "announced");
    is_quiet(&mut listener).await;
    let mut intake: Box<dyn RequestConsumer> = market.requests.consume_requests(5).await.expect("consuming");
    assert!(tokio::time::timeout(QUIET, intake.next()).await.is_err(), "nobody asked for anything");
}

pub async fn a_cancelled_listener_ends_and_what_it_handed_out_can_be_settled(market: Market) {
    let mut listener = market.listen(1).await;
    for body in ["one", "two"] {
        market.announce(body).await;
    }
    let in_hand = hear(&mut listener).await;
    listener.cancel().await;
    let next = tokio::time::timeout(PATIENCE, listener.next()).await.expect("an end in time");
    assert!(next.is_none(), "{next:?}");
    drop(listener);
    in_hand.ack().await.expect("still ours");
    let mut other = market.listen(5).await;
    let second = hear(&mut other).await;
    assert_eq!(text(&second), "two");
    is_quiet(&mut other).await;
}

pub async fn a_closed_bus_ends_its_listeners_and_announces_nothing(market: Market) {
    let mut idle = market.listen(1).await;
    let waiting = tokio::spawn(async move { idle.next().await.is_none() });
    market.bus.close().await;
    assert!(tokio::time::timeout(PATIENCE, waiting).await.expect("in time").expect("no panic"));
    assert!(matches!(market.announcements.listen(1).await.err(), Some(BusError::Closed)));
    assert!(matches!(market.announcements.reactions_waiting().await, Err(BusError::Closed)));
    assert!(matches!(market.announcements.announce(TYPE, "id", b"late").await, Err(BusError::Closed)));
}

/// As the outbox relay does: again until it is confirmed.
async fn announce_until_confirmed(bus: &RabbitMqBus, body: &str) {
    let announcing = async {
        while bus.announce(TYPE, body, body.as_bytes()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, announcing).await.expect("confirmed in time");
}

/// What it heard, each once, until that many are there.
async fn distinct(listener: &mut Box<dyn Listener>, count: usize) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    while seen.len() < count {
        let heard = hear(listener).await;
        seen.insert(text(&heard).to_owned());
        // One of a lost connection comes again.
        let _ = heard.ack().await;
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_system_hears_what_its_queue_is_bound_for_and_nothing_else() {
    on_broker(async |broker| {
        let market = Market::on(broker).await;
        let queue = format!("{}.siem", broker.options.topology.reactions());
        let mut siem = peer(&broker.options).await;
        siem.listen(&queue, &[TYPE]).await.expect("bound");
        for kind in ["farmhand.event.verdict-changed.v1", TYPE] {
            market.announcements.announce(kind, "7", kind.as_bytes()).await.expect("confirmed");
        }
        let heard = tokio::time::timeout(PATIENCE, siem.next()).await.expect("in time").expect("an event");
        assert_eq!((heard.routing_key.as_str(), heard.body.as_slice()), (TYPE, TYPE.as_bytes()));
        assert_eq!(heard.message_id.as_deref(), Some("7"));
        assert_eq!(heard.content_type.as_deref(), Some("application/cloudevents+json"));
        let url = url::Url::parse(&broker_url()).expect("a URL");
        assert_eq!(heard.user_id.as_deref(), Some(url.username()), "it can tell that it is ours");
        assert!(tokio::time::timeout(QUIET, siem.next()).await.is_err(), "the other was not for it");
        broker.admin.delete_queue(&queue).await.expect("deleted");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_loses_no_announcement_on_either_side() {
    on_broker(async |broker| {
        let proxy = outages::Proxy::start().await;
        let bus = RabbitMqBus::start(&proxy.options(broker)).expect("options that work");
        let mut listener = bus.listen(3).await.expect("listening");
        eventually("the queue is there", async || bus.reactions_waiting().await.is_ok()).await;
        for number in 0..40 {
            if number % 10 == 5 {
                proxy.cut();
            }
            announce_until_confirmed(&bus, &number.to_string()).await;
        }
        let expected: BTreeSet<_> = (0..40).map(|number: u32| number.to_string()).collect();
        assert_eq!(distinct(&mut listener, 40).await, expected);
        bus.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_and_a_queue_that_somebody_deleted_come_back() {
    on_broker(async |broker| {
        let bus = RabbitMqBus::start(&broker.options).expect("options that work");
        let mut listener = bus.listen(3).await.expect("listening");
        eventually("the queue is there", async || bus.reactions_waiting().await.is_ok()).await;
        broker.admin.delete_queue(&broker.options.topology.reactions()).await.expect("deleted");
        broker.admin.delete_exchange(&broker.options.topology.events_exchange()).await.expect("deleted");
        eventually("the queue is back", async || bus.reactions_waiting().await.is_ok()).await;
        announce_until_confirmed(&bus, "after").await;
        assert_eq!(text(&hear(&mut listener).await), "after");
        bus.close().await;
    })
    .await;
}

/// Only a broker knows who is connected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_can_pass_for_farmhand() {
    let lab = Lab::from_env();
    let broker = PrivateRabbit::start(&lab).await;
    let siem = broker.add_user("siem", ["^$", r"^farmhand\.events$", "^$"]).await;
    let bus =
        RabbitMqBus::start(&RabbitMqOptions::new(broker.url.clone().into())).expect("options that work");
    let mut listener = bus.listen(4).await.expect("listening");
    eventually("the queue is there", async || bus.reactions_waiting().await.is_ok()).await;
    let options = RabbitMqOptions::new(siem.into());
    for (user, publisher) in [(Some("siem"), Publisher::User("siem".to_owned())), (None, Publisher::Unknown)]
    {
        let siem = peer(&options).await;
        siem.announce(user, "com.contoso.alert", b"alert").await.expect("it may announce");
        let heard = hear(&mut listener).await;
        assert_eq!(heard.publisher, publisher);
        heard.ack().await.expect("acknowledged");
        siem.close().await;
    }
    let forged = peer(&options).await.announce(Some("guest"), TYPE, b"forged").await;
    assert!(matches!(&forged, Err(BusError::Rejected(text)) if text.contains("user_id")), "{forged:?}");
    is_quiet(&mut listener).await;
    bus.announce(TYPE, "id", b"ours").await.expect("confirmed");
    assert_eq!(hear(&mut listener).await.publisher, Publisher::Farmhand);
    bus.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_announce_works_all_the_same() {
    let lab = Lab::from_env();
    let broker = PrivateRabbit::start(&lab).await;
    let all_but_events = r"^(?!farmhand\.events$).*";
    let url = broker.add_user("farmhand", [".*", all_but_events, ".*"]).await;
    let bus: Arc<RabbitMqBus> =
        Arc::new(RabbitMqBus::start(&RabbitMqOptions::new(url.into())).expect("options that work"));
    let shared: Shared = bus.clone();
    for round in 0..3 {
        let refused = bus.announce(TYPE, "id", b"x").await;
        assert!(matches!(&refused, Err(BusError::Refused(_) | BusError::Unreachable(_))), "{refused:?}");
        publish(&shared, Lane::Urgent, &round.to_string()).await;
    }
    assert_eq!(*bus.health().borrow(), BusHealth::Connected, "it is no reason to take no work");
    depth_becomes(&shared, Lane::Urgent, 3).await;
    bus.close().await;
}
