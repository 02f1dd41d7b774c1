//! From the old account as it was read to the attributes of the new one; pure.

use directory::Entry;
use directory::preflight::Rights;
use directory::security::ReaderDescriptor;
use domain::{AttributeChange, AttributeValue, Sid};

use super::super::gmsa;

pub const CONTROL: &str = "userAccountControl";
pub const SPNS: &str = "servicePrincipalName";
pub const DNS_HOST_NAME: &str = "dNSHostName";
pub const SAM: &str = "sAMAccountName";
const INTERVAL: &str = "msDS-ManagedPasswordInterval";
const READERS: &str = gmsa::READERS;
const RBCD: &str = "msDS-AllowedToActOnBehalfOfOtherIdentity";
const DELEGATES_TO: &str = "msDS-AllowedToDelegateTo";

/// userAccountControl (MS-ADTS 2.2.16).
const WORKSTATION: i64 = 0x1000;
/// Bits that say something of the account and that its maker may set.
const PLAIN_BITS: [(i64, &str); 3] =
    [(0x10_0000, "NOT_DELEGATED"), (0x20_0000, "USE_DES_KEY_ONLY"), (0x40_0000, "DONT_REQ_PREAUTH")];
/// Bits that want SeEnableDelegationPrivilege.
const PRIVILEGED_BITS: [(i64, &str); 2] = [
    (0x8_0000, "TrustedForDelegation (unconstrained)"),
    (0x100_0000, "TrustedToAuthForDelegation (protocol transition)"),
];

/// Copied value by value, bytes as they are.
const COPIED: [&str; 13] = [
    "displayName",
    "description",
    "managedBy",
    "wWWHomePage",
    "userCertificate",
    "accountExpires",
    "msDS-SupportedEncryptionTypes",
    "msDS-AssignedAuthNPolicy",
    "msDS-AssignedAuthNPolicySilo",
    RBCD,
    "info",
    "comment",
    "location",
];

/// What every account has of its own, from its maker or the DC; also what is looked at apart.
const OWN: [&str; 46] = [
    "objectclass",
    "cn",
    "name",
    "distinguishedname",
    "instancetype",
    "whencreated",
    "whenchanged",
    "usncreated",
    "usnchanged",
    "objectguid",
    "objectsid",
    "objectcategory",
    "samaccountname",
    "samaccounttype",
    "useraccountcontrol",
    "primarygroupid",
    "iscriticalsystemobject",
    "pwdlastset",
    "lastlogon",
    "lastlogontimestamp",
    "lastlogoff",
    "logoncount",
    "badpwdcount",
    "badpasswordtime",
    "codepage",
    "countrycode",
    "localpolicyflags",
    "msds-managedpasswordinterval",
    "msds-managedpasswordid",
    "msds-managedpasswordpreviousid",
    "msds-keyversionnumber",
    "msds-groupmsamembership",
    "memberof",
    "managedobjects",
    "dscorepropagationdata",
    "ntsecuritydescriptor",
    "replpropertymetadata",
    "serviceprincipalname",
    "dnshostname",
    "msds-allowedtodelegateto",
    "objectversion",
    "lockouttime",
    "ntpwdhistory",
    "lmpwdhistory",
    "msds-revealeddsas",
    "adspath",
];

/// accountExpires: 0 and the greatest number both mean never.
const NEVER: [&str; 2] = ["0", "9223372036854775807"];

/// What the new account is made with, and what it cannot be.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Carried {
    pub attributes: Vec<AttributeChange>,
    pub names: Vec<AttributeChange>,
    pub losses: Vec<String>,
}

/// How the new account differs by intent.
pub struct Asked<'a> {
    pub sam_account_name: &'a str,
    pub interval: i64,
    /// Whether our own account may set what SeEnableDelegationPrivilege protects.
    pub delegates: bool,
    pub reader_name: &'a (dyn Fn(&Sid) -> Option<String> + Sync),
}

