//! Attribute values: what a syntax accepts, and the form in which two values are compared.

use std::cmp::Ordering;

use domain::{Dn, Sid};

use super::classes;
use super::rejection::Rejection;
use super::schema::{AttributeType, Syntax};
use crate::security::SecurityDescriptor;

/// Refuses a value that the attribute's syntax does not allow.
pub fn check(attribute: &AttributeType, value: &[u8]) -> Result<(), Rejection> {
    let text = std::str::from_utf8(value).ok();
    let fits = match attribute.syntax {
        _ if value.is_empty() => false,
        Syntax::Text | Syntax::Class => text.is_some(),
        // Samba wraps 2147483648 around; Windows refuses it, and the stricter one is kept here.
        Syntax::Integer => text.is_some_and(|text| text.parse::<i32>().is_ok()),
        Syntax::LargeInteger => text.is_some_and(|text| text.parse::<i64>().is_ok()),
        Syntax::Boolean => matches!(value, b"TRUE" | b"FALSE"),
        Syntax::Octets => true,
        Syntax::Sid => Sid::from_bytes(value).is_ok(),
        // Samba takes any bytes for a descriptor and fails at every read of the password; Windows
        // is expected to refuse them.
        Syntax::Descriptor => SecurityDescriptor::parse(value).is_ok(),
        Syntax::Name | Syntax::Category => return check_name(attribute, text),
        Syntax::Time => text.is_some_and(|text| text.len() >= 15 && text.ends_with('Z')),
    };
    if fits { Ok(()) } else { Err(Rejection::syntax(attribute.name)) }
}

fn check_name(attribute: &AttributeType, text: Option<&str>) -> Result<(), Rejection> {
    let fits = text.is_some_and(|text| is_reference(text) || Dn::parse(text).is_ok());
    let text = || format!("could not parse a value of '{}' as a DN", attribute.name);
    let refusal = || Rejection::new(ldap3_proto::LdapResultCode::InvalidDNSyntax, text());
    fits.then_some(()).ok_or_else(refusal)
}

/// `<SID=...>` and `<GUID=...>` stand for a DN wherever AD takes one.
pub fn is_reference(text: &str) -> bool {
    text.starts_with('<') && text.ends_with('>')
}

/// The form that equal values share; an index is keyed by it.
pub fn key(attribute: &AttributeType, value: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(value).ok();
    let canonical = match (attribute.syntax, text) {
        (Syntax::Text | Syntax::Class | Syntax::Boolean, Some(text)) => Some(text.to_lowercase()),
        (Syntax::Integer | Syntax::LargeInteger, Some(text)) => {
            text.trim().parse::<i64>().ok().map(|n| n.to_string())
        }
        (Syntax::Name, Some(text)) => Dn::parse(text).ok().map(|dn| dn.key().to_owned()),
        (Syntax::Category, Some(text)) => category_key(text),
        (Syntax::Sid, Some(text)) => return text.parse().map_or(value.to_vec(), |sid: Sid| sid.to_bytes()),
        (Syntax::Time, Some(text)) => Some(text.split(['.', 'Z']).next().unwrap_or_default().to_owned()),
        _ => None,
    };
    canonical.map_or_else(|| value.to_vec(), String::into_bytes)
}

/// The first part is enough: the schema container is the same for all of them.
fn category_key(text: &str) -> Option<String> {
    match Dn::parse(text) {
        Ok(dn) => Some(dn.rdn().value.to_lowercase()),
        Err(_) => classes::class_named(text).map(|class| class.cn.to_lowercase()),
    }
}

/// `None` where the syntax has no order.
pub fn compare(attribute: &AttributeType, left: &[u8], right: &[u8]) -> Option<Ordering> {
    let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.trim().parse::<i64>().ok();
    match attribute.syntax {
        Syntax::Integer | Syntax::LargeInteger => Some(number(left)?.cmp(&number(right)?)),
        Syntax::Text | Syntax::Time => Some(key(attribute, left).cmp(&key(attribute, right))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::attribute;
    use super::*;

    #[test]
    fn values_that_a_syntax_does_not_allow_are_refused() {
        let cases: [(&str, &[u8]); 7] = [
            ("userAccountControl", b"abc"),
            ("msDS-ManagedPasswordInterval", b"2147483648"),
            ("isCriticalSystemObject", b"true"),
            ("description", b""),
            ("member", b"no dn"),
            ("msDS-GroupMSAMembership", b"O:BAD:(A;;GA;;;BA)"),
            ("description", b"\xff"),
        ];
        for (name, value) in cases {
            assert!(check(attribute(name).expect("known"), value).is_err(), "{name} {value:?}");
        }
    }

    #[test]
    fn equal_values_share_a_key() {
        let cases: [(&str, &[u8], &[u8]); 5] = [
            ("sAMAccountName", b"Host1$", b"HOST1$"),
            ("member", b"CN=a, DC=x", b"cn=A,dc=x"),
            ("objectCategory", b"computer", b"CN=Computer,CN=Schema,CN=Configuration,DC=x"),
            ("objectSid", b"S-1-1-0", &[1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]),
            ("userAccountControl", b"4096", b"04096"),
        ];
        for (name, left, right) in cases {
            let attribute = attribute(name).expect("known");
            assert_eq!(key(attribute, left), key(attribute, right), "{name}");
        }
    }
}
