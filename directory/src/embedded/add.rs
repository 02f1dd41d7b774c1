//! Add (MS-ADTS 3.1.1.5.2).

use domain::Dn;
use ldap3_proto::LdapResultCode;

use super::account;
use super::classes::{self, Class};
use super::draft::{Context, Draft, child_dn, generalized_time, new_guid};
use super::forest::Changes;
use super::names;
use super::object::Object;
use super::rejection::Rejection;
use super::rights::Caller;
use super::schema::{self, AttributeType, Source};
use super::spn;
use super::values;

/// Attributes as they came in: names in any case.
pub type Given = Vec<(String, Vec<Vec<u8>>)>;

pub fn add(context: &Context<'_>, dn: &str, given: Given) -> Result<Changes, Rejection> {
    let invalid = |error| Rejection::new(LdapResultCode::InvalidDNSyntax, format!("00002032: {error}"));
    let dn = Dn::parse(dn).map_err(invalid)?;
    let given = known_attributes(context.caller, &dn, given)?;
    let class = leaf_class(&dn, &given)?;
    let parent = parent_of(context, &dn, class)?;
    let is_head = parent.is_none();
    let object = name(context, &dn, class, parent)?;
    let mut draft = Draft::new(context.forest, object);
    draft.counters.next_id += 1;
    for (attribute, values) in given {
        set(context.caller, class, &mut draft, attribute, values)?;
    }
    complete(context, class, &mut draft)?;
    if is_head {
        draft.object.set_text("instanceType", "5");
    }
    let now = context.clock.now();
    draft.object.set_text("whenCreated", generalized_time(now));
    draft.object.set_text("uSNCreated", (draft.counters.usn + 1).to_string());
    Ok(draft.finish(now))
}

type Known = Vec<(&'static AttributeType, Vec<Vec<u8>>)>;

/// Looks the attributes up and leaves out what a caller may send but the server decides.
fn known_attributes(caller: Caller, dn: &Dn, given: Given) -> Result<Known, Rejection> {
    let mut known = Known::new();
    for (name, values) in given {
        let attribute = schema::attribute(&name).ok_or_else(|| Rejection::unknown_attribute(&name, dn))?;
        match attribute.source {
            _ if caller == Caller::System => {}
            Source::Computed => {
                let text =
                    format!("0000200C: objectclass_attrs: attribute '{}' is constructed!", attribute.name);
                return Err(Rejection::new(LdapResultCode::UndefinedAttributeType, text));
            }
            Source::Server if is_ignored(attribute) => continue,
            Source::Server => return Err(Rejection::system_only(attribute.name)),
            Source::Back { .. } => return Err(Rejection::unwilling("00002035: a back link cannot be set")),
            _ => {}
        }
        if values.is_empty() || values.iter().any(Vec::is_empty) {
            let text = format!("Element {} has empty attribute in ldb message ({dn})!", attribute.name);
            return Err(Rejection::new(LdapResultCode::InvalidAttributeSyntax, text));
        }
        known.push((attribute, values));
    }
    Ok(known)
}

/// A DC drops these without a word.
fn is_ignored(attribute: &AttributeType) -> bool {
    matches!(
        attribute.name,
        "msDS-ManagedPasswordId"
            | "msDS-ManagedPasswordPreviousId"
            | "objectCategory"
            | "name"
            | "instanceType"
    )
}

fn leaf_class(dn: &Dn, given: &Known) -> Result<&'static Class, Rejection> {
    let violation = |text: String| Rejection::new(LdapResultCode::ObjectClassViolation, text);
    let classes = given.iter().find(|(attribute, _)| attribute.name == "objectClass");
    let (_, values) = classes.ok_or_else(|| violation(format!("00002014: no objectClass for {dn}")))?;
    let names: Vec<_> = values.iter().map(|value| String::from_utf8_lossy(value)).collect();
    if let Some(unknown) = names.iter().find(|name| classes::class_named(name).is_none()) {
        let text = format!("0000200A: objectClass {unknown} is not a valid objectClass in schema");
        return Err(Rejection::new(LdapResultCode::NoSuchAttribute, text));
    }
    let leaf = classes::most_specific(names.iter().map(AsRef::as_ref));
    leaf.filter(|class| !class.under.is_empty() || is_head_class(class))
        .ok_or_else(|| violation(format!("00002014: no structural class for {dn}")))
}

fn is_head_class(class: &Class) -> bool {
    matches!(class.name, "domainDNS" | "configuration" | "dMD")
}

fn parent_of<'a>(context: &Context<'a>, dn: &Dn, class: &Class) -> Result<Option<&'a Object>, Rejection> {
    if context.caller == Caller::System && is_head_class(class) {
        return Ok(None);
    }
    let parent = dn.parent().and_then(|parent| context.forest.by_dn(&parent));
    let parent = parent.ok_or_else(|| {
        let text = format!("00002030: objectclass: Cannot add {dn}, parent does not exist!");
        let mut rejection = Rejection::new(LdapResultCode::NoSuchObject, text);
        rejection.matched = context.forest.nearest(dn).map(|near| near.dn.to_string()).unwrap_or_default();
        rejection
    })?;
    Ok(Some(parent.as_ref()))
}

