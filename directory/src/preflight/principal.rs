//! Hosts, groups and accounts by any of their names.

use domain::{Dn, PrincipalRef, Sid};

use super::contexts;
use crate::entry::Entry;
use crate::error::DirectoryError;
use crate::ldap::filter_value;
use crate::port::{Base, DirectoryRead, Scope, Search};

/// A security principal or another object that was named as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub dn: Dn,
    pub sid: Option<Sid>,
    pub sam_account_name: Option<String>,
    pub object_classes: Vec<String>,
    pub kind: PrincipalKind,
    pub primary_group_id: Option<i64>,
    pub dns_host_name: Option<String>,
    /// userAccountControl has ACCOUNTDISABLE.
    pub disabled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrincipalKind {
    /// A real computer. A gMSA is of class `computer` too, and is none.
    Computer,
    Gmsa,
    /// A standalone managed service account.
    Smsa,
    User,
    Group {
        /// Distribution groups never enter a token.
        security: bool,
        scope: GroupScope,
    },
    /// Among them delegated managed service accounts, which are of class `computer` as well.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupScope {
    /// Takes members of its own domain only.
    Global,
    DomainLocal,
    Universal,
    /// Builtin, or a type that is not known.
    Other,
}

/// What a bare name stands for where both `NAME` and `NAME$` are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preferred {
    /// `NAME$`.
    Computer,
    /// `NAME`.
    Group,
}

pub(super) const ATTRIBUTES: [&str; 7] = [
    "objectClass",
    "objectSid",
    "sAMAccountName",
    "groupType",
    "primaryGroupID",
    "dNSHostName",
    "userAccountControl",
];

impl Principal {
    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            dn: entry.dn.clone(),
            sid: entry.sid("objectSid"),
            sam_account_name: entry.text("sAMAccountName").map(str::to_owned),
            object_classes: entry.texts("objectClass"),
            kind: kind(entry),
            primary_group_id: entry.int("primaryGroupID"),
            dns_host_name: entry.text("dNSHostName").map(str::to_owned),
            disabled: entry.int("userAccountControl").is_some_and(|control| control & 2 != 0),
        }
    }

    /// Whether it is the one of `NAME` and `NAME$` that is preferred.
    pub(super) fn is_preferred(&self, preferred: Preferred) -> bool {
        let machine = self.sam_account_name.as_deref().is_some_and(|name| name.ends_with('$'));
        machine == (preferred == Preferred::Computer)
    }
}

fn kind(entry: &Entry) -> PrincipalKind {
    match entry {
        _ if entry.is_class("msDS-GroupManagedServiceAccount") => PrincipalKind::Gmsa,
        _ if entry.is_class("msDS-ManagedServiceAccount") => PrincipalKind::Smsa,
        _ if entry.is_class("msDS-DelegatedManagedServiceAccount") => PrincipalKind::Other,
        _ if entry.is_class("computer") => PrincipalKind::Computer,
        _ if entry.is_class("group") => group(entry.int("groupType").unwrap_or_default()),
        _ if entry.is_class("user") => PrincipalKind::User,
        _ => PrincipalKind::Other,
    }
}

/// groupType (MS-ADTS 2.2.12): a signed 32-bit set of bits.
fn group(bits: i64) -> PrincipalKind {
    let scope = match bits & 0xF {
        2 => GroupScope::Global,
        4 => GroupScope::DomainLocal,
        8 => GroupScope::Universal,
        _ => GroupScope::Other,
    };
    PrincipalKind::Group { security: bits & 0x8000_0000 != 0, scope }
}

/// Looks a name up in the domain of `dc`; a DN or a SID where it points. `None`: not there, or
/// not to be seen by us.
pub async fn find_principal(
    dc: &dyn DirectoryRead,
    reference: &PrincipalRef,
    preferred: Preferred,
) -> Result<Option<Principal>, DirectoryError> {
    let name = match reference {
        PrincipalRef::Dn(dn) => return principal_at(dc, &dn.into()).await,
        PrincipalRef::Sid(sid) => return principal_at(dc, &sid.into()).await,
        PrincipalRef::Name(name) => name,
    };
    let domain = contexts(dc).await?.default_naming_context.clone();
    let escaped = filter_value(name);
    let filter = format!("(|(sAMAccountName={escaped})(sAMAccountName={escaped}$))");
    let found = dc.search(&Search::new(&domain, Scope::Subtree, filter, &ATTRIBUTES)).await?;
    let found = found.iter().map(Principal::of);
    Ok(found.min_by_key(|principal| !principal.is_preferred(preferred)))
}

/// The object at a DN or SID.
pub async fn principal_at(dc: &dyn DirectoryRead, base: &Base) -> Result<Option<Principal>, DirectoryError> {
    Ok(dc.read(base, &ATTRIBUTES).await?.as_ref().map(Principal::of))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(classes: &[&str], group_type: &str) -> Entry {
        let bytes = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        let attributes =
            [("objectClass".to_owned(), bytes(classes)), ("groupType".to_owned(), bytes(&[group_type]))];
        Entry::new(Dn::parse("CN=x,DC=y").expect("a DN"), attributes)
    }

    #[test]
    fn a_gmsa_is_no_computer_though_its_class_says_so() {
        let computer = ["top", "person", "organizationalPerson", "user", "computer"];
        let with = |leaf: &'static str| [computer.as_slice(), &[leaf]].concat();
        for (classes, expected) in [
            (computer.to_vec(), PrincipalKind::Computer),
            (with("msDS-GroupManagedServiceAccount"), PrincipalKind::Gmsa),
            (with("MSDS-ManagedServiceAccount"), PrincipalKind::Smsa),
            (with("msDS-DelegatedManagedServiceAccount"), PrincipalKind::Other),
            (computer[..4].to_vec(), PrincipalKind::User),
            (vec!["top", "contact"], PrincipalKind::Other),
        ] {
            assert_eq!(kind(&entry(&classes, "")), expected, "{classes:?}");
        }
    }

    #[test]
    fn a_groups_scope_and_security_are_bits_of_its_type() {
        for (text, security, scope) in [
            ("-2147483646", true, GroupScope::Global),
            ("-2147483644", true, GroupScope::DomainLocal),
            ("-2147483640", true, GroupScope::Universal),
            ("-2147483643", true, GroupScope::Other),
            ("2", false, GroupScope::Global),
        ] {
            let expected = PrincipalKind::Group { security, scope };
            assert_eq!(kind(&entry(&["top", "group"], text)), expected, "{text}");
        }
    }
}
