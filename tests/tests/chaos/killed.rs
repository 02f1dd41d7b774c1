//! Workers that die by SIGKILL.

use std::collections::BTreeSet;
use std::time::Duration;

use directory::embedded::{Fault, FaultKind, OperationKind};
use domain::{StepState, WorkflowState};
use tests::cluster::{Cluster, FaultyDirectory, deployed, manifest, step, whole};
use tests::lab::{Cleanup, Lab, unique_name};
use tests::wait::{eventually, never};

use super::{LIMIT, succeeds};

const HOSTS: [&str; 2] = ["Host1", "Host2"];

/// Where a farm's worker dies.
#[derive(Debug, Clone)]
struct Death {
    operation: OperationKind,
    /// Of the group, else of the account.
    of_group: bool,
    nth: u32,
    kind: FaultKind,
    /// The step that is under way then; `None`: whichever it is.
    step: Option<&'static str>,
}

fn deaths() -> Vec<Death> {
    let writes = [
        (OperationKind::Add, true, "ensure-group"),
        (OperationKind::Modify, true, "ensure-members"),
        (OperationKind::Add, false, "ensure-gmsa"),
    ];
    let kinds = [FaultKind::HangBeforeEffect, FaultKind::HangAfterEffect];
    let writes = writes.into_iter().flat_map(|(operation, of_group, step)| {
        let death = move |kind| Death { operation, of_group, nth: 1, kind, step: Some(step) };
        kinds.clone().map(death)
    });
    // Reads of the objects stand between the writes, and before the first and after the last one:
    // in preflight, in every step's check and read-back, in the verification.
    let reads = [true, false].into_iter().flat_map(|of_group| {
        let kind = FaultKind::HangBeforeEffect;
        (1..=5).map(move |nth| Death {
            operation: OperationKind::Search,
            of_group,
            nth,
            kind: kind.clone(),
            step: None,
        })
    });
    writes.chain(reads).collect()
}

struct Farm {
    death: Death,
    name: String,
    group: String,
    id: String,
}

impl Farm {
    fn target(&self) -> &str {
        if self.death.of_group { &self.group } else { &self.name }
    }

    fn arrived(&self, directory: &FaultyDirectory, operation: OperationKind, target: &str) -> usize {
        let is_it =
            |seen: &&directory::embedded::Operation| seen.kind == operation && seen.dn.contains(target);
        directory.faults.operations().iter().filter(is_it).count()
    }

    fn is_held(&self, directory: &FaultyDirectory) -> bool {
        self.arrived(directory, self.death.operation, self.target()) >= self.death.nth as usize
    }

