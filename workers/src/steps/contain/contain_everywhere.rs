//! `contain-everywhere`: every DC, asked anew, shows the host denied by every account.
//!
//! The step that insists. Each DC is swept by its own copy and with its own idea of the host's groups,
//! what is missing there is written, and all is read back once more: only then is the host called
//! contained. A DC that cannot be reached keeps the workflow from its end, and nothing else.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use directory::{DirectoryRead, Entry};
use domain::containment::ComputerState;
use domain::{Change, Dn, ErrorCode, Mode, Problem, Sid, WaitReason, Write};
use serde::{Deserialize, Serialize};

use super::affected::{Affected, Candidate, survey};
use super::deny::{Copies, Open, denials, open};
use super::deny_on_record::{self, Case};
use super::disable_computer::{self, ComputerOutput, disabled};
use super::reach::{self, Away, Survey};
use super::sweep::{self, SweepOutput, Swept};
use super::token::{self, HostCopy, union};
use super::wrote::{DeniedAt, NotTaken, denied_at, note_denials};
use super::{accounts, doors, parsed};
use crate::step::Refused;
use crate::steps::gmsa::fields::CONTROL;
use crate::steps::outputs::{count, list, to_value};
use crate::{PlannedWait, Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "contain-everywhere";

/// A DC that is away is tried again this soon at first.
const AGAIN: Duration = Duration::from_secs(2);
/// And this often at least.
const AT_LEAST_EVERY: Duration = Duration::from_secs(30);

/// Output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EverywhereOutput {
    /// Accounts that only now were found, on whichever DC.
    pub affected: Vec<Affected>,
    /// When each DC was read back with every account denied.
    pub verified: Vec<VerifiedAt>,
    pub denied: Vec<DeniedAt>,
    /// Groups that had let the host in again, or still did.
    pub closed: Vec<Dn>,
    /// Departures from groups, and what keeps the computer enabled.
    pub not_taken: Vec<NotTaken>,
    /// The computer had been missed, or was enabled again.
    pub disabled: bool,
    /// The most gMSAs that any DC showed.
    pub swept: u64,
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifiedAt {
    pub dc: String,
    pub at: DateTime<Utc>,
}

/// Writes what is missing on any DC, and is done when none is missing anything.
#[derive(Debug)]
pub struct ContainEverywhere;

pub struct Observed {
    case: Case,
    known: Vec<Affected>,
    disable: bool,
    seen: Survey<OnDc>,
}

/// What one DC shows.
pub struct OnDc {
    host: Option<HostCopy>,
    /// Affected accounts, and those that this DC's sweep found.
    accounts: Vec<Entry>,
    doors: Vec<Dn>,
    swept: Swept,
}

#[async_trait]
impl Step for ContainEverywhere {
    /// `None`: a dry run, which has already planned all that there is.
    type Observed = Option<Observed>;

    fn name(&self) -> &'static str {
        NAME
    }

    fn is_kept(&self) -> bool {
        true
    }

    async fn check(&self, cx: &StepContext) -> Result<Option<Observed>, StepError> {
        if cx.mode == Mode::Plan {
            return Ok(None);
        }
        let case: Case = cx.output(deny_on_record::NAME)?;
        let swept: SweepOutput = cx.output(sweep::NAME)?;
        let known = [case.affected.clone(), swept.affected].concat();
        let computer: ComputerOutput = cx.output(disable_computer::NAME)?;
        let disable = computer.state != ComputerState::KeptEnabled;
        let (for_all, known_to_all) = (&case, &known);
        let seen =
            reach::every_dc(cx, None, |dc| async move { look(dc.as_ref(), for_all, known_to_all).await });
        let mut seen = seen.await?;
        read_on_all(cx, &known, &mut seen).await?;
        Ok(Some(Observed { case, known, disable, seen }))
    }

    fn plan(&self, _: &StepContext, observed: &Option<Observed>) -> Result<StepPlan, StepError> {
        match observed {
            Some(observed) => plan(observed),
            None => Ok(StepPlan::nothing(
                "every DC would be swept and read back until all show the host denied",
                to_value(&EverywhereOutput::default())?,
            )),
        }
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        let mut output: EverywhereOutput = parsed(&plan.expected)?;
        let case: Case = cx.output(deny_on_record::NAME)?;
        let swept: SweepOutput = cx.output(sweep::NAME)?;
        let all = [case.affected.clone(), swept.affected, output.affected.clone()].concat();
        note_denials(cx, &case.host, &all).await?;
        output.denied = denied_at(cx.written());
        output.not_taken = not_taken(cx).await;
        output.disabled = cx.written().iter().any(|write| write.change.attribute(CONTROL).is_some());
        if output.disabled {
            cx.records()?.note_computer_disabled(&cx.directory, &case.host.sid).await?;
        }
        let sids: Vec<_> = all.iter().map(|one| one.sid.clone()).collect();
        let seen = reach::every_dc(cx, None, |dc| {
            let sids = sids.clone();
            async move { accounts::by_sid(dc.as_ref(), &sids, &accounts::ATTRIBUTES).await }
        });
        let seen = seen.await?;
        let now = cx.environment.clock.now();
        let open = open(&seen.seen, &all, &case.host);
        // What was away when it was swept has answered since, or is away still.
        let tried = cx.memo::<Tried>()?.unwrap_or_default();
        let refused = [cx.refused().to_vec(), impossible(&seen.seen, &all, &case)].concat();
        judge(&open, &refused, missed(&output, &seen)).map_err(|left| left.error(tried, now))?;
        output.verified = seen.seen.into_iter().map(|(dc, _)| VerifiedAt { dc, at: now }).collect();
        let names: Vec<_> = output.verified.iter().map(|one| &one.dc).collect();
        let detail =
            format!("{} denied on {}: {}", count(all.len(), "gMSA"), count(names.len(), "DC"), list(&names));
        Ok(Verified { output: to_value(&output)?, detail })
    }

    async fn undo(&self, _: &StepContext, _: &[Write]) -> Result<(), StepError> {
        Ok(())
    }
}

