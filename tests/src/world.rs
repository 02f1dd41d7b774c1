//! Farmhand in this process: store, bus, orchestrator, workers and a directory, wired as `up` does,
//! with every part within a test's reach.

use std::sync::Arc;
use std::time::Duration;

use directory::embedded::{EmbeddedDirectory, EmbeddedOptions, Faults};
use directory::ldap::{LdapDirectory, LdapOptions};
use directory::{Directories, Directory};
use domain::farm::FarmManifest;
use domain::{
    Clock, DirectoryName, FarmName, FarmSpec, Lane, Mode, Rng, Role, SystemRng, TokenId, WaitReason,
    Workflow, WorkflowId, WorkflowKind, WorkflowState,
};
use messages::{Bus, MemoryBus};
use orchestrator::{EnvelopeWriter, Orchestrator, OrchestratorOptions, OutboxSignal, Settings};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use store::{Decided, NewWorkflow, Ruling, Store, StoreOptions, Token};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use workers::engine::{LaneOptions, Timing, Worker, WorkerOptions};
use workers::hosts::Hosts;
use workers::{Environment, Registry};

use crate::clock::AheadClock;
use crate::database::SqliteDatabase;
use crate::ears::Tapped;
use crate::lab::Lab;
use crate::wait::eventually;

/// A worker of a world, with a runtime of its own, so that it can be gone without a word.
#[derive(Debug)]
pub struct RunningWorker {
    stop: CancellationToken,
    runtime: Option<tokio::runtime::Runtime>,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl RunningWorker {
    /// As SIGTERM does.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            task.await.expect("the worker ends");
        }
    }

    /// As SIGKILL does, as far as one process can: the worker and all that it runs end where they
    /// stand, without another word to anybody.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for RunningWorker {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub struct World {
    pub store: Store,
    pub bus: Arc<dyn Bus>,
    /// The same bus: what is announced.
    pub announcements: Arc<Tapped>,
    /// The same bus, for what other systems do with it.
    pub memory: Arc<MemoryBus>,
    /// Where the API is: `http://127.0.0.1:PORT`.
    pub url: String,
    pub embedded: Arc<EmbeddedDirectory>,
    /// The time of every part, the embedded directory included; a real DC has its own.
    pub clock: Arc<AheadClock>,
    pub faults: Faults,
    pub directory: Arc<dyn Directory>,
    pub registry: Registry,
    pub timing: Timing,
    /// What workers do on hosts; nothing, until a test says otherwise.
    pub hosts: Hosts,
    pub signal: OutboxSignal,
    /// Where this is the lab's real DC; otherwise the embedded one.
    lab: Option<LdapOptions>,
    shutdown: CancellationToken,
    _database: SqliteDatabase,
}

/// Short enough that a test of a lost worker ends soon, long enough for a busy machine.
fn quick() -> Timing {
    Timing {
        lease: Duration::from_secs(3),
        skew: Duration::from_millis(500),
        step: Duration::from_secs(20),
        drain: Duration::from_secs(5),
        approval: Duration::from_secs(3600),
    }
}

impl World {
    /// A world without a worker: SQLite, in-process bus, embedded directory, orchestrator.
    pub async fn new() -> Self {
        Self::with(Registry::standard()).await
    }

    pub async fn with(registry: Registry) -> Self {
        let database = SqliteDatabase::new();
        let ahead = Arc::new(AheadClock::default());
        let (clock, rng): (Arc<dyn Clock>, Arc<dyn Rng>) = (ahead.clone(), Arc::new(SystemRng));
        let options = StoreOptions {
            url: SecretString::from(database.url.clone()),
            max_connections: 4,
            acquire_timeout: Duration::from_secs(10),
        };
        let store =
            Store::connect(&options, Arc::new(EnvelopeWriter::new(rng.clone()))).await.expect("a store");
        store.migrate_up().await.expect("the schema");
        let bus = Arc::new(MemoryBus::new());
        let faults = Faults::new();
        let embedded = EmbeddedDirectory::start(EmbeddedOptions {
            faults: Some(faults.clone()),
            clock: clock.clone(),
            ..Default::default()
        })
        .await
        .expect("an embedded directory");
        let directory = connect_to(&embedded);
        let shutdown = CancellationToken::new();
        let announcements = Arc::new(Tapped::new(bus.clone()));
        let (signal, url) = start_orchestrator(&store, &bus, &announcements, &clock, &rng, &shutdown).await;
        Self {
            store,
            bus: bus.clone(),
            announcements,
            memory: bus,
            url,
            embedded: Arc::new(embedded),
            clock: ahead,
            faults,
            directory,
            registry,
            timing: quick(),
            hosts: Hosts::default(),
            signal,
            lab: None,
            shutdown,
            _database: database,
        }
    }

