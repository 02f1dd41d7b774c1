//! An account's attributes as a manifest would ask for them.

use directory::Entry;
use domain::farm::AccountSpec;
use domain::name::NameError;
use domain::{
    AccountName, DnsHostName, EncryptionTypes, ManagedPasswordInterval, ServicePrincipalName, Violation,
};

use crate::steps::gmsa::cipher_names;
use crate::steps::gmsa::fields::{
    self, COMPOUND_IDENTITY, CONTROL, DISABLED, ENCRYPTION, EXPIRES, NOT_DELEGATED, SPNS,
    TRUSTED_FOR_DELEGATION, TRUSTED_TO_AUTH_FOR_DELEGATION,
};

/// The ciphers that no manifest can ask for.
const DES: i64 = 0x3;

/// The account as it stands, or everything in it that cannot be expressed. The container is left
/// to the caller, who knows the usual one.
pub fn account(found: &Entry, warnings: &mut Vec<String>) -> Result<AccountSpec, Vec<Violation>> {
    let mut findings = Vec::new();
    let mut name =
        |field: &str, error: NameError| findings.push(Violation::new(field, error.rule, error.message));
    let sam = found.text("sAMAccountName").unwrap_or_default();
    let sam = AccountName::parse(sam).map_err(|error| name("spec.account.samAccountName", error)).ok();
    let dns_host_name = found.text("dNSHostName").map(DnsHostName::parse).transpose();
    let dns_host_name = dns_host_name.map_err(|error| name("spec.account.dnsHostName", error)).ok().flatten();
    let own = spns(found, SPNS, "spec.account.servicePrincipalNames", &mut name);
    let services = "msDS-AllowedToDelegateTo";
    let services = spns(found, services, "spec.account.allowedToDelegateTo", &mut name);
    let interval = interval(found, &mut findings);
    let outbound_only = !found.has("dNSHostName") && own.is_empty();
    if !found.has("dNSHostName") && !outbound_only {
        let message = "the account has SPNs and no dNSHostName; a farm that serves anybody has one";
        findings.push(Violation::new("spec.account.dnsHostName", "required", message));
    }
    warn(found, sam.as_ref(), outbound_only, warnings);
    let control = found.int(CONTROL).unwrap_or(0);
    let encryption = found.int(ENCRYPTION).unwrap_or(0);
    let on = |bits: i64, bit: i64| (bits & bit != 0).then_some(true);
    let text = |name: &str| found.text(name).map(str::to_owned);
    match (sam, interval) {
        (Some(sam_account_name), Some(managed_password_interval_in_days)) if findings.is_empty() => {
            Ok(AccountSpec {
                sam_account_name,
                dns_host_name,
                display_name: text("displayName"),
                description: text("description"),
                container: None,
                service_principal_names: own,
                kerberos_encryption_types: EncryptionTypes::of_bits(encryption),
                managed_password_interval_in_days,
                outbound_only,
                enabled: (control & DISABLED != 0).then_some(false),
                home_page: text("wWWHomePage"),
                account_expiration_date: fields::expiration(found.int(EXPIRES)),
                account_not_delegated: on(control, NOT_DELEGATED),
                trusted_for_delegation: on(control, TRUSTED_FOR_DELEGATION),
                trusted_to_auth_for_delegation: on(control, TRUSTED_TO_AUTH_FOR_DELEGATION),
                allowed_to_delegate_to: (!services.is_empty()).then_some(services),
                compound_identity_supported: on(encryption, COMPOUND_IDENTITY),
            })
        }
        _ => Err(findings),
    }
}

fn spns(
    found: &Entry,
    attribute: &str,
    field: &str,
    bad: &mut impl FnMut(&str, NameError),
) -> Vec<ServicePrincipalName> {
    let mut names: Vec<ServicePrincipalName> = Vec::new();
    for text in found.texts(attribute) {
        match ServicePrincipalName::parse(&text) {
            // Samba takes two spellings of one SPN on one account.
            Ok(name) if names.contains(&name) => {}
            Ok(name) => names.push(name),
            Err(error) => bad(field, NameError::new(error.rule, format!("{text}: {}", error.message))),
        }
    }
    names.sort_by_key(ServicePrincipalName::key);
    names
}

fn interval(found: &Entry, findings: &mut Vec<Violation>) -> Option<ManagedPasswordInterval> {
    let field = "spec.account.managedPasswordIntervalInDays";
    let Some(days) = found.int("msDS-ManagedPasswordInterval") else {
        findings.push(Violation::new(field, "range", "the interval cannot be read"));
        return None;
    };
    let parsed = ManagedPasswordInterval::from_days(days).map_err(|error| {
        let fate = if days <= 0 { "; with this one, every read of the password fails" } else { "" };
        findings.push(Violation::new(field, "range", format!("{error}{fate}")));
    });
    parsed.ok()
}

