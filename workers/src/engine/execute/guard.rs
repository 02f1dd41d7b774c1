//! No write of a workflow lets a quarantined host in, whatever was planned and when.
//!
//! A host may be quarantined between a step's look and its write, and a workflow may have been planned
//! days ago. So the list is read again right before the write, here, where everything passes; only
//! for what decides who reads a password.

use std::collections::HashSet;

use directory::DirectoryRead;
use directory::security::{Access, ReaderDescriptor};
use domain::{
    AttributeChange, AttributeOp, AttributeValue, Change, ChangeKind, Dn, ErrorCode, Problem, Sid,
    WorkflowKind,
};
use store::Quarantined;

use super::reach;
use crate::quarantine::{refusal, told};
use crate::steps::gmsa::{CLASS, READERS};
use crate::steps::principals;
use crate::{StepContext, StepError};

const MEMBER: &str = "member";

/// A host that nothing may let in.
#[derive(Debug, Clone)]
pub struct Barred {
    pub host: Quarantined,
    /// Where its computer account is now. It may have been moved since, and in its old place another
    /// may stand: that of the host when it was rebuilt.
    pub dn: Option<Dn>,
}

/// Those that a list of changes must not let in; empty where the changes let nobody in.
pub async fn barred(cx: &StepContext, changes: &[Change]) -> Result<Vec<Barred>, StepError> {
    if is_exempt(cx.kind()) || !changes.iter().any(decides) {
        return Ok(Vec::new());
    }
    let quarantined = cx.quarantined().await?;
    let joins = changes.iter().any(|change| change.attributes.iter().any(adds_members));
    if !joins || quarantined.is_empty() {
        return Ok(quarantined.into_iter().map(|host| Barred { host, dn: None }).collect());
    }
    let dc = reach(cx, changes.first().and_then(|change| change.dc.as_deref())).await?;
    located(dc.as_ref(), quarantined).await
}

async fn located(dc: &dyn DirectoryRead, quarantined: Vec<Quarantined>) -> Result<Vec<Barred>, StepError> {
    let found = principals::by_sid(dc, quarantined.iter().map(|host| host.host_sid.clone())).await?;
    let at = |sid: &Sid| found.get(sid).map(|found| found.dn.clone());
    Ok(quarantined.into_iter().map(|host| Barred { dn: at(&host.host_sid), host }).collect())
}

/// A containment only takes ways in away; a release gives back what a second person has approved.
fn is_exempt(kind: Option<&WorkflowKind>) -> bool {
    kind.is_some_and(|kind| {
        [WorkflowKind::COMPROMISE_REMOVAL, WorkflowKind::QUARANTINE_RELEASE].contains(kind)
    })
}

fn decides(change: &Change) -> bool {
    let of_readers = |change: &AttributeChange| change.attribute.eq_ignore_ascii_case(READERS);
    change.attributes.iter().any(|attribute| of_readers(attribute) || adds_members(attribute))
        && change.kind != ChangeKind::Delete
}

fn adds_members(attribute: &AttributeChange) -> bool {
    attribute.attribute.eq_ignore_ascii_case(MEMBER) && !attribute.added().is_empty()
}

/// Refuses changes that let a quarantined host in; see [`judge`].
pub async fn check(cx: &StepContext, changes: &[Change]) -> Result<(), StepError> {
    judge(changes, &barred(cx, changes).await?)
}

/// Refuses changes of which one lets a barred host in.
pub fn judge(changes: &[Change], barred: &[Barred]) -> Result<(), StepError> {
    for change in changes.iter().filter(|change| change.kind != ChangeKind::Delete) {
        for attribute in &change.attributes {
            if let Some(host) = let_in(attribute, barred).first() {
                let what = format!("a change of {} of {} would let it in", attribute.attribute, change.dn);
                return Err(StepError::Fail(refusal(&host.host, &what)));
            }
        }
        without_denial(change, barred)?;
    }
    Ok(())
}

