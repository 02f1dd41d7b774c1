//! Every registered runbook: run twice, failed before and after each of its writes, cut short at
//! each, refused at each, undone twice. A new runbook is covered by being registered; without an
//! entry in [`request`] the suite fails.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use directory::embedded::{Fault, FaultKind, OperationKind};
use directory::{Base, Entry, ReaderDescriptor, ResultCode, Scope, Search};
use domain::{
    Clock, Dn, Mode, Sid, StepState, SystemClock, WaitReason, Workflow, WorkflowKind, WorkflowState,
};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use store::{Action, WorkflowFilter};
use tests::wait::eventually;
use tests::world::{World, direct_farm, farm};
use workers::{Registry, StepContext};

const FARM: &str = "EveryStep";

/// A kind, asked of a farm of one mode of membership.
struct Asked {
    kind: WorkflowKind,
    /// The reader list names each host.
    direct: bool,
}

impl Deref for Asked {
    type Target = WorkflowKind;

    fn deref(&self) -> &WorkflowKind {
        &self.kind
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind, if self.direct { " (direct)" } else { "" })
    }
}

/// The kinds that do other writes where membership is direct.
const BOTH_MODES: [&str; 3] = ["add-host", "remove-host", "update"];

/// The kinds of which nothing is ever taken back: a host that is cut off stays so. What a DC refuses
/// them they try again in their last step, so that one refusal changes nothing in the end.
const KEPT: [&str; 1] = ["compromise-removal"];

/// The kinds that are about no farm, whatever they do to some.
const OF_NO_FARM: [&str; 3] = ["compromise-removal", "quarantine-check", "quarantine-release"];

/// Kinds that write nothing to the directory and wait for days, or for people: tests/recovery.
const APART: [&str; 2] = ["await-roll", "kds-root-key-recovery"];

/// Kinds that are refused a second time: there is nothing left that could be asked for.
const ONCE: [&str; 1] = ["quarantine-release"];

fn farm_of(kind: &Asked) -> Option<&'static str> {
    (!OF_NO_FARM.contains(&kind.as_str())).then_some(FARM)
}

/// What a kind is asked for.
struct Case {
    /// The farm is deployed first.
    on_a_farm: bool,
    input: Value,
}

/// What each kind is asked for, and how its world is made ready.
fn request(kind: &Asked) -> Case {
    match kind.as_str() {
        "deploy" => Case { on_a_farm: false, input: deployed(kind) },
        "add-host" => Case { on_a_farm: true, input: json!({ "hosts": ["Host4", "Host5$"] }) },
        "remove-host" => Case { on_a_farm: true, input: json!({ "hosts": ["Host1$", "Host3"] }) },
        // The cool-down's own tests are in tests/engine and tests/lifecycle: here it would only be
        // waited for at each of some forty runs.
        "decommission" => Case { on_a_farm: true, input: json!({ "coolDownSeconds": 0 }) },
        "replace" => Case { on_a_farm: true, input: json!({ "accountSid": null, "coolDownSeconds": 0 }) },
        // In a world without a quarantined host it looks and finds nothing; what it does about one is
        // in tests/recovery.
        "import" | "inspect" | "quarantine-check" => Case { on_a_farm: true, input: json!({}) },
        "update" => Case { on_a_farm: true, input: changed(kind) },
        "quarantine-release" => {
            Case { on_a_farm: true, input: json!({ "hostSid": null, "force": "a test" }) }
        }
        "compromise-removal" => Case { on_a_farm: true, input: json!({ "host": "Host1" }) },
        // Of the farm that is asked for; of a whole directory in tests/rotation.
        "rotation-check" => {
            let input = json!({ "everyDc": true, "maxIntervalDays": 30, "keepDays": 400 });
            Case { on_a_farm: true, input }
        }
        // Of the farm that is asked for; of a whole directory in tests/drift.
        "drift-check" => {
            Case { on_a_farm: true, input: json!({ "full": false, "fullEverySeconds": 86_400 }) }
        }
        // An account that has rolled since; one that is due is nudged in tests/rotation.
        "nudge" => {
            let key =
                json!({ "l0": 300, "l1": 0, "l2": 0, "rootKey": "00000000-0000-0000-0000-000000000001" });
            Case { on_a_farm: true, input: json!({ "accountSid": null, "dueKey": key }) }
        }
        other => panic!("say in tests/tests/every_step.rs what a {other} is asked for"),
    }
}

