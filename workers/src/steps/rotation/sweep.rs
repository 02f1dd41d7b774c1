//! `sweep-accounts`: every gMSA of the directory, or one farm's, is read, judged and recorded.
//!
//! The directory is read page by page while the page before is judged and recorded, and nothing of
//! the size of the directory is held or put into the workflow's row. A sweep that was interrupted
//! begins anew: what it recorded is true as it stands.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use directory::{Entry, Scope, Search};
use domain::containment::KeyId;
use domain::request::RotationCheckRequest;
use domain::rotation::{RootKeys, RotationCopy, RotationSummary, VerdictCounts};
use domain::{Dn, FarmName, Mode, RotationItem, RotationVerdict, Sid};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use store::RotationBatch;

use super::dcs::Dcs;
use super::findings::{Facts, findings};
use super::judge::{Around, judge};
use super::key_id;
use super::observe::{ATTRIBUTES, Account, DcCopy};
use super::on_record::{self, OnRecord};
use super::readers::{self, Names};
use super::root_keys::root_keys;
use crate::steps::find_farm;
use crate::steps::gmsa::CLASS;
use crate::steps::outputs::{count, to_value};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "sweep-accounts";

/// Accounts that one check has nudged; the rest is the next one's. Each is a workflow, and a fleet
/// that comes back from a long stop must not have all its hosts asked within a minute.
const NUDGES: usize = 100;
/// Farms that are named where there may be thousands.
const NAMED: u32 = 20;

/// Output: what was found, and whom to nudge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Swept {
    pub summary: RotationSummary,
    /// Accounts due whose farms want a nudge; the first ones.
    pub due: Vec<DueAccount>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DueAccount {
    pub farm: FarmName,
    pub account: String,
    pub sid: Sid,
    pub key: KeyId,
}

#[derive(Debug)]
pub struct Sweep;

#[async_trait]
impl Step for Sweep {
    type Observed = Swept;

