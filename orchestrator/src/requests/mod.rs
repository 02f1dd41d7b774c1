//! What anybody asks for, over HTTP or AMQP alike, becomes a workflow here and nowhere else: the
//! role it needs, its rules, the farm's record, the idempotency key.
//!
//! Nothing here knows how the request came in. To add a kind of request: a variant of [`Request`],
//! its body in `bodies.rs`, the roles that it takes in `roles_of`, its rules in `judge.rs`, its arm in
//! `workflow_of`.

pub(crate) mod bodies;
mod compromise;
pub(crate) mod form;
mod judge;
mod on_behalf;
pub(crate) mod recovery;
mod refusal;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use domain::request::{QuarantineReleaseRequest, ReplaceRequest};
use domain::{
    Clock, DirectoryName, ErrorCode, FarmManifest, FarmName, Lane, Mode, Principal, Problem, Rng, Role,
    Violation, Workflow, WorkflowId, WorkflowKind,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use store::{Farm, IdempotencyKey, NewWorkflow, Quarantined, Store, Submitted};

use crate::options::RotationPolicy;
use bodies::{
    CompromiseBody, DecommissionBody, DriftCheckBody, HostsBody, ImportBody, InspectBody,
    QuarantineCheckBody, QuarantineReleaseBody, ReplaceBody, RotationCheckBody,
};
use judge::{Judged, Work};

pub(crate) use compromise::quarantine_of;
pub(crate) use judge::invalid as violated;
pub(crate) use on_behalf::{Agent, placed};
pub(crate) use refusal::{Refusal, RefusalKind, RequestError, require, require_any};

const MAX_KEY: usize = 255;
const MAX_REASON: usize = 1024;

/// Which farm is meant, as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FarmRef {
    pub name: String,
    /// `None`: `default`.
    pub directory: Option<String>,
}

/// Work that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    Deploy(FarmManifest),
    /// With the farm as the request names it beside the manifest, where it does.
    Update(Option<FarmRef>, FarmManifest),
    AddHost(FarmRef, HostsBody),
    RemoveHost(FarmRef, HostsBody),
    Decommission(FarmRef, DecommissionBody),
    Replace(FarmRef, ReplaceBody),
    Import(FarmRef, ImportBody),
    Inspect(FarmRef),
    RotationCheck(RotationCheckBody),
    DriftCheck(DriftCheckBody),
    /// Of a host, or of a KDS root key.
    Compromise(CompromiseBody),
    QuarantineRelease(QuarantineReleaseBody),
    QuarantineCheck(QuarantineCheckBody),
}

/// How it is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ask {
    /// A dry run: the workflow ends with the exact directory changes and writes nothing.
    pub plan: bool,
    /// Why, in words; kept with the workflow.
    pub reason: Option<String>,
    /// The same key with the same request gives the same workflow, however often it is asked.
    pub idempotency_key: Option<String>,
    /// Where the asker's trace is not that of the current span.
    pub traceparent: Option<String>,
}

/// A request that was taken.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Accepted {
    pub workflow: Workflow,
    /// It is that of an earlier request with the same key.
    pub replayed: bool,
}

