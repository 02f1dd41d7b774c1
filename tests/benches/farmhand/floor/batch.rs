//! Commits shared between workflows: two committers, each taking what has gathered while the other
//! was on its way.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use async_trait::async_trait;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_postgres::{Client, Statement};
use uuid::Uuid;

use super::{Ground, Journal, OUTPUT, STEPS};

pub const SLOTS: u16 = 1_024;
const COMMITTERS: usize = 2;
const ROWS: usize = 512;

const COMMIT: &str = "with entry as ( \
      select * from unnest($1::uuid[], $2::int[], $3::text[]) as e(id, step, state) \
    ), begun as ( \
      insert into workflows (id, state, step, input, updated_at) \
      select id, 'running', 0, '{}', now() from entry where step = 0 \
    ), stepped as ( \
      insert into steps (workflow_id, step, state, output, finished_at) \
      select id, step, 'succeeded', $4, now() from entry where step > 0 \
    ) update workflows w set step = e.step, state = e.state, updated_at = now() \
      from entry e where e.step > 0 and w.id = e.id";

struct Row {
    workflow: Uuid,
    step: i32,
    durable: oneshot::Sender<bool>,
}

pub struct Shared(mpsc::Sender<Row>);

impl Shared {
    pub async fn open(ground: &Ground) -> Result<Self> {
        let (sender, receiver) = mpsc::channel(usize::from(SLOTS) * 2);
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..COMMITTERS {
            let client = ground.connect().await?;
            let statement = client.prepare(COMMIT).await?;
            tokio::spawn(commit(client, statement, receiver.clone()));
        }
        Ok(Self(sender))
    }
}

#[async_trait]
impl Journal for Shared {
    async fn commit(&self, workflow: Uuid, step: i32) -> Result<()> {
        let (durable, answer) = oneshot::channel();
        self.0.send(Row { workflow, step, durable }).await.map_err(|_| anyhow!("no committer"))?;
        match answer.await.context("the committer is gone")? {
            true => Ok(()),
            false => Err(anyhow!("the commit failed")),
        }
    }
}

async fn commit(client: Client, statement: Statement, receiver: Arc<Mutex<mpsc::Receiver<Row>>>) {
    loop {
        let mut rows = Vec::new();
        if receiver.lock().await.recv_many(&mut rows, ROWS).await == 0 {
            return;
        }
        let workflows: Vec<_> = rows.iter().map(|row| row.workflow).collect();
        let steps: Vec<_> = rows.iter().map(|row| row.step).collect();
        let state = |row: &Row| if row.step == STEPS { "succeeded" } else { "running" };
        let states: Vec<_> = rows.iter().map(state).collect();
        let committed = client.execute(&statement, &[&workflows, &steps, &states, &OUTPUT]).await;
        if let Err(error) = &committed {
            eprintln!("a commit of the floor failed: {error}");
        }
        for row in rows {
            // A workflow that is gone does not wait for the answer.
            let _ = row.durable.send(committed.is_ok());
        }
    }
}
