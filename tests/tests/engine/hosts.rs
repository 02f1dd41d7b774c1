//! Work on hosts: bounded waves, every answer kept, nobody asked twice without need.

use std::collections::HashSet;

use domain::host::{AckOutcome, HostAck};
use domain::{FarmSpec, HostAction, HostActionKind, HostAdapter, HostTaskState, Sid, Workflow, WorkflowId};
use store::Acked;
use tests::world::farm;
use workers::hosts::{HostActions, HostAnswer, Hosts};
use workers::steps::on_hosts::{HostJob, OnHosts};
use workers::steps::preflight::HostTarget;

use super::*;

/// An adapter that notes whom it was asked about.
#[derive(Debug, Default)]
struct Fake {
    asked: Mutex<Vec<String>>,
    at_once: AtomicU32,
    most_at_once: AtomicU32,
    failing: Mutex<HashSet<&'static str>>,
    /// Hosts that do not answer while they are listed.
    silent: Mutex<HashSet<&'static str>>,
}

impl Fake {
    fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().expect("a lock").clone();
        asked.sort();
        asked
    }
}

#[async_trait]
impl HostActions for Fake {
    fn name(&self) -> &str {
        "fake"
    }

    async fn act(&self, action: &HostAction) -> HostAnswer {
        let host = action.host.name.clone();
        self.asked.lock().expect("a lock").push(host.clone());
        let _asked = Counted::by(&self.at_once);
        self.most_at_once.fetch_max(self.at_once.load(Ordering::SeqCst), Ordering::SeqCst);
        // Whoever is asked in the same wave gets as far as this before anybody answers.
        tokio::task::yield_now().await;
        while self.silent.lock().expect("a lock").contains(host.as_str()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        match self.failing.lock().expect("a lock").contains(host.as_str()) {
            true => HostAnswer::Failed { detail: "no such service".into() },
            false => HostAnswer::Succeeded { detail: String::new() },
        }
    }
}

const NAMES: [&str; 5] = ["Host1", "Host2", "Host3", "Host4", "Host5"];

fn job(cx: &StepContext) -> Result<HostJob, StepError> {
    let spec: FarmSpec = cx.input()?;
    let hosts = spec.hosts.iter().zip(1101..).map(|(host, rid)| {
        let sid = Sid::new(5, vec![21, 1, 2, 3, rid]).expect("a SID");
        let dn = Dn::parse(&format!("CN={host},DC=contoso,DC=com")).expect("a DN");
        HostTarget { name: host.to_string(), dn, sid, dns_host_name: None }
    });
    Ok(HostJob { hosts: hosts.collect(), account: "OnHosts$".into() })
}

/// One step on five hosts, two at a time.
async fn world(adapter: HostAdapter) -> (World, Arc<Fake>) {
    let step = OnHosts { name: "install", actions: |_| vec![HostActionKind::Install], job };
    let mut world = World::with(registry(vec![Arc::new(step)])).await;
    let fake = Arc::new(Fake::default());
    world.hosts = Hosts::new(adapter, 2).with(HostAdapter::Command, fake.clone());
    (world, fake)
}

async fn submit(world: &World, mode: Mode) -> WorkflowId {
    world.submit("scripted", mode, farm("OnHosts", "OnHostsGroup", &NAMES)).await
}

fn states(workflow: &Workflow) -> Vec<HostTaskState> {
    let outcome = workflow.steps[0].outcome.as_ref();
    outcome.map(|outcome| outcome.hosts.iter().map(|task| task.state).collect()).unwrap_or_default()
}

async fn ack(world: &World, id: WorkflowId, host: Option<&str>, outcome: AckOutcome) {
    let ack = HostAck { host: host.map(str::to_owned), outcome, detail: None };
    let acked = world.store.ack(id, 0, &[ack], "a person", SystemClock.now()).await.expect("an answer");
    assert!(matches!(acked, Acked::Done(_)), "{acked:?}");
    world.signal.wake();
}

/// Until the tasks stand so while it waits for that.
async fn stand(world: &World, id: WorkflowId, reason: WaitReason, expected: &[HostTaskState]) -> Workflow {
    eventually(&format!("{expected:?}, waiting for {reason}"), Duration::from_secs(30), async || {
        let workflow = world.workflow(id).await;
        let waits = workflow.waiting.as_ref().is_some_and(|wait| wait.reason == reason);
        (waits && states(&workflow) == expected).then_some(workflow)
    })
    .await
}

use HostTaskState::{Asked, Failed, Pending, Skipped, Succeeded};

#[tokio::test(flavor = "multi_thread")]
async fn no_more_hosts_are_asked_at_once_than_a_wave_holds_and_each_once() {
    let (world, fake) = world(HostAdapter::Command).await;
    let _worker = world.start_worker("one");
    let id = submit(&world, Mode::Apply).await;
    let done = world.finishes(id).await;
    assert_eq!(done.state, WorkflowState::Succeeded, "{:?}", done.error);
    assert_eq!(
        (fake.asked(), fake.most_at_once.load(Ordering::SeqCst)),
        (NAMES.map(String::from).to_vec(), 2)
    );
    assert_eq!((states(&done), done.steps[0].changed), (vec![Succeeded; 5], Some(true)));
    let task = &done.steps[0].outcome.as_ref().expect("an outcome").hosts[0];
    assert_eq!(
        (task.by.as_deref(), task.powershell.as_slice()),
        (Some("fake"), ["Install-ADServiceAccount -Identity OnHosts".to_owned()].as_slice())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_stops_further_waves_and_a_resume_asks_only_who_failed_again() {
    let (world, fake) = world(HostAdapter::Command).await;
    fake.failing.lock().expect("a lock").insert("Host2");
    let _worker = world.start_worker("one");
    let id = submit(&world, Mode::Apply).await;
    let parked =
        stand(&world, id, WaitReason::Operator, &[Succeeded, Failed, Pending, Pending, Pending]).await;
    let error = parked.steps[0].error.as_ref().expect("an error");
    assert_eq!(error.code, ErrorCode::HostActionFailed);
    assert!(
        error.message.contains("Host2") && error.message.contains("no such service"),
        "{}",
        error.message
    );
    assert_eq!(fake.asked(), ["Host1", "Host2"]);
    act(&world, id, Action::Resume).await;
    eventually("Host2 is asked again", Duration::from_secs(30), async || {
        (fake.asked().len() >= 4).then_some(())
    })
    .await;
    let again = [Succeeded, Failed, Succeeded, Pending, Pending];
    stand(&world, id, WaitReason::Operator, &again).await;
    fake.failing.lock().expect("a lock").clear();
    act(&world, id, Action::Resume).await;
    let done = world.finishes(id).await;
    assert_eq!((done.state, states(&done)), (WorkflowState::Succeeded, vec![Succeeded; 5]));
    assert_eq!(fake.asked(), ["Host1", "Host2", "Host2", "Host2", "Host3", "Host4", "Host5"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_answer_host_by_host_and_the_next_wave_waits_for_all_of_this_one() {
    let (world, _) = world(HostAdapter::Manual).await;
    let _worker = world.start_worker("one");
    let id = submit(&world, Mode::Apply).await;
    let waiting = stand(&world, id, WaitReason::Host, &[Asked, Asked, Pending, Pending, Pending]).await;
    let detail = waiting.waiting.expect("a wait").detail;
    assert!(detail.contains("Host1, Host2"), "{detail}");
    ack(&world, id, Some("host1$"), AckOutcome::Succeeded).await;
    stand(&world, id, WaitReason::Host, &[Succeeded, Asked, Pending, Pending, Pending]).await;
    ack(&world, id, Some("Host2"), AckOutcome::Skipped).await;
    stand(&world, id, WaitReason::Host, &[Succeeded, Skipped, Asked, Asked, Pending]).await;
    ack(&world, id, None, AckOutcome::Succeeded).await;
    stand(&world, id, WaitReason::Host, &[Succeeded, Skipped, Succeeded, Succeeded, Asked]).await;
    ack(&world, id, None, AckOutcome::Succeeded).await;
    let done = world.finishes(id).await;
    assert_eq!(done.state, WorkflowState::Succeeded);
    let by = done.steps[0].outcome.as_ref().expect("an outcome").hosts[0].by.clone();
    assert_eq!(by.as_deref(), Some("a person"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_a_person_reports_parks_and_their_next_word_settles_it() {
    let (world, _) = world(HostAdapter::Manual).await;
    let _worker = world.start_worker("one");
    let id = submit(&world, Mode::Apply).await;
    stand(&world, id, WaitReason::Host, &[Asked, Asked, Pending, Pending, Pending]).await;
    ack(&world, id, None, AckOutcome::Failed).await;
    stand(&world, id, WaitReason::Operator, &[Failed, Failed, Pending, Pending, Pending]).await;
    ack(&world, id, Some("Host1"), AckOutcome::Skipped).await;
    stand(&world, id, WaitReason::Operator, &[Skipped, Failed, Pending, Pending, Pending]).await;
    ack(&world, id, Some("Host2"), AckOutcome::Succeeded).await;
    stand(&world, id, WaitReason::Host, &[Skipped, Succeeded, Asked, Asked, Pending]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_in_a_wave_leaves_only_that_wave_to_be_asked_again() {
    let (world, fake) = world(HostAdapter::Command).await;
    fake.silent.lock().expect("a lock").insert("Host4");
    let doomed = world.start_worker("doomed");
    let id = submit(&world, Mode::Apply).await;
    eventually("Host4 is asked", Duration::from_secs(30), async || (fake.asked().len() == 4).then_some(()))
        .await;
    doomed.kill();
    gone(&fake.at_once).await;
    fake.silent.lock().expect("a lock").clear();
    let _heir = world.start_worker("heir");
    let done = world.finishes(id).await;
    assert_eq!((done.state, states(&done)), (WorkflowState::Succeeded, vec![Succeeded; 5]));
    assert_eq!(fake.asked(), ["Host1", "Host2", "Host3", "Host3", "Host4", "Host4", "Host5"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_lists_the_work_and_asks_nobody() {
    let (world, fake) = world(HostAdapter::Command).await;
    let _worker = world.start_worker("one");
    let id = submit(&world, Mode::Plan).await;
    let done = world.finishes(id).await;
    let planned = done.plan.expect("a plan").host_actions;
    assert_eq!(planned.iter().map(|work| work.host.name.as_str()).collect::<Vec<_>>(), NAMES);
    assert!(planned.iter().all(|work| work.actions == [HostActionKind::Install]));
    assert_eq!((done.state, fake.asked()), (WorkflowState::Succeeded, vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_that_this_worker_lacks_parks_with_the_way_out() {
    let (mut world, _) = world(HostAdapter::Command).await;
    world.hosts = Hosts::new(HostAdapter::Command, 2);
    let _worker = world.start_worker("one");
    let id = submit(&world, Mode::Apply).await;
    let parked = waits_for(&world, id, WaitReason::Operator).await;
    assert!(parked.waiting.expect("a wait").detail.contains("command"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_it_to_stop_waits_for_the_wave_under_way_and_no_other() {
    let (world, fake) = world(HostAdapter::Command).await;
    fake.silent.lock().expect("a lock").insert("Host1");
    let _worker = world.start_worker("one");
    let id = submit(&world, Mode::Apply).await;
    eventually("the first wave is asked", Duration::from_secs(30), async || {
        (fake.asked() == ["Host1", "Host2"]).then_some(())
    })
    .await;
    act(&world, id, Action::Pause).await;
    fake.silent.lock().expect("a lock").clear();
    let paused = world.reaches(id, &[WorkflowState::Paused]).await;
    assert_eq!(states(&paused), [Succeeded, Succeeded, Pending, Pending, Pending]);
    assert_eq!(fake.asked(), ["Host1", "Host2"]);
    act(&world, id, Action::Resume).await;
    assert_eq!(states(&world.finishes(id).await), [Succeeded; 5]);
    assert_eq!(fake.asked(), NAMES.map(String::from), "each once");
}
