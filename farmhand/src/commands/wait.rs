//! What follows once work was asked for: nothing, or `--wait`.

use domain::{Mode, WorkflowState};
use serde_json::Value;

use super::Context;
use crate::client::follow::{self, Followed};
use crate::failure::{Exit, Failure};
use crate::output::{plan, progress, workflow};

/// The embedded directory is no domain: whoever reads success must know.
pub const EMBEDDED_NOTICE: &str = "note: the server works on its embedded directory, not on a real domain";

impl Context {
    /// Prints the workflow that was asked for, after following it where `wait` says so. A dry run is
    /// always followed: its plan is the answer.
    pub async fn conclude(&self, document: Value, embedded: bool, wait: bool) -> Result<Exit, Failure> {
        if embedded {
            eprintln!("{EMBEDDED_NOTICE}");
        }
        let asked = follow::parse(document)?;
        let is_plan = asked.workflow.mode == Mode::Plan;
        if !wait && !is_plan {
            self.output.answer(&asked.document, || workflow::text(&asked.workflow))?;
            return Ok(Exit::Done);
        }
        let id = asked.workflow.id;
        eprintln!("workflow {id}; it goes on even when this command is stopped");
        let mut progress = progress::for_stderr();
        let followed = follow::follow(&self.client, id, progress.as_mut()).await?;
        drop(progress);
        self.answer(&followed)?;
        Ok(followed.exit())
    }

    fn answer(&self, followed: &Followed) -> Result<(), Failure> {
        self.output.answer(&followed.document, || text(followed))
    }
}

/// Of a dry run its plan is the answer.
pub fn text(followed: &Followed) -> String {
    let workflow = &followed.workflow;
    if workflow.mode == Mode::Plan && workflow.state == WorkflowState::Succeeded {
        plan::text(workflow.plan.as_ref())
    } else {
        workflow::text(workflow)
    }
}