impl Request {
    /// A request out of its parts, as a message holds them: `body` is what the HTTP API takes as
    /// its body, for `deploy` and `update` the manifest. `directory` is that of work which is about
    /// no farm.
    pub(crate) fn parse(
        kind: &str,
        farm: Option<FarmRef>,
        directory: Option<&str>,
        body: &[u8],
    ) -> Result<Self, Refusal> {
        let named = || {
            farm.clone().ok_or_else(|| {
                judge::invalid(vec![Violation::new("farm", "required", "names the farm it is about")])
            })
        };
        let request = match kind {
            "deploy" => Self::Deploy(manifest(body)?),
            "update" => Self::Update(farm, manifest(body)?),
            "add-host" => Self::AddHost(named()?, self::body(body)?),
            "remove-host" => Self::RemoveHost(named()?, self::body(body)?),
            "decommission" => Self::Decommission(named()?, self::body(body)?),
            "replace" => Self::Replace(named()?, self::body(body)?),
            "import" => Self::Import(named()?, self::body(body)?),
            "inspect" => match farm {
                Some(farm) => Self::Inspect(farm),
                None => {
                    let asked: InspectBody = self::body(body)?;
                    let directory = same_directory(asked.directory, directory.map(str::to_owned))?;
                    InspectBody { directory, ..asked }.into()
                }
            },
            "rotation-check" => {
                let asked: RotationCheckBody = self::body(body)?;
                Self::RotationCheck(match farm {
                    Some(FarmRef { name, directory }) => RotationCheckBody {
                        farm: Some(name),
                        directory: directory.or(asked.directory),
                        ..asked
                    },
                    None => {
                        let directory = same_directory(asked.directory, directory.map(str::to_owned))?;
                        RotationCheckBody { directory, ..asked }
                    }
                })
            }
            "drift-check" => {
                let asked: DriftCheckBody = self::body(body)?;
                Self::DriftCheck(match farm {
                    Some(FarmRef { name, directory }) => {
                        DriftCheckBody { farm: Some(name), directory: directory.or(asked.directory), ..asked }
                    }
                    None => {
                        let directory = same_directory(asked.directory, directory.map(str::to_owned))?;
                        DriftCheckBody { directory, ..asked }
                    }
                })
            }
            "compromise-removal" => {
                let asked: CompromiseBody = self::body(body)?;
                if asked.kds_root_key.is_some() {
                    let message = "a KDS root key is recovered from over HTTP only";
                    return Err(judge::invalid(vec![Violation::new("kdsRootKey", "http", message)]).into());
                }
                // A message about one farm means that farm.
                let mut farms = asked.farms;
                let mut directory = directory.map(str::to_owned);
                if let Some(farm) = farm {
                    directory = farm.directory.or(directory);
                    farms.push(farm.name);
                }
                let directory = same_directory(asked.directory, directory)?;
                Self::Compromise(CompromiseBody { farms, directory, ..asked })
            }
            "quarantine-release" => {
                let asked: QuarantineReleaseBody = self::body(body)?;
                let directory = same_directory(asked.directory, directory.map(str::to_owned))?;
                Self::QuarantineRelease(QuarantineReleaseBody { directory, ..asked })
            }
            "quarantine-check" => {
                let asked: QuarantineCheckBody = self::body(body)?;
                let directory = same_directory(asked.directory, directory.map(str::to_owned))?;
                Self::QuarantineCheck(QuarantineCheckBody { directory })
            }
            other => {
                let message = format!("{other:?} is nothing that can be asked for");
                return Err(judge::invalid(vec![Violation::new("kind", "value", message)]).into());
            }
        };
        Ok(request)
    }

    pub(crate) fn kind(&self) -> WorkflowKind {
        match self {
            Self::Deploy(_) => WorkflowKind::DEPLOY,
            Self::Update(..) => WorkflowKind::UPDATE,
            Self::AddHost(..) => WorkflowKind::ADD_HOST,
            Self::RemoveHost(..) => WorkflowKind::REMOVE_HOST,
            Self::Decommission(..) => WorkflowKind::DECOMMISSION,
            Self::Replace(..) => WorkflowKind::REPLACE,
            Self::Import(..) => WorkflowKind::IMPORT,
            Self::Inspect(_) => WorkflowKind::INSPECT,
            Self::RotationCheck(_) => WorkflowKind::ROTATION_CHECK,
            Self::DriftCheck(_) => WorkflowKind::DRIFT_CHECK,
            Self::Compromise(body) if body.kds_root_key.is_some() => WorkflowKind::KDS_ROOT_KEY_RECOVERY,
            Self::Compromise(_) => WorkflowKind::COMPROMISE_REMOVAL,
            Self::QuarantineRelease(_) => WorkflowKind::QUARANTINE_RELEASE,
            Self::QuarantineCheck(_) => WorkflowKind::QUARANTINE_CHECK,
        }
    }

    fn lane(&self) -> Lane {
        match self {
            Self::Inspect(_) => Lane::Urgent,
            // Of a root key it takes days, and replaces farms: that is no urgent lane's work.
            Self::Compromise(body) if body.kds_root_key.is_none() => Lane::Urgent,
            Self::RotationCheck(_) | Self::DriftCheck(_) | Self::QuarantineCheck(_) => Lane::Checks,
            _ => Lane::Lifecycle,
        }
    }

