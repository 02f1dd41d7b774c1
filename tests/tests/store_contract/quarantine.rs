//! Hosts that no workflow lets in, and the deny entries that were written for them.

use domain::{AnnouncementKind, DirectoryName, Dn, Sid, SystemRng, WorkflowId, WorkflowKind};
use futures::future::join_all;
use serde_json::json;
use store::{
    FarmRecord, Finish, NewQuarantine, NewWorkflow, QuarantineFilter, Quarantined, Release, StoreError,
    WorkflowChange, WorkflowFilter,
};

use crate::kit::*;

fn sid(rid: u32) -> Sid {
    format!("S-1-5-21-1-2-3-{rid}").parse().expect("a SID")
}

fn dn(name: &str) -> Dn {
    Dn::parse(&format!("CN={name},CN=Computers,DC=contoso,DC=com")).expect("a DN")
}

fn workflow(seconds: i64) -> WorkflowId {
    WorkflowId::new(at(seconds), &SystemRng)
}

fn host(rid: u32) -> NewQuarantine {
    NewQuarantine {
        directory: directory(),
        host_sid: sid(rid),
        host_name: format!("Host{rid}"),
        computer_dn: dn(&format!("Host{rid}")),
        workflow: workflow(0),
        placed_by: "ann".to_owned(),
        reason: Some("beacon seen".to_owned()),
    }
}

fn release(seconds: i64) -> Release {
    Release { at: at(seconds), by: "bob".into(), workflow: workflow(seconds), reason: Some("rebuilt".into()) }
}

async fn placed(world: &World, new: &NewQuarantine, seconds: i64) -> Quarantined {
    world.store.quarantine(new, at(seconds)).await.expect("placed")
}

async fn open(world: &World) -> Vec<Sid> {
    let open = world.store.quarantined(&directory()).await.expect("an answer");
    open.into_iter().map(|host| host.host_sid).collect()
}

pub async fn a_host_is_put_under_quarantine_once_and_released(world: World) {
    let new = host(1);
    let first = placed(&world, &new, 1).await;
    let (name, reason) = (first.host_name.as_str(), first.reason.as_deref());
    assert_eq!((name, reason, first.placed_at), ("Host1", Some("beacon seen"), at(1)));
    assert_eq!((&first.computer_dn, first.workflow), (&dn("Host1"), new.workflow));
    assert_eq!((first.computer_disabled, &first.released), (false, &None));
    let again = NewQuarantine { placed_by: "eve".into(), ..host(1) };
    assert_eq!(placed(&world, &again, 2).await, first, "it stays as it was placed first");
    let elsewhere = NewQuarantine { directory: DirectoryName::parse("other").expect("a name"), ..host(1) };
    assert_ne!(placed(&world, &elsewhere, 2).await.id, first.id);
    world.store.note_computer_disabled(&directory(), &sid(1)).await.expect("noted");
    let disabled = world.store.quarantined(&directory()).await.expect("an answer");
    assert_eq!(disabled, [Quarantined { computer_disabled: true, ..first.clone() }]);
    assert!(world.store.release_quarantine(&directory(), &sid(1), &release(5)).await.expect("released"));
    assert!(!world.store.release_quarantine(&directory(), &sid(1), &release(6)).await.expect("an answer"));
    assert!(open(&world).await.is_empty());
    assert_eq!(world.store.quarantined(&elsewhere.directory).await.expect("an answer").len(), 1);
    // Compromised again: a quarantine of its own, and what was is history.
    let second = placed(&world, &host(1), 7).await;
    assert!(second.id != first.id && !second.computer_disabled);
    let filter = QuarantineFilter { directory: Some(directory()), released: true };
    let all = world.store.quarantines(&filter, None, 10).await.expect("a page").items;
    let ends: Vec<_> =
        all.iter().map(|host| host.released.as_ref().map(|end| (end.at, end.by.clone()))).collect();
    assert_eq!(ends, [None, Some((at(5), "bob".to_owned()))]);
    assert_eq!(all[1].released.as_ref().and_then(|end| end.reason.clone()).as_deref(), Some("rebuilt"));
}

pub async fn of_ten_that_quarantine_a_host_at_once_one_does_and_all_learn_which(world: World) {
    for round in 1..6 {
        let new = host(round);
        let places = (0..10).map(|n| {
            let new = NewQuarantine { placed_by: format!("p{n}"), ..new.clone() };
            let store = &world.store;
            async move { store.quarantine(&new, at(1)).await.expect("placed") }
        });
        let placed = join_all(places).await;
        assert!(placed.iter().all(|host| *host == placed[0]), "{placed:?}");
    }
    assert_eq!(open(&world).await.len(), 5);
}

pub async fn a_host_can_be_put_under_quarantine_while_it_is_released(world: World) {
    let (host, directory) = (host(1), directory());
    for round in 0..30 {
        let release = release(round);
        let (placed, released) = futures::join!(
            world.store.quarantine(&host, at(1)),
            world.store.release_quarantine(&directory, &host.host_sid, &release)
        );
        placed.expect("placed");
        released.expect("an answer");
        assert!(open(&world).await.len() <= 1);
    }
}

pub async fn the_quarantine_is_listed_newest_first_a_page_at_a_time(world: World) {
    for n in 1..=7 {
        placed(&world, &host(n), i64::from(n)).await;
    }
    world.store.release_quarantine(&directory(), &sid(4), &release(9)).await.expect("released");
    for (released, expected) in [(true, vec![7, 6, 5, 4, 3, 2, 1]), (false, vec![7, 6, 5, 3, 2, 1])] {
        let filter = QuarantineFilter { directory: None, released };
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let page = world.store.quarantines(&filter, cursor.as_deref(), 3).await.expect("a page");
            assert!(page.items.len() <= 3);
            seen.extend(page.items.into_iter().map(|host| host.host_sid));
            match page.next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, expected.into_iter().map(sid).collect::<Vec<_>>());
    }
    let refused = world.store.quarantines(&QuarantineFilter::default(), Some("banana"), 3).await;
    assert!(matches!(refused, Err(StoreError::InvalidCursor)));
    let other = QuarantineFilter { directory: DirectoryName::parse("other").ok(), released: true };
    assert!(world.store.quarantines(&other, None, 3).await.expect("a page").items.is_empty());
}

