//! On the embedded directory, whose clock is the world's.

use std::sync::{Arc, Mutex};

use chrono::TimeDelta;
use directory::ldap::LdapDirectory;
use directory::{Attribute, Directory, DirectoryWrite, Modification, ReaderDescriptor};
use domain::rotation::FindingCode;
use domain::{Clock, DirectoryName, Dn, FarmName, Mode, RotationVerdict as V, Sid, WorkflowState};
use futures::FutureExt;
use serde_json::json;
use store::RotationFilter;
use tests::lab::GMSA_CONTAINER;
use tests::world::World;

use super::{check, deployed, entry, farm, history, hosts, succeeded, with_finding};

fn account_dn(name: &str) -> Dn {
    Dn::parse(&format!("CN={name},{GMSA_CONTAINER}")).expect("a DN")
}

async fn admin(world: &World) -> Arc<dyn DirectoryWrite> {
    let options = world.embedded.admin_ldap_options(DirectoryName::default());
    LdapDirectory::new(options).expect("valid options").pin(None).await.expect("a DC")
}

async fn set(world: &World, dn: &Dn, attribute: &str, values: Vec<Vec<u8>>) {
    let change = Modification::Replace(Attribute { name: attribute.to_owned(), values });
    admin(world).await.modify(dn, &[change]).await.expect("an administrator may");
}

