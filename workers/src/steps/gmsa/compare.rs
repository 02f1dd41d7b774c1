//! An account that stands, compared with the one that is wanted: by meaning, not by bytes.

use std::collections::BTreeSet;

use directory::Entry;
use directory::security::ReaderDescriptor;
use domain::farm::AccountSpec;
use domain::{DnsHostName, EncryptionTypes, Violation};

use super::Wanted;
use crate::steps::outputs::count;

/// UF_ACCOUNTDISABLE (MS-ADTS 2.2.16).
const DISABLED: i64 = 0x2;

/// The bits of msDS-SupportedEncryptionTypes that name ciphers, DES included. The higher ones
/// are Kerberos features (claims, FAST ...) that a manifest does not speak of.
const CIPHERS: i64 = 0x1f;

/// One attribute that is not as asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The manifest's field.
    pub field: &'static str,
    pub attribute: &'static str,
    pub asked: String,
    pub found: String,
}

/// Everything in which `found` is not what is wanted. displayName and description count only
/// where the manifest names them: a person may have written their own.
pub fn differences(wanted: &Wanted, found: &Entry) -> Vec<Difference> {
    let spec = &wanted.spec;
    let all = [
        account_name(spec, found),
        dns_host_name(spec, found),
        text(&spec.display_name, found, "spec.account.displayName", "displayName"),
        text(&spec.description, found, "spec.account.description", "description"),
        spns(spec, found),
        encryption(spec, found),
        interval(spec, found),
        enabled(found),
        readers(wanted, found),
    ];
    all.into_iter().flatten().collect()
}

fn unless(
    same: bool,
    field: &'static str,
    attribute: &'static str,
    asked: impl ToString,
    found: impl ToString,
) -> Option<Difference> {
    (!same).then(|| Difference { field, attribute, asked: asked.to_string(), found: found.to_string() })
}

fn account_name(spec: &AccountSpec, found: &Entry) -> Option<Difference> {
    let (asked, has) = (spec.sam_account_name.sam_account_name(), shown(found, "sAMAccountName"));
    unless(asked.eq_ignore_ascii_case(&has), "spec.account.samAccountName", "sAMAccountName", asked, has)
}

/// An outbound-only account that has a name to be reached by is not outbound only.
fn dns_host_name(spec: &AccountSpec, found: &Entry) -> Option<Difference> {
    let (asked, has) = (spec.dns_host_name.as_ref(), found.text("dNSHostName"));
    let same = match (asked, has) {
        (Some(asked), Some(has)) => asked.as_str().eq_ignore_ascii_case(has),
        (asked, has) => asked.is_none() && has.is_none(),
    };
    let (asked, has) = (asked.map_or("none", DnsHostName::as_str), has.unwrap_or("none"));
    unless(same, "spec.account.dnsHostName", "dNSHostName", asked, has)
}

fn text(
    asked: &Option<String>,
    found: &Entry,
    field: &'static str,
    attribute: &'static str,
) -> Option<Difference> {
    let asked = asked.as_ref()?;
    unless(found.text(attribute) == Some(asked), field, attribute, asked, shown(found, attribute))
}

fn spns(spec: &AccountSpec, found: &Entry) -> Option<Difference> {
    let asked: BTreeSet<_> = spec.service_principal_names.iter().map(|spn| spn.key()).collect();
    let has = found.texts("servicePrincipalName");
    let has: BTreeSet<_> = has.iter().map(|spn| spn.to_lowercase()).collect();
    let (same, field) = (asked == has, "spec.account.servicePrincipalNames");
    unless(same, field, "servicePrincipalName", joined(asked), joined(has))
}

fn encryption(spec: &AccountSpec, found: &Entry) -> Option<Difference> {
    let asked = spec.kerberos_encryption_types;
    let has = found.int("msDS-SupportedEncryptionTypes");
    let same = has.is_some_and(|has| has & CIPHERS == i64::from(asked.bits()));
    let has = has.map_or_else(|| "none set: the DC's default, which may be RC4".into(), ciphers);
    unless(same, "spec.account.kerberosEncryptionTypes", "msDS-SupportedEncryptionTypes", asked, has)
}

