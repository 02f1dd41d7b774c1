//! Whether an account name is free.

use std::collections::HashSet;

use domain::{AccountName, Dn};

use super::contexts;
use crate::entry::Entry;
use crate::error::DirectoryError;
use crate::ldap::filter_value;
use crate::port::{Base, DirectoryRead, Scope, Search};

/// An object that uses a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameUser {
    pub dn: Dn,
    pub object_classes: Vec<String>,
    /// sAMAccountName, or the userPrincipalName that implies it.
    pub name: String,
}

/// Every object that uses `NAME$` in the domain of `dc`, and in the forest where a global
/// catalogue is at hand: the domain's copy is fresh, the catalogue's wide. Microsoft wants gMSA
/// names to be unique in the forest; a DC enforces it for the domain only, together with what
/// user principal names imply. Racy across DCs: a late refusal is the last word.
pub async fn account_name_users(
    dc: &dyn DirectoryRead,
    catalog: Option<&dyn DirectoryRead>,
    name: &AccountName,
) -> Result<Vec<NameUser>, DirectoryError> {
    let domain = contexts(dc).await?.default_naming_context.clone();
    let sam = filter_value(&name.sam_account_name());
    let upn = filter_value(&format!("{}@{}", name.sam_account_name(), domain.domain()));
    let filter = format!("(|(sAMAccountName={sam})(userPrincipalName={upn}))");
    let attributes = ["objectClass", "sAMAccountName", "userPrincipalName"];
    let mut found = dc.search(&Search::new(&domain, Scope::Subtree, filter, &attributes)).await?;
    if let Some(catalog) = catalog {
        let filter = format!("(sAMAccountName={sam})");
        found.extend(catalog.search(&Search::new(Base::Root, Scope::Subtree, filter, &attributes)).await?);
    }
    let mut seen = HashSet::new();
    let users = found.iter().filter(|entry| seen.insert(entry.dn.clone()));
    Ok(users.map(|entry| user(entry, name)).collect())
}

fn user(entry: &Entry, name: &AccountName) -> NameUser {
    let sam = entry.text("sAMAccountName");
    let same = sam.filter(|sam| sam.eq_ignore_ascii_case(&name.sam_account_name()));
    let shown = same.or_else(|| entry.text("userPrincipalName")).or(sam).unwrap_or_default();
    NameUser { dn: entry.dn.clone(), object_classes: entry.texts("objectClass"), name: shown.to_owned() }
}
