//! `replace-accounts`: account by account off the exposed key.
//!
//! Each farm on record is a `replace` of its own, with its own approval, in bounded numbers at a time;
//! the first that fails stops the next. What is no farm's is for people, who import it (then it is a
//! farm on record) or replace it by hand. Everything is read anew each time, so that an account that
//! has rolled onto the new key by itself meanwhile is left alone.

use std::collections::BTreeSet;

use async_trait::async_trait;
use chrono::TimeDelta;
use domain::request::{KdsRootKeyRecoveryRequest, ReplaceRequest};
use domain::{
    ErrorCode, FarmName, Lane, Problem, Sid, WaitReason, Workflow, WorkflowId, WorkflowKind, WorkflowState,
};
use serde::{Deserialize, Serialize};

use super::inventory::{OtherAccount, Split};
use super::sweep::sweep;
use crate::steps::children::{Child, ask_again};
use crate::steps::outputs::{count, list, to_value};
use crate::{PlannedWait, Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "replace-accounts";

/// Accounts of no farm that are kept with the step.
const LISTED: usize = 500;

/// How many farms at a time, and how often it is looked how they fare.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Replacements that are not yet as far as their cool-down, which is long and does nothing.
    pub at_once: usize,
    pub look: TimeDelta,
    /// The same while only people have something to do.
    pub look_for_people: TimeDelta,
}

impl Default for Pace {
    fn default() -> Self {
        Self { at_once: 5, look: TimeDelta::seconds(30), look_for_people: TimeDelta::minutes(5) }
    }
}

/// Output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplacedOutput {
    pub replaced: Vec<ReplacedFarm>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplacedFarm {
    pub farm: FarmName,
    pub workflow: WorkflowId,
}

/// What is on the exposed key still.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Left {
    farms: Vec<LeftFarm>,
    others: u64,
    other_accounts: Vec<OtherAccount>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LeftFarm {
    farm: FarmName,
    account: Sid,
}

/// Put aside: replacements that a person was shown to have failed; who resumes wants others.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Memo {
    given_up: BTreeSet<WorkflowId>,
}

#[derive(Debug, Default)]
pub struct ReplaceAccounts {
    pub pace: Pace,
}

pub struct Observed {
    left: Left,
}

#[async_trait]
impl Step for ReplaceAccounts {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<Observed, StepError> {
        Ok(Observed { left: left(cx).await? })
    }

    fn plan(&self, _: &StepContext, observed: &Observed) -> Result<StepPlan, StepError> {
        let Left { farms, others, .. } = &observed.left;
        let names: Vec<_> = farms.iter().map(|left| &left.farm).collect();
        let detail = match (farms.len(), others) {
            (0, 0) => "no account is on the exposed key any more".to_owned(),
            (farms, others) => format!(
                "{} to be replaced{}{}; {others} accounts that are no farm's are for people to replace or import",
                count(farms, "farm"),
                if names.is_empty() { "" } else { ": " },
                list(&names)
            ),
        };
        Ok(StepPlan::nothing(detail, to_value(&observed.left)?))
    }

    /// Here, since a dry run asks for nothing.
    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        let left: Left = serde_json::from_value(plan.expected.clone()).unwrap_or_default();
        let memo: Memo = cx.memo()?.unwrap_or_default();
        let children = cx.records()?.children(cx.workflow_id).await?;
        let turn = Turn::of(&left, &children, &memo.given_up, self.pace.at_once);
        if !turn.failed.is_empty() {
            return Err(stopped(&turn, memo)?);
        }
        for farm in &turn.ask {
            replace(cx, farm, &memo.given_up).await?;
        }
        let now = cx.environment.clock.now();
        match (left.farms.len(), left.others) {
            (0, 0) => Ok(Verified {
                output: to_value(&ReplacedOutput { replaced: replaced(&children) })?,
                detail: plan.detail.clone(),
            }),
            (0, _) => Err(for_people(&left, now + self.pace.look_for_people)),
            _ => Err(under_way(&left, &turn, now + self.pace.look)),
        }
    }
}

/// By the copy of the pinned DC; whether every other agrees is seen at the end.
async fn left(cx: &StepContext) -> Result<Left, StepError> {
    let key = cx.input::<KdsRootKeyRecoveryRequest>()?.root_key;
    let swept = sweep(cx.dc().await?.as_ref(), key).await?;
    let farms = cx.records()?.deployed_farms(&cx.directory).await?;
    let split = Split::of(&swept.on_key, &farms);
    let farm = |(farm, on_key): &(&store::Farm, &super::sweep::OnKey)| LeftFarm {
        farm: farm.name.clone(),
        account: on_key.sid.clone(),
    };
    Ok(Left {
        farms: split.farms.iter().map(farm).collect(),
        others: split.others.len() as u64,
        other_accounts: split.others.iter().take(LISTED).map(|one| OtherAccount::of(one)).collect(),
    })
}

/// What is to be done now.
#[derive(Debug, Default, PartialEq)]
struct Turn<'a> {
    ask: Vec<&'a LeftFarm>,
    /// The last word of a farm's replacement, and no good one.
    failed: Vec<&'a Workflow>,
    /// Not as far as their cool-down.
    at_work: usize,
    /// The old account is disabled and waits to be deleted.
    cooling_down: usize,
}