fn interval(spec: &AccountSpec, found: &Entry) -> Option<Difference> {
    let (asked, attribute) = (spec.managed_password_interval_in_days.days(), "msDS-ManagedPasswordInterval");
    let same = found.int(attribute) == Some(i64::from(asked));
    let (asked, has) = (count(asked.into(), "day"), format!("{} days", shown(found, attribute)));
    unless(same, "spec.account.managedPasswordIntervalInDays", attribute, asked, has)
}

fn enabled(found: &Entry) -> Option<Difference> {
    let control = found.int("userAccountControl");
    let same = control.is_some_and(|bits| bits & DISABLED == 0);
    let has = control.map_or_else(|| "unknown".into(), |bits| format!("disabled ({bits})"));
    unless(same, "spec.account", "userAccountControl", "enabled", has)
}

fn readers(wanted: &Wanted, found: &Entry) -> Option<Difference> {
    let asked = wanted.readers.descriptor();
    let (same, has) = match found.bytes("msDS-GroupMSAMembership").map(ReaderDescriptor::from_bytes) {
        None => (false, "none".into()),
        Some(Err(error)) => (false, format!("a value that cannot be read ({error})")),
        Some(Ok(has)) => (asked.is_some_and(|asked| asked.same_access(&has)), wanted.readers.name_all(&has)),
    };
    unless(same, "spec.membership", "msDS-GroupMSAMembership", wanted.readers.describe(), has)
}

fn shown(entry: &Entry, attribute: &str) -> String {
    entry.text(attribute).unwrap_or("none").to_owned()
}

fn joined(values: BTreeSet<String>) -> String {
    if values.is_empty() { "none".into() } else { values.into_iter().collect::<Vec<_>>().join(", ") }
}

fn ciphers(bits: i64) -> String {
    let names = ["DES-CRC", "DES-MD5", "RC4", "AES128", "AES256"];
    let set = names.iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0);
    let names: Vec<_> = set.map(|(_, name)| *name).collect();
    if names.is_empty() { format!("none (value {bits}): the DC's default") } else { names.join(", ") }
}

/// The differences as violations of the manifest's fields.
pub fn violations(differences: &[Difference]) -> Vec<Violation> {
    let one = |d: &Difference| {
        Violation::new(d.field, "differs", format!("{}: asked {}; found {}", d.attribute, d.asked, d.found))
    };
    differences.iter().map(one).collect()
}

/// The differences in one line.
pub fn differences_text(differences: &[Difference]) -> String {
    let one = |d: &Difference| format!("{} is {} instead of {}", d.attribute, d.found, d.asked);
    differences.iter().map(one).collect::<Vec<_>>().join("; ")
}

const _: () = assert!(EncryptionTypes::AES256 <= CIPHERS as u32, "every cipher of ours is compared");

#[cfg(test)]
mod tests {
    use directory::security::{Ace, Acl, READ_PROPERTY, SecurityDescriptor};

    use super::*;
    use crate::steps::gmsa::Readers;
    use crate::steps::testing::{self, account, reader};

