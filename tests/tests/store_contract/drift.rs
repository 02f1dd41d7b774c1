//! How farms stand to what was asked for: which are to be looked at, what was found, and the mark that a
//! check goes on from.

use domain::drift::{DriftItem, DriftKind, DriftState as S};
use domain::{AnnouncementKind, Dn, FarmName, Problem, WorkflowEvent, WorkflowId, WorkflowKind};
use serde_json::json;
use store::{
    Compared, DriftBatch, DriftChange, DriftFilter, DriftMark, DriftSubject, FarmFacts, FarmRecord, Finish,
    Mend, NewWorkflow, Object, StoreError, WorkflowChange,
};

use crate::kit::*;

fn item(found: &str) -> DriftItem {
    DriftItem {
        kind: DriftKind::Changed,
        subject: "a$".to_owned(),
        attribute: "description".to_owned(),
        asked: Some("asked".to_owned()),
        recorded: Some("asked".to_owned()),
        found: Some(found.to_owned()),
        mendable: true,
        blocks_update: false,
        hint: "do it".to_owned(),
    }
}

fn rests_on() -> Vec<Object> {
    let sid = "S-1-5-21-1-2-3-1000".parse().expect("a SID");
    vec![Object(sid, Dn::parse("CN=a,DC=x").expect("a DN"))]
}

impl World {
    /// On record as deployed, as a deploy leaves it.
    async fn farm(&self, name: &str) {
        let facts = FarmFacts {
            spec: farm_spec(name),
            account_dn: Dn::parse("CN=a,DC=x").expect("a DN"),
            account_sid: "S-1-5-21-1-2-3-1000".parse().expect("a SID"),
            group_dn: None,
            group_sid: None,
            group_made: false,
            foreign_readers: Vec::new(),
        };
        let id = self.deploy(name, 0).await;
        self.ends(id, 2, WorkflowEvent::Succeed, Some(FarmRecord::Deployed(facts))).await;
    }

    async fn ends(&self, id: WorkflowId, seconds: i64, event: WorkflowEvent, farm: Option<FarmRecord>) {
        let claimed = self.claimed(id, seconds - 1).await;
        let error = (event == WorkflowEvent::Fail)
            .then(|| Problem::new(domain::ErrorCode::StepFault, "it failed", "look"));
        let finish = Finish { event, error, result: None, plan: None, farm };
        self.commit(entry(&claimed, seconds, WorkflowChange::Finish(finish))).await;
    }

    async fn update(&self, farm: &str, seconds: i64, description: &str) -> WorkflowId {
        let mut spec = farm_spec(farm);
        spec.account.description = Some(description.to_owned());
        let input = serde_json::to_value(spec).expect("serialises");
        let new = NewWorkflow { kind: WorkflowKind::UPDATE, input, farm_spec: None, ..deploy(farm, seconds) };
        self.submit(new).await
    }

    async fn subject(&self, farm: &str) -> DriftSubject {
        let found = self.store.drift_subjects_named(&directory(), &[farm_name(farm)]).await;
        found.expect("read").into_iter().next().expect("it is deployed")
    }

    /// As a check finds it now.
    async fn compared(&self, farm: &str, items: Vec<DriftItem>) -> Compared {
        let subject = self.subject(farm).await;
        Compared {
            farm: farm_name(farm),
            state: if items.is_empty() { S::InLine } else { S::Drifted },
            why: Some("seen \0 so".to_owned()),
            items,
            rests_on: rests_on(),
            settled: true,
            farm_updated_at: subject.farm.updated_at,
            newest: subject.newest,
            mend: subject.known.and_then(|known| known.mend),
        }
    }

    async fn record_as(&self, usn: i64, seconds: i64, farms: Vec<Compared>) -> Vec<DriftChange> {
        let batch = DriftBatch {
            directory: directory(),
            workflow: WorkflowId(uuid::Uuid::from_u128(1)),
            dc: "dc1.contoso.com".to_owned(),
            invocation: "one".to_owned(),
            usn,
            farms,
            now: at(seconds),
        };
        self.store.record_drift(&batch).await.expect("recorded")
    }

