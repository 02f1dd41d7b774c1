//! What would be written, and what was: directory changes as data.
//!
//! A plan is the product of a pure comparison of what is wanted with what was read. The same
//! [`Change`] is shown by `--plan`, persisted as a step's intent before it is sent, and kept in
//! the outcome from which `undo` is computed.

use std::fmt;

use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Dn, HostWork};

/// All that a workflow would write, in order, with the hash that an approval is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    pub changes: Vec<Change>,
    /// What would be done on hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_actions: Vec<HostWork>,
    /// SHA-256 over the changes and host actions, hexadecimal.
    pub hash: String,
}

impl Plan {
    pub fn new(changes: Vec<Change>, host_actions: Vec<HostWork>) -> Self {
        // A struct of strings and lists always serialises; an empty text would only make the hash differ.
        let text = serde_json::to_vec(&(&changes, &host_actions)).unwrap_or_default();
        let hash = hex::encode(Sha256::digest(text));
        Self { changes, host_actions, hash }
    }

    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.host_actions.is_empty()
    }
}

/// One LDAP write: an Add, a Modify, a Delete or a Rename of one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub kind: ChangeKind,
    /// As it is when this change is sent.
    pub dn: Dn,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<AttributeChange>,
    /// Of a rename: objectGUID, by which the object is known again under either name.
    #[serde(default, rename = "objectGuid", skip_serializing_if = "Option::is_none")]
    pub object_guid: Option<String>,
    /// dNSHostName of the DC that it is sent to; `None`: the one that the workflow is pinned to.
    /// Changes for different DCs are sent side by side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dc: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    Add,
    Modify,
    Delete,
    /// Another RDN in the same container (ModifyDN); the attribute `name` says which.
    Rename,
}

impl Change {
    pub fn add(dn: Dn, attributes: Vec<AttributeChange>) -> Self {
        Self { kind: ChangeKind::Add, dn, attributes, object_guid: None, dc: None }
    }

    pub fn modify(dn: Dn, attributes: Vec<AttributeChange>) -> Self {
        Self { kind: ChangeKind::Modify, dn, attributes, object_guid: None, dc: None }
    }

    /// `attributes` are what the object held, for the record and for undo.
    pub fn delete(dn: Dn, attributes: Vec<AttributeChange>) -> Self {
        Self { kind: ChangeKind::Delete, dn, attributes, object_guid: None, dc: None }
    }

    /// The object of that objectGUID gets the RDN value `name` (unescaped) and stays in its container.
    pub fn rename(dn: Dn, object_guid: impl Into<String>, name: &str) -> Self {
        let attribute =
            AttributeChange::set(Self::NAME, vec![dn.rdn().value.as_str().into()], vec![name.into()]);
        let object_guid = Some(object_guid.into());
        Self { kind: ChangeKind::Rename, dn, attributes: vec![attribute], object_guid, dc: None }
    }

    /// The same, for that DC.
    #[must_use]
    pub fn at(self, dc: impl Into<String>) -> Self {
        Self { dc: Some(dc.into()), ..self }
    }

    /// The attribute that follows the RDN.
    const NAME: &str = "name";

    /// Of a rename: the new RDN value, unescaped.
    pub fn new_name(&self) -> Option<&str> {
        let renames = self.kind == ChangeKind::Rename;
        match self.attribute(Self::NAME)?.added() {
            [AttributeValue::Text(name)] if renames => Some(name),
            _ => None,
        }
    }

    /// The object's DN after this change.
    pub fn dn_after(&self) -> Dn {
        self.new_name().and_then(|name| self.dn.renamed(name)).unwrap_or_else(|| self.dn.clone())
    }

    pub fn attribute(&self, name: &str) -> Option<&AttributeChange> {
        self.attributes.iter().find(|change| change.attribute.eq_ignore_ascii_case(name))
    }
}

/// What happens to one attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttributeChange {
    pub attribute: String,
    #[serde(flatten)]
    pub op: AttributeOp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum AttributeOp {
    /// The whole attribute goes from `before` to `after`. Sent as Delete(before) + Add(after) in
    /// one Modify, which a DC refuses with noSuchAttribute when `before` is no longer true.
    Set { before: Vec<AttributeValue>, after: Vec<AttributeValue> },
    /// Single values come and go; the others are not touched.
    Values { added: Vec<AttributeValue>, removed: Vec<AttributeValue> },
}

impl AttributeChange {
    /// A new attribute, or one of a new object.
    pub fn new<V: Into<AttributeValue>>(attribute: &str, after: impl IntoIterator<Item = V>) -> Self {
        Self::set(attribute, Vec::new(), after.into_iter().map(Into::into).collect())
    }