    /// What the asking principal must hold one of; a dry run needs the same.
    pub(crate) fn roles(&self) -> &'static [Role] {
        match self {
            Self::Compromise(body) if body.kds_root_key.is_some() => &[Role::Admin],
            _ => Self::roles_of(self.kind().as_str()).unwrap_or(&[Role::Admin]),
        }
    }

    /// The same of a kind, as a message names it; `None` where it cannot be asked for.
    pub(crate) fn roles_of(kind: &str) -> Option<&'static [Role]> {
        match kind {
            "inspect" => Some(&[Role::Viewer]),
            "compromise-removal" | "quarantine-release" => Some(&[Role::Responder]),
            "quarantine-check" => Some(&[Role::Responder, Role::Operator]),
            "deploy" | "update" | "add-host" | "remove-host" | "decommission" | "replace" | "import"
            | "rotation-check" | "drift-check" => Some(&[Role::Operator]),
            _ => None,
        }
    }

    /// Why, where the body says it.
    fn reason(&self) -> Option<&String> {
        match self {
            Self::QuarantineRelease(body) => body.reason.as_ref(),
            _ => None,
        }
    }

    /// SHA-256 of what is asked, independent of how it was written down and of what is on record.
    fn hash(&self, plan: bool, judged: &Judged) -> Result<String, serde_json::Error> {
        let farm = judged.farm.as_ref().map(FarmName::key);
        let (kind, directory) = (self.kind(), judged.directory.key());
        let text = match self {
            Self::Deploy(manifest) | Self::Update(_, manifest) => serde_json::to_vec(&(kind, plan, manifest)),
            Self::AddHost(_, body) | Self::RemoveHost(_, body) => {
                serde_json::to_vec(&(kind, plan, farm, directory, body))
            }
            Self::Decommission(_, body) => serde_json::to_vec(&(kind, plan, farm, directory, body)),
            Self::Replace(_, body) => serde_json::to_vec(&(kind, plan, farm, directory, body)),
            Self::Import(_, body) => serde_json::to_vec(&(kind, plan, farm, directory, body)),
            Self::Inspect(_) => serde_json::to_vec(&(kind, plan, farm, directory)),
            Self::RotationCheck(body) => serde_json::to_vec(&(kind, plan, farm, directory, body.every_dc)),
            Self::DriftCheck(body) => serde_json::to_vec(&(kind, plan, farm, directory, body.full)),
            Self::Compromise(body) => serde_json::to_vec(&(kind, plan, directory, body)),
            Self::QuarantineRelease(body) => {
                serde_json::to_vec(&(kind, plan, directory, &body.host, &body.force))
            }
            Self::QuarantineCheck(_) => serde_json::to_vec(&(kind, plan, directory)),
        };
        Ok(hex::encode(Sha256::digest(text?)))
    }
}

impl From<InspectBody> for Request {
    fn from(body: InspectBody) -> Self {
        Self::Inspect(FarmRef { name: body.farm, directory: body.directory })
    }
}

/// What a message says of the directory in its body and beside it.
fn same_directory(in_body: Option<String>, beside: Option<String>) -> Result<Option<String>, Refusal> {
    match (&in_body, &beside) {
        (Some(body), Some(other)) if !body.eq_ignore_ascii_case(other) => {
            let message = format!("the body names the directory {body}, the message {other}");
            Err(judge::invalid(vec![Violation::new("directory", "same", message)]).into())
        }
        _ => Ok(in_body.or(beside)),
    }
}

/// A body in JSON; none at all is an empty one.
pub(crate) fn body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let bytes = if bytes.iter().all(u8::is_ascii_whitespace) { b"{}" } else { bytes };
    form::parse_json(bytes).map_err(|violation| malformed(ErrorCode::InvalidRequest, "body", violation))
}

fn manifest(bytes: &[u8]) -> Result<FarmManifest, Refusal> {
    form::parse_json(bytes).map_err(|violation| malformed(ErrorCode::InvalidManifest, "manifest", violation))
}

/// `what` cannot be read at one place.
pub(crate) fn malformed(code: ErrorCode, what: &str, violation: Violation) -> Refusal {
    let message = format!("the {what} is not understood at {}: {}", violation.field, violation.message);
    let hint = format!("correct the {what} and send it again; nothing was written");
    Problem::new(code, message, hint).with_violations(vec![violation]).into()
}

/// Where requests are judged and recorded.
#[derive(Clone)]
pub(crate) struct Requests {
    pub store: Store,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    /// The configured directories.
    pub directories: Vec<DirectoryName>,
    /// How long an account stays disabled where the request does not say.
    pub cool_down: Duration,
    pub rotation: RotationPolicy,
    /// How long after the last full check every farm is compared anyway.
    pub drift_full_every: Duration,
}

