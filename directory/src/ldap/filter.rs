//! Values in search filters (RFC 4515, 3).

use std::fmt::Write;

/// A text as it may stand in a filter: `(cn=` + this + `)`.
pub fn filter_value(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '*' | '(' | ')' | '\\' | '\0' => {
                // Writing into a String cannot fail.
                let _ = write!(out, "\\{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// Bytes as they may stand in a filter, e.g. of an objectSid or a GUID.
pub fn filter_bytes(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 3), |mut out, byte| {
        let _ = write!(out, "\\{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_value_is_taken_for_the_filters_own_signs() {
        assert_eq!(filter_value(r"a*)(cn=\x"), r"a\2a\29\28cn=\5cx");
        assert_eq!(filter_value("Müller\0"), r"Müller\00");
        assert_eq!(filter_bytes(&[0, 0x2a, 0xff]), r"\00\2a\ff");
        let filter = format!("(cn={})", filter_value("x)(objectClass=*"));
        assert!(ldap3::parse_filter(filter).is_ok());
    }
}