    /// On the lab's real DC, as Farmhand's delegated account.
    pub async fn on_lab(lab: &Lab) -> Self {
        let url = lab.directory_url.parse().expect("a URL");
        let password = SecretString::from(lab.service.password.clone());
        let mut options = LdapOptions::new(DirectoryName::default(), vec![url], &lab.service.dn, password);
        options.ca_file = Some(lab.ca_file.clone());
        let mut world = Self::new().await;
        world.lab = Some(options);
        world.directory = world.connect();
        world
    }

    fn connect(&self) -> Arc<dyn Directory> {
        match &self.lab {
            Some(options) => Arc::new(LdapDirectory::new(options.clone()).expect("valid options")),
            None => connect_to(&self.embedded),
        }
    }

    /// With connections of its own.
    pub fn environment(&self) -> Environment {
        Environment {
            directories: Directories::new([self.connect()]),
            hosts: self.hosts.clone(),
            clock: self.clock.clone(),
            rng: Arc::new(SystemRng),
        }
    }

    pub fn start_worker(&self, name: &str) -> RunningWorker {
        let stop = self.shutdown.child_token();
        let lane = |lane| LaneOptions {
            lane,
            slots: 16,
            environment: self.environment(),
            store: self.store.clone(),
        };
        let worker = Worker::new(WorkerOptions {
            name: name.to_owned(),
            bus: self.bus.clone(),
            registry: self.registry.clone(),
            clock: self.clock.clone(),
            rng: Arc::new(SystemRng),
            lanes: Lane::ALL.iter().copied().map(lane).collect(),
            timing: self.timing.clone(),
            committers: 2,
        });
        let token = stop.clone();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let task =
            runtime.spawn(async move { worker.run(token).await.expect("the bus lets the worker work") });
        RunningWorker { stop, runtime: Some(runtime), task: Some(task) }
    }

    /// A token of that principal for the API.
    pub async fn token(&self, principal: &str, roles: &[Role]) -> String {
        let (secret, now) = (orchestrator::new_secret(&SystemRng), self.clock.now());
        let token = Token {
            id: TokenId::new(now, &SystemRng),
            principal: principal.to_owned(),
            roles: roles.iter().copied().collect(),
            created_at: now,
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
        };
        let hash = orchestrator::hash(secret.expose_secret());
        self.store.create_token(&token, &hash).await.expect("a token");
        secret.expose_secret().to_owned()
    }

    /// Asks for a workflow of any kind, on the farm that its input describes.
    pub async fn submit(&self, kind: &str, mode: Mode, input: serde_json::Value) -> WorkflowId {
        self.submit_for(kind, mode, None, input).await
    }

    /// Asks for a workflow on a farm; the relay is woken as after a request. An inspection goes
    /// through the urgent lane, as everywhere.
    pub async fn submit_for(
        &self,
        kind: &str,
        mode: Mode,
        farm: Option<&str>,
        input: serde_json::Value,
    ) -> WorkflowId {
        let spec = serde_json::from_value::<FarmSpec>(input.clone()).ok();
        let named = farm.map(|name| FarmName::parse(name).expect("a farm name"));
        let now = self.clock.now();
        let id = WorkflowId::new(now, &SystemRng);
        let new = NewWorkflow {
            id,
            kind: WorkflowKind::parse(kind).expect("a kind"),
            directory: DirectoryName::default(),
            farm: named.or_else(|| spec.as_ref().map(|spec| spec.name.clone())),
            hosts: hosts_of(&input, spec.as_ref()),
            lane: lane_of(kind),
            mode,
            requested_by: "a test".to_owned(),
            reason: None,
            input,
            traceparent: None,
            parent: None,
            farm_spec: spec.filter(|_| kind == "deploy"),
            now,
        };
        self.store.submit(new, None).await.expect("submitted");
        self.signal.wake();
        id
    }

    pub async fn workflow(&self, id: WorkflowId) -> Workflow {
        self.store.workflow(id).await.expect("the store answers").expect("the workflow is there")
    }

    /// Waits for one of `states`.
    pub async fn reaches(&self, id: WorkflowId, states: &[WorkflowState]) -> Workflow {
        let what = format!("workflow {id} in one of {states:?}");
        eventually(&what, Duration::from_secs(40), async || {
            let workflow = self.workflow(id).await;
            states.contains(&workflow.state).then_some(workflow)
        })
        .await
    }

    /// A second person approves what the workflow shows.
    pub async fn approve(&self, id: WorkflowId) {
        let plan = self.workflow(id).await.plan.expect("a plan to approve");
        let ruling =
            Ruling { approve: true, plan_hash: plan.hash, by: "a second person".to_owned(), reason: None };
        let decided = self.store.decide(id, ruling, self.clock.now()).await.expect("the store answers");
        assert!(matches!(decided, Decided::Done(_)), "{decided:?}");
        self.signal.wake();
    }