fn warn(found: &Entry, sam: Option<&AccountName>, outbound_only: bool, warnings: &mut Vec<String>) {
    if found.int(CONTROL).is_some_and(|control| control & DISABLED != 0) {
        warnings.push("the account is disabled".to_owned());
    }
    let encryption = found.int(ENCRYPTION).unwrap_or(0);
    if encryption & DES != 0 {
        let names = cipher_names(encryption & DES).join(", ");
        warnings.push(format!(
            "{names} cannot be asked for and is left out of the record: an update takes it away"
        ));
    }
    if outbound_only {
        warnings.push(
            "the account has no dNSHostName and no SPN: it is taken to be for outbound authentication only, which \
             no directory records"
                .to_owned(),
        );
    }
    let cn = &found.dn.rdn().value;
    if sam.is_some_and(|sam| !sam.as_str().eq_ignore_ascii_case(cn)) {
        warnings.push(format!(
            "the account's CN is {cn} and not its account name: a deploy of the farm would not find it, all other \
             workflows do"
        ));
    }
    if found.has("msDS-AllowedToActOnBehalfOfOtherIdentity") {
        warnings.push(
            "others may delegate to the account (msDS-AllowedToActOnBehalfOfOtherIdentity), which a manifest does \
             not speak of: it stays"
                .to_owned(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::gmsa;
    use crate::steps::testing;

    fn read(other: &[(&str, Vec<Vec<u8>>)]) -> Result<(AccountSpec, Vec<String>), Vec<Violation>> {
        let mut warnings = Vec::new();
        account(&testing::account(other), &mut warnings).map(|spec| (spec, warnings))
    }

    #[test]
    fn what_was_read_of_an_account_is_what_it_is_compared_with() {
        let found = testing::account(&[
            (CONTROL, vec![b"17829888".to_vec()]),
            (ENCRYPTION, vec![b"131100".to_vec()]),
            (EXPIRES, vec![b"134509248000000000".to_vec()]),
            ("wWWHomePage", vec![b"https://it".to_vec()]),
            ("msDS-AllowedToDelegateTo", vec![b"cifs/fs1".to_vec()]),
        ]);
        let spec = account(&found, &mut Vec::new()).expect("it can be expressed");
        assert_eq!(spec.kerberos_encryption_types.bits(), 28);
        assert_eq!((spec.account_not_delegated, spec.trusted_for_delegation), (Some(true), None));
        let wanted = gmsa::Wanted { spec, ..testing::wanted() };
        assert_eq!(gmsa::differences(&wanted, &found), []);
    }

    #[test]
    fn an_account_made_over_raw_ldap_is_expressed_as_it_stands() {
        let (spec, warnings) =
            read(&[(ENCRYPTION, vec![]), ("displayName", vec![]), ("description", vec![])])
                .expect("expressed");
        assert!(spec.kerberos_encryption_types.is_unset());
        assert_eq!((spec.display_name, spec.description, warnings.len()), (None, None, 0));
    }

    #[test]
    fn what_cannot_be_expressed_is_refused_all_at_once_with_its_field() {
        let found = read(&[
            ("sAMAccountName", vec![b"SixteenLettersXX$".to_vec()]),
            ("dNSHostName", vec![b"bad host".to_vec()]),
            ("servicePrincipalName", vec![b"http//x".to_vec()]),
            ("msDS-ManagedPasswordInterval", vec![b"0".to_vec()]),
        ]);
        let fields: Vec<_> =
            found.expect_err("refused").into_iter().map(|violation| violation.field).collect();
        assert_eq!(
            fields,
            [
                "spec.account.samAccountName",
                "spec.account.dnsHostName",
                "spec.account.servicePrincipalNames",
                "spec.account.managedPasswordIntervalInDays"
            ]
        );
    }

    #[test]
    fn what_is_taken_over_and_unusual_is_told() {
        let (spec, warnings) = read(&[
            (CONTROL, vec![b"4098".to_vec()]),
            (ENCRYPTION, vec![b"31".to_vec()]),
            ("dNSHostName", vec![]),
            ("servicePrincipalName", vec![]),
        ])
        .expect("expressed");
        assert!(spec.outbound_only && spec.enabled == Some(false));
        assert_eq!(warnings.len(), 3, "{warnings:?}");
        assert!(warnings[1].contains("DES-CRC, DES-MD5"));
    }
}