/// The request in full: its account is the one that was deployed, also when it is asked again.
async fn input(world: &World, kind: &Asked) -> Value {
    let mut input = request(kind).input;
    if input.get("accountSid").is_some_and(Value::is_null) {
        let filter = WorkflowFilter { kind: Some(WorkflowKind::DEPLOY), ..Default::default() };
        let deploys = world.store.workflows(&filter, None, 1).await.expect("the store answers");
        let deployed = deploys.items.first().and_then(|deploy| deploy.result.clone()).expect("a deploy");
        input["accountSid"] = deployed["account"]["sid"].clone();
    }
    if input.get("hostSid").is_some_and(Value::is_null) {
        let dc = world.directory.pin(None).await.expect("a DC");
        let host = Dn::parse("CN=Host1,OU=Servers,DC=contoso,DC=com").expect("a DN");
        let host = dc.read(&(&host).into(), &["objectSid"]).await.expect("a read").expect("Host1");
        input["hostSid"] = json!(host.sid("objectSid"));
    }
    input
}

/// The farm under another DNS name, by other ciphers, and with other hosts.
fn changed(kind: &Asked) -> Value {
    let hosts = ["Host2", "Host3", "Host4"];
    let mut farm = if kind.direct { direct_farm(FARM, &hosts) } else { farm(FARM, "EveryStepHosts", &hosts) };
    let account = &mut farm["account"];
    account["dnsHostName"] = json!("renamed.contoso.com");
    account["description"] = Value::Null;
    account["servicePrincipalNames"] =
        json!(["http/renamed.contoso.com", format!("http/{FARM}.contoso.com")]);
    account["kerberosEncryptionTypes"] = json!(["AES256"]);
    farm
}

/// The farm that the others work on.
fn deployed(kind: &Asked) -> Value {
    let hosts = ["Host1", "Host2", "Host3"];
    match kind.direct {
        true => direct_farm(FARM, &hosts),
        false => farm(FARM, "EveryStepHosts", &hosts),
    }
}

/// A world in which the kind can be asked for; the writes of its making are forgotten.
async fn prepared(kind: &Asked) -> World {
    let world = World::new().await;
    if request(kind).on_a_farm {
        let worker = world.start_worker("before");
        let id = world.submit("deploy", Mode::Apply, deployed(kind)).await;
        assert_eq!(world.finishes(id).await.state, WorkflowState::Succeeded);
        if kind.as_str() == "quarantine-release" {
            let host = json!({ "host": "Host1" });
            let id = world.submit_for("compromise-removal", Mode::Apply, None, host).await;
            assert_eq!(world.finishes(id).await.state, WorkflowState::Succeeded);
        }
        worker.stop().await;
    }
    world.faults.forget();
    world
}

fn kinds() -> Vec<Asked> {
    let mut kinds: Vec<_> = Registry::standard().iter().map(|runbook| runbook.kind.clone()).collect();
    kinds.retain(|kind| !APART.contains(&kind.as_str()));
    kinds.sort();
    assert!(!kinds.is_empty());
    let direct = kinds.clone().into_iter().filter(|kind| BOTH_MODES.contains(&kind.as_str()));
    let direct: Vec<_> = direct.map(|kind| Asked { kind, direct: true }).collect();
    kinds.into_iter().map(|kind| Asked { kind, direct: false }).chain(direct).collect()
}

/// What changes with every run and says nothing of the farm.
const VOLATILE: [&str; 8] = [
    "usnchanged",
    "usncreated",
    "whenchanged",
    "whencreated",
    "objectguid",
    "objectsid",
    "pwdlastset",
    "msds-managedpasswordid",
];

type Snapshot = BTreeMap<String, BTreeMap<String, Vec<String>>>;

/// Every object of the domain with every attribute that is not volatile.
async fn snapshot(world: &World) -> Snapshot {
    let dc = world.directory.pin(None).await.expect("a DC");
    let domain = dc.root_dse().await.expect("a rootDSE").default_naming_context;
    let search = Search::new(&domain, Scope::Subtree, "(objectClass=*)", &["*"]);
    let (mut objects, mut names) = (Vec::new(), HashMap::new());
    for entry in dc.search(&search).await.expect("the whole domain") {
        let read = dc.read(&Base::from(&entry.dn), &["*"]).await.expect("a read").expect("the object");
        names.extend(read.sid("objectSid").map(|sid| (sid, entry.dn.key().to_owned())));
        objects.push(read);
    }
    let shown = |read: &Entry| {
        let attributes = read.names().filter(|name| !VOLATILE.contains(name));
        attributes.map(|name| (name.to_owned(), values(read, name, &names))).collect()
    };
    objects.iter().map(|read| (read.dn.key().to_owned(), shown(read))).collect()
}

