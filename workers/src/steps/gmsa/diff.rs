//! From an account that stands to the one that is asked for: the smallest change.

use directory::Entry;
use domain::farm::AccountSpec;
use domain::{AttributeChange, AttributeValue, ServicePrincipalName};

use super::fields::{self, CONTROL, DNS_HOST_NAME, ENCRYPTION, EXPIRES, LISTS, NEVER, SINGLES, SPNS};

/// Every attribute that has to change so that `found` is as `asked`. What `before` (the farm's record)
/// had asked for and nobody speaks of any more is taken away, as long as it is still what it was;
/// what others wrote stays.
///
/// With a new dNSHostName the SPNs are swapped as a whole: the DC rewrites every SPN of the old host
/// name within the same Modify, and only the whole list says what an undo has to bring back.
pub fn account_changes(before: &AccountSpec, asked: &AccountSpec, found: &Entry) -> Vec<AttributeChange> {
    let mut changes: Vec<_> =
        SINGLES.iter().filter_map(|field| single(field, before, asked, found)).collect();
    let renamed = changes.iter().any(|change| change.attribute == DNS_HOST_NAME);
    changes.extend(bits(CONTROL, found, |has| fields::bits(CONTROL, asked, Some(before), has)));
    changes.extend(bits(ENCRYPTION, found, |has| fields::encryption(asked, Some(before), has)));
    for field in LISTS {
        let wanted = (field.asked)(asked);
        let old = (field.asked)(before).unwrap_or_default();
        changes.extend(match (field.attribute, wanted) {
            (SPNS, Some(wanted)) if renamed => swapped_spns(&wanted, asked, found),
            (attribute, Some(wanted)) => values(attribute, &wanted, found, |_| true),
            (attribute, None) => values(attribute, &[], found, |has| contains(&old, has)),
        });
    }
    changes
}

/// What is still missing of the SPNs and what is too much, as single values in the directory's own
/// spelling.
pub fn spn_changes(asked: &AccountSpec, found: &Entry) -> Option<AttributeChange> {
    let wanted: Vec<_> = asked.service_principal_names.iter().map(ToString::to_string).collect();
    values(SPNS, &wanted, found, |_| true)
}

/// The SPNs after a DC has rewritten the host parts: whole components only, each result once.
pub fn rewritten(spns: &[String], old: &str, new: &str) -> Vec<String> {
    let mut rewritten: Vec<String> = Vec::new();
    for spn in spns {
        let mut parts: Vec<&str> = spn.split('/').collect();
        if let Some(host) = parts.get_mut(1).filter(|host| host.eq_ignore_ascii_case(old)) {
            *host = new;
        }
        let spn = parts.join("/");
        if !contains(&rewritten, &spn) {
            rewritten.push(spn);
        }
    }
    rewritten
}

pub fn contains(values: &[String], value: &str) -> bool {
    values.iter().any(|other| other.eq_ignore_ascii_case(value))
}

fn single(
    field: &fields::Single,
    before: &AccountSpec,
    asked: &AccountSpec,
    found: &Entry,
) -> Option<AttributeChange> {
    let has = found.text(field.attribute);
    let same =
        |one: &str, other: &str| if field.folded { one.eq_ignore_ascii_case(other) } else { one == other };
    let is_ours = |has: &str| (field.asked)(before).is_some_and(|before| same(&before, has));
    let after: Vec<AttributeValue> = match ((field.asked)(asked), has) {
        (Some(asked), Some(has)) if same(&asked, has) => return None,
        (Some(asked), _) => vec![asked.into()],
        (None, None) => return None,
        // A DC does not let go of the attribute itself.
        (None, Some(has)) if field.attribute == EXPIRES && is_ours(has) => vec![NEVER.to_string().into()],
        (None, Some(has)) if field.attribute == DNS_HOST_NAME || is_ours(has) => Vec::new(),
        (None, Some(_)) => return None,
    };
    let has = has.map(AttributeValue::from).into_iter().collect();
    Some(AttributeChange::set(field.attribute, has, after))
}

