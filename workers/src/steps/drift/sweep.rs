//! `compare-farms`: the farms that something may have changed about are read and compared, in pages;
//! what was found of the others stands.
//!
//! A sweep that was interrupted begins anew: what it recorded is true as it stands, and the mark that
//! the next one goes on from moves only at the end.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use directory::DirectoryRead;
use domain::drift::{DriftCounts, DriftState, DriftSummary};
use domain::farm::OnDrift;
use domain::request::DriftCheckRequest;
use domain::{DriftItem, ErrorCode, FarmName, Mode, WorkflowState};
use serde::{Deserialize, Serialize};
use store::{Compared, DriftBatch, DriftMark, DriftSubject, Mend, Quarantined};

use super::changes::{self, Position};
use super::compare::compare;
use super::observe::{Farm, Page};
use crate::steps::outputs::{count, to_value};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const COMPARE: &str = "compare-farms";

/// Farms that are held at a time.
const FARMS: u32 = 50;
/// Farms that are named where there may be thousands.
const NAMED: u32 = 20;
/// Updates that one check asks for; the rest is the next one's. Each waits for a person.
const MENDS: usize = 50;

/// Output: what was found, and what is to be mended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Swept {
    pub summary: DriftSummary,
    pub mend: Vec<ToMend>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToMend {
    pub farm: FarmName,
    /// Of the drift.
    pub hash: String,
}

#[derive(Debug)]
pub struct CompareFarms;

#[async_trait]
impl Step for CompareFarms {
    type Observed = Swept;

    fn name(&self) -> &'static str {
        COMPARE
    }

    async fn check(&self, cx: &StepContext) -> Result<Swept, StepError> {
        let dc = cx.dc().await?.clone();
        let quarantined = cx.quarantined().await?;
        let position = Position::of(dc.as_ref(), &quarantined).await?;
        let now = cx.environment.clock.now();
        let (tally, full) = (Tally::default(), None);
        let mut sweeping = Sweeping { cx, dc: dc.as_ref(), quarantined, position, now, tally, full };
        match cx.farm_name().ok() {
            Some(farm) => sweeping.one_farm(farm).await?,
            None => sweeping.whole_directory(&cx.input()?).await?,
        }
        sweeping.finish().await
    }

    fn plan(&self, _: &StepContext, found: &Swept) -> Result<StepPlan, StepError> {
        Ok(StepPlan::nothing(found.summary.summary.clone(), to_value(found)?))
    }

    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

struct Sweeping<'a> {
    cx: &'a StepContext,
    dc: &'a dyn DirectoryRead,
    quarantined: Vec<Quarantined>,
    position: Position,
    now: DateTime<Utc>,
    tally: Tally,
    /// Why every farm was compared.
    full: Option<String>,
}

#[derive(Default)]
struct Tally {
    compared: u64,
    states: DriftCounts,
    drifted: Vec<FarmName>,
    changed: u64,
    mend: Vec<ToMend>,
    /// Farms to be mended beyond those.
    left: u64,
    warnings: Vec<String>,
}

