//! Modify (MS-ADTS 3.1.1.5.3): the elements in the order given, all or none.

use domain::Dn;
use ldap3_proto::LdapResultCode;
use ldap3_proto::proto::{LdapModify, LdapModifyType};

use super::account;
use super::add::check_mandatory;
use super::draft::{Context, Draft};
use super::forest::Changes;
use super::object::Object;
use super::reference;
use super::rejection::Rejection;
use super::schema::{self, AttributeType, Source};
use super::spn;
use super::values;

/// `lax`: the permissive modify control. Like Samba it is not honoured for links, so that
/// nobody comes to rely on it.
pub fn modify(
    context: &Context<'_>,
    dn: &str,
    elements: &[LdapModify],
    lax: bool,
) -> Result<Changes, Rejection> {
    let object = reference::resolve(context.forest, dn).ok_or_else(|| Rejection::missing(dn))?;
    let mut draft = Draft::new(context.forest, object.clone());
    for element in elements {
        let name = &element.modification.atype;
        let attribute =
            schema::attribute(name).ok_or_else(|| Rejection::unknown_attribute(name, &object.dn))?;
        check_attribute(context, object, attribute)?;
        let (kind, given) = (&element.operation, &element.modification.vals);
        match attribute.is_link() {
            true => change_links(&mut draft, attribute, kind, given)?,
            false => change_values(&mut draft.object, attribute, kind, given, lax)?,
        }
    }
    settle(context, object, &mut draft)?;
    match draft.object == *object && !draft.changes_links() {
        // Seen on Samba: what is as it was keeps its uSNChanged.
        true => Ok(Changes { counters: context.forest.counters, ..Changes::default() }),
        false => Ok(draft.finish(context.clock.now())),
    }
}

/// Whether this caller may change this attribute of this object at all.
fn check_attribute(
    context: &Context<'_>,
    object: &Object,
    attribute: &'static AttributeType,
) -> Result<(), Rejection> {
    let class = object.class();
    match attribute.source {
        _ if attribute.name == "objectClass" => {
            let text = "00002014: objectclass: the structural class of an object cannot be changed";
            return Err(Rejection::new(LdapResultCode::ObjectClassViolation, text));
        }
        _ if attribute.name == "name" || class.is_some_and(|class| class.rdn == attribute.name) => {
            let text = format!("00002016: {} is the object's name: rename it instead", attribute.name);
            return Err(Rejection::new(LdapResultCode::NotALlowedOnRDN, text));
        }
        Source::Computed => {
            let text = format!("objectclass_attrs: attribute '{}' is constructed!", attribute.name);
            return Err(Rejection::constraint(text));
        }
        Source::Server if attribute.name == "objectSid" => {
            return Err(Rejection::unwilling("00002035: samldb: objectSid must not be specified!"));
        }
        Source::Server | Source::Creation => return Err(Rejection::system_only(attribute.name)),
        Source::Back { .. } => return Err(Rejection::unwilling("00002035: a back link cannot be changed")),
        Source::Caller | Source::Forward { .. } => {}
    }
    if !context.caller.may_write(context.forest, object, attribute) {
        let text = format!("Object {} has no write property access", object.dn);
        // Samba checks a link by another way, which words it otherwise.
        let bare = "error in module acl: insufficient access rights during LDB_MODIFY (50)";
        return Err(if attribute.is_link() { Rejection::denied_bare(bare) } else { Rejection::denied(text) });
    }
    if !class.is_some_and(|class| class.allows(attribute.name)) {
        return Err(Rejection::not_in_class(attribute.name, &object.dn));
    }
    Ok(())
}

fn change_links(
    draft: &mut Draft<'_>,
    attribute: &'static AttributeType,
    kind: &LdapModifyType,
    given: &[Vec<u8>],
) -> Result<(), Rejection> {
    match kind {
        LdapModifyType::Add => given.iter().try_for_each(|value| draft.add_link(attribute, value)),
        LdapModifyType::Delete if given.is_empty() => {
            draft.clear_links(attribute);
            Ok(())
        }
        // Nothing to remove from is another code than nothing to remove; seen on Samba.
        LdapModifyType::Delete if draft.targets(attribute).is_empty() => {
            Err(absent(&draft.object, attribute))
        }
        LdapModifyType::Delete => given.iter().try_for_each(|value| draft.remove_link(attribute, value)),
        LdapModifyType::Replace => {
            draft.clear_links(attribute);
            given.iter().try_for_each(|value| draft.add_link(attribute, value))
        }
        LdapModifyType::Increment => Err(unknown_kind()),
    }
}

