//! What asks by itself, a schedule or a rule, asks in a name of its own and may do what its owner
//! may.

use std::collections::BTreeSet;

use domain::{ErrorCode, Principal, Problem, Role, WorkflowKind};
use serde_json::Value;
use store::{NewWorkflow, StoreError};

use super::refusal::{RequestError, require_any};
use super::{FarmRef, Request, Requests};

/// Whoever asks by itself.
pub(crate) struct Agent<'a> {
    /// As it is recorded with what it asks for: `schedule:NAME`, `rule:NAME`.
    pub name: String,
    pub owner: &'a str,
    /// The owner's roles when they defined it.
    pub owner_roles: &'a BTreeSet<Role>,
}

impl Request {
    /// What is kept of a request, as a message would ask it.
    pub(crate) fn kept(
        kind: &WorkflowKind,
        farm: Option<&str>,
        directory: Option<&str>,
        input: &Value,
    ) -> Result<Self, RequestError> {
        let directory = directory.map(str::to_owned);
        let farm = farm.map(|farm| FarmRef { name: farm.to_owned(), directory: directory.clone() });
        Ok(Self::parse(kind.as_str(), farm, directory.as_deref(), &serde_json::to_vec(input)?)?)
    }
}

impl Requests {
    /// The workflow that is asked for, or why it may not or cannot be. Only a database that is away
    /// for a while is an error.
    pub(crate) async fn draft_for(
        &self,
        request: Result<Request, RequestError>,
        plan: bool,
        by: &Agent<'_>,
    ) -> Result<Result<NewWorkflow, Problem>, StoreError> {
        match self.try_draft_for(request, plan, by).await {
            Ok(new) => Ok(Ok(new)),
            Err(RequestError::Store(error)) if error.is_passing() => Err(error),
            Err(RequestError::Refused(refusal)) => Ok(Err(refusal.problem)),
            Err(error) => {
                let hint = "look into the orchestrator's log; if it happens again, report it with that entry";
                Ok(Err(Problem::new(ErrorCode::Internal, error.to_string(), hint)))
            }
        }
    }

    async fn try_draft_for(
        &self,
        request: Result<Request, RequestError>,
        plan: bool,
        by: &Agent<'_>,
    ) -> Result<NewWorkflow, RequestError> {
        let request = request?;
        // What was taken from its owner since is taken from it.
        if let Some(roles) = self.store.roles_of(by.owner).await? {
            require_any(&Principal { name: by.owner.to_owned(), roles }, request.roles())?;
        }
        let principal = Principal { name: by.name.clone(), roles: by.owner_roles.clone() };
        self.draft(&request, plan, &principal).await
    }
}

/// What is wrong with a request that is kept within a document is named where it stands there.
/// `place`: of the request, with its point.
pub(crate) fn placed(error: RequestError, place: &str) -> RequestError {
    let RequestError::Refused(mut refusal) = error else { return error };
    for violation in &mut refusal.problem.violations {
        violation.field = match violation.field.as_str() {
            "kind" => format!("{place}kind"),
            field @ ("farm" | "directory") => format!("{place}target.{field}"),
            "(document)" => format!("{place}input"),
            field => format!("{place}input.{field}"),
        };
    }
    RequestError::Refused(refusal)
}