/// The new object with its place and its RDN, once the place is free, fits and is allowed.
fn name(
    context: &Context<'_>,
    dn: &Dn,
    class: &'static Class,
    parent: Option<&Object>,
) -> Result<Object, Rejection> {
    let rdn = dn.rdn();
    let id = context.forest.counters.next_id;
    let Some(parent) = parent else {
        let mut object = Object::new(id, None, dn.clone());
        set_rdn(&mut object, class.rdn, &rdn.value);
        return Ok(object);
    };
    let naming = |text: String| Rejection::new(LdapResultCode::NamingViolation, text);
    if !rdn.attribute.eq_ignore_ascii_case(class.rdn) {
        return Err(naming(format!("00002099: the name of a {} starts with {}=", class.name, class.rdn)));
    }
    if !parent.class().is_some_and(|parent| class.fits_under(parent)) && context.caller != Caller::System {
        let text = format!(
            "00002037: structural objectClass {} is not a valid child class for {}",
            class.name, parent.dn
        );
        return Err(naming(text));
    }
    if !context.caller.may_create(class, parent) {
        return Err(Rejection::denied_bare(format!("acl: unable to get access to {dn}")));
    }
    if context.forest.by_dn(dn).is_some() {
        let text = format!("Entry {dn} already exists");
        return Err(Rejection::new(LdapResultCode::EntryAlreadyExists, text));
    }
    // rangeUpper of cn. Samba does not look; Windows does.
    if rdn.value.chars().count() > 64 {
        return Err(Rejection::constraint(format!("{} is longer than 64 characters", class.rdn)));
    }
    let mut object = Object::new(id, Some(parent.id), child_dn(parent, class.rdn, &rdn.value));
    set_rdn(&mut object, class.rdn, &rdn.value);
    Ok(object)
}

/// `name` and the attribute that the class is named by follow the RDN.
pub fn set_rdn(object: &mut Object, attribute: &'static str, value: &str) {
    object.set_text(attribute, value);
    object.set_text("name", value);
}

fn set(
    caller: Caller,
    class: &'static Class,
    draft: &mut Draft<'_>,
    attribute: &'static AttributeType,
    given: Vec<Vec<u8>>,
) -> Result<(), Rejection> {
    match attribute.name {
        // The chain is expanded from the leaf.
        "objectClass" => {
            let chain: Vec<_> = class.chain().map(|class| class.name.as_bytes().to_vec()).collect();
            draft.object.set("objectClass", chain.into_iter().rev().collect());
            return Ok(());
        }
        name if name == class.rdn => return Ok(()),
        _ => {}
    }
    if !class.allows(attribute.name) && caller != Caller::System {
        return Err(Rejection::not_in_class(attribute.name, &draft.object.dn));
    }
    if attribute.single && given.len() > 1 {
        let code = LdapResultCode::ConstraintViolation;
        return Err(Rejection::single_valued(code, attribute.name, &draft.object.dn));
    }
    if attribute.is_link() {
        return given.iter().try_for_each(|value| draft.add_link(attribute, value));
    }
    for (at, value) in given.iter().enumerate() {
        values::check(attribute, value)?;
        if given[..at].contains(value) {
            let text = format!("0000200D: value #{at} on '{}' already exists", attribute.name);
            return Err(Rejection::new(LdapResultCode::AttributeOrValueExists, text));
        }
    }
    draft.object.set(attribute.name, given);
    Ok(())
}

/// What the server adds, and what must be right in the whole object.
fn complete(context: &Context<'_>, class: &'static Class, draft: &mut Draft<'_>) -> Result<(), Rejection> {
    if class.derives_from("user") {
        account::complete_account(context, draft)?;
    } else if class.name == "group" {
        account::complete_group(context, draft)?;
    }
    let object = &mut draft.object;
    if context.caller != Caller::System {
        check_mandatory(object, class)?;
        check_interval(object)?;
        spn::check(context.forest, context.caller, object, &[])?;
    }
    object.set_text("objectCategory", format!("CN={},{}", class.cn, names::SCHEMA));
    if !object.has("objectGUID") {
        object.set("objectGUID", vec![new_guid(context.rng)]);
    }
    object.set_text("instanceType", "4");
    let dn = object.dn.to_string();
    object.set_text("distinguishedName", dn);
    Ok(())
}

pub fn check_mandatory(object: &Object, class: &'static Class) -> Result<(), Rejection> {
    match class.mandatory().find(|name| !object.has(name)) {
        None => Ok(()),
        Some(name) => {
            let text = format!(
                "00002014: objectclass_attrs: at least one mandatory attribute ('{name}') on entry '{}' wasn't specified!",
                object.dn
            );
            Err(Rejection::new(LdapResultCode::ObjectClassViolation, text))
        }
    }
}

/// Samba takes 0 and less, and then fails at every read of the password.
fn check_interval(object: &Object) -> Result<(), Rejection> {
    match object.int("msDS-ManagedPasswordInterval") {
        Some(days) if days < 1 => {
            let text = "00002082: msDS-ManagedPasswordInterval is out of range";
            Err(Rejection::new(LdapResultCode::ConstraintViolation, text))
        }
        _ => Ok(()),
    }
}
