//! What a broker and its network do to us.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Forward,
    /// Connections are taken and closed at once.
    Refuse,
    /// Connections stay open and carry nothing.
    Freeze,
}

/// Stands between us and the broker.
pub struct Proxy {
    address: std::net::SocketAddr,
    mode: Arc<watch::Sender<Mode>>,
    /// Counted up to cut every connection.
    cuts: Arc<watch::Sender<u32>>,
}

impl Proxy {
    pub async fn start() -> Self {
        let url = broker_url();
        let (_, target) = url.rsplit_once('@').expect("a URL with a user");
        let target = target.split('/').next().expect("host and port").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (mode, cuts) = (Arc::new(watch::Sender::new(Mode::Forward)), Arc::new(watch::Sender::new(0)));
        tokio::spawn(serve(listener, target, mode.clone(), cuts.clone()));
        Self { address, mode, cuts }
    }

    pub fn options(&self, broker: &Broker) -> RabbitMqOptions {
        let url = broker_url();
        let (user, target) = url.rsplit_once('@').expect("a URL with a user");
        let vhost = target.split_once('/').map_or("", |(_, vhost)| vhost);
        let mut options = broker.options.clone();
        options.url = format!("{user}@{}/{vhost}", self.address).into();
        options.max_backoff = Duration::from_millis(300);
        options
    }

    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Cuts every connection and takes no new one; returns when none is left.
    async fn block(&self) {
        self.set(Mode::Refuse);
        self.cut();
        eventually("every connection is cut", async || self.cuts.receiver_count() == 0).await;
    }

    fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn serve(
    listener: TcpListener,
    target: String,
    mode: Arc<watch::Sender<Mode>>,
    cuts: Arc<watch::Sender<u32>>,
) {
    while let Ok((client, _)) = listener.accept().await {
        if *mode.borrow() == Mode::Refuse {
            continue;
        }
        let (target, mode, mut cuts) = (target.clone(), mode.clone(), cuts.subscribe());
        tokio::spawn(async move {
            let server = TcpStream::connect(target).await.expect("the broker answers");
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::select! {
                _ = cuts.changed() => {}
                _ = forward(from_client, to_server, mode.subscribe()) => {}
                _ = forward(from_server, to_client, mode.subscribe()) => {}
            }
        });
    }
}

async fn forward(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
    mut mode: watch::Receiver<Mode>,
) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        mode.wait_for(|mode| *mode != Mode::Freeze).await.map_err(std::io::Error::other)?;
        to.write_all(&buffer[..read]).await?;
    }
}

async fn health_becomes(bus: &Shared, fits: impl Fn(&BusHealth) -> bool) -> BusHealth {
    let mut health = bus.health();
    let waiting = health.wait_for(|health| fits(health));
    tokio::time::timeout(PATIENCE, waiting).await.expect("in time").expect("the bus lives").clone()
}

async fn is_connected(bus: &Shared) {
    health_becomes(bus, |health| *health == BusHealth::Connected).await;
}

