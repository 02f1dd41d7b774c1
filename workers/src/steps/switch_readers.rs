//! The reader list on the way from one membership to another: the new way in first, then, once
//! every DC shows it and the hosts can use it, the old way out.
//!
//! Both are compare-and-swaps of the list as it was read; entries that are not the farm's keep
//! their bytes.

use async_trait::async_trait;
use directory::Entry;
use directory::security::ReaderDescriptor;
use domain::{
    AttributeValue, Change, ErrorCode, HostActionKind, HostAdapter, Mode, Problem, Sid, WaitReason,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::ensure_gmsa;
use super::gmsa::{self, READERS, Reader, Readers, readers_of};
use super::on_hosts::{self, HostJob};
use super::outputs::{count, not_as_written, to_value};
use super::preflight::{self, UpdateTargets};
use super::update_account;
use crate::{PlannedWait, Step, StepContext, StepError, StepPlan, Verified};

pub const ADMIT: &str = "admit-readers";
pub const RENEW: &str = "renew-tickets";
pub const WITHDRAW: &str = "withdraw-readers";

/// Output of `admit-readers` and `withdraw-readers`: the reader list as it is then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadersOutput {
    /// `None` while a group's SID is not known.
    pub list: Option<AttributeValue>,
}

/// Whom the changed manifest lets read.
fn wanted(cx: &StepContext) -> Result<Readers, StepError> {
    Ok(ensure_gmsa::wanted(cx)?.readers)
}

fn targets(cx: &StepContext) -> Result<UpdateTargets, StepError> {
    cx.output(preflight::NAME)
}

fn name_in(known: &[Reader], sid: &Sid) -> Option<String> {
    known.iter().find(|reader| reader.sid == *sid).map(|reader| reader.name.clone())
}

/// Every reader that is asked for has an entry; nobody loses one.
#[derive(Debug)]
pub struct AdmitReaders;

#[async_trait]
impl Step for AdmitReaders {
    type Observed = Entry;

    fn name(&self) -> &'static str {
        ADMIT
    }

    async fn check(&self, cx: &StepContext) -> Result<Entry, StepError> {
        update_account::read(cx).await
    }

    fn plan(&self, cx: &StepContext, found: &Entry) -> Result<StepPlan, StepError> {
        let wanted = match wanted(cx)? {
            Readers::Known(wanted) => wanted,
            pending @ Readers::Pending { .. } => {
                let attribute =
                    domain::AttributeChange::values(READERS, vec![pending.value(&[])?], Vec::new());
                let change = Change::modify(found.dn.clone(), vec![attribute]);
                let detail = format!("{}: {}", found.dn, pending.describe());
                return Ok(StepPlan::new(vec![change], detail, to_value(&ReadersOutput { list: None })?));
            }
        };
        let known: Vec<Reader> = wanted.iter().cloned().chain(targets(cx)?.withdrawn).collect();
        let change = gmsa::change_readers(
            found,
            |sid| name_in(&known, sid),
            |readers| {
                for reader in &wanted {
                    readers.allow(&reader.sid);
                }
            },
        )?;
        plan(found, change, "every reader that is asked for has an entry", "let in")
    }

    async fn verify(&self, cx: &StepContext, _: &StepPlan) -> Result<Verified, StepError> {
        let found = self.check(cx).await?;
        let lacking = lacking(&wanted(cx)?, &found)?;
        match lacking.is_empty() {
            true => read_back(&found, "every reader that is asked for has an entry"),
            false => Err(not_as_written(format!("{} does not name {}", found.dn, lacking.join(", ")))),
        }
    }
}

/// The asked readers without an entry of their own.
pub(super) fn lacking(wanted: &Readers, found: &Entry) -> Result<Vec<String>, StepError> {
    let Readers::Known(wanted) = wanted else { return Ok(Vec::new()) };
    let readers = readers_of(found)?.map(|readers| readers.readers()).unwrap_or_default();
    let missing = wanted.iter().filter(|reader| !readers.contains(&reader.sid));
    Ok(missing.map(|reader| reader.name.clone()).collect())
}

fn plan(found: &Entry, change: Option<Change>, nothing: &str, verb: &str) -> Result<StepPlan, StepError> {
    let list = match &change {
        Some(change) => change.attributes.first().and_then(|attribute| attribute.added().first()).cloned(),
        None => found.bytes(READERS).map(|bytes| AttributeValue::bytes(bytes.to_vec(), "")),
    };
    let expected = to_value(&ReadersOutput { list })?;
    Ok(match change {
        None => StepPlan::nothing(format!("{}: {nothing}", found.dn), expected),
        Some(change) => {
            let after = change.attributes.first().and_then(|a| a.added().first()).map(ToString::to_string);
            let detail = format!("{}: {verb}; then: {}", found.dn, after.unwrap_or_default());
            StepPlan::new(vec![change], detail, expected)
        }
    })
}

fn read_back(found: &Entry, what: &str) -> Result<Verified, StepError> {
    let list = found.bytes(READERS).map(|bytes| AttributeValue::bytes(bytes.to_vec(), ""));
    Ok(Verified { output: to_value(&ReadersOutput { list })?, detail: format!("{}: {what}", found.dn) })
}