impl Requests {
    /// Judges the request and records its workflow with its event, in one transaction.
    ///
    /// A key that was used before is answered before the farm is looked at: a decommission that is
    /// asked for once more is the same workflow, not a farm that is gone.
    pub(crate) async fn submit(
        &self,
        request: &Request,
        ask: Ask,
        by: &Principal,
    ) -> Result<Accepted, RequestError> {
        require_any(by, request.roles())?;
        let reason_given = ask.reason.as_deref();
        let judged = judge::judge(request, reason_given, &self.directories, &self.defaults())?;
        let key = self.key(request, &ask, &judged, by)?;
        let reason = reason(request.reason().cloned().or(ask.reason))?;
        let earlier = match &key {
            Some(key) => self.store.submitted(key).await?,
            None => None,
        };
        let submitted = match earlier {
            Some(earlier) => earlier,
            None => {
                let mut new = self.new_workflow(request, judged, by).await?;
                new.mode = if ask.plan { Mode::Plan } else { Mode::Apply };
                new.reason = reason;
                new.traceparent = new.traceparent.or(ask.traceparent);
                // A dry run asks what would happen; it puts no farm on record.
                new.farm_spec = new.farm_spec.filter(|_| !ask.plan);
                self.store.submit(new, key).await?
            }
        };
        match submitted {
            Submitted::New(workflow) => Ok(Accepted { workflow, replayed: false }),
            Submitted::Replayed(workflow) => Ok(Accepted { workflow, replayed: true }),
            Submitted::Conflict(id) => Err(key_conflict(id).into()),
        }
    }

    /// The workflow that the request would be now: judged like any other, and not recorded.
    pub(crate) async fn draft(
        &self,
        request: &Request,
        plan: bool,
        by: &Principal,
    ) -> Result<NewWorkflow, RequestError> {
        require_any(by, request.roles())?;
        let judged = judge::judge(request, None, &self.directories, &self.defaults())?;
        let mut new = self.new_workflow(request, judged, by).await?;
        new.mode = if plan { Mode::Plan } else { Mode::Apply };
        new.farm_spec = new.farm_spec.filter(|_| !plan);
        Ok(new)
    }

    fn defaults(&self) -> judge::Defaults {
        judge::Defaults {
            cool_down: self.cool_down,
            rotation: self.rotation,
            drift_full_every: self.drift_full_every,
        }
    }

    fn key(
        &self,
        request: &Request,
        ask: &Ask,
        judged: &Judged,
        by: &Principal,
    ) -> Result<Option<IdempotencyKey>, RequestError> {
        let Some(key) = &ask.idempotency_key else { return Ok(None) };
        if !(1..=MAX_KEY).contains(&key.len()) || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(bad_key().into());
        }
        let request_hash = request.hash(ask.plan, judged)?;
        Ok(Some(IdempotencyKey { principal: by.name.clone(), key: key.clone(), request_hash }))
    }

    async fn new_workflow(
        &self,
        request: &Request,
        judged: Judged,
        by: &Principal,
    ) -> Result<NewWorkflow, RequestError> {
        let Judged { directory, farm, work } = judged;
        let record = match (&work, &farm) {
            (Work::Release { host, .. }, _) => {
                let open = self.store.quarantined(&directory).await?;
                Record::Quarantine(Box::new(quarantine_of(open, host, &directory)?))
            }
            (Work::Deploy(_) | Work::Import(_), _) | (_, None) => Record::None,
            (work, Some(name)) => {
                let farm = self.store.farm(&directory, name).await?;
                let farm = refusal::on_record(farm, name, &directory)?;
                let farm = if matches!(work, Work::Inspect(_)) { farm } else { refusal::deployed(farm)? };
                Record::Farm(Box::new(farm))
            }
        };
        let work = match work {
            Work::Compromise(mut request) => {
                request.farms = compromise::on_record(&self.store, &directory, request.farms).await?;
                Work::Compromise(request)
            }
            other => other,
        };
        // As it is on record, whatever the case it was asked in.
        let farm = record.farm().map(|farm| farm.name.clone()).or(farm);
        let now = self.clock.now();
        let new = NewWorkflow {
            id: WorkflowId::new(now, self.rng.as_ref()),
            kind: request.kind(),
            directory,
            farm,
            hosts: Vec::new(),
            lane: request.lane(),
            mode: Mode::Apply,
            requested_by: by.name.clone(),
            reason: None,
            input: serde_json::Value::Null,
            traceparent: messages::trace::current(),
            parent: None,
            farm_spec: None,
            now,
        };
        Ok(with_work(new, work, &record)?)
    }
}