    pub fn set(attribute: &str, before: Vec<AttributeValue>, after: Vec<AttributeValue>) -> Self {
        Self { attribute: attribute.to_owned(), op: AttributeOp::Set { before, after } }
    }

    pub fn values(attribute: &str, added: Vec<AttributeValue>, removed: Vec<AttributeValue>) -> Self {
        Self { attribute: attribute.to_owned(), op: AttributeOp::Values { added, removed } }
    }

    /// The values that are there afterwards because of this change.
    pub fn added(&self) -> &[AttributeValue] {
        match &self.op {
            AttributeOp::Set { after, .. } => after,
            AttributeOp::Values { added, .. } => added,
        }
    }

    /// The values that are gone afterwards because of this change.
    pub fn removed(&self) -> &[AttributeValue] {
        match &self.op {
            AttributeOp::Set { before, .. } => before,
            AttributeOp::Values { removed, .. } => removed,
        }
    }

    /// The change that takes this one back.
    pub fn inverse(&self) -> Self {
        let op = match self.op.clone() {
            AttributeOp::Set { before, after } => AttributeOp::Set { before: after, after: before },
            AttributeOp::Values { added, removed } => AttributeOp::Values { added: removed, removed: added },
        };
        Self { attribute: self.attribute.clone(), op }
    }
}

/// A value of an attribute: text where it is text, else bytes with their meaning for a reader.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AttributeValue {
    Text(String),
    Bytes {
        #[serde(with = "base64_bytes")]
        base64: Vec<u8>,
        /// What the bytes say, e.g. a security descriptor's entries by name.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        meaning: String,
    },
    /// Known only when an earlier change has been made: in a plan, the SID of a group that is
    /// yet to be created. Never sent.
    Pending {
        pending: String,
    },
}

impl AttributeValue {
    pub fn bytes(bytes: Vec<u8>, meaning: impl Into<String>) -> Self {
        Self::Bytes { base64: bytes, meaning: meaning.into() }
    }

    /// What goes over the wire; `None` for what is not known yet.
    pub fn wire(&self) -> Option<&[u8]> {
        match self {
            Self::Text(text) => Some(text.as_bytes()),
            Self::Bytes { base64, .. } => Some(base64),
            Self::Pending { .. } => None,
        }
    }
}

impl From<&str> for AttributeValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}
impl From<String> for AttributeValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl fmt::Display for AttributeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Bytes { base64, meaning } if meaning.is_empty() => write!(f, "{} bytes", base64.len()),
            Self::Bytes { meaning, .. } => f.write_str(meaning),
            Self::Pending { pending } => write!(f, "({pending})"),
        }
    }
}

mod base64_bytes {
    use super::BASE64;
    use base64::Engine as _;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        BASE64.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change() -> Change {
        let dn = Dn::parse("CN=ITFarm1,DC=contoso,DC=com").expect("valid");
        Change::modify(
            dn,
            vec![
                AttributeChange::set("description", vec!["old".into()], vec!["new".into()]),
                AttributeChange::values("member", vec!["CN=a,DC=x".into()], vec![]),
                AttributeChange::new("sd", [AttributeValue::bytes(vec![0, 255], "allow Host1$")]),
                AttributeChange::new("p", [AttributeValue::Pending { pending: "SID of G".into() }]),
            ],
        )
    }

    #[test]
    fn a_change_survives_the_database() {
        let text = serde_json::to_string(&change()).expect("serialises");
        assert_eq!(serde_json::from_str::<Change>(&text).expect("reads back"), change());
    }

    #[test]
    fn a_rename_names_the_object_before_and_after() {
        let renamed = Change::rename(change().dn, "04030201-0605-0807-090a-0b0c0d0e0f10", "a, b");
        assert_eq!(renamed.new_name(), Some("a, b"));
        assert_eq!(renamed.dn_after().to_string(), r"CN=a\, b,DC=contoso,DC=com");
        assert_eq!(change().dn_after(), change().dn);
        let json = serde_json::to_value(&renamed).expect("serialises");
        assert_eq!((&json["kind"], &json["attributes"][0]["after"][0]), (&"rename".into(), &"a, b".into()));
        assert_eq!(serde_json::from_value::<Change>(json).expect("reads back"), renamed);
    }

    #[test]
    fn the_inverse_of_the_inverse_is_the_change() {
        for attribute in change().attributes {
            assert_eq!(attribute.inverse().inverse(), attribute);
            assert_eq!(attribute.inverse().added(), attribute.removed());
        }
    }

    #[test]
    fn the_hash_follows_the_content() {
        let plan = Plan::new(vec![change()], vec![]);
        assert_eq!(plan, Plan::new(vec![change()], vec![]));
        assert_ne!(plan.hash, Plan::new(vec![], vec![]).hash);
    }
}