pub fn carry(old: &Entry, rights: &Rights, asked: &Asked<'_>) -> Carried {
    let mut carried = Carried::default();
    let (control, privileged) = control(old.int(CONTROL).unwrap_or(WORKSTATION), asked.delegates);
    carried.attributes = vec![
        text("objectClass", gmsa::CLASS),
        text(SAM, asked.sam_account_name),
        text(CONTROL, control.to_string()),
        text(INTERVAL, asked.interval.to_string()),
    ];
    carried.losses.extend(privileged);
    readers(old, asked, &mut carried);
    for attribute in COPIED {
        // Of the delegation to the account a DC says nothing here, although an Add may hold it.
        let may = rights.can_write(attribute) || attribute == RBCD;
        copy(old, attribute, may, &mut carried);
    }
    delegation(old, asked.delegates && rights.can_write(DELEGATES_TO), &mut carried);
    for attribute in [DNS_HOST_NAME, SPNS] {
        let values = values(old, attribute);
        carried.names.extend((!values.is_empty()).then(|| AttributeChange::new(attribute, values)));
    }
    carried.losses.extend(left_over(old));
    carried
}

/// The new account's bits, and in words those of the old one that it does not get.
fn control(old: i64, delegates: bool) -> (i64, Vec<String>) {
    let plain = PLAIN_BITS.iter().fold(WORKSTATION, |bits, (bit, _)| bits | old & bit);
    let had = PRIVILEGED_BITS.iter().filter(|(bit, _)| old & bit != 0);
    if delegates {
        return (had.fold(plain, |bits, (bit, _)| bits | bit), Vec::new());
    }
    let lost = had.map(|(bit, name)| {
        format!(
            "{CONTROL} {name}, 0x{bit:x}: needs the privilege to enable delegation; an administrator sets it with \
             Set-ADAccountControl"
        )
    });
    (plain, lost.collect())
}

fn readers(old: &Entry, asked: &Asked<'_>, carried: &mut Carried) {
    let Some(bytes) = old.bytes(READERS) else {
        carried.losses.push(format!("{READERS}: the old account has none, so nobody may read its password"));
        return;
    };
    let meaning = ReaderDescriptor::from_bytes(bytes).map(|list| list.describe(asked.reader_name));
    let meaning = meaning.unwrap_or_else(|error| format!("cannot be read ({error})"));
    let value = AttributeValue::bytes(bytes.to_vec(), meaning);
    carried.attributes.push(AttributeChange::new(READERS, [value]));
}

fn copy(old: &Entry, attribute: &str, may: bool, carried: &mut Carried) {
    let values = values(old, attribute);
    let never = attribute == "accountExpires" && old.text(attribute).is_some_and(|at| NEVER.contains(&at));
    match (values.is_empty() || never, may) {
        (true, _) => {}
        (false, true) => carried.attributes.push(AttributeChange::new(attribute, values)),
        (false, false) => {
            let shown: Vec<_> = values.iter().map(ToString::to_string).collect();
            carried.losses.push(format!("{attribute} ({}): we have no right to write it", shown.join(", ")));
        }
    }
}

fn delegation(old: &Entry, may: bool, carried: &mut Carried) {
    let values = values(old, DELEGATES_TO);
    if may && !values.is_empty() {
        carried.attributes.push(AttributeChange::new(DELEGATES_TO, values));
    } else if !values.is_empty() {
        let shown: Vec<_> = values.iter().map(ToString::to_string).collect();
        carried.losses.push(format!(
            "{DELEGATES_TO} ({}): needs the privilege to enable delegation; an administrator adds these with \
             Set-ADServiceAccount -Add",
            shown.join(", ")
        ));
    }
}

/// Attributes that are neither an account's own nor known here.
fn left_over(old: &Entry) -> Vec<String> {
    let known = |name: &str| {
        OWN.contains(&name.to_lowercase().as_str()) || COPIED.iter().any(|own| own.eq_ignore_ascii_case(name))
    };
    let mut found: Vec<_> = old.names().filter(|name| !known(name)).map(str::to_owned).collect();
    found.sort();
    found
        .into_iter()
        .map(|name| format!("{name}: not known to Farmhand; set it by hand where it matters"))
        .collect()
}

/// Whether the account still holds what was surveyed: what is carried over must not be older than it.
pub fn still_holds(old: &Entry, surveyed: &AttributeChange) -> bool {
    let ours = ["objectClass", SAM, CONTROL, INTERVAL].contains(&surveyed.attribute.as_str());
    let wire = |values: &[AttributeValue]| -> Vec<Vec<u8>> {
        values.iter().filter_map(AttributeValue::wire).map(<[u8]>::to_vec).collect()
    };
    ours || wire(&values(old, &surveyed.attribute)) == wire(surveyed.added())
}

/// Sorted, so that the same account gives the same plan.
pub fn values(entry: &Entry, attribute: &str) -> Vec<AttributeValue> {
    let mut found = entry.values(attribute).to_vec();
    found.sort();
    let value = |bytes: Vec<u8>| match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') && attribute != RBCD => AttributeValue::Text(text),
        Ok(text) => AttributeValue::bytes(text.into_bytes(), ""),
        Err(error) => AttributeValue::bytes(error.into_bytes(), ""),
    };
    found.into_iter().map(value).collect()
}

