//! From manifest to specification: every rule, all violations at once.

use std::collections::HashSet;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

use super::{
    AccountSpec, DriftSpec, FarmManifest, FarmSpec, HostActionsSpec, MembershipMode, MembershipSpec,
    RotationSpec,
};
use crate::name::NameError;
use crate::{
    AccountName, DirectoryName, Dn, DnsHostName, EncryptionTypes, ErrorCode, FarmName,
    ManagedPasswordInterval, PrincipalRef, Problem, ServicePrincipalName, Violation,
};

/// rangeUpper of description and displayName in AD's schema is 1024 and 256.
const MAX_DESCRIPTION: usize = 1024;
const MAX_DISPLAY_NAME: usize = 256;
/// Of wWWHomePage.
const MAX_HOME_PAGE: usize = 2048;

/// Collects what is wrong while the rest goes on being looked at.
#[derive(Default)]
struct Findings(Vec<Violation>);

impl Findings {
    fn add(&mut self, field: &str, rule: &str, message: impl Into<String>) {
        self.0.push(Violation::new(field, rule, message));
    }

    fn name<T>(&mut self, field: &str, parsed: Result<T, NameError>) -> Option<T> {
        parsed.map_err(|error| self.add(field, error.rule, error.message)).ok()
    }

    fn dn(&mut self, field: &str, text: Option<&String>) -> Option<Dn> {
        let parsed = Dn::parse(text?);
        parsed.map_err(|e| self.add(field, "dn", format!("not a distinguished name: {e}"))).ok()
    }
}

impl FarmManifest {
    /// The specification, or every broken rule by field.
    pub fn validate(&self) -> Result<FarmSpec, Problem> {
        let mut findings = Findings::default();
        if self.api_version != "farmhand/v1" {
            findings.add("apiVersion", "constant", format!("must be farmhand/v1, is {:?}", self.api_version));
        }
        if self.kind != "Farm" {
            findings.add("kind", "constant", format!("must be Farm, is {:?}", self.kind));
        }
        let name = findings.name("metadata.name", FarmName::parse(&self.metadata.name));
        let directory = match &self.spec.directory {
            Some(text) => findings.name("spec.directory", DirectoryName::parse(text)),
            None => Some(DirectoryName::default()),
        };
        let account = self.account(&mut findings);
        let membership = self.membership(&mut findings);
        let hosts = self.hosts(&mut findings);
        let host_actions = self.host_actions(&mut findings);
        match (name, directory, account, membership) {
            (Some(name), Some(directory), Some(account), Some(membership)) if findings.0.is_empty() => {
                let nudge = self.spec.rotation.as_ref().is_some_and(|rotation| rotation.nudge);
                let rotation = RotationSpec { nudge };
                let on_drift = self.spec.drift.as_ref().map(|drift| drift.on_drift).unwrap_or_default();
                let drift = DriftSpec { on_drift };
                Ok(FarmSpec { name, directory, account, membership, hosts, host_actions, rotation, drift })
            }
            _ => Err(invalid(findings.0)),
        }
    }

    fn account(&self, findings: &mut Findings) -> Option<AccountSpec> {
        let manifest = &self.spec.account;
        let sam = match &manifest.sam_account_name {
            Some(text) => findings.name("spec.account.samAccountName", AccountName::parse(text)),
            // Said of the field that was left out, since that is what to fill in.
            None => findings.name(
                "spec.account.samAccountName",
                AccountName::parse(&self.metadata.name).map_err(|error| {
                    NameError::new(
                        error.rule,
                        format!("metadata.name cannot be the account name ({error}); give a samAccountName"),
                    )
                }),
            ),
        };
        let dns_host_name = match &manifest.dns_host_name {
            Some(text) => findings.name("spec.account.dnsHostName", DnsHostName::parse(text)),
            None if manifest.outbound_only => None,
            None => {
                findings.add("spec.account.dnsHostName", "required", "required unless outboundOnly is true");
                None
            }
        };
        for (field, text, max) in [
            ("spec.account.displayName", &manifest.display_name, MAX_DISPLAY_NAME),
            ("spec.account.description", &manifest.description, MAX_DESCRIPTION),
            ("spec.account.homePage", &manifest.home_page, MAX_HOME_PAGE),
        ] {
            let length = text.as_ref().map_or(1, |text| text.chars().count());
            if !(1..=max).contains(&length) {
                findings.add(field, "length", format!("1 to {max} characters, this has {length}"));
            }
        }
        let encryption = self.encryption(findings);
        let days = manifest.managed_password_interval_in_days;
        let interval = match days.map(ManagedPasswordInterval::from_days) {
            None => Some(ManagedPasswordInterval::default()),
            Some(Ok(interval)) => Some(interval),
            Some(Err(error)) => {
                findings.add("spec.account.managedPasswordIntervalInDays", "range", error.to_string());
                None
            }
        };
        let container = findings.dn("spec.account.container", manifest.container.as_ref());
        let service_principal_names = self.spns(findings);
        let account_expiration_date = self.expiration(findings);
        let allowed_to_delegate_to = self.delegation(findings);
        Some(AccountSpec {
            sam_account_name: sam?,
            dns_host_name,
            display_name: manifest.display_name.clone(),
            description: manifest.description.clone(),
            container,
            service_principal_names,
            kerberos_encryption_types: encryption?,
            managed_password_interval_in_days: interval?,
            outbound_only: manifest.outbound_only,
            enabled: manifest.enabled,
            home_page: manifest.home_page.clone(),
            account_expiration_date,
            account_not_delegated: manifest.account_not_delegated,
            trusted_for_delegation: manifest.trusted_for_delegation,
            trusted_to_auth_for_delegation: manifest.trusted_to_auth_for_delegation,
            allowed_to_delegate_to,
            compound_identity_supported: manifest.compound_identity_supported,
        })
    }