/// Publishes as the outbox relay does: again until it is confirmed.
async fn publish_until_confirmed(bus: &Shared, lane: Lane, body: &str) {
    let publishing = async {
        while bus.publish(lane, body, body.as_bytes()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, publishing).await.expect("confirmed in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_loses_no_delivery() {
    on_broker(async |broker| {
        let proxy = Proxy::start().await;
        let bus = start(&proxy.options(broker));
        for number in 0..20 {
            publish(&bus, Lane::Urgent, &number.to_string()).await;
        }
        let mut consumer = bus.consume(Lane::Urgent, 4).await.expect("consuming");
        let mut settled = BTreeSet::new();
        let first = take(&mut consumer).await;
        settled.insert(text(&first));
        first.ack().await.expect("acknowledged");
        let in_hand = take(&mut consumer).await;
        let lost = text(&in_hand);
        proxy.block().await;
        // Whether or not the cut was noticed yet: this reaches no broker and harms nothing.
        let _ = in_hand.ack().await;
        proxy.set(Mode::Forward);
        let mut redelivered = BTreeSet::new();
        while settled.len() < 20 {
            let delivery = take(&mut consumer).await;
            if delivery.redelivered {
                redelivered.insert(text(&delivery));
            }
            let body = text(&delivery);
            if delivery.ack().await.is_ok() {
                settled.insert(body);
            }
        }
        assert!(redelivered.contains(&lost), "{lost} came again unmarked: {redelivered:?}");
        bus.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prefetch_holds_across_a_reconnect() {
    on_broker(async |broker| {
        let proxy = Proxy::start().await;
        let bus = start(&proxy.options(broker));
        let mut consumer = bus.consume(Lane::Urgent, 1).await.expect("consuming");
        publish(&bus, Lane::Urgent, "one").await;
        let in_hand = take(&mut consumer).await;
        proxy.block().await;
        health_becomes(&bus, |health| matches!(health, BusHealth::Down(_))).await;
        proxy.set(Mode::Forward);
        is_connected(&bus).await;
        depth_becomes(&bus, Lane::Urgent, 0).await;
        is_quiet(&mut consumer).await;
        drop(in_hand);
        let again = take(&mut consumer).await;
        assert!(again.redelivered);
        again.ack().await.expect("acknowledged");
        bus.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_cut_again_and_again_lose_no_publish() {
    on_broker(async |broker| {
        let proxy = Proxy::start().await;
        let bus = start(&proxy.options(broker));
        let publishing = (0..500).map(|number| {
            let bus = bus.clone();
            tokio::spawn(
                async move { publish_until_confirmed(&bus, Lane::Checks, &number.to_string()).await },
            )
        });
        let publishing: Vec<_> = publishing.collect();
        let mut consumer = bus.consume(Lane::Checks, 50).await.expect("consuming");
        let mut seen = BTreeSet::new();
        while seen.len() < 500 {
            let delivery = take(&mut consumer).await;
            seen.insert(text(&delivery));
            // A lost acknowledgement only means that it comes again.
            let _ = delivery.ack().await;
            if matches!(seen.len(), 10 | 100 | 250) {
                proxy.cut();
            }
        }
        for one in publishing {
            one.await.expect("confirmed in the end");
        }
        bus.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_during_an_outage_fails_at_once_and_works_after_it() {
    on_broker(async |broker| {
        let proxy = Proxy::start().await;
        let bus = start(&proxy.options(broker));
        publish(&bus, Lane::Urgent, "before").await;
        proxy.block().await;
        health_becomes(&bus, |health| matches!(health, BusHealth::Down(_))).await;
        let quick = Duration::from_secs(2);
        let failed = tokio::time::timeout(quick, bus.publish(Lane::Urgent, "id", b"during")).await;
        let failed = failed.expect("an answer at once");
        assert!(matches!(failed, Err(BusError::Unreachable(_))), "{failed:?}");
        proxy.set(Mode::Forward);
        is_connected(&bus).await;
        publish(&bus, Lane::Urgent, "after").await;
        bus.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_falls_silent_is_given_up_and_found_again() {
    on_broker(async |broker| {
        let proxy = Proxy::start().await;
        let mut options = proxy.options(broker);
        options.heartbeat = Duration::from_secs(1);
        options.confirm_timeout = Duration::from_secs(1);
        options.connect_timeout = Duration::from_millis(300);
        let bus = start(&options);
        let mut consumer = bus.consume(Lane::Urgent, 1).await.expect("consuming");
        publish(&bus, Lane::Urgent, "before").await;
        take(&mut consumer).await.ack().await.expect("acknowledged");
        proxy.set(Mode::Freeze);
        let silent = bus.publish(Lane::Urgent, "id", b"during").await;
        assert!(matches!(silent, Err(BusError::Unreachable(_))), "{silent:?}");
        health_becomes(&bus, |health| matches!(health, BusHealth::Down(_))).await;
        proxy.set(Mode::Forward);
        publish_until_confirmed(&bus, Lane::Urgent, "after").await;
        while text(&take(&mut consumer).await) != "after" {}
        bus.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_started_before_its_broker_finds_it() {
    on_broker(async |broker| {
        let proxy = Proxy::start().await;
        proxy.set(Mode::Refuse);
        let bus = start(&proxy.options(broker));
        let mut consumer = bus.consume(Lane::Urgent, 1).await.expect("consuming");
        let early = bus.publish(Lane::Urgent, "id", b"early").await;
        assert!(matches!(early, Err(BusError::Unreachable(_))), "{early:?}");
        proxy.set(Mode::Forward);
        publish_until_confirmed(&bus, Lane::Urgent, "found").await;
        assert_eq!(text(&take(&mut consumer).await), "found");
        bus.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_closes_in_time_while_its_broker_is_away() {
    on_broker(async |broker| {
        let proxy = Proxy::start().await;
        proxy.set(Mode::Refuse);
        let bus = start(&proxy.options(broker));
        let mut consumer = bus.consume(Lane::Urgent, 1).await.expect("consuming");
        health_becomes(&bus, |health| *health != BusHealth::Down("not connected yet".to_owned())).await;
        tokio::time::timeout(Duration::from_secs(2), bus.close()).await.expect("closed at once");
        ended(&mut consumer).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_without_a_queue_is_refused_and_the_queue_comes_back() {
    on_broker(async |broker| {
        let bus = broker.bus();
        publish(&bus, Lane::Urgent, "before").await;
        broker.admin.delete_queue(&broker.options.topology.queue(Lane::Urgent)).await.expect("deleted");
        let lost = bus.publish(Lane::Urgent, "id", b"during").await;
        assert!(
            matches!(&lost, Err(BusError::Unroutable(what)) if what.contains("workflow.urgent")),
            "{lost:?}"
        );
        publish(&bus, Lane::Urgent, "after").await;
        depth_becomes(&bus, Lane::Urgent, 1).await;
        bus.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn among_many_publishes_exactly_those_without_a_queue_fail() {
    on_broker(async |broker| {
        let bus = broker.bus();
        is_connected(&bus).await;
        broker.admin.delete_queue(&broker.options.topology.queue(Lane::Urgent)).await.expect("deleted");
        let publishing = (0..400).map(|number: u32| {
            let lane = if number % 7 == 3 { Lane::Urgent } else { Lane::Checks };
            let (bus, body) = (bus.clone(), number.to_string());
            async move { (lane, body.clone(), bus.publish(lane, &body, body.as_bytes()).await) }
        });
        let (mut urgent, mut checks) = (BTreeSet::new(), BTreeSet::new());
        let mut refused = 0;
        for (lane, body, published) in join_all(publishing).await {
            match (lane, published) {
                (Lane::Urgent, Ok(())) => _ = urgent.insert(body),
                (Lane::Urgent, Err(BusError::Unroutable(_))) => refused += 1,
                (_, Ok(())) => _ = checks.insert(body),
                (lane, other) => panic!("{lane} {body}: {other:?}"),
            }
        }
        assert!(refused > 0, "the queue was gone");
        // What was confirmed is there, all of it and nothing else.
        for (lane, confirmed) in [(Lane::Urgent, urgent), (Lane::Checks, checks)] {
            depth_becomes(&bus, lane, confirmed.len() as u64).await;
            let mut consumer = bus.consume(lane, 100).await.expect("consuming");
            let mut seen = BTreeSet::new();
            while seen.len() < confirmed.len() {
                let delivery = take(&mut consumer).await;
                seen.insert(text(&delivery));
                delivery.ack().await.expect("acknowledged");
            }
            assert_eq!(seen, confirmed);
        }
        bus.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_survives_the_deletion_of_its_queue() {
    on_broker(async |broker| {
        let bus = broker.bus();
        let mut consumer = bus.consume(Lane::Urgent, 2).await.expect("consuming");
        publish(&bus, Lane::Urgent, "before").await;
        let before = take(&mut consumer).await;
        broker.admin.delete_queue(&broker.options.topology.queue(Lane::Urgent)).await.expect("deleted");
        publish_until_confirmed(&bus, Lane::Urgent, "after").await;
        let after = take(&mut consumer).await;
        assert_eq!(text(&after), "after");
        after.ack().await.expect("acknowledged");
        // Settling what the broker forgot harms nothing, whatever it answers.
        let _ = before.ack().await;
        publish_until_confirmed(&bus, Lane::Urgent, "more").await;
        assert_eq!(text(&take(&mut consumer).await), "more");
        bus.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_wiped_empty_heals() {
    on_broker(async |broker| {
        let bus = broker.bus();
        let mut consumer = bus.consume(Lane::Lifecycle, 2).await.expect("consuming");
        publish(&bus, Lane::Lifecycle, "before").await;
        take(&mut consumer).await.ack().await.expect("acknowledged");
        broker.admin.delete_topology().await.expect("wiped");
        publish_until_confirmed(&bus, Lane::Lifecycle, "after").await;
        let after = take(&mut consumer).await;
        assert_eq!(text(&after), "after");
        after.dead_letter("to see that the dead letters are back as well").await.expect("buried");
        eventually("the letter is there", async || bus.dead_letters(5).await.is_ok_and(|all| all.len() == 1))
            .await;
        bus.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_login_is_said_and_not_hammered() {
    on_broker(async |broker| {
        let url = broker_url();
        let (_, target) = url.rsplit_once('@').expect("a URL with a user");
        let mut options = broker.options.clone();
        options.url = format!("amqp://nobody:s3cret@{target}").into();
        let bus = start(&options);
        let refused = bus.publish(Lane::Urgent, "id", b"x").await;
        assert!(
            matches!(&refused, Err(BusError::Refused(text)) if text.contains("ACCESS_REFUSED")),
            "{refused:?}"
        );
        let health = health_becomes(
            &bus,
            |health| matches!(health, BusHealth::Down(text) if text.contains("ACCESS_REFUSED")),
        )
        .await;
        assert!(!format!("{health:?} {refused:?} {bus:?}").contains("s3cret"));
        bus.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_of_another_make_is_refused_by_name() {
    on_broker(async |broker| {
        let queue = broker.options.topology.queue(Lane::Checks);
        broker.admin.declare_classic_queue(&queue).await.expect("declared");
        let mut options = broker.options.clone();
        options.refused_backoff = Duration::from_millis(200);
        let bus = start(&options);
        let refused = bus.publish(Lane::Urgent, "id", b"x").await;
        assert!(matches!(&refused, Err(BusError::Refused(text)) if text.contains(&queue)), "{refused:?}");
        broker.admin.delete_queue(&queue).await.expect("deleted");
        publish_until_confirmed(&bus, Lane::Urgent, "mended").await;
        bus.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_is_only_dropped_leaves_no_connection() {
    on_broker(async |broker| {
        let proxy = Proxy::start().await;
        let bus = start(&proxy.options(broker));
        let mut consumer = bus.consume(Lane::Urgent, 1).await.expect("consuming");
        publish(&bus, Lane::Urgent, "one").await;
        take(&mut consumer).await.ack().await.expect("acknowledged");
        let cuts = proxy.cuts.clone();
        assert_eq!(cuts.receiver_count(), 2, "one connection to publish, one to consume");
        drop(bus);
        eventually("the connections are closed", async || cuts.receiver_count() == 0).await;
        ended(&mut consumer).await;
    })
    .await;
}