    async fn due(&self) -> Vec<FarmName> {
        self.store.drift_due(&directory(), "one", None, 100).await.expect("read")
    }

    async fn stands(&self, farm: &str) -> domain::drift::DriftEntry {
        self.store.drift_of(&directory(), &farm_name(farm)).await.expect("read").expect("it was compared")
    }
}

fn mark(usn: i64, seconds: i64) -> DriftMark {
    DriftMark {
        dc: "dc1.contoso.com".to_owned(),
        invocation: "one".to_owned(),
        usn,
        quarantine: "none".to_owned(),
        full_at: at(0),
        checked_at: at(seconds),
    }
}

pub async fn a_result_comes_back_as_it_was_recorded_and_only_other_items_are_a_change(world: World) {
    world.farm("a").await;
    let first = world.compared("a", vec![item("x")]).await;
    let changes = world.record_as(1, 10, vec![first.clone()]).await;
    assert_eq!(changes.len(), 1);
    assert_eq!((changes[0].before, changes[0].after), (None, S::Drifted));
    let stands = world.stands("A").await;
    assert_eq!((&stands.items, stands.item_count, stands.state), (&first.items, 1, S::Drifted));
    assert_eq!(stands.why.as_deref(), Some("seen \u{fffd} so"));
    assert_eq!((stands.compared_at, stands.changed_at), (at(10), at(10)));

    let same = world.compared("a", vec![item("x")]).await;
    assert_eq!(world.record_as(2, 20, vec![same]).await, []);
    let stands = world.stands("a").await;
    assert_eq!((stands.compared_at, stands.changed_at), (at(20), at(10)));
    let other = world.compared("a", vec![]).await;
    let changes = world.record_as(3, 30, vec![other]).await;
    assert_eq!(
        (changes[0].had_items, changes[0].has_items, changes[0].before),
        (true, false, Some(S::Drifted))
    );
    assert_eq!(world.stands("a").await.changed_at, at(30));
    let rests = world.store.drift_rests_on(&directory(), None, 10).await.expect("read");
    assert_eq!((rests.len(), &rests[0].objects), (1, &rests_on()));
    assert_eq!(world.store.drift_rests_on(&directory(), Some(&farm_name("a")), 10).await.expect("read"), []);
}

pub async fn of_two_checks_the_one_that_began_later_is_believed(world: World) {
    world.farm("a").await;
    let (late, early) = (world.compared("a", vec![]).await, world.compared("a", vec![item("old")]).await);
    world.record_as(20, 5, vec![late]).await;
    assert_eq!(world.record_as(10, 6, vec![early.clone()]).await, []);
    assert_eq!(world.stands("a").await.state, S::InLine);
    // Another database counts apart.
    let batch = DriftBatch {
        directory: directory(),
        workflow: WorkflowId(uuid::Uuid::from_u128(1)),
        dc: "dc2.contoso.com".to_owned(),
        invocation: "two".to_owned(),
        usn: 1,
        farms: vec![early],
        now: at(7),
    };
    world.store.record_drift(&batch).await.expect("recorded");
    assert_eq!(world.stands("a").await.domain_controller, "dc2.contoso.com");
    assert_eq!(world.due().await, [farm_name("a")], "on another DC's word");

    world.store.settle_drift(&directory(), &mark(20, 8)).await.expect("settled");
    world.store.settle_drift(&directory(), &mark(10, 9)).await.expect("settled");
    assert_eq!(world.store.drift_mark(&directory()).await.expect("read").expect("a mark").usn, 20);
}

