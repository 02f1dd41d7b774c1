//! How an operation is refused: the result code, and the text as a DC words it.
//!
//! The text starts with the extended code that a Samba DC gave for the same thing, since that
//! is what clients parse.

use domain::Dn;
use ldap3_proto::proto::{LdapResult, LdapResultCode};

#[derive(Debug, Clone, PartialEq)]
pub struct Rejection {
    pub code: LdapResultCode,
    pub text: String,
    /// The nearest ancestor that exists, where the named object does not.
    pub matched: String,
}

impl Rejection {
    pub fn new(code: LdapResultCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), matched: String::new() }
    }

    pub fn missing(dn: impl std::fmt::Display) -> Self {
        Self::new(LdapResultCode::NoSuchObject, format!("00002030: No such Base DN: {dn}"))
    }

    pub fn denied(what: impl std::fmt::Display) -> Self {
        Self::new(LdapResultCode::InsufficentAccessRights, format!("00002098: {what}"))
    }

    pub fn constraint(what: impl std::fmt::Display) -> Self {
        Self::new(LdapResultCode::ConstraintViolation, format!("0000202F: {what}"))
    }

    /// Without a code before it: where a text starts with what could be a hexadecimal digit, Samba
    /// takes it for a code and puts none in front. Windows always has one.
    pub fn denied_bare(what: impl Into<String>) -> Self {
        Self::new(LdapResultCode::InsufficentAccessRights, what)
    }

    /// More than one value for an attribute that takes one: 19 in an Add, 20 in a Modify.
    pub fn single_valued(code: LdapResultCode, attribute: &str, dn: &Dn) -> Self {
        let number = if code == LdapResultCode::ConstraintViolation { "0000202F" } else { "0000200D" };
        let text = format!("{number}: SINGLE-VALUE attribute {attribute} on {dn} specified more than once");
        Self::new(code, text)
    }

    pub fn not_in_class(attribute: &str, dn: &Dn) -> Self {
        let text = format!(
            "00002014: objectclass_attrs: attribute '{attribute}' on entry '{dn}' does not exist in the specified objectclasses!"
        );
        Self::new(LdapResultCode::ObjectClassViolation, text)
    }

    pub fn system_only(attribute: &str) -> Self {
        Self::constraint(format!("objectclass_attrs: attribute '{attribute}' can only be modified as system"))
    }

    pub fn unknown_attribute(attribute: &str, dn: &Dn) -> Self {
        let text =
            format!("acl_modify: attribute '{attribute}' on entry '{dn}' was not found in the schema!");
        Self::new(LdapResultCode::NoSuchAttribute, text)
    }

    pub fn syntax(attribute: &str) -> Self {
        let text = format!("0000200B: attribute '{attribute}' has an invalid syntax");
        Self::new(LdapResultCode::InvalidAttributeSyntax, text)
    }

    pub fn unwilling(what: impl Into<String>) -> Self {
        Self::new(LdapResultCode::UnwillingToPerform, what)
    }

    pub fn into_result(self) -> LdapResult {
        LdapResult { code: self.code, matcheddn: self.matched, message: self.text, referral: Vec::new() }
    }
}

pub fn success() -> LdapResult {
    LdapResult {
        code: LdapResultCode::Success,
        matcheddn: String::new(),
        message: String::new(),
        referral: Vec::new(),
    }
}
