//! An account that stands, compared with the one that is wanted: by meaning, not by bytes.

use std::collections::BTreeSet;

use directory::Entry;
use directory::security::ReaderDescriptor;
use domain::farm::AccountSpec;
use domain::farm::ForeignReader;
use domain::{EncryptionTypes, Violation};
use serde::{Deserialize, Serialize};

use super::Wanted;
use super::fields::{
    self, BITS, CIPHERS, CONTROL, DISABLED, DNS_HOST_NAME, ENCRYPTION, EXPIRES, LISTS, SINGLES,
};
use crate::steps::outputs::count;

/// One attribute that is not as asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The manifest's field.
    pub field: String,
    pub attribute: String,
    pub asked: String,
    pub found: String,
}

/// Everything in which `found` is not what is wanted. What a manifest need not speak of counts only
/// where it does: a person may have written their own description.
pub fn differences(wanted: &Wanted, found: &Entry) -> Vec<Difference> {
    let spec = &wanted.spec;
    let mut all = Vec::new();
    all.extend(account_name(spec, found));
    all.extend(SINGLES.iter().filter_map(|field| single(field, spec, found)));
    all.extend(LISTS.iter().filter_map(|field| list(field, spec, found)));
    all.extend(encryption(spec, found));
    all.extend(BITS.iter().filter(|field| field.bit != DISABLED).filter_map(|field| bit(field, spec, found)));
    all.extend(interval(spec, found));
    all.extend(enabled(spec, found).filter(|_| spec.enabled.is_some() || !wanted.may_be_disabled));
    all.extend(readers(wanted, found));
    all
}

fn unless(
    same: bool,
    field: &str,
    attribute: &str,
    asked: impl ToString,
    found: impl ToString,
) -> Option<Difference> {
    let (field, attribute) = (field.to_owned(), attribute.to_owned());
    (!same).then(|| Difference { field, attribute, asked: asked.to_string(), found: found.to_string() })
}

fn account_name(spec: &AccountSpec, found: &Entry) -> Option<Difference> {
    let (asked, has) = (spec.sam_account_name.sam_account_name(), shown(found, "sAMAccountName"));
    unless(asked.eq_ignore_ascii_case(&has), "spec.account.samAccountName", "sAMAccountName", asked, has)
}

/// An outbound-only account that has a name to be reached by is not outbound only; any other field
/// that is not asked for may be anything.
fn single(field: &fields::Single, spec: &AccountSpec, found: &Entry) -> Option<Difference> {
    let (asked, has) = ((field.asked)(spec), found.text(field.attribute));
    if asked.is_none() && field.attribute != DNS_HOST_NAME {
        return None;
    }
    let same = match (asked.as_deref(), has) {
        (Some(asked), Some(has)) if field.folded => asked.eq_ignore_ascii_case(has),
        (asked, has) => asked == has,
    };
    let shown = |value: Option<&str>| match (field.attribute, value) {
        (_, None) => "none".to_owned(),
        (EXPIRES, Some(value)) => expiration(value),
        (_, Some(value)) => value.to_owned(),
    };
    unless(same, field.field, field.attribute, shown(asked.as_deref()), shown(has))
}

fn expiration(value: &str) -> String {
    fields::expiration(value.parse().ok()).map_or_else(|| "never".to_owned(), |time| time.to_rfc3339())
}

fn list(field: &fields::List, spec: &AccountSpec, found: &Entry) -> Option<Difference> {
    let folded =
        |values: Vec<String>| values.iter().map(|value| value.to_lowercase()).collect::<BTreeSet<_>>();
    let (asked, has) = (folded((field.asked)(spec)?), folded(found.texts(field.attribute)));
    unless(asked == has, field.field, field.attribute, joined(asked), joined(has))
}

fn encryption(spec: &AccountSpec, found: &Entry) -> Option<Difference> {
    let asked = spec.kerberos_encryption_types;
    let has = found.int(ENCRYPTION);
    let same = match asked.is_unset() {
        true => has.unwrap_or(0) & CIPHERS == 0,
        false => has.is_some_and(|has| has & CIPHERS == i64::from(asked.bits())),
    };
    let has = has.map_or_else(|| "none set: the DC's default, which may be RC4".into(), ciphers);
    unless(same, "spec.account.kerberosEncryptionTypes", ENCRYPTION, asked, has)
}

fn bit(field: &fields::Bit, spec: &AccountSpec, found: &Entry) -> Option<Difference> {
    let asked = (field.asked)(spec)?;
    let has = found.int(field.attribute).unwrap_or(0) & field.bit != 0;
    unless(asked == has, field.field, field.attribute, asked, has)
}

fn interval(spec: &AccountSpec, found: &Entry) -> Option<Difference> {
    let (asked, attribute) = (spec.managed_password_interval_in_days.days(), "msDS-ManagedPasswordInterval");
    let same = found.int(attribute) == Some(i64::from(asked));
    let (asked, has) = (count(asked.into(), "day"), format!("{} days", shown(found, attribute)));
    unless(same, "spec.account.managedPasswordIntervalInDays", attribute, asked, has)
}

fn enabled(spec: &AccountSpec, found: &Entry) -> Option<Difference> {
    let asked = spec.enabled.unwrap_or(true);
    let control = found.int(CONTROL);
    let has = control.map(|bits| bits & DISABLED == 0);
    let word = |enabled| if enabled { "enabled" } else { "disabled" };
    let shown = control.zip(has).map(|(bits, has)| format!("{} ({bits})", word(has)));
    let shown = shown.unwrap_or_else(|| "unknown".to_owned());
    unless(has == Some(asked), "spec.account.enabled", CONTROL, word(asked), shown)
}

