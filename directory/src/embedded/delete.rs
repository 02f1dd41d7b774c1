//! Delete (MS-ADTS 3.1.1.5.5). No tombstones: nothing can be brought back.

use ldap3_proto::LdapResultCode;

use super::draft::Context;
use super::forest::Changes;
use super::reference;
use super::rejection::Rejection;

pub fn delete(context: &Context<'_>, dn: &str) -> Result<Changes, Rejection> {
    let object = reference::resolve(context.forest, dn).ok_or_else(|| {
        let text = format!("00002030: objectclass: Cannot delete {dn}, entry does not exist!");
        Rejection::new(LdapResultCode::NoSuchObject, text)
    })?;
    if !context.caller.may_delete(context.forest, object) {
        return Err(Rejection::denied_bare(format!("dsdb_access: Access check failed on {}", object.dn)));
    }
    if object.text("isCriticalSystemObject") == Some("TRUE") || object.parent.is_none() {
        return Err(Rejection::unwilling(format!("00002035: {} is needed by the domain", object.dn)));
    }
    if context.forest.has_children(object.id) {
        let text = format!("00002015: Cannot delete {}, not a leaf node (has children)!", object.dn);
        return Err(Rejection::new(LdapResultCode::NotAllowedOnNonLeaf, text));
    }
    let mut counters = context.forest.counters;
    counters.usn += 1;
    let unlink = context.forest.links_of(object.id);
    Ok(Changes { remove: vec![object.id], unlink, counters, ..Changes::default() })
}
