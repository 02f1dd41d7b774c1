//! The part of AD's schema that the embedded directory knows: attributes.
//!
//! Names, syntaxes and flags are those of MS-ADA1..3. What is not listed here does not exist
//! for this directory, and is refused as a real DC refuses an attribute that its schema lacks.

use std::collections::HashMap;
use std::sync::LazyLock;

/// How values are checked, compared and ordered (MS-ADTS 3.1.1.2.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// Unicode text, compared without regard to case.
    Text,
    Integer,
    LargeInteger,
    Boolean,
    Octets,
    /// Bytes; a filter may also give the text form `S-1-...`.
    Sid,
    /// A DN, compared by its parts.
    Name,
    /// A class: its lDAPDisplayName.
    Class,
    /// objectCategory: a DN, which a filter may abbreviate to a class name.
    Category,
    Time,
    /// A self-relative security descriptor.
    Descriptor,
}

/// Who may give an attribute its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Whoever has the right to.
    Caller,
    /// The caller when the object is made, nobody afterwards (systemOnly).
    Creation,
    /// The server alone (systemOnly).
    Server,
    /// Computed for each answer, never stored.
    Computed,
    /// A forward link; values are objects.
    Forward { back: &'static str },
    /// A back link: the other end of a forward link.
    Back { forward: &'static str },
}

#[derive(Debug)]
pub struct AttributeType {
    pub name: &'static str,
    pub syntax: Syntax,
    pub single: bool,
    pub source: Source,
    /// Equality is answered from an index.
    pub indexed: bool,
    /// Readable only with a right of its own (searchFlags 128).
    pub confidential: bool,
}

impl AttributeType {
    const fn new(name: &'static str, syntax: Syntax) -> Self {
        Self { name, syntax, single: true, source: Source::Caller, indexed: false, confidential: false }
    }
    const fn many(mut self) -> Self {
        self.single = false;
        self
    }
    const fn indexed(mut self) -> Self {
        self.indexed = true;
        self
    }
    const fn from(mut self, source: Source) -> Self {
        self.source = source;
        self
    }
    const fn confidential(mut self) -> Self {
        self.confidential = true;
        self
    }

    pub fn is_link(&self) -> bool {
        matches!(self.source, Source::Forward { .. } | Source::Back { .. })
    }

    /// Returned for `*` and for an empty list of attributes.
    pub fn is_default(&self) -> bool {
        self.source != Source::Computed && !matches!(self.name, "nTSecurityDescriptor" | "unicodePwd")
    }
}

/// The attribute of that name, in any case; without options.
pub fn attribute(name: &str) -> Option<&'static AttributeType> {
    BY_NAME.get(name.to_ascii_lowercase().as_str()).copied()
}

pub fn attributes() -> impl Iterator<Item = &'static AttributeType> {
    ATTRIBUTES.iter()
}

static BY_NAME: LazyLock<HashMap<String, &'static AttributeType>> = LazyLock::new(|| {
    ATTRIBUTES.iter().map(|attribute| (attribute.name.to_ascii_lowercase(), attribute)).collect()
});

const fn text(name: &'static str) -> AttributeType {
    AttributeType::new(name, Syntax::Text)
}
const fn int(name: &'static str) -> AttributeType {
    AttributeType::new(name, Syntax::Integer)
}
const fn large(name: &'static str) -> AttributeType {
    AttributeType::new(name, Syntax::LargeInteger)
}
const fn bytes(name: &'static str) -> AttributeType {
    AttributeType::new(name, Syntax::Octets)
}
const fn name(name: &'static str) -> AttributeType {
    AttributeType::new(name, Syntax::Name)
}
const fn time(name: &'static str) -> AttributeType {
    AttributeType::new(name, Syntax::Time)
}
const fn boolean(name: &'static str) -> AttributeType {
    AttributeType::new(name, Syntax::Boolean)
}
const fn descriptor(name: &'static str) -> AttributeType {
    AttributeType::new(name, Syntax::Descriptor)
}
const fn link(name: &'static str, back: &'static str) -> AttributeType {
    AttributeType::new(name, Syntax::Name).from(Source::Forward { back })
}
const fn back_link(name: &'static str, forward: &'static str) -> AttributeType {
    AttributeType::new(name, Syntax::Name).many().from(Source::Back { forward })
}

use Source::{Computed, Creation, Server};

