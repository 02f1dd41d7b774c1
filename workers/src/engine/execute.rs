//! Directory writes as the engine makes them: carried out one by one, recognised after a crash,
//! taken back.

use directory::{
    Attribute, Base, DirectoryError, DirectoryRead, DirectoryWrite, Entry, Modification, ResultCode,
};
use domain::step::Intent;
use domain::{AttributeChange, AttributeOp, AttributeValue, Change, ChangeKind, Dn, ErrorCode, Write};

use crate::step::Refused;
use crate::{StepContext, StepError};

/// What is read of an object to know which one it is and when it last changed.
const IDENTITY: [&str; 3] = ["objectGUID", "uSNChanged", "whenCreated"];

/// A DC's clock may be this much behind ours and still be the clock of a healthy domain
/// (Kerberos refuses more).
const CLOCK_SKEW: chrono::Duration = chrono::Duration::minutes(5);

/// How far a list of changes got.
#[derive(Debug, Default)]
pub struct Carried {
    /// Acknowledged.
    pub writes: Vec<Write>,
    /// Sent, and no answer came.
    pub unknown: Option<Change>,
    /// Why it stopped before the end.
    pub stopped: Option<StepError>,
    /// Of changes that stand each for itself: those that were not made.
    pub refused: Vec<Refused>,
}

/// Carries out changes that stand each for itself: one that is refused stops none of the others.
/// Only a write without an answer does, since it has to be read before anything is sent again.
pub async fn carry_out_each(cx: &StepContext, changes: &[Change]) -> Carried {
    let mut all = Carried::default();
    for change in changes {
        let carried = carry_out(cx, std::slice::from_ref(change)).await;
        all.writes.extend(carried.writes);
        match carried.stopped {
            Some(error) if carried.unknown.is_none() && !cx.lease_is_lost() => {
                all.refused.push(Refused::of(change, error));
            }
            stopped @ Some(_) => return Carried { stopped, unknown: carried.unknown, ..all },
            None => {}
        }
    }
    all
}

/// Carries changes out in order on the pinned DC; stops at the first that fails.
pub async fn carry_out(cx: &StepContext, changes: &[Change]) -> Carried {
    let mut carried = Carried::default();
    let dc = match cx.dc().await {
        Ok(dc) => dc,
        Err(error) => return Carried { stopped: Some(error), ..carried },
    };
    for change in changes {
        // The last moment to notice that another worker may have the workflow by now.
        if cx.lease_is_lost() {
            carried.stopped = Some(lease_lost());
            return carried;
        }
        match send(dc.as_ref(), change).await {
            Ok(()) => carried.writes.push(record(cx, dc.as_ref(), change.clone()).await),
            Err(error) => {
                carried.unknown = error.outcome_unknown().then(|| change.clone());
                carried.stopped = Some(error.into());
                return carried;
            }
        }
    }
    carried
}

fn lease_lost() -> StepError {
    StepError::ReadAgain(domain::Problem::new(
        ErrorCode::StepTimedOut,
        "the lease ran out before the write was sent",
        "nothing to do: another worker goes on",
    ))
}

/// The Write of a change that was acknowledged. That it happened is certain, so trouble in
/// reading its number back must not make it look undone.
async fn record(cx: &StepContext, dc: &dyn DirectoryWrite, change: Change) -> Write {
    let identity = match change.kind {
        ChangeKind::Delete => None,
        ChangeKind::Add | ChangeKind::Modify | ChangeKind::Rename => {
            dc.read(&Base::from(&change.dn_after()), &IDENTITY).await.ok().flatten()
        }
    };
    write_of(cx, dc.dc(), change, identity.as_ref())
}

fn write_of(cx: &StepContext, dc: &str, change: Change, identity: Option<&Entry>) -> Write {
    Write {
        dc: dc.to_owned(),
        change,
        usn: identity.and_then(|entry| entry.int("uSNChanged")),
        object_guid: identity.and_then(|entry| entry.guid("objectGUID")),
        at: cx.environment.clock.now(),
    }
}

