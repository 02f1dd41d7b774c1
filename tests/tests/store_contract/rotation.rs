//! How gMSAs' passwords stand: items, their history, and which farm an account belongs to.

use domain::containment::KeyId;
use domain::rotation::{FindingCode, RotationFinding};
use domain::{
    AnnouncementKind, Dn, RotationItem, RotationVerdict as V, Sid, SystemRng, WorkflowEvent, WorkflowId,
};
use store::{
    FarmFacts, FarmRecord, Finish, RotationBatch, RotationFilter, RotationRecorded, StoreError,
    VerdictChange, WorkflowChange,
};
use uuid::Uuid;

use crate::kit::*;

fn sid(rid: u32) -> Sid {
    format!("S-1-5-21-1-2-3-{rid}").parse().expect("a SID")
}

fn item(name: &str, rid: u32, verdict: V, slot: i64) -> RotationItem {
    RotationItem {
        directory: directory(),
        account: format!("{name}$"),
        sid: sid(rid),
        dn: Dn::parse(&format!("CN={name},DC=contoso,DC=com")).expect("a DN"),
        farm: None,
        verdict,
        why: "seen \0 so".to_owned(),
        key_id: KeyId::of_slot(slot, Uuid::from_u128(1)),
        interval_days: Some(30),
        rollover_hours: Some(720),
        slot_start: Some(at(0)),
        next_due: Some(at(720 * 3600)),
        password_set: None,
        enabled: true,
        readers: Vec::new(),
        reader_count: 0,
        findings: Vec::new(),
        copies: Vec::new(),
    }
}

impl World {
    async fn record(&self, seconds: i64, items: Vec<RotationItem>) -> RotationRecorded {
        let workflow = WorkflowId::new(at(seconds), &SystemRng);
        let batch = RotationBatch { directory: directory(), workflow, items, now: at(seconds) };
        self.store.record_rotation(&batch).await.expect("recorded")
    }

    async fn board(&self, filter: &RotationFilter) -> Vec<String> {
        let page = self.store.rotation(filter, None, 100).await.expect("a page");
        assert_eq!(page.next, None);
        page.items.into_iter().map(|entry| entry.item.account).collect()
    }

    async fn record_farm(&self, name: &str, account: u32) {
        let facts = FarmFacts {
            spec: farm_spec(name),
            account_dn: Dn::parse("CN=a,DC=x").expect("a DN"),
            account_sid: sid(account),
            group_dn: None,
            group_sid: None,
            group_made: false,
            foreign_readers: Vec::new(),
        };
        self.end_on_farm(name, FarmRecord::Deployed(facts)).await;
    }

    async fn end_on_farm(&self, name: &str, record: FarmRecord) {
        let id = self.deploy(name, 0).await;
        let claimed = self.claimed(id, 1).await;
        let finish = Finish {
            event: WorkflowEvent::Succeed,
            error: None,
            result: None,
            plan: None,
            farm: Some(record),
        };
        self.commit(entry(&claimed, 2, WorkflowChange::Finish(finish))).await;
    }
}

pub async fn a_second_look_at_the_same_changes_only_its_time(world: World) {
    let first = world.record(1, vec![item("alpha", 1, V::Current, 7)]).await;
    let new = VerdictChange { account: "alpha$".to_owned(), before: None, after: V::Current };
    assert_eq!(first, RotationRecorded { changed: 1, verdicts: vec![new] });
    assert_eq!(world.record(2, vec![item("alpha", 1, V::Current, 7)]).await, RotationRecorded::default());
    let found = world.store.rotation_of(&directory(), "ALPHA$").await.expect("an answer").expect("an entry");
    assert_eq!(found.item, item("alpha", 1, V::Current, 7));
    assert_eq!((found.checked_at, found.changed_at, found.gone_at), (at(2), at(1), None));
    assert_eq!(world.rows("rotation_history").await, 1);

    // What is neither verdict nor key is kept, and is no history.
    let renamed = RotationItem { enabled: false, ..item("beta", 1, V::Current, 7) };
    assert_eq!(world.record(3, vec![renamed.clone()]).await, RotationRecorded::default());
    let found = world.store.rotation_of(&directory(), "beta").await.expect("an answer").expect("an entry");
    assert_eq!((found.item, found.changed_at), (renamed, at(1)));
    assert_eq!(world.rows("rotation_history").await, 1);
}