impl Sweeping<'_> {
    async fn one_farm(&mut self, farm: &FarmName) -> Result<(), StepError> {
        // That it is deployed.
        self.cx.facts()?;
        self.named(std::slice::from_ref(farm)).await
    }

    async fn whole_directory(&mut self, request: &DriftCheckRequest) -> Result<(), StepError> {
        let mark = self.cx.records()?.drift_mark(&self.cx.directory).await?;
        self.full = self.position.why_full(request, mark.as_ref(), self.now);
        let full_at = match mark.filter(|_| self.full.is_none()) {
            Some(mark) if self.what_changed(&mark).await? => mark.full_at,
            _ => {
                self.every_farm().await?;
                self.now
            }
        };
        let Some(mark) = self.position.mark(full_at, self.now) else { return Ok(()) };
        if self.cx.mode == Mode::Apply {
            self.cx.records()?.settle_drift(&self.cx.directory, &mark).await?;
        }
        Ok(())
    }

    async fn every_farm(&mut self) -> Result<(), StepError> {
        let (records, mut after) = (self.cx.records()?, None);
        loop {
            let page = records.drift_subjects(&self.cx.directory, after.as_ref(), FARMS).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.farm.name.clone());
            self.page(page).await?;
        }
    }

    /// The farms about which something has changed since; `false`: every farm has to be compared.
    async fn what_changed(&mut self, mark: &DriftMark) -> Result<bool, StepError> {
        let Some(mut concerned) = changes::farms_concerned(self.cx, self.dc, &self.position, mark).await?
        else {
            self.full = Some("so much has changed that every farm is looked at".to_owned());
            return Ok(false);
        };
        let (records, mut after) = (self.cx.records()?, None);
        loop {
            let due = records.drift_due(&self.cx.directory, &mark.invocation, after.as_ref(), FARMS).await?;
            let Some(last) = due.last() else { break };
            after = Some(last.clone());
            concerned.retain(|farm| !due.contains(farm));
            self.named(&due).await?;
        }
        let mut concerned: Vec<FarmName> = concerned.into_iter().collect();
        concerned.sort_unstable_by_key(FarmName::key);
        for farms in concerned.chunks(FARMS as usize) {
            self.named(farms).await?;
        }
        Ok(true)
    }

    async fn named(&mut self, farms: &[FarmName]) -> Result<(), StepError> {
        let page = self.cx.records()?.drift_subjects_named(&self.cx.directory, farms).await?;
        self.page(page).await
    }

    async fn page(&mut self, subjects: Vec<DriftSubject>) -> Result<(), StepError> {
        let farms: Vec<Farm<'_>> = subjects.iter().filter_map(Farm::of).collect();
        if farms.is_empty() {
            return Ok(());
        }
        let page = Page::read(self.dc, &self.position.domain, &farms).await?;
        let mut compared = Vec::with_capacity(farms.len());
        for (at, farm) in farms.iter().enumerate() {
            let seen = page.seen(at, farm, &self.quarantined);
            let (items, (rests_on, settled)) = (compare(&seen), page.rests_on(&seen));
            compared.push(self.judge(farm, items, rests_on, settled).await?);
        }
        self.leave_out_moving(&mut compared).await?;
        self.tally(&compared, &subjects);
        self.record(compared).await
    }

    async fn judge(
        &self,
        farm: &Farm<'_>,
        items: Vec<DriftItem>,
        rests_on: Vec<store::Object>,
        settled: bool,
    ) -> Result<Compared, StepError> {
        let subject = farm.subject;
        let known = subject.known.as_ref().and_then(|known| known.mend.clone());
        let mend = known.filter(|_| !items.is_empty());
        let ours = mend.as_ref().map(|mend| mend.workflow);
        let at_work = subject.at_work.as_ref().filter(|work| Some(work.workflow) != ours);
        let (state, why) = match at_work {
            Some(work) => {
                (DriftState::CannotTell, Some(format!("{} {} is at work on it", work.kind, work.workflow)))
            }
            None => self.verdict(farm, &items, mend.as_ref()).await?,
        };
        Ok(Compared {
            farm: subject.farm.name.clone(),
            state,
            why,
            rests_on,
            // What stopped us from telling leaves no trace in the directory.
            settled: settled && state != DriftState::CannotTell,
            farm_updated_at: subject.farm.updated_at,
            newest: subject.newest,
            mend,
            items,
        })
    }

    async fn verdict(
        &self,
        farm: &Farm<'_>,
        items: &[DriftItem],
        mend: Option<&Mend>,
    ) -> Result<Verdict, StepError> {
        let Some(hash) = DriftItem::hash(items) else { return Ok((DriftState::InLine, None)) };
        let state = match mend {
            Some(mend) => self.cx.records()?.workflow(mend.workflow).await?.map(|workflow| workflow.state),
            None => None,
        };
        let before = mend.zip(state);
        Ok(mending(farm.facts.spec.drift.on_drift, items, &hash, before, self.now))
    }

    /// A workflow may have begun, or come to its end, between our look at the record and our look at the
    /// directory: then the two do not belong together, and the next check tells.
    async fn leave_out_moving(&mut self, compared: &mut Vec<Compared>) -> Result<(), StepError> {
        let odd = compared.iter().filter(|farm| !farm.items.is_empty());
        let names: Vec<FarmName> = odd.map(|farm| farm.farm.clone()).collect();
        if names.is_empty() {
            return Ok(());
        }
        let again = self.cx.records()?.drift_subjects_named(&self.cx.directory, &names).await?;
        let same = |farm: &Compared| {
            farm.items.is_empty()
                || again.iter().any(|subject| {
                    let record = (&subject.farm.name, subject.farm.updated_at, subject.newest);
                    record == (&farm.farm, farm.farm_updated_at, farm.newest)
                })
        };
        let before = compared.len();
        compared.retain(same);
        if compared.len() < before {
            let number = count(before - compared.len(), "farm");
            self.tally.warnings.push(format!("{number} changed while being compared; the next check tells"));
        }
        Ok(())
    }

    fn tally(&mut self, compared: &[Compared], subjects: &[DriftSubject]) {
        let tally = &mut self.tally;
        for farm in compared {
            tally.compared += 1;
            tally.states.add(farm.state, 1);
            if !farm.items.is_empty() && tally.drifted.len() < NAMED as usize {
                tally.drifted.push(farm.farm.clone());
            }
            let subject = subjects.iter().find(|subject| subject.farm.name == farm.farm);
            let asks =
                subject.and_then(Farm::of).is_some_and(|of| of.facts.spec.drift.on_drift == OnDrift::Mend);
            // One that is not told why it is not mended is to be.
            let (true, DriftState::Drifted, None) = (asks, farm.state, &farm.why) else { continue };
            let Some(hash) = DriftItem::hash(&farm.items) else { continue };
            match tally.mend.len() < MENDS {
                true => tally.mend.push(ToMend { farm: farm.farm.clone(), hash }),
                false => tally.left += 1,
            }
        }
    }

    async fn record(&mut self, farms: Vec<Compared>) -> Result<(), StepError> {
        if self.cx.mode == Mode::Plan {
            return Ok(());
        }
        let (Some(invocation), Some(usn)) = (self.position.invocation.clone(), self.position.usn) else {
            // Kept, and never built upon.
            return self.record_as(farms, String::new(), 0).await;
        };
        self.record_as(farms, invocation, usn).await
    }

    async fn record_as(
        &mut self,
        farms: Vec<Compared>,
        invocation: String,
        usn: i64,
    ) -> Result<(), StepError> {
        let (directory, dc) = (self.cx.directory.clone(), self.position.dc.clone());
        let workflow = self.cx.workflow_id;
        let batch = DriftBatch {
            directory,
            workflow,
            dc,
            invocation,
            usn,
            farms,
            now: self.cx.environment.clock.now(),
        };
        for change in self.cx.records()?.record_drift(&batch).await? {
            self.tally.changed += 1;
            let (farm, state) = (change.farm.as_str(), change.after.as_str());
            metrics::counter!("farmhand_drift_changes_total", "state" => state).increment(1);
            tracing::info!(farm, state, "what differs of a farm has changed");
        }
        Ok(())
    }

    async fn finish(self) -> Result<Swept, StepError> {
        let (cx, whole) = (self.cx, self.cx.farm_name().is_err());
        let mut farms = self.tally.states;
        let mut drifted = self.tally.drifted;
        if whole && cx.mode == Mode::Apply {
            farms = DriftCounts::default();
            let counts = cx.records()?.count_by_drift().await?;
            let own = counts.into_iter().filter(|(directory, ..)| directory.key() == cx.directory.key());
            own.for_each(|(_, state, number)| farms.add(state, number));
            drifted = cx.records()?.drifted_farms(&cx.directory, NAMED).await?;
        }
        let mut warnings = self.tally.warnings;
        if self.tally.left > 0 {
            warnings.push(format!("{} more are left to the next check's mending", self.tally.left));
        }
        let summary = DriftSummary {
            summary: one_line(&farms, self.tally.compared, self.full.is_some() || !whole),
            checked: farms.total(),
            compared: self.tally.compared,
            farms,
            changed: self.tally.changed,
            full: self.full,
            drifted,
            mending: Vec::new(),
            domain_controller: self.position.dc,
            warnings,
            embedded_directory: cx.forest()?.is_embedded(),
        };
        Ok(Swept { summary, mend: self.tally.mend })
    }
}