    /// Also once the effect is there, where the death is after it.
    fn is_ready_to_die(&self, directory: &FaultyDirectory) -> bool {
        if self.death.kind != FaultKind::HangAfterEffect {
            return self.is_held(directory);
        }
        let seen = deployed(&directory.witness(), &self.name, &self.group);
        seen.is_some_and(|seen| match (self.death.operation, self.death.of_group) {
            (OperationKind::Modify, _) => seen.members.len() == HOSTS.len(),
            (_, true) => true,
            (_, false) => seen.account_objects == 1,
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_before_or_after_any_write_and_at_any_read_is_succeeded_by_another() {
    let lab = Lab::from_env();
    let directory = FaultyDirectory::start().await;
    let mut env = directory.env();
    // Whoever hangs is to hang until he dies, however busy the machine.
    env.push(("FARMHAND_DIRECTORY_OPERATION_TIMEOUT_SECONDS".to_owned(), "300".to_owned()));
    let mut cluster = Cluster::on_lab(&lab, env).await.start(1, 0).await;
    cluster.start_worker().await;
    let early = hang_in_preflight(&cluster, &directory).await;
    let mut farms = Vec::new();
    for death in deaths() {
        let (name, group) = (unique_name("kil"), unique_name("kilg"));
        let target = if death.of_group { &group } else { &name };
        directory.faults.inject(
            Fault::once(death.operation, death.kind.clone()).on(&format!("CN={target},")).nth(death.nth),
        );
        let id = cluster.submit(&manifest(&name, &group, &HOSTS)).await;
        farms.push(Farm { death, name, group, id });
    }
    eventually("every farm's worker hangs at its operation", LIMIT, async || {
        farms.iter().all(|farm| farm.is_ready_to_die(&directory)).then_some(())
    })
    .await;
    cluster.kill_workers();
    let mut open = BTreeSet::from(["preflight".to_owned()]);
    let stopped = cluster.workflow(&early.id).await.expect("the orchestrator answers");
    assert_eq!(stopped.state, WorkflowState::Running);
    assert!(
        stopped.steps.iter().all(|step| step.state == StepState::Pending),
        "nothing is done: {stopped:#?}"
    );
    for farm in &farms {
        let stopped = cluster.workflow(&farm.id).await.expect("the orchestrator answers");
        open.extend(stopped.steps.iter().find(|step| !step.state.is_done()).map(|step| step.name.clone()));
        let running = stopped.steps.iter().find(|step| step.state == StepState::Running);
        if let Some(expected) = farm.death.step {
            let running = running.unwrap_or_else(|| panic!("{:?}: {stopped:#?}", farm.death));
            assert_eq!((running.name.as_str(), running.attempts), (expected, 1), "its intent is on record");
        }
    }
    let every = ["ensure-gmsa", "ensure-group", "ensure-members", "preflight", "verify-everywhere"];
    assert_eq!(open.iter().map(String::as_str).collect::<Vec<_>>(), every, "some worker died in each step");
    cluster.start_worker().await;
    succeeds(&cluster, &early.id).await;
    assert_eq!(deployed(&directory.witness(), &early.name, &early.group), whole(&HOSTS));
    for farm in &farms {
        let (what, done) = (&farm.death, succeeds(&cluster, &farm.id).await);
        assert_eq!(deployed(&directory.witness(), &farm.name, &farm.group), whole(&HOSTS), "{what:?}");
        assert_eq!(cluster.claims(&farm.id), "2", "{what:?}");
        if let Some(name) = what.step {
            assert_eq!(step(&done, name).attempts, 2, "{what:?}: {done:#?}");
        }
        // A write that was in effect is not sent again; one that was not, is.
        let writes = [
            (OperationKind::Add, &farm.group),
            (OperationKind::Modify, &farm.group),
            (OperationKind::Add, &farm.name),
        ];
        for (operation, target) in writes {
            let here = what.step.is_some() && what.operation == operation && farm.target() == target;
            let again = here && what.kind == FaultKind::HangBeforeEffect;
            let sent = farm.arrived(&directory, operation, &format!("CN={target},"));
            assert_eq!(sent, 1 + usize::from(again), "{what:?}: {operation:?} of {target}");
        }
    }
}

/// A farm whose worker hangs before it knows anything: at its first look at the accounts' container.
async fn hang_in_preflight(cluster: &Cluster, directory: &FaultyDirectory) -> Early {
    const CONTAINER: &str = "CN=Managed Service Accounts,";
    let hang = Fault::once(OperationKind::Search, FaultKind::HangBeforeEffect);
    directory.faults.inject(hang.on(CONTAINER));
    let (name, group) = (unique_name("kil"), unique_name("kilg"));
    let id = cluster.submit(&manifest(&name, &group, &HOSTS)).await;
    eventually("preflight looks at the container", LIMIT, async || {
        directory.faults.operations().iter().any(|seen| seen.dn.starts_with(CONTAINER)).then_some(())
    })
    .await;
    Early { name, group, id }
}

struct Early {
    name: String,
    group: String,
    id: String,
}

/// Where the witness sees a deploy stand on the real DC.
type Sign = fn(&tests::cluster::Deployed) -> bool;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_when_the_real_dc_shows_group_members_or_account_is_succeeded_by_another() {
    let lab = Lab::from_env();
    let mut names = Cleanup::new(&lab);
    let mut cluster = Cluster::on_lab(&lab, lab.directory_env(&lab.service)).await.start(1, 0).await;
    let signs: [(&str, Sign); 3] = [
        ("the group", |_| true),
        ("the members", |seen| !seen.members.is_empty()),
        ("the account", |seen| seen.account_objects == 1),
    ];
    cluster.start_worker().await;
    for (what, sign) in signs {
        let (name, group) = (names.name("kil"), names.name("kilg"));
        let id = cluster.submit(&manifest(&name, &group, &HOSTS)).await;
        let witness = lab.as_admin();
        eventually(what, Duration::from_secs(30), async || deployed(&witness, &name, &group).filter(sign))
            .await;
        cluster.kill_workers();
        cluster.start_worker().await;
        succeeds(&cluster, &id).await;
        assert_eq!(deployed(&witness, &name, &group), whole(&HOSTS), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_slept_past_its_lease_writes_nothing_when_it_wakes() {
    let lab = Lab::from_env();
    let directory = FaultyDirectory::start().await;
    let mut cluster = Cluster::on_lab(&lab, directory.env()).await.start(1, 0).await;
    cluster.start_worker().await;
    let (name, group) = (unique_name("slp"), unique_name("slpg"));
    let slow = FaultKind::Delay(Duration::from_secs(1));
    directory.faults.inject(Fault::once(OperationKind::Add, slow).on(&format!("CN={group},")));
    let id = cluster.submit(&manifest(&name, &group, &HOSTS)).await;
    eventually("the group's Add is under way", LIMIT, async || directory.faults.writes().pop()).await;
    cluster.workers[0].freeze();
    cluster.start_worker().await;
    succeeds(&cluster, &id).await;
    let settled = cluster.query("select state, revision, fencing_token from workflows");
    // It wakes with the answer to its write before it, and would go on with the members.
    cluster.workers[0].thaw();
    cluster.workers[0].logged("lease", LIMIT).await;
    never("a write of the old worker", Duration::from_secs(2), async || {
        Some(directory.faults.writes()).filter(|writes| writes.len() != 3)
    })
    .await;
    assert_eq!(cluster.query("select state, revision, fencing_token from workflows"), settled);
    assert_eq!(deployed(&directory.witness(), &name, &group), whole(&HOSTS));
}