/// A reader list names SIDs, which every world draws anew: told by whom they mean.
fn values(read: &Entry, attribute: &str, names: &HashMap<Sid, String>) -> Vec<String> {
    let name = |sid: &Sid| names.get(sid).cloned().unwrap_or_else(|| sid.to_string());
    let mut values: Vec<_> = match attribute {
        "msds-groupmsamembership" => {
            let list = ReaderDescriptor::from_bytes(&read.values(attribute)[0]).expect("a reader list");
            let denied = list.denied().iter().map(|sid| format!("not {}", name(sid))).collect::<Vec<_>>();
            list.readers().iter().map(name).chain(denied).collect()
        }
        _ => read.texts(attribute),
    };
    values.sort();
    values
}

async fn run(world: &World, kind: &Asked) -> Workflow {
    let id = world.submit_for(kind.as_str(), Mode::Apply, farm_of(kind), input(world, kind).await).await;
    world.finishes_approved(id).await
}

/// Until it is finished, or parked for a person.
async fn settles(world: &World, kind: &Asked) -> Workflow {
    let id = world.submit_for(kind.as_str(), Mode::Apply, farm_of(kind), input(world, kind).await).await;
    eventually(&format!("{kind} is finished or parked"), Duration::from_secs(60), async || {
        world.approve_if_asked(id).await;
        let workflow = world.workflow(id).await;
        let parked = workflow.waiting.as_ref().is_some_and(|wait| wait.reason == WaitReason::Operator);
        (workflow.state.is_finished() || parked).then_some(workflow)
    })
    .await
}

/// What a refusal leads to. Up to the first deletion a failure takes everything back; a deletion
/// that is refused parks with all that was done before it, since who came this far has waited days
/// for it, and lacks a right rather than the wish; behind a deletion nothing could be taken back.
async fn refused_at(
    world: &World,
    kind: &Asked,
    operation: OperationKind,
    clean: (&Snapshot, &Snapshot),
    case: &str,
) {
    let (before, after) = clean;
    let settled = settles(world, kind).await;
    if KEPT.contains(&kind.as_str()) {
        assert_eq!(settled.state, WorkflowState::Succeeded, "{case}: {:?}", settled.error);
        assert_eq!(&snapshot(world).await, after, "{case}");
        return;
    }
    if operation != OperationKind::Delete {
        let wrote = settled.steps.iter().any(|step| step.state == StepState::Undone);
        let expected = if wrote { WorkflowState::Unwound } else { WorkflowState::Failed };
        assert_eq!(settled.state, expected, "{case}: {:?}", settled.error);
        assert_eq!(&snapshot(world).await, before, "{case}");
        return;
    }
    assert_eq!(settled.state, WorkflowState::Waiting, "{case}: {:?}", settled.error);
    world.store.act(settled.id, Action::Resume, "a test", SystemClock.now()).await.expect("resumed");
    world.signal.wake();
    let done = world.finishes(settled.id).await;
    assert_eq!(done.state, WorkflowState::Succeeded, "{case}, once the right is there: {:?}", done.error);
    assert_eq!(&snapshot(world).await, after, "{case}");
}

fn refusal() -> FaultKind {
    FaultKind::Refuse(ResultCode::INSUFFICIENT_ACCESS_RIGHTS, "00002098: refused".into())
}

/// The writes of a run on a clean slate, and what the directory then holds.
async fn clean_run(kind: &Asked) -> (Vec<OperationKind>, Snapshot) {
    let world = prepared(kind).await;
    let _worker = world.start_worker("clean");
    let done = run(&world, kind).await;
    assert_eq!(done.state, WorkflowState::Succeeded, "{kind}: {:?}", done.error);
    let writes = world.faults.writes().iter().map(|operation| operation.kind).collect();
    (writes, snapshot(&world).await)
}

