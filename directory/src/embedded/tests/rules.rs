//! Rules that the conformance suite cannot show on both sides: what Windows refuses and Samba
//! takes, and what needs a clock that moves.

use std::sync::Arc;
use std::time::Duration;

use domain::{Clock, ManualClock};
use ldap3_proto::LdapResultCode as Code;
use ldap3_proto::proto::LdapModifyType::{Add, Delete, Replace};
use ldap3_proto::proto::{LdapPartialAttribute, LdapSearchScope as Scope};

use super::super::{EmbeddedDirectory, EmbeddedOptions, names};
use super::client::{Client, attribute, change, search, start};
use crate::password_id::ManagedPasswordId;

fn gmsa(name: &str, more: Vec<LdapPartialAttribute>) -> (String, Vec<LdapPartialAttribute>) {
    let mut attributes = vec![
        attribute("objectClass", &["msDS-GroupManagedServiceAccount"]),
        attribute("sAMAccountName", &[&format!("{name}$")]),
        attribute("userAccountControl", &["4096"]),
    ];
    attributes.extend(more);
    (format!("CN={name},{}", names::MSA), attributes)
}

fn interval(days: &str) -> LdapPartialAttribute {
    attribute("msDS-ManagedPasswordInterval", &[days])
}

#[tokio::test]
async fn what_windows_refuses_is_refused_where_samba_takes_it() {
    let directory = start().await;
    let mut client = Client::service(&directory).await;
    for (days, code) in [
        ("0", Code::ConstraintViolation),
        ("-1", Code::ConstraintViolation),
        ("2147483648", Code::InvalidAttributeSyntax),
        ("abc", Code::InvalidAttributeSyntax),
    ] {
        let (dn, attributes) = gmsa("Bad", vec![interval(days)]);
        assert_eq!(client.add(&dn, attributes).await.code, code, "{days}");
    }
    let readers = attribute("msDS-GroupMSAMembership", &["D:(A;;GA;;;BA)"]);
    let (dn, attributes) = gmsa("Bad", vec![interval("30"), readers]);
    assert_eq!(client.add(&dn, attributes).await.code, Code::InvalidAttributeSyntax);
    let (dn, attributes) = gmsa(&"x".repeat(65), vec![interval("30")]);
    assert_eq!(client.add(&dn, attributes).await.code, Code::ConstraintViolation);
    let left = client.search(search(names::MSA, Scope::OneLevel, "(objectClass=*)", &["1.1"])).await;
    assert!(left.entries.is_empty());
    directory.stop().await;
}

#[tokio::test]
async fn an_account_rolls_when_it_is_due_and_somebody_fetches() {
    let clock = Arc::new(ManualClock::at("2026-11-22T09:00:00Z".parse().expect("a time")));
    let options = EmbeddedOptions { clock: clock.clone(), ..EmbeddedOptions::default() };
    let directory = EmbeddedDirectory::start(options).await.expect("it starts");
    directory.seed_gmsas(&["Farm".to_owned()], None).await.expect("added");
    let dn = names::known(names::MSA).child("CN", "Farm");
    let mut client = Client::service(&directory).await;
    let read = async |client: &mut Client| {
        let found =
            client.read(dn.as_str(), &["msDS-ManagedPasswordId", "msDS-ManagedPasswordPreviousId"]).await;
        let id =
            |name: &str| found.values(name).first().map(|id| ManagedPasswordId::parse(id).expect("an id"));
        (id("msDS-ManagedPasswordId").expect("there"), id("msDS-ManagedPasswordPreviousId"))
    };
    let (first, none) = read(&mut client).await;
    assert_eq!((first.slot.to_string().as_str(), none), ("(364, 18, 16)", None));
    assert!(first.slot_start() <= clock.now());

    assert!(!directory.fetch_password_as_host(&dn).await.expect("fetched"));
    // Two periods of 30 days and a bit: one is skipped.
    clock.advance(Duration::from_secs(61 * 24 * 3600));
    assert_eq!(read(&mut client).await.0, first, "nothing rolls by itself");
    assert!(directory.fetch_password_as_host(&dn).await.expect("fetched"));
    let (second, previous) = read(&mut client).await;
    assert_eq!(previous, Some(first.clone()));
    assert_eq!(second.slot_start() - first.slot_start(), chrono::Duration::hours(2 * 720));
    directory.stop().await;
}

