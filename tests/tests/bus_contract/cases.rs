//! The promises of the port, one case each.

use super::*;

pub async fn a_published_message_is_delivered_and_gone_after_the_ack(bus: Shared) {
    publish(&bus, Lane::Urgent, "one").await;
    depth_becomes(&bus, Lane::Urgent, 1).await;
    let mut consumer = bus.consume(Lane::Urgent, 4).await.expect("consuming");
    let delivery = take(&mut consumer).await;
    assert_eq!((text(&delivery).as_str(), delivery.lane, delivery.redelivered), ("one", Lane::Urgent, false));
    depth_becomes(&bus, Lane::Urgent, 0).await;
    delivery.ack().await.expect("acknowledged");
    drop(consumer);
    let mut again = bus.consume(Lane::Urgent, 4).await.expect("consuming");
    is_quiet(&mut again).await;
}

pub async fn a_nacked_delivery_comes_again_and_says_so(bus: Shared) {
    publish(&bus, Lane::Urgent, "one").await;
    let mut consumer = bus.consume(Lane::Urgent, 1).await.expect("consuming");
    take(&mut consumer).await.nack().await.expect("given back");
    let again = take(&mut consumer).await;
    assert!(again.redelivered);
    assert_eq!(text(&again), "one");
    again.ack().await.expect("acknowledged");
}

pub async fn a_dropped_delivery_comes_again(bus: Shared) {
    publish(&bus, Lane::Urgent, "one").await;
    let mut consumer = bus.consume(Lane::Urgent, 1).await.expect("consuming");
    drop(take(&mut consumer).await);
    let again = take(&mut consumer).await;
    assert!(again.redelivered);
    again.ack().await.expect("acknowledged");
}

pub async fn a_dropped_consumer_gives_back_what_it_had(bus: Shared) {
    for body in ["one", "two", "three"] {
        publish(&bus, Lane::Urgent, body).await;
    }
    let mut consumer = bus.consume(Lane::Urgent, 3).await.expect("consuming");
    let in_hand = take(&mut consumer).await;
    drop(consumer);
    let mut other = bus.consume(Lane::Urgent, 3).await.expect("consuming");
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        let delivery = take(&mut other).await;
        seen.insert(text(&delivery));
        delivery.ack().await.expect("acknowledged");
    }
    assert_eq!(seen, ["one", "three", "two"].map(str::to_owned).into());
    assert!(in_hand.ack().await.is_err(), "it was no longer ours to settle");
    is_quiet(&mut other).await;
}

pub async fn prefetch_is_a_hard_limit(bus: Shared) {
    for number in 0..5 {
        publish(&bus, Lane::Lifecycle, &number.to_string()).await;
    }
    let mut consumer = bus.consume(Lane::Lifecycle, 2).await.expect("consuming");
    let first = take(&mut consumer).await;
    let _second = take(&mut consumer).await;
    is_quiet(&mut consumer).await;
    depth_becomes(&bus, Lane::Lifecycle, 3).await;
    first.ack().await.expect("acknowledged");
    let third = take(&mut consumer).await;
    assert_eq!(text(&third), "2");
    is_quiet(&mut consumer).await;
}

pub async fn a_lane_keeps_the_order(bus: Shared) {
    let mut consumer = bus.consume(Lane::Checks, 10).await.expect("consuming");
    for number in 0..200 {
        publish(&bus, Lane::Checks, &number.to_string()).await;
    }
    for number in 0..200 {
        let delivery = take(&mut consumer).await;
        assert_eq!(text(&delivery), number.to_string());
        delivery.ack().await.expect("acknowledged");
    }
}

pub async fn lanes_are_separate(bus: Shared) {
    for lane in Lane::ALL {
        publish(&bus, *lane, lane.as_str()).await;
    }
    for lane in Lane::ALL {
        let mut consumer = bus.consume(*lane, 10).await.expect("consuming");
        let delivery = take(&mut consumer).await;
        assert_eq!(text(&delivery), lane.as_str());
        delivery.ack().await.expect("acknowledged");
        is_quiet(&mut consumer).await;
    }
}