async fn send(dc: &dyn DirectoryWrite, change: &Change) -> Result<(), DirectoryError> {
    match change.kind {
        ChangeKind::Add => {
            let attributes = change
                .attributes
                .iter()
                .map(|attribute| wire(dc, change, attribute, attribute.added()))
                .collect::<Result<Vec<_>, _>>()?;
            dc.add(&change.dn, &attributes).await
        }
        ChangeKind::Modify => modify(dc, change).await,
        ChangeKind::Delete => dc.delete(&change.dn).await,
        ChangeKind::Rename => dc.rename(&change.dn, change.new_name().unwrap_or_default()).await,
    }
}

/// As a compare-and-swap; where the DC does not take that form, as a replacement of what was just read.
async fn modify(dc: &dyn DirectoryWrite, change: &Change) -> Result<(), DirectoryError> {
    let refused = match dc.modify(&change.dn, &modifications(dc, change)?).await {
        Err(error) if is_single_swap(change) && may_be_the_form(&error) => error,
        other => return other,
    };
    // Whether a DC compares the bytes of every syntax is not known. Only where the value still is what
    // the change goes out from was it the form that was refused. Between this read and the write
    // another's change can be lost; that is why this is not the first way.
    let value = |of: fn(&AttributeChange) -> &[AttributeValue]| {
        change.attributes.first().map(|attribute| wire(dc, change, attribute, of(attribute))).transpose()
    };
    let (Some(before), Some(after)) = (value(AttributeChange::removed)?, value(AttributeChange::added)?)
    else {
        return Err(refused);
    };
    let name = before.name.clone();
    let holds = async |expected: &Attribute| {
        let entry = dc.read(&Base::from(&change.dn), &[&name]).await?;
        Ok::<_, DirectoryError>(entry.is_some_and(|entry| entry.values(&name) == expected.values))
    };
    if !holds(&before).await? {
        return Err(refused);
    }
    dc.modify(&change.dn, &[Modification::Replace(after.clone())]).await?;
    match holds(&after).await {
        // Overwritten in the meantime: not in effect, so it is read and planned again.
        Ok(false) => Err(refused),
        // Acknowledged; that reading back failed does not undo it.
        Ok(true) | Err(_) => Ok(()),
    }
}

/// One attribute that goes from one value to another.
fn is_single_swap(change: &Change) -> bool {
    let [attribute] = change.attributes.as_slice() else { return false };
    match &attribute.op {
        AttributeOp::Set { before, after } => before.len() == 1 && after.len() == 1,
        AttributeOp::Values { .. } => false,
    }
}

/// How a DC answers that cannot find the value to delete, or took no notice of the deletion.
fn may_be_the_form(error: &DirectoryError) -> bool {
    const INAPPROPRIATE_MATCHING: ResultCode = ResultCode(18);
    let codes =
        [ResultCode::NO_SUCH_ATTRIBUTE, INAPPROPRIATE_MATCHING, ResultCode::ATTRIBUTE_OR_VALUE_EXISTS];
    error.code().is_some_and(|code| codes.contains(&code))
}

/// Deletes before Adds: a DC refuses the Delete with noSuchAttribute when somebody has changed the
/// value since it was read, and then writes nothing at all (the compare-and-swap of AD).
fn modifications(dc: &dyn DirectoryRead, change: &Change) -> Result<Vec<Modification>, DirectoryError> {
    let mut modifications = Vec::new();
    for attribute in &change.attributes {
        if !attribute.removed().is_empty() {
            modifications.push(Modification::Delete(wire(dc, change, attribute, attribute.removed())?));
        }
        if !attribute.added().is_empty() {
            modifications.push(Modification::Add(wire(dc, change, attribute, attribute.added())?));
        }
    }
    Ok(modifications)
}

fn wire(
    dc: &dyn DirectoryRead,
    change: &Change,
    attribute: &AttributeChange,
    values: &[AttributeValue],
) -> Result<Attribute, DirectoryError> {
    let values = values.iter().map(|value| value.wire().map(<[u8]>::to_vec)).collect::<Option<Vec<_>>>();
    let values = values.ok_or_else(|| {
        let operation = format!("write {} of {}", attribute.attribute, change.dn);
        let kind = directory::error::DirectoryErrorKind::Refused(directory::error::Refusal::PendingValue);
        DirectoryError::new(dc.dc(), operation, kind)
    })?;
    Ok(Attribute { name: attribute.attribute.clone(), values })
}

