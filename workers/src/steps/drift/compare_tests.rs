use std::collections::HashMap;

use directory::Entry;
use directory::preflight::{Principal, PrincipalKind};
use directory::security::ReaderDescriptor;
use domain::drift::{DriftItem, DriftKind as K};
use domain::{Dn, EncryptionTypes, FarmManifest, FarmSpec, MembershipMode, PrincipalRef, Sid};
use proptest::prelude::*;
use serde_json::json;
use store::{FarmFacts, Quarantined};

use super::compare::{Host, Seen, compare};
use super::groups::Groups;
use crate::steps::gmsa::{READERS, Reader, Readers, Wanted};
use crate::steps::testing::records::FakeRecords;
use crate::steps::testing::{self, dn, host, principal, sid};

/// A farm and the directory around it; a test changes what it is about.
struct Scene {
    asked: Option<FarmSpec>,
    facts: FarmFacts,
    account: Option<Entry>,
    namesake: Option<Dn>,
    group: Option<Principal>,
    group_namesake: Option<Dn>,
    hosts: Vec<Host>,
    principals: HashMap<Sid, Principal>,
    members: Vec<Dn>,
    inner: Vec<(Sid, Dn, Vec<Dn>)>,
    quarantined: Vec<Quarantined>,
}

fn computer(number: u32) -> Principal {
    let target = host(&format!("Host{number}"));
    let found = principal(&format!("Host{number}$"), PrincipalKind::Computer);
    Principal { sid: Some(target.sid), dn: target.dn, ..found }
}

fn host_of(number: u32) -> Host {
    let reference = PrincipalRef::Name(format!("Host{number}"));
    Host { reference, asked: true, recorded: true, found: Some(computer(number)) }
}

fn list(allowed: &[u32], denied: &[u32]) -> Vec<u8> {
    let allowed: Vec<Sid> = allowed.iter().map(|rid| sid(*rid)).collect();
    let mut list = ReaderDescriptor::allowing(&allowed);
    for rid in denied {
        list.deny(&sid(*rid));
    }
    list.to_bytes().expect("fits")
}

impl Scene {
    /// As a deploy leaves it.
    fn new() -> Self {
        let facts = FarmFacts {
            spec: testing::spec(),
            account_dn: testing::wanted().dn,
            account_sid: sid(1300),
            group_dn: Some(testing::group().dn),
            group_sid: Some(sid(1200)),
            group_made: true,
            foreign_readers: vec![],
        };
        Self {
            asked: None,
            facts,
            account: Some(testing::account(&[])),
            namesake: None,
            group: Some(testing::group()),
            group_namesake: None,
            hosts: vec![host_of(1), host_of(2)],
            principals: HashMap::from([(sid(1200), testing::group())]),
            members: vec![computer(1).dn, computer(2).dn],
            inner: vec![],
            quarantined: vec![],
        }
    }

    fn direct() -> Self {
        let mut scene = Self::new();
        scene.facts.spec.membership.mode = MembershipMode::Direct;
        scene.facts.spec.membership.group = None;
        (scene.facts.group_dn, scene.facts.group_sid, scene.group) = (None, None, None);
        scene.members.clear();
        scene.readers(list(&[1101, 1102], &[]));
        scene
    }

