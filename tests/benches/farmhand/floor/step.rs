//! One commit for each step: every slot has a connection of its own.

use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use async_trait::async_trait;
use tokio_postgres::{Client, Statement};
use uuid::Uuid;

use super::{Ground, Journal, OUTPUT, STEPS};

pub const SLOTS: u16 = 64;

struct Connection {
    client: Client,
    begin: Statement,
    step: Statement,
}

pub struct OneByOne(Mutex<Vec<Connection>>);

impl OneByOne {
    pub async fn open(ground: &Ground) -> Result<Self> {
        let mut connections = Vec::new();
        for _ in 0..SLOTS {
            let client = ground.connect().await?;
            let begin = "insert into workflows (id, state, step, input, updated_at) values ($1, 'running', 0, '{}', now())";
            let step = "with stepped as (insert into steps (workflow_id, step, state, output, finished_at) \
                  values ($1, $2, 'succeeded', $3, now())) \
                update workflows set step = $2, state = $4, updated_at = now() where id = $1";
            let (begin, step) = (client.prepare(begin).await?, client.prepare(step).await?);
            connections.push(Connection { client, begin, step });
        }
        Ok(Self(Mutex::new(connections)))
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Journal for OneByOne {
    async fn commit(&self, workflow: Uuid, step: i32) -> Result<()> {
        let connection = self.idle().pop().context("more workflows than slots")?;
        let Connection { client, .. } = &connection;
        match step {
            0 => client.execute(&connection.begin, &[&workflow]).await?,
            _ => {
                let state = if step == STEPS { "succeeded" } else { "running" };
                client.execute(&connection.step, &[&workflow, &step, &OUTPUT, &state]).await?
            }
        };
        self.idle().push(connection);
        Ok(())
    }
}
