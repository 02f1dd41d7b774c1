//! From a request as it was written to one that can be carried out: every rule that needs no
//! database, all violations at once.

use std::collections::HashSet;
use std::time::Duration;

use domain::name::NameError;
use domain::request::{
    CompromiseRequest, DecommissionRequest, DriftCheckRequest, HostsRequest, ImportRequest, InspectRequest,
    KdsRootKeyRecoveryRequest, QuarantineCheckRequest, RotationCheckRequest,
};
use domain::{
    AccountName, DirectoryName, ErrorCode, FarmManifest, FarmName, FarmSpec, ManagedPasswordInterval,
    PrincipalRef, Problem, Violation,
};

use super::bodies::{
    DecommissionBody, DriftCheckBody, HostsBody, ImportBody, ReplaceBody, RotationCheckBody,
};
use super::{FarmRef, Request, compromise};
use crate::options::RotationPolicy;

/// More hosts than a farm has; the limit keeps one request within a body and a transaction.
pub(crate) const MAX_HOSTS: usize = 10_000;
/// An account that stays disabled for longer was forgotten.
const MAX_COOL_DOWN: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Of ten thousand broken host names nobody reads all.
const MAX_SHOWN: usize = 100;
const MAX_TOLD: usize = 5;

/// A request whose content is right, as far as can be told without the record.
#[derive(Debug)]
pub(super) struct Judged {
    pub directory: DirectoryName,
    /// `None` where the work is about the whole directory.
    pub farm: Option<FarmName>,
    pub work: Work,
}

#[derive(Debug)]
pub(super) enum Work {
    Deploy(FarmSpec),
    Update(FarmSpec),
    AddHost(HostsRequest),
    RemoveHost(HostsRequest),
    Decommission(DecommissionRequest),
    /// Becomes a [`domain::request::ReplaceRequest`] with the account that is on record.
    Replace {
        new_account: Option<AccountName>,
        interval: Option<ManagedPasswordInterval>,
        cool_down_seconds: u64,
    },
    Import(ImportRequest),
    Inspect(InspectRequest),
    RotationCheck(RotationCheckRequest),
    DriftCheck(DriftCheckRequest),
    Compromise(CompromiseRequest),
    RootKey(KdsRootKeyRecoveryRequest),
    /// Becomes a [`domain::request::QuarantineReleaseRequest`] with the quarantine that is on record.
    Release {
        host: PrincipalRef,
        force: Option<String>,
    },
    QuarantineCheck(QuarantineCheckRequest),
}

/// What requests leave out.
pub(super) struct Defaults {
    pub cool_down: Duration,
    pub rotation: RotationPolicy,
    pub drift_full_every: Duration,
}

/// Collects what is wrong while the rest goes on being looked at.
#[derive(Default)]
pub(super) struct Findings(Vec<Violation>);

impl Findings {
    pub(super) fn add(&mut self, field: &str, rule: &str, message: impl Into<String>) {
        self.0.push(Violation::new(field, rule, message));
    }

    pub(super) fn name<T>(&mut self, field: &str, parsed: Result<T, NameError>) -> Option<T> {
        parsed.map_err(|error| self.add(field, error.rule, error.message)).ok()
    }

    fn principal(&mut self, field: &str, text: Option<&String>) -> Option<PrincipalRef> {
        self.name(field, PrincipalRef::parse(text?))
    }

    fn hosts(&mut self, body: &HostsBody) -> HostsRequest {
        let count = body.hosts.len();
        if !(1..=MAX_HOSTS).contains(&count) {
            let message = format!("1 to {MAX_HOSTS} hosts in one request, these are {count}");
            self.add("hosts", "length", message);
        }
        let (mut seen, mut hosts) = (HashSet::new(), Vec::new());
        for (at, text) in body.hosts.iter().take(MAX_HOSTS).enumerate() {
            let field = format!("hosts[{at}]");
            let Some(host) = self.name(&field, PrincipalRef::parse(text)) else { continue };
            if !seen.insert(host.key()) {
                self.add(&field, "duplicate", format!("{text} is listed twice"));
            }
            hosts.push(host);
        }
        HostsRequest { hosts }
    }

