//! Diagnostic messages of DCs (MS-ADTS 3.1.1.3.1.9): the codes that stand in them.
//!
//! Windows: `00002098: SecErr: DSID-03150F94, problem 4003 (INSUFF_ACCESS_RIGHTS), data 0`, often
//! with a NUL or newline behind; of a bind `80090308: LdapErr: DSID-0C09044E, comment:
//! AcceptSecurityContext error, data 52e, v4563`. Samba: `HHHHHHHH: free text`, and no code where
//! the text itself starts with hexadecimal digits.

use ldap3::LdapResult;

use crate::error::{DirectoryErrorKind, ResultCode};

/// An answer other than success as an error.
pub(super) fn refusal(result: &LdapResult) -> DirectoryErrorKind {
    let diagnostic = result.text.trim_end_matches(['\0', '\n', '\r', ' ']);
    let code = ResultCode(result.rc);
    let mut text = diagnostic.to_owned();
    if code == ResultCode::REFERRAL && !result.refs.is_empty() {
        text = format!("{text} (refers to {})", result.refs.join(", "));
    }
    DirectoryErrorKind::Result {
        code,
        extended: extended(diagnostic),
        data: (code == ResultCode::INVALID_CREDENTIALS).then(|| bind_data(diagnostic)).flatten(),
        diagnostic: text,
    }
}

/// The eight hexadecimal digits and a colon at the start.
fn extended(diagnostic: &str) -> Option<u32> {
    let (digits, _) = diagnostic.split_once(':')?;
    let all = digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    all.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

/// `data NNN`, hexadecimal.
fn bind_data(diagnostic: &str) -> Option<u32> {
    let (_, rest) = diagnostic.rsplit_once("data ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
    u32::from_str_radix(&digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(rc: u32, text: &str) -> DirectoryErrorKind {
        let (matched, refs) = (String::new(), vec!["ldap://dc2/".to_owned()]);
        refusal(&LdapResult { rc, matched, text: text.to_owned(), refs, ctrls: Vec::new() })
    }

    fn codes(rc: u32, text: &str) -> (Option<u32>, Option<u32>) {
        match kind(rc, text) {
            DirectoryErrorKind::Result { extended, data, .. } => (extended, data),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn codes_are_read_where_they_stand() {
        let bind =
            "80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data 52e, v4563\0";
        assert_eq!(codes(49, bind), (Some(0x8009_0308), Some(0x52E)));
        assert_eq!(
            codes(50, "00002098: SecErr: DSID-03150F94, problem 4003, data 0\n\0"),
            (Some(0x2098), None)
        );
        assert_eq!(codes(19, "0000202F: samldb: spn[x] would cause a conflict"), (Some(0x202F), None));
    }

    #[test]
    fn words_that_look_like_digits_are_no_codes() {
        for text in ["Entry CN=a already exists", "acl: unable to get access", "deadbee: x", "", "data "] {
            assert_eq!(codes(49, text), (None, None), "{text}");
        }
    }

    #[test]
    fn a_referral_names_where_to() {
        let DirectoryErrorKind::Result { diagnostic, .. } = kind(10, "0000202B: RefErr\0") else { panic!() };
        assert_eq!(diagnostic, "0000202B: RefErr (refers to ldap://dc2/)");
    }
}
