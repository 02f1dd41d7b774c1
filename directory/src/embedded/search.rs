//! Search: which objects, and which of their attributes (MS-ADTS 3.1.1.3.1.3).

use std::collections::HashSet;

use ldap3_proto::LdapResultCode;
use ldap3_proto::proto::{LdapPartialAttribute, LdapSearchResultEntry, LdapSearchScope};

use super::computed;
use super::filter::Filter;
use super::forest::Forest;
use super::matching;
use super::object::{Object, ObjectId};
use super::reference;
use super::rejection::Rejection;
use super::rights::Caller;
use super::schema::{self, AttributeType};

/// MaxValRange of the default query policy. Samba has no such limit; a client must live with it.
const MAX_VALUES: usize = 1500;

pub struct Query<'a> {
    pub base: &'a str,
    pub scope: &'a LdapSearchScope,
    pub filter: &'a Filter,
    /// A global catalogue search may start above every naming context.
    pub whole_forest: bool,
}

/// The objects that the search finds, in the order in which they were made.
pub fn select(forest: &Forest, caller: Caller, query: &Query<'_>) -> Result<Vec<ObjectId>, Rejection> {
    let test = matching::compile(forest, caller, query.filter);
    let selects =
        |id: &ObjectId| forest.get(*id).is_some_and(|object| test.selects(forest, &caller.view(object)));
    let candidates = test.candidates(forest);
    let scoped = match (query.base, query.whole_forest) {
        ("", true) => match candidates {
            Some(candidates) => candidates.into_iter().collect(),
            None => forest.heads().flat_map(|head| forest.subtree(head.id)).collect(),
        },
        _ => {
            let base = find_base(forest, query.base)?;
            within(forest, base.id, query.scope, candidates)
        }
    };
    let mut found: Vec<_> = scoped.into_iter().filter(selects).collect();
    found.sort_unstable();
    Ok(found)
}

pub fn find_base<'a>(forest: &'a Forest, base: &str) -> Result<&'a Object, Rejection> {
    reference::resolve(forest, base).ok_or_else(|| {
        let dn = domain::Dn::parse(base);
        if dn.is_err() && !super::values::is_reference(base) && !base.is_empty() {
            let text = format!("00002032: invalid dn '{base}'");
            return Rejection::new(LdapResultCode::InvalidDNSyntax, text);
        }
        let mut missing = Rejection::missing(base);
        let nearest = dn.ok().and_then(|dn| forest.nearest(&dn).map(|near| near.dn.to_string()));
        missing.matched = nearest.unwrap_or_default();
        missing
    })
}

fn within(
    forest: &Forest,
    base: ObjectId,
    scope: &LdapSearchScope,
    candidates: Option<HashSet<ObjectId>>,
) -> Vec<ObjectId> {
    let parent = |id: &ObjectId| forest.get(*id).and_then(|object| object.parent);
    match (scope, candidates) {
        (LdapSearchScope::Base, _) => vec![base],
        (LdapSearchScope::OneLevel, Some(ids)) => {
            ids.into_iter().filter(|id| parent(id) == Some(base)).collect()
        }
        (LdapSearchScope::OneLevel, None) => forest.children(base).collect(),
        (LdapSearchScope::Subtree, Some(ids)) => {
            ids.into_iter().filter(|id| forest.is_within(*id, base)).collect()
        }
        (LdapSearchScope::Subtree, None) => forest.subtree(base),
        (LdapSearchScope::Children, _) => forest.subtree(base).into_iter().filter(|id| *id != base).collect(),
    }
}

/// The attributes that a search asks for.
#[derive(Debug)]
pub struct Selection {
    all: bool,
    named: Vec<Named>,
    types_only: bool,
}

#[derive(Debug)]
struct Named {
    attribute: &'static AttributeType,
    range: Option<(usize, Option<usize>)>,
}