    pub(super) fn cool_down(&mut self, text: Option<&String>, default: Duration) -> u64 {
        let Some(text) = text else { return default.as_secs() };
        match humantime::parse_duration(text) {
            Ok(cool_down) if cool_down <= MAX_COOL_DOWN => cool_down.as_secs(),
            Ok(_) => {
                self.add("coolDown", "range", format!("at most 365 days, this is {text}"));
                0
            }
            Err(error) => {
                let message = format!("a duration like 7d or 12h, this is {text:?}: {error}");
                self.add("coolDown", "duration", message);
                0
            }
        }
    }

    fn interval(&mut self, days: Option<i64>) -> Option<ManagedPasswordInterval> {
        let parsed = ManagedPasswordInterval::from_days(days?);
        parsed.map_err(|e| self.add("managedPasswordIntervalInDays", "range", e.to_string())).ok()
    }

    fn farm(&mut self, farm: &FarmRef) -> Option<(FarmName, DirectoryName)> {
        let name = self.name("farm", FarmName::parse(&farm.name));
        let directory = self.directory(farm.directory.as_ref());
        Some((name?, directory?))
    }

    fn directory(&mut self, text: Option<&String>) -> Option<DirectoryName> {
        match text {
            Some(text) => self.name("directory", DirectoryName::parse(text)),
            None => Some(DirectoryName::default()),
        }
    }
}

/// The judged request, or everything that is wrong with it. `reason`: what was said beside its body.
pub(super) fn judge(
    request: &Request,
    reason: Option<&str>,
    known: &[DirectoryName],
    defaults: &Defaults,
) -> Result<Judged, Problem> {
    let cool_down = defaults.cool_down;
    let judged = match request {
        Request::Deploy(manifest) => of_manifest(manifest, None, Work::Deploy)?,
        Request::Update(farm, manifest) => of_manifest(manifest, farm.as_ref(), Work::Update)?,
        Request::AddHost(farm, body) => of_farm(farm, |findings| Work::AddHost(findings.hosts(body)))?,
        Request::RemoveHost(farm, body) => of_farm(farm, |findings| Work::RemoveHost(findings.hosts(body)))?,
        Request::Decommission(farm, DecommissionBody { cool_down: text }) => of_farm(farm, |findings| {
            let cool_down_seconds = findings.cool_down(text.as_ref(), cool_down);
            Work::Decommission(DecommissionRequest { cool_down_seconds })
        })?,
        Request::Replace(farm, body) => of_farm(farm, |findings| replace(findings, body, cool_down))?,
        Request::Import(farm, ImportBody { account, group }) => of_farm(farm, |findings| {
            let account = findings.principal("account", account.as_ref());
            Work::Import(ImportRequest { account, group: findings.principal("group", group.as_ref()) })
        })?,
        Request::Inspect(farm) => of_farm(farm, |_| Work::Inspect(InspectRequest {}))?,
        Request::RotationCheck(body) => rotation_check(body, defaults.rotation)?,
        Request::DriftCheck(body) => drift_check(body, defaults.drift_full_every)?,
        Request::Compromise(body) => {
            of_directory(body.directory.as_ref(), |findings| compromise::work(findings, body, cool_down))?
        }
        Request::QuarantineRelease(body) => {
            of_directory(body.directory.as_ref(), |findings| compromise::release(findings, body, reason))?
        }
        Request::QuarantineCheck(body) => {
            of_directory(body.directory.as_ref(), |_| Some(Work::QuarantineCheck(QuarantineCheckRequest {})))?
        }
    };
    let field = match request {
        Request::Deploy(_) | Request::Update(..) => "spec.directory",
        _ => "directory",
    };
    known_directory(judged, known, field)
}

fn replace(findings: &mut Findings, body: &ReplaceBody, cool_down: Duration) -> Work {
    let name = body.new_account.as_ref();
    Work::Replace {
        new_account: name.and_then(|text| findings.name("newAccount", AccountName::parse(text))),
        interval: findings.interval(body.managed_password_interval_in_days),
        cool_down_seconds: findings.cool_down(body.cool_down.as_ref(), cool_down),
    }
}