/// Lists that have no room for a deny entry: as good as refused.
fn impossible(copies: &Copies, affected: &[Affected], case: &Case) -> Vec<Refused> {
    let refused = |open: Open| Refused {
        change: Change::modify(open.dn, Vec::new()).at(open.dc),
        problem: Problem::new(ErrorCode::NotContained, open.why, "take entries out of the list"),
        passing: false,
    };
    let planned = denials(copies, affected, &case.host, &case.names());
    planned.impossible.into_iter().map(refused).collect()
}

/// What is no deny entry: refused for good, it keeps nobody from the end.
async fn not_taken(cx: &StepContext) -> Vec<NotTaken> {
    let computer = cx.refused().iter().filter(|one| one.change.attribute(CONTROL).is_some());
    computer.map(NotTaken::of).chain(doors::still_open(cx).await).collect()
}

/// DCs that were not swept, or cannot be read back.
fn missed(output: &EverywhereOutput, seen: &Survey<Vec<Entry>>) -> Vec<Away> {
    let swept: BTreeSet<_> = output.verified.iter().map(|one| one.dc.clone()).collect();
    let unswept = seen.seen.iter().map(|(dc, _)| dc).filter(|dc| !swept.contains(*dc));
    let unswept = unswept.map(|dc| Away { dc: dc.clone(), why: "it was not reached before".to_owned() });
    seen.away.iter().cloned().chain(unswept).collect()
}