fn bits(attribute: &str, found: &Entry, after: impl Fn(i64) -> i64) -> Option<AttributeChange> {
    let has = found.int(attribute);
    let after = after(has.unwrap_or(0));
    if has.unwrap_or(0) == after {
        return None;
    }
    let value = |bits: i64| AttributeValue::from(bits.to_string());
    // 0 means "not set", and is not set so.
    let after = Some(after).filter(|bits| *bits != 0).map(value).into_iter().collect();
    Some(AttributeChange::set(attribute, has.map(value).into_iter().collect(), after))
}

fn values(
    attribute: &str,
    wanted: &[String],
    found: &Entry,
    may_go: impl Fn(&str) -> bool,
) -> Option<AttributeChange> {
    let has = found.texts(attribute);
    let added: Vec<_> =
        wanted.iter().filter(|wanted| !contains(&has, wanted)).cloned().map(Into::into).collect();
    let removed: Vec<_> =
        has.into_iter().filter(|has| !contains(wanted, has) && may_go(has)).map(Into::into).collect();
    (!added.is_empty() || !removed.is_empty()).then(|| AttributeChange::values(attribute, added, removed))
}

/// An SPN of the old name that is to stay would be rewritten here; it comes back afterwards.
fn swapped_spns(wanted: &[String], asked: &AccountSpec, found: &Entry) -> Option<AttributeChange> {
    let has = found.texts(SPNS);
    let old = found.text(DNS_HOST_NAME).filter(|_| asked.dns_host_name.is_some());
    let is_of_old = |spn: &String| old.is_some_and(|old| host_of(spn).eq_ignore_ascii_case(old));
    let spelled =
        |wanted: &String| has.iter().find(|has| has.eq_ignore_ascii_case(wanted)).unwrap_or(wanted).clone();
    let after: Vec<_> = wanted.iter().map(spelled).filter(|spn| !is_of_old(spn)).map(Into::into).collect();
    let before: Vec<_> = has.iter().cloned().map(Into::into).collect();
    (!before.is_empty() || !after.is_empty()).then(|| AttributeChange::set(SPNS, before, after))
}

fn host_of(spn: &str) -> &str {
    spn.split('/').nth(1).unwrap_or_default()
}

