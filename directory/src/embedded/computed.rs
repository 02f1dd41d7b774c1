//! Attributes that are computed for each answer (MS-ADTS 3.1.1.4.5).

use std::collections::HashSet;

use super::classes;
use super::forest::Forest;
use super::object::{Object, ObjectId};
use super::rights::{self, Caller};
use super::schema::{self, Source};

pub fn values(forest: &Forest, caller: Caller, object: &Object, name: &str) -> Vec<Vec<u8>> {
    let texts = |texts: Vec<&str>| texts.into_iter().map(|text| text.as_bytes().to_vec()).collect();
    match name {
        "tokenGroups" => token_groups(forest, object),
        "canonicalName" => vec![canonical_name(object).into_bytes()],
        "createTimeStamp" => object.values("whenCreated").to_vec(),
        "modifyTimeStamp" => object.values("whenChanged").to_vec(),
        "primaryGroupToken" if object.is_a("group") => object
            .sid()
            .and_then(|sid| sid.rid())
            .map(|rid| rid.to_string().into_bytes())
            .into_iter()
            .collect(),
        "msDS-User-Account-Control-Computed" if object.is_a("user") => vec![b"0".to_vec()],
        "msDS-KeyVersionNumber" if object.is_a("user") => {
            let version = 1 + u8::from(object.has("msDS-ManagedPasswordPreviousId"));
            vec![version.to_string().into_bytes()]
        }
        "allowedChildClasses" => texts(child_classes(object, None)),
        "allowedChildClassesEffective" => texts(child_classes(object, Some(caller))),
        "allowedAttributes" => texts(attributes(forest, object, None)),
        "allowedAttributesEffective" => texts(attributes(forest, object, Some(caller))),
        // msDS-ManagedPassword: nobody is let into a password here, and there is none.
        _ => Vec::new(),
    }
}

/// SIDs of all groups of an account: its primary group, and what its memberships lead to.
pub fn token_groups(forest: &Forest, account: &Object) -> Vec<Vec<u8>> {
    let groups = groups_of(forest, account);
    let mut sids: Vec<_> = groups
        .into_iter()
        .filter_map(|id| forest.get(id))
        // Distribution groups never enter a token.
        .filter(|group| group.int("groupType").is_some_and(|kind| kind < 0))
        .flat_map(|group| group.values("objectSid").to_vec())
        .collect();
    sids.sort();
    sids
}

fn groups_of(forest: &Forest, account: &Object) -> HashSet<ObjectId> {
    let Some(member_of) = schema::attribute("memberOf") else { return HashSet::new() };
    let mut groups = forest.closure(account.id, member_of);
    let primary = account.int("primaryGroupID").and_then(|rid| u32::try_from(rid).ok());
    let domain = forest.heads().find_map(|head| head.sid());
    let primary = domain.zip(primary).and_then(|(domain, rid)| forest.by_sid(&domain.with_rid(rid)?));
    if let Some(primary) = primary {
        groups.insert(primary.id);
        groups.extend(forest.closure(primary.id, member_of));
    }
    groups
}

/// `contoso.com/Users/Administrator`.
fn canonical_name(object: &Object) -> String {
    let parts = object.dn.rdns().iter().filter(|rdn| !rdn.attribute.eq_ignore_ascii_case("dc"));
    let path: Vec<_> = parts.map(|rdn| rdn.value.replace('/', "\\/")).collect();
    let path: Vec<_> = path.iter().rev().map(String::as_str).collect();
    format!("{}/{}", object.dn.domain(), path.join("/"))
}

fn child_classes(object: &Object, caller: Option<Caller>) -> Vec<&'static str> {
    let Some(own) = object.class() else { return Vec::new() };
    let fitting = classes::classes().filter(|class| class.fits_under(own));
    let allowed = fitting.filter(|class| caller.is_none_or(|caller| caller.may_create(class, object)));
    allowed.map(|class| class.name).collect()
}

fn attributes(forest: &Forest, object: &Object, caller: Option<Caller>) -> Vec<&'static str> {
    let Some(class) = object.class() else { return Vec::new() };
    schema::attributes()
        .filter(|attribute| class.allows(attribute.name))
        .filter(|attribute| match (caller, attribute.source) {
            (None, _) => true,
            (Some(_), Source::Computed) => false,
            (Some(caller), _) => {
                rights::is_writable(attribute) && caller.may_write(forest, object, attribute)
            }
        })
        .map(|attribute| attribute.name)
        .collect()
}