/// Which of the intended changes are in effect now: after a crash or a lost answer, these are ours.
///
/// The intent was persisted after `check` had seen that they were missing, so what is there now
/// came since. An object counts as ours only if it was created since and holds the intended text
/// values; another administrator's object of the same name then stays untouched by an undo.
pub async fn in_effect(cx: &StepContext, intent: &Intent) -> Result<Vec<Write>, StepError> {
    let dc = cx.dc().await?;
    let mut writes = Vec::new();
    for change in &intent.changes {
        let names: Vec<&str> =
            change.attributes.iter().map(|attribute| attribute.attribute.as_str()).chain(IDENTITY).collect();
        let entry = dc.read(&place(change), &names).await?;
        let found = match (change.kind, &entry) {
            (ChangeKind::Add, Some(entry)) => created_by(intent, change, entry).then(|| change.clone()),
            (ChangeKind::Modify, Some(entry)) => changed_part(change, entry),
            (ChangeKind::Delete, None) => Some(change.clone()),
            (ChangeKind::Rename, Some(entry)) => (entry.dn == change.dn_after()).then(|| change.clone()),
            _ => None,
        };
        writes.extend(found.map(|change| write_of(cx, dc.dc(), change, entry.as_ref())));
    }
    Ok(writes)
}

/// Where the object of a change is looked for: one that is renamed by what cannot change, since
/// under either name another object may stand.
fn place(change: &Change) -> Base {
    match (&change.object_guid, change.kind) {
        (Some(guid), ChangeKind::Rename) => Base::Guid(guid.clone()),
        _ => Base::from(&change.dn),
    }
}

fn created_by(intent: &Intent, change: &Change, entry: &Entry) -> bool {
    let created_since = entry.time("whenCreated").is_some_and(|created| created >= intent.at - CLOCK_SKEW);
    let same = change.attributes.iter().all(|attribute| {
        // A DC may store a security descriptor in another form, and it completes objectClass.
        let texts = attribute.added().iter().filter(|value| matches!(value, AttributeValue::Text(_)));
        texts.into_iter().all(|value| holds(entry, &attribute.attribute, value))
    });
    created_since && same
}

/// The part of a Modify that shows in the object; `None` when no part does.
fn changed_part(change: &Change, entry: &Entry) -> Option<Change> {
    let attributes: Vec<_> =
        change.attributes.iter().filter_map(|attribute| attribute_in_effect(attribute, entry)).collect();
    (!attributes.is_empty()).then(|| Change::modify(change.dn.clone(), attributes))
}

fn attribute_in_effect(attribute: &AttributeChange, entry: &Entry) -> Option<AttributeChange> {
    let name = &attribute.attribute;
    match &attribute.op {
        AttributeOp::Set { after, .. } => {
            let found = entry.values(name).len() == after.len()
                && after.iter().all(|value| holds(entry, name, value));
            found.then(|| attribute.clone())
        }
        AttributeOp::Values { added, removed } => {
            let added: Vec<_> = added.iter().filter(|value| holds(entry, name, value)).cloned().collect();
            let removed: Vec<_> =
                removed.iter().filter(|value| !holds(entry, name, value)).cloned().collect();
            let any = !added.is_empty() || !removed.is_empty();
            any.then(|| AttributeChange::values(name, added, removed))
        }
    }
}

/// Whether the object holds the value, as AD compares: DNs and text without regard to case.
fn holds(entry: &Entry, attribute: &str, value: &AttributeValue) -> bool {
    let Some(wanted) = value.wire() else { return false };
    entry.values(attribute).iter().any(|found| same_value(found, wanted))
}

fn same_value(found: &[u8], wanted: &[u8]) -> bool {
    if found.eq_ignore_ascii_case(wanted) {
        return true;
    }
    let dn = |bytes: &[u8]| {
        std::str::from_utf8(bytes).ok().filter(|text| text.contains('=')).and_then(|t| Dn::parse(t).ok())
    };
    matches!((dn(found), dn(wanted)), (Some(found), Some(wanted)) if found == wanted)
}

