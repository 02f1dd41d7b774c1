//! `await-roll`: an exposed password is watched until no DC takes it any more.
//!
//! Nothing can make a gMSA roll: the DC does it when somebody who may asks for the password after it
//! was due. So the date is waited for, and from then on every DC is asked until all show another.

mod life;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, TimeDelta, Utc};
use directory::{Base, DirectoryRead, ManagedPasswordId};
use domain::containment::{Containment, KeyId, KnownPassword, Rolled};
use domain::request::AwaitRollRequest;
use domain::{ErrorCode, Mode, Problem, WaitReason};
use serde::{Deserialize, Serialize};

use self::life::{Copy, Known, Standing};
use super::contain::exposure_end;
use super::everywhere::{Lag, Look, ask_every_dc};
use super::gmsa::CLASS;
use super::outputs::{count, list, to_value};
use crate::{PlannedWait, Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "await-roll";

/// How long after a roll a DC still takes the password before it (Samba; Windows does not say).
const PREVIOUS_IS_TAKEN: TimeDelta = TimeDelta::minutes(5);
/// How often the DCs are asked once it is due: soon at first, since a farm at work asks within
/// minutes, and hourly where nobody does.
const SOONEST: TimeDelta = TimeDelta::minutes(1);
const SELDOM: TimeDelta = TimeDelta::hours(1);

/// Waits for the date, then for the roll. Reads only.
#[derive(Debug, Clone)]
pub struct AwaitRoll {
    /// How long after a roll the password before it is taken for alive.
    pub previous_is_taken: TimeDelta,
    /// The DCs are asked again after as long as the password has been due, between these two.
    pub soonest: TimeDelta,
    pub seldom: TimeDelta,
}

impl Default for AwaitRoll {
    fn default() -> Self {
        Self { previous_is_taken: PREVIOUS_IS_TAKEN, soonest: SOONEST, seldom: SELDOM }
    }
}

/// Put aside while it waits.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Memo {
    /// When every DC was first seen with another password.
    rolled_at: Option<DateTime<Utc>>,
}

pub enum Observed {
    /// A dry run.
    Later,
    Over(Rolled),
}

#[async_trait]
impl Step for AwaitRoll {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<Observed, StepError> {
        let request: AwaitRollRequest = cx.input()?;
        let known = known(cx, &request).await?;
        if cx.mode == Mode::Plan {
            return Ok(Observed::Later);
        }
        let seen = Seen::of(ask_every_dc(cx, &Account { sid: &request.account_sid }).await?)?;
        let now = cx.environment.clock.now();
        match life::standing(&seen.copies, &known, now) {
            Standing::NotDue { ends_at } => Err(not_due(&seen, ends_at)),
            Standing::Due { ends_at, still } => {
                let next = now + (now - ends_at).clamp(self.soonest, self.seldom);
                Err(due(&seen, ends_at, &still, next))
            }
            _ if !seen.away.is_empty() => Err(unheard(&seen, now + self.soonest)),
            Standing::Gone => Ok(Observed::Over(seen.rolled(&request, None, now))),
            Standing::Rolled { key_id, set_at } => {
                let memo: Memo = cx.memo()?.unwrap_or_default();
                let rolled_at = set_at.or(memo.rolled_at).unwrap_or(now);
                let until = rolled_at + self.previous_is_taken;
                match now < until {
                    true => Err(previous_is_taken(&seen, rolled_at, until)?),
                    false => Ok(Observed::Over(seen.rolled(&request, Some(key_id), now))),
                }
            }
        }
    }

    fn plan(&self, _: &StepContext, observed: &Observed) -> Result<StepPlan, StepError> {
        Ok(match observed {
            Observed::Later => StepPlan::skip("the account would be watched until its password has rolled"),
            Observed::Over(rolled) => StepPlan::nothing(rolled.summary.clone(), to_value(rolled)?),
        })
    }

    /// `check` has just seen it.
    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        let request: AwaitRollRequest = cx.input()?;
        exposure_end::announce(cx, request.compromise, &request.account_sid, &plan.detail).await?;
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

/// What the attacker has, by the request and by what the containment found.
async fn known(cx: &StepContext, request: &AwaitRollRequest) -> Result<Known, StepError> {
    let bytes = BASE64.decode(&request.exposed_key_id).unwrap_or_default();
    let id = ManagedPasswordId::parse(&bytes).map_err(|error| {
        StepError::fail(
            ErrorCode::InvalidRequest,
            format!("the exposed key id is none: {error}"),
            "send exposedKeyId as the containment's result shows it",
        )
    })?;
    let compromise = cx.records()?.workflow(request.compromise).await?;
    let found = compromise.and_then(|workflow| serde_json::from_value::<Containment>(workflow.result?).ok());
    let account = found.iter().flat_map(|found| &found.accounts).find(|one| one.sid == request.account_sid);
    let next = account.is_some_and(|account| account.exposure.known.contains(&KnownPassword::Next));
    Ok(Known { id, next })
}

struct Account<'a> {
    sid: &'a domain::Sid,
}

#[async_trait]
impl Look for Account<'_> {
    type Seen = Option<Copy>;

    async fn look(&self, dc: &dyn DirectoryRead) -> Result<Option<Copy>, Lag> {
        let found = dc.read(&Base::from(self.sid), &life::ATTRIBUTES).await?;
        let found = found.filter(|entry| entry.is_class(CLASS));
        Ok(found.map(|entry| Copy::of(dc.dc(), &entry)).transpose()?)
    }
}

