use ldap3_proto::LdapResultCode as Code;
use ldap3_proto::control::LdapControl;
use ldap3_proto::proto::{LdapSearchRequest, LdapSearchScope as Scope};

use super::super::names;
use super::client::{Client, search, start};

fn page(size: i64, cookie: Vec<u8>) -> Vec<LdapControl> {
    vec![LdapControl::SimplePagedResults { size, cookie }]
}

fn hosts() -> LdapSearchRequest {
    search(names::HOSTS, Scope::OneLevel, "(objectCategory=computer)", &["cn"])
}

#[tokio::test]
async fn more_than_a_thousand_come_only_in_pages() {
    let directory = start().await;
    directory.add_hosts(1..=1100).await.expect("added");
    let mut client = Client::service(&directory).await;
    let cut = client.search(hosts()).await;
    assert_eq!((cut.result.code, cut.entries.len()), (Code::SizeLimitExceeded, 1000));

    // A page is never larger than a thousand either, whatever is asked.
    let first = client.search_with(hosts(), page(5000, Vec::new())).await;
    assert_eq!((first.result.code, first.entries.len()), (Code::Success, 1000));
    let second = client.search_with(hosts(), page(5000, first.cookie)).await;
    assert_eq!((second.result.code, second.entries.len(), second.cookie.len()), (Code::Success, 100, 0));

    let (mut cookie, mut seen) = (Vec::new(), Vec::new());
    loop {
        let found = client.search_with(hosts(), page(300, cookie)).await;
        seen.extend(found.texts("cn"));
        cookie = found.cookie;
        if cookie.is_empty() {
            break;
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 1100);
    directory.stop().await;
}

#[tokio::test]
async fn a_cookie_is_good_once_and_on_its_connection() {
    let directory = start().await;
    let (mut one, mut other) = (Client::service(&directory).await, Client::service(&directory).await);
    let cookie = one.search_with(hosts(), page(4, Vec::new())).await.cookie;
    assert_eq!(
        other.search_with(hosts(), page(4, cookie.clone())).await.result.code,
        Code::UnwillingToPerform
    );
    assert_eq!(one.search_with(hosts(), page(4, cookie.clone())).await.entries.len(), 4);
    assert_eq!(one.search_with(hosts(), page(4, cookie)).await.result.code, Code::UnwillingToPerform);
    directory.stop().await;
}

#[tokio::test]
async fn the_clients_own_limit_is_kept() {
    let directory = start().await;
    let mut client = Client::service(&directory).await;
    let mut request = hosts();
    request.sizelimit = 3;
    let cut = client.search(request).await;
    assert_eq!((cut.result.code, cut.entries.len()), (Code::SizeLimitExceeded, 3));
    directory.stop().await;
}

#[tokio::test]
async fn many_values_come_in_ranges() {
    let directory = start().await;
    directory.add_hosts(1..=2000).await.expect("added");
    let host = |number| names::known(names::HOSTS).child("CN", &format!("Host{number}"));
    let members: Vec<_> = (1..=2000).map(host).collect();
    let group = directory.seed_group("Large", &members).await.expect("added").to_string();
    let mut client = Client::service(&directory).await;

    // As Windows has it: the bare name without values, and the first range.
    let whole = client.read(&group, &["member"]).await;
    assert_eq!((whole.values("member").len(), whole.values("member;range=0-1499").len()), (0, 1500));
    let rest = client.read(&group, &["member;range=1500-*"]).await;
    assert_eq!(rest.values("member;range=1500-*").len(), 500);
    assert_eq!(client.read(&group, &["member;range=10-19"]).await.values("member;range=10-19").len(), 10);
    let behind = client.read(&group, &["member;range=2000-*"]).await;
    assert_eq!(behind.entries[0].attributes[0].atype, "member;range=2000-*");
    assert!(behind.entries[0].attributes[0].vals.is_empty());

    let mut all = whole.texts("member;range=0-1499");
    all.extend(rest.texts("member;range=1500-*"));
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 2000);
    directory.stop().await;
}
