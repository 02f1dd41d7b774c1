//! Schedules: made and changed here, fired by [`scheduler`].
//!
//! A schedule's request is judged like anybody's (`requests/`): when it is made, so that one which
//! could never work is refused, and again with each run, since farms and roles change.

mod plan;
pub(crate) mod scheduler;

use chrono::{DateTime, Utc};
use domain::schedule::{Pause, ScheduleManifest, ScheduleSpec, ScheduleState};
use domain::{ErrorCode, Principal, Problem, Role, ScheduleId, ScheduleName, Violation};
use store::{NewWorkflow, Paused, Schedule, Store};

use crate::requests::{self, Refusal, RefusalKind, Request, RequestError, Requests, require};

/// Workflows of a schedule are asked for in its name.
pub(crate) const PRINCIPAL: &str = "schedule:";

#[derive(Clone)]
pub(crate) struct Schedules {
    pub(crate) requests: Requests,
}

impl Schedules {
    fn store(&self) -> &Store {
        &self.requests.store
    }

    fn now(&self) -> DateTime<Utc> {
        self.requests.clock.now()
    }

    /// Puts a schedule on record, enabled.
    pub(crate) async fn create(
        &self,
        manifest: &ScheduleManifest,
        by: &Principal,
    ) -> Result<Schedule, RequestError> {
        let now = self.now();
        let spec = self.judge(manifest, by).await?;
        let mut schedule = Schedule {
            id: ScheduleId::new(now, self.requests.rng.as_ref()),
            spec,
            state: ScheduleState::Enabled,
            next_due: None,
            fire_at: None,
            ended_because: None,
            last_due: None,
            last_workflow: None,
            queued: 0,
            paused: None,
            last_pause: None,
            owner: by.name.clone(),
            owner_roles: by.roles.clone(),
            created_by: by.name.clone(),
            created_at: now,
            updated_at: now,
            revision: 1,
        };
        due_from_now_on(&mut schedule, now);
        if self.store().create_schedule(&schedule).await? {
            tracing::info!(schedule = %schedule.spec.name, by = by.name, "a schedule was made");
            return Ok(schedule);
        }
        let name = &schedule.spec.name;
        let problem = Problem::new(
            ErrorCode::AlreadyExists,
            format!("there is a schedule {name} already"),
            format!("choose another name, or change it with `farmhand schedule update {name}`"),
        );
        Err(Refusal { problem, kind: RefusalKind::Conflict }.into())
    }

    /// Puts another definition in a schedule's place; from now on it is the caller's.
    pub(crate) async fn replace(
        &self,
        name: &ScheduleName,
        manifest: &ScheduleManifest,
        by: &Principal,
    ) -> Result<Schedule, RequestError> {
        let spec = self.judge(manifest, by).await?;
        if spec.name != *name {
            let message = format!("the path names the schedule {name}, the body {}", spec.name);
            return Err(
                Refusal::from(requests::violated(vec![Violation::new("name", "same", message)])).into()
            );
        }
        self.change(name, |schedule, now| {
            let same_times = schedule.spec.timing == spec.timing && schedule.state != ScheduleState::Ended;
            schedule.spec = spec.clone();
            schedule.owner.clone_from(&by.name);
            schedule.owner_roles.clone_from(&by.roles);
            if !same_times {
                due_from_now_on(schedule, now);
            }
        })
        .await
    }

    /// Its due times are passed over until it is resumed.
    pub(crate) async fn pause(
        &self,
        name: &ScheduleName,
        reason: Option<String>,
        by: &Principal,
    ) -> Result<Schedule, RequestError> {
        let reason = requests::reason(reason)?;
        self.change(name, |schedule, now| {
            if schedule.state == ScheduleState::Enabled {
                schedule.state = ScheduleState::Paused;
                schedule.paused = Some(Paused { at: now, by: by.name.clone(), reason: reason.clone() });
                schedule.last_pause = Some(Pause { from: now, until: None });
            }
        })
        .await
    }

    /// Due times from now on are fired again; those of the pause are not made up for.
    pub(crate) async fn resume(&self, name: &ScheduleName) -> Result<Schedule, RequestError> {
        self.change(name, |schedule, now| {
            if schedule.state == ScheduleState::Paused {
                schedule.state = ScheduleState::Enabled;
                schedule.paused = None;
                schedule.last_pause = schedule.last_pause.map(|pause| Pause { until: Some(now), ..pause });
            }
        })
        .await
    }

    pub(crate) async fn find(&self, name: &ScheduleName) -> Result<Schedule, RequestError> {
        let found = self.store().schedule(name).await?;
        found.ok_or_else(|| {
            let problem = Problem::new(
                ErrorCode::NotFound,
                format!("there is no schedule {name}"),
                "`farmhand schedule list` (GET /api/v1/schedules) shows all",
            );
            Refusal { problem, kind: RefusalKind::NotFound }.into()
        })
    }

    /// Reads, changes, writes; again where another was quicker.
    async fn change(
        &self,
        name: &ScheduleName,
        change: impl Fn(&mut Schedule, DateTime<Utc>),
    ) -> Result<Schedule, RequestError> {
        loop {
            let mut schedule = self.find(name).await?;
            let now = self.now();
            change(&mut schedule, now);
            schedule.updated_at = now;
            if self.store().save_schedule(&schedule).await? {
                return Ok(schedule);
            }
        }
    }

    /// The schedule with everything that could be wrong with it looked at, down to the record of the
    /// farm that it is about.
    async fn judge(&self, manifest: &ScheduleManifest, by: &Principal) -> Result<ScheduleSpec, RequestError> {
        let spec = manifest.validate(self.now())?;
        require(by, Role::Operator)?;
        self.draft(&spec, by).await.map_err(|error| requests::placed(error, ""))?;
        Ok(spec)
    }

    /// The workflow that the schedule asks for, if it asked now.
    pub(crate) async fn draft(
        &self,
        spec: &ScheduleSpec,
        by: &Principal,
    ) -> Result<NewWorkflow, RequestError> {
        self.requests.draft(&request(spec)?, spec.plan, by).await
    }
}

/// What the schedule asks for, as a message would.
pub(super) fn request(spec: &ScheduleSpec) -> Result<Request, RequestError> {
    let farm = spec.target.farm.as_ref().map(|farm| farm.as_str());
    let directory = spec.target.directory.as_ref().map(|directory| directory.as_str());
    Request::kept(&spec.kind, farm, directory, &spec.input)
}

/// Sets when it is due next, or that it has ended.
fn due_from_now_on(schedule: &mut Schedule, now: DateTime<Utc>) {
    let timing = &schedule.spec.timing;
    schedule.next_due = timing.next_after(now);
    schedule.fire_at = schedule.next_due.map(|due| timing.moment(schedule.id, due));
    schedule.ended_because = schedule.next_due.is_none().then(|| ended_because(&schedule.spec));
    schedule.state = match (schedule.next_due, &schedule.paused) {
        (None, _) => ScheduleState::Ended,
        (Some(_), Some(_)) => ScheduleState::Paused,
        (Some(_), None) => ScheduleState::Enabled,
    };
}

pub(super) fn ended_because(spec: &ScheduleSpec) -> String {
    match spec.timing.end {
        Some(end) => {
            let end = end.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
            format!("{} has no later due time before its end, {end}", spec.timing.cron)
        }
        None => format!("{} has no later due time", spec.timing.cron),
    }
}