pub async fn a_result_stands_until_the_record_or_a_workflow_on_the_farm_moves(world: World) {
    for name in ["a", "b", "c"] {
        world.farm(name).await;
    }
    assert_eq!(world.due().await, ["a", "b", "c"].map(farm_name), "never compared");
    let mut found = Vec::new();
    for name in ["a", "b", "c"] {
        found.push(world.compared(name, vec![]).await);
    }
    found[2].settled = false;
    world.record_as(1, 10, found).await;
    assert_eq!(world.due().await, [farm_name("c")], "it did not rest on objects alone");

    let id = world.update("a", 20, "x").await;
    assert_eq!(world.due().await, ["a", "c"].map(farm_name));
    let found = vec![world.compared("a", vec![]).await, world.compared("c", vec![]).await];
    world.record_as(2, 21, found).await;
    assert_eq!(world.due().await, []);
    // The same workflow goes on.
    world.ends(id, 30, WorkflowEvent::Fail, None).await;
    assert_eq!(world.due().await, [farm_name("a")]);
    let again = world.compared("a", vec![]).await;
    world.record_as(3, 31, vec![again]).await;
    assert_eq!(world.due().await, []);
    // A check of the farm is no work on it.
    world.submit(NewWorkflow { farm: Some(farm_name("b")), ..check(40) }).await;
    assert_eq!(world.due().await, []);
    assert_eq!(world.store.drift_due(&directory(), "two", None, 2).await.expect("read").len(), 2);
    let rest = world.store.drift_due(&directory(), "two", Some(&farm_name("b")), 2).await.expect("read");
    assert_eq!(rest, [farm_name("c")]);
}

pub async fn what_was_asked_for_and_not_reached_is_told_with_the_farm(world: World) {
    world.farm("a").await;
    assert_eq!(world.subject("a").await.asked, None);
    let id = world.update("a", 20, "wanted").await;
    let subject = world.subject("a").await;
    assert_eq!((subject.asked.map(|asked| asked.workflow), subject.at_work), (Some(id), None), "not begun");
    world.claimed(id, 21).await;
    let work = world.subject("a").await.at_work.expect("it runs");
    assert_eq!((work.workflow, work.kind), (id, WorkflowKind::UPDATE));

    let other = world.update("a", 30, "another").await;
    let asked = world.subject("a").await.asked.expect("asked for");
    assert_eq!((asked.workflow, asked.spec.account.description.as_deref()), (other, Some("another")));
    let page = world.store.drift_subjects(&directory(), None, 10).await.expect("read");
    assert_eq!(page.len(), 1);
    assert_eq!(page[0].newest.map(|newest| newest.workflow), Some(other));
    assert_eq!(world.store.drift_subjects(&directory(), Some(&farm_name("a")), 10).await.expect("read"), []);
}

pub async fn a_check_that_comes_to_its_end_moves_the_mark_and_every_result(world: World) {
    assert_eq!(world.store.drift_mark(&directory()).await.expect("read"), None);
    for name in ["a", "b"] {
        world.farm(name).await;
        let found = world.compared(name, vec![]).await;
        world.record_as(1, 10, vec![found]).await;
    }
    world.store.settle_drift(&directory(), &mark(5, 50)).await.expect("settled");
    assert_eq!(world.store.drift_mark(&directory()).await.expect("read"), Some(mark(5, 50)));
    let stands = world.stands("a").await;
    assert_eq!((stands.checked_at, stands.compared_at), (at(50), at(10)));

    let id = world.deploy("b", 60).await;
    let gone = FarmRecord::Decommissioned { directory: directory(), farm: farm_name("b") };
    world.ends(id, 62, WorkflowEvent::Succeed, Some(gone)).await;
    world.store.settle_drift(&directory(), &mark(6, 70)).await.expect("settled");
    assert_eq!(world.store.drift_of(&directory(), &farm_name("b")).await.expect("read"), None);
    assert_eq!(world.stands("a").await.checked_at, at(70));
}

