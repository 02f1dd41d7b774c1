//! A delivery is in one sender's hands at a time, and its log tells of each attempt; a webhook's
//! secret is where nobody looks; a call of a webhook is announced once.

use std::time::Duration;

use domain::webhook::{Direction, GIVE_UP_AFTER};
use domain::{Announcement, AnnouncementKind, DeliveryState, WebhookState};
use futures::future::join_all;
use secrecy::ExposeSecret;
use store::{Attempt, ClaimedDelivery, Received, Settlement, Store, Webhook};

use crate::kit::*;
use crate::reacting::{delivery, event, webhook_made};

const LEASE: Duration = Duration::from_secs(30);

async fn pending(world: &World, webhook: &Webhook, id: &str, seconds: i64) {
    let added = world.store.add_delivery(&event(id), &delivery(webhook, seconds), at(seconds)).await;
    assert!(added.expect("an answer"));
}

async fn claim(store: &Store, webhook: &Webhook, limit: u32, seconds: i64) -> Vec<ClaimedDelivery> {
    store.claim_deliveries(webhook.id, limit, LEASE, at(seconds)).await.expect("claimed")
}

fn attempt(status: u16, seconds: i64) -> Attempt {
    Attempt { at: at(seconds), status: Some(status), error: None, millis: 12 }
}

async fn settle(
    store: &Store,
    webhook: &Webhook,
    claimed: &ClaimedDelivery,
    settlement: Settlement,
    seconds: i64,
) -> bool {
    let attempt = attempt(503, seconds);
    store.settle_delivery(webhook.id, claimed, &attempt, settlement, at(seconds)).await.expect("an answer")
}

async fn states(world: &World, webhook: &Webhook) -> Vec<DeliveryState> {
    let mut log = world.store.deliveries(webhook.id, None, None, 100).await.expect("a page").items;
    log.reverse();
    log.iter().map(|delivery| delivery.state).collect()
}

pub async fn a_webhook_comes_back_without_its_secret_and_its_name_is_taken(world: World) {
    let webhook = webhook_made(&world, "Siem").await;
    assert_eq!(world.store.webhook(&webhook.spec.name).await.expect("an answer"), Some(webhook.clone()));
    let kept = world.store.webhook_secret(webhook.id).await.expect("an answer").expect("is there");
    assert_eq!(kept.expose_secret(), "a secret");
    let mut again = webhook.clone();
    again.id = domain::WebhookId::new(at(1), &domain::SystemRng);
    assert!(!world.store.create_webhook(&again, &"other".into()).await.expect("an answer"));
    assert_eq!(world.rows("webhook_secrets").await, 1);
    let list = world.store.webhooks(None, None, 10).await.expect("a page");
    assert!(!format!("{list:?} {kept:?}").contains("a secret"));
    assert_eq!(world.store.webhooks(Some(Direction::In), None, 10).await.expect("a page").items, []);
    pending(&world, &webhook, "1", 1).await;
    assert!(world.store.delete_webhook(webhook.id).await.expect("an answer"));
    assert!(!world.store.delete_webhook(webhook.id).await.expect("an answer"));
    for table in ["webhooks", "webhook_secrets", "webhook_deliveries"] {
        assert_eq!(world.rows(table).await, 0, "{table}");
    }
}

pub async fn of_many_senders_each_delivery_is_in_the_hands_of_one(world: World) {
    let webhook = webhook_made(&world, "w").await;
    for id in 0..20 {
        pending(&world, &webhook, &id.to_string(), 1).await;
    }
    let other = world.another_store().await;
    let tries = (0..10).map(|at| claim(if at % 2 == 0 { &world.store } else { &other }, &webhook, 4, 2));
    let mut ids: Vec<_> = join_all(tries).await.into_iter().flatten().map(|claimed| claimed.id).collect();
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), count), (20, 20));
    assert_eq!(claim(&world.store, &webhook, 100, 31).await, [], "leased");
}

