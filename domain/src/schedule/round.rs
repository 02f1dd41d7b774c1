//! What becomes of the due times that have come.

use chrono::{DateTime, Utc};

use super::{FireReason, Misfire, Overlap, ScheduleSpec};
use crate::ScheduleId;

/// More than that waiting in line is no plan any more.
const MAX_QUEUED: u64 = 1_000;

/// How a schedule stands when its due times are looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The last workflow that it asked for has not ended.
    pub running: bool,
    /// Due times that wait for the end of the runs before them.
    pub queued: u64,
    /// Due times within are passed over.
    pub pause: Option<Pause>,
}

/// The last pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    pub from: DateTime<Utc>,
    /// `None`: it goes on.
    pub until: Option<DateTime<Utc>>,
}

/// A due time with what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// As the schedule says; its name for ever.
    pub at: DateTime<Utc>,
    /// With its jitter.
    pub moment: DateTime<Utc>,
    pub verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Run,
    Queue,
    Skip(FireReason),
    Miss(FireReason),
}

/// The due times that have come, in order, at most as many as were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    pub due: Vec<Due>,
    /// The one after them, which may have come as well; `None`: there is none.
    pub next: Option<DateTime<Utc>>,
}

impl Pause {
    fn covers(&self, moment: DateTime<Utc>) -> bool {
        self.from <= moment && self.until.is_none_or(|until| moment < until)
    }
}

impl ScheduleSpec {
    /// What becomes of `next` and those after it that have come by `now`; at most `limit` of them.
    pub fn round(
        &self,
        id: ScheduleId,
        next: DateTime<Utc>,
        mut standing: Standing,
        now: DateTime<Utc>,
        limit: usize,
    ) -> Round {
        let mut due = Vec::new();
        let mut next = Some(next);
        while let Some(at) = next.filter(|at| due.len() < limit && self.timing.moment(id, *at) <= now) {
            let moment = self.timing.moment(id, at);
            next = self.timing.next_after(at);
            let another = next.is_some_and(|next| self.timing.moment(id, next) <= now);
            let verdict = self.verdict(moment, another, &mut standing, now);
            due.push(Due { at, moment, verdict });
        }
        Round { due, next }
    }

    /// `another`: a later due time has come as well.
    fn verdict(
        &self,
        moment: DateTime<Utc>,
        another: bool,
        standing: &mut Standing,
        now: DateTime<Utc>,
    ) -> Verdict {
        if standing.pause.is_some_and(|pause| pause.covers(moment)) {
            return Verdict::Skip(FireReason::Paused);
        }
        if (now - moment).to_std().is_ok_and(|late| late > self.lateness) {
            match self.misfire {
                Misfire::Skip => return Verdict::Miss(FireReason::Late),
                Misfire::RunOnce if another => return Verdict::Miss(FireReason::Superseded),
                Misfire::RunOnce | Misfire::RunAll => {}
            }
        }
        match self.overlap {
            Overlap::Allow => Verdict::Run,
            // Those in line come first.
            _ if !standing.running && standing.queued == 0 => {
                standing.running = true;
                Verdict::Run
            }
            Overlap::Skip => Verdict::Skip(FireReason::Overlap),
            Overlap::Queue if standing.queued >= MAX_QUEUED => Verdict::Skip(FireReason::QueueFull),
            Overlap::Queue => {
                standing.queued += 1;
                Verdict::Queue
            }
        }
    }
}

#[cfg(test)]
#[path = "round_tests.rs"]
mod tests;
