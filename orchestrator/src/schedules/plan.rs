//! From a schedule whose time has come to what is recorded of it.

use chrono::{DateTime, SecondsFormat, Utc};
use domain::WorkflowId;
use domain::schedule::{Due, FireOutcome, FireReason, Standing, Verdict};
use futures::stream::{self, StreamExt, TryStreamExt};
use store::{DueSchedule, NewWorkflow, PlannedFire, PlannedRound, QueuedFire, Schedule, StoreError};

use super::{PRINCIPAL, Schedules, ended_because, request};
use crate::requests::Agent;

/// Due times that one transaction records, so that memory stays flat however many have come.
const BUDGET: usize = 1_000;
/// Schedules planned side by side; each reads the database a few times.
const SIDE_BY_SIDE: usize = 4;

impl Schedules {
    /// For [`store::Store::fire_due`].
    pub(super) async fn plan(
        &self,
        due: Vec<DueSchedule>,
        now: DateTime<Utc>,
    ) -> Result<Vec<PlannedRound>, StoreError> {
        let each = (BUDGET / due.len().max(1)).max(1);
        let rounds = stream::iter(due).map(|due| self.plan_one(due, now, each));
        rounds.buffered(SIDE_BY_SIDE).try_collect().await
    }

    async fn plan_one(
        &self,
        DueSchedule { schedule, running }: DueSchedule,
        now: DateTime<Utc>,
        limit: usize,
    ) -> Result<PlannedRound, StoreError> {
        let id = schedule.id;
        let standing = Standing { running, queued: schedule.queued, pause: schedule.last_pause };
        // The database has no row that is due without one.
        let next = schedule.next_due.unwrap_or(now);
        let round = schedule.spec.round(id, next, standing, now, limit);
        let mut asked = None;
        if round.due.iter().any(|due| due.verdict == Verdict::Run) {
            asked = Some(self.ask(&schedule).await?);
        }
        let fires = round.due.iter().map(|due| self.planned(&schedule, due, asked.as_ref(), now)).collect();
        Ok(PlannedRound {
            schedule: id,
            revision: schedule.revision,
            owner: schedule.owner.clone(),
            fires,
            next: round.next.map(|due| (due, schedule.spec.timing.moment(id, due))),
            ended_because: round.next.is_none().then(|| ended_because(&schedule.spec)),
        })
    }

    /// For [`store::Store::release_queued`]: those whose turn has come.
    pub(super) async fn run_queued(
        &self,
        queued: Vec<QueuedFire>,
        now: DateTime<Utc>,
    ) -> Result<Vec<PlannedFire>, StoreError> {
        let mut fires = Vec::with_capacity(queued.len());
        for QueuedFire { schedule, due } in queued {
            let asked = self.ask(&schedule).await?;
            let due = Due { at: due, moment: due, verdict: Verdict::Run };
            fires.push(self.planned(&schedule, &due, Some(&asked), now));
        }
        Ok(fires)
    }

    /// The workflow that it asks for, or why it may not or cannot. An error leaves the due time.
    async fn ask(&self, schedule: &Schedule) -> Result<Result<NewWorkflow, String>, StoreError> {
        let by = Agent {
            name: format!("{PRINCIPAL}{}", schedule.spec.name),
            owner: &schedule.owner,
            owner_roles: &schedule.owner_roles,
        };
        let asked = self.requests.draft_for(request(&schedule.spec), schedule.spec.plan, &by).await?;
        Ok(asked.map_err(|problem| format!("{}: {}; {}", problem.code, problem.message, problem.hint)))
    }

    fn planned(
        &self,
        schedule: &Schedule,
        due: &Due,
        asked: Option<&Result<NewWorkflow, String>>,
        now: DateTime<Utc>,
    ) -> PlannedFire {
        let (outcome, reason, detail, workflow) = match (due.verdict, asked) {
            (Verdict::Run, Some(Ok(new))) => {
                (FireOutcome::Fired, None, None, Some(self.workflow(schedule, due.at, new, now)))
            }
            (Verdict::Run, refused) => {
                let why = refused.and_then(|asked| asked.as_ref().err()).cloned();
                (FireOutcome::Missed, Some(FireReason::Refused), why, None)
            }
            (Verdict::Queue, _) => (FireOutcome::Queued, None, None, None),
            (Verdict::Skip(reason), _) => {
                (FireOutcome::Skipped, Some(reason), detail(schedule, due, reason, now), None)
            }
            (Verdict::Miss(reason), _) => {
                (FireOutcome::Missed, Some(reason), detail(schedule, due, reason, now), None)
            }
        };
        PlannedFire { due: due.at, outcome, reason, detail, workflow }
    }

    fn workflow(
        &self,
        schedule: &Schedule,
        due: DateTime<Utc>,
        drafted: &NewWorkflow,
        now: DateTime<Utc>,
    ) -> NewWorkflow {
        let id = WorkflowId::new(now, self.requests.rng.as_ref());
        let said = || format!("schedule {}, due {}", schedule.spec.name, shown(due));
        let reason = Some(schedule.spec.reason.clone().unwrap_or_else(said));
        NewWorkflow { id, reason, now, ..drafted.clone() }
    }
}

fn shown(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// For people, beside the reason that programs read.
fn detail(schedule: &Schedule, due: &Due, reason: FireReason, now: DateTime<Utc>) -> Option<String> {
    let late = (now - due.moment).to_std().unwrap_or_default();
    let late = humantime::format_duration(std::time::Duration::from_secs(late.as_secs()));
    let allowed = humantime::format_duration(schedule.spec.lateness);
    match reason {
        FireReason::Late => Some(format!("{late} late; the allowance is {allowed}")),
        FireReason::Superseded => {
            Some(format!("{late} late; a later due time has come as well and runs in its place"))
        }
        FireReason::Overlap => Some(match schedule.last_workflow {
            Some(id) => format!("a run before it has not ended; the last one on record is workflow {id}"),
            None => "a run before it has not ended".to_owned(),
        }),
        FireReason::QueueFull => Some(format!("{} due times are in line already", schedule.queued)),
        FireReason::Paused => {
            let paused = schedule.paused.as_ref()?;
            let why = paused.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            Some(format!("paused by {}{why}", paused.by))
        }
        FireReason::Refused | FireReason::Deleted => None,
    }
}
