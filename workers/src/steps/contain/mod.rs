//! A compromised host is cut off: the steps of `compromise-removal`.
//!
//! A deny entry for the host's own SID, first in a gMSA's reader list, works at once: a DC reads the
//! list for every question, and the host's SID is in every token that it holds. So denial comes
//! first and everywhere; taking the host out of groups and lists, which bites only when tickets run
//! out, follows. Every DC is written to by itself: each answers from its own copy.
//!
//! What is written here is never taken back by a failure or a cancellation, and nothing that cannot
//! be read stops it: it is named in the result.

pub mod accounts;
pub mod affected;
pub mod await_stopped;
pub mod blast_radius;
pub mod close_doors;
pub mod contain_everywhere;
pub mod deny;
pub mod deny_on_record;
pub mod disable_computer;
pub mod doors;
pub mod exposure;
pub mod exposure_end;
pub mod host;
pub mod judge;
pub mod preempt;
pub mod reach;
pub mod sweep;
pub mod token;
pub mod wrote;

#[cfg(test)]
mod forest_tests;
#[cfg(test)]
pub(crate) mod testing;

use directory::Entry;
use domain::{ErrorCode, Problem};
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::affected::Affected;
use self::host::Host;
use self::reach::SOON;
use crate::step::Refused;
use crate::steps::outputs::list;
use crate::{StepContext, StepError};

/// What a plan or an output holds.
fn parsed<T: DeserializeOwned>(value: &Value) -> Result<T, StepError> {
    T::deserialize(value).map_err(|error| {
        StepError::fail(
            ErrorCode::StepFault,
            format!("an output cannot be read: {error}"),
            "this is a defect of Farmhand: report it with the workflow's id",
        )
    })
}

/// Reads the affected accounts back on these DCs. One that shows the host open was written by
/// somebody else at the same moment: it is read and written again at once. What a DC refused for
/// another reason, and a DC that is away, is left to the step that insists.
async fn read_back(
    cx: &StepContext,
    host: &Host,
    affected: &[Affected],
    dcs: Vec<String>,
) -> Result<(), StepError> {
    let accounts: Vec<_> = affected.iter().map(|one| one.sid.clone()).collect();
    if accounts.is_empty() {
        return Ok(());
    }
    let seen = reach::each(cx, dcs, Some(SOON), |dc| {
        let accounts = accounts.clone();
        async move { accounts::by_sid(dc.as_ref(), &accounts, &accounts::ATTRIBUTES).await }
    });
    let Ok(seen) = seen.await else { return Ok(()) };
    reopened(&seen.seen, affected, host, cx.refused()).map_or(Ok(()), Err)
}

fn reopened(
    copies: &[(String, Vec<Entry>)],
    affected: &[Affected],
    host: &Host,
    refused: &[Refused],
) -> Option<StepError> {
    let is_refused = |open: &deny::Open| {
        refused.iter().any(|one| {
            let same = one.change.dn == open.dn && one.change.dc.as_ref() == Some(&open.dc);
            same && one.problem.code != ErrorCode::DirectoryConflict
        })
    };
    let mut open = deny::open(copies, affected, host);
    let impossible = deny::denials(copies, affected, host, &Default::default()).impossible;
    open.retain(|one| {
        !is_refused(one) && !impossible.iter().any(|other| other.dc == one.dc && other.dn == one.dn)
    });
    if open.is_empty() {
        return None;
    }
    let open: Vec<_> = open.iter().map(|open| format!("{} on {}", open.dn, open.dc)).collect();
    Some(StepError::ReadAgain(Problem::new(
        ErrorCode::NotContained,
        format!("the host is not denied by {}", list(&open)),
        "somebody else writes the reader list at the same moment; it is read and written again by itself",
    )))
}