pub async fn denials_are_noted_once_and_forgotten_with_the_release(world: World) {
    placed(&world, &host(1), 1).await;
    let accounts: Vec<_> = (1..=2_500).map(|n| (sid(5_000 + n), dn(&format!("A{n}")))).collect();
    let (first, second) = (workflow(1), workflow(2));
    let note = async |accounts: &[(Sid, Dn)], by, seconds| {
        world.store.note_denials(&directory(), &sid(1), accounts, by, at(seconds)).await.expect("noted");
    };
    note(&accounts[..2_000], first, 1).await;
    note(&accounts, second, 2).await;
    note(&[], second, 3).await;
    let denials = world.store.denials(&directory(), &sid(1)).await.expect("an answer");
    assert_eq!(denials.len(), 2_500);
    let mine = |by| denials.iter().filter(move |denial| denial.workflow == by);
    assert_eq!((mine(first).count(), mine(second).count()), (2_000, 500), "who wrote it first stays");
    assert!(mine(first).all(|denial| denial.written_at == at(1)));
    assert!(denials.iter().any(|denial| denial.account_dn == dn("A77") && denial.account_sid == sid(5_077)));
    assert!(world.store.denials(&directory(), &sid(2)).await.expect("an answer").is_empty());
    world.store.note_denials(&directory(), &sid(2), &accounts[..1], first, at(3)).await.expect("noted");
    world.store.release_quarantine(&directory(), &sid(1), &release(9)).await.expect("released");
    assert!(world.store.denials(&directory(), &sid(1)).await.expect("an answer").is_empty());
    assert_eq!(world.store.denials(&directory(), &sid(2)).await.expect("an answer").len(), 1);
}

pub async fn who_asked_for_a_workflow_is_on_record(world: World) {
    let kind = WorkflowKind::COMPROMISE_REMOVAL;
    let parent = world.submit(NewWorkflow { kind, ..check(0) }).await;
    let mut children = Vec::new();
    for n in 1..=3 {
        children.push(world.submit(NewWorkflow { parent: Some(parent), ..check(n) }).await);
    }
    world.check(9).await;
    let found = world.store.children(parent).await.expect("an answer");
    assert_eq!(found.iter().map(|child| child.id).collect::<Vec<_>>(), children);
    assert!(found.iter().all(|child| child.parent == Some(parent)));
    assert!(world.store.children(children[0]).await.expect("an answer").is_empty());
    let filter = WorkflowFilter { parent: Some(parent), ..WorkflowFilter::default() };
    let page = world.store.workflows(&filter, None, 2).await.expect("a page");
    assert_eq!(page.items.iter().map(|child| child.id).collect::<Vec<_>>(), [children[2], children[1]]);
}

pub async fn only_deployed_farms_are_asked_about(world: World) {
    world.deploy("Requested", 0).await;
    let gone = FarmRecord::Decommissioned { directory: directory(), farm: farm_name("Gone") };
    let deployed = |farm| FarmRecord::Deployed(crate::journaling::facts(farm));
    let records = [("B", deployed("B")), ("A", deployed("A")), ("Gone", deployed("Gone")), ("Gone", gone)];
    for (farm, record) in records {
        let id = world.deploy(farm, 1).await;
        let claimed = world.claimed(id, 2).await;
        let end = Finish {
            event: domain::WorkflowEvent::Succeed,
            error: None,
            result: None,
            plan: None,
            farm: Some(record),
        };
        world.commit(entry(&claimed, 3, WorkflowChange::Finish(end))).await;
    }
    let farms = world.store.deployed_farms(&directory()).await.expect("an answer");
    assert_eq!(farms.iter().map(|farm| farm.name.to_string()).collect::<Vec<_>>(), ["A", "B"]);
    let other = DirectoryName::parse("other").expect("a name");
    assert!(world.store.deployed_farms(&other).await.expect("an answer").is_empty());
}

pub async fn a_quarantine_is_announced_once_and_its_end_once(world: World) {
    let new = host(1);
    for seconds in [1, 2] {
        placed(&world, &new, seconds).await;
    }
    let announced = world.announced().await;
    let [added] = announced.as_slice() else { panic!("{announced:#?}") };
    assert_eq!((added.kind, added.subject.as_str()), (AnnouncementKind::QuarantineAdded, "Host1"));
    let expected = json!({
        "directory": "default", "host": "Host1", "sid": new.host_sid, "workflowId": new.workflow, "by": "ann",
        "reason": "beacon seen",
    });
    assert_eq!(added.data, expected);
    let releases = (0..4).map(|number| {
        let (store, release) = (world.store.clone(), release(10 + number));
        async move { store.release_quarantine(&directory(), &sid(1), &release).await.expect("an answer") }
    });
    assert_eq!(join_all(releases).await.into_iter().filter(|ended| *ended).count(), 1);
    let announced = world.announced().await;
    let [ended] = announced.as_slice() else { panic!("{announced:#?}") };
    assert_eq!((ended.kind, ended.subject.as_str()), (AnnouncementKind::QuarantineReleased, "Host1"));
    assert_eq!((&ended.data["by"], &ended.data["reason"]), (&json!("bob"), &json!("rebuilt")));
}