/// What the DCs answered.
struct Seen {
    copies: Vec<(String, Option<Copy>)>,
    /// DCs that did not.
    away: Vec<String>,
}

impl Seen {
    fn of(answers: super::everywhere::Answers<Option<Copy>>) -> Result<Self, StepError> {
        let mut seen = Self { copies: Vec::new(), away: Vec::new() };
        for (dc, answer) in answers {
            match answer {
                Ok(copy) => seen.copies.push((dc, copy)),
                Err(Lag::Other(error)) => return Err(error),
                Err(Lag::Behind(_) | Lag::Away(_)) => seen.away.push(dc),
            }
        }
        match seen.copies.is_empty() {
            false => Ok(seen),
            true => Err(StepError::Retry {
                after: std::time::Duration::from_secs(5),
                problem: Problem::new(
                    ErrorCode::DirectoryUnreachable,
                    format!("no DC answers ({})", list(&seen.away)),
                    "it is tried again by itself",
                ),
            }),
        }
    }

    /// As people know it.
    fn name(&self) -> &str {
        let copy = self.copies.iter().find_map(|(_, copy)| copy.as_ref());
        copy.map_or("the account", |copy| copy.account.as_str())
    }

    fn rolled(&self, request: &AwaitRollRequest, key_id: Option<KeyId>, now: DateTime<Utc>) -> Rolled {
        let dcs: Vec<_> = self.copies.iter().map(|(dc, _)| dc.clone()).collect();
        let summary = match &key_id {
            Some(_) => {
                let dcs = count(dcs.len(), "DC");
                format!(
                    "the exposed password of {} is dead: {dcs} of the domain made another since",
                    self.name()
                )
            }
            None => format!("the account {} is gone, and its password opens nothing", request.account_sid),
        };
        Rolled {
            summary,
            account: self.name().to_owned(),
            sid: request.account_sid.clone(),
            key_id,
            seen_at: now,
            domain_controllers: dcs,
        }
    }
}

fn wait(until: DateTime<Utc>, message: String, hint: String, memo: Option<serde_json::Value>) -> StepError {
    let problem = Problem::new(ErrorCode::RollAwaited, message, hint);
    PlannedWait { reason: WaitReason::Timer, until: Some(until), problem, memo }.into()
}

fn not_due(seen: &Seen, ends_at: DateTime<Utc>) -> StepError {
    let message = format!(
        "the exposed password of {} is due for its roll at {}, and works until then",
        seen.name(),
        ends_at.to_rfc3339()
    );
    let hint = "nothing makes it roll earlier; where that is too late, replace the account (`farmhand recover` with \
                FARM=replace)";
    wait(ends_at, message, hint.to_owned(), None)
}

fn due(seen: &Seen, ends_at: DateTime<Utc>, still: &[String], next: DateTime<Utc>) -> StepError {
    let account = seen.name();
    let message = format!(
        "nobody who may has asked for the password of {account} since it was due at {}: {} still has the exposed \
         one, {}",
        ends_at.to_rfc3339(),
        count(still.len(), "DC"),
        list(still),
    );
    let hint = format!(
        "run Test-ADServiceAccount -Identity {} on a host of the farm, which makes a DC roll it; an account whose \
         reader list lets nobody in never rolls: replace or disable it",
        account.trim_end_matches('$')
    );
    wait(next, message, hint, None)
}

/// Those that answer have rolled.
fn unheard(seen: &Seen, next: DateTime<Utc>) -> StepError {
    let message = format!(
        "the DCs that answer have rolled {}; {} not answering: {}",
        seen.name(),
        count(seen.away.len(), "DC"),
        list(&seen.away)
    );
    let hint = "bring the DC back, or remove it from the domain: it may still take the exposed password";
    wait(next, message, hint.to_owned(), None)
}

fn previous_is_taken(
    seen: &Seen,
    rolled_at: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<StepError, StepError> {
    let message = format!(
        "{} has rolled on every DC; the password before it may still be taken until {}",
        seen.name(),
        until.to_rfc3339()
    );
    let memo = to_value(&Memo { rolled_at: Some(rolled_at) })?;
    Ok(wait(until, message, "nothing to do: it ends by itself".to_owned(), Some(memo)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).expect("a valid time")
    }
    fn seen(away: &[&str]) -> Seen {
        Seen { copies: vec![("dc1".into(), None)], away: away.iter().map(|dc| (*dc).to_owned()).collect() }
    }
    fn planned(error: StepError) -> PlannedWait {
        let StepError::Wait(wait) = error else { panic!("{error:?}") };
        *wait
    }

    #[test]
    fn an_idle_account_is_named_with_its_dcs_and_what_makes_it_roll() {
        let wait = planned(due(&seen(&[]), at(0), &["dc2".into()], at(10)));
        assert_eq!((wait.reason, wait.problem.code), (WaitReason::Timer, ErrorCode::RollAwaited));
        assert!(wait.problem.message.contains("dc2") && wait.problem.hint.contains("Test-ADServiceAccount"));
    }

    #[test]
    fn what_a_dc_that_is_away_takes_cannot_be_told() {
        let wait = planned(unheard(&seen(&["dc2"]), at(0)));
        assert!(wait.problem.message.contains("dc2"), "{}", wait.problem.message);
        let nobody = Seen::of(vec![(
            "dc1".into(),
            Err(Lag::Away(Problem::new(ErrorCode::DirectoryUnreachable, "no route", "wait"))),
        )]);
        assert!(matches!(nobody, Err(StepError::Retry { .. })));
    }
}
