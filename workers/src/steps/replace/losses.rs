//! What names the old SID elsewhere, as far as LDAP can see it.

use directory::{DirectoryRead, Scope, Search};
use domain::{Dn, Sid};

use crate::StepError;
use crate::steps::gmsa;

const RBCD: &str = "msDS-AllowedToActOnBehalfOfOtherIdentity";

/// Objects whose reader list or delegation descriptor names the SID.
pub async fn naming(
    dc: &dyn DirectoryRead,
    domain: &Dn,
    old: &Dn,
    sid: &Sid,
) -> Result<Vec<String>, StepError> {
    let filter = format!("(|(objectClass={})({RBCD}=*))", gmsa::CLASS);
    let search = Search::new(domain, Scope::Subtree, filter, &[gmsa::READERS, RBCD]);
    let mut found = Vec::new();
    for entry in dc.search(&search).await?.iter().filter(|entry| entry.dn != *old) {
        if entry.bytes(gmsa::READERS).is_some_and(|list| names(list, sid)) {
            found.push(format!("the reader list of {}: the new account cannot read that password", entry.dn));
        }
        if entry.bytes(RBCD).is_some_and(|list| names(list, sid)) {
            found.push(format!("{RBCD} of {}: the new account may not delegate to it", entry.dn));
        }
    }
    found.sort();
    Ok(found)
}

/// A SID within a security descriptor is its bytes, at whatever offset.
fn names(descriptor: &[u8], sid: &Sid) -> bool {
    let sid = sid.to_bytes();
    descriptor.windows(sid.len()).any(|window| window == sid)
}

/// What no search can find.
pub fn unseen(sid: &Sid) -> String {
    format!(
        "every access control list that names the old SID {sid}: files, shares, databases, services, local groups and \
         user rights of hosts, objects of the directory. LDAP cannot find them: grant the new account anew"
    )
}

#[cfg(test)]
mod tests {
    use directory::security::ReaderDescriptor;

    use super::*;
    use crate::steps::testing::sid;

    #[test]
    fn a_descriptor_names_whom_it_allows_and_nobody_with_another_number() {
        let list = ReaderDescriptor::allowing([&sid(1200), &sid(1300)]).to_bytes().expect("fits");
        assert!(names(&list, &sid(1300)) && !names(&list, &sid(1301)));
    }
}
