//! Workers that die by SIGKILL while they contain.

use std::io::Write;

use directory::embedded::{Fault, FaultKind, OperationKind};
use domain::{StepState, Workflow, WorkflowState};
use serde_json::json;
use tests::cluster::{Cluster, FaultyDirectory, manifest};
use tests::lab::{HOST_CONTAINER, Lab};
use tests::objects::{descriptor, entry, group_dn, sid};
use tests::session::Seen;
use tests::wait::eventually;

use super::{LIMIT, Scene, containment, reader_list, succeeded};

const HOST: &str = "Host1";
const FARM: &str = "KilFarm";
const GROUP: &str = "KilGroup";
const STRANGER: &str = "KilStranger";
/// In every DN, and not in that of the rootDSE, which is read whenever a connection is opened.
const NAMED: &str = "=";
/// One for the trial and one for each death; more than are needed.
const DOMAINS: usize = 32;
/// Of the reads, every fourth: the engine's own tests let a worker of their process die at each.
const READS: usize = 4;

/// A domain of its own for each death, so that operations can be counted.
struct Domain {
    name: String,
    directory: FaultyDirectory,
}

impl Domain {
    async fn start(number: usize) -> Self {
        let domain = Self { name: format!("d{number}"), directory: FaultyDirectory::start().await };
        let host = sid(&domain.directory.witness(), &host_dn()).expect("a SID");
        let readers = descriptor(&[entry::allow(&host)]);
        let names = [STRANGER.to_owned()];
        domain.directory.embedded.seed_gmsas(&names, Some(&readers)).await.expect("seeded");
        domain
    }

    /// The farm on record that the host belongs to.
    async fn deploy(&self, cluster: &Cluster) -> String {
        let mut wanted = manifest(FARM, GROUP, &[HOST, "Host2"]);
        wanted["spec"]["directory"] = json!(self.name);
        cluster.submit(&wanted).await
    }

    async fn contain(&self, cluster: &Cluster) -> String {
        self.directory.faults.forget();
        cluster.ask("compromises", &json!({ "host": HOST, "directory": self.name })).await
    }

    fn operations(&self, of: OperationKind) -> u32 {
        let count =
            self.directory.faults.operations().iter().filter(|operation| operation.kind == of).count();
        u32::try_from(count).expect("few")
    }

    fn is_cut_off(&self, done: &Workflow) {
        succeeded(done);
        let (contained, witness) = (containment(done), self.directory.witness());
        assert_eq!(contained.accounts.len(), 2, "{}: {contained:#?}", self.name);
        let host = sid(&witness, &host_dn()).expect("a SID");
        for gmsa in [FARM, STRANGER] {
            let list = reader_list(&witness, gmsa);
            assert_eq!(list[0], (1, host.clone()), "{}: {gmsa}", self.name);
            assert_eq!(list.iter().filter(|(_, sid)| *sid == host).count(), 1, "{}: {gmsa}", self.name);
        }
        let members = witness.read(&group_dn(GROUP), &["member"]).expect("an answer").expect("the group");
        assert_eq!(members.texts("member"), [format!("CN=Host2,{HOST_CONTAINER}")], "{}", self.name);
        let computer =
            witness.read(&host_dn(), &["userAccountControl"]).expect("an answer").expect("the host");
        assert_eq!(computer.text("userAccountControl").as_deref(), Some("4098"), "{}", self.name);
    }
}

fn host_dn() -> String {
    format!("CN={HOST},{HOST_CONTAINER}")
}