/// How a farm stands, and why nothing can be told or it is not mended.
type Verdict = (DriftState, Option<String>);

/// One mending at a time; none again of a drift whose mending was rejected, and of one that failed not
/// before a day has passed: nothing suggests that it would go better.
fn mending(
    policy: OnDrift,
    items: &[DriftItem],
    hash: &str,
    before: Option<(&Mend, WorkflowState)>,
    now: DateTime<Utc>,
) -> Verdict {
    if let Some((_, state)) = before
        && !state.is_finished()
    {
        return (DriftState::Mending, None);
    }
    let drifted = |why: String| (DriftState::Drifted, Some(why));
    if policy == OnDrift::Report {
        return (DriftState::Drifted, None);
    }
    if let Some(blocking) = items.iter().find(|item| item.blocks_update) {
        return drifted(format!(
            "no update can mend it: {} {} is {}: {}",
            blocking.attribute, blocking.subject, blocking.kind, blocking.hint
        ));
    }
    if !items.iter().any(|item| item.mendable) {
        return drifted("no update mends any of it: each item says what to do".to_owned());
    }
    match before.filter(|(mend, _)| mend.hash == hash) {
        Some((mend, WorkflowState::Cancelled)) => {
            drifted(format!("mending the same was rejected or cancelled before ({})", mend.workflow))
        }
        Some((mend, WorkflowState::Failed | WorkflowState::Unwound))
            if now - mend.at < TimeDelta::days(1) =>
        {
            drifted(format!("mending the same has failed ({}); asked for again after a day", mend.workflow))
        }
        _ => (DriftState::Drifted, None),
    }
}

