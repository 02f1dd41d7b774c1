//! Farmhand in this process, wired as `farmhand orchestrator` and `farmhand worker` are, on
//! PostgreSQL, RabbitMQ and the real DC.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use directory::{Directories, Directory, LdapDirectory, LdapOptions};
use domain::farm::FarmManifest;
use domain::{
    Clock, DirectoryName, FarmName, FarmSpec, Lane, Rng, SystemClock, SystemRng, WorkflowId, WorkflowKind,
    WorkflowState,
};
use messages::{Bus, BusHealth, RabbitMqBus, RabbitMqOptions};
use orchestrator::{EnvelopeWriter, Orchestrator, OrchestratorOptions, Settings};
use secrecy::SecretString;
use serde_json::json;
use store::{NewWorkflow, Store, StoreOptions};
use tests::amqp::TestTopology;
use tests::database::PostgresDatabase;
use tests::lab::{GROUP_CONTAINER, Lab};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;
use workers::engine::{LaneOptions, Timing, Worker, WorkerOptions};
use workers::hosts::Hosts;
use workers::{Environment, Registry};

use crate::finished::Finished;
use crate::ldap::record::{Recorded, Recording};
use crate::noop;
use crate::telemetry::Meters;

/// Workflows under way at once.
pub const SLOTS: u16 = 1_024;
/// Workflows of one submission.
const CHUNK: usize = 500;
/// The binary's default.
const CONNECTIONS: u32 = 10;
/// Of a deployed farm.
pub const HOSTS: [&str; 3] = ["Host1", "Host2", "Host3"];

pub struct Ours {
    store: Store,
    bus: Arc<RabbitMqBus>,
    directory: Arc<Recording>,
    finished: Arc<Finished>,
    stop_worker: CancellationToken,
    stop_orchestrator: CancellationToken,
    worker: TaskTracker,
    orchestrator: TaskTracker,
    _topology: TestTopology,
    database: PostgresDatabase,
}

impl Ours {
    pub async fn start(lab: &Lab, finished: Arc<Finished>, meters: &Meters) -> Result<Self> {
        let database = tokio::task::block_in_place(|| PostgresDatabase::create(lab));
        let topology = TestTopology::new(lab);
        // The floors speak without TLS to a server on the same machine too.
        let mut url = Url::parse(&database.url)?;
        url.query_pairs_mut().append_pair("sslmode", "disable");
        let options = StoreOptions {
            url: SecretString::from(String::from(url)),
            max_connections: CONNECTIONS,
            acquire_timeout: Duration::from_secs(10),
        };
        let store = Store::connect(&options, Arc::new(EnvelopeWriter::new(rng()))).await?;
        store.migrate_up().await?;
        let bus = open_bus(&topology).await?;
        let directory = Arc::new(Recording::new(Arc::new(open_directory(lab)?)));
        let ours = Self {
            store,
            bus,
            directory,
            finished,
            stop_worker: CancellationToken::new(),
            stop_orchestrator: CancellationToken::new(),
            worker: TaskTracker::new(),
            orchestrator: TaskTracker::new(),
            _topology: topology,
            database,
        };
        orchestrate(&ours.store, &ours.bus, meters, &ours.stop_orchestrator, &ours.orchestrator).await?;
        ours.start_worker();
        Ok(ours)
    }

    fn start_worker(&self) {
        let directory: Arc<dyn Directory> = self.directory.clone();
        let environment = Environment {
            directories: Directories::new([directory]),
            hosts: Hosts::default(),
            clock: clock(),
            rng: rng(),
        };
        let lane =
            LaneOptions { lane: Lane::Lifecycle, slots: SLOTS, environment, store: self.store.clone() };
        let worker = Worker::new(WorkerOptions {
            name: "benchmark".to_owned(),
            bus: self.bus.clone(),
            registry: Registry::standard().with(noop::runbook()),
            clock: clock(),
            rng: rng(),
            lanes: vec![lane],
            timing: Timing::default(),
            committers: 2,
        });
        let stop = self.stop_worker.clone();
        self.worker.spawn(async move {
            if let Err(error) = worker.run(stop).await {
                eprintln!("the worker ended: {error}");
            }
        });
    }

    /// Where the tables are.
    pub fn database(&self) -> &str {
        name_of(&self.database.url)
    }

    /// From the first submission to the durable end of the last of `count` workflows.
    pub async fn run(&self, count: usize) -> Result<Duration> {
        self.finished.expect(count as u64);
        let start = Instant::now();
        match count {
            1 => drop(self.store.submit(noop::request(), None).await?),
            _ => {
                for first in (0..count).step_by(CHUNK) {
                    let new = (first..count.min(first + CHUNK)).map(|_| noop::request()).collect();
                    self.store.submit_many(new).await?;
                }
            }
        }
        Ok(self.finished.all().await? - start)
    }

    /// No figure counts if a workflow did not do its work.
    pub async fn all_succeeded(&self) -> Result<()> {
        let others = "select count(*) from workflows where state <> 'succeeded'";
        let others = self.store.number(others).await?;
        let steps = "select count(*) from steps where state <> 'succeeded' and state <> 'skipped'";
        let steps = self.store.number(steps).await?;
        ensure!((others, steps) == (0, 0), "{others} workflows and {steps} steps did not succeed");
        Ok(())
    }

