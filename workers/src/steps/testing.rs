//! What the tests of the steps share: the guide's farm, and entries as a DC would answer.

pub mod forest;
pub mod records;

use std::sync::Arc;

use directory::preflight::{GroupScope, Principal, PrincipalKind, Rights};
use directory::security::ReaderDescriptor;
use directory::{Directories, Directory, Entry};
use domain::{Dn, FarmManifest, FarmSpec, ManualClock, Mode, Sid, SystemRng, WorkflowId};
use serde_json::json;

use self::forest::FakeForest;
use self::records::FakeRecords;
use super::ensure_group::GroupOutput;
use super::find_farm::{FarmAccount, FarmOutput};
use super::gmsa::{Reader, Readers, Wanted};
use super::preflight::{self, AccountTarget, GroupTarget, HostTarget, PreflightOutput};
use crate::{Environment, StepContext};

pub const GROUP_SID: &str = "S-1-5-21-1-2-3-1200";

pub fn dn(text: &str) -> Dn {
    Dn::parse(text).expect("a valid DN")
}

pub fn sid(rid: u32) -> Sid {
    Sid::new(5, vec![21, 1, 2, 3, rid]).expect("a valid SID")
}

pub fn reader(name: &str, rid: u32) -> Reader {
    Reader { name: name.into(), sid: sid(rid) }
}

pub fn spec() -> FarmSpec {
    let manifest = json!({
        "apiVersion": "farmhand/v1", "kind": "Farm", "metadata": {"name": "ITFarm1"},
        "spec": {
            "account": {
                "dnsHostName": "ITFarm1.contoso.com",
                "displayName": "IT farm 1",
                "description": "web tier",
                "servicePrincipalNames": ["http/ITFarm1.contoso.com", "http/ITFarm1"],
            },
            "membership": {"group": "ITFarmHosts"},
            "hosts": ["Host1", "Host2"],
        },
    });
    serde_json::from_value::<FarmManifest>(manifest).expect("the form is right").validate().expect("valid")
}

/// An entry with text attributes; an empty text leaves the attribute out.
pub fn entry(at: &str, attributes: &[(&str, &str)]) -> Entry {
    let present = attributes.iter().filter(|(_, value)| !value.is_empty());
    Entry::new(dn(at), present.map(|(name, value)| ((*name).to_owned(), vec![value.as_bytes().to_vec()])))
}

pub fn principal(name: &str, kind: PrincipalKind) -> Principal {
    Principal {
        dn: dn(&format!("CN={},OU=Servers,DC=contoso,DC=com", name.trim_end_matches('$'))),
        sid: Some(sid(1101)),
        sam_account_name: Some(name.into()),
        object_classes: vec![],
        kind,
        primary_group_id: Some(515),
        dns_host_name: None,
        disabled: false,
    }
}

/// The farm's group as it stands: global, security.
pub fn group() -> Principal {
    let kind = PrincipalKind::Group { security: true, scope: GroupScope::Global };
    Principal { dn: group_output().dn, sid: Some(sid(1200)), ..principal("ITFarmHosts", kind) }
}

pub fn rights(classes: &[&str], attributes: &[&str]) -> Rights {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Rights { child_classes: set(classes), attributes: set(attributes) }
}

pub fn host(name: &str) -> HostTarget {
    let rid = 1100 + name.trim_start_matches(char::is_alphabetic).parse::<u32>().unwrap_or(0);
    HostTarget {
        name: name.into(),
        dn: dn(&format!("CN={name},OU=Servers,DC=contoso,DC=com")),
        sid: sid(rid),
        dns_host_name: None,
    }
}

pub fn group_output() -> GroupOutput {
    GroupOutput {
        name: "ITFarmHosts".into(),
        dn: dn("CN=ITFarmHosts,CN=Users,DC=contoso,DC=com"),
        sid: Some(sid(1200)),
    }
}