async fn key_version(world: &World, dn: &Dn) -> Option<i64> {
    let dc = world.directory.pin(None).await.expect("a DC");
    let entry = dc.read(&dn.into(), &["msDS-KeyVersionNumber"]).await.expect("a read").expect("the account");
    entry.int("msDS-KeyVersionNumber")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_lives_through_its_verdicts_and_a_hosts_read_rolls_it() {
    let world = World::new().await;
    let _worker = world.start_worker("one");
    deployed(&world, farm("Rot1", json!({}))).await;
    let dn = account_dn("Rot1");

    let first = check(&world, None).await;
    assert_eq!((first.checked, first.verdicts.get(V::Current), first.changed), (1, 1, 1), "{first:#?}");
    let fresh = entry(&world, "Rot1").await.item;
    let due = fresh.next_due.expect("a due time");
    assert_eq!(due - fresh.slot_start.expect("a start"), TimeDelta::hours(20), "not 24");
    assert_eq!((fresh.interval_days, fresh.rollover_hours), (Some(1), Some(20)));
    assert_eq!((fresh.farm, fresh.reader_count, fresh.findings), (FarmName::parse("Rot1").ok(), 1, vec![]));

    for (time, verdict) in [
        (due - TimeDelta::minutes(6), V::Current),
        (due - TimeDelta::minutes(4), V::Rolling),
        (due + TimeDelta::minutes(1), V::Due),
        (due + TimeDelta::hours(20), V::Idle),
    ] {
        world.clock.set(time);
        check(&world, None).await;
        let found = entry(&world, "ROT1$").await;
        assert_eq!((found.item.verdict, &found.item.key_id), (verdict, &fresh.key_id), "{}", found.item.why);
    }
    assert_eq!(key_version(&world, &dn).await, Some(1));

    // Three whole periods late: the two that were missed are skipped.
    world.clock.set(due + TimeDelta::hours(41));
    assert!(world.embedded.fetch_password_as_host(&dn).await.expect("a fetch"));
    let after = check(&world, None).await;
    assert_eq!((after.verdicts.get(V::Current), after.changed), (1, 1));
    let rolled = entry(&world, "Rot1").await.item;
    assert_eq!(rolled.slot_start, Some(due + TimeDelta::hours(40)));
    assert_eq!(rolled.next_due, Some(due + TimeDelta::hours(60)));
    assert_eq!(key_version(&world, &dn).await, Some(2));
    assert_eq!(history(&world, "Rot1").await, [V::Current, V::Rolling, V::Due, V::Idle, V::Current]);

    let same = check(&world, None).await;
    assert_eq!((same.changed, history(&world, "Rot1").await.len()), (0, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_due_is_nudged_where_its_farm_wants_it_and_nowhere_else() {
    let mut world = World::new().await;
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (embedded, seen) = (world.embedded.clone(), asked.clone());
    world.hosts = hosts(move |host, account| {
        seen.lock().expect("no panic").push((host, account.clone()));
        let embedded = embedded.clone();
        async move { embedded.fetch_password_as_host(&account_dn(&account)).await.is_ok() }.boxed()
    });
    let _worker = world.start_worker("one");
    deployed(&world, farm("Nudge1", json!({ "rotation": { "nudge": true } }))).await;
    deployed(&world, farm("Nudge2", json!({}))).await;
    asked.lock().expect("no panic").clear();

    assert_eq!(check(&world, None).await.nudges, [], "nothing is due");
    let due = entry(&world, "Nudge1").await.item.next_due.expect("a due time");
    world.clock.set(due + TimeDelta::minutes(1));

    let first = check(&world, None).await;
    assert_eq!((first.verdicts.get(V::Due), first.nudges.len()), (2, 1), "{first:#?}");
    let nudge = world.finishes(first.nudges[0]).await;
    succeeded(&nudge);
    assert_eq!((nudge.kind.as_str(), nudge.farm.as_ref().map(FarmName::as_str)), ("nudge", Some("Nudge1")));
    let result = nudge.result.expect("a result");
    assert_eq!((&result["host"], &result["copies"][0]["keyVersion"]), (&json!("Host1"), &json!(2)));
    assert_eq!(*asked.lock().expect("no panic"), [("Host1".to_owned(), "Nudge1".to_owned())]);

    let then = check(&world, None).await;
    assert_eq!((then.verdicts.get(V::Current), then.verdicts.get(V::Due), then.nudges.len()), (1, 1, 0));
    assert_eq!(entry(&world, "Nudge1").await.item.slot_start, Some(due));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nudge_that_no_host_can_answer_says_so_and_is_made_once_a_day() {
    let mut world = World::new().await;
    world.hosts = hosts(|_, _| async { true }.boxed());
    let _worker = world.start_worker("one");
    deployed(&world, farm("Nudge3", json!({ "rotation": { "nudge": true } }))).await;
    check(&world, Some("Nudge3")).await;
    let due = entry(&world, "Nudge3").await.item.next_due.expect("a due time");
    world.clock.set(due + TimeDelta::minutes(1));
    let group = Dn::parse(&format!("CN=Nudge3g,{}", tests::lab::GROUP_CONTAINER)).expect("a DN");
    set(&world, &group, "member", Vec::new()).await;

    let first = check(&world, Some("Nudge3")).await;
    let nudge = world.finishes(first.nudges[0]).await;
    assert_eq!(nudge.state, WorkflowState::Failed);
    let error = nudge.error.expect("an error");
    assert_eq!(error.code, domain::ErrorCode::PasswordNotRolled, "{error:?}");
    let again = check(&world, Some("Nudge3")).await;
    assert_eq!(again.nudges, first.nudges, "the same workflow, not another one");

    let item = entry(&world, "Nudge3").await.item;
    let finding = item.findings.iter().find(|finding| finding.code == FindingCode::HostCannotRead);
    let finding = finding.expect("the hosts that cannot read");
    assert_eq!(
        (&finding.subjects[..], finding.at),
        (&["Host1".to_owned(), "Host2".to_owned()][..], Some(due))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_gmsa_of_a_directory_is_judged_page_by_page() {
    let world = World::new().await;
    let _worker = world.start_worker("one");
    let good =
        ReaderDescriptor::allowing([&group_sid(&world, "good", &["Host1"]).await]).to_bytes().expect("fits");
    let names: Vec<_> = (0..1_150).map(|number| format!("many{number:04}")).collect();
    world.embedded.seed_gmsas(&names, Some(&good)).await.expect("seeded");

    let domain_computers: Sid = domain_sid(&world).await.with_rid(515).expect("a SID");
    let orphan: Sid = domain_sid(&world).await.with_rid(999_999).expect("a SID");
    let broad = ReaderDescriptor::allowing([&domain_computers, &orphan]).to_bytes().expect("fits");
    let nobody = ReaderDescriptor::allowing([]).to_bytes().expect("fits");
    for (name, readers) in [("broad", Some(broad)), ("nobody", Some(nobody)), ("absent", None)] {
        world.embedded.seed_gmsas(&[name.to_owned()], readers.as_deref()).await.expect("seeded");
    }
    set(&world, &account_dn("many0001"), "msDS-SupportedEncryptionTypes", vec![b"31".to_vec()]).await;
    set(&world, &account_dn("many0002"), "userAccountControl", vec![b"4098".to_vec()]).await;

    let found = check(&world, None).await;
    assert_eq!(
        (found.checked, found.verdicts.get(V::Current), found.verdicts.get(V::Never)),
        (1_153, 1_151, 2)
    );
    for (finding, accounts) in [
        (FindingCode::BroadReader, vec!["broad$"]),
        (FindingCode::OrphanReader, vec!["broad$"]),
        (FindingCode::NobodyMayRead, vec!["nobody$"]),
        (FindingCode::NoReaderDescriptor, vec!["absent$"]),
        (FindingCode::Rc4Allowed, vec!["many0001$"]),
        (FindingCode::DesAllowed, vec!["many0001$"]),
        (FindingCode::DisabledYetReadable, vec!["many0002$"]),
    ] {
        assert_eq!(with_finding(&world, finding).await, accounts, "{finding}");
        assert_eq!(found.findings[finding.as_str()], 1);
    }

    admin(&world).await.delete(&account_dn("many0003")).await.expect("deleted");
    let later = check(&world, None).await;
    assert_eq!((later.checked, later.gone, later.changed), (1_152, 1, 0), "{}", later.summary);
    let filter = RotationFilter { gone: true, ..RotationFilter::default() };
    let gone = world.store.rotation(&filter, None, 10).await.expect("the store answers").items;
    assert_eq!(gone.iter().map(|entry| entry.item.account.as_str()).collect::<Vec<_>>(), ["many0003$"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_from_the_record_is_found() {
    let world = World::new().await;
    let _worker = world.start_worker("one");
    deployed(&world, farm("Rec1", json!({}))).await;
    deployed(&world, farm("Rec2", json!({}))).await;
    let hosts = |numbers: &[u32]| {
        let dns = numbers.iter().map(|number| format!("CN=Host{number},OU=Servers,DC=contoso,DC=com"));
        dns.map(String::into_bytes).collect()
    };
    let group = Dn::parse(&format!("CN=Rec1g,{}", tests::lab::GROUP_CONTAINER)).expect("a DN");
    // Host2 has left without a word, Host5 has come.
    set(&world, &group, "member", hosts(&[1, 5])).await;
    admin(&world).await.delete(&account_dn("Rec2")).await.expect("deleted");

    let found = check(&world, None).await;
    assert_eq!(found.farms_without_account, [FarmName::parse("Rec2").expect("a name")]);
    let item = entry(&world, "Rec1").await.item;
    let about = |code: FindingCode| {
        let finding = item.findings.iter().find(|finding| finding.code == code);
        finding.map(|finding| finding.subjects.clone()).unwrap_or_default()
    };
    assert_eq!(about(FindingCode::HostCannotRead), ["Host2"]);
    assert_eq!(about(FindingCode::ReaderNotOnRecord), ["Host5"]);

    // In again, through a group in the group: a token tells.
    let nested = Dn::parse(&format!("CN=inner,{}", tests::lab::GROUP_CONTAINER)).expect("a DN");
    group_sid(&world, "inner", &["Host2"]).await;
    let members = hosts(&[1]).into_iter().chain([nested.as_str().as_bytes().to_vec()]).collect();
    set(&world, &group, "member", members).await;
    check(&world, Some("Rec1")).await;
    let item = entry(&world, "Rec1").await.item;
    assert_eq!(item.codes(), [FindingCode::ReaderNotOnRecord], "{:#?}", item.findings);
    assert_eq!(item.findings[0].subjects, ["inner"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_judges_and_records_nothing() {
    let world = World::new().await;
    let _worker = world.start_worker("one");
    world.embedded.seed_gmsas(&["dry1".to_owned()], None).await.expect("seeded");
    let input = json!({ "everyDc": false, "maxIntervalDays": 30, "keepDays": 400 });
    let id = world.submit_for("rotation-check", Mode::Plan, None, input).await;
    let done = world.finishes(id).await;
    succeeded(&done);
    let detail = done.steps[0].detail.clone().unwrap_or_default();
    assert!(detail.starts_with("1 gMSA: 1 never"), "{detail}");
    let found = world.store.rotation_of(&DirectoryName::default(), "dry1").await.expect("the store answers");
    assert_eq!(found, None);
}

async fn domain_sid(world: &World) -> Sid {
    let dc = world.directory.pin(None).await.expect("a DC");
    let domain = dc.root_dse().await.expect("a rootDSE").default_naming_context;
    let head = dc.read(&(&domain).into(), &["objectSid"]).await.expect("a read").expect("the domain");
    head.sid("objectSid").expect("a SID")
}

/// A group with those hosts in it.
async fn group_sid(world: &World, name: &str, hosts: &[&str]) -> Sid {
    let members = hosts.iter().map(|host| format!("CN={host},OU=Servers,DC=contoso,DC=com"));
    let members: Vec<_> = members.map(|dn| Dn::parse(&dn).expect("a DN")).collect();
    let dn = world.embedded.seed_group(name, &members).await.expect("a group");
    let dc = world.directory.pin(None).await.expect("a DC");
    let entry = dc.read(&(&dn).into(), &["objectSid"]).await.expect("a read").expect("the group");
    entry.sid("objectSid").expect("a SID")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_of_a_world_is_that_of_its_directory() {
    let world = World::new().await;
    let later = world.clock.now() + TimeDelta::days(31);
    world.clock.set(later);
    let dc = world.directory.pin(None).await.expect("a DC");
    let said = dc.root_dse().await.expect("a rootDSE").current_time.expect("a time");
    assert!((said - later).abs() < TimeDelta::minutes(5), "{said}");
}
