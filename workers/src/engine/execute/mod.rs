//! Directory writes as the engine makes them: carried out, recognised after a crash, taken back.
//!
//! A change for a DC of its own goes there, side by side with those for other DCs; all others go to
//! the DC that the workflow is pinned to. What is meant for one DC goes there in order.

mod effect;
mod guard;
mod send;
mod take_back;

use directory::error::DirectoryErrorKind;
use directory::{Base, DirectoryWrite, Entry};
use domain::{Change, ChangeKind, ErrorCode, Write};
use futures::StreamExt as _;
use futures::future::join_all;
use std::sync::Arc;

use self::send::send;
use crate::step::Refused;
use crate::{StepContext, StepError};

pub use self::effect::{InEffect, in_effect};
pub use self::take_back::take_back;

/// What is read of an object to know which one it is and when it last changed.
const IDENTITY: [&str; 3] = ["objectGUID", "uSNChanged", "whenCreated"];

/// So many objects are looked up at once on one DC after they were written.
const LOOKED_UP_AT_ONCE: usize = 8;

/// How far a list of changes got.
#[derive(Debug, Default)]
pub struct Carried {
    /// Acknowledged.
    pub writes: Vec<Write>,
    /// Sent, and no answer came.
    pub unknown: Vec<Change>,
    /// Why it stopped before the end: of several reasons the worst.
    pub stopped: Option<StepError>,
    /// Of changes that stand each for itself: those that were not made.
    pub refused: Vec<Refused>,
}

/// Carries changes out: those for one DC in order, up to the first that fails, those for different
/// DCs side by side, so that one which fails or does not answer holds up none of the others.
///
/// The one place where a plan's writes leave: a quarantined host is let in by none of them.
pub async fn carry_out(cx: &StepContext, changes: &[Change]) -> Carried {
    carry(cx, changes, false).await
}

/// The same with changes that stand each for itself: one that a DC refuses stops none of those
/// behind it. Only one without an answer does, since it is read before anything is sent again.
pub async fn carry_out_each(cx: &StepContext, changes: &[Change]) -> Carried {
    carry(cx, changes, true).await
}

async fn carry(cx: &StepContext, changes: &[Change], each: bool) -> Carried {
    if let Err(error) = guard::check(cx, changes).await {
        return Carried { stopped: Some(error), ..Carried::default() };
    }
    let pinned = match changes.iter().any(|change| change.dc.is_none()) {
        true => cx.dc().await.ok().map(|dc| dc.dc()),
        false => None,
    };
    let shares = by_dc(changes, |change| named(change.dc.as_deref(), pinned));
    let carried = join_all(shares.into_iter().map(|(dc, share)| carry_share(cx, dc, share, each))).await;
    let mut all = Carried::default();
    let mut reasons = Vec::new();
    for share in carried {
        all.writes.extend(share.writes);
        all.unknown.extend(share.unknown);
        reasons.extend(share.stopped);
        all.refused.extend(share.refused);
    }
    all.stopped = StepError::worst(reasons);
    all
}

/// The DC by name; none where it is the pinned one.
fn named<'a>(dc: Option<&'a str>, pinned: Option<&str>) -> Option<&'a str> {
    dc.filter(|dc| pinned.is_none_or(|pinned| !pinned.eq_ignore_ascii_case(dc)))
}

/// What is for each DC, in order; DCs in the order in which they come first.
fn by_dc<'a, T>(
    items: impl IntoIterator<Item = &'a T>,
    dc: impl Fn(&'a T) -> Option<&'a str>,
) -> Vec<(Option<&'a str>, Vec<&'a T>)> {
    let mut shares: Vec<(Option<&str>, Vec<&T>)> = Vec::new();
    let key = |dc: Option<&str>| dc.map(str::to_ascii_lowercase);
    for item in items {
        let dc = dc(item);
        match shares.iter_mut().find(|(known, _)| key(*known) == key(dc)) {
            Some((_, share)) => share.push(item),
            None => shares.push((dc, vec![item])),
        }
    }
    shares
}

async fn reach(cx: &StepContext, dc: Option<&str>) -> Result<Arc<dyn DirectoryWrite>, StepError> {
    match dc {
        None => Ok(cx.dc().await?.clone()),
        Some(name) => Ok(cx.forest()?.pin(Some(name)).await?),
    }
}

async fn carry_share(cx: &StepContext, name: Option<&str>, changes: Vec<&Change>, each: bool) -> Carried {
    let mut carried = Carried::default();
    let dc = match reach(cx, name).await {
        Ok(dc) => dc,
        Err(error) if each => return Carried { refused: Refused::all(&changes, &error), ..carried },
        Err(error) => return Carried { stopped: Some(error), ..carried },
    };
    // On the pinned DC a change may build on the one before it, so each is looked at before the
    // next is sent. Elsewhere the sooner all have been sent the better.
    let at_once = name.is_some();
    let mut sent = Vec::new();
    for (index, change) in changes.iter().copied().enumerate() {
        // The last moment to notice that another worker may have the workflow by now.
        if cx.lease_is_lost() {
            carried.stopped = Some(lease_lost());
            break;
        }
        match send(dc.as_ref(), change).await {
            Ok(()) if at_once => sent.push(acknowledged(cx, dc.dc(), change)),
            Ok(()) => carried.writes.push(identified(dc.as_ref(), acknowledged(cx, dc.dc(), change)).await),
            Err(error) if each && !error.outcome_unknown() => {
                let gone = matches!(error.kind, DirectoryErrorKind::Unreachable(_));
                // A DC that is gone takes none of the others either, and each would be waited for.
                let of = if gone { &changes[index..] } else { &changes[index..=index] };
                carried.refused.extend(Refused::all(of, &error.into()));
                if gone {
                    break;
                }
            }
            Err(error) => {
                carried.unknown.extend(error.outcome_unknown().then(|| change.clone()));
                carried.stopped = Some(error.into());
                break;
            }
        }
    }
    let looks = sent.into_iter().map(|write| identified(dc.as_ref(), write));
    carried.writes.extend(futures::stream::iter(looks).buffered(LOOKED_UP_AT_ONCE).collect::<Vec<_>>().await);
    carried
}

fn lease_lost() -> StepError {
    StepError::ReadAgain(domain::Problem::new(
        ErrorCode::StepTimedOut,
        "the lease ran out before the write was sent",
        "nothing to do: another worker goes on",
    ))
}

/// The Write of a change that was acknowledged just now.
fn acknowledged(cx: &StepContext, dc: &str, change: &Change) -> Write {
    let (usn, object_guid) = (None, None);
    Write { dc: dc.to_owned(), change: change.clone(), usn, object_guid, at: cx.environment.clock.now() }
}

/// The same with what the DC says of the object. That it was written is certain, so trouble in
/// reading its number back must not make it look undone.
async fn identified(dc: &dyn DirectoryWrite, write: Write) -> Write {
    let identity = match write.change.kind {
        ChangeKind::Delete => None,
        ChangeKind::Add | ChangeKind::Modify | ChangeKind::Rename => {
            dc.read(&Base::from(&write.change.dn_after()), &IDENTITY).await.ok().flatten()
        }
    };
    with_identity(write, identity.as_ref())
}

fn with_identity(write: Write, identity: Option<&Entry>) -> Write {
    Write {
        usn: identity.and_then(|entry| entry.int("uSNChanged")),
        object_guid: identity.and_then(|entry| entry.guid("objectGUID")),
        ..write
    }
}

#[cfg(test)]
mod tests;