fn one_line(farms: &DriftCounts, compared: u64, all: bool) -> String {
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let told =
        DriftState::ALL.iter().map(|state| (state, farms.get(*state))).filter(|(_, number)| *number > 0);
    let told: Vec<_> = told.map(|(state, number)| format!("{number} {state}")).collect();
    let told = if told.is_empty() { String::new() } else { format!(": {}", told.join(", ")) };
    let how = match (all, compared) {
        (true, _) => String::new(),
        (false, 0) => "; nothing has changed".to_owned(),
        (false, _) => format!("; {} compared anew", count(number(compared), "farm")),
    };
    format!("{}{told}{how}", count(number(farms.total()), "farm"))
}

/// What we wrote ourselves cannot be read again.
pub(super) fn unreadable(error: &serde_json::Error) -> StepError {
    StepError::fail(
        ErrorCode::StepFault,
        format!("the check's summary cannot be read: {error}"),
        "this is a defect of Farmhand: report it with the workflow's id",
    )
}

#[cfg(test)]
mod tests {
    use domain::WorkflowId;
    use domain::drift::DriftKind;
    use uuid::Uuid;

    use super::super::compare::{blocking, by_hand, item};
    use super::*;

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + hours * 3600, 0).expect("a time")
    }
    fn mend(hash: &str) -> Mend {
        Mend { workflow: WorkflowId(Uuid::from_u128(7)), hash: hash.to_owned(), at: at(0) }
    }
    fn mendable() -> Vec<DriftItem> {
        vec![item(DriftKind::Missing, "ITFarm1$", "description")]
    }

    #[test]
    fn one_mending_at_a_time_and_none_again_of_what_was_rejected() {
        use DriftState::{Drifted, Mending};
        use WorkflowState as W;
        let judged = |hash: &str, state: Option<W>, now| {
            let mend = mend("one");
            let (state, why) =
                mending(OnDrift::Mend, &mendable(), hash, state.map(|state| (&mend, state)), now);
            (state, why.is_none())
        };
        for (hash, before, hours, expected) in [
            ("one", None, 0, (Drifted, true)),
            ("one", Some(W::Waiting), 0, (Mending, true)),
            // Another drift by now: the one that waits is void when it is approved.
            ("two", Some(W::Waiting), 0, (Mending, true)),
            ("one", Some(W::Cancelled), 100, (Drifted, false)),
            ("two", Some(W::Cancelled), 0, (Drifted, true)),
            ("one", Some(W::Failed), 23, (Drifted, false)),
            ("one", Some(W::Unwound), 24, (Drifted, true)),
            // Somebody has done it again.
            ("one", Some(W::Succeeded), 0, (Drifted, true)),
        ] {
            assert_eq!(judged(hash, before, at(hours)), expected, "{hash} {before:?} {hours}");
        }
        assert_eq!(mending(OnDrift::Report, &mendable(), "one", None, at(0)), (Drifted, None));
    }

    #[test]
    fn what_no_update_mends_is_said_to_be_so() {
        let why = |items: &[DriftItem]| mending(OnDrift::Mend, items, "one", None, at(0)).1;
        let gone = blocking(item(DriftKind::Gone, "Host1", "objectSid"), "remove it");
        let mixed = [mendable(), vec![gone]].concat();
        assert!(why(&mixed).is_some_and(|why| why.contains("Host1 is gone: remove it")), "{:?}", why(&mixed));
        let stranger = by_hand(item(DriftKind::Extra, "Host9", "member"), "take it out");
        assert!(why(std::slice::from_ref(&stranger)).is_some());
        assert_eq!(why(&[mendable(), vec![stranger]].concat()), None, "the rest is mended");
    }

    #[test]
    fn the_summary_says_how_they_stand_and_what_was_done() {
        let mut farms = DriftCounts::default();
        farms.add(DriftState::InLine, 998);
        farms.add(DriftState::Drifted, 2);
        assert_eq!(one_line(&farms, 1000, true), "1000 farms: 998 in-line, 2 drifted");
        assert_eq!(one_line(&farms, 0, false), "1000 farms: 998 in-line, 2 drifted; nothing has changed");
        assert_eq!(one_line(&farms, 1, false), "1000 farms: 998 in-line, 2 drifted; 1 farm compared anew");
    }
}
