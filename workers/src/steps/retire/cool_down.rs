//! The account stays disabled for a while before it is deleted, and is watched: until then
//! everything can be put back.
//!
//! A durable timer. What was shown by every DC at the beginning is kept with the step; whoever wakes
//! compares what is shown then.

use std::collections::HashSet;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use directory::DirectoryRead;
use domain::{ErrorCode, Mode, Problem, WaitReason};
use serde::{Deserialize, Serialize};

use super::use_seen::{Sighting, Use, WATCHED, uses};
use super::{WhichAccount, is_disabled};

use crate::steps::everywhere::{Answers, Lag, Look, ask_every_dc, collect, every_dc};
use crate::steps::find_farm::FarmAccount;
use crate::steps::gmsa;
use crate::steps::outputs::{count, list, to_value};
use crate::{PlannedWait, Step, StepContext, StepError, StepPlan, Verified};

/// How often the account is looked at.
const WATCH: TimeDelta = TimeDelta::hours(1);

pub struct CoolDown {
    pub name: &'static str,
    pub account: WhichAccount,
    /// How long; 0: not at all.
    pub seconds: fn(&StepContext) -> Result<u64, StepError>,
}

/// Output. Empty in a dry run and where there was nothing to wait for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CoolDownOutput {
    pub since: Option<DateTime<Utc>>,
    pub until: Option<DateTime<Utc>>,
    /// Uses that a person was shown and passed.
    pub uses: Vec<Use>,
}

/// What is put aside while it waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Watch {
    since: DateTime<Utc>,
    until: DateTime<Utc>,
    /// What is known and no news, in the order in which it was seen.
    baseline: Vec<Sighting>,
    /// What a person was asked about; who resumed has passed it.
    uses: Vec<Use>,
}

pub enum Observed {
    NoAccount,
    NotAsked,
    /// A dry run.
    Later(u64),
    Over(CoolDownOutput),
}

#[async_trait]
impl Step for CoolDown {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        self.name
    }

    async fn check(&self, cx: &StepContext) -> Result<Observed, StepError> {
        let (account, seconds) = ((self.account)(cx)?, (self.seconds)(cx)?);
        let Some(account) = account else { return Ok(Observed::NoAccount) };
        match (seconds, cx.mode) {
            (0, _) => return Ok(Observed::NotAsked),
            (_, Mode::Plan) => return Ok(Observed::Later(seconds)),
            _ => {}
        }
        let now = cx.environment.clock.now();
        match cx.memo::<Watch>()? {
            None => {
                let sight = Sight { account: &account, disabled: true };
                let seen = every_dc(cx, &sight).await?.into_iter().flatten().collect();
                Err(wait(Watch::begin(now, seconds, seen)?, now))
            }
            Some(watch) => {
                let over = now >= watch.until;
                let answers = ask_every_dc(cx, &Sight { account: &account, disabled: false }).await?;
                // On the way a DC may be away; the last word is every DC's.
                let seen = if over { collect(answers)? } else { answering(answers)? };
                let seen: Vec<_> = seen.into_iter().flatten().collect();
                let output = watch.judge(seen)?;
                if over { Ok(Observed::Over(output)) } else { Err(wait(watch, now)) }
            }
        }
    }

    fn plan(&self, _: &StepContext, observed: &Observed) -> Result<StepPlan, StepError> {
        let (detail, output) = match observed {
            Observed::NoAccount => return Ok(StepPlan::skip("there is no account that could cool down")),
            Observed::NotAsked => return Ok(StepPlan::skip("no cool-down was asked for")),
            Observed::Later(seconds) => {
                let time = words(*seconds);
                let detail =
                    format!("it would stay disabled for {time} and be watched; cancelling undoes all");
                (detail, CoolDownOutput::default())
            }
            Observed::Over(output) => {
                let passed = match output.uses.len() {
                    0 => "nothing used the account".to_owned(),
                    uses => format!("a person passed {}", count(uses, "sign") + " of use"),
                };
                (format!("it has been disabled long enough; {passed}"), output.clone())
            }
        };
        Ok(StepPlan::nothing(detail, to_value(&output)?))
    }

    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

/// What a DC shows; `None` where it has no such account (any more).
struct Sight<'a> {
    account: &'a FarmAccount,
    /// Time that counts begins when no DC lets the account log on any more.
    disabled: bool,
}

#[async_trait]
impl Look for Sight<'_> {
    type Seen = Option<Sighting>;

    async fn look(&self, dc: &dyn DirectoryRead) -> Result<Option<Sighting>, Lag> {
        let names = [&["objectClass", "userAccountControl"][..], &WATCHED].concat();
        let found = dc.read(&(&self.account.sid).into(), &names).await?;
        match found.filter(|entry| entry.is_class(gmsa::CLASS)) {
            Some(found) if self.disabled && !is_disabled(&found) => {
                Err(Lag::Behind(format!("{} is still enabled", self.account.dn)))
            }
            found => Ok(found.map(|found| Sighting::of(dc.dc(), &found))),
        }
    }
}

fn answering(answers: Answers<Option<Sighting>>) -> Result<Vec<Option<Sighting>>, StepError> {
    collect(answers.into_iter().filter(|(_, answer)| !matches!(answer, Err(Lag::Away(_)))).collect())
}

