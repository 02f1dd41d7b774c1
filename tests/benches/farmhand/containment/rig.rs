//! Farmhand in this process, wired as `farmhand orchestrator` and `farmhand worker` are with their defaults: the urgent
//! lane with slots, database connections and directory connections of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use directory::{Directories, Directory, LdapDirectory, LdapOptions};
use domain::containment::Containment;
use domain::{Lane, SystemClock, SystemRng, Workflow, WorkflowId, WorkflowKind, WorkflowState};
use messages::{Bus, RabbitMqBus};
use orchestrator::EnvelopeWriter;
use secrecy::SecretString;
use serde_json::json;
use store::{NewWorkflow, Store, StoreOptions};
use tests::amqp::TestTopology;
use tests::database::PostgresDatabase;
use tests::lab::Lab;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;
use workers::engine::{LaneOptions, Timing, Worker, WorkerOptions};
use workers::hosts::Hosts;
use workers::{Environment, Registry};

use super::busy;
use super::watch::{Watched, Written};
use crate::noop;
use crate::ours::{clock, deployment, open_bus, orchestrate, rng};
use crate::telemetry::Meters;

/// The binary's defaults.
const URGENT_SLOTS: u16 = 8;
pub const LIFECYCLE_SLOTS: u16 = 32;
const CONNECTIONS: u32 = 10;
const URGENT_CONNECTIONS: u32 = 4;
const WARM: Duration = Duration::from_secs(240);

const LOOK: Duration = Duration::from_millis(2);
const LIMIT: Duration = Duration::from_secs(120);
/// Workflows of one submission.
const CHUNK: usize = 500;

pub struct Rig {
    /// The orchestrator's.
    pub store: Store,
    stores: [Store; 2],
    bus: Arc<RabbitMqBus>,
    watched: Arc<Watched>,
    stop: CancellationToken,
    tasks: TaskTracker,
    _topology: TestTopology,
    _database: PostgresDatabase,
}

/// A containment as it was seen.
pub struct Seen {
    /// From the durable request to the last DC's acknowledgement of its deny entry.
    pub denied: Duration,
    /// What making the request durable took.
    pub submitted: Duration,
    pub written: Vec<Written>,
    pub done: Workflow,
}

impl Rig {
    pub async fn start(lab: &Lab, options: LdapOptions, meters: &Meters) -> Result<Self> {
        let database = tokio::task::block_in_place(|| PostgresDatabase::create(lab));
        let topology = TestTopology::new(lab);
        let store = open(&database.url, CONNECTIONS).await?;
        store.migrate_up().await?;
        let stores =
            [open(&database.url, CONNECTIONS).await?, open(&database.url, URGENT_CONNECTIONS).await?];
        let directory = LdapDirectory::new(options)?;
        let watched = Arc::new(Watched::new(directory.with_own_connections()));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let bus = open_bus(&topology).await?;
        let rig = Self { store, stores, bus, watched, stop, tasks, _topology: topology, _database: database };
        orchestrate(&rig.store, &rig.bus, meters, &rig.stop, &rig.tasks).await?;
        rig.start_worker(Arc::new(directory));
        Ok(rig)
    }