pub async fn a_change_of_verdict_or_key_is_history(world: World) {
    for (seconds, verdict, slot) in
        [(1, V::Current, 7), (2, V::Due, 7), (3, V::Due, 7), (4, V::Current, 79), (5, V::Current, 151)]
    {
        world.record(seconds, vec![item("alpha", 1, verdict, slot)]).await;
    }
    let changes = world.store.rotation_changes(&directory(), &sid(1), 3).await.expect("changes");
    let seen: Vec<_> =
        changes.iter().map(|c| (c.at, c.verdict, c.key_id.as_ref().map(KeyId::slot_number))).collect();
    assert_eq!(
        seen,
        [(at(5), V::Current, Some(151)), (at(4), V::Current, Some(79)), (at(2), V::Due, Some(7))]
    );
    let newest = world.store.newest_root_key_in_use(&directory()).await.expect("an answer");
    assert_eq!(newest, Some(Uuid::from_u128(1)));
}

pub async fn what_was_not_seen_is_gone_and_may_come_back(world: World) {
    world.record(1, vec![item("alpha", 1, V::Current, 7), item("beta", 2, V::Due, 7)]).await;
    world.record(10, vec![item("alpha", 1, V::Current, 7)]).await;
    let workflow = WorkflowId::new(at(11), &SystemRng);
    let here = directory();
    let gone = || world.store.note_gone_accounts(&here, at(10), workflow, at(11));
    assert_eq!(gone().await.expect("noted"), 1);
    assert_eq!(gone().await.expect("noted"), 0, "once");
    assert_eq!(world.board(&RotationFilter::default()).await, ["alpha$"]);
    let filter = RotationFilter { gone: true, ..RotationFilter::default() };
    assert_eq!(world.board(&filter).await, ["beta$"]);
    let counts = world.store.count_by_verdict().await.expect("counts");
    assert_eq!(counts, [(directory(), V::Current, 1)]);

    // Another account under the old name is what the name stands for now.
    world.record(12, vec![item("beta", 3, V::Current, 9)]).await;
    let found = world.store.rotation_of(&directory(), "beta").await.expect("an answer").expect("an entry");
    assert_eq!(found.item.sid, sid(3));
    let by_sid = world.store.rotation_of(&directory(), "s-1-5-21-1-2-3-2").await.expect("an answer");
    assert_eq!(by_sid.and_then(|entry| entry.gone_at), Some(at(11)));
    // Restored from the recycle bin.
    let back = world.record(13, vec![item("beta", 2, V::Due, 7)]).await;
    assert_eq!(back.changed, 1);
    let changes = world.store.rotation_changes(&directory(), &sid(2), 10).await.expect("changes");
    assert_eq!(changes.iter().map(|change| change.gone).collect::<Vec<_>>(), [false, true, false]);
}