pub async fn a_message_that_is_given_back_for_ever_becomes_a_dead_letter(bus: Shared) {
    publish(&bus, Lane::Urgent, "poison").await;
    let mut consumer = bus.consume(Lane::Urgent, 1).await.expect("consuming");
    for number in 0..=DELIVERY_LIMIT {
        let delivery = take(&mut consumer).await;
        assert_eq!(delivery.redelivered, number > 0);
        delivery.nack().await.expect("given back");
    }
    let expected = DeadLetter {
        origin: Some(Origin::Lane(Lane::Urgent)),
        reason: delivery_limit_reason(),
        body: b"poison".to_vec(),
    };
    eventually("it is a dead letter", async || {
        bus.dead_letters(10).await.ok() == Some(vec![expected.clone()])
    })
    .await;
    is_quiet(&mut consumer).await;
}

pub async fn a_dead_letter_keeps_body_and_reason_however_often_it_is_looked_at(bus: Shared) {
    let mut consumer = bus.consume(Lane::Checks, 2).await.expect("consuming");
    let mut expected = Vec::new();
    for number in 0..3 {
        let body = vec![0xff, 0x00, number];
        bus.publish(Lane::Checks, "id", &body).await.expect("published");
        let reason = format!("no JSON: \"ä\" {number}");
        take(&mut consumer).await.dead_letter(&reason).await.expect("buried");
        expected.push(DeadLetter { origin: Some(Origin::Lane(Lane::Checks)), reason, body });
    }
    for _ in 0..25 {
        eventually("all three are seen, in order", async || {
            bus.dead_letters(10).await.ok() == Some(expected.clone())
        })
        .await;
    }
    assert_eq!(bus.dead_letters(2).await.expect("a look").len(), 2);
    assert_eq!(bus.dead_letters(0).await.expect("a look"), []);
    is_quiet(&mut consumer).await;
}

pub async fn a_closed_bus_ends_its_consumers_and_takes_nothing(bus: Shared) {
    let mut idle = bus.consume(Lane::Urgent, 1).await.expect("consuming");
    let waiting = tokio::spawn(async move { idle.next().await.is_none() });
    bus.close().await;
    assert!(tokio::time::timeout(PATIENCE, waiting).await.expect("in time").expect("no panic"));
    assert!(matches!(bus.publish(Lane::Urgent, "id", b"late").await, Err(BusError::Closed)));
    assert!(matches!(bus.consume(Lane::Urgent, 1).await.err(), Some(BusError::Closed)));
    assert!(matches!(bus.depth(Lane::Urgent).await, Err(BusError::Closed)));
    assert!(matches!(bus.dead_letters(1).await, Err(BusError::Closed)));
    assert!(matches!(*bus.health().borrow(), BusHealth::Down(_)));
    bus.close().await;
}

pub async fn publishes_under_way_are_finished_by_close(bus: Shared) {
    let publishing: Vec<_> = (0..100)
        .map(|number| {
            let bus = bus.clone();
            tokio::spawn(async move { bus.publish(Lane::Urgent, "id", &[number]).await })
        })
        .collect();
    bus.close().await;
    for one in publishing {
        let published = one.await.expect("no panic");
        assert!(matches!(published, Ok(()) | Err(BusError::Closed)), "{published:?}");
    }
}

pub async fn a_cancelled_consumer_ends_and_what_it_handed_out_can_be_settled(bus: Shared) {
    for body in ["one", "two", "three"] {
        publish(&bus, Lane::Lifecycle, body).await;
    }
    let mut consumer = bus.consume(Lane::Lifecycle, 2).await.expect("consuming");
    let in_hand = take(&mut consumer).await;
    consumer.cancel().await;
    let mut finished = BTreeSet::from([text(&in_hand)]);
    while let Some(more) = tokio::time::timeout(PATIENCE, consumer.next()).await.expect("an end in time") {
        finished.insert(text(&more));
        more.ack().await.expect("acknowledged");
    }
    ended(&mut consumer).await;
    drop(consumer);
    in_hand.ack().await.expect("still ours");
    let mut other = bus.consume(Lane::Lifecycle, 5).await.expect("consuming");
    while finished.len() < 3 {
        let delivery = take(&mut other).await;
        assert!(finished.insert(text(&delivery)), "{delivery:?} was settled before");
        delivery.ack().await.expect("acknowledged");
    }
    is_quiet(&mut other).await;
}

