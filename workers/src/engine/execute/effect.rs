//! Which changes show in the directory: after a crash or a lost answer, these are ours.

use directory::{Base, Entry};
use domain::step::Intent;
use domain::{AttributeChange, AttributeOp, AttributeValue, Change, ChangeKind, Dn, Write};
use futures::future::join_all;

use super::{IDENTITY, acknowledged, by_dc, named, reach, with_identity};
use crate::{StepContext, StepError};

/// A DC's clock may be this much behind ours and still be the clock of a healthy domain
/// (Kerberos refuses more).
const CLOCK_SKEW: chrono::Duration = chrono::Duration::minutes(5);

/// What was found of an intent.
#[derive(Debug, Default)]
pub struct InEffect {
    pub writes: Vec<Write>,
    /// For DCs that cannot be asked now, although the changes name them.
    pub in_doubt: Vec<Change>,
    /// Why they cannot be asked.
    pub trouble: Option<StepError>,
}

/// Which of the intended changes are in effect now.
///
/// The intent was persisted after `check` had seen that they were missing, so what is there now
/// came since. An object counts as ours only if it was created since and holds the intended text
/// values; another administrator's object of the same name then stays untouched by an undo.
///
/// A step that names its DCs reads each of them itself and says what one that does not answer
/// means; so such a DC leaves its changes in doubt and holds nothing up here. The pinned DC does.
pub async fn in_effect(cx: &StepContext, intent: &Intent) -> Result<InEffect, StepError> {
    let shares = by_dc(&intent.changes, |change| named(change.dc.as_deref(), Some(&intent.dc)));
    let found = join_all(shares.into_iter().map(async |(dc, share)| {
        let writes = on_one_dc(cx, dc, intent, &share).await;
        (dc, share, writes)
    }));
    let mut all = InEffect::default();
    let mut troubles = Vec::new();
    for (dc, share, writes) in found.await {
        match writes {
            Ok(writes) => all.writes.extend(writes),
            Err(error @ (StepError::Retry { .. } | StepError::ReadAgain(_))) if dc.is_some() => {
                all.in_doubt.extend(share.into_iter().cloned());
                troubles.push(error);
            }
            Err(error) => return Err(error),
        }
    }
    all.trouble = StepError::worst(troubles);
    Ok(all)
}

async fn on_one_dc(
    cx: &StepContext,
    dc: Option<&str>,
    intent: &Intent,
    changes: &[&Change],
) -> Result<Vec<Write>, StepError> {
    let dc = reach(cx, dc).await?;
    let mut writes = Vec::new();
    for change in changes.iter().copied() {
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
        let write = found.map(|change| acknowledged(cx, dc.dc(), &change));
        writes.extend(write.map(|write| with_identity(write, entry.as_ref())));
    }
    Ok(writes)
}

/// Where the object of a change is looked for: one that is renamed by what cannot change, since
/// under either name another object may stand.
pub(super) fn place(change: &Change) -> Base {
    match (&change.object_guid, change.kind) {
        (Some(guid), ChangeKind::Rename) => Base::Guid(guid.clone()),
        _ => Base::from(&change.dn),
    }
}

pub(super) fn created_by(intent: &Intent, change: &Change, entry: &Entry) -> bool {
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
    (!attributes.is_empty()).then(|| Change { attributes, ..change.clone() })
}

pub(super) fn attribute_in_effect(attribute: &AttributeChange, entry: &Entry) -> Option<AttributeChange> {
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
pub(super) fn holds(entry: &Entry, attribute: &str, value: &AttributeValue) -> bool {
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