    fn start_worker(&self, directory: Arc<LdapDirectory>) {
        let lane = |lane, slots, directory: Arc<dyn Directory>, store: &Store| LaneOptions {
            lane,
            slots,
            environment: Environment {
                directories: Directories::new([directory]),
                hosts: Hosts::default(),
                clock: clock(),
                rng: rng(),
            },
            store: store.clone(),
        };
        let lanes = vec![
            lane(Lane::Urgent, URGENT_SLOTS, self.watched.clone(), &self.stores[1]),
            lane(Lane::Lifecycle, LIFECYCLE_SLOTS, directory, &self.stores[0]),
        ];
        let worker = Worker::new(WorkerOptions {
            name: "benchmark".to_owned(),
            bus: self.bus.clone(),
            registry: Registry::standard().with(busy::runbook()).with(noop::runbook()),
            clock: clock(),
            rng: rng(),
            lanes,
            timing: Timing::default(),
            committers: 2,
        })
        .keeping_warm(WARM);
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            if let Err(error) = worker.run(stop).await {
                eprintln!("the worker ended: {error}");
            }
        });
    }

    /// A farm on record with its account, group and three hosts.
    pub async fn deploy(&self, farm: &str) -> Result<()> {
        let new = deployment(farm)?;
        let id = new.id;
        self.store.submit(new, None).await?;
        self.succeeds(id).await.map(drop)
    }

    /// Contains a host on `dcs` DCs, each of which is written one reader list.
    pub async fn contain(&self, host: &str, dcs: usize) -> Result<Seen> {
        self.watched.forget();
        let new = containment(host);
        let id = new.id;
        let asked = Instant::now();
        self.store.submit(new, None).await?;
        let accepted = Instant::now();
        let written = self.watched.first(dcs).await?;
        let last = written.iter().map(|written| written.at).max().unwrap_or(accepted);
        let done = self.succeeds(id).await?;
        let contained: Containment =
            serde_json::from_value(done.result.clone().context("a containment without a result")?)?;
        ensure!(contained.accounts.len() == dcs.min(1), "it found {} accounts", contained.accounts.len());
        // The request may be acted on before its answer is here.
        let denied = last.saturating_duration_since(accepted);
        Ok(Seen { denied, submitted: accepted - asked, written, done })
    }

    async fn succeeds(&self, id: WorkflowId) -> Result<Workflow> {
        let ends = async {
            loop {
                let workflow = self.store.workflow(id).await?.context("the workflow is gone")?;
                if workflow.state.is_finished() {
                    ensure!(
                        workflow.state == WorkflowState::Succeeded,
                        "it ended {}: {:?}",
                        workflow.state,
                        workflow.error
                    );
                    return Ok(workflow);
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(LIMIT, ends).await.context("a workflow did not end")?
    }

    /// Puts that many lifecycle workflows into the queue and waits until all slots work on some.
    pub async fn burden(&self, count: usize, request: fn() -> NewWorkflow) -> Result<()> {
        for first in (0..count).step_by(CHUNK) {
            let new = (first..count.min(first + CHUNK)).map(|_| request()).collect();
            self.store.submit_many(new).await?;
        }
        let busy = async {
            loop {
                let waiting = self.store.number("select count(*) from outbox where topic is null").await?;
                let running = "select count(*) from workflows where state = 'running'";
                let running = self.store.number(running).await?;
                if waiting == 0 && running >= i64::from(LIFECYCLE_SLOTS) * 3 / 4 {
                    return Ok(());
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(LIMIT, busy).await.context("the worker does not get busy")?
    }

    /// How many workflows wait for their turn.
    pub async fn queued(&self) -> Result<i64> {
        Ok(self.store.number("select count(*) from workflows where state = 'queued'").await?)
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.bus.close().await;
        for store in self.stores.iter().chain([&self.store]) {
            store.close().await;
        }
        tokio::task::block_in_place(|| drop(self));
    }
}

async fn open(url: &str, connections: u32) -> Result<Store> {
    let mut url = Url::parse(url)?;
    url.query_pairs_mut().append_pair("sslmode", "disable");
    let options = StoreOptions {
        url: SecretString::from(String::from(url)),
        max_connections: connections,
        acquire_timeout: Duration::from_secs(10),
    };
    Ok(Store::connect(&options, Arc::new(EnvelopeWriter::new(rng()))).await?)
}

/// The computer account stays enabled, so that the host can be contained again.
fn containment(host: &str) -> NewWorkflow {
    NewWorkflow {
        id: WorkflowId::new(domain::Clock::now(&SystemClock), &SystemRng),
        kind: WorkflowKind::COMPROMISE_REMOVAL,
        lane: Lane::Urgent,
        hosts: vec![host.to_owned()],
        input: json!({ "host": host, "keepComputerEnabled": true }),
        ..noop::request()
    }
}