    fn names(found: &Entry) -> Vec<&'static str> {
        differences(&testing::wanted(), found).iter().map(|difference| difference.attribute).collect()
    }

    #[test]
    fn the_account_that_we_would_make_does_not_differ() {
        assert_eq!(differences(&testing::wanted(), &account(&[])), []);
    }

    #[test]
    fn spelling_order_and_form_make_no_difference() {
        let narrow = SecurityDescriptor {
            resource_manager: 0,
            control: 0x8004,
            owner: None,
            group: None,
            sacl: None,
            dacl: Some(Acl::new(vec![Ace::allow(READ_PROPERTY, testing::sid(1200))])),
        };
        let found = account(&[
            ("sAMAccountName", vec![b"ITFARM1$".to_vec()]),
            ("dNSHostName", vec![b"itfarm1.CONTOSO.com".to_vec()]),
            ("servicePrincipalName", vec![b"HTTP/itfarm1".to_vec(), b"http/ITFARM1.contoso.com".to_vec()]),
            ("msDS-SupportedEncryptionTypes", vec![(0x18 | 0x20000).to_string().into_bytes()]),
            ("userAccountControl", vec![b"528384".to_vec()]),
            ("msDS-GroupMSAMembership", vec![narrow.to_bytes().expect("fits")]),
        ]);
        assert_eq!(differences(&testing::wanted(), &found), []);
    }

    #[test]
    fn each_attribute_that_differs_is_named() {
        let nobody = ReaderDescriptor::allowing([]).to_bytes().expect("fits");
        let mut denied = ReaderDescriptor::allowing([&testing::sid(1200)]);
        denied.deny(&testing::sid(1101));
        let denied = denied.to_bytes().expect("fits");
        let cases: Vec<(&'static str, Vec<Vec<u8>>)> = vec![
            ("sAMAccountName", vec![b"Other$".to_vec()]),
            ("dNSHostName", vec![b"other.contoso.com".to_vec()]),
            ("dNSHostName", vec![]),
            ("displayName", vec![b"it farm 1".to_vec()]),
            ("description", vec![]),
            ("servicePrincipalName", vec![b"http/ITFarm1".to_vec()]),
            ("servicePrincipalName", vec![]),
            ("msDS-SupportedEncryptionTypes", vec![b"28".to_vec()]),
            ("msDS-SupportedEncryptionTypes", vec![b"27".to_vec()]),
            ("msDS-SupportedEncryptionTypes", vec![b"0".to_vec()]),
            ("msDS-SupportedEncryptionTypes", vec![]),
            ("msDS-ManagedPasswordInterval", vec![b"31".to_vec()]),
            ("userAccountControl", vec![b"4098".to_vec()]),
            ("userAccountControl", vec![]),
            ("msDS-GroupMSAMembership", vec![]),
            ("msDS-GroupMSAMembership", vec![b"garbage".to_vec()]),
            ("msDS-GroupMSAMembership", vec![nobody]),
            ("msDS-GroupMSAMembership", vec![denied]),
        ];
        for (attribute, values) in cases {
            assert_eq!(names(&account(&[(attribute, values.clone())])), [attribute], "{values:?}");
        }
    }

    #[test]
    fn what_the_manifest_does_not_speak_of_may_be_anything_but_a_name_to_be_reached_by() {
        let mut wanted = testing::wanted();
        wanted.spec.display_name = None;
        wanted.spec.description = None;
        wanted.spec.dns_host_name = None;
        wanted.spec.service_principal_names.clear();
        let found = differences(&wanted, &account(&[]));
        let found: Vec<_> = found.iter().map(|difference| difference.attribute).collect();
        assert_eq!(found, ["dNSHostName", "servicePrincipalName"]);
    }

    #[test]
    fn no_standing_account_can_name_a_group_that_is_yet_to_be_made() {
        let mut wanted = testing::wanted();
        wanted.readers = Readers::Pending { group: "ITFarmHosts".into() };
        let found = differences(&wanted, &account(&[]));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].attribute, "msDS-GroupMSAMembership");
    }

    #[test]
    fn a_violation_says_what_was_asked_and_what_was_found() {
        let mut wanted = testing::wanted();
        wanted.readers = Readers::Known(vec![reader("Host1", 1101)]);
        let found = violations(&differences(&wanted, &account(&[])));
        assert_eq!(found[0].field, "spec.membership");
        assert!(found[0].message.contains("Host1") && found[0].message.contains("found"), "{found:?}");
    }
}