    /// Deploys a farm with a new group and three hosts; from submission to its durable end.
    pub async fn deploy(&self, farm: &str) -> Result<Duration> {
        let new = deployment(farm)?;
        let id = new.id;
        self.finished.expect(1);
        let start = Instant::now();
        self.store.submit(new, None).await?;
        let took = self.finished.all().await? - start;
        let done = self.store.workflow(id).await?.context("the workflow is gone")?;
        ensure!(done.state == WorkflowState::Succeeded, "the deploy ended {}: {:?}", done.state, done.error);
        ensure!(done.result.is_some_and(|result| result["changed"] == true), "the deploy changed nothing");
        Ok(took)
    }

    /// Adds hosts to a deployed farm in one workflow; from submission to its durable end.
    pub async fn add_hosts(&self, farm: &str, hosts: &[String]) -> Result<Duration> {
        let new = NewWorkflow {
            kind: WorkflowKind::ADD_HOST,
            farm: Some(FarmName::parse(farm)?),
            hosts: hosts.to_vec(),
            input: json!({ "hosts": hosts }),
            ..noop::request()
        };
        let id = new.id;
        self.finished.expect(1);
        let start = Instant::now();
        self.store.submit(new, None).await?;
        let took = self.finished.all().await? - start;
        let done = self.store.workflow(id).await?.context("the workflow is gone")?;
        ensure!(done.state == WorkflowState::Succeeded, "it ended {}: {:?}", done.state, done.error);
        Ok(took)
    }

    /// Asks for all at once; from the submission to the durable end of the last.
    pub async fn deploy_together(&self, farms: &[&str]) -> Result<Duration> {
        let new = farms.iter().map(|farm| deployment(farm)).collect::<Result<Vec<_>>>()?;
        self.finished.expect(farms.len() as u64);
        let start = Instant::now();
        self.store.submit_many(new).await?;
        Ok(self.finished.all().await? - start)
    }

    /// Deploys and gives the directory operations that it took.
    pub async fn recorded_deploy(&self, farm: &str) -> Result<Vec<Recorded>> {
        self.directory.start();
        let deployed = self.deploy(farm).await;
        let tape = self.directory.stop();
        deployed?;
        tape
    }

    pub async fn stop(self) {
        self.stop_worker.cancel();
        self.worker.close();
        self.worker.wait().await;
        self.stop_orchestrator.cancel();
        self.orchestrator.close();
        self.orchestrator.wait().await;
        self.bus.close().await;
        self.store.close().await;
        tokio::task::block_in_place(|| drop(self));
    }
}

/// The database's name in its URL.
pub fn name_of(url: &str) -> &str {
    let path = url.split('?').next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default()
}

pub fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

pub fn rng() -> Arc<dyn Rng> {
    Arc::new(SystemRng)
}

/// Runs an orchestrator until `stop`.
pub async fn orchestrate(
    store: &Store,
    bus: &Arc<RabbitMqBus>,
    meters: &Meters,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> Result<()> {
    let orchestrator = Orchestrator::new(OrchestratorOptions {
        store: store.clone(),
        bus: bus.clone(),
        announcements: bus.clone(),
        clock: clock(),
        rng: rng(),
        prometheus: meters.0.clone(),
        embedded: false,
        known_directories: vec![DirectoryName::default()],
        intake: None,
        settings: Settings::default(),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let stop = stop.clone();
    tasks.spawn(async move {
        if let Err(error) = orchestrator.run(listener, stop).await {
            eprintln!("the orchestrator ended: {error}");
        }
    });
    Ok(())
}

pub async fn open_bus(topology: &TestTopology) -> Result<Arc<RabbitMqBus>> {
    let mut options = RabbitMqOptions::new(SecretString::from(topology.url.clone()));
    options.topology = topology.topology();
    let bus = RabbitMqBus::start(&options)?;
    let mut health = bus.health();
    let connected = health.wait_for(|health| matches!(health, BusHealth::Connected));
    tokio::time::timeout(Duration::from_secs(20), connected).await.context("RabbitMQ does not answer")??;
    Ok(Arc::new(bus))
}

fn open_directory(lab: &Lab) -> Result<LdapDirectory> {
    let url = lab.directory_url.parse()?;
    let password = SecretString::from(lab.service.password.clone());
    let mut options = LdapOptions::new(DirectoryName::default(), vec![url], &lab.service.dn, password);
    options.ca_file = Some(lab.ca_file.clone());
    Ok(LdapDirectory::new(options)?)
}

pub fn deployment(farm: &str) -> Result<NewWorkflow> {
    let manifest = json!({
        "apiVersion": "farmhand/v1", "kind": "Farm", "metadata": {"name": farm},
        "spec": {
            "account": {
                "dnsHostName": format!("{farm}.contoso.com"),
                "description": "a farm of the benchmark",
                "servicePrincipalNames": [format!("http/{farm}.contoso.com"), format!("http/{farm}")],
                "kerberosEncryptionTypes": ["AES128", "AES256"],
            },
            "membership": {"group": format!("{farm}-g"), "groupContainer": GROUP_CONTAINER},
            "hosts": HOSTS,
        },
    });
    let manifest: FarmManifest = serde_json::from_value(manifest)?;
    let spec: FarmSpec = manifest.validate().map_err(|errors| anyhow::anyhow!("the manifest: {errors:?}"))?;
    let now = SystemClock.now();
    Ok(NewWorkflow {
        id: WorkflowId::new(now, &SystemRng),
        kind: WorkflowKind::DEPLOY,
        farm: Some(spec.name.clone()),
        hosts: HOSTS.map(str::to_owned).to_vec(),
        input: serde_json::to_value(&spec)?,
        farm_spec: Some(spec),
        ..noop::request()
    })
}
