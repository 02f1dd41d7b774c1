//! Groups and gMSAs as an administrator makes them with other tools: nothing of the product is asked.

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::lab::{GMSA_CONTAINER, GROUP_CONTAINER, HOST_CONTAINER};
use crate::ldap::Ldap;

pub fn account_dn(name: &str) -> String {
    format!("CN={name},{GMSA_CONTAINER}")
}
pub fn group_dn(name: &str) -> String {
    format!("CN={name},{GROUP_CONTAINER}")
}
pub fn host_dn(name: &str) -> String {
    format!("CN={name},{HOST_CONTAINER}")
}

/// Makes a group of the lab's container with these members (DNs); gives its SID.
///
/// # Errors
/// When the DC does not take it; so for the others.
pub fn make_group(admin: &Ldap, name: &str, members: &[String]) -> Result<Vec<u8>> {
    let members: String = members.iter().map(|dn| format!("member: {dn}\n")).collect();
    let dn = group_dn(name);
    admin.apply(&format!(
        "dn: {dn}\nchangetype: add\nobjectClass: group\nsAMAccountName: {name}\n{members}"
    ))?;
    sid(admin, &dn)
}

/// Makes a gMSA with one service principal name, `http/NAME`, and these entries in its reader list.
pub fn make_gmsa(admin: &Ldap, name: &str, entries: &[Vec<u8>]) -> Result<()> {
    let readers = STANDARD.encode(descriptor(entries));
    admin.apply(&format!(
        "dn: {}\nchangetype: add\nobjectClass: msDS-GroupManagedServiceAccount\nsAMAccountName: {name}$\n\
         userAccountControl: 4096\ndNSHostName: {name}.contoso.com\nmsDS-ManagedPasswordInterval: 30\n\
         msDS-SupportedEncryptionTypes: 28\nmsDS-GroupMSAMembership:: {readers}\nservicePrincipalName: http/{name}\n",
        account_dn(name)
    ))
}

/// Overwrites the reader list.
pub fn readers(admin: &Ldap, dn: &str, entries: &[Vec<u8>]) -> Result<()> {
    let value = STANDARD.encode(descriptor(entries));
    admin.apply(&format!(
        "dn: {dn}\nchangetype: modify\nreplace: msDS-GroupMSAMembership\nmsDS-GroupMSAMembership:: {value}\n"
    ))
}

pub fn sid(admin: &Ldap, dn: &str) -> Result<Vec<u8>> {
    let found = admin.read(dn, &["objectSid"])?.with_context(|| format!("there is no {dn}"))?;
    Ok(found.values("objectSid").first().with_context(|| format!("{dn} has no SID"))?.clone())
}

/// Access control entries (MS-DTYP 2.4.4.2, 2.4.4.4) with the mask that Windows' tools write.
pub mod entry {
    pub fn allow(sid: &[u8]) -> Vec<u8> {
        of(0, sid)
    }

    pub fn deny(sid: &[u8]) -> Vec<u8> {
        of(1, sid)
    }

    fn of(kind: u8, sid: &[u8]) -> Vec<u8> {
        let length = super::short(8 + sid.len());
        [&[kind, 0], &length[..], &[0xff, 0x01, 0x0f, 0x00], sid].concat()
    }
}

/// A self-relative descriptor (MS-DTYP 2.4.6) that Administrators own, with these entries in this order.
pub fn descriptor(entries: &[Vec<u8>]) -> Vec<u8> {
    let administrators = [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0];
    let body = entries.concat();
    let (size, count) = (short(8 + body.len()), short(entries.len()));
    let acl = [&[4, 0], &size[..], &count[..], &[0, 0], &body[..]].concat();
    let head = [1, 0, 0x04, 0x80, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 36, 0, 0, 0];
    [&head[..], &administrators, &acl].concat()
}

/// The entries of a descriptor's DACL: type and SID, in their order.
///
/// # Panics
/// When it is no self-relative descriptor with a DACL.
pub fn entries(descriptor: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let short = |at: usize| usize::from(u16::from_le_bytes([descriptor[at], descriptor[at + 1]]));
    let dacl = short(16) + (short(18) << 16);
    let (mut at, mut found) = (dacl + 8, Vec::new());
    for _ in 0..short(dacl + 4) {
        let length = short(at + 2);
        found.push((descriptor[at], descriptor[at + 8..at + length].to_vec()));
        at += length;
    }
    found
}

fn short(value: usize) -> [u8; 2] {
    u16::try_from(value).unwrap_or(u16::MAX).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_is_read_as_it_was_made() {
        let (one, two) = (vec![1; 28], vec![2; 16]);
        let made = descriptor(&[entry::deny(&one), entry::allow(&two)]);
        assert_eq!(entries(&made), [(1, one), (0, two)]);
    }
}
