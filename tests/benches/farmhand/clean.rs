//! Blocking calls of the test kit (psql, OpenLDAP's programs) from asynchronous code.

use anyhow::Result;
use tests::lab::{Cleanup, Lab};

/// Names of one deploy; its objects are deleted with this guard.
pub struct Objects {
    /// As long as every other such name, so that a recording can be replayed under it byte for byte.
    pub farm: String,
    cleanup: Option<Cleanup>,
}

impl Objects {
    pub fn new(lab: &Lab) -> Self {
        let mut cleanup = Cleanup::new(lab);
        Self { farm: cleanup.name("bench-"), cleanup: Some(cleanup) }
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        // What else runs on this thread must not wait for ldapsearch and ldapdelete.
        tokio::task::block_in_place(|| drop(self.cleanup.take()));
    }
}

/// Flushes what earlier rounds left, so that no round pays for another's checkpoint.
pub fn checkpoint(lab: &Lab) -> Result<()> {
    tokio::task::block_in_place(|| tests::database::query(&lab.database_url, "checkpoint")).map(drop)
}
