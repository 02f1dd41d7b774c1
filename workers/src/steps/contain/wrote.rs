//! What a step of the containment wrote, and what was refused to it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use directory::ReaderDescriptor;
use domain::{AttributeValue, Dn, Sid, Write};
use serde::{Deserialize, Serialize};

use super::affected::Affected;
use super::host::Host;
use crate::step::Refused;
use crate::steps::gmsa::READERS;
use crate::{StepContext, StepError};

/// When a DC acknowledged the last deny entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeniedAt {
    /// dNSHostName.
    pub dc: String,
    pub at: DateTime<Utc>,
}

/// A write that a DC did not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotTaken {
    pub dc: String,
    pub dn: Dn,
    pub attribute: String,
    pub why: String,
    /// What a person can do about it.
    pub hint: String,
}

impl NotTaken {
    pub fn of(refused: &Refused) -> Self {
        Self {
            dc: refused.change.dc.clone().unwrap_or_default(),
            dn: refused.change.dn.clone(),
            attribute: refused.change.attributes.first().map(|a| a.attribute.clone()).unwrap_or_default(),
            why: refused.problem.message.clone(),
            hint: refused.problem.hint.clone(),
        }
    }
}

impl std::fmt::Display for NotTaken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} on {}: {} ({})", self.dn, self.dc, self.why, self.hint)
    }
}

/// For each DC that was written to.
pub fn denied_at(writes: &[Write]) -> Vec<DeniedAt> {
    let mut last: BTreeMap<&str, DateTime<Utc>> = BTreeMap::new();
    for write in writes.iter().filter(|write| write.change.attribute(READERS).is_some()) {
        let at = last.entry(&write.dc).or_insert(write.at);
        *at = (*at).max(write.at);
    }
    last.into_iter().map(|(dc, at)| DeniedAt { dc: dc.to_owned(), at }).collect()
}

/// Puts on record which deny entries are ours, so that a release takes back no other.
pub async fn note_denials(cx: &StepContext, host: &Host, affected: &[Affected]) -> Result<(), StepError> {
    let ours = ours(cx.written(), &host.sid, affected);
    if ours.is_empty() {
        return Ok(());
    }
    let (directory, now) = (&cx.directory, cx.environment.clock.now());
    Ok(cx.records()?.note_denials(directory, &host.sid, &ours, cx.workflow_id, now).await?)
}

fn ours(writes: &[Write], host: &Sid, affected: &[Affected]) -> Vec<(Sid, Dn)> {
    let put_in = |write: &&Write| {
        let Some(attribute) = write.change.attribute(READERS) else { return false };
        !denies(attribute.removed(), host) && denies(attribute.added(), host)
    };
    let written: Vec<_> = writes.iter().filter(put_in).map(|write| &write.change.dn).collect();
    let ours = affected.iter().filter(|one| written.contains(&&one.dn));
    ours.map(|one| (one.sid.clone(), one.dn.clone())).collect()
}

fn denies(values: &[AttributeValue], host: &Sid) -> bool {
    let list = values.first().and_then(AttributeValue::wire).map(ReaderDescriptor::from_bytes);
    list.is_some_and(|list| list.is_ok_and(|list| list.denies_first(host)))
}

#[cfg(test)]
mod tests {
    use domain::{AttributeChange, Change};

    use super::*;
    use crate::steps::contain::affected::{on_record, survey};
    use crate::steps::contain::testing::{copy, farm, host};
    use crate::steps::testing::sid;

    fn write(dc: &str, second: i64, before: &ReaderDescriptor, after: &ReaderDescriptor) -> Write {
        let value = |list: &ReaderDescriptor| vec![AttributeValue::bytes(list.to_bytes().expect("fits"), "")];
        let change = AttributeChange::set(READERS, value(before), value(after));
        Write {
            dc: dc.into(),
            change: Change::modify(copy("One", 1301, &[]).dn, vec![change]).at(dc),
            usn: None,
            object_guid: None,
            at: DateTime::from_timestamp(second, 0).expect("a time"),
        }
    }

    #[test]
    fn only_a_deny_entry_that_was_put_in_is_ours() {
        let copies = [("dc1".to_owned(), vec![copy("One", 1301, &[sid(1101)])])];
        let candidates = on_record(&[farm("One", 1301, &[])], &host(), &[]);
        let affected = survey(&copies, &host(), &[sid(1101)], &candidates).affected;
        let open = ReaderDescriptor::allowing(&[sid(1101), sid(1200)]);
        let mut denied = open.clone();
        denied.deny(&sid(1101));
        let mut without = denied.clone();
        without.remove(&sid(1101));
        let ours = |before, after| ours(&[write("dc1", 1, before, after)], &sid(1101), &affected).len();
        assert_eq!(ours(&open, &without), 1);
        assert_eq!(ours(&denied, &without), 0, "somebody else had denied it before");
    }

    #[test]
    fn a_dc_has_denied_when_it_took_the_last_entry() {
        let list = ReaderDescriptor::allowing([]);
        let writes = [("dc1", 5), ("dc2", 7), ("dc1", 9)].map(|(dc, second)| write(dc, second, &list, &list));
        let at: Vec<_> = denied_at(&writes).into_iter().map(|one| (one.dc, one.at.timestamp())).collect();
        assert_eq!(at, [("dc1".to_owned(), 9), ("dc2".to_owned(), 7)]);
    }
}