impl<'a> Turn<'a> {
    fn of(left: &'a Left, children: &'a [Workflow], given_up: &BTreeSet<WorkflowId>, at_once: usize) -> Self {
        let mut turn = Self::default();
        let mut waiting = Vec::new();
        for farm in &left.farms {
            // The last that was asked for; those of before are behind us.
            match children.iter().rfind(|child| is_about(child, &farm.farm)) {
                None => waiting.push(farm),
                Some(child) if !child.state.is_finished() => match is_cooling_down(child) {
                    true => turn.cooling_down += 1,
                    false => turn.at_work += 1,
                },
                Some(child) if given_up.contains(&child.id) => waiting.push(farm),
                // One that succeeded has failed too: its account came from the exposed key again.
                Some(child) => turn.failed.push(child),
            }
        }
        waiting.truncate(at_once.saturating_sub(turn.at_work));
        turn.ask = waiting;
        turn
    }
}

fn is_about(child: &Workflow, farm: &FarmName) -> bool {
    child.kind == WorkflowKind::REPLACE && child.farm.as_ref().is_some_and(|name| name.key() == farm.key())
}

/// Of a replacement only the cool-down waits for a date.
fn is_cooling_down(child: &Workflow) -> bool {
    child.waiting.as_ref().is_some_and(|wait| wait.reason == WaitReason::Timer)
}

fn replaced(children: &[Workflow]) -> Vec<ReplacedFarm> {
    let done = children
        .iter()
        .filter(|child| child.kind == WorkflowKind::REPLACE && child.state == WorkflowState::Succeeded);
    done.filter_map(|child| Some(ReplacedFarm { farm: child.farm.clone()?, workflow: child.id })).collect()
}

async fn replace(
    cx: &StepContext,
    left: &LeftFarm,
    given_up: &BTreeSet<WorkflowId>,
) -> Result<Workflow, StepError> {
    let request: KdsRootKeyRecoveryRequest = cx.input()?;
    let input = ReplaceRequest {
        account_sid: left.account.clone(),
        new_account: None,
        managed_password_interval_in_days: None,
        cool_down_seconds: request.cool_down_seconds,
    };
    let farm = cx.records()?.farm(&cx.directory, &left.farm).await?;
    let hosts = farm.map(|farm| farm.spec.hosts).unwrap_or_default();
    let child = Child {
        kind: WorkflowKind::REPLACE,
        lane: Lane::Lifecycle,
        farm: Some(left.farm.clone()),
        hosts: hosts.iter().map(ToString::to_string).collect(),
        input: to_value(&input)?,
        reason: format!("its password comes from the exposed KDS root key {}", request.root_key),
    };
    let series = format!("root-key-recovery/{}/{}", cx.workflow_id, left.account);
    ask_again(cx, &child, &series, |earlier| given_up.contains(&earlier.id)).await
}

fn stopped(turn: &Turn<'_>, memo: Memo) -> Result<StepError, StepError> {
    let said = |child: &&Workflow| {
        let farm = child.farm.as_ref().map(ToString::to_string).unwrap_or_default();
        match (child.state, &child.error) {
            (WorkflowState::Succeeded, _) => format!(
                "{farm} ({}): the new account's password comes from the exposed key again (is KdsSvc restarted?)",
                child.id
            ),
            (state, error) => {
                let why = error.as_ref().map(|error| format!(": {}", error.message)).unwrap_or_default();
                format!("{farm} ({}) is {state}{why}", child.id)
            }
        }
    };
    let failed: Vec<_> = turn.failed.iter().map(said).collect();
    let given_up = memo.given_up.into_iter().chain(turn.failed.iter().map(|child| child.id)).collect();
    Ok(PlannedWait {
        reason: WaitReason::Operator,
        until: None,
        problem: Problem::new(
            ErrorCode::ChildrenAwaited,
            format!("{} not done, and no other is begun: {}", count(failed.len(), "replacement"), list(&failed)),
            "mend what the workflow says, and retry it if it can be; then resume this one, which asks for another \
             replacement where one is still wanted",
        ),
        memo: Some(to_value(&Memo { given_up })?),
    }
    .into())
}

fn under_way(left: &Left, turn: &Turn<'_>, until: chrono::DateTime<chrono::Utc>) -> StepError {
    let (all, at_work) = (left.farms.len(), turn.at_work + turn.ask.len());
    let others = match left.others {
        0 => String::new(),
        others => format!("; {others} accounts that are no farm's are for people: {}", names(left)),
    };
    let message = format!(
        "{} on the exposed key: {at_work} being replaced (each wants a second person's approval), {} cooling \
         down, {} to follow{others}",
        count(all, "farm"),
        turn.cooling_down,
        all.saturating_sub(at_work + turn.cooling_down),
    );
    PlannedWait {
        reason: WaitReason::Timer,
        until: Some(until),
        problem: Problem::new(
            ErrorCode::ChildrenAwaited,
            message,
            "approve the replacements (`farmhand workflow list --kind replace`); it goes on by itself",
        ),
        memo: None,
    }
    .into()
}

