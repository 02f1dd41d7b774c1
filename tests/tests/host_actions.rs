//! A program that acts on hosts, from the deploy that calls it to the answers on record.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use directory::embedded::{Fault, FaultKind, OperationKind};
use domain::{
    Clock as _, HostAdapter, HostTask, HostTaskState, Mode, StepState, SystemClock, WaitReason, Workflow,
    WorkflowState,
};
use store::Action;
use tempfile::TempDir;
use tests::world::{World, farm};
use workers::hosts::{Command, Hosts};

/// Longer than a script needs on a busy machine.
const PATIENT: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_secs(300);

/// Notes each request and fails on the hosts that a file names.
const SCRIPT: &str = r#"read -r request
printf '%s\n' "$request" >> "$FOLDER/log.$$" && cat "$FOLDER/log.$$" >> "$FOLDER/log" && rm "$FOLDER/log.$$"
for host in $(cat "$FOLDER/broken"); do
    case "$request" in *"\"name\":\"$host\""*) echo '{"outcome":"failed","detail":"no route to '$host'"}'; exit;; esac
done
echo '{"outcome":"succeeded","detail":"done"}'
"#;

struct Program(TempDir);

impl Program {
    fn new() -> Self {
        let program = Self(tempfile::tempdir().expect("a folder"));
        for (name, text) in [("script", SCRIPT), ("log", ""), ("broken", "")] {
            std::fs::write(program.file(name), text).expect("written");
        }
        program
    }
    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    fn hosts(&self, wave: u16) -> Hosts {
        let path = ("PATH".into(), "/usr/bin:/bin".into());
        let folder = ("FOLDER".into(), self.0.path().into());
        let command =
            Command::new("/bin/sh", PATIENT).arguments([self.file("script")]).environment([path, folder]);
        Hosts::new(HostAdapter::Command, wave).with(HostAdapter::Command, Arc::new(command))
    }
    fn breaks(&self, hosts: &str) {
        std::fs::write(self.file("broken"), hosts).expect("written");
    }
    /// Host and action of every call so far; the log is emptied.
    fn asked(&self) -> Vec<(String, String)> {
        let log = std::fs::read_to_string(self.file("log")).expect("readable");
        std::fs::write(self.file("log"), "").expect("written");
        let one = |line: &str| {
            let request: serde_json::Value = serde_json::from_str(line).expect("JSON");
            assert_eq!((&request["version"], request["account"].is_string()), (&1.into(), true), "{request}");
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            (text(&request["host"]["name"]), text(&request["action"]))
        };
        log.lines().map(one).collect()
    }
}

async fn world(program: &Program, wave: u16) -> World {
    let mut world = World::new().await;
    world.hosts = program.hosts(wave);
    world.timing.step = STEP;
    world
}

fn tasks(workflow: &Workflow) -> Vec<HostTask> {
    let last = workflow.steps.last().expect("steps");
    assert_eq!(last.name, "install-on-hosts");
    last.outcome.iter().flat_map(|outcome| outcome.hosts.clone()).collect()
}