static ATTRIBUTES: &[AttributeType] = &[
    // naming and identity
    AttributeType::new("objectClass", Syntax::Class).many().from(Creation),
    AttributeType::new("objectCategory", Syntax::Category).from(Server),
    bytes("objectGUID").from(Server).indexed(),
    AttributeType::new("objectSid", Syntax::Sid).from(Server).indexed(),
    name("distinguishedName").from(Server),
    text("cn").indexed(),
    text("ou"),
    text("dc"),
    text("name").from(Server).indexed(),
    text("canonicalName").from(Computed),
    int("instanceType").from(Server),
    time("whenCreated").from(Server),
    time("whenChanged").from(Server),
    time("createTimeStamp").from(Computed),
    time("modifyTimeStamp").from(Computed),
    large("uSNCreated").from(Server),
    large("uSNChanged").from(Server),
    int("systemFlags").from(Server),
    boolean("isCriticalSystemObject").from(Server),
    boolean("showInAdvancedViewOnly"),
    text("description"),
    text("displayName"),
    text("info"),
    text("wWWHomePage"),
    text("givenName"),
    text("sn"),
    text("mail"),
    text("location"),
    text("operatingSystem"),
    text("operatingSystemVersion"),
    bytes("userCertificate").many(),
    text("extensionName").many(),
    // accounts
    text("sAMAccountName").indexed(),
    int("sAMAccountType").from(Server),
    text("userPrincipalName").indexed(),
    text("dNSHostName").indexed(),
    text("servicePrincipalName").many().indexed(),
    int("userAccountControl"),
    int("msDS-User-Account-Control-Computed").from(Computed),
    int("primaryGroupID"),
    int("primaryGroupToken").from(Computed),
    large("pwdLastSet"),
    large("accountExpires"),
    large("lastLogon").from(Server),
    large("lastLogonTimestamp").from(Server),
    large("lastLogoff").from(Server),
    large("badPasswordTime").from(Server),
    int("badPwdCount").from(Server),
    int("logonCount").from(Server),
    int("codePage"),
    int("countryCode"),
    int("adminCount"),
    int("msDS-SupportedEncryptionTypes"),
    text("msDS-AllowedToDelegateTo").many(),
    descriptor("msDS-AllowedToActOnBehalfOfOtherIdentity").from(Creation),
    name("msDS-AssignedAuthNPolicy"),
    name("msDS-AssignedAuthNPolicySilo"),
    int("msDS-KeyVersionNumber").from(Computed),
    bytes("unicodePwd"),
    // group managed service accounts
    int("msDS-ManagedPasswordInterval").from(Creation),
    descriptor("msDS-GroupMSAMembership"),
    bytes("msDS-ManagedPassword").from(Computed),
    bytes("msDS-ManagedPasswordId").from(Server),
    bytes("msDS-ManagedPasswordPreviousId").from(Server),
    link("msDS-HostServiceAccount", "msDS-HostServiceAccountBL").many(),
    back_link("msDS-HostServiceAccountBL", "msDS-HostServiceAccount"),
    // groups and links
    link("member", "memberOf").many(),
    back_link("memberOf", "member"),
    link("managedBy", "managedObjects"),
    back_link("managedObjects", "managedBy"),
    link("serverReference", "serverReferenceBL"),
    back_link("serverReferenceBL", "serverReference"),
    int("groupType"),
    AttributeType::new("tokenGroups", Syntax::Sid).many().from(Computed),
    // rights
    descriptor("nTSecurityDescriptor"),
    AttributeType::new("allowedChildClasses", Syntax::Class).many().from(Computed),
    AttributeType::new("allowedChildClassesEffective", Syntax::Class).many().from(Computed),
    AttributeType::new("allowedAttributes", Syntax::Class).many().from(Computed),
    AttributeType::new("allowedAttributesEffective", Syntax::Class).many().from(Computed),
    // domain, configuration, schema
    text("wellKnownObjects").many().from(Server),
    text("otherWellKnownObjects").many().from(Server),
    int("msDS-Behavior-Version").from(Server),
    int("ms-DS-MachineAccountQuota"),
    text("msDS-AllowedDNSSuffixes").many(),
    large("maxPwdAge"),
    int("nTMixedDomain").from(Server),
    int("objectVersion").from(Server),
    text("lDAPDisplayName").from(Creation).indexed(),
    text("adminDisplayName"),
    bytes("schemaIDGUID").from(Creation),
    AttributeType::new("subClassOf", Syntax::Class).from(Creation),
    int("objectClassCategory").from(Creation),
    text("governsID").from(Creation),
    text("sPNMappings").many(),
    text("dSHeuristics"),
    text("lDAPAdminLimits").many(),
    int("options"),
    bytes("invocationId").from(Server),
    name("hasMasterNCs").many().from(Server),
    name("msDS-hasMasterNCs").many().from(Server),
    name("msDS-HasDomainNCs").many().from(Server),
    name("dMDLocation").from(Server),
    name("fSMORoleOwner").from(Server),
    name("nCName").from(Creation),
    text("dnsRoot").many(),
    text("nETBIOSName"),
    // key distribution service
    int("msKds-Version").confidential(),
    large("msKds-CreateTime").confidential(),
    large("msKds-UseStartTime").confidential(),
    name("msKds-DomainID").confidential(),
    text("msKds-KDFAlgorithmID").confidential(),
    text("msKds-SecretAgreementAlgorithmID").confidential(),
    int("msKds-PublicKeyLength").confidential(),
    int("msKds-PrivateKeyLength").confidential(),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_has_its_other_end() {
        for attribute in attributes() {
            match attribute.source {
                Source::Forward { back } => {
                    let back = super::attribute(back).expect("a back link");
                    assert_eq!(back.source, Source::Back { forward: attribute.name });
                }
                Source::Back { forward } => {
                    let forward = super::attribute(forward).expect("a forward link");
                    assert_eq!(forward.source, Source::Forward { back: attribute.name });
                }
                _ => {}
            }
        }
    }

    #[test]
    fn names_are_found_in_any_case_and_stand_once() {
        assert_eq!(attribute("SAMACCOUNTNAME").expect("known").name, "sAMAccountName");
        assert!(attribute("noSuchAttribute").is_none());
        assert_eq!(BY_NAME.len(), ATTRIBUTES.len());
    }
}