pub fn preflight() -> PreflightOutput {
    PreflightOutput {
        domain: dn("DC=contoso,DC=com"),
        container: dn("CN=Managed Service Accounts,DC=contoso,DC=com"),
        account: AccountTarget {
            dn: dn("CN=ITFarm1,CN=Managed Service Accounts,DC=contoso,DC=com"),
            exists: false,
        },
        group: Some(GroupTarget {
            name: "ITFarmHosts".into(),
            dn: dn("CN=ITFarmHosts,CN=Users,DC=contoso,DC=com"),
            sid: None,
            exists: false,
        }),
        hosts: vec![host("Host1"), host("Host2")],
        domain_controllers: vec!["dc1.contoso.com".into()],
        warnings: vec![],
    }
}

/// The farm as `find-farm` finds it.
pub fn farm_output(by_group: bool) -> FarmOutput {
    let account = FarmAccount { dn: wanted().dn, sid: sid(1300), sam_account_name: "ITFarm1$".into() };
    let PreflightOutput { domain, domain_controllers, .. } = preflight();
    FarmOutput { domain, account, group: by_group.then(group_output), domain_controllers }
}

pub fn wanted() -> Wanted {
    Wanted {
        dn: preflight().account.dn,
        spec: spec().account,
        readers: Readers::Known(vec![reader("ITFarmHosts", 1200)]),
        foreign: vec![],
        contained: vec![],
        may_be_disabled: false,
    }
}

/// The account of [`wanted`] as a DC shows it, with other values for some attributes (no
/// values: the attribute is absent).
pub fn account(other: &[(&str, Vec<Vec<u8>>)]) -> Entry {
    let descriptor = ReaderDescriptor::allowing([&sid(1200)]).to_bytes().expect("fits");
    let text = |text: &str| vec![text.as_bytes().to_vec()];
    let mut attributes = vec![
        ("objectClass", vec![b"computer".to_vec(), b"msDS-GroupManagedServiceAccount".to_vec()]),
        ("objectSid", vec![sid(1300).to_bytes()]),
        ("objectGUID", vec![(1..=16).collect()]),
        ("sAMAccountName", text("ITFarm1$")),
        ("userAccountControl", text("4096")),
        ("dNSHostName", text("ITFarm1.contoso.com")),
        ("displayName", text("IT farm 1")),
        ("description", text("web tier")),
        ("servicePrincipalName", vec![b"http/ITFarm1".to_vec(), b"http/ITFarm1.contoso.com".to_vec()]),
        ("msDS-SupportedEncryptionTypes", text("24")),
        ("msDS-ManagedPasswordInterval", text("30")),
        ("msDS-GroupMSAMembership", vec![descriptor]),
    ];
    attributes.retain(|(name, _)| !other.iter().any(|(changed, _)| changed == name));
    attributes.extend(other.iter().filter(|(_, values)| !values.is_empty()).cloned());
    Entry::new(wanted().dn, attributes.into_iter().map(|(name, values)| (name.to_owned(), values)))
}

/// A context that writes to the DCs of a forest in memory, and keeps its records in memory.
pub fn context_of(forest: &Arc<FakeForest>, records: &Arc<FakeRecords>) -> StepContext {
    let known: Arc<dyn Directory> = forest.clone();
    let environment = Environment { directories: Directories::new([known]), ..context().environment };
    let id = WorkflowId::new(environment.clock.now(), &SystemRng);
    StepContext::new(id, Default::default(), Mode::Apply, environment, serde_json::Value::Null, None)
        .among(records.clone())
}

/// A dry run's context with the preflight output in it.
pub fn context() -> StepContext {
    let now = chrono::DateTime::from_timestamp(1_700_000_000, 0).expect("a valid time");
    let environment = Environment {
        directories: Directories::default(),
        hosts: crate::hosts::Hosts::default(),
        clock: Arc::new(ManualClock::at(now)),
        rng: Arc::new(SystemRng),
    };
    let id = WorkflowId::new(now, &SystemRng);
    let input = serde_json::to_value(spec()).expect("serialises");
    let mut cx = StepContext::new(id, Default::default(), Mode::Plan, environment, input, None);
    cx.set_output(preflight::NAME, serde_json::to_value(preflight()).expect("serialises"));
    cx
}
