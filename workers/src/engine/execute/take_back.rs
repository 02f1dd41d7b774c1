//! Writes taken back, each compared with what is there now.

use directory::security::ReaderDescriptor;
use directory::{Base, DirectoryWrite, Entry};
use domain::{AttributeChange, AttributeOp, AttributeValue, Change, ChangeKind, Dn, ErrorCode, Write};
use futures::future::join_all;

use super::effect::{holds, place};
use super::guard::{self, Barred};
use super::send::modify;
use super::{IDENTITY, by_dc, lease_lost, named, reach};
use crate::steps::gmsa::READERS;
use crate::{StepContext, StepError};

/// Takes writes back where they were made: those of one DC in reverse order, those of different DCs
/// side by side. Twice is once.
pub async fn take_back(cx: &StepContext, writes: &[Write]) -> Result<(), StepError> {
    let pinned = cx.pinned();
    let shares = by_dc(writes.iter().rev(), |write| named(Some(&write.dc), pinned));
    let ends = join_all(shares.into_iter().map(|(dc, share)| take_share_back(cx, dc, share))).await;
    StepError::worst(ends.into_iter().filter_map(Result::err)).map_or(Ok(()), Err)
}

async fn take_share_back(cx: &StepContext, dc: Option<&str>, writes: Vec<&Write>) -> Result<(), StepError> {
    let dc = reach(cx, dc).await?;
    for write in writes {
        if cx.lease_is_lost() {
            return Err(lease_lost());
        }
        match write.change.kind {
            ChangeKind::Add => take_back_add(dc.as_ref(), write).await?,
            ChangeKind::Modify => take_back_modify(cx, dc.as_ref(), write).await?,
            ChangeKind::Rename => take_back_rename(dc.as_ref(), &write.change).await?,
            ChangeKind::Delete => {
                return Err(undo_failed(format!(
                    "{} was deleted and cannot be brought back by us",
                    write.change.dn
                )));
            }
        }
    }
    Ok(())
}

async fn take_back_add(dc: &dyn DirectoryWrite, write: &Write) -> Result<(), StepError> {
    let dn = &write.change.dn;
    let Some(entry) = dc.read(&Base::from(dn), &["objectGUID", "member"]).await? else { return Ok(()) };
    if write.object_guid.is_some() && entry.guid("objectGUID") != write.object_guid {
        // Deleted and made again by somebody else.
        return Ok(());
    }
    let foreign = entry.texts("member");
    if let Some(member) = foreign.first() {
        let message =
            format!("{dn} has {} member(s) that this workflow did not add, e.g. {member}", foreign.len());
        return Err(undo_failed(message));
    }
    dc.delete(dn).await?;
    match dc.read(&Base::from(dn), &["objectGUID"]).await? {
        None => Ok(()),
        Some(_) => Err(undo_failed(format!("{dn} is still there after it was deleted"))),
    }
}

async fn take_back_modify(cx: &StepContext, dc: &dyn DirectoryWrite, write: &Write) -> Result<(), StepError> {
    let dn = &write.change.dn;
    let names: Vec<&str> =
        write.change.attributes.iter().map(|attribute| attribute.attribute.as_str()).collect();
    let Some(entry) = dc.read(&Base::from(dn), &names).await? else { return Ok(()) };
    let whole = write.change.attributes.iter().map(AttributeChange::inverse).collect();
    let way_back = Change { attributes: whole, ..write.change.clone() };
    let barred = guard::barred(cx, std::slice::from_ref(&way_back)).await?;
    let mut inverse = Vec::new();
    for attribute in &write.change.attributes {
        inverse.extend(allowed_inverse(dn, attribute, &entry, &barred)?);
    }
    if inverse.is_empty() {
        return Ok(());
    }
    modify(dc, &Change::modify(dn.clone(), inverse)).await?;
    Ok(())
}