impl Watch {
    fn begin(now: DateTime<Utc>, seconds: u64, baseline: Vec<Sighting>) -> Result<Self, StepError> {
        let until = i64::try_from(seconds).ok().and_then(TimeDelta::try_seconds);
        let until = until.and_then(|time| now.checked_add_signed(time)).ok_or_else(|| {
            StepError::fail(
                ErrorCode::InvalidRequest,
                format!("a cool-down of {seconds} s has no end"),
                "ask for a cool-down of days or weeks",
            )
        })?;
        Ok(Self { since: now, until, baseline, uses: Vec::new() })
    }

    /// All is quiet, or a person is to look. What they are shown is known from then on.
    fn judge(&self, seen: Vec<Sighting>) -> Result<CoolDownOutput, StepError> {
        let new = uses(&self.baseline, &seen, self.since);
        if new.is_empty() {
            let (since, until) = (Some(self.since), Some(self.until));
            return Ok(CoolDownOutput { since, until, uses: self.uses.clone() });
        }
        let message = format!("the account that is to be deleted is in use: {}", list(&new));
        let mut known = self.clone();
        known.baseline.extend(seen.into_iter().filter(|sighting| !self.baseline.contains(sighting)));
        known.uses.extend(new);
        Err(PlannedWait {
            reason: WaitReason::Operator,
            until: None,
            problem: Problem::new(
                ErrorCode::AccountInUse,
                message,
                "find out who uses it; cancel the workflow to put everything back, or resume it to pass what was \
                 seen and go on",
            ),
            memo: Some(to_value(&known)?),
        }
        .into())
    }
}

/// Until the next look.
fn wait(watch: Watch, now: DateTime<Utc>) -> StepError {
    let next = watch.until.min(now + WATCH);
    let dcs: HashSet<_> = watch.baseline.iter().map(|sighting| &sighting.dc).collect();
    let message = format!(
        "the account is disabled and cools down until {}; nothing uses it ({} watched)",
        watch.until.to_rfc3339(),
        count(dcs.len(), "DC"),
    );
    let memo = match to_value(&watch) {
        Ok(memo) => memo,
        Err(error) => return error,
    };
    PlannedWait {
        reason: WaitReason::Timer,
        until: Some(next),
        problem: Problem::new(
            ErrorCode::CoolingDown,
            message,
            "nothing to do: it goes on by itself; cancel the workflow to put everything back",
        ),
        memo: Some(memo),
    }
    .into()
}

/// A time span for people.
fn words(seconds: u64) -> String {
    let parts = [(seconds / 86_400, "day"), (seconds / 3_600 % 24, "hour"), (seconds / 60 % 60, "minute")];
    let parts = parts.into_iter().chain([(seconds % 60, "second")]).filter(|(number, _)| *number > 0);
    let parts = parts.map(|(number, unit)| format!("{number} {unit}{}", if number == 1 { "" } else { "s" }));
    parts.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).expect("a valid time")
    }
    fn shown(key: &str) -> Vec<Sighting> {
        let values = [("msDS-ManagedPasswordId".to_owned(), key.to_owned())].into();
        vec![Sighting { dc: "dc1".into(), values }]
    }
    fn planned(error: StepError) -> PlannedWait {
        let StepError::Wait(wait) = error else { panic!("{error:?}") };
        *wait
    }

    #[test]
    fn it_wakes_every_hour_and_at_the_end() {
        let watch = Watch::begin(at(0), 10_000, shown("a")).expect("a watch");
        let until = |now| planned(wait(watch.clone(), now)).until;
        assert_eq!((until(at(0)), until(at(3_600))), (Some(at(3_600)), Some(at(7_200))));
        assert_eq!(until(at(7_200)), Some(at(10_000)));
    }

    #[test]
    fn use_parks_with_what_was_seen_and_is_known_to_whoever_resumes() {
        let watch = Watch::begin(at(0), 10_000, shown("a")).expect("a watch");
        assert_eq!(watch.judge(shown("a")).expect("quiet").uses, []);
        let parked = planned(watch.judge(shown("b")).expect_err("in use"));
        assert_eq!((parked.reason, parked.problem.code), (WaitReason::Operator, ErrorCode::AccountInUse));
        for part in ["msDS-ManagedPasswordId", "from a to b", "dc1"] {
            assert!(parked.problem.message.contains(part), "{}", parked.problem.message);
        }
        let passed: Watch = serde_json::from_value(parked.memo.expect("a memo")).expect("reads back");
        assert_eq!((passed.since, passed.until), (watch.since, watch.until));
        let output = passed.judge(shown("b")).expect("seen already");
        assert_eq!(output.uses.len(), 1);
        assert_eq!(passed.judge(shown("a")).expect("a DC that lags").uses.len(), 1);
        assert!(passed.judge(shown("c")).is_err(), "the next use is a new one");
    }

    #[test]
    fn a_time_span_reads_as_people_say_it() {
        for (seconds, text) in
            [(5, "5 seconds"), (86_400, "1 day"), (90_061, "1 day 1 hour 1 minute 1 second")]
        {
            assert_eq!(words(seconds), text);
        }
    }

    #[test]
    fn a_time_without_end_is_refused() {
        let error = Watch::begin(at(0), u64::MAX, vec![]).expect_err("refused");
        assert_eq!(error.problem().code, ErrorCode::InvalidRequest);
    }
}
