//! The token that a host gets at its next logon.

use domain::Sid;

use crate::error::DirectoryError;
use crate::port::{Base, DirectoryRead};

/// SIDs that a new logon of an account holds. Not what an open session holds: that keeps the
/// groups of its ticket for up to ten hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub sid: Sid,
    /// Own SID, every group of it (nested, primary), Everyone and Authenticated Users. What the
    /// kind of logon adds (Network, This Organization) is not known here.
    pub sids: Vec<Sid>,
}

/// Reads tokenGroups of the account at `base`; `None` where there is none. A domain-local group
/// counts only in its own domain: ask a DC of the gMSA's domain.
pub async fn token_of(dc: &dyn DirectoryRead, base: &Base) -> Result<Option<Token>, DirectoryError> {
    // tokenGroups is computed for a base read only.
    let Some(entry) = dc.read(base, &["objectSid", "tokenGroups"]).await? else { return Ok(None) };
    let Some(sid) = entry.sid("objectSid") else { return Ok(None) };
    let groups = entry.values("tokenGroups").iter().filter_map(|bytes| Sid::from_bytes(bytes).ok());
    let everyone = Sid::new(1, vec![0]);
    let authenticated = Sid::new(5, vec![11]);
    let sids = [sid.clone()].into_iter().chain(groups).chain(everyone).chain(authenticated).collect();
    Ok(Some(Token { sid, sids }))
}