/// The way back, as far as it lets no quarantined host in again.
fn allowed_inverse(
    dn: &Dn,
    attribute: &AttributeChange,
    entry: &Entry,
    barred: &[Barred],
) -> Result<Option<AttributeChange>, StepError> {
    if attribute.attribute.eq_ignore_ascii_case(READERS)
        && let Some(readers) = readers_back(attribute, entry, barred)
    {
        return Ok(readers);
    }
    Ok(inverse_of(dn, attribute, entry)?.and_then(|inverse| guard::without_barred(inverse, barred)))
}

/// A reader list that went from one value to another and since then was at most contained: the value
/// of before with the denials of now. `None`: that is not so, or nobody is barred.
fn readers_back(
    attribute: &AttributeChange,
    entry: &Entry,
    barred: &[Barred],
) -> Option<Option<AttributeChange>> {
    let hosts: Vec<_> = barred.iter().map(|barred| &barred.host.host_sid).collect();
    let [value] = entry.values(READERS) else { return None };
    let now = ReaderDescriptor::from_bytes(value).ok().filter(|_| !hosts.is_empty())?;
    let (before, after) = (guard::list(attribute.removed())?, guard::list(attribute.added())?);
    let plain = |list: &ReaderDescriptor| {
        let mut list = list.clone();
        for sid in &hosts {
            list.lift_denial_written_by_us(sid);
        }
        list
    };
    if plain(&now) == plain(&before) {
        return Some(None);
    }
    if plain(&now) != plain(&after) {
        return None;
    }
    let mut back = before;
    for sid in hosts {
        // An entry that nobody wrote for a containment would be lifted by nobody.
        if now.denies_first(sid) {
            back.deny(sid)
        } else {
            back.remove(sid)
        };
    }
    if back == now {
        return Some(None);
    }
    let new = AttributeValue::bytes(back.to_bytes().ok()?, back.describe(|_| None));
    let old = AttributeValue::bytes(value.clone(), now.describe(|_| None));
    let change = AttributeChange::set(READERS, vec![old], vec![new]);
    Some(guard::let_in(&change, barred).is_empty().then_some(change))
}

async fn take_back_rename(dc: &dyn DirectoryWrite, change: &Change) -> Result<(), StepError> {
    let Some(entry) = dc.read(&place(change), &IDENTITY).await? else { return Ok(()) };
    let (before, after) = (&change.dn, change.dn_after());
    if entry.dn == *before {
        return Ok(());
    }
    if entry.dn != after {
        let message = format!("{after} has been renamed or moved by somebody else since: it is {}", entry.dn);
        return Err(undo_failed(message));
    }
    if dc.read(&Base::from(before), &IDENTITY).await?.is_some() {
        return Err(undo_failed(format!(
            "{after} cannot be renamed back: {before} is another object by now"
        )));
    }
    dc.rename(&after, &before.rdn().value).await?;
    Ok(())
}

/// What still has to be sent to take one attribute's change back, from what is there now.
pub(super) fn inverse_of(
    dn: &Dn,
    attribute: &AttributeChange,
    entry: &Entry,
) -> Result<Option<AttributeChange>, StepError> {
    let name = &attribute.attribute;
    match &attribute.op {
        AttributeOp::Values { added, removed } => {
            let to_remove: Vec<_> = added.iter().filter(|value| holds(entry, name, value)).cloned().collect();
            let to_add: Vec<_> = removed.iter().filter(|value| !holds(entry, name, value)).cloned().collect();
            let any = !to_remove.is_empty() || !to_add.is_empty();
            Ok(any.then(|| AttributeChange::values(name, to_add, to_remove)))
        }
        AttributeOp::Set { before, after } => {
            let is = |values: &[AttributeValue]| {
                entry.values(name).len() == values.len()
                    && values.iter().all(|value| holds(entry, name, value))
            };
            match (is(after), is(before)) {
                (_, true) => Ok(None),
                (true, false) => Ok(Some(attribute.inverse())),
                (false, false) => {
                    Err(undo_failed(format!("{name} of {dn} has been changed by somebody else since")))
                }
            }
        }
    }
}

fn undo_failed(message: String) -> StepError {
    StepError::fail(
        ErrorCode::UndoFailed,
        message,
        "look at the object, decide what is right, and put it so by hand",
    )
}