fn unknown_kind() -> Rejection {
    Rejection::new(LdapResultCode::ProtocolError, "00000057: no such kind of modification")
}

fn change_values(
    object: &mut Object,
    attribute: &'static AttributeType,
    kind: &LdapModifyType,
    given: &[Vec<u8>],
    lax: bool,
) -> Result<(), Rejection> {
    let mut values = object.values(attribute.name).to_vec();
    match kind {
        LdapModifyType::Add => add_values(&mut values, attribute, given, (&object.dn, lax))?,
        LdapModifyType::Delete if given.is_empty() => {
            if values.is_empty() && !lax {
                return Err(absent(object, attribute));
            }
            values.clear();
        }
        LdapModifyType::Delete => {
            for value in given {
                let wanted = values::key(attribute, value);
                let at = values.iter().position(|value| values::key(attribute, value) == wanted);
                match at {
                    Some(at) => drop(values.remove(at)),
                    None if lax => {}
                    None => return Err(absent(object, attribute)),
                }
            }
        }
        LdapModifyType::Replace => {
            values.clear();
            add_values(&mut values, attribute, given, (&object.dn, lax))?;
        }
        LdapModifyType::Increment => return Err(unknown_kind()),
    }
    object.set(attribute.name, values);
    Ok(())
}

fn absent(object: &Object, attribute: &AttributeType) -> Rejection {
    let text = format!("attribute '{}': no such attribute for delete on '{}'", attribute.name, object.dn);
    Rejection::new(LdapResultCode::NoSuchAttribute, text)
}

fn add_values(
    values: &mut Vec<Vec<u8>>,
    attribute: &AttributeType,
    given: &[Vec<u8>],
    (dn, lax): (&Dn, bool),
) -> Result<(), Rejection> {
    for (at, value) in given.iter().enumerate() {
        values::check(attribute, value)?;
        // Exactly: Samba takes http/x beside HTTP/x on one object.
        match values.contains(value) {
            true if lax => continue,
            true if !attribute.single => {
                let text = format!("0000200D: value #{at} on '{}' already exists", attribute.name);
                return Err(Rejection::new(LdapResultCode::AttributeOrValueExists, text));
            }
            _ => {}
        }
        if attribute.single && !values.is_empty() {
            let code = LdapResultCode::AttributeOrValueExists;
            return Err(Rejection::single_valued(code, attribute.name, dn));
        }
        values.push(value.clone());
    }
    Ok(())
}

/// What must be right in the whole object after all elements, and what follows from them.
fn settle(context: &Context<'_>, before: &Object, draft: &mut Draft<'_>) -> Result<(), Rejection> {
    let object = &mut draft.object;
    if let Some(class) = object.class() {
        check_mandatory(object, class)?;
    }
    for name in ["sAMAccountName", "userAccountControl"] {
        if before.has(name) && !object.has(name) {
            return Err(Rejection::unwilling(format!("00002077: samldb: '{name}' can't be deleted!")));
        }
    }
    if before.values("sAMAccountName") != object.values("sAMAccountName") {
        account::check_name(context, object)?;
    }
    follow_rename(before, object);
    spn::check(context.forest, context.caller, object, before.values("servicePrincipalName"))?;
    if before.values("userAccountControl") != object.values("userAccountControl") {
        let old = before.int("userAccountControl").unwrap_or(0);
        account::check_control(context.caller, object, old)?;
    }
    Ok(())
}

/// SPNs follow the names that they were made from.
fn follow_rename(before: &Object, object: &mut Object) {
    if !object.is_a("computer") {
        return;
    }
    let names = |of: &Object, name: &str| of.text(name).map(str::to_owned).unwrap_or_default();
    let (old, new) = (names(before, "dNSHostName"), names(object, "dNSHostName"));
    if !new.is_empty() {
        spn::rename_host(object, &old, &new);
    }
    let (old, new) = (names(before, "sAMAccountName"), names(object, "sAMAccountName"));
    spn::rename_host(object, old.trim_end_matches('$'), new.trim_end_matches('$'));
}