/// Takes writes back in reverse order, each compared with what is there now. Twice is once.
pub async fn take_back(cx: &StepContext, writes: &[Write]) -> Result<(), StepError> {
    let dc = cx.dc().await?;
    for write in writes.iter().rev() {
        if cx.lease_is_lost() {
            return Err(lease_lost());
        }
        match write.change.kind {
            ChangeKind::Add => take_back_add(dc.as_ref(), write).await?,
            ChangeKind::Modify => take_back_modify(dc.as_ref(), write).await?,
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

async fn take_back_modify(dc: &dyn DirectoryWrite, write: &Write) -> Result<(), StepError> {
    let dn = &write.change.dn;
    let names: Vec<&str> =
        write.change.attributes.iter().map(|attribute| attribute.attribute.as_str()).collect();
    let Some(entry) = dc.read(&Base::from(dn), &names).await? else { return Ok(()) };
    let mut inverse = Vec::new();
    for attribute in &write.change.attributes {
        inverse.extend(inverse_of(dn, attribute, &entry)?);
    }
    if inverse.is_empty() {
        return Ok(());
    }
    let change = Change::modify(dn.clone(), inverse);
    modify(dc, &change).await?;
    Ok(())
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
fn inverse_of(
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

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(attributes: &[(&str, &[&str])]) -> Entry {
        let dn = Dn::parse("CN=G,DC=x").expect("valid");
        let values = |values: &[&str]| values.iter().map(|value| value.as_bytes().to_vec()).collect();
        Entry::new(dn, attributes.iter().map(|(name, list)| ((*name).to_owned(), values(list))))
    }

    #[test]
    fn only_values_that_show_count_as_in_effect() {
        let asked = AttributeChange::values("member", vec!["CN=a,DC=x".into(), "CN=b,DC=x".into()], vec![]);
        let found = attribute_in_effect(&asked, &entry(&[("member", &["cn=A, dc=x", "CN=z,DC=x"])]));
        assert_eq!(found, Some(AttributeChange::values("member", vec!["CN=a,DC=x".into()], vec![])));
        assert_eq!(attribute_in_effect(&asked, &entry(&[])), None);
    }

    #[test]
    fn an_undo_removes_what_was_added_and_nothing_else() {
        let done = AttributeChange::values("member", vec!["CN=a,DC=x".into()], vec![]);
        let dn = Dn::parse("CN=G,DC=x").expect("valid");
        let inverse =
            inverse_of(&dn, &done, &entry(&[("member", &["CN=a,DC=x", "CN=z,DC=x"])])).expect("possible");
        assert_eq!(inverse, Some(AttributeChange::values("member", vec![], vec!["CN=a,DC=x".into()])));
        let again = inverse_of(&dn, &done, &entry(&[("member", &["CN=z,DC=x"])])).expect("possible");
        assert_eq!(again, None, "undone already");
    }

    #[test]
    fn a_value_that_somebody_changed_since_is_not_overwritten_by_an_undo() {
        let done = AttributeChange::set("description", vec!["old".into()], vec!["new".into()]);
        let dn = Dn::parse("CN=G,DC=x").expect("valid");
        assert!(inverse_of(&dn, &done, &entry(&[("description", &["third"])])).is_err());
        let back = inverse_of(&dn, &done, &entry(&[("description", &["new"])])).expect("possible");
        assert_eq!(back, Some(done.inverse()));
    }

    #[test]
    fn an_object_that_was_there_before_the_intent_is_not_ours() {
        let at = chrono::DateTime::parse_from_rfc3339("2026-11-22T12:00:00Z").expect("valid").to_utc();
        let change = Change::add(
            Dn::parse("CN=G,DC=x").expect("valid"),
            vec![AttributeChange::new("sAMAccountName", ["G"])],
        );
        let intent = Intent { dc: "dc1".into(), changes: vec![change.clone()], at };
        let created = |when: &str, sam: &str| {
            created_by(&intent, &change, &entry(&[("whenCreated", &[when]), ("sAMAccountName", &[sam])]))
        };
        assert!(created("20261122120001.0Z", "g"));
        assert!(!created("20261122110000.0Z", "G"));
        assert!(!created("20261122120001.0Z", "H"));
    }
}