impl Selection {
    /// `base_only`: whether the search has base scope, which tokenGroups insists on.
    pub fn new(names: &[String], types_only: bool, base_only: bool) -> Result<Self, Rejection> {
        let all = names.is_empty() || names.iter().any(|name| name == "*");
        let mut named = Vec::new();
        for name in names {
            let (bare, option) = name.split_once(';').map_or((name.as_str(), None), |(a, b)| (a, Some(b)));
            let range =
                option.and_then(|option| option.to_ascii_lowercase().strip_prefix("range=").map(parse_range));
            let Some(attribute) = schema::attribute(bare) else { continue };
            if attribute.name == "tokenGroups" && !base_only {
                let text = "00002120: operational attribute tokenGroups: this is not a BASE search";
                return Err(Rejection::new(LdapResultCode::OperationsError, text));
            }
            named.push(Named { attribute, range: range.flatten() });
        }
        Ok(Self { all, named, types_only })
    }
}

fn parse_range(text: &str) -> Option<(usize, Option<usize>)> {
    let (low, high) = text.split_once('-')?;
    let high = if high == "*" { None } else { Some(high.parse().ok()?) };
    Some((low.parse().ok()?, high))
}

/// One object as an answer.
pub fn project(
    forest: &Forest,
    caller: Caller,
    object: &Object,
    selection: &Selection,
) -> LdapSearchResultEntry {
    let object = &*caller.view(object);
    let mut attributes = Vec::new();
    let mut done = HashSet::new();
    for Named { attribute, range } in &selection.named {
        if done.insert(attribute.name) {
            put(forest, caller, object, attribute, *range, &mut attributes);
        }
    }
    if selection.all {
        for attribute in schema::attributes().filter(|attribute| attribute.is_default()) {
            if !done.contains(attribute.name) {
                put(forest, caller, object, attribute, None, &mut attributes);
            }
        }
    }
    if selection.types_only {
        attributes.iter_mut().for_each(|attribute| attribute.vals.clear());
    }
    LdapSearchResultEntry { dn: object.dn.to_string(), attributes }
}

fn put(
    forest: &Forest,
    caller: Caller,
    object: &Object,
    attribute: &'static AttributeType,
    range: Option<(usize, Option<usize>)>,
    out: &mut Vec<LdapPartialAttribute>,
) {
    if !caller.may_read(attribute) {
        return;
    }
    let values = values_of(forest, caller, object, attribute);
    let named = |name: String, vals: Vec<Vec<u8>>| LdapPartialAttribute { atype: name, vals };
    let name = attribute.name;
    if values.is_empty() {
        return;
    }
    match range {
        Some((low, high)) => {
            let wanted = high.map_or(usize::MAX, |high| high.saturating_sub(low).saturating_add(1));
            let count = wanted.min(MAX_VALUES);
            let ends = low.saturating_add(count) >= values.len();
            let last = if ends { "*".to_owned() } else { (low + count - 1).to_string() };
            let slice = values.into_iter().skip(low).take(count).collect();
            out.push(named(format!("{name};range={low}-{last}"), slice));
        }
        // Windows answers both the first range and the bare name without values.
        None if values.len() > MAX_VALUES => {
            out.push(named(name.to_owned(), Vec::new()));
            let slice = values.into_iter().take(MAX_VALUES).collect();
            out.push(named(format!("{name};range=0-{}", MAX_VALUES - 1), slice));
        }
        None => out.push(named(name.to_owned(), values)),
    }
}

fn values_of(
    forest: &Forest,
    caller: Caller,
    object: &Object,
    attribute: &'static AttributeType,
) -> Vec<Vec<u8>> {
    match attribute.source {
        schema::Source::Computed => computed::values(forest, caller, object, attribute.name),
        _ if attribute.is_link() => {
            let ends = forest.ends(object.id, attribute).into_iter().flatten();
            ends.filter_map(|id| forest.get(*id)).map(|end| end.dn.to_string().into_bytes()).collect()
        }
        _ => object.values(attribute.name).to_vec(),
    }
}

/// Whether the object has the value (Compare, RFC 4511, 4.10).
pub fn compare(
    forest: &Forest,
    caller: Caller,
    dn: &str,
    name: &str,
    value: &[u8],
) -> Result<bool, Rejection> {
    let object = find_base(forest, dn)?;
    if schema::attribute(name).is_none() {
        return Err(Rejection::unknown_attribute(name, &object.dn));
    }
    let filter = Filter::Equal(name.to_owned(), value.to_vec());
    Ok(matching::compile(forest, caller, &filter).selects(forest, object))
}
