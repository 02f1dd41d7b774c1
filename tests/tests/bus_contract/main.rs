//! The promises of the bus port, kept by both adapters, and what only a broker can do to us.
//!
//! The RabbitMQ part needs a broker: `FARMHAND_TEST_AMQP_URL`, by default the local one. Every
//! test has queues of its own and deletes them.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use domain::{Clock, Lane, SystemClock, SystemRng};
use futures::FutureExt;
use futures::future::join_all;
use messages::topology::{DELIVERY_LIMIT, delivery_limit_reason};
use messages::{
    Bus, BusError, BusHealth, Consumer, DeadLetter, Delivery, MemoryBus, Origin, RabbitMqAdmin, RabbitMqBus,
    RabbitMqOptions, Topology,
};

/// Longer than anything here takes on a loaded machine; a failure, not a pause.
const PATIENCE: Duration = Duration::from_secs(30);
/// Long enough to see that something does not come.
const QUIET: Duration = Duration::from_millis(300);

type Shared = Arc<dyn Bus>;

async fn publish(bus: &Shared, lane: Lane, body: &str) {
    bus.publish(lane, body, body.as_bytes()).await.expect("published");
}

async fn take(consumer: &mut Box<dyn Consumer>) -> Delivery {
    let next = tokio::time::timeout(PATIENCE, consumer.next()).await;
    next.expect("a delivery in time").expect("the consumer goes on")
}

async fn ended(consumer: &mut Box<dyn Consumer>) {
    let next = tokio::time::timeout(PATIENCE, consumer.next()).await.expect("an end in time");
    assert!(next.is_none(), "the consumer ended with {next:?}");
}

async fn is_quiet(consumer: &mut Box<dyn Consumer>) {
    let next = tokio::time::timeout(QUIET, consumer.next()).await;
    assert!(next.is_err(), "nothing should have come, but {next:?}");
}

fn text(delivery: &Delivery) -> String {
    String::from_utf8(delivery.body.clone()).expect("UTF-8")
}

/// Asks until the answer is yes.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "never came true: {what}");
}

async fn depth_becomes(bus: &Shared, lane: Lane, depth: u64) {
    eventually(&format!("{lane} holds {depth}"), async || bus.depth(lane).await.ok() == Some(depth)).await;
}

mod cases;

mod requests;

macro_rules! request_contract {
    ($($case:ident,)*) => {
        mod requests_in_memory {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                requests::$case(requests::Desk::in_memory()).await;
            })*
        }
        mod requests_on_rabbitmq {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                on_broker(async |broker| requests::$case(requests::Desk::on(broker).await).await).await;
            })*
        }
    };
}

request_contract! {
    a_request_comes_with_who_asks_and_is_gone_after_the_ack,
    a_request_without_a_user_is_from_nobody,
    a_request_that_is_given_back_or_dropped_comes_again_and_says_so,
    requests_keep_their_order_and_no_more_than_the_prefetch_are_in_hand,
    a_refused_request_is_kept_with_the_reason,
    of_a_request_that_is_too_large_the_beginning_is_kept,
    a_request_that_is_given_back_for_ever_becomes_a_dead_letter,
    a_reply_reaches_its_asker_with_the_askers_mark,
    a_reply_to_an_asker_who_is_gone_is_no_error,
    requests_and_lanes_are_separate,
    a_cancelled_intake_ends_and_what_it_handed_out_can_be_settled,
    a_closed_bus_ends_the_intake,
}

mod announcements;

macro_rules! announcement_contract {
    ($($case:ident,)*) => {
        mod announcements_in_memory {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                announcements::$case(announcements::Market::in_memory()).await;
            })*
        }
        mod announcements_on_rabbitmq {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                on_broker(async |broker| {
                    announcements::$case(announcements::Market::on(broker).await).await;
                })
                .await;
            })*
        }
    };
}

announcement_contract! {
    what_is_announced_is_heard_as_farmhands_and_is_gone_after_the_ack,
    nobody_needs_to_listen_and_what_came_before_the_first_is_gone,
    what_is_announced_between_two_listeners_is_kept,
    an_event_without_a_user_is_from_nobody_who_is_known,
    an_event_that_is_given_back_or_dropped_comes_again_and_says_so,
    events_keep_their_order_and_no_more_than_the_prefetch_are_in_hand,
    listeners_share_what_is_announced,
    an_event_that_cannot_be_understood_is_kept_with_the_reason,
    of_an_event_that_is_too_large_the_beginning_is_kept,
    an_event_that_is_given_back_for_ever_becomes_a_dead_letter,
    announcements_lanes_and_requests_are_separate,
    a_cancelled_listener_ends_and_what_it_handed_out_can_be_settled,
    a_closed_bus_ends_its_listeners_and_announces_nothing,
}

macro_rules! contract {
    ($($case:ident,)*) => {
        mod memory {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                cases::$case(Arc::new(MemoryBus::new())).await;
            })*
        }
        mod rabbitmq {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                on_broker(async |broker| cases::$case(broker.bus()).await).await;
            })*
        }
    };
}

contract! {
    a_published_message_is_delivered_and_gone_after_the_ack,
    a_nacked_delivery_comes_again_and_says_so,
    a_dropped_delivery_comes_again,
    a_dropped_consumer_gives_back_what_it_had,
    prefetch_is_a_hard_limit,
    a_lane_keeps_the_order,
    lanes_are_separate,
    a_message_that_is_given_back_for_ever_becomes_a_dead_letter,
    a_dead_letter_keeps_body_and_reason_however_often_it_is_looked_at,
    a_closed_bus_ends_its_consumers_and_takes_nothing,
    publishes_under_way_are_finished_by_close,
    a_cancelled_consumer_ends_and_what_it_handed_out_can_be_settled,
    a_cancelled_consumer_that_is_dropped_gives_back_what_it_never_handed_out,
    waiting_for_a_delivery_can_be_given_up_without_losing_one,
    consumers_of_a_lane_share_its_work,
    two_thousand_publishes_at_once_all_arrive,
    a_large_message_arrives_whole,
    a_working_bus_says_that_it_is_connected,
}

/// A corner of the broker that belongs to one test.
struct Broker {
    options: RabbitMqOptions,
    admin: RabbitMqAdmin,
}

fn broker_url() -> String {
    std::env::var("FARMHAND_TEST_AMQP_URL")
        .unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672/%2f".to_owned())
}

impl Broker {
    fn new() -> Self {
        let id = domain::ids::uuid_v7(SystemClock.now(), &SystemRng);
        let mut options = RabbitMqOptions::new(broker_url().into());
        options.topology = Topology::new(format!("test-{}", id.simple()));
        options.connection_name = "bus contract".to_owned();
        let admin = RabbitMqAdmin::new(&options).expect("options that work");
        Self { options, admin }
    }

    fn bus(&self) -> Shared {
        start(&self.options)
    }
}

fn start(options: &RabbitMqOptions) -> Shared {
    Arc::new(RabbitMqBus::start(options).expect("options that work"))
}

/// Runs a test on a corner of its own, and clears the corner whatever the test does.
async fn on_broker(test: impl AsyncFnOnce(&Broker)) {
    let broker = Broker::new();
    let outcome = AssertUnwindSafe(test(&broker)).catch_unwind().await;
    broker.admin.delete_topology().await.expect("the corner is cleared");
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

mod outages;
