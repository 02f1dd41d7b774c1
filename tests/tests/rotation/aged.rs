//! On a real DC of the test's own, with its clock put ahead while ours stays: what rolls when.

use chrono::{DateTime, TimeDelta, Utc};
use domain::rotation::FindingCode;
use domain::{Clock, ManagedPasswordInterval, RotationVerdict as V, SystemClock};
use futures::FutureExt;
use serde_json::json;
use tests::lab::Lab;
use tests::private::PrivateDc;
use tests::world::World;

use super::{check, deployed, entry, farm, history, hosts, succeeded};

const NAME: &str = "agedfarm";

/// msDS-KeyVersionNumber, as the DC shows it to anybody.
async fn key_version(world: &World) -> i64 {
    let dc = world.directory.pin(None).await.expect("a DC");
    let dn = entry(world, NAME).await.item.dn;
    let found = dc.read(&(&dn).into(), &["msDS-KeyVersionNumber"]).await.expect("a read");
    found.expect("the account").int("msDS-KeyVersionNumber").expect("a version")
}

/// The start of the slot that a DC rolls to at `now`, from one that began at `start`.
fn rolls_to(start: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    let one_day = ManagedPasswordInterval::from_days(1).expect("valid");
    let life = TimeDelta::hours(one_day.rollover_hours().into());
    let periods = (now - start).num_hours() / life.num_hours();
    start + life * i32::try_from(periods).expect("few")
}

#[tokio::test(flavor = "multi_thread")]
async fn on_an_aged_dc_a_member_hosts_read_rolls_the_password_and_the_verdict_follows() {
    let dc = PrivateDc::start(&Lab::from_env()).await;
    let mut world = World::on_lab(&dc.lab).await;
    let lab = dc.lab.clone();
    world.hosts = hosts(move |host, account| {
        let lab = lab.clone();
        async move {
            let asked = tokio::task::spawn_blocking(move || lab.host_reads_password(&host, &account));
            asked.await.is_ok_and(|answer| answer.unwrap_or(false))
        }
        .boxed()
    });
    let _worker = world.start_worker("one");
    deployed(&world, farm(NAME, json!({ "rotation": { "nudge": false } }))).await;

    check(&world, None).await;
    let fresh = entry(&world, NAME).await.item;
    let start = fresh.slot_start.expect("a start");
    assert_eq!((fresh.verdict, fresh.next_due), (V::Current, Some(start + TimeDelta::hours(20))));
    let version = key_version(&world).await;

    // A day is more than 20 hours, however late in its slot the account was made; 24 hours are not
    // 20 hours and a whole interval more.
    dc.age(1).await;
    check(&world, None).await;
    let due = entry(&world, NAME).await.item;
    assert_eq!((due.verdict, &due.key_id), (V::Due, &fresh.key_id), "{}", due.why);
    assert!(due.codes().contains(&FindingCode::DcClocksApart), "the DC is a day ahead of us: {due:#?}");
    assert_eq!(key_version(&world).await, version, "looking rolls nothing");

    let stranger = dc.lab.host_reads_password("Host3", NAME).expect("a try");
    check(&world, None).await;
    assert_eq!((stranger, entry(&world, NAME).await.item.verdict), (false, V::Due), "nor does a denied read");

    assert!(dc.lab.host_reads_password("Host1", NAME).expect("a try"));
    let now = SystemClock.now() + TimeDelta::days(1);
    check(&world, None).await;
    let rolled = entry(&world, NAME).await.item;
    assert_eq!(
        (rolled.verdict, rolled.slot_start),
        (V::Current, Some(rolls_to(start, now))),
        "{}",
        rolled.why
    );
    let once = key_version(&world).await;
    assert_eq!(once, version + 1);

    // Nobody asks for several periods, then the farm wants a nudge.
    dc.age(6).await;
    deployed(&world, farm(NAME, json!({ "rotation": { "nudge": true } }))).await;
    let idle = check(&world, None).await;
    assert_eq!((idle.verdicts.get(V::Idle), idle.nudges.len()), (1, 1), "{idle:#?}");
    let nudge = world.finishes(idle.nudges[0]).await;
    succeeded(&nudge);
    let now = SystemClock.now() + TimeDelta::days(6);
    check(&world, None).await;
    let nudged = entry(&world, NAME).await.item;
    let before = rolled.slot_start.expect("a start");
    assert_eq!(
        (nudged.verdict, nudged.slot_start),
        (V::Current, Some(rolls_to(before, now))),
        "{}",
        nudged.why
    );
    let twice = key_version(&world).await;
    assert_eq!(twice, once + 2, "over periods that were missed the DC makes the previous password too");
    let result = nudge.result.expect("a result");
    assert_eq!(result["copies"][0]["keyVersion"], json!(twice), "{result}");
    assert_eq!(history(&world, NAME).await, [V::Current, V::Due, V::Current, V::Idle, V::Current]);
}