    fn expiration(&self, findings: &mut Findings) -> Option<DateTime<Utc>> {
        let text = self.spec.account.account_expiration_date.as_deref()?;
        let day = || text.parse::<NaiveDate>().map(|day| day.and_time(NaiveTime::MIN).and_utc());
        let parsed = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc()).or_else(|_| day());
        let field = "spec.account.accountExpirationDate";
        parsed
            .map_err(|_| {
                let message = format!("2027-03-31 or 2027-03-31T18:00:00Z (RFC 3339), this is {text:?}");
                findings.add(field, "date", message);
            })
            .ok()
    }

    /// What may not be said together about delegation, and the services to delegate to.
    fn delegation(&self, findings: &mut Findings) -> Option<Vec<ServicePrincipalName>> {
        let manifest = &self.spec.account;
        let (unconstrained, transition) =
            (manifest.trusted_for_delegation, manifest.trusted_to_auth_for_delegation);
        if unconstrained == Some(true) && transition == Some(true) {
            findings.add(
                "spec.account.trustedToAuthForDelegation",
                "one-delegation",
                "trustedForDelegation and trustedToAuthForDelegation exclude each other: Microsoft says never to \
                 set both on a managed service account",
            );
        }
        let (mut seen, mut services) = (HashSet::new(), Vec::new());
        for (at, text) in manifest.allowed_to_delegate_to.as_ref()?.iter().enumerate() {
            let field = format!("spec.account.allowedToDelegateTo[{at}]");
            let Some(spn) = findings.name(&field, ServicePrincipalName::parse(text)) else { continue };
            if !seen.insert(spn.clone()) {
                findings.add(&field, "duplicate", format!("{text} is listed twice (case does not count)"));
            }
            services.push(spn);
        }
        Some(services)
    }

    fn encryption(&self, findings: &mut Findings) -> Option<EncryptionTypes> {
        let Some(names) = &self.spec.account.kerberos_encryption_types else {
            return Some(EncryptionTypes::default());
        };
        let parsed = EncryptionTypes::parse(names.iter().map(String::as_str));
        parsed.map_err(|e| findings.add("spec.account.kerberosEncryptionTypes", "value", e.to_string())).ok()
    }

    fn spns(&self, findings: &mut Findings) -> Vec<ServicePrincipalName> {
        let mut seen = HashSet::new();
        let mut spns = Vec::new();
        for (at, text) in self.spec.account.service_principal_names.iter().enumerate() {
            let field = format!("spec.account.servicePrincipalNames[{at}]");
            let Some(spn) = findings.name(&field, ServicePrincipalName::parse(text)) else { continue };
            if !seen.insert(spn.clone()) {
                findings.add(&field, "duplicate", format!("{text} is listed twice (case does not count)"));
            }
            spns.push(spn);
        }
        if self.spec.account.outbound_only && !spns.is_empty() {
            findings.add(
                "spec.account.servicePrincipalNames",
                "outbound-only",
                "an account with outboundOnly serves nobody, so it takes no SPNs",
            );
        }
        spns
    }

    fn membership(&self, findings: &mut Findings) -> Option<MembershipSpec> {
        let manifest = &self.spec.membership;
        let group = match (&manifest.group, manifest.mode) {
            (Some(text), MembershipMode::Group) => {
                findings.name("spec.membership.group", PrincipalRef::parse(text))
            }
            (None, MembershipMode::Group) => {
                findings.add("spec.membership.group", "required", "required when mode is group");
                None
            }
            (Some(_), MembershipMode::Direct) => {
                findings.add("spec.membership.group", "direct", "not allowed when mode is direct");
                None
            }
            (None, MembershipMode::Direct) => None,
        };
        let create_group = manifest.create_group.unwrap_or(true);
        if let (Some(PrincipalRef::Sid(_) | PrincipalRef::Dn(_)), true, Some(true)) =
            (&group, create_group, manifest.create_group)
        {
            findings.add(
                "spec.membership.createGroup",
                "name",
                "a group that is named by DN or SID must exist already",
            );
        }
        let group_container =
            findings.dn("spec.membership.groupContainer", manifest.group_container.as_ref());
        Some(MembershipSpec { mode: manifest.mode, group, create_group, group_container })
    }

    fn host_actions(&self, findings: &mut Findings) -> HostActionsSpec {
        let Some(manifest) = &self.spec.host_actions else { return HostActionsSpec::default() };
        let adapter = manifest.adapter.as_deref().and_then(|text| {
            let parsed = text.parse();
            parsed
                .map_err(|_| {
                    let message = format!("none, manual or command, this is {text:?}");
                    findings.add("spec.hostActions.adapter", "value", message);
                })
                .ok()
        });
        for (at, service) in manifest.services.iter().enumerate() {
            let field = format!("spec.hostActions.services[{at}]");
            // `/` and `\\` are not allowed in a service's name (CreateServiceW).
            let bad = |c: char| c.is_control() || matches!(c, '/' | '\\');
            if service.is_empty() || service.chars().count() > MAX_SERVICE_NAME || service.contains(bad) {
                let message =
                    format!("a service name has 1 to {MAX_SERVICE_NAME} characters, no / and no \\");
                findings.add(&field, "service-name", message);
            }
        }
        let wave = manifest.wave.and_then(|wave| match u16::try_from(wave) {
            Ok(wave @ 1..=1000) => Some(wave),
            _ => {
                findings.add("spec.hostActions.wave", "range", format!("1 to 1000, this is {wave}"));
                None
            }
        });
        HostActionsSpec { adapter, services: manifest.services.clone(), wave }
    }

    fn hosts(&self, findings: &mut Findings) -> Vec<PrincipalRef> {
        let mut seen = HashSet::new();
        let mut hosts = Vec::new();
        for (at, text) in self.spec.hosts.iter().enumerate() {
            let field = format!("spec.hosts[{at}]");
            let Some(host) = findings.name(&field, PrincipalRef::parse(text)) else { continue };
            if !seen.insert(host.key()) {
                findings.add(&field, "duplicate", format!("{text} is listed twice"));
            }
            hosts.push(host);
        }
        hosts
    }
}

