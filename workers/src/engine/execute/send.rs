//! One change as the DC is asked for it.

use directory::{Attribute, Base, DirectoryError, DirectoryRead, DirectoryWrite, Modification, ResultCode};
use domain::{AttributeChange, AttributeOp, AttributeValue, Change, ChangeKind};

pub(super) async fn send(dc: &dyn DirectoryWrite, change: &Change) -> Result<(), DirectoryError> {
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
pub(super) async fn modify(dc: &dyn DirectoryWrite, change: &Change) -> Result<(), DirectoryError> {
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