pub async fn farms_are_listed_and_counted_by_how_they_stand(world: World) {
    for (name, items) in [("a", vec![]), ("B", vec![item("x")]), ("c", vec![item("y")])] {
        world.farm(name).await;
        let found = world.compared(name, items).await;
        world.record_as(1, 10, vec![found]).await;
    }
    let names = async |filter: DriftFilter| {
        let page = world.store.drift(&filter, None, 100).await.expect("a page");
        page.items.into_iter().map(|entry| entry.farm.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(DriftFilter::default()).await, ["a", "B", "c"]);
    assert_eq!(names(DriftFilter { state: Some(S::Drifted), ..Default::default() }).await, ["B", "c"]);
    assert_eq!(names(DriftFilter { farm: Some(farm_name("b")), ..Default::default() }).await, ["B"]);
    let first = world.store.drift(&DriftFilter::default(), None, 2).await.expect("a page");
    let rest = world.store.drift(&DriftFilter::default(), first.next.as_deref(), 2).await.expect("a page");
    assert_eq!((rest.items[0].farm.as_str(), rest.next), ("c", None));
    for bad in ["zz", "6161"] {
        let page = world.store.drift(&DriftFilter::default(), Some(bad), 2).await;
        assert!(matches!(page, Err(StoreError::InvalidCursor)), "{bad}");
    }
    let mut counts = world.store.count_by_drift().await.expect("counted");
    counts.sort_by_key(|(_, state, _)| *state);
    assert_eq!(counts, [(directory(), S::InLine, 1), (directory(), S::Drifted, 2)]);
    assert_eq!(world.store.drifted_farms(&directory(), 1).await.expect("read"), [farm_name("B")]);
}

pub async fn a_mending_is_noted_with_the_drift_that_it_is_for(world: World) {
    world.farm("a").await;
    let found = world.compared("a", vec![item("x")]).await;
    let hash = DriftItem::hash(&found.items).expect("a hash");
    world.record_as(1, 10, vec![found]).await;
    let workflow = world.update("a", 11, "asked").await;
    let other = Mend { workflow, hash: "of another drift".to_owned(), at: at(11) };
    world.store.note_mend(&directory(), &farm_name("a"), &other).await.expect("noted");
    assert_eq!(world.stands("a").await.state, S::Drifted, "the drift is another by now");
    let mend = Mend { workflow, hash, at: at(11) };
    world.store.note_mend(&directory(), &farm_name("a"), &mend).await.expect("noted");
    let stands = world.stands("a").await;
    assert_eq!((stands.state, stands.mended_by), (S::Mending, Some(workflow)));
    assert_eq!(world.subject("a").await.known.and_then(|known| known.mend), Some(mend));

    // In line again: what comes later is another story.
    let found = world.compared("a", vec![]).await;
    world.record_as(2, 20, vec![found]).await;
    assert_eq!(world.stands("a").await.mended_by, None);
}

pub async fn other_items_than_before_are_announced_and_so_is_that_none_are_left(world: World) {
    world.farm("a").await;
    world.announced().await;
    for (usn, items, expected) in [
        (1, vec![], None),
        (2, vec![item("x")], Some(AnnouncementKind::DriftFound)),
        (3, vec![item("x")], None),
        (4, vec![item("y")], Some(AnnouncementKind::DriftFound)),
        (5, vec![], Some(AnnouncementKind::DriftMended)),
        (6, vec![], None),
    ] {
        let found = world.compared("a", items).await;
        world.record_as(usn, 10 + usn, vec![found]).await;
        let announced = world.announced().await;
        assert_eq!(
            announced.iter().map(|one| one.kind).collect::<Vec<_>>(),
            Vec::from_iter(expected),
            "{usn}"
        );
        for one in announced {
            assert_eq!(
                (one.subject.as_str(), &one.data["farm"], &one.data["directory"]),
                ("a", &json!("a"), &json!("default"))
            );
        }
    }
}