/// Reads from the first to the last and, before and after its effect, every write of a containment.
fn deaths(searches: u32, modifies: u32) -> Vec<Fault> {
    let hang = |operation, kind: FaultKind, nth| Fault::once(operation, kind).on(NAMED).nth(nth);
    let reads = (1..=searches)
        .step_by(READS)
        .map(|nth| hang(OperationKind::Search, FaultKind::HangBeforeEffect, nth));
    let writes = (1..=modifies).flat_map(|nth| {
        [FaultKind::HangBeforeEffect, FaultKind::HangAfterEffect]
            .map(|kind| hang(OperationKind::Modify, kind, nth))
    });
    reads.chain(writes).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_at_reads_and_before_or_after_any_write_of_a_containment_is_succeeded_by_another() {
    let lab = Lab::from_env();
    let domains: Vec<_> = futures::future::join_all((0..DOMAINS).map(Domain::start)).await;
    let mut config = tempfile::NamedTempFile::new().expect("a file");
    let sections: String = domains.iter().map(|domain| domain.directory.section(&domain.name)).collect();
    config.write_all(sections.as_bytes()).expect("written");
    let mut cluster = Cluster::on_lab(&lab, Vec::new()).await;
    for (name, value) in [
        ("FARMHAND_CONFIG", config.path().display().to_string()),
        ("FARMHAND_WORKER_URGENT_SLOTS", "64".to_owned()),
    ] {
        cluster.server_env.push((name.to_owned(), value));
    }
    let mut cluster = cluster.start(1, 0).await;
    cluster.start_worker().await;
    let (trial, domains) = domains.split_first().expect("many");
    succeeded(&cluster.finishes(&trial.deploy(&cluster).await, LIMIT).await);
    let id = trial.contain(&cluster).await;
    let done = cluster.finishes(&id, LIMIT).await;
    // Before the witness reads too.
    let deaths = deaths(trial.operations(OperationKind::Search), trial.operations(OperationKind::Modify));
    trial.is_cut_off(&done);
    assert!(deaths.len() > 10 && deaths.len() <= domains.len(), "{} operations to die at", deaths.len());

    let mut scenes: Vec<_> = domains.iter().zip(&deaths).collect();
    let deploys = futures::future::join_all(scenes.iter().map(|(domain, _)| domain.deploy(&cluster))).await;
    for id in &deploys {
        succeeded(&cluster.finishes(id, LIMIT).await);
    }
    let mut ids = Vec::new();
    for (domain, death) in &scenes {
        domain.directory.faults.inject((*death).clone());
        ids.push(domain.contain(&cluster).await);
    }
    // One more or less is read of what a worker remembers, so the last reads may not come.
    for ((domain, death), id) in scenes.iter().zip(&ids) {
        eventually(&format!("the worker hangs: {death:?}"), LIMIT, async || {
            let hangs = domain.directory.faults.hanging() > 0;
            (hangs || cluster.workflow(id).await?.state.is_finished()).then_some(())
        })
        .await;
    }
    cluster.kill_workers();
    let passed = scenes.iter().filter(|(domain, _)| domain.directory.faults.hanging() == 0);
    let passed: Vec<_> = passed.map(|(_, death)| death).collect();
    assert!(passed.len() <= 1, "of {} these did not come to it: {passed:#?}", deaths.len());
    cluster.start_worker().await;
    for ((domain, death), id) in scenes.drain(..).zip(&ids) {
        let done = cluster.finishes(id, LIMIT).await;
        assert_eq!(done.state, WorkflowState::Succeeded, "{death:?}: {:#?} {:#?}", done.error, done.steps);
        domain.is_cut_off(&done);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_as_soon_as_a_real_dc_denies_is_succeeded_by_another() {
    let mut scene = Scene::without_worker().await;
    scene.cluster.start_worker().await;
    let host = scene.twin.host();
    let farm = scene.farm(&[&host]).await;
    let mut sessions = scene.twin.sessions(&host, &farm.name).expect("sessions");
    for session in &mut sessions {
        assert_eq!(session.same_session(&farm.name).expect("an answer"), Seen::Password);
    }
    let id = scene.contain(&host).await;
    eventually("dc1 denies", LIMIT, async || {
        (sessions[0].same_session(&farm.name).expect("an answer") == Seen::Denied).then_some(())
    })
    .await;
    scene.cluster.kill_workers();
    let stopped = scene.cluster.workflow(&id).await.expect("the orchestrator answers");
    assert!(stopped.steps.iter().any(|step| step.state != StepState::Succeeded), "{stopped:#?}");
    scene.cluster.start_worker().await;
    scene.contained(&id).await;
    for session in &mut sessions {
        assert_eq!(session.same_session(&farm.name).expect("an answer"), Seen::Denied);
        assert_eq!(session.new_session(&farm.name).expect("an answer"), Seen::Denied);
    }
}
