//! Many principals at once.

use std::collections::HashMap;

use directory::preflight::{self, Preferred, Principal};
use directory::{DirectoryRead, Scope, Search};
use domain::{Dn, PrincipalRef, Sid};

use crate::StepError;

/// The principals of `sids` that this domain has.
pub async fn by_sid(
    dc: &dyn DirectoryRead,
    sids: impl IntoIterator<Item = Sid>,
) -> Result<HashMap<Sid, Principal>, StepError> {
    let sids: Vec<_> = sids.into_iter().map(PrincipalRef::Sid).collect();
    let found = preflight::find_principals(dc, &sids, Preferred::Computer).await?;
    Ok(found.into_iter().flatten().filter_map(|found| Some((found.sid.clone()?, found))).collect())
}

/// What each reference means, in their order.
pub async fn by_reference(
    dc: &dyn DirectoryRead,
    references: &[PrincipalRef],
    domain: &Dn,
) -> Result<Vec<Option<Principal>>, StepError> {
    // A DC answers for another domain's names with a referral, not with "no".
    let elsewhere =
        |reference: &PrincipalRef| matches!(reference, PrincipalRef::Dn(dn) if !dn.is_within(domain));
    let here: Vec<_> = references.iter().filter(|reference| !elsewhere(reference)).cloned().collect();
    let mut found = preflight::find_principals(dc, &here, Preferred::Computer).await?.into_iter();
    let meant = |reference| if elsewhere(reference) { None } else { found.next().flatten() };
    Ok(references.iter().map(meant).collect())
}

/// A computer that is a member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub dn: Dn,
    pub sid: Option<Sid>,
    /// sAMAccountName without its `$`.
    pub name: String,
}

/// The computers whose group `group` is, primary group included, by name. A gMSA is of class
/// computer too, but not of that category.
pub async fn computers_of(
    dc: &dyn DirectoryRead,
    domain: &Dn,
    group: &Dn,
    sid: Option<&Sid>,
) -> Result<Vec<Member>, StepError> {
    let escaped = directory::ldap::filter_value(group.as_str());
    let primary = sid.and_then(Sid::rid).map_or_else(String::new, |rid| format!("(primaryGroupID={rid})"));
    let filter = format!("(&(objectCategory=computer)(|(memberOf={escaped}){primary}))");
    let search = Search::new(domain, Scope::Subtree, filter, &["sAMAccountName", "objectSid"]);
    let mut members: Vec<_> = dc
        .search(&search)
        .await?
        .into_iter()
        .map(|entry| Member {
            sid: entry.sid("objectSid"),
            name: host_name(entry.text("sAMAccountName"), &entry.dn),
            dn: entry.dn,
        })
        .collect();
    members.sort_by_key(|member| member.name.to_lowercase());
    Ok(members)
}

/// A computer's name as people say it: without its `$`.
pub fn host_name(sam_account_name: Option<&str>, dn: &Dn) -> String {
    let name = sam_account_name.unwrap_or(&dn.rdn().value);
    name.strip_suffix('$').unwrap_or(name).to_owned()
}
