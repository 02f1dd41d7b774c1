//! `await-roll`.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::TimeDelta;
use directory::ManagedPasswordId;
use directory::embedded::{EmbeddedDirectory, EmbeddedOptions};
use domain::containment::Rolled;
use domain::{
    Clock as _, ManagedPasswordInterval, ManualClock, Mode, SystemClock, SystemRng, WaitReason, WorkflowId,
    WorkflowState,
};
use serde_json::json;
use tests::world::{World, connect_to};
use workers::Registry;
use workers::runbooks::await_roll;
use workers::steps::roll::AwaitRoll;

use crate::kit::{account, succeeded};
use crate::{administrator, waits_for};

/// A world whose directory lives at another time, and looks at an exposed password twice a second.
async fn world_at(ago: TimeDelta) -> (World, Arc<ManualClock>) {
    let brief = TimeDelta::milliseconds(500);
    let step = AwaitRoll { previous_is_taken: TimeDelta::seconds(2), soonest: brief, seldom: brief };
    let mut world = World::with(Registry::standard().with(await_roll::with(step))).await;
    let clock = Arc::new(ManualClock::at(SystemClock.now() - ago));
    let options = EmbeddedOptions { clock: clock.clone(), ..EmbeddedOptions::default() };
    world.embedded = Arc::new(EmbeddedDirectory::start(options).await.expect("an embedded directory"));
    world.directory = connect_to(&world.embedded);
    (world, clock)
}

async fn key_id(world: &World, name: &str) -> Vec<u8> {
    let dc = world.directory.pin(None).await.expect("a DC");
    let found = dc.read(&(&account(name)).into(), &["msDS-ManagedPasswordId"]).await.expect("a read");
    found.expect("the account").bytes("msDS-ManagedPasswordId").expect("an id").to_vec()
}

/// Asks for the roll of the password that the account has now.
async fn watch(world: &World, name: &str) -> WorkflowId {
    let dc = world.directory.pin(None).await.expect("a DC");
    let found = dc.read(&(&account(name)).into(), &["objectSid"]).await.expect("a read");
    let input = json!({
        "accountSid": found.expect("the account").sid("objectSid"),
        "exposedKeyId": BASE64.encode(key_id(world, name).await),
        "compromise": WorkflowId::new(SystemClock.now(), &SystemRng),
    });
    world.submit_for("await-roll", Mode::Apply, None, input).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_watched_from_the_day_on_which_it_is_due_until_every_dc_has_another() {
    let (world, clock) = world_at(TimeDelta::days(40)).await;
    world.embedded.seed_gmsas(&["Idle1".to_owned()], None).await.expect("a gMSA");
    clock.advance(Duration::from_secs(40 * 86_400));
    let _worker = world.start_worker("one");
    let id = watch(&world, "Idle1").await;
    let exposed = key_id(&world, "Idle1").await;
    let idle = waits_for(&world, id, WaitReason::Timer).await.waiting.expect("a wait");
    assert!(idle.detail.contains("nobody who may has asked for the password of Idle1$"), "{}", idle.detail);
    assert!(idle.detail.contains("Test-ADServiceAccount -Identity Idle1"), "{}", idle.detail);

    assert!(world.embedded.fetch_password_as_host(&account("Idle1")).await.expect("an answer"));
    let done = world.finishes(id).await;

    succeeded(&done);
    let rolled: Rolled = serde_json::from_value(done.result.expect("a result")).expect("a roll");
    let now = ManagedPasswordId::parse(&key_id(&world, "Idle1").await).expect("an id");
    let before = ManagedPasswordId::parse(&exposed).expect("an id");
    assert_eq!(now.slot_start(), before.next_due(ManagedPasswordInterval::default()));
    let key = rolled.key_id.expect("it has another");
    assert_eq!((key.l0, key.l1, key.l2), (now.slot.l0(), now.slot.l1(), now.slot.l2()));
    assert!(rolled.seen_at >= clock.now() + TimeDelta::seconds(2), "the one before it was taken a while");
    assert_eq!((rolled.account.as_str(), rolled.domain_controllers.len()), ("Idle1$", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn until_it_is_due_nobody_is_asked() {
    let (world, _) = world_at(TimeDelta::zero()).await;
    world.embedded.seed_gmsas(&["Fresh1".to_owned()], None).await.expect("a gMSA");
    let _worker = world.start_worker("one");
    let id = watch(&world, "Fresh1").await;
    let due = ManagedPasswordId::parse(&key_id(&world, "Fresh1").await).expect("an id");
    let wait = waits_for(&world, id, WaitReason::Timer).await.waiting.expect("a wait");
    assert_eq!(wait.until, Some(due.next_due(ManagedPasswordInterval::default())));
    assert!(wait.detail.contains("works until then"), "{}", wait.detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_of_an_account_that_is_gone_opens_nothing() {
    let (world, _) = world_at(TimeDelta::zero()).await;
    world.embedded.seed_gmsas(&["Gone1".to_owned()], None).await.expect("a gMSA");
    let id = watch(&world, "Gone1").await;
    administrator(&world).await.delete(&account("Gone1")).await.expect("deleted");
    let _worker = world.start_worker("one");
    let done = world.finishes(id).await;
    succeeded(&done);
    let rolled: Rolled = serde_json::from_value(done.result.expect("a result")).expect("a roll");
    assert_eq!(rolled.key_id, None);
    assert!(rolled.summary.contains("is gone"), "{}", rolled.summary);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_key_id_is_refused() {
    let (world, _) = world_at(TimeDelta::zero()).await;
    let _worker = world.start_worker("one");
    let input = json!({
        "accountSid": "S-1-5-21-1-2-3-4",
        "exposedKeyId": "bm8=",
        "compromise": WorkflowId::new(SystemClock.now(), &SystemRng),
    });
    let id = world.submit_for("await-roll", Mode::Apply, None, input).await;
    let done = world.finishes(id).await;
    assert_eq!(done.state, WorkflowState::Failed);
    assert_eq!(done.error.expect("an error").code, domain::ErrorCode::InvalidRequest);
}