    /// A second person approves it if it waits for that; the workflow as it was seen.
    pub async fn approve_if_asked(&self, id: WorkflowId) -> Workflow {
        let workflow = self.workflow(id).await;
        if workflow.waiting.as_ref().is_some_and(|wait| wait.reason == WaitReason::Approval) {
            self.approve(id).await;
        }
        workflow
    }

    /// As `finishes`, with a second person who approves whatever is asked.
    pub async fn finishes_approved(&self, id: WorkflowId) -> Workflow {
        eventually(&format!("workflow {id} is finished"), Duration::from_secs(60), async || {
            let workflow = self.approve_if_asked(id).await;
            workflow.state.is_finished().then_some(workflow)
        })
        .await
    }

    pub async fn finishes(&self, id: WorkflowId) -> Workflow {
        let finished: Vec<_> =
            WorkflowState::ALL.iter().copied().filter(|state| state.is_finished()).collect();
        self.reaches(id, &finished).await
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// The hosts that a request names, as the API records them with it.
fn hosts_of(input: &serde_json::Value, spec: Option<&FarmSpec>) -> Vec<String> {
    let named = input["hosts"].as_array().filter(|_| spec.is_none()).into_iter().flatten();
    let named = named.chain([&input["host"]]).filter_map(|host| host.as_str().map(str::to_owned));
    spec.iter().flat_map(|spec| spec.hosts.iter().map(ToString::to_string)).chain(named).collect()
}

fn lane_of(kind: &str) -> Lane {
    match kind {
        "inspect" | "compromise-removal" => Lane::Urgent,
        "quarantine-check" | "await-roll" | "rotation-check" | "drift-check" | "nudge" => Lane::Checks,
        _ => Lane::Lifecycle,
    }
}

/// A client of the embedded directory, with its certificate checked.
pub fn connect_to(embedded: &EmbeddedDirectory) -> Arc<dyn Directory> {
    let mut options = LdapOptions::new(
        DirectoryName::default(),
        vec![embedded.url().clone()],
        embedded.bind_dn(),
        embedded.password().clone(),
    );
    options.ca_pem = Some(embedded.ca_pem().to_owned());
    options.global_catalog_url = Some(embedded.catalog_url().clone());
    options.embedded = true;
    Arc::new(LdapDirectory::new(options).expect("valid options"))
}

async fn start_orchestrator(
    store: &Store,
    bus: &Arc<MemoryBus>,
    announcements: &Arc<Tapped>,
    clock: &Arc<dyn Clock>,
    rng: &Arc<dyn Rng>,
    shutdown: &CancellationToken,
) -> (OutboxSignal, String) {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let orchestrator = Orchestrator::new(OrchestratorOptions {
        store: store.clone(),
        bus: bus.clone(),
        announcements: announcements.clone(),
        clock: clock.clone(),
        rng: rng.clone(),
        prometheus: recorder.handle(),
        embedded: true,
        known_directories: vec![DirectoryName::default()],
        intake: None,
        settings: Settings {
            repeat_first_after: Duration::from_secs(2),
            repeat_every: Duration::from_millis(500),
            webhook_timeout: Duration::from_secs(3),
            webhook_retry_first: Duration::from_millis(200),
            ..Settings::default()
        },
    });
    let signal = orchestrator.outbox_signal();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let shutdown = shutdown.clone();
    tokio::spawn(async move { orchestrator.run(listener, shutdown).await.expect("the orchestrator runs") });
    (signal, url)
}

/// The farm of Microsoft's guide under names of the caller's choice, as `deploy`'s input.
pub fn farm(name: &str, group: &str, hosts: &[&str]) -> serde_json::Value {
    farm_with(name, json!({ "group": group }), hosts)
}

/// The same farm with a reader list that names each host.
pub fn direct_farm(name: &str, hosts: &[&str]) -> serde_json::Value {
    farm_with(name, json!({ "mode": "direct" }), hosts)
}

fn farm_with(name: &str, membership: serde_json::Value, hosts: &[&str]) -> serde_json::Value {
    let manifest = json!({
        "apiVersion": "farmhand/v1", "kind": "Farm", "metadata": {"name": name},
        "spec": {
            "account": {
                "dnsHostName": format!("{name}.contoso.com"),
                "description": "a farm of a test",
                "servicePrincipalNames": [format!("http/{name}.contoso.com"), format!("http/{name}")],
                "kerberosEncryptionTypes": ["AES128", "AES256"],
            },
            "membership": membership,
            "hosts": hosts,
        },
    });
    let manifest: FarmManifest = serde_json::from_value(manifest).expect("the form of a manifest");
    serde_json::to_value(manifest.validate().expect("a valid farm")).expect("serialises")
}