/// Of one farm's account, or of every gMSA of the directory.
fn rotation_check(body: &RotationCheckBody, policy: RotationPolicy) -> Result<Judged, Problem> {
    let work = Work::RotationCheck(RotationCheckRequest {
        every_dc: body.every_dc,
        max_interval_days: policy.max_interval_days,
        keep_days: policy.keep_days,
    });
    if let Some(name) = &body.farm {
        let farm = FarmRef { name: name.clone(), directory: body.directory.clone() };
        return of_farm(&farm, |_| work);
    }
    of_directory(body.directory.as_ref(), |_| Some(work))
}

/// Of one farm, or of every deployed one of the directory.
fn drift_check(body: &DriftCheckBody, full_every: Duration) -> Result<Judged, Problem> {
    let full_every_seconds = full_every.as_secs();
    let work = Work::DriftCheck(DriftCheckRequest { full: body.full, full_every_seconds });
    if let Some(name) = &body.farm {
        let farm = FarmRef { name: name.clone(), directory: body.directory.clone() };
        return of_farm(&farm, |_| work);
    }
    of_directory(body.directory.as_ref(), |_| Some(work))
}

/// `work` is `None` where it found something wrong.
fn of_directory(
    directory: Option<&String>,
    work: impl FnOnce(&mut Findings) -> Option<Work>,
) -> Result<Judged, Problem> {
    let mut findings = Findings::default();
    let directory = findings.directory(directory);
    match (directory, work(&mut findings)) {
        (Some(directory), Some(work)) if findings.0.is_empty() => Ok(Judged { directory, farm: None, work }),
        _ => Err(invalid(findings.0)),
    }
}

fn of_farm(farm: &FarmRef, work: impl FnOnce(&mut Findings) -> Work) -> Result<Judged, Problem> {
    let mut findings = Findings::default();
    let named = findings.farm(farm);
    let work = work(&mut findings);
    match named {
        Some((farm, directory)) if findings.0.is_empty() => Ok(Judged { directory, farm: Some(farm), work }),
        _ => Err(invalid(findings.0)),
    }
}

/// `farm`: how the request names the farm beside the manifest, which must say the same.
fn of_manifest(
    manifest: &FarmManifest,
    farm: Option<&FarmRef>,
    work: impl FnOnce(FarmSpec) -> Work,
) -> Result<Judged, Problem> {
    let spec = manifest.validate()?;
    let mut findings = Findings::default();
    if let Some(farm) = farm {
        if !spec.name.as_str().eq_ignore_ascii_case(&farm.name) {
            let message = format!("the request is about {}, the manifest describes {}", farm.name, spec.name);
            findings.add("metadata.name", "same", message);
        }
        let other = |text: &&String| !spec.directory.as_str().eq_ignore_ascii_case(text);
        if let Some(text) = farm.directory.as_ref().filter(other) {
            let message = format!("the request names the directory {text}, the manifest {}", spec.directory);
            findings.add("spec.directory", "same", message);
        }
    }
    if findings.0.is_empty() {
        Ok(Judged { directory: spec.directory.clone(), farm: Some(spec.name.clone()), work: work(spec) })
    } else {
        Err(Problem { code: ErrorCode::InvalidManifest, ..invalid(findings.0) })
    }
}

fn known_directory(judged: Judged, known: &[DirectoryName], field: &str) -> Result<Judged, Problem> {
    if known.contains(&judged.directory) {
        return Ok(judged);
    }
    let directory = &judged.directory;
    let names: Vec<_> = known.iter().map(DirectoryName::as_str).collect();
    let message = format!("the directory {directory} is not configured");
    let hint = format!(
        "set {field} to one of: {}; or describe it under [directories.{directory}] in farmhand.toml",
        names.join(", "),
    );
    let problem = Problem::new(ErrorCode::DirectoryUnknown, message.clone(), hint);
    Err(problem.with_violations(vec![Violation::new(field, "known", message)]))
}

pub(crate) fn invalid(mut violations: Vec<Violation>) -> Problem {
    let count = violations.len();
    let mut told: Vec<_> =
        violations.iter().take(MAX_TOLD).map(|v| format!("{}: {}", v.field, v.message)).collect();
    if count > MAX_TOLD {
        told.push(format!("and {} more", count - MAX_TOLD));
    }
    violations.truncate(MAX_SHOWN);
    Problem::new(
        ErrorCode::InvalidRequest,
        format!("the request breaks {count} rule(s): {}", told.join("; ")),
        "correct the named fields and send the request again; nothing was written",
    )
    .with_violations(violations)
}