#[tokio::test]
async fn no_account_is_made_without_a_usable_root_key() {
    let directory = start().await;
    let mut admin = Client::admin(&directory).await;
    let request = search(names::ROOT_KEYS, Scope::OneLevel, "(objectClass=*)", &["1.1"]);
    let key = admin.search(request).await.entries.remove(0).dn;
    assert_eq!(admin.delete(&key).await.code, Code::Success);
    let (dn, attributes) = gmsa("Early", vec![interval("30")]);
    let refused = Client::service(&directory).await.add(&dn, attributes).await;
    assert_eq!(refused.code, Code::NoSuchObject);
    assert!(refused.message.starts_with("8009000D: "), "{}", refused.message);
    directory.stop().await;
}

#[tokio::test]
async fn a_modify_is_all_or_nothing_and_in_order() {
    let directory = start().await;
    let group = directory.seed_group("Ordered", &[]).await.expect("added").to_string();
    let mut client = Client::admin(&directory).await;
    let host = "CN=Host1,OU=Servers,DC=contoso,DC=com";
    let good = vec![change(Add, "member", &[host]), change(Replace, "description", &["a"])];
    assert_eq!(client.modify(&group, good).await.code, Code::Success);
    let bad = vec![change(Delete, "member", &[host]), change(Delete, "description", &["other"])];
    assert_eq!(client.modify(&group, bad).await.code, Code::NoSuchAttribute);
    let found = client.read(&group, &["member", "description"]).await;
    assert_eq!(
        (found.texts("member"), found.texts("description")),
        (vec![host.to_owned()], vec!["a".to_owned()])
    );
    // Delete and add of one value in one modify: the idempotent form.
    let same = vec![change(Delete, "member", &[host]), change(Add, "member", &[host])];
    assert_eq!(client.modify(&group, same).await.code, Code::Success);
    assert_eq!(client.read(host, &["memberOf"]).await.texts("memberOf"), [group]);
    directory.stop().await;
}

#[tokio::test]
async fn deleting_an_object_leaves_no_link_to_it() {
    let directory = start().await;
    let host = directory.seed_computer("Leaving").await.expect("added");
    let group = directory.seed_group("Left", std::slice::from_ref(&host)).await.expect("added").to_string();
    let mut admin = Client::admin(&directory).await;
    assert_eq!(admin.delete(host.as_str()).await.code, Code::Success);
    assert!(admin.read(&group, &["member"]).await.texts("member").is_empty());
    assert_eq!(admin.delete("OU=Servers,DC=contoso,DC=com").await.code, Code::NotAllowedOnNonLeaf);
    assert_eq!(admin.delete("CN=Users,DC=contoso,DC=com").await.code, Code::UnwillingToPerform);
    directory.stop().await;
}

#[tokio::test]
async fn the_service_account_sees_the_root_keys_dates_and_no_more() {
    let directory = start().await;
    let filter = "(objectClass=*)";
    let attributes = ["msKds-UseStartTime", "msKds-CreateTime", "msKds-DomainID"];
    let request = || search(names::ROOT_KEYS, Scope::OneLevel, filter, &attributes);
    let seen = Client::service(&directory).await.search(request()).await;
    assert_eq!(seen.entries[0].attributes.len(), 2);
    let seen = Client::admin(&directory).await.search(request()).await;
    assert_eq!(seen.entries[0].attributes.len(), 3);
    let by_class = search(names::ROOT_KEYS, Scope::OneLevel, "(objectClass=msKds-ProvRootKey)", &["1.1"]);
    assert!(Client::service(&directory).await.search(by_class).await.entries.is_empty());
    directory.stop().await;
}
