//! What the tests of the containment share.

use directory::{Entry, ReaderDescriptor};
use domain::{DirectoryName, FarmName, PrincipalRef, Sid};
use store::{Farm, FarmFacts, FarmState};

use super::affected::{on_record, survey};
use super::deny_on_record::Case;
use super::host::Host;
use crate::steps::gmsa::READERS;
use crate::steps::testing::{dn, sid, spec};
use crate::steps::ways::Ways;

/// Host1.
pub fn host() -> Host {
    Host {
        name: "Host1".into(),
        dn: dn("CN=Host1,OU=Servers,DC=contoso,DC=com"),
        sid: sid(1101),
        dns_host_name: Some("host1.contoso.com".into()),
        domain_controller: false,
    }
}

/// A deployed farm with a group.
pub fn farm(name: &str, rid: u32, hosts: &[&str]) -> Farm {
    let mut spec = spec();
    spec.name = FarmName::parse(name).expect("a name");
    spec.account.sam_account_name = domain::AccountName::parse(name).expect("an account name");
    spec.hosts = hosts.iter().map(|host| PrincipalRef::parse(host).expect("a host")).collect();
    let facts = FarmFacts {
        spec: spec.clone(),
        account_dn: account_dn(name),
        account_sid: sid(rid),
        group_dn: Some(dn("CN=ITFarmHosts,CN=Users,DC=contoso,DC=com")),
        group_sid: Some(sid(1200)),
        group_made: true,
        foreign_readers: vec![],
    };
    let at = chrono::DateTime::from_timestamp(1_700_000_000, 0).expect("a valid time");
    Farm {
        name: spec.name.clone(),
        directory: DirectoryName::default(),
        state: FarmState::Deployed,
        spec,
        recorded: Some(facts),
        last_workflow: None,
        created_at: at,
        updated_at: at,
    }
}

fn account_dn(name: &str) -> domain::Dn {
    dn(&format!("CN={name},CN=Managed Service Accounts,DC=contoso,DC=com"))
}

/// A DC's copy of a gMSA.
pub fn copy(name: &str, rid: u32, readers: &[Sid]) -> Entry {
    listed(name, rid, &ReaderDescriptor::allowing(readers))
}

pub fn listed(name: &str, rid: u32, readers: &ReaderDescriptor) -> Entry {
    let attributes = [
        ("objectSid".to_owned(), vec![sid(rid).to_bytes()]),
        ("sAMAccountName".to_owned(), vec![format!("{name}$").into_bytes()]),
        (READERS.to_owned(), vec![readers.to_bytes().expect("fits")]),
    ];
    Entry::new(account_dn(name), attributes)
}

/// Host1 by group reads One, and nothing else on record.
pub fn case() -> Case {
    let candidates = on_record(&[farm("One", 1301, &["Host1"])], &host(), &[]);
    let copies = [("dc1".to_owned(), vec![copy("One", 1301, &[sid(1200)])])];
    let token = vec![sid(1101), sid(1200)];
    Case {
        affected: survey(&copies, &host(), &token, &candidates).affected,
        host: host(),
        token,
        ways: Ways::default(),
        rebuilt_from: None,
        only: vec![],
        domain_controllers: vec!["dc1".into()],
        away: vec![],
        denied: vec![],
        not_taken: vec![],
        warnings: vec![],
    }
}