pub async fn a_cancelled_consumer_that_is_dropped_gives_back_what_it_never_handed_out(bus: Shared) {
    for body in ["one", "two", "three"] {
        publish(&bus, Lane::Lifecycle, body).await;
    }
    let mut consumer = bus.consume(Lane::Lifecycle, 3).await.expect("consuming");
    let in_hand = take(&mut consumer).await;
    consumer.cancel().await;
    drop(consumer);
    let mut other = bus.consume(Lane::Lifecycle, 5).await.expect("consuming");
    let mut seen = BTreeSet::new();
    while seen.len() < 2 {
        let delivery = take(&mut other).await;
        seen.insert(text(&delivery));
        delivery.ack().await.expect("acknowledged");
    }
    assert_eq!(seen, ["three", "two"].map(str::to_owned).into());
    in_hand.ack().await.expect("still ours");
    is_quiet(&mut other).await;
}

pub async fn waiting_for_a_delivery_can_be_given_up_without_losing_one(bus: Shared) {
    let mut consumer = bus.consume(Lane::Urgent, 1).await.expect("consuming");
    for number in 0..50 {
        let given_up = tokio::time::timeout(Duration::from_micros(number * 40), consumer.next()).await;
        assert!(given_up.is_err());
        publish(&bus, Lane::Urgent, &number.to_string()).await;
        let delivery = take(&mut consumer).await;
        assert_eq!((text(&delivery), delivery.redelivered), (number.to_string(), false));
        delivery.ack().await.expect("acknowledged");
    }
}

pub async fn consumers_of_a_lane_share_its_work(bus: Shared) {
    let mut consumers = Vec::new();
    for _ in 0..3 {
        consumers.push(bus.consume(Lane::Lifecycle, 5).await.expect("consuming"));
    }
    let (sender, mut finished) = tokio::sync::mpsc::unbounded_channel();
    for mut consumer in consumers {
        let sender = sender.clone();
        tokio::spawn(async move {
            while let Some(delivery) = consumer.next().await {
                let body = text(&delivery);
                delivery.ack().await.expect("acknowledged");
                sender.send(body).expect("the test listens");
            }
        });
    }
    let publishing = (0..300).map(|number| {
        let bus = bus.clone();
        async move { publish(&bus, Lane::Lifecycle, &number.to_string()).await }
    });
    join_all(publishing).await;
    let mut seen = BTreeSet::new();
    while seen.len() < 300 {
        let body = tokio::time::timeout(PATIENCE, finished.recv()).await.expect("in time").expect("a body");
        assert!(seen.insert(body), "delivered twice");
    }
    bus.close().await;
}

pub async fn two_thousand_publishes_at_once_all_arrive(bus: Shared) {
    let mut consumer = bus.consume(Lane::Checks, 256).await.expect("consuming");
    let publishing: Vec<_> = (0..2_000)
        .map(|number: u32| {
            let bus = bus.clone();
            tokio::spawn(async move { publish(&bus, Lane::Checks, &number.to_string()).await })
        })
        .collect();
    let mut seen = BTreeSet::new();
    while seen.len() < 2_000 {
        let delivery = take(&mut consumer).await;
        assert!(seen.insert(text(&delivery)), "{delivery:?} came twice");
        delivery.ack().await.expect("acknowledged");
    }
    for one in publishing {
        one.await.expect("confirmed");
    }
}

pub async fn a_large_message_arrives_whole(bus: Shared) {
    let body: Vec<u8> = (0..64 * 1024_u32).map(|number| (number % 251) as u8).collect();
    bus.publish(Lane::Checks, "large", &body).await.expect("published");
    bus.publish(Lane::Checks, "empty", b"").await.expect("published");
    let mut consumer = bus.consume(Lane::Checks, 2).await.expect("consuming");
    let large = take(&mut consumer).await;
    assert!(large.body == body, "{} bytes came", large.body.len());
    assert_eq!(take(&mut consumer).await.body, b"");
}

pub async fn a_working_bus_says_that_it_is_connected(bus: Shared) {
    let mut health = bus.health();
    let connected = health.wait_for(|health| *health == BusHealth::Connected);
    tokio::time::timeout(PATIENCE, connected).await.expect("in time").expect("the bus lives");
}
