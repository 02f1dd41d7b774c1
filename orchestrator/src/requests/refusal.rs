//! Why a request is not taken.

use domain::{DirectoryName, ErrorCode, FarmName, Principal, Problem, Role};
use store::{Farm, FarmState, StoreError};

/// How a refusal is answered; HTTP has a status for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusalKind {
    /// It breaks a rule of its form.
    Malformed,
    /// It is well formed and asks for what cannot be.
    Unprocessable,
    Forbidden,
    NotFound,
    /// What is on record does not allow it.
    Conflict,
}

/// A request that was refused; nothing was written, and the same request is refused again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub(crate) struct Refusal {
    pub problem: Problem,
    pub kind: RefusalKind,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The request was never judged, or never recorded.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Our own fault.
    #[error(transparent)]
    Fault(#[from] serde_json::Error),
}

impl From<Problem> for Refusal {
    /// Of a problem with the request's own content.
    fn from(problem: Problem) -> Self {
        let kind = match problem.code {
            ErrorCode::InvalidManifest | ErrorCode::DirectoryUnknown => RefusalKind::Unprocessable,
            _ => RefusalKind::Malformed,
        };
        Self { problem, kind }
    }
}

impl From<Problem> for RequestError {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem.into())
    }
}

/// Whether the principal has the role.
pub(crate) fn require(principal: &Principal, role: Role) -> Result<(), Refusal> {
    require_any(principal, &[role])
}

/// Whether the principal has one of the roles.
pub(crate) fn require_any(principal: &Principal, roles: &[Role]) -> Result<(), Refusal> {
    if roles.iter().any(|role| principal.may(*role)) {
        return Ok(());
    }
    let wanted: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
    let role = wanted.join(" or ");
    let held: Vec<_> = principal.roles.iter().map(|role| role.as_str()).collect();
    let held = if held.is_empty() { "no role".to_owned() } else { format!("the role {}", held.join(", ")) };
    let problem = Problem::new(
        ErrorCode::Forbidden,
        format!("{} has {held} and this needs {role}", principal.name),
        format!("use a token with the role {role}; an admin makes one with `farmhand token create`"),
    );
    Err(Refusal { problem, kind: RefusalKind::Forbidden })
}

/// The farm's record, if there is one.
pub(super) fn on_record(
    farm: Option<Farm>,
    name: &FarmName,
    directory: &DirectoryName,
) -> Result<Farm, Refusal> {
    farm.ok_or_else(|| Refusal {
        problem: Problem::new(
            ErrorCode::FarmNotDeployed,
            format!("no farm {name} is on record in the directory {directory}"),
            format!(
                "`farmhand farm list` shows all, and a farm of another directory needs to be asked for with that \
                 directory; a gMSA that others made is put on record with `farmhand farm import {name}`"
            ),
        ),
        kind: RefusalKind::NotFound,
    })
}

/// The record, if it is that of a deployed farm.
pub(super) fn deployed(farm: Farm) -> Result<Farm, Refusal> {
    let name = &farm.name;
    let (message, hint) = match farm.state {
        FarmState::Deployed if farm.recorded.is_some() => return Ok(farm),
        FarmState::Deployed | FarmState::Requested => (
            format!("the farm {name} was asked for, but no deploy of it has succeeded yet"),
            format!("wait for its deploy (`farmhand workflow list --farm {name}`), or deploy it again"),
        ),
        FarmState::Decommissioned => (
            format!("the farm {name} is decommissioned: its account is gone"),
            "deploy it anew with its manifest, if it is wanted again".to_owned(),
        ),
    };
    let problem = Problem::new(ErrorCode::FarmNotDeployed, message, hint);
    Err(Refusal { problem, kind: RefusalKind::Conflict })
}