pub async fn a_lease_that_is_over_is_another_senders_and_the_first_settles_nothing(world: World) {
    let webhook = webhook_made(&world, "w").await;
    pending(&world, &webhook, "1", 1).await;
    let first = claim(&world.store, &webhook, 1, 1).await.remove(0);
    assert_eq!(first.body, b"{\"a\":1}");
    let second = claim(&world.store, &webhook, 1, 31).await.remove(0);
    assert!(!settle(&world.store, &webhook, &first, Settlement::Delivered, 32).await);
    assert!(settle(&world.store, &webhook, &second, Settlement::RetryAt(at(100)), 33).await);
    assert_eq!(claim(&world.store, &webhook, 1, 99).await, []);
    assert_eq!(world.store.next_delivery().await.expect("an answer"), Some(at(100)));
    let third = claim(&world.store, &webhook, 1, 100).await.remove(0);
    assert_eq!((&third.attempts, third.give_up_at), (&vec![attempt(503, 33)], at(1) + GIVE_UP_AFTER));
    // Somebody asks for it anew while it is under way.
    assert!(world.store.redeliver(webhook.id, third.id, at(101)).await.expect("an answer"));
    assert!(!settle(&world.store, &webhook, &third, Settlement::Delivered, 102).await);
    let fourth = claim(&world.store, &webhook, 1, 102).await.remove(0);
    assert!(settle(&world.store, &webhook, &fourth, Settlement::Delivered, 103).await);
    let log = world.store.deliveries(webhook.id, None, None, 10).await.expect("a page").items;
    assert_eq!((log[0].state, log[0].finished_at), (DeliveryState::Delivered, Some(at(103))));
    assert_eq!((log[0].attempts.len(), log[0].next_attempt), (2, None));
}

pub async fn what_is_given_up_can_be_sent_again_for_another_day(world: World) {
    let webhook = webhook_made(&world, "w").await;
    pending(&world, &webhook, "1", 1).await;
    let claimed = claim(&world.store, &webhook, 1, 1).await.remove(0);
    assert!(settle(&world.store, &webhook, &claimed, Settlement::GivenUp, 2).await);
    assert_eq!(states(&world, &webhook).await, [DeliveryState::GivenUp]);
    assert_eq!(world.store.next_delivery().await.expect("an answer"), None);
    assert!(world.store.redeliver(webhook.id, claimed.id, at(500)).await.expect("an answer"));
    let again = claim(&world.store, &webhook, 1, 500).await.remove(0);
    assert_eq!((again.give_up_at, again.attempts.len()), (at(500) + GIVE_UP_AFTER, 1));
    let other = webhook_made(&world, "other").await;
    assert!(!world.store.redeliver(other.id, claimed.id, at(500)).await.expect("an answer"), "another's");
}

pub async fn a_receiver_that_wants_nothing_more_pauses_its_webhook(world: World) {
    let webhook = webhook_made(&world, "w").await;
    for id in ["1", "2"] {
        pending(&world, &webhook, id, 1).await;
    }
    let stats = world.store.delivery_stats().await.expect("an answer");
    assert_eq!((stats.pending, stats.oldest_pending), (2, Some(at(1))));
    let claimed = claim(&world.store, &webhook, 1, 1).await.remove(0);
    assert!(settle(&world.store, &webhook, &claimed, Settlement::Gone, 2).await);
    let mut now = world.store.webhook(&webhook.spec.name).await.expect("an answer").expect("is there");
    assert_eq!((now.state, now.revision), (WebhookState::Paused, 2));
    assert!(now.paused.as_ref().is_some_and(|paused| paused.by == "farmhand" && paused.at == at(2)));
    assert_eq!(world.store.enabled_webhooks(Direction::Out).await.expect("an answer"), []);
    let stats = world.store.delivery_stats().await.expect("an answer");
    assert_eq!((stats.pending, stats.oldest_pending), (0, None), "what waits for a person is not late");
    assert_eq!(world.store.next_delivery().await.expect("an answer"), None);
    now.state = WebhookState::Enabled;
    now.paused = None;
    assert!(world.store.save_webhook(&now).await.expect("an answer"));
    assert_eq!(claim(&world.store, &webhook, 9, 3).await.len(), 1, "the other one waited");
}