    fn account(&mut self, attributes: &[(&'static str, Vec<Vec<u8>>)]) {
        self.account = Some(testing::account(attributes));
    }

    fn readers(&mut self, list: Vec<u8>) {
        self.account(&[(READERS, vec![list])]);
    }

    fn known(&mut self, found: Principal) {
        self.principals.insert(found.sid.clone().expect("a SID"), found);
    }

    fn items(&self) -> Vec<DriftItem> {
        let group = self.group.as_ref().map(|group| (sid(1200), group.dn.clone(), self.members.clone()));
        let groups = Groups::of(group.into_iter().chain(self.inner.iter().cloned()));
        compare(&Seen {
            asked: self.asked.as_ref().unwrap_or(&self.facts.spec),
            facts: &self.facts,
            account: self.account.as_ref(),
            namesake: self.namesake.as_ref(),
            group: self.group.as_ref(),
            group_namesake: self.group_namesake.as_ref(),
            hosts: &self.hosts,
            principals: &self.principals,
            groups: &groups,
            quarantined: &self.quarantined,
        })
    }

    /// Kind, subject, attribute, whether an update mends it, whether it stands in an update's way.
    fn told(&self) -> Vec<(K, String, String, bool, bool)> {
        let told =
            |item: DriftItem| (item.kind, item.subject, item.attribute, item.mendable, item.blocks_update);
        self.items().into_iter().map(told).collect()
    }
}

/// One item, that an update mends or not.
fn only(scene: &Scene, kind: K, subject: &str, attribute: &str, (mendable, blocks): (bool, bool)) {
    assert_eq!(scene.told(), [(kind, subject.to_owned(), attribute.to_owned(), mendable, blocks)]);
}

const MENDED: (bool, bool) = (true, false);
const BY_HAND: (bool, bool) = (false, false);
const BLOCKS: (bool, bool) = (false, true);

#[test]
fn what_a_deploy_leaves_is_in_line() {
    assert_eq!(Scene::new().items(), []);
    assert_eq!(Scene::direct().items(), []);
}

#[test]
fn each_attribute_that_the_manifest_fixes_is_compared() {
    let text = |values: &[&str]| values.iter().map(|value| value.as_bytes().to_vec()).collect::<Vec<_>>();
    for (attribute, values, kind, how) in [
        ("dNSHostName", text(&["other.contoso.com"]), K::Changed, MENDED),
        ("displayName", text(&[]), K::Missing, MENDED),
        ("description", text(&["mine"]), K::Changed, MENDED),
        ("servicePrincipalName", text(&["http/ITFarm1"]), K::Changed, MENDED),
        ("servicePrincipalName", text(&[]), K::Missing, MENDED),
        ("msDS-SupportedEncryptionTypes", text(&["28"]), K::Changed, MENDED),
        ("msDS-ManagedPasswordInterval", text(&["1"]), K::Changed, BLOCKS),
        ("sAMAccountName", text(&["Other$"]), K::Changed, BLOCKS),
    ] {
        let mut scene = Scene::new();
        scene.account(&[(attribute, values)]);
        only(&scene, kind, "ITFarm1$", attribute, how);
    }
}

#[test]
fn what_the_manifest_leaves_open_may_be_anything() {
    let mut scene = Scene::new();
    scene.facts.spec.account.description = None;
    scene.account(&[
        ("description", vec![b"a person's".to_vec()]),
        ("wWWHomePage", vec![b"https://it".to_vec()]),
        ("userAccountControl", vec![b"4098".to_vec()]),
    ]);
    assert_eq!(scene.items(), []);
    scene.facts.spec.account.enabled = Some(true);
    only(&scene, K::Changed, "ITFarm1$", "userAccountControl", MENDED);
}

#[test]
fn an_account_is_gone_replaced_or_moved() {
    let mut scene = Scene::new();
    scene.account = None;
    only(&scene, K::Gone, "ITFarm1$", "objectSid", BLOCKS);
    scene.namesake = Some(testing::wanted().dn);
    only(&scene, K::Replaced, "ITFarm1$", "objectSid", BLOCKS);

    let elsewhere =
        Entry::new(dn("CN=ITFarm1,OU=Else,DC=contoso,DC=com"), attributes(&testing::account(&[])));
    let mut scene = Scene::new();
    scene.account = Some(elsewhere);
    only(&scene, K::Moved, "ITFarm1$", "distinguishedName", BY_HAND);
    scene.facts.spec.account.container = testing::wanted().dn.parent();
    only(&scene, K::Moved, "ITFarm1$", "distinguishedName", BLOCKS);
}

fn attributes(of: &Entry) -> Vec<(String, Vec<Vec<u8>>)> {
    of.names().map(|name| (name.to_owned(), of.values(name).to_vec())).collect()
}

#[test]
fn the_group_is_gone_replaced_moved_renamed_or_no_group_for_hosts_any_more() {
    let mut scene = Scene::new();
    scene.group = None;
    scene.principals.clear();
    only(&scene, K::Gone, "ITFarmHosts", "objectSid", BLOCKS);
    scene.group_namesake = Some(testing::group().dn);
    only(&scene, K::Replaced, "ITFarmHosts", "objectSid", BLOCKS);

    let with = |change: &dyn Fn(&mut Principal)| {
        let (mut scene, mut group) = (Scene::new(), testing::group());
        change(&mut group);
        scene.known(group.clone());
        scene.group = Some(group);
        scene
    };
    let moved = with(&|group| group.dn = dn("CN=ITFarmHosts,OU=Else,DC=contoso,DC=com"));
    only(&moved, K::Moved, "ITFarmHosts", "distinguishedName", BY_HAND);
    let renamed = with(&|group| group.sam_account_name = Some("Others".to_owned()));
    only(&renamed, K::Changed, "ITFarmHosts", "sAMAccountName", BLOCKS);
    let distribution = with(&|group| {
        group.kind =
            PrincipalKind::Group { security: false, scope: directory::preflight::GroupScope::Global };
    });
    only(&distribution, K::Changed, "ITFarmHosts", "groupType", BLOCKS);
}

#[test]
fn a_host_on_record_that_cannot_read_is_told_by_what_it_lacks() {
    let mut scene = Scene::new();
    scene.members.pop();
    only(&scene, K::Missing, "Host2", "member", MENDED);
    // In again, through a group in the group.
    scene.members.push(dn("CN=Inner,DC=contoso,DC=com"));
    scene.inner = vec![(sid(1201), dn("CN=Inner,DC=contoso,DC=com"), vec![computer(2).dn])];
    only(&scene, K::Extra, "Inner", "member", BY_HAND);

    let mut scene = Scene::new();
    scene.readers(list(&[], &[]));
    only(&scene, K::Missing, "ITFarmHosts", READERS, MENDED);
    scene.account(&[(READERS, vec![])]);
    only(&scene, K::Missing, "ITFarmHosts", READERS, MENDED);
    scene.account(&[(READERS, vec![b"garbage".to_vec()])]);
    only(&scene, K::Changed, "ITFarm1$", READERS, BLOCKS);

    let mut scene = Scene::direct();
    scene.readers(list(&[1101], &[]));
    only(&scene, K::Missing, "Host2", READERS, MENDED);

    let mut scene = Scene::new();
    scene.hosts[1].found = None;
    scene.members.pop();
    only(&scene, K::Gone, "Host2", "objectSid", BLOCKS);
}

#[test]
fn a_denial_that_nobody_asked_for_is_told_with_whom_it_locks_out() {
    let mut scene = Scene::new();
    scene.known(computer(1));
    scene.readers(list(&[1200], &[1101]));
    let cannot = (K::CannotRead, "Host1".to_owned(), READERS.to_owned(), false, false);
    let denied = (K::Denied, "Host1".to_owned(), READERS.to_owned(), false, false);
    assert_eq!(scene.told(), [cannot, denied]);
    // Of the containment it is no drift, and neither is that the host cannot read.
    let records = FakeRecords::default();
    records.place("Host1", &sid(1101), &computer(1).dn);
    scene.quarantined = records.lock().quarantines.clone();
    assert_eq!(scene.items(), []);
    // That it is gone is told by quarantine checks.
    scene.readers(list(&[1200], &[]));
    assert_eq!(scene.items(), []);
    scene.quarantined.clear();
    scene.readers(list(&[1200], &[1900]));
    scene.facts.foreign_readers =
        vec![domain::farm::ForeignReader { sid: sid(1900), denied: true, name: None }];
    assert_eq!(scene.items(), [], "it was there when the account was imported");
}

#[test]
fn a_host_under_quarantine_in_the_manifest_keeps_every_update_from_mending() {
    let mut scene = Scene::new();
    scene.members.clear();
    let records = FakeRecords::default();
    assert!(scene.items().iter().any(|item| item.mendable), "{:?}", scene.items());
    records.place("Host1", &sid(1101), &computer(1).dn);
    scene.quarantined = records.lock().quarantines.clone();
    let items = scene.items();
    assert!(items.iter().all(|item| item.blocks_update && !item.mendable), "{items:?}");
    assert!(items[0].hint.contains("farmhand remove-host ITFarm1 Host1"), "{}", items[0].hint);
}

#[test]
fn readers_and_members_that_nobody_recorded_are_named() {
    let mut scene = Scene::new();
    scene.readers(list(&[1200, 1103, 1999, 515, 1900], &[]));
    scene.known(computer(3));
    scene.facts.foreign_readers =
        vec![domain::farm::ForeignReader { sid: sid(1900), denied: false, name: None }];
    scene.members.push(computer(4).dn);
    let told: Vec<_> =
        scene.told().into_iter().map(|(kind, subject, attribute, ..)| (kind, subject, attribute)).collect();
    let item = |kind, subject: &str, attribute: &str| (kind, subject.to_owned(), attribute.to_owned());
    assert_eq!(
        told,
        [
            item(K::Extra, "Host3", READERS),
            item(K::Orphan, "S-1-5-21-1-2-3-1999", READERS),
            item(K::Extra, "Domain Computers", READERS),
            item(K::Extra, "Host4", "member"),
        ]
    );
    assert!(scene.items().iter().all(|item| !item.mendable && !item.blocks_update));
    assert!(scene.items()[0].hint.contains("farmhand remove-host ITFarm1 Host3"));
}

#[test]
fn what_was_asked_for_and_not_reached_is_told_apart_from_what_others_changed() {
    let mut scene = Scene::new();
    let mut asked = scene.facts.spec.clone();
    asked.account.description = Some("other tier".to_owned());
    asked.account.kerberos_encryption_types = EncryptionTypes::parse(["AES256"]).expect("valid");
    asked.hosts.push(PrincipalRef::Name("Host3".to_owned()));
    scene.asked = Some(asked);
    scene.hosts.push(Host { recorded: false, ..host_of(3) });
    // The update came half way: the ciphers are there, nothing else is.
    scene.account(&[("msDS-SupportedEncryptionTypes", vec![b"16".to_vec()])]);
    let told: Vec<_> = scene
        .items()
        .into_iter()
        .map(|item| (item.kind, item.attribute, item.asked, item.recorded, item.found))
        .collect();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        told,
        [
            (
                K::NotRecorded,
                "msDS-SupportedEncryptionTypes".to_owned(),
                text("AES256"),
                text("AES128, AES256"),
                text("AES256")
            ),
            (
                K::NotAchieved,
                "description".to_owned(),
                text("other tier"),
                text("web tier"),
                text("web tier")
            ),
            (K::NotAchieved, "member".to_owned(), text("reads"), None, None),
        ]
    );
    // And now somebody else has changed the description too.
    scene.account(&[("description", vec![b"mine".to_vec()])]);
    let item =
        scene.items().into_iter().find(|item| item.attribute == "description").expect("the description");
    assert_eq!(
        (item.kind, item.asked, item.recorded, item.found),
        (K::Changed, text("other tier"), text("web tier"), text("mine"))
    );
}

/// The manifest's account, as wide as its fields go.
fn any_account() -> impl Strategy<Value = serde_json::Value> {
    let name = "[a-z]{1,12}";
    (
        proptest::collection::btree_set(name, 0..4),
        proptest::option::of("[ -~]{1,30}"),
        proptest::option::of(any::<bool>()),
        proptest::sample::select(vec![
            json!(["AES128", "AES256"]),
            json!(["RC4", "AES256"]),
            json!(["Default"]),
        ]),
        (1i64..=365, proptest::option::of(any::<bool>())),
    )
        .prop_map(|(hosts, text, flag, ciphers, (days, enabled))| {
            let spns: Vec<_> = hosts.iter().map(|host| format!("http/{host}.contoso.com")).collect();
            json!({
                "dnsHostName": "f.contoso.com", "servicePrincipalNames": spns,
                "description": text, "displayName": text, "kerberosEncryptionTypes": ciphers,
                "managedPasswordIntervalInDays": days, "enabled": enabled, "accountNotDelegated": flag,
                "compoundIdentitySupported": flag,
            })
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a manifest asks for: an account that was made of it, and hosts that were let in as it
    /// says, are in line.
    #[test]
    fn what_was_made_as_asked_never_differs(
        account in any_account(),
        direct in any::<bool>(),
        numbers in proptest::collection::btree_set(1u32..60, 0..6),
    ) {
        let membership = if direct { json!({"mode": "direct"}) } else { json!({"group": "ITFarmHosts"}) };
        let manifest = json!({
            "apiVersion": "farmhand/v1", "kind": "Farm", "metadata": {"name": "ITFarm1"},
            "spec": {"account": account, "membership": membership,
                     "hosts": numbers.iter().map(|number| format!("Host{number}")).collect::<Vec<_>>()},
        });
        let manifest: FarmManifest = serde_json::from_value(manifest).expect("the form is right");
        // A blank description or the like is none.
        let Ok(spec) = manifest.validate() else { return Ok(()) };
        let mut scene = if direct { Scene::direct() } else { Scene::new() };
        scene.hosts = numbers.iter().map(|number| host_of(*number)).collect();
        scene.members = numbers.iter().map(|number| computer(*number).dn).collect();
        let readers = match direct {
            true => scene.hosts.iter().map(|host| Reader {
                name: host.name(), sid: host.found.as_ref().and_then(|found| found.sid.clone()).expect("a SID"),
            }).collect(),
            false => vec![testing::reader("ITFarmHosts", 1200)],
        };
        let wanted = Wanted {
            spec: spec.account.clone(), readers: Readers::Known(readers), foreign: vec![], contained: vec![],
            ..testing::wanted()
        };
        let made = wanted.addition().expect("an account");
        let attributes = made.attributes.iter().map(|attribute| {
            let values = attribute.added().iter().filter_map(|value| value.wire().map(<[u8]>::to_vec));
            (attribute.attribute.clone(), values.collect())
        });
        scene.account = Some(Entry::new(made.dn.clone(), attributes));
        scene.facts.spec = spec;
        prop_assert_eq!(scene.items(), []);
    }
}