    fn name(&self) -> &'static str {
        NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<Swept, StepError> {
        let request: RotationCheckRequest = cx.input()?;
        let started = cx.environment.clock.now();
        let mut sweeping = Sweeping::begin(cx, request).await?;
        match cx.farm_name().ok() {
            Some(_) => sweeping.one_farm().await?,
            None => {
                sweeping.whole_directory().await?;
                sweeping.forget(started).await?;
            }
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
    request: RotationCheckRequest,
    domain: Dn,
    dcs: Dcs,
    keys: RootKeys,
    names: Names,
    tally: Tally,
}

#[derive(Default)]
struct Tally {
    checked: u64,
    verdicts: VerdictCounts,
    findings: BTreeMap<String, u64>,
    changed: u64,
    gone: u64,
    due: Vec<DueAccount>,
    /// Due accounts beyond those that are nudged this time.
    left: u64,
    farms_without_account: Vec<FarmName>,
}

impl<'a> Sweeping<'a> {
    async fn begin(cx: &'a StepContext, request: RotationCheckRequest) -> Result<Self, StepError> {
        let dcs = Dcs::find(cx, request.every_dc).await?;
        let dc = dcs.pinned.read.clone();
        let domain = match dc.known_root_dse() {
            Some(root) => root.default_naming_context.clone(),
            None => dc.root_dse().await?.default_naming_context,
        };
        let in_use = cx.records()?.newest_root_key_in_use(&cx.directory).await?;
        let keys = root_keys(dc.as_ref(), dcs.pinned.now(cx.environment.clock.as_ref()), in_use).await?;
        let (names, tally) = (Names::default(), Tally::default());
        Ok(Self { cx, request, domain, dcs, keys, names, tally })
    }

    async fn one_farm(&mut self) -> Result<(), StepError> {
        let facts = self.cx.facts()?;
        let dc = self.dcs.pinned.read.clone();
        let attributes = [ATTRIBUTES.as_slice(), &["objectClass"]].concat();
        let found = dc.read(&(&facts.account_sid).into(), &attributes).await?;
        let found =
            found.filter(|entry| entry.is_class(CLASS)).ok_or_else(|| find_farm::gone(&facts.account_dn))?;
        self.page(vec![found]).await
    }

    async fn whole_directory(&mut self) -> Result<(), StepError> {
        let dc = self.dcs.pinned.read.clone();
        let filter = format!("(objectClass={CLASS})");
        let search = Search::new(&self.domain, Scope::Subtree, filter, &ATTRIBUTES);
        let mut pages = dc.pages(&search);
        let mut page = pages.next().await.transpose()?;
        while let Some(entries) = page {
            // The DC works on the next page meanwhile.
            let (next, done) = futures::join!(pages.next(), self.page(entries));
            done?;
            page = next.transpose()?;
        }
        Ok(())
    }

    async fn page(&mut self, entries: Vec<Entry>) -> Result<(), StepError> {
        let clock = self.cx.environment.clock.clone();
        let (name, now) = (self.dcs.pinned.read.dc().to_owned(), self.dcs.pinned.now(clock.as_ref()));
        let seen =
            entries.iter().filter_map(|entry| Some((Account::of(entry)?, DcCopy::of(&name, now, entry))));
        let (accounts, own): (Vec<_>, Vec<_>) = seen.unzip();
        drop(entries);
        let sids: Vec<_> = accounts.iter().map(|account| account.sid.clone()).collect();
        let mut copies = self.dcs.copies(&self.domain, &sids, clock.as_ref()).await;
        let dc = self.dcs.pinned.read.clone();
        self.names.learn(dc.as_ref(), &accounts).await?;
        let farms = self.cx.records()?.farms_of_accounts(&self.cx.directory, &sids).await?;
        let records = on_record::compare(dc.as_ref(), &self.domain, &accounts, &farms, &self.names).await?;
        let around = self.around();
        let items = accounts.iter().zip(own).map(|(account, own)| {
            let others = copies.remove(&account.sid).unwrap_or_default();
            let copies: Vec<_> = std::iter::once(own).chain(others).collect();
            self.item(account, &copies, &around, records.get(&account.sid))
        });
        let items: Vec<_> = items.collect();
        self.count(&items, &records);
        self.record(items, clock.now()).await
    }

    fn around(&self) -> Around {
        Around {
            every_dc: self.dcs.every_dc,
            silent: self.dcs.silent(),
            root_keys: self.keys.clone(),
            clocks_apart: self.dcs.apart(),
        }
    }

    fn item(
        &self,
        account: &Account,
        copies: &[DcCopy],
        around: &Around,
        record: Option<&OnRecord>,
    ) -> RotationItem {
        let judged = judge(account, copies, around);
        let (readers, reader_count) = readers::shown(account, &self.names);
        let names = &self.names;
        let max_interval_days = self.request.max_interval_days;
        let facts = Facts { account, copies, judged: &judged, around, names, record, max_interval_days };
        let findings = findings(&facts);
        RotationItem {
            directory: self.cx.directory.clone(),
            account: account.name.clone(),
            sid: account.sid.clone(),
            dn: account.dn.clone(),
            farm: record.map(|record| record.farm.clone()),
            verdict: judged.verdict,
            why: judged.why,
            key_id: judged.key.as_ref().map(key_id),
            interval_days: account.days,
            rollover_hours: judged.rollover.and_then(|life| u32::try_from(life.num_hours()).ok()),
            slot_start: judged.key.as_ref().map(|key| key.slot_start()),
            next_due: judged.next_due,
            password_set: account.password_set,
            enabled: account.enabled,
            readers,
            reader_count,
            findings,
            copies: copies
                .iter()
                .map(|copy| RotationCopy { dc: copy.dc.clone(), key_id: copy.id().map(key_id) })
                .collect(),
        }
    }

    fn count(&mut self, items: &[RotationItem], records: &HashMap<Sid, OnRecord>) {
        let tally = &mut self.tally;
        tally.checked += items.len() as u64;
        for item in items {
            tally.verdicts.add(item.verdict, 1);
            for code in item.codes() {
                *tally.findings.entry(code.to_string()).or_default() += 1;
            }
            let Some(record) = records.get(&item.sid).filter(|record| record.nudge) else { continue };
            let (true, Some(key)) = (is_nudged(item), &item.key_id) else { continue };
            if tally.due.len() == NUDGES {
                tally.left += 1;
                continue;
            }
            let (farm, account) = (record.farm.clone(), item.account.clone());
            tally.due.push(DueAccount { farm, account, sid: item.sid.clone(), key: key.clone() });
        }
    }

    async fn record(&mut self, items: Vec<RotationItem>, now: DateTime<Utc>) -> Result<(), StepError> {
        if self.cx.mode == Mode::Plan {
            return Ok(());
        }
        let (directory, workflow) = (self.cx.directory.clone(), self.cx.workflow_id);
        let batch = RotationBatch { directory, workflow, items, now };
        let recorded = self.cx.records()?.record_rotation(&batch).await?;
        self.tally.changed += recorded.changed;
        for change in recorded.verdicts {
            // A first look is no change of the account's.
            let Some(before) = change.before else { continue };
            let (from, to) = (before.as_str(), change.after.as_str());
            metrics::counter!("farmhand_rotation_verdict_changes_total", "from" => from, "to" => to)
                .increment(1);
            tracing::info!(account = change.account, from, to, "a gMSA's rotation verdict changed");
        }
        Ok(())
    }

    /// What the sweep did not meet is gone, and what is older than is kept is forgotten.
    async fn forget(&mut self, started: DateTime<Utc>) -> Result<(), StepError> {
        if self.cx.mode == Mode::Plan {
            return Ok(());
        }
        let (records, now) = (self.cx.records()?, self.cx.environment.clock.now());
        let directory = &self.cx.directory;
        self.tally.gone = records.note_gone_accounts(directory, started, self.cx.workflow_id, now).await?;
        self.tally.farms_without_account = records.farms_without_account(directory, NAMED).await?;
        let kept = TimeDelta::days(self.request.keep_days.into());
        if let Some(before) = now.checked_sub_signed(kept) {
            records.prune_rotation(directory, before).await?;
        }
        Ok(())
    }

    async fn finish(self) -> Result<Swept, StepError> {
        let embedded_directory = self.cx.forest()?.is_embedded();
        let warnings = self.warnings();
        let Tally { checked, verdicts, findings, changed, gone, due, farms_without_account, .. } = self.tally;
        let summary = RotationSummary {
            summary: one_line(checked, &verdicts, gone),
            checked,
            verdicts,
            findings,
            changed,
            gone,
            farms_without_account,
            root_keys: self.keys,
            domain_controllers: self.dcs.clocks(),
            nudges: Vec::new(),
            warnings,
            embedded_directory,
        };
        Ok(Swept { summary, due })
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.tally.left > 0 {
            warnings.push(format!("{} more are due and left to the next check's nudges", self.tally.left));
        }
        for dc in self.dcs.clocks() {
            if let Some(error) = dc.error {
                warnings.push(format!("{} was not asked: {error}", dc.name));
            }
        }
        if !self.dcs.every_dc {
            let dc = self.dcs.pinned.read.dc();
            warnings.push(format!(
                "only {dc} was asked; others may have rolled what it shows as due (everyDc asks all)"
            ));
        }
        warnings
    }
}

/// What a host's read makes roll. An overdue one ought to have rolled already, so a nudge is what
/// shows whether it can.
fn is_nudged(item: &RotationItem) -> bool {
    matches!(item.verdict, RotationVerdict::Due | RotationVerdict::Idle | RotationVerdict::Overdue)
        && item.enabled
}

fn one_line(checked: u64, verdicts: &VerdictCounts, gone: u64) -> String {
    let number = usize::try_from(checked).unwrap_or(usize::MAX);
    let told = verdicts.iter().filter(|(_, number)| *number > 0);
    let told: Vec<_> = told.map(|(verdict, number)| format!("{number} {verdict}")).collect();
    let told = if told.is_empty() { String::new() } else { format!(": {}", told.join(", ")) };
    let gone = if gone == 0 { String::new() } else { format!("; {gone} gone since the last check") };
    format!("{}{told}{gone}", count(number, "gMSA"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_what_there_is() {
        let mut verdicts = VerdictCounts::default();
        assert_eq!(one_line(0, &verdicts, 0), "0 gMSAs");
        verdicts.add(RotationVerdict::Due, 1);
        verdicts.add(RotationVerdict::Current, 2);
        assert_eq!(one_line(3, &verdicts, 1), "3 gMSAs: 2 current, 1 due; 1 gone since the last check");
    }
}