pub async fn the_board_is_filtered_and_its_pages_do_not_shift(world: World) {
    let finding = |code| RotationFinding { code, text: "t".to_owned(), subjects: Vec::new(), at: None };
    let mut items: Vec<_> = (0..25).map(|n| item(&format!("acc{n:02}"), 100 + n, V::Current, 7)).collect();
    items[3].verdict = V::Idle;
    items[4].farm = Some(farm_name("Web"));
    items[5].findings = vec![finding(FindingCode::DcSilent), finding(FindingCode::OldRootKey)];
    items[6].findings = vec![finding(FindingCode::DcsDisagree)];
    world.record(1, items).await;
    let all = RotationFilter::default;
    for (filter, expected) in [
        (RotationFilter { verdict: Some(V::Idle), ..all() }, vec!["acc03$"]),
        (RotationFilter { farm: Some(farm_name("web")), ..all() }, vec!["acc04$"]),
        (RotationFilter { finding: Some(FindingCode::OldRootKey), ..all() }, vec!["acc05$"]),
        (RotationFilter { finding: Some(FindingCode::DcsDisagree), ..all() }, vec!["acc06$"]),
        (RotationFilter { directory: Some("other".parse().expect("a name")), ..all() }, vec![]),
    ] {
        assert_eq!(world.board(&filter).await, expected);
    }
    let (mut names, mut cursor) = (Vec::new(), None);
    loop {
        let page = world.store.rotation(&all(), cursor.as_deref(), 10).await.expect("a page");
        names.extend(page.items.into_iter().map(|entry| entry.item.account));
        // One that comes in before the cursor moves nothing.
        world.record(2, vec![item("acc", 99, V::Current, 7)]).await;
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(names, (0..25).map(|n| format!("acc{n:02}$")).collect::<Vec<_>>());
    let bad = world.store.rotation(&all(), Some("zz"), 10).await;
    assert!(matches!(bad, Err(StoreError::InvalidCursor)), "{bad:?}");
}

pub async fn old_changes_and_gone_accounts_are_forgotten(world: World) {
    world.record(1, vec![item("alpha", 1, V::Current, 7), item("beta", 2, V::Current, 7)]).await;
    world.record(50, vec![item("alpha", 1, V::Due, 7)]).await;
    let workflow = WorkflowId::new(at(50), &SystemRng);
    world.store.note_gone_accounts(&directory(), at(50), workflow, at(50)).await.expect("noted");
    world.record(100, vec![item("alpha", 1, V::Current, 79)]).await;
    assert_eq!(world.store.prune_rotation(&directory(), at(100)).await.expect("pruned"), 4);
    assert_eq!((world.rows("rotation_history").await, world.rows("rotation").await), (1, 1));
    assert_eq!(world.board(&RotationFilter::default()).await, ["alpha$"], "what is there stays");
}

pub async fn two_checks_at_once_leave_one_item_each(world: World) {
    let items = |n: i64| (0..700).map(|rid| item(&format!("a{rid}"), rid, V::Current, n)).collect::<Vec<_>>();
    let other = world.another_store().await;
    let batch =
        |n: i64, workflow| RotationBatch { directory: directory(), workflow, items: items(n), now: at(n) };
    let ids = [WorkflowId::new(at(1), &SystemRng), WorkflowId::new(at(2), &SystemRng)];
    let (first, second) = (batch(1, ids[0]), batch(2, ids[1]));
    let (one, two) = futures::join!(world.store.record_rotation(&first), other.record_rotation(&second));
    assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
    assert_eq!(world.rows("rotation").await, 700);
    assert_eq!(world.store.count_by_verdict().await.expect("counts"), [(directory(), V::Current, 700)]);
}

pub async fn a_deployed_farm_is_found_by_its_account(world: World) {
    for (name, account) in [("One", 11), ("Two", 12), ("Gone", 13)] {
        world.record_farm(name, account).await;
    }
    let retired = FarmRecord::Decommissioned { directory: directory(), farm: farm_name("Gone") };
    world.end_on_farm("Gone", retired).await;
    world.deploy("Asked", 5).await;
    let asked: Vec<_> = (11..2_000).map(sid).collect();
    let found = world.store.farms_of_accounts(&directory(), &asked).await.expect("farms");
    let mut names: Vec<_> = found.iter().map(|(sid, farm)| (farm.name.to_string(), sid.rid())).collect();
    names.sort();
    assert_eq!(names, [("One".to_owned(), Some(11)), ("Two".to_owned(), Some(12))]);
    let of = |account: u32| {
        let store = world.store.clone();
        async move { store.farm_of_account(&directory(), &sid(account)).await.expect("an answer") }
    };
    assert_eq!((of(12).await, of(13).await), (Some(farm_name("Two")), None));

    world.record(6, vec![item("one", 11, V::Current, 7)]).await;
    let without = world.store.farms_without_account(&directory(), 10).await.expect("farms");
    assert_eq!(without, [farm_name("Two")]);
}

/// A database of an earlier version knows its farms' accounts once it is brought up.
pub async fn farms_of_an_earlier_version_are_found_by_their_account(world: World) {
    world.record_farm("One", 11).await;
    let migrations = world.store.migrations().await.expect("a list");
    let ours = migrations.iter().position(|(name, _)| name == "m20261127_000005_rotation").expect("ours");
    let steps = u32::try_from(migrations.len() - ours).expect("few");
    world.store.migrate_down(steps).await.expect("down");
    world.store.migrate_up().await.expect("up");
    // The statements of the old connections are of the old columns.
    let store = world.another_store().await;
    let found = store.farm_of_account(&directory(), &sid(11)).await.expect("an answer");
    assert_eq!(found, Some(farm_name("One")));
}

/// `account: before -> after` of what was announced.
async fn told(world: &World) -> Vec<String> {
    let announced = world.announced().await;
    assert!(announced.iter().all(|one| one.kind == AnnouncementKind::VerdictChanged));
    let word = |value: &serde_json::Value| value.as_str().unwrap_or("null").to_owned();
    let line = |one: &Announced| {
        format!("{}: {} -> {}", one.subject, word(&one.data["before"]), word(&one.data["after"]))
    };
    let mut lines: Vec<_> = announced.iter().map(line).collect();
    lines.sort_unstable();
    lines
}

pub async fn a_verdict_that_changes_is_announced_and_a_first_look_only_where_something_is_wrong(
    world: World,
) {
    let names: Vec<_> = (0..1200).map(|number| format!("Many{number:04}")).collect();
    let well = (0..).zip(&names).map(|(number, name)| item(name, 5000 + number, V::Current, 7)).collect();
    assert_eq!(world.record(1, well).await.changed, 1200);
    assert_eq!(told(&world).await, [""; 0], "a first look at what is well is no news");
    let first = vec![item("A", 1, V::Due, 7), item("B", 2, V::Idle, 7), item("C", 3, V::Rolling, 7)];
    world.record(2, first.clone()).await;
    assert_eq!(told(&world).await, ["B$: null -> idle"]);
    world.record(3, first).await;
    assert_eq!(told(&world).await, [""; 0]);
    // Another key is a change on record, and none of the verdict.
    world
        .record(4, vec![item("A", 1, V::Idle, 7), item("B", 2, V::Current, 8), item("C", 3, V::Rolling, 8)])
        .await;
    assert_eq!(told(&world).await, ["A$: due -> idle", "B$: idle -> current"]);
    let mut late = item("A", 1, V::Never, 7);
    late.farm = Some(farm_name("ITFarm1"));
    world.record(5, vec![late.clone()]).await;
    let announced = world.announced().await;
    let data = &announced[0].data;
    assert_eq!((&data["sid"], &data["farm"]), (&serde_json::json!(late.sid), &serde_json::json!("ITFarm1")));
    assert_eq!(
        (&data["why"], &data["nextDue"]),
        (&serde_json::json!(late.why), &serde_json::json!(late.next_due))
    );
}

pub async fn an_account_that_goes_and_comes_back_is_announced(world: World) {
    world.record(1, vec![item("A", 1, V::Current, 7), item("B", 2, V::Current, 7)]).await;
    world.record(10, vec![item("B", 2, V::Current, 7)]).await;
    let check = WorkflowId::new(at(10), &SystemRng);
    let gone = world.store.note_gone_accounts(&directory(), at(10), check, at(11)).await.expect("noted");
    assert_eq!((gone, told(&world).await), (1, vec!["A$: current -> gone".to_owned()]));
    let again = world.store.note_gone_accounts(&directory(), at(10), check, at(12)).await.expect("noted");
    assert_eq!((again, told(&world).await), (0, vec![]));
    world.record(20, vec![item("A", 1, V::Current, 7)]).await;
    assert_eq!(told(&world).await, ["A$: gone -> current"]);
}