fn readers(wanted: &Wanted, found: &Entry) -> Option<Difference> {
    let asked = wanted.readers.descriptor();
    let (same, has) = match found.bytes("msDS-GroupMSAMembership").map(ReaderDescriptor::from_bytes) {
        None => (false, "none".into()),
        Some(Err(error)) => (false, format!("a value that cannot be read ({error})")),
        Some(Ok(has)) => {
            let mut own = without(&has, &wanted.foreign);
            // That a quarantined host is kept out is nobody's wish to have it otherwise.
            for host in &wanted.contained {
                own.lift_denial(&host.sid);
            }
            let same = asked.is_some_and(|asked| asked.same_access(&own));
            (same, wanted.readers.name_all(&has, &wanted.contained))
        }
    };
    unless(same, "spec.membership", "msDS-GroupMSAMembership", wanted.readers.describe(), has)
}

/// The descriptor without the entries that are known not to be the farm's.
pub fn without(descriptor: &ReaderDescriptor, foreign: &[ForeignReader]) -> ReaderDescriptor {
    let mut own = descriptor.clone();
    for reader in foreign {
        match reader.denied {
            true => own.lift_denial(&reader.sid),
            false => own.remove(&reader.sid),
        };
    }
    own
}

fn shown(entry: &Entry, attribute: &str) -> String {
    entry.text(attribute).unwrap_or("none").to_owned()
}

fn joined(values: BTreeSet<String>) -> String {
    if values.is_empty() { "none".into() } else { values.into_iter().collect::<Vec<_>>().join(", ") }
}

fn ciphers(bits: i64) -> String {
    let names = cipher_names(bits);
    if names.is_empty() { format!("none (value {bits}): the DC's default") } else { names.join(", ") }
}

/// The ciphers among the bits of msDS-SupportedEncryptionTypes.
pub fn cipher_names(bits: i64) -> Vec<String> {
    let names = ["DES-CRC", "DES-MD5", "RC4", "AES128", "AES256"];
    let set = names.iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0);
    set.map(|(_, name)| (*name).to_owned()).collect()
}

/// The differences as violations of the manifest's fields.
pub fn violations(differences: &[Difference]) -> Vec<Violation> {
    let one = |d: &Difference| {
        Violation::new(
            d.field.clone(),
            "differs",
            format!("{}: asked {}; found {}", d.attribute, d.asked, d.found),
        )
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

    fn names(found: &Entry) -> Vec<String> {
        differences(&testing::wanted(), found).into_iter().map(|difference| difference.attribute).collect()
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
        let found: Vec<_> = found.iter().map(|difference| difference.attribute.as_str()).collect();
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

    #[test]
    fn what_the_manifest_says_of_delegation_identity_and_expiration_is_compared() {
        let mut wanted = testing::wanted();
        wanted.spec.account_not_delegated = Some(true);
        wanted.spec.trusted_for_delegation = Some(false);
        wanted.spec.compound_identity_supported = Some(true);
        wanted.spec.account_expiration_date = Some("2027-03-31T00:00:00Z".parse().expect("a time"));
        wanted.spec.allowed_to_delegate_to = Some(vec!["cifs/fs1".to_owned().try_into().expect("an SPN")]);
        let found = account(&[(CONTROL, vec![b"528384".to_vec()]), (EXPIRES, vec![b"0".to_vec()])]);
        let found = differences(&wanted, &found);
        let fields: Vec<_> = found.iter().map(|d| d.field.trim_start_matches("spec.account.")).collect();
        assert_eq!(
            fields,
            [
                "accountExpirationDate",
                "allowedToDelegateTo",
                "accountNotDelegated",
                "trustedForDelegation",
                "compoundIdentitySupported"
            ]
        );
        assert_eq!(
            (found[0].asked.as_str(), found[0].found.as_str()),
            ("2027-03-31T00:00:00+00:00", "never")
        );
    }

    #[test]
    fn entries_that_are_known_to_be_anothers_make_no_difference() {
        let mut descriptor = ReaderDescriptor::allowing([&testing::sid(500), &testing::sid(1200)]);
        descriptor.deny(&testing::sid(1199));
        let found = account(&[("msDS-GroupMSAMembership", vec![descriptor.to_bytes().expect("fits")])]);
        assert_eq!(names(&found), ["msDS-GroupMSAMembership"]);
        let foreign = |rid, denied| ForeignReader { sid: testing::sid(rid), denied, name: None };
        let wanted = Wanted { foreign: vec![foreign(500, false), foreign(1199, true)], ..testing::wanted() };
        assert_eq!(differences(&wanted, &found), []);
    }

    #[test]
    fn that_a_quarantined_host_is_denied_is_no_difference_and_that_it_is_let_in_is() {
        let wanted = Wanted { contained: vec![reader("Host1", 1101)], ..testing::wanted() };
        let found = |allowed: &[u32], denied: u32| {
            let allowed: Vec<_> = allowed.iter().map(|rid| testing::sid(*rid)).collect();
            let mut list = ReaderDescriptor::allowing(&allowed);
            list.deny(&testing::sid(denied));
            account(&[("msDS-GroupMSAMembership", vec![list.to_bytes().expect("fits")])])
        };
        assert_eq!(differences(&wanted, &account(&[])), []);
        assert_eq!(differences(&wanted, &found(&[1200], 1101)), []);
        assert_eq!(differences(&wanted, &found(&[1200], 1102)).len(), 1, "another host's denial");
        let lets_in = differences(&wanted, &found(&[1200, 1101], 1101));
        assert!(lets_in[0].found.contains("deny Host1 ("), "{lets_in:?}");
    }
}