/// What one DC's sweep found is denied on all: its copy is read on those whose own did not show it.
async fn read_on_all(cx: &StepContext, known: &[Affected], seen: &mut Survey<OnDc>) -> Result<(), StepError> {
    let is_new = |sid: &Sid| known.iter().all(|known| known.sid != *sid);
    let sids = |on: &OnDc| on.accounts.iter().filter_map(|entry| entry.sid("objectSid")).collect::<Vec<_>>();
    let found = union(seen.seen.iter().flat_map(|(_, on)| sids(on)).filter(is_new));
    if found.is_empty() || seen.seen.len() < 2 {
        return Ok(());
    }
    let dcs = seen.seen.iter().map(|(dc, _)| dc.clone()).collect();
    let copies = reach::each(cx, dcs, None, |dc| {
        let found = found.clone();
        async move { accounts::by_sid(dc.as_ref(), &found, &accounts::ATTRIBUTES).await }
    });
    for (dc, copies) in copies.await?.seen {
        let Some((_, on)) = seen.seen.iter_mut().find(|(name, _)| *name == dc) else { continue };
        let there = sids(on);
        let is_missing = |entry: &Entry| entry.sid("objectSid").is_some_and(|sid| !there.contains(&sid));
        on.accounts.extend(copies.into_iter().filter(is_missing));
    }
    Ok(())
}

async fn look(dc: &dyn DirectoryRead, case: &Case, known: &[Affected]) -> Result<OnDc, StepError> {
    let host = token::read(dc, &case.host.sid).await?;
    let own = host.as_ref().map(|copy| copy.token.clone()).unwrap_or_default();
    let token = union(case.token.iter().cloned().chain(own));
    let sids: Vec<_> = known.iter().map(|one| one.sid.clone()).collect();
    let dn = host.as_ref().map_or_else(|| case.host.dn.clone(), |copy| copy.dn.clone());
    let candidates = doors::candidates(known, &case.host);
    let (mut accounts, doors, mut swept) = tokio::try_join!(
        accounts::by_sid(dc, &sids, &accounts::ATTRIBUTES),
        doors::open(dc, &dn, &candidates),
        swept(dc, case, &token),
    )?;
    let further = std::mem::take(&mut swept.found);
    let is_new = |entry: &Entry| entry.sid("objectSid").is_some_and(|sid| !sids.contains(&sid));
    accounts.extend(further.into_iter().filter(is_new));
    Ok(OnDc { host, accounts, doors, swept })
}

/// Of some farms only: no other account is touched.
async fn swept(dc: &dyn DirectoryRead, case: &Case, token: &[Sid]) -> Result<Swept, StepError> {
    match case.only.is_empty() {
        true => sweep::sweep(dc, &case.host, token).await,
        false => Ok(Swept::default()),
    }
}

fn plan(observed: &Observed) -> Result<StepPlan, StepError> {
    let Observed { case, known, disable, seen: Survey { seen, away } } = observed;
    let token = union(seen.iter().flat_map(|(_, on)| on.host.iter().flat_map(|copy| copy.token.clone())));
    let token = union(token.into_iter().chain(case.token.iter().cloned()));
    let copies: Vec<_> = seen.iter().map(|(dc, on)| (dc.clone(), on.accounts.clone())).collect();
    let candidates: Vec<_> = known.iter().map(Candidate::insisted).collect();
    let found = survey(&copies, &case.host, &token, &candidates);
    let planned = denials(&copies, &found.affected, &case.host, &case.names());
    let mut changes = planned.changes;
    for (dc, on) in seen {
        let dn = on.host.as_ref().map_or(&case.host.dn, |copy| &copy.dn);
        changes.extend(doors::closed(dc, dn, &on.doors));
        changes.extend(on.host.iter().filter(|_| *disable).filter_map(|copy| disabled(dc, copy)));
    }
    let is_new = |one: &Affected| known.iter().all(|known| known.sid != one.sid);
    let mut closed: Vec<_> = seen.iter().flat_map(|(_, on)| on.doors.clone()).collect();
    closed.sort_by(|a, b| a.key().cmp(b.key()));
    closed.dedup();
    let mut warnings = found.warnings;
    warnings.extend(seen.iter().flat_map(|(_, on)| on.swept.warnings()));
    warnings.sort();
    warnings.dedup();
    let output = EverywhereOutput {
        affected: found.affected.into_iter().filter(is_new).collect(),
        verified: seen
            .iter()
            .map(|(dc, _)| VerifiedAt { dc: dc.clone(), at: DateTime::UNIX_EPOCH })
            .collect(),
        closed,
        swept: seen.iter().map(|(_, on)| on.swept.looked_at).max().unwrap_or(0),
        warnings,
        ..EverywhereOutput::default()
    };
    let names: Vec<_> = seen.iter().map(|(dc, _)| dc).collect();
    let missing = match changes.len() {
        0 => "nothing is missing".to_owned(),
        number => format!("{} missing", count(number, "write")),
    };
    let without: Vec<_> = away.iter().map(|away| format!("{} ({})", away.dc, away.why)).collect();
    let without = if without.is_empty() { String::new() } else { format!("; without {}", list(&without)) };
    let detail = format!("{missing} on {}{without}", list(&names));
    Ok(StepPlan::new(changes, detail, to_value(&output)?).independent())
}

