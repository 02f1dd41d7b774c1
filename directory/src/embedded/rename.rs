//! Modify DN (MS-ADTS 3.1.1.5.4), within one container. Moving objects is not what Farmhand does.

use domain::Dn;
use ldap3_proto::LdapResultCode;
use ldap3_proto::proto::LdapModifyDNRequest;

use super::add::set_rdn;
use super::draft::{Context, Draft, child_dn};
use super::forest::Changes;
use super::object::Object;
use super::reference;
use super::rejection::Rejection;

/// rangeUpper of cn. Samba does not look; Windows does.
const LONGEST: usize = 64;

pub fn rename(context: &Context<'_>, request: &LdapModifyDNRequest) -> Result<Changes, Rejection> {
    let LdapModifyDNRequest { dn, newrdn, deleteoldrdn, new_superior } = request;
    let object = reference::resolve(context.forest, dn).ok_or_else(|| {
        let text = format!("00002030: objectclass: Cannot rename {dn}, entry does not exist!");
        Rejection::new(LdapResultCode::NoSuchObject, text)
    })?;
    if !deleteoldrdn {
        return Err(Rejection::unwilling("00002035: Unwilling to perform. Old RDN must be deleted"));
    }
    let class = object.class().ok_or_else(|| Rejection::missing(dn))?;
    let name = new_name(object, class.name, class.rdn, newrdn)?;
    let denied = || Rejection::denied(format!("Object {} has no wp on name", object.dn));
    if !context.caller.may_rename(context.forest, object) {
        return Err(denied());
    }
    let parent = object.parent.and_then(|parent| context.forest.get(parent));
    let parent = parent.ok_or_else(|| needed(object))?;
    if let Some(superior) = new_superior
        && reference::resolve(context.forest, superior).map(|superior| superior.id) != Some(parent.id)
    {
        let text = "00002035: the embedded directory does not move objects";
        return Err(if context.caller.is_admin() { Rejection::unwilling(text) } else { denied() });
    }
    // Windows protects the domain's own objects (FLAG_DOMAIN_DISALLOW_RENAME); whatever has children
    // would take them along.
    if object.text("isCriticalSystemObject") == Some("TRUE") || context.forest.has_children(object.id) {
        return Err(needed(object));
    }
    let renamed = child_dn(parent, class.rdn, &name);
    if context.forest.by_dn(&renamed).is_some_and(|other| other.id != object.id) {
        let text = format!("Entry {renamed} already exists");
        return Err(Rejection::new(LdapResultCode::EntryAlreadyExists, text));
    }
    if name.chars().count() > LONGEST {
        return Err(Rejection::constraint(format!("{} is longer than {LONGEST} characters", class.rdn)));
    }
    let mut draft = Draft::new(context.forest, object.clone());
    draft.object.dn = renamed;
    set_rdn(&mut draft.object, class.rdn, &name);
    let dn = draft.object.dn.to_string();
    draft.object.set_text("distinguishedName", dn);
    Ok(draft.finish(context.clock.now()))
}

/// The value of the new RDN, whose attribute is the class's.
fn new_name(object: &Object, class: &str, attribute: &str, newrdn: &str) -> Result<String, Rejection> {
    if newrdn.split_once('=').is_some_and(|(_, value)| value.trim().is_empty()) {
        let text = format!("Empty RDN value on {} not permitted!", object.dn);
        return Err(Rejection::new(LdapResultCode::NamingViolation, text));
    }
    let malformed = || Rejection::new(LdapResultCode::Other, "00002095: Other");
    let parsed = Dn::parse(newrdn).map_err(|_| malformed())?;
    let [rdn] = parsed.rdns() else { return Err(malformed()) };
    if !rdn.attribute.eq_ignore_ascii_case(attribute) {
        let text =
            format!("00002035: objectclass: Invalid RDN '{}' for objectclass '{class}'!", rdn.attribute);
        return Err(Rejection::unwilling(text));
    }
    Ok(rdn.value.clone())
}

fn needed(object: &Object) -> Rejection {
    Rejection::unwilling(format!("00002035: {} is not renamed here", object.dn))
}
