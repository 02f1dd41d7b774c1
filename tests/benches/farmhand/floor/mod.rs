//! The floor of durable workflows: consume, seven durable commits (the workflow, then its six
//! steps one after the other), acknowledge. Bare tokio-postgres and lapin, tables of its own.

pub mod batch;
mod queue;
pub mod step;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use domain::Lane;
use tests::amqp::TestTopology;
use tests::database::PostgresDatabase;
use tests::lab::Lab;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::finished::Finished;
use queue::Queue;

pub const STEPS: i32 = 6;
/// What a step puts out.
const OUTPUT: &str = r#"{"output":null,"detail":"nothing was to do"}"#;

/// Makes one row durable: the workflow itself as step 0, then a step's outcome with the workflow.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    async fn commit(&self, workflow: Uuid, step: i32) -> Result<()>;
}

/// Database and queues of both floors; gone with this guard.
pub struct Ground {
    topology: TestTopology,
    database: PostgresDatabase,
}

impl Ground {
    pub async fn new(lab: &Lab) -> Result<Self> {
        let database = tokio::task::block_in_place(|| PostgresDatabase::create(lab));
        let ground = Self { topology: TestTopology::new(lab), database };
        let client = ground.connect().await?;
        client
            .batch_execute(
                "create table workflows (id uuid primary key, state text not null, step int not null, \
                   input text not null, updated_at timestamptz not null) with (fillfactor = 45); \
                 create table steps (workflow_id uuid not null, step int not null, state text not null, \
                   output text not null, finished_at timestamptz not null, primary key (workflow_id, step));",
            )
            .await?;
        Ok(ground)
    }

    /// Where the tables are.
    pub fn database(&self) -> &str {
        crate::ours::name_of(&self.database.url)
    }

    async fn connect(&self) -> Result<Client> {
        let (client, connection) = tokio_postgres::connect(&self.database.url, NoTls).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                eprintln!("a connection of the floor ended: {error}");
            }
        });
        // A plan that was made for empty tables would make the floor slower than it has to be.
        client.batch_execute("set enable_seqscan = off; set jit = off").await?;
        Ok(client)
    }

    /// One commit a step, a connection for each of the slots.
    pub async fn step(&self) -> Result<Floor> {
        let journal = step::OneByOne::open(self).await?;
        Floor::start(Arc::new(journal), &self.topology, Lane::Urgent, step::SLOTS).await
    }

    /// Commits shared between workflows.
    pub async fn batch(&self) -> Result<Floor> {
        let journal = batch::Shared::open(self).await?;
        Floor::start(Arc::new(journal), &self.topology, Lane::Checks, batch::SLOTS).await
    }

    pub async fn all_succeeded(&self) -> Result<()> {
        let sql = "select (select count(*) from workflows where state <> 'succeeded'), \
            (select count(*) * 6 from workflows) - (select count(*) from steps)";
        let row = self.connect().await?.query_one(sql, &[]).await?;
        let (open, missing): (i64, i64) = (row.get(0), row.get(1));
        ensure!(
            (open, missing) == (0, 0),
            "{open} workflows of the floor are open, {missing} steps are missing"
        );
        Ok(())
    }
}

/// A floor that runs: workers wait for its queue.
pub struct Floor {
    queue: Queue,
    finished: Arc<Finished>,
}

impl Floor {
    /// The queue has the name of a lane, so that the topology's guard deletes it.
    async fn start(
        journal: Arc<dyn Journal>,
        topology: &TestTopology,
        lane: Lane,
        slots: u16,
    ) -> Result<Self> {
        let finished = Arc::new(Finished::default());
        let queue = Queue::open(&topology.url, topology.topology().queue(lane)).await?;
        let counted = finished.clone();
        let work = move |workflow| {
            let (journal, finished) = (journal.clone(), counted.clone());
            async move {
                for step in 0..=STEPS {
                    journal.commit(workflow, step).await?;
                }
                finished.add(1);
                Ok(())
            }
        };
        queue.consume(slots, work).await?;
        Ok(Self { queue, finished })
    }

    /// From the first publish to the last commit of the last of `count` workflows.
    pub async fn run(&self, count: usize) -> Result<Duration> {
        self.finished.expect(count as u64);
        let start = Instant::now();
        self.queue.publish((0..count).map(|_| crate::noop::request().id.0)).await?;
        let last = self.finished.all().await.context("the floor")?;
        Ok(last - start)
    }

    pub async fn stop(self) {
        self.queue.close().await;
    }
}