/// Why the host is not contained yet.
enum NotYet {
    /// It passes by itself, or a DC comes back.
    Passing(Problem),
    /// A person must mend something.
    Lasting(Problem),
}

/// How often it was tried.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Tried(u32);

impl NotYet {
    /// Tried again in growing distance, but never so far that a DC that is back lets the host in for
    /// long.
    fn error(self, Tried(before): Tried, now: DateTime<Utc>) -> StepError {
        let problem = match self {
            Self::Lasting(problem) => return StepError::Park(problem),
            Self::Passing(problem) => problem,
        };
        let wait = AGAIN.saturating_mul(1 << before.min(4)).min(AT_LEAST_EVERY);
        PlannedWait {
            reason: WaitReason::Retry,
            until: Some(now + wait),
            problem,
            memo: Some(serde_json::json!(Tried(before + 1))),
        }
        .into()
    }
}

/// Whether the host is contained. What a person must mend comes after what passes by itself: a DC
/// that is back may yet show more.
fn judge(open: &[Open], refused: &[Refused], away: Vec<Away>) -> Result<(), NotYet> {
    if !away.is_empty() {
        let away: Vec<_> = away.iter().map(|away| format!("{}: {}", away.dc, away.why)).collect();
        let message =
            format!("not on every DC yet; {} cannot be reached: {}", count(away.len(), "DC"), list(&away));
        let hint = "the host is denied on all others. Bring the DC back, cut it off from the network, or remove it from \
                    the domain: this goes on by itself, and is not done before";
        return Err(NotYet::Passing(Problem::new(ErrorCode::NotContained, message, hint)));
    }
    if open.is_empty() {
        return Ok(());
    }
    let told: Vec<_> = open.iter().map(|one| because(one, refused)).collect();
    let message = format!("the host is not denied by {}", list(&told));
    if open.iter().any(|one| refusal(one, refused).is_none_or(|refused| refused.passing)) {
        let hint = "it is read and written again by itself";
        return Err(NotYet::Passing(Problem::new(ErrorCode::NotContained, message, hint)));
    }
    let hint = "let Farmhand's account write msDS-GroupMSAMembership of these accounts (`farmhand doctor` lists its \
                rights), or put the deny entry in by hand, then resume the workflow; all others are contained";
    Err(NotYet::Lasting(Problem::new(ErrorCode::NotContained, message, hint)))
}

fn refusal<'a>(one: &Open, refused: &'a [Refused]) -> Option<&'a Refused> {
    let same = |refused: &&Refused| {
        refused.change.dn == one.dn && refused.change.dc.as_deref() == Some(one.dc.as_str())
    };
    refused.iter().find(same)
}