/// Hosts whose way in is a group that is new to them hold tickets without it. Before the old way
/// is closed they get new ones: by the farm's adapter, or by people whose word is waited for.
#[derive(Debug)]
pub struct RenewTickets;

#[async_trait]
impl Step for RenewTickets {
    type Observed = HostJob;

    fn name(&self) -> &'static str {
        RENEW
    }

    async fn check(&self, cx: &StepContext) -> Result<HostJob, StepError> {
        let account = ensure_gmsa::wanted(cx)?.spec.sam_account_name.sam_account_name();
        Ok(HostJob { hosts: targets(cx)?.need_tickets, account })
    }

    fn plan(&self, cx: &StepContext, job: &HostJob) -> Result<StepPlan, StepError> {
        if job.hosts.is_empty() {
            return Ok(StepPlan::skip("no host changes to a group that is new to it"));
        }
        let adapter = cx.environment.hosts.adapter(&cx.host_actions()?);
        if adapter != HostAdapter::None {
            return on_hosts::plan(adapter, on_hosts::work(job, &[HostActionKind::PurgeTickets])?);
        }
        let hosts = count(job.hosts.len(), "host");
        if cx.mode == Mode::Plan || cx.memo::<bool>()?.is_some() {
            let detail = format!("a person says that {hosts} hold new Kerberos tickets");
            return Ok(StepPlan::nothing(detail, serde_json::Value::Null));
        }
        Err(wait(&hosts).into())
    }

    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

/// Nobody is cut off by the clock: a ticket can be renewed for a week without its groups.
fn wait(hosts: &str) -> PlannedWait {
    let message = format!(
        "{hosts} read by the old way; before it is closed they need Kerberos tickets that hold the new group"
    );
    let hint = "restart each host, or run `klist -li 0x3e7 purge` there as administrator; then `farmhand workflow \
                resume ID`. Until then every host reads by the old way";
    PlannedWait {
        reason: WaitReason::Operator,
        until: None,
        problem: Problem::new(ErrorCode::HostsAwaited, message, hint),
        memo: Some(json!(true)),
    }
}

/// The old way out: the entries that the record knows as the farm's and the manifest no longer asks for.
#[derive(Debug)]
pub struct WithdrawReaders;

#[async_trait]
impl Step for WithdrawReaders {
    type Observed = Entry;

    fn name(&self) -> &'static str {
        WITHDRAW
    }

    async fn check(&self, cx: &StepContext) -> Result<Entry, StepError> {
        let found = update_account::read(cx).await?;
        // In a dry run the new entries are not there yet.
        match (cx.mode, cx.output::<Option<ReadersOutput>>(ADMIT)?.and_then(|output| output.list)) {
            (Mode::Plan, Some(list)) => {
                let bytes = list.wire().map(<[u8]>::to_vec).into_iter().collect();
                Ok(Entry::new(found.dn, [(READERS.to_owned(), bytes)]))
            }
            _ => Ok(found),
        }
    }

    fn plan(&self, cx: &StepContext, found: &Entry) -> Result<StepPlan, StepError> {
        let withdrawn = targets(cx)?.withdrawn;
        if withdrawn.is_empty() {
            return Ok(StepPlan::skip("nobody's way in is closed"));
        }
        let mut known = withdrawn.clone();
        if let Readers::Known(wanted) = wanted(cx)? {
            known.extend(wanted);
        }
        let change =
            gmsa::change_readers(found, |sid| name_in(&known, sid), |readers| close(readers, &withdrawn))?;
        plan(found, change, "the old way in is closed", "close the old way in")
    }

    async fn verify(&self, cx: &StepContext, _: &StepPlan) -> Result<Verified, StepError> {
        let found = update_account::read(cx).await?;
        let readers = readers_of(&found)?.map(|readers| readers.readers()).unwrap_or_default();
        let left: Vec<_> =
            targets(cx)?.withdrawn.into_iter().filter(|old| readers.contains(&old.sid)).collect();
        match left.first() {
            None => read_back(&found, "the old way in is closed"),
            Some(reader) => Err(not_as_written(format!("{} still lets {} read", found.dn, reader.name))),
        }
    }
}

fn close(readers: &mut ReaderDescriptor, withdrawn: &[Reader]) {
    for reader in withdrawn {
        readers.remove(&reader.sid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::{self, reader, sid};

    #[test]
    fn those_without_an_entry_are_named() {
        let wanted = Readers::Known(vec![reader("ITFarmHosts", 1200), reader("Host1", 1101)]);
        assert_eq!(lacking(&wanted, &testing::account(&[])).expect("read"), ["Host1"]);
        let pending = Readers::Pending { group: "G".into() };
        assert_eq!(lacking(&pending, &testing::account(&[])).expect("read"), Vec::<String>::new());
    }

    #[test]
    fn closing_one_way_leaves_every_other_entry() {
        let mut readers = ReaderDescriptor::allowing([&sid(500), &sid(1200), &sid(1101)]);
        readers.deny(&sid(1199));
        close(&mut readers, &[reader("ITFarmHosts", 1200)]);
        assert_eq!((readers.readers(), readers.denied()), (vec![sid(500), sid(1101)], vec![sid(1199)]));
    }
}