/// Longest name of a Windows service (CreateServiceW).
const MAX_SERVICE_NAME: usize = 256;

fn invalid(violations: Vec<Violation>) -> Problem {
    let fields: Vec<_> = violations.iter().map(|v| format!("{}: {}", v.field, v.message)).collect();
    Problem::new(
        ErrorCode::InvalidManifest,
        format!("the manifest breaks {} rule(s): {}", violations.len(), fields.join("; ")),
        "correct the named fields and send the manifest again; nothing was written",
    )
    .with_violations(violations)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn guide() -> Value {
        json!({
            "apiVersion": "farmhand/v1", "kind": "Farm", "metadata": {"name": "ITFarm1"},
            "spec": {
                "account": {
                    "dnsHostName": "ITFarm1.contoso.com",
                    "servicePrincipalNames": ["http/ITFarm1.contoso.com/contoso.com", "http/ITFarm1/contoso"],
                    "kerberosEncryptionTypes": ["RC4", "AES128", "AES256"],
                },
                "membership": {"group": "ITFarmHosts"},
                "hosts": ["Host1", "Host2$", "CN=Host3,OU=Servers,DC=contoso,DC=com"],
            },
        })
    }

    fn validate(manifest: Value) -> Result<FarmSpec, Problem> {
        serde_json::from_value::<FarmManifest>(manifest).expect("the form is right").validate()
    }

    fn with(pointer: &str, value: Value) -> Value {
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        let mut manifest = guide();
        let parent = manifest.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
        match value {
            Value::Null => parent.remove(key),
            value => parent.insert(key.to_owned(), value),
        };
        manifest
    }

    #[test]
    fn the_guides_farm_is_valid_and_its_defaults_are_filled_in() {
        let spec = validate(guide()).expect("valid");
        assert_eq!(spec.account.sam_account_name.sam_account_name(), "ITFarm1$");
        assert_eq!(spec.account.kerberos_encryption_types.bits(), 28);
        assert_eq!(spec.account.managed_password_interval_in_days.days(), 30);
        assert!(spec.membership.create_group);
        assert_eq!(spec.warnings().len(), 1, "RC4 is allowed and warned about");
    }

    #[test]
    fn each_broken_rule_is_named_with_its_field() {
        let cases = [
            ("/apiVersion", json!("v2"), "apiVersion", "constant"),
            ("/kind", json!("Host"), "kind", "constant"),
            ("/metadata/name", json!("a/b"), "metadata.name", "characters"),
            ("/metadata/name", json!("SixteenLettersXX"), "spec.account.samAccountName", "length"),
            (
                "/spec/account/samAccountName",
                json!("SixteenLettersXX"),
                "spec.account.samAccountName",
                "length",
            ),
            ("/spec/account/dnsHostName", Value::Null, "spec.account.dnsHostName", "required"),
            ("/spec/account/dnsHostName", json!("bad host"), "spec.account.dnsHostName", "characters"),
            (
                "/spec/account/managedPasswordIntervalInDays",
                json!(0),
                "spec.account.managedPasswordIntervalInDays",
                "range",
            ),
            (
                "/spec/account/servicePrincipalNames",
                json!(["http"]),
                "spec.account.servicePrincipalNames[0]",
                "spn-form",
            ),
            (
                "/spec/account/servicePrincipalNames",
                json!(["http/a", "HTTP/A"]),
                "spec.account.servicePrincipalNames[1]",
                "duplicate",
            ),
            (
                "/spec/account/kerberosEncryptionTypes",
                json!(["None"]),
                "spec.account.kerberosEncryptionTypes",
                "value",
            ),
            ("/spec/account/container", json!("nowhere"), "spec.account.container", "dn"),
            (
                "/spec/account/outboundOnly",
                json!(true),
                "spec.account.servicePrincipalNames",
                "outbound-only",
            ),
            ("/spec/account/description", json!(""), "spec.account.description", "length"),
            ("/spec/account/homePage", json!(""), "spec.account.homePage", "length"),
            (
                "/spec/account/accountExpirationDate",
                json!("31.3.2027"),
                "spec.account.accountExpirationDate",
                "date",
            ),
            (
                "/spec/account/allowedToDelegateTo",
                json!(["cifs/fs1", "CIFS/FS1"]),
                "spec.account.allowedToDelegateTo[1]",
                "duplicate",
            ),
            ("/spec/membership/group", Value::Null, "spec.membership.group", "required"),
            ("/spec/membership/mode", json!("direct"), "spec.membership.group", "direct"),
            ("/spec/hosts", json!(["Host1", "host1$"]), "spec.hosts[1]", "duplicate"),
            ("/spec/hosts", json!(["a/b"]), "spec.hosts[0]", "characters"),
            ("/spec/directory", json!(""), "spec.directory", "length"),
        ];
        for (pointer, value, field, rule) in cases {
            let problem = validate(with(pointer, value)).expect_err(pointer);
            let found = problem.violations.iter().any(|v| v.field == field && v.rule == rule);
            assert!(found, "{pointer}: {:?}", problem.violations);
        }
    }

    #[test]
    fn the_two_kinds_of_trust_for_delegation_exclude_each_other() {
        let mut manifest = with("/spec/account/trustedForDelegation", json!(true));
        manifest["spec"]["account"]["trustedToAuthForDelegation"] = json!(true);
        let problem = validate(manifest.clone()).expect_err("both");
        assert_eq!(problem.violations[0].rule, "one-delegation");
        manifest["spec"]["account"]["trustedForDelegation"] = json!(false);
        let spec = validate(manifest).expect("one of them");
        assert!(spec.warnings().iter().any(|warning| warning.contains("delegation")));
    }

    #[test]
    fn a_date_alone_is_its_midnight() {
        let spec = validate(with("/spec/account/accountExpirationDate", json!("2027-03-31"))).expect("valid");
        let date = spec.account.account_expiration_date.expect("a date");
        assert_eq!(date.to_rfc3339(), "2027-03-31T00:00:00+00:00");
    }

    #[test]
    fn all_violations_are_reported_at_once() {
        let mut manifest = with("/spec/account/dnsHostName", Value::Null);
        manifest["spec"]["hosts"] = json!(["a/b"]);
        assert_eq!(validate(manifest).expect_err("two").violations.len(), 2);
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        for pointer in
            ["/specs", "/metadata/label", "/spec/acount", "/spec/account/interval", "/spec/membership/grp"]
        {
            let manifest = with(pointer, json!("x"));
            assert!(serde_json::from_value::<FarmManifest>(manifest).is_err(), "{pointer}");
        }
    }

    #[test]
    fn a_specification_survives_the_database() {
        let spec = validate(guide()).expect("valid");
        let text = serde_json::to_string(&spec).expect("serialises");
        assert_eq!(serde_json::from_str::<FarmSpec>(&text).expect("reads back"), spec);
    }
}