fn all(hosts: &[&str]) -> Vec<(String, String)> {
    let actions = ["purge-tickets", "install", "test"];
    hosts.iter().flat_map(|host| actions.map(|action| ((*host).to_owned(), action.to_owned()))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_installs_on_every_host_it_lets_in_and_a_second_one_on_none() {
    let program = Program::new();
    let world = world(&program, 1).await;
    let _worker = world.start_worker("one");
    let wanted = farm("HostActs", "HostActsHosts", &["Host1", "Host2"]);

    let planned = world.submit("deploy", Mode::Plan, wanted.clone()).await;
    let planned = world.finishes(planned).await;
    assert_eq!(planned.plan.expect("a plan").host_actions.len(), 2);
    assert_eq!(program.asked(), [], "a dry run asks nobody");

    let done = world.submit("deploy", Mode::Apply, wanted.clone()).await;
    let done = world.finishes(done).await;
    assert_eq!(done.state, WorkflowState::Succeeded, "{done:#?}");
    assert_eq!(program.asked(), all(&["Host1", "Host2"]));
    for task in tasks(&done) {
        assert_eq!((task.state, task.by.as_deref()), (HostTaskState::Succeeded, Some("command")), "{task:?}");
        assert_eq!(task.detail.as_deref(), Some("done; done; done"));
    }
    assert_eq!(done.result.expect("a result")["installedOnHosts"], 2);

    let again = world.submit("deploy", Mode::Apply, wanted).await;
    let again = world.finishes(again).await;
    assert_eq!(again.steps.last().map(|step| step.state), Some(StepState::Skipped), "{again:#?}");
    assert_eq!(program.asked(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_joins_a_standing_farm_is_seen_to_even_when_no_answer_came_to_its_write() {
    let program = Program::new();
    let world = world(&program, 10).await;
    let _worker = world.start_worker("one");
    let first = world.submit("deploy", Mode::Apply, farm("HostJoins", "HostJoinsHosts", &["Host1"])).await;
    assert_eq!(world.finishes(first).await.state, WorkflowState::Succeeded);
    assert_eq!(program.asked(), all(&["Host1"]));

    world.faults.inject(Fault::once(OperationKind::Modify, FaultKind::CutAfterEffect));
    let more = farm("HostJoins", "HostJoinsHosts", &["Host1", "Host2"]);
    let more = world.submit("deploy", Mode::Apply, more).await;
    let more = world.finishes(more).await;
    assert_eq!(more.state, WorkflowState::Succeeded, "{more:#?}");
    assert!(more.steps[2].attempts > 1, "the fault struck: {:#?}", more.steps[2]);
    assert_eq!(program.asked(), all(&["Host2"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_host_stops_the_next_wave_and_is_asked_again_when_a_person_resumes() {
    let program = Program::new();
    program.breaks("Host2");
    let world = world(&program, 1).await;
    let _worker = world.start_worker("one");
    let wanted = farm("HostFails", "HostFailsHosts", &["Host1", "Host2", "Host3"]);
    let id = world.submit("deploy", Mode::Apply, wanted).await;
    let parked = world.reaches(id, &[WorkflowState::Waiting]).await;
    let wait = parked.waiting.as_ref().expect("it waits");
    assert_eq!(wait.reason, WaitReason::Operator);
    assert!(wait.detail.contains("Host2: purge-tickets: no route to Host2"), "{}", wait.detail);
    let asked = [all(&["Host1"]), vec![("Host2".to_owned(), "purge-tickets".to_owned())]].concat();
    assert_eq!(program.asked(), asked, "Host3 is in a later wave");

    program.breaks("");
    world.store.act(id, Action::Resume, "a person", SystemClock.now()).await.expect("resumed");
    world.signal.wake();
    let done = world.finishes(id).await;
    assert_eq!(done.state, WorkflowState::Succeeded, "{done:#?}");
    assert_eq!(program.asked(), all(&["Host2", "Host3"]), "Host1 had answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_program_speaks_the_protocol() {
    let mut world = World::new().await;
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/samples/host-action.py");
    let python = Command::new("python3", PATIENT)
        .arguments([sample])
        .environment([("PATH".into(), std::env::var_os("PATH").expect("a path"))]);
    world.hosts = Hosts::new(HostAdapter::Command, 2).with(HostAdapter::Command, Arc::new(python));
    world.timing.step = STEP;
    let _worker = world.start_worker("one");
    let wanted = farm("HostSample", "HostSampleHosts", &["Host1", "Host2"]);
    let id = world.submit("deploy", Mode::Apply, wanted).await;
    let done = world.finishes(id).await;
    assert_eq!(done.state, WorkflowState::Succeeded, "{done:#?}");
    for task in tasks(&done) {
        let detail = task.detail.unwrap_or_default();
        assert!(detail.contains("Install-ADServiceAccount -Identity 'HostSample'"), "{detail}");
    }
}