fn for_people(left: &Left, until: chrono::DateTime<chrono::Utc>) -> StepError {
    PlannedWait {
        reason: WaitReason::Operator,
        until: Some(until),
        problem: Problem::new(
            ErrorCode::ByHandAwaited,
            format!("{} gMSAs on the exposed key are no farm on record: {}", left.others, names(left)),
            "take each on record with `farmhand farm import`, and it is replaced here; or make a new gMSA with \
             New-ADServiceAccount, move its services, and delete the old one with Remove-ADServiceAccount. It is \
             seen here by itself, or at once by who resumes the workflow",
        ),
        memo: None,
    }
    .into()
}

fn names(left: &Left) -> String {
    let names: Vec<_> = left.other_accounts.iter().map(|other| other.account.as_str()).collect();
    list(&names)
}

#[cfg(test)]
pub mod testing {
    use super::super::sweep::OnKey;
    use crate::steps::testing::{dn, sid};

    pub fn on_key(name: &str, rid: u32) -> OnKey {
        OnKey { sid: sid(rid), dn: dn(&format!("CN={name},DC=contoso,DC=com")), account: format!("{name}$") }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use domain::{Mode, SystemRng, Wait};

    use super::*;
    use crate::steps::testing::sid;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).expect("a valid time")
    }
    fn left(farms: &[&str]) -> Left {
        let farm = |name: &&str| LeftFarm { farm: FarmName::parse(name).expect("a name"), account: sid(1) };
        Left { farms: farms.iter().map(farm).collect(), ..Left::default() }
    }
    fn child(farm: &str, state: WorkflowState, waits: Option<WaitReason>) -> Workflow {
        let now = at(0);
        Workflow {
            id: WorkflowId::new(now, &SystemRng),
            kind: WorkflowKind::REPLACE,
            directory: Default::default(),
            farm: Some(FarmName::parse(farm).expect("a name")),
            hosts: vec![],
            lane: Lane::Lifecycle,
            mode: Mode::Apply,
            state,
            parent: None,
            preempted_by: None,
            requested_by: "a test".into(),
            reason: None,
            created_at: now,
            started_at: None,
            finished_at: None,
            waiting: waits.map(|reason| Wait { reason, until: None, detail: String::new() }),
            plan: None,
            steps: vec![],
            error: None,
            result: None,
        }
    }
    fn asked(turn: &Turn<'_>) -> Vec<String> {
        turn.ask.iter().map(|left| left.farm.to_string()).collect()
    }

    use WorkflowState as S;

    #[test]
    fn so_many_at_once_and_a_cool_down_holds_no_other_up() {
        let farms = left(&["A", "B", "C", "D"]);
        let children = [
            child("A", S::Waiting, Some(WaitReason::Timer)),
            child("b", S::Waiting, Some(WaitReason::Approval)),
        ];
        let turn = Turn::of(&farms, &children, &BTreeSet::new(), 2);
        assert_eq!((asked(&turn), turn.at_work, turn.cooling_down), (vec!["C".to_owned()], 1, 1));
        assert_eq!(asked(&Turn::of(&farms, &children, &BTreeSet::new(), 1)), Vec::<String>::new());
    }

    #[test]
    fn one_that_did_not_come_to_a_good_end_stops_the_rest_until_a_person_resumes() {
        let farms = left(&["A", "B"]);
        for state in [S::Failed, S::Unwound, S::Cancelled, S::Succeeded] {
            let children = [child("A", state, None)];
            let turn = Turn::of(&farms, &children, &BTreeSet::new(), 5);
            assert_eq!(turn.failed.len(), 1, "{state}");
            let StepError::Wait(wait) = stopped(&turn, Memo::default()).expect("a wait") else { panic!() };
            assert_eq!((wait.reason, wait.until), (WaitReason::Operator, None));
            let memo: Memo = serde_json::from_value(wait.memo.expect("a memo")).expect("reads back");
            let again = Turn::of(&farms, &children, &memo.given_up, 5);
            assert!(again.failed.is_empty(), "{state}");
            assert_eq!(asked(&again), ["A", "B"], "{state}");
        }
    }

    #[test]
    fn one_that_a_person_retried_is_under_way_again() {
        let farms = left(&["A"]);
        let retried = child("A", S::Queued, None);
        let given_up = BTreeSet::from([retried.id]);
        let turn = Turn::of(&farms, std::slice::from_ref(&retried), &given_up, 5);
        assert_eq!((turn.at_work, turn.ask.len(), turn.failed.len()), (1, 0, 0));
    }

    #[test]
    fn what_is_no_farms_is_named_for_people() {
        let on_key = testing::on_key("Wild", 1400);
        let left = Left { others: 1, other_accounts: vec![OtherAccount::of(&on_key)], ..left(&[]) };
        let StepError::Wait(wait) = for_people(&left, at(5)) else { panic!() };
        assert_eq!((wait.reason, wait.until), (WaitReason::Operator, Some(at(5))));
        assert!(wait.problem.message.contains("Wild$") && wait.problem.hint.contains("farm import"));
    }
}