/// Who would be let in by that, or no longer kept out.
pub fn let_in<'a>(attribute: &AttributeChange, barred: &'a [Barred]) -> Vec<&'a Barred> {
    if attribute.attribute.eq_ignore_ascii_case(MEMBER) {
        let (names, sids) = new_members(attribute);
        let joins = |barred: &&Barred| {
            barred.dn.as_ref().is_some_and(|dn| names.contains(dn)) || sids.contains(&barred.host.host_sid)
        };
        return barred.iter().filter(joins).collect();
    }
    if !attribute.attribute.eq_ignore_ascii_case(READERS) {
        return Vec::new();
    }
    let Some(after) = list(attribute.added()) else { return Vec::new() };
    let before = list(attribute.removed());
    let reads = |barred: &&Barred| {
        let sid = &barred.host.host_sid;
        let was_denied = before.as_ref().is_some_and(|before| before.denies_first(sid));
        let itself = after.may_read(std::slice::from_ref(sid)) == Access::Granted;
        itself || (was_denied && !after.denies_first(sid))
    };
    barred.iter().filter(reads).collect()
}

pub fn list(values: &[AttributeValue]) -> Option<ReaderDescriptor> {
    ReaderDescriptor::from_bytes(values.first()?.wire()?).ok()
}

/// By name, and by the SID form that a DC takes too.
fn new_members(attribute: &AttributeChange) -> (HashSet<Dn>, HashSet<Sid>) {
    let stood = match &attribute.op {
        AttributeOp::Set { before, .. } => before.as_slice(),
        AttributeOp::Values { .. } => &[],
    };
    let new = attribute.added().iter().filter(|value| !stood.contains(value));
    let texts = new.filter_map(|value| std::str::from_utf8(value.wire()?).ok());
    let (mut names, mut sids) = (HashSet::new(), HashSet::new());
    for text in texts {
        match member_sid(text) {
            Some(sid) => drop(sids.insert(sid)),
            None => names.extend(Dn::parse(text)),
        }
    }
    (names, sids)
}

/// `<SID=S-1-5-21-...>` or `<SID=0105...>` (MS-ADTS 3.1.1.3.1.2.4).
pub fn member_sid(text: &str) -> Option<Sid> {
    let (head, inner) = text.strip_suffix('>')?.split_at_checked("<SID=".len())?;
    if !head.eq_ignore_ascii_case("<SID=") {
        return None;
    }
    let bytes = || Sid::from_bytes(&hex::decode(inner).ok()?).ok();
    inner.parse().ok().or_else(bytes)
}

/// A new gMSA keeps every quarantined host out from its first moment. One that does not was planned
/// before its host was quarantined: planned anew, it does.
fn without_denial(change: &Change, barred: &[Barred]) -> Result<(), StepError> {
    let is_gmsa = change.attribute("objectClass").is_some_and(|class| class.added().contains(&CLASS.into()));
    if change.kind != ChangeKind::Add || !is_gmsa {
        return Ok(());
    }
    let Some(list) = change.attribute(READERS).and_then(|readers| list(readers.added())) else {
        return Ok(());
    };
    match barred.iter().find(|barred| !list.denies_first(&barred.host.host_sid)) {
        None => Ok(()),
        Some(Barred { host, .. }) => Err(StepError::ReadAgain(Problem::new(
            ErrorCode::HostQuarantined,
            format!("{}, which came after {} was planned", told(host), change.dn),
            "nothing to do: the account is planned again, with an entry that denies the host",
        ))),
    }
}

/// The same without the members that are barred; `None` where nothing is left of it.
pub fn without_barred(change: AttributeChange, barred: &[Barred]) -> Option<AttributeChange> {
    let is_barred = |value: &AttributeValue| {
        let one = AttributeChange::values(MEMBER, vec![value.clone()], Vec::new());
        change.attribute.eq_ignore_ascii_case(MEMBER) && !let_in(&one, barred).is_empty()
    };
    let AttributeOp::Values { added, removed } = &change.op else { return Some(change) };
    let added: Vec<_> = added.iter().filter(|value| !is_barred(value)).cloned().collect();
    let any = !added.is_empty() || !removed.is_empty();
    any.then(|| AttributeChange::values(&change.attribute, added, removed.clone()))
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