/// A fault that strikes at the nth write, whatever its kind.
fn at_write(writes: &[OperationKind], n: usize, kind: FaultKind) -> Fault {
    let operation = writes[n];
    let before = writes[..n].iter().filter(|earlier| **earlier == operation).count();
    Fault::once(operation, kind).nth(u32::try_from(before).expect("few writes") + 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn run_twice_the_second_changes_nothing_and_says_so() {
    for kind in kinds().into_iter().filter(|kind| !ONCE.contains(&kind.as_str())) {
        let world = prepared(&kind).await;
        let _worker = world.start_worker("one");
        assert_eq!(run(&world, &kind).await.state, WorkflowState::Succeeded);
        let (before, writes) = (snapshot(&world).await, world.faults.writes().len());
        let again = run(&world, &kind).await;
        assert_eq!(again.state, WorkflowState::Succeeded, "{kind}: {:?}", again.error);
        assert_eq!(world.faults.writes().len(), writes, "{kind} wrote again");
        assert_eq!(snapshot(&world).await, before);
        assert!(again.steps.iter().all(|step| step.changed != Some(true)), "{kind}: {:#?}", again.steps);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_writes_nothing_and_plans_every_write_of_the_real_run() {
    for kind in kinds() {
        let world = prepared(&kind).await;
        let _worker = world.start_worker("one");
        let before = snapshot(&world).await;
        let id =
            world.submit_for(kind.as_str(), Mode::Plan, farm_of(&kind), input(&world, &kind).await).await;
        let planned = world.finishes(id).await;
        assert_eq!(planned.state, WorkflowState::Succeeded, "{kind}: {:?}", planned.error);
        assert_eq!((world.faults.writes(), snapshot(&world).await), (vec![], before));
        let done = run(&world, &kind).await;
        let written =
            done.steps.iter().filter_map(|step| step.outcome.as_ref()).flat_map(|outcome| &outcome.writes);
        let written: Vec<_> = written.map(|write| (write.change.kind, write.change.dn.clone())).collect();
        let planned: Vec<_> =
            planned.plan.expect("a plan").changes.iter().map(|c| (c.kind, c.dn.clone())).collect();
        assert_eq!(planned, written, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_before_and_after_every_write_is_got_over_with_the_same_result() {
    for kind in kinds() {
        let (writes, expected) = clean_run(&kind).await;
        let faults =
            [FaultKind::CutBeforeEffect, FaultKind::CutAfterEffect, FaultKind::Busy, FaultKind::Unavailable];
        let cases = (0..writes.len()).flat_map(|n| faults.clone().map(|fault| (n, fault)));
        // Mostly waiting for the next attempt, so they wait side by side.
        let runs = cases.map(|(n, fault)| troubled(&kind, &writes, n, fault, &expected));
        stream::iter(runs).buffer_unordered(4).collect::<Vec<()>>().await;
    }
}

async fn troubled(kind: &Asked, writes: &[OperationKind], n: usize, fault: FaultKind, expected: &Snapshot) {
    let case = format!("{kind}, {fault:?} at write {n}");
    let world = prepared(kind).await;
    let _worker = world.start_worker("one");
    world.faults.inject(at_write(writes, n, fault));
    let done = run(&world, kind).await;
    assert_eq!(done.state, WorkflowState::Succeeded, "{case}: {:?}", done.error);
    assert_eq!(&snapshot(&world).await, expected, "{case}");
    assert!(done.steps.iter().any(|step| step.changed == Some(true)), "{case}: the writes are still ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_at_any_write_leaves_a_clean_slate_and_at_a_deletion_parks() {
    for kind in kinds() {
        let (writes, after) = clean_run(&kind).await;
        for n in 0..writes.len() {
            let world = prepared(&kind).await;
            let before = snapshot(&world).await;
            let _worker = world.start_worker("one");
            world.faults.inject(at_write(&writes, n, refusal()));
            let case = format!("{kind}, refused at write {n}");
            refused_at(&world, &kind, writes[n], (&before, &after), &case).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_when_a_deletion_is_refused_everything_before_the_first_is_put_back() {
    for kind in kinds() {
        let (writes, _) = clean_run(&kind).await;
        let Some(first) = writes.iter().position(|write| *write == OperationKind::Delete) else { continue };
        let world = prepared(&kind).await;
        let before = snapshot(&world).await;
        let _worker = world.start_worker("one");
        world.faults.inject(at_write(&writes, first, refusal()));
        let parked = settles(&world, &kind).await;
        world.store.act(parked.id, Action::Cancel, "a test", SystemClock.now()).await.expect("cancelled");
        world.signal.wake();
        let cancelled = world.finishes(parked.id).await;
        assert_eq!(cancelled.state, WorkflowState::Cancelled, "{kind}: {:?}", cancelled.error);
        assert_eq!(snapshot(&world).await, before, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_took_effect_unheard_and_is_then_refused_leaves_a_clean_slate_too() {
    for kind in kinds() {
        let (writes, after) = clean_run(&kind).await;
        for n in 0..writes.len().saturating_sub(1) {
            let world = prepared(&kind).await;
            let before = snapshot(&world).await;
            let _worker = world.start_worker("one");
            world.faults.inject(at_write(&writes, n, FaultKind::CutAfterEffect));
            // A write that meets the first fault is not counted by the second.
            let others = [&writes[..n], &writes[n + 1..]].concat();
            world.faults.inject(at_write(&others, n, refusal()));
            let case = format!("{kind}, unheard at write {n}, refused at the next");
            refused_at(&world, &kind, writes[n + 1], (&before, &after), &case).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_worker_finishes_what_one_that_died_before_any_write_took_effect_began() {
    for kind in kinds() {
        let (writes, expected) = clean_run(&kind).await;
        for n in 0..writes.len() {
            take_over(&kind, &writes, n, FaultKind::HangBeforeEffect, &expected).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_worker_finishes_what_one_that_died_after_any_write_took_effect_began() {
    for kind in kinds() {
        let (writes, expected) = clean_run(&kind).await;
        for n in 0..writes.len() {
            take_over(&kind, &writes, n, FaultKind::HangAfterEffect, &expected).await;
        }
    }
}

/// One worker dies while its nth write hangs; another goes on.
async fn take_over(kind: &Asked, writes: &[OperationKind], n: usize, hang: FaultKind, expected: &Snapshot) {
    let case = format!("{kind}, died at write {n} in {hang:?}");
    let world = prepared(kind).await;
    let doomed = world.start_worker("doomed");
    world.faults.inject(at_write(writes, n, hang.clone()));
    let id = world.submit_for(kind.as_str(), Mode::Apply, farm_of(kind), input(&world, kind).await).await;
    eventually(&format!("{case}: the write hangs"), Duration::from_secs(40), async || {
        world.approve_if_asked(id).await;
        (world.faults.hanging() == 1).then_some(())
    })
    .await;
    doomed.kill();
    let _heir = world.start_worker("heir");
    let done = world.finishes_approved(id).await;
    assert_eq!(done.state, WorkflowState::Succeeded, "{case}: {:?}", done.error);
    assert_eq!(&snapshot(&world).await, expected, "{case}");
    // Who sent a write does not matter, that it was this workflow does: all count as its own.
    let ours: Vec<_> =
        done.steps.iter().filter_map(|step| step.outcome.as_ref()).flat_map(|o| &o.writes).collect();
    assert_eq!(ours.len(), writes.len(), "{case}");
    // Sent once by the dead worker, and once more only if it had no effect.
    let sent = writes.len() + usize::from(hang == FaultKind::HangBeforeEffect);
    assert_eq!(world.faults.writes().len(), sent, "{case}");
}

#[tokio::test(flavor = "multi_thread")]
async fn undo_twice_is_undo_once_for_every_step() {
    for kind in kinds() {
        // Where there are deletions: of everything up to the first. What is deleted has no undo.
        let (writes, after) = clean_run(&kind).await;
        let world = prepared(&kind).await;
        let before = if KEPT.contains(&kind.as_str()) { after } else { snapshot(&world).await };
        if let Some(first) = writes.iter().position(|write| *write == OperationKind::Delete) {
            world.faults.inject(at_write(&writes, first, refusal()));
        }
        let worker = world.start_worker("one");
        let done = settles(&world, &kind).await;
        worker.stop().await;
        let runbook = world.registry.get(&kind).expect("registered").clone();
        let (id, directory) = (done.id, done.directory.clone());
        let input = input(&world, &kind).await;
        let cx = StepContext::new(id, directory, Mode::Apply, world.environment(), input, None);
        for (step, record) in runbook.steps.iter().zip(&done.steps).rev() {
            let parked = matches!(record.state, StepState::Waiting | StepState::Pending);
            assert!(matches!(record.state, StepState::Succeeded | StepState::Skipped) || parked);
            let writes = record.outcome.as_ref().map(|outcome| outcome.writes.clone()).unwrap_or_default();
            step.undo(&cx, &writes).await.unwrap_or_else(|error| panic!("{kind}/{}: {error:?}", step.name()));
            let sent = world.faults.writes().len();
            step.undo(&cx, &writes)
                .await
                .unwrap_or_else(|error| panic!("{kind}/{} again: {error:?}", step.name()));
            assert_eq!(world.faults.writes().len(), sent, "{kind}/{}: the second undo wrote", step.name());
        }
        assert_eq!(snapshot(&world).await, before, "{kind}");
    }
}