fn text(attribute: &str, value: impl Into<AttributeValue>) -> AttributeChange {
    AttributeChange::new(attribute, [value.into()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::{account, rights};

    fn carried(other: &[(&str, Vec<Vec<u8>>)], writable: &[&str], delegates: bool) -> Carried {
        let asked = Asked { sam_account_name: "ITFarm1$", interval: 15, delegates, reader_name: &|_| None };
        carry(&account(other), &rights(&[], writable), &asked)
    }

    fn of(carried: &Carried, name: &str) -> Vec<String> {
        let all = carried.attributes.iter().chain(&carried.names);
        let found = all.filter(|attribute| attribute.attribute == name);
        found.flat_map(AttributeChange::added).map(ToString::to_string).collect()
    }

    #[test]
    fn readers_and_encryption_types_are_carried_as_they_are_and_the_interval_as_asked() {
        let odd = (0x18 | 0x5_0000).to_string();
        let found = carried(
            &[("msDS-SupportedEncryptionTypes", vec![odd.clone().into_bytes()])],
            &["msds-supportedencryptiontypes", "displayname", "description"],
            false,
        );
        assert_eq!(of(&found, "msDS-SupportedEncryptionTypes"), [odd]);
        assert_eq!((of(&found, INTERVAL), of(&found, CONTROL)), (vec!["15".into()], vec!["4096".into()]));
        let readers = found.attributes.iter().find(|attribute| attribute.attribute == READERS);
        let bytes = readers.and_then(|readers| readers.added()[0].wire()).expect("bytes");
        assert_eq!(Some(bytes), account(&[]).bytes(READERS));
        assert_eq!(of(&found, "displayName"), ["IT farm 1"]);
        assert_eq!(of(&found, SPNS), ["http/ITFarm1", "http/ITFarm1.contoso.com"]);
        assert_eq!(found.losses, Vec::<String>::new());
    }

    #[test]
    fn what_needs_a_privilege_or_a_right_is_lost_in_so_many_words() {
        let other = [
            (CONTROL, vec![(0x1002 | 0x18_0000).to_string().into_bytes()]),
            (DELEGATES_TO, vec![b"cifs/fs1".to_vec()]),
            ("extensionName", vec![b"x".to_vec()]),
        ];
        let found = carried(&other, &["msds-allowedtodelegateto", "displayname"], false);
        assert_eq!(of(&found, CONTROL), [(0x1000 | 0x10_0000).to_string()], "enabled, and not trusted");
        let losses = found.losses.join("\n");
        for part in ["TrustedForDelegation", "cifs/fs1", "extensionname", "description (web tier)"] {
            assert!(losses.to_lowercase().contains(&part.to_lowercase()), "{part}: {losses}");
        }
        let found = carried(&other, &["msds-allowedtodelegateto", "displayname", "description"], true);
        assert_eq!(of(&found, CONTROL), [(0x1000 | 0x18_0000).to_string()]);
        assert_eq!(of(&found, DELEGATES_TO), ["cifs/fs1"]);
    }

    #[test]
    fn what_changed_since_it_was_surveyed_is_noticed() {
        let surveyed = carried(&[], &["displayname", "description"], false);
        let all = || surveyed.attributes.iter().chain(&surveyed.names);
        assert!(all().all(|attribute| still_holds(&account(&[]), attribute)));
        let changed =
            account(&[(SPNS, vec![b"http/ITFarm1".to_vec()]), ("description", vec![b"new".to_vec()])]);
        let changed: Vec<_> = all().filter(|attribute| !still_holds(&changed, attribute)).collect();
        assert_eq!(changed.iter().map(|a| a.attribute.as_str()).collect::<Vec<_>>(), ["description", SPNS]);
    }

    #[test]
    fn an_account_that_never_expires_says_nothing_of_it() {
        for never in NEVER {
            let found = carried(&[("accountExpires", vec![never.into()])], &["accountexpires"], false);
            assert_eq!(of(&found, "accountExpires"), Vec::<String>::new());
        }
        let found =
            carried(&[("accountExpires", vec![b"134509248000000000".to_vec()])], &["accountexpires"], false);
        assert_eq!(of(&found, "accountExpires"), ["134509248000000000"]);
    }
}