/// Those of `asked` that the account does not hold yet.
pub fn new_spns(asked: &AccountSpec, found: &Entry) -> Vec<ServicePrincipalName> {
    let has = found.texts(SPNS);
    asked.service_principal_names.iter().filter(|spn| !contains(&has, spn.as_str())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use domain::EncryptionTypes;

    use super::*;
    use crate::steps::testing;

    fn ours() -> AccountSpec {
        testing::spec().account
    }
    fn text(text: &str) -> Vec<Vec<u8>> {
        vec![text.as_bytes().to_vec()]
    }
    fn spns(names: &[&str]) -> Vec<ServicePrincipalName> {
        names.iter().map(|name| ServicePrincipalName::parse(name).expect("valid")).collect()
    }
    /// `attribute: -before +after` for each change.
    fn told(before: &AccountSpec, asked: &AccountSpec, other: &[(&str, Vec<Vec<u8>>)]) -> Vec<String> {
        let changes = account_changes(before, asked, &testing::account(other));
        let list =
            |values: &[AttributeValue]| values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let one =
            |c: &AttributeChange| format!("{}: -{} +{}", c.attribute, list(c.removed()), list(c.added()));
        changes.iter().map(one).collect()
    }

    #[test]
    fn an_account_that_is_as_asked_needs_no_change() {
        assert_eq!(told(&ours(), &ours(), &[]), Vec::<String>::new());
        let shouted =
            [("servicePrincipalName", vec![b"HTTP/ITFARM1".to_vec(), b"http/itfarm1.contoso.COM".to_vec()])];
        assert_eq!(told(&ours(), &ours(), &shouted), Vec::<String>::new());
    }

    #[test]
    fn each_field_becomes_the_smallest_change_of_its_attribute() {
        let with = |edit: &dyn Fn(&mut AccountSpec)| {
            let mut spec = ours();
            edit(&mut spec);
            spec
        };
        let aes256 = EncryptionTypes::parse(["AES256"]).expect("valid");
        let date = "2027-03-31T00:00:00Z".parse().expect("a time");
        let cases: Vec<(AccountSpec, &[&str])> = vec![
            (with(&|s| s.display_name = Some("IT".into())), &["displayName: -IT farm 1 +IT"]),
            (with(&|s| s.description = None), &["description: -web tier +"]),
            (with(&|s| s.home_page = Some("https://it".into())), &["wWWHomePage: - +https://it"]),
            (with(&|s| s.account_expiration_date = Some(date)), &["accountExpires: - +134509248000000000"]),
            (with(&|s| s.kerberos_encryption_types = aes256), &["msDS-SupportedEncryptionTypes: -24 +16"]),
            (
                with(&|s| s.compound_identity_supported = Some(true)),
                &["msDS-SupportedEncryptionTypes: -24 +131096"],
            ),
            (with(&|s| s.account_not_delegated = Some(true)), &["userAccountControl: -4096 +1052672"]),
            (
                with(&|s| s.service_principal_names = spns(&["http/itfarm1", "http/new"])),
                &["servicePrincipalName: -http/ITFarm1.contoso.com +http/new"],
            ),
            (
                with(&|s| s.allowed_to_delegate_to = Some(spns(&["cifs/fs1"]))),
                &["msDS-AllowedToDelegateTo: - +cifs/fs1"],
            ),
        ];
        for (asked, expected) in cases {
            assert_eq!(told(&ours(), &asked, &[]), expected);
        }
    }

    #[test]
    fn what_is_dropped_from_the_manifest_goes_only_if_it_was_ours() {
        let bare = AccountSpec { description: None, display_name: None, ..ours() };
        assert_eq!(told(&bare, &bare, &[]), Vec::<String>::new(), "never named: a person's");
        let changed = [("description", text("a person's"))];
        assert_eq!(told(&ours(), &bare, &changed), ["displayName: -IT farm 1 +"]);
        let date = AccountSpec {
            account_expiration_date: Some("2027-03-31T00:00:00Z".parse().expect("a time")),
            ..ours()
        };
        let expires = [("accountExpires", text("134509248000000000"))];
        assert_eq!(
            told(&date, &ours(), &expires),
            ["accountExpires: -134509248000000000 +9223372036854775807"]
        );
        let services = AccountSpec { allowed_to_delegate_to: Some(spns(&["cifs/fs1"])), ..ours() };
        let held = [("msDS-AllowedToDelegateTo", vec![b"CIFS/fs1".to_vec(), b"cifs/other".to_vec()])];
        assert_eq!(told(&services, &ours(), &held), ["msDS-AllowedToDelegateTo: -CIFS/fs1 +"]);
    }

    #[test]
    fn a_new_host_name_swaps_the_spns_as_a_whole_and_leaves_out_what_the_dc_would_rewrite() {
        let asked = AccountSpec {
            dns_host_name: Some(domain::DnsHostName::parse("new.contoso.com").expect("valid")),
            service_principal_names: spns(&["http/new.contoso.com", "http/ITFarm1.contoso.com"]),
            ..ours()
        };
        assert_eq!(
            told(&ours(), &asked, &[]),
            [
                "dNSHostName: -ITFarm1.contoso.com +new.contoso.com",
                "servicePrincipalName: -http/ITFarm1,http/ITFarm1.contoso.com +http/new.contoso.com"
            ]
        );
        let gone = AccountSpec {
            dns_host_name: None,
            service_principal_names: vec![],
            outbound_only: true,
            ..ours()
        };
        assert_eq!(told(&ours(), &gone, &[]).len(), 2);
        let now = testing::account(&[("servicePrincipalName", text("http/new.contoso.com"))]);
        let rest = spn_changes(&asked, &now).expect("the old name comes back");
        assert_eq!((rest.added().len(), rest.removed().len()), (1, 0));
    }

    #[test]
    fn a_dc_rewrites_whole_host_parts_and_keeps_each_result_once() {
        let before = ["http/a.x", "HTTP/A.X/svc", "MSSQLSvc/a.x:1433", "http/b.x"].map(str::to_owned);
        assert_eq!(rewritten(&before, "a.x", "b.x"), ["http/b.x", "HTTP/b.x/svc", "MSSQLSvc/a.x:1433"]);
    }
}