/// What is on record of the thing that a request is about.
enum Record {
    None,
    Farm(Box<Farm>),
    Quarantine(Box<Quarantined>),
}

impl Record {
    fn farm(&self) -> Option<&Farm> {
        match self {
            Self::Farm(farm) => Some(farm),
            Self::None | Self::Quarantine(_) => None,
        }
    }
}

/// The workflow with what its runbook works from.
fn with_work(mut new: NewWorkflow, work: Work, record: &Record) -> Result<NewWorkflow, serde_json::Error> {
    let names = |hosts: &[domain::PrincipalRef]| hosts.iter().map(ToString::to_string).collect();
    new.input = match &work {
        Work::Deploy(spec) => {
            new.farm_spec = Some(spec.clone());
            new.hosts = names(&spec.hosts);
            serde_json::to_value(spec)?
        }
        Work::Update(spec) => {
            new.hosts = names(&spec.hosts);
            serde_json::to_value(spec)?
        }
        Work::AddHost(request) | Work::RemoveHost(request) => {
            new.hosts = names(&request.hosts);
            serde_json::to_value(request)?
        }
        Work::Decommission(request) => serde_json::to_value(request)?,
        Work::Replace { new_account, interval, cool_down_seconds } => {
            let recorded = record.farm().and_then(|farm| farm.recorded.as_ref());
            let replace = recorded.map(|facts| ReplaceRequest {
                account_sid: facts.account_sid.clone(),
                new_account: new_account.clone(),
                managed_password_interval_in_days: *interval,
                cool_down_seconds: *cool_down_seconds,
            });
            serde_json::to_value(replace)?
        }
        Work::Import(request) => serde_json::to_value(request)?,
        Work::Inspect(request) => serde_json::to_value(request)?,
        Work::RotationCheck(request) => serde_json::to_value(request)?,
        Work::DriftCheck(request) => serde_json::to_value(request)?,
        Work::Compromise(request) => {
            new.hosts = vec![request.host.to_string()];
            serde_json::to_value(request)?
        }
        Work::RootKey(request) => serde_json::to_value(request)?,
        Work::Release { force, .. } => {
            let Record::Quarantine(quarantined) = record else { return Ok(new) };
            new.hosts = vec![quarantined.host_name.clone()];
            let (host_sid, force) = (quarantined.host_sid.clone(), force.clone());
            serde_json::to_value(QuarantineReleaseRequest { host_sid, force })?
        }
        Work::QuarantineCheck(request) => serde_json::to_value(request)?,
    };
    Ok(new)
}

/// A reason is shown beside the workflow for ever; keep it a sentence.
pub(crate) fn reason(given: Option<String>) -> Result<Option<String>, Refusal> {
    let length = given.as_ref().map_or(0, |text| text.chars().count());
    if length > MAX_REASON {
        let message = format!("the reason has {length} characters, at most {MAX_REASON} are kept");
        let hint = "shorten it, or link to a ticket";
        return Err(Problem::new(ErrorCode::InvalidRequest, message, hint).into());
    }
    Ok(given.filter(|text| !text.trim().is_empty()))
}

fn bad_key() -> Refusal {
    let message = format!("the Idempotency-Key is not 1 to {MAX_KEY} visible ASCII characters");
    let hint = "use a fresh UUID for each new request, and the same one when you repeat it";
    Problem::new(ErrorCode::InvalidRequest, message, hint).into()
}

fn key_conflict(id: WorkflowId) -> Refusal {
    let problem = Problem::new(
        ErrorCode::IdempotencyConflict,
        format!("the Idempotency-Key was used before, for another request, which became workflow {id}"),
        "use a new key for a new request; to repeat the earlier one send exactly what was sent then",
    );
    Refusal { problem, kind: RefusalKind::Conflict }
}

impl FarmRef {
    /// A farm whose name and directory were parsed already, e.g. out of a path.
    pub(crate) fn of(name: &FarmName, directory: Option<&DirectoryName>) -> Self {
        Self { name: name.to_string(), directory: directory.map(ToString::to_string) }
    }
}