fn because(one: &Open, refused: &[Refused]) -> String {
    let why = refusal(one, refused).map_or(&one.why, |refused| &refused.problem.message);
    format!("{} on {}: {why}", one.dn, one.dc)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::contain::testing::{case, copy, host};
    use crate::steps::testing::{dn, sid};

    fn on_dc(control: i64, accounts: Vec<Entry>, doors: &[&str]) -> OnDc {
        let token = vec![sid(1101), sid(1200)];
        let host = HostCopy { dn: host().dn, control: Some(control), token, pieced_together: false };
        let doors = doors.iter().map(|name| dn(name)).collect();
        OnDc { host: Some(host), accounts, doors, swept: Swept { looked_at: 7, ..Swept::default() } }
    }
    fn observed(disable: bool, seen: Vec<(&str, OnDc)>) -> Observed {
        let seen = seen.into_iter().map(|(dc, on)| (dc.to_owned(), on)).collect();
        let case = case();
        Observed { known: case.affected.clone(), case, disable, seen: Survey { seen, away: vec![] } }
    }
    fn open_copy() -> Open {
        Open { dc: "dc1".into(), dn: copy("One", 1301, &[]).dn, why: "no deny entry".into() }
    }
    fn refused(passing: bool) -> Refused {
        let problem = Problem::new(ErrorCode::RightsMissing, "a right is missing", "grant it");
        Refused { change: Change::modify(open_copy().dn, vec![]).at("dc1"), problem, passing }
    }

    #[test]
    fn each_dc_gets_what_it_lacks_and_no_more() {
        let mut denied = directory::ReaderDescriptor::allowing(&[sid(1200)]);
        denied.deny(&sid(1101));
        let done = crate::steps::contain::testing::listed("One", 1301, &denied);
        let found = copy("OnlyHere", 1400, &[sid(1200)]);
        let seen = vec![
            ("dc1", on_dc(4098, vec![done], &[])),
            ("dc2", on_dc(4096, vec![copy("One", 1301, &[sid(1200)]), found], &["CN=G,DC=x"])),
        ];
        let planned = plan(&observed(true, seen)).expect("a plan");
        let written: Vec<_> = planned
            .changes
            .iter()
            .map(|change| (change.dc.as_deref().unwrap_or(""), change.dn.rdn().value.as_str()))
            .collect();
        assert_eq!(written, [("dc2", "One"), ("dc2", "OnlyHere"), ("dc2", "G"), ("dc2", "Host1")]);
        let output: EverywhereOutput = parsed(&planned.expected).expect("an output");
        assert_eq!((output.affected.len(), output.swept), (1, 7));
    }

    #[test]
    fn a_computer_that_is_to_stay_enabled_is_left() {
        let planned = plan(&observed(false, vec![("dc1", on_dc(4096, vec![], &[]))])).expect("a plan");
        assert!(planned.changes.is_empty());
    }

    #[test]
    fn it_is_not_called_done_while_a_dc_is_away() {
        let away = vec![Away { dc: "dc2".into(), why: "no route".into() }];
        let Err(NotYet::Passing(problem)) = judge(&[open_copy()], &[refused(false)], away) else {
            panic!("not done")
        };
        assert_eq!(problem.code, ErrorCode::NotContained);
        assert!(problem.message.contains("dc2: no route") && problem.hint.contains("denied on all others"));
        assert!(judge(&[], &[], vec![]).is_ok());
    }

    #[test]
    fn a_right_that_is_missing_wants_a_person_and_a_race_does_not() {
        let judged = |refused: &[Refused]| judge(&[open_copy()], refused, vec![]);
        let Err(NotYet::Lasting(problem)) = judged(&[refused(false)]) else { panic!("a person must act") };
        assert!(problem.message.contains("a right is missing"), "{}", problem.message);
        assert!(matches!(judged(&[]), Err(NotYet::Passing(_))));
        assert!(matches!(judged(&[refused(true)]), Err(NotYet::Passing(_))));
    }

    #[test]
    fn a_dc_that_is_away_is_asked_for_again_within_half_a_minute_for_ever() {
        let now = DateTime::UNIX_EPOCH;
        let wait = |tried| {
            let problem = Problem::new(ErrorCode::NotContained, "a DC is away", "bring it back");
            let StepError::Wait(wait) = NotYet::Passing(problem).error(Tried(tried), now) else {
                panic!("a wait")
            };
            (wait.until.expect("a time") - now).num_seconds()
        };
        assert_eq!([0, 1, 2, 10, u32::MAX - 1].map(wait), [2, 4, 8, 30, 30]);
    }
}
