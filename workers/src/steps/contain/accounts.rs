//! gMSAs as one DC shows them, with what a containment needs of each.

use directory::{DirectoryRead, Entry, Scope, Search};
use domain::Sid;
use futures::{StreamExt, TryStreamExt, stream};

use crate::StepError;
use crate::steps::gmsa::{CLASS, READERS};
use crate::steps::ways::domain_of;

/// Accounts in one search. Each term of the filter is one look into an index of the DC.
const TERMS: usize = 100;
/// Searches side by side.
const AT_ONCE: usize = 8;

/// What is read of each: little, since of tens of thousands it is read as well.
pub const ATTRIBUTES: [&str; 3] = ["objectSid", "sAMAccountName", READERS];

/// The filter of a search for all gMSAs.
pub fn all() -> String {
    format!("(objectClass={CLASS})")
}

/// Those of `sids` that the DC has, with `attributes`.
pub async fn by_sid(
    dc: &dyn DirectoryRead,
    sids: &[Sid],
    attributes: &[&str],
) -> Result<Vec<Entry>, StepError> {
    if sids.is_empty() {
        return Ok(Vec::new());
    }
    let domain = domain_of(dc).await?;
    let searches: Vec<_> = sids
        .chunks(TERMS)
        .map(|chunk| {
            let terms: String = chunk.iter().map(|sid| format!("(objectSid={sid})")).collect();
            let filter = format!("(&{}(|{terms}))", all());
            let search = Search::new(&domain, Scope::Subtree, filter, attributes);
            async move { dc.search(&search).await }
        })
        .collect();
    let found: Vec<_> = stream::iter(searches).buffered(AT_ONCE).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}