pub async fn a_backlog_of_one_webhook_hides_no_others(world: World) {
    let (slow, quick) = (webhook_made(&world, "slow").await, webhook_made(&world, "quick").await);
    for id in 0..50 {
        pending(&world, &slow, &id.to_string(), 1).await;
    }
    pending(&world, &quick, "1", 2).await;
    assert_eq!(claim(&world.store, &slow, 4, 3).await.len(), 4);
    assert_eq!(claim(&world.store, &quick, 4, 3).await.len(), 1);
    let page = world.store.deliveries(slow.id, Some(DeliveryState::Pending), None, 30).await.expect("a page");
    let rest = world.store.deliveries(slow.id, None, page.next.as_deref(), 30).await.expect("a page");
    assert_eq!((page.items.len(), rest.items.len(), rest.next), (30, 20, None));
}

pub async fn old_deliveries_go_and_pending_ones_stay(world: World) {
    let webhook = webhook_made(&world, "w").await;
    for id in ["1", "2", "3"] {
        pending(&world, &webhook, id, 1).await;
    }
    let claimed = claim(&world.store, &webhook, 2, 1).await;
    settle(&world.store, &webhook, &claimed[0], Settlement::Delivered, 2).await;
    settle(&world.store, &webhook, &claimed[1], Settlement::GivenUp, 9).await;
    world.store.execute_raw("delete from webhooks where name = 'nobody'").await.expect("written");
    assert_eq!(world.store.prune_deliveries(at(5), at(5), 100).await.expect("pruned"), 1);
    let mut left = states(&world, &webhook).await;
    left.sort();
    assert_eq!(left, [DeliveryState::Pending, DeliveryState::GivenUp]);
    // A row that was written for a webhook in the moment of its deletion.
    world.store.execute_raw("delete from webhooks").await.expect("written");
    world.store.prune_deliveries(at(5), at(5), 100).await.expect("pruned");
    assert_eq!(world.rows("webhook_deliveries").await, 0);
}

fn call(body: &str) -> Announcement {
    let data = serde_json::json!({ "webhook": "w", "body": body });
    let data = data.as_object().cloned().expect("an object");
    Announcement::new(AnnouncementKind::WebhookReceived, "w", data)
}

pub async fn a_call_is_announced_once_for_all_of_its_keys(world: World) {
    let webhook = webhook_made(&world, "w").await;
    let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
    let receive = async |given: &[&str], seconds| {
        world.store.receive(webhook.id, &keys(given), &call("b"), at(seconds)).await.expect("an answer")
    };
    let Received::New(first) = receive(&["s1", "k"], 1).await else { panic!("new") };
    assert_eq!(receive(&["s1"], 2).await, Received::Replayed(first));
    assert_eq!(receive(&["s2", "k"], 2).await, Received::Replayed(first));
    assert!(matches!(receive(&["s2"], 2).await, Received::New(_)), "a replay leaves no key of its own");
    for _ in 0..2 {
        assert!(matches!(receive(&[], 3).await, Received::New(_)));
    }
    assert_eq!(world.rows("outbox").await, 4);
    // Of ten at once one is new, and all learn which.
    let other = world.another_store().await;
    let ten = keys(&["ten"]);
    let tries = (0..10).map(|at| {
        let store = if at % 2 == 0 { &world.store } else { &other };
        let (webhook, ten) = (webhook.id, &ten);
        async move { store.receive(webhook, ten, &call("b"), crate::kit::at(4)).await.expect("an answer") }
    });
    let answers = join_all(tries).await;
    let new: Vec<_> =
        answers.iter().filter_map(|a| if let Received::New(id) = a { Some(*id) } else { None }).collect();
    assert_eq!((new.len(), world.rows("outbox").await), (1, 5), "{answers:?}");
    assert!(answers.iter().all(|a| matches!(a, Received::New(id) | Received::Replayed(id) if *id == new[0])));
    world.store.prune_deliveries(at(0), at(3), 100).await.expect("pruned");
    assert!(matches!(receive(&["k"], 5).await, Received::New(_)), "forgotten");
}
