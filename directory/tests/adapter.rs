//! The adapter against servers that do not answer, answer late, or answer wrongly.

mod fake_dc;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use directory::error::{DirectoryErrorKind, Refusal};
use directory::{
    Attribute, Base, Directory, DirectoryWrite, LdapDirectory, LdapOptions, Modification, ResultCode,
};
use domain::Dn;
use fake_dc::{FakeDc, Fault};
use tokio::net::TcpListener;

fn dn(text: &str) -> Dn {
    Dn::parse(text).expect("a DN")
}

fn replace(name: &str) -> Vec<Modification> {
    vec![Modification::Replace(Attribute { name: name.to_owned(), values: vec![b"x".to_vec()] })]
}

fn directory(options: LdapOptions) -> LdapDirectory {
    LdapDirectory::new(options).expect("valid options")
}

async fn pinned(dc: &FakeDc) -> Arc<dyn DirectoryWrite> {
    directory(dc.options()).pin(None).await.expect("it answers")
}

async fn failure(directory: &LdapDirectory) -> DirectoryErrorKind {
    directory.pin(None).await.err().expect("no connection").kind
}

/// Options for a port where nothing good is.
fn options_at(port: u16) -> LdapOptions {
    let urls = directory::ldap::parse_urls(&format!("ldaps://localhost:{port}")).expect("a URL");
    let mut options = LdapOptions::new(Default::default(), urls, "CN=svc", "x".into());
    let made = rcgen::generate_simple_self_signed(["ca".to_owned()]).expect("a certificate");
    options.ca_pem = Some(made.cert.pem());
    options.connect_timeout = Duration::from_millis(600);
    options
}

#[tokio::test]
async fn a_port_without_a_server_is_unreachable_at_once() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    let started = Instant::now();
    let found = failure(&directory(options_at(port))).await;
    assert!(matches!(found, DirectoryErrorKind::Unreachable(_)), "{found:?}");
    assert!(started.elapsed() < Duration::from_millis(500));
}

#[tokio::test]
async fn a_frozen_server_does_not_hold_the_upgrade_to_tls_for_ever_either() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = silent.local_addr().expect("an address").port();
    let urls = directory::ldap::parse_urls(&format!("ldap://localhost:{port}")).expect("a URL");
    let found = failure(&directory(LdapOptions { urls, ..options_at(port) })).await;
    assert!(matches!(found, DirectoryErrorKind::Unreachable(_)), "{found:?}");
}

/// A frozen DC still accepts TCP and then holds the TLS handshake for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_costs_one_deadline_however_many_wait_for_it() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let options = options_at(silent.local_addr().expect("an address").port());
    let deadline = options.connect_timeout;
    let directory = directory(LdapOptions { connections: 1, ..options });
    let started = Instant::now();
    for found in futures::future::join_all((0..8).map(|_| failure(&directory))).await {
        assert!(matches!(found, DirectoryErrorKind::Unreachable(_)), "{found:?}");
    }
    assert!(started.elapsed() < deadline * 2, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_not_trusted_and_no_password_is_sent() {
    let dc = FakeDc::start().await;
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let options = LdapOptions { ca_pem: Some(other.cert.pem()), ..dc.options() };
    let found = failure(&directory(options)).await;
    assert!(matches!(found, DirectoryErrorKind::Untrusted(_)), "{found:?}");
    assert_eq!(dc.state.binds.load(SeqCst), 0);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_trusted() {
    let dc = FakeDc::start().await;
    let mut options = dc.options();
    let port = options.urls[0].port().expect("a port");
    options.urls = directory::ldap::parse_urls(&format!("ldaps://127.0.0.1:{port}")).expect("a URL");
    let found = failure(&directory(options)).await;
    assert!(matches!(found, DirectoryErrorKind::Untrusted(_)), "{found:?}");
}

#[tokio::test]
async fn without_starttls_no_password_leaves() {
    let dc = FakeDc::without_tls().await;
    let found = failure(&directory(dc.options())).await;
    assert!(
        matches!(found, DirectoryErrorKind::Result { code: ResultCode::UNAVAILABLE, .. }),
        "the server's refusal of StartTLS: {found:?}"
    );
    assert_eq!(dc.state.binds.load(SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_tried_once_by_however_many_ask() {
    let dc = FakeDc::start().await;
    let directory = directory(LdapOptions { password: "wrong".into(), ..dc.options() });
    let urgent = directory.with_own_connections();
    let both = [&directory, &urgent];
    let found = futures::future::join_all((0..12).map(|n| failure(both[n % 2]))).await;
    let answered = |kind: &&DirectoryErrorKind| {
        matches!(
            kind,
            DirectoryErrorKind::Result { code: ResultCode::INVALID_CREDENTIALS, data: Some(0x52E), .. }
        )
    };
    let before = DirectoryErrorKind::Refused(Refusal::LoginRefusedBefore);
    assert!(found.iter().any(|kind| answered(&kind)));
    assert!(found.iter().all(|kind| answered(&kind) || *kind == before), "{found:?}");
    assert_eq!(failure(&directory).await, before);
    assert_eq!(dc.state.binds.load(SeqCst), 1);
}

#[tokio::test]
async fn a_write_whose_connection_breaks_is_reported_as_unknown_and_sent_once() {
    let dc = FakeDc::start().await;
    let pinned = pinned(&dc).await;
    dc.next(&[Fault::Cut]);
    let error = pinned.modify(&dn("CN=a,DC=x"), &replace("description")).await.expect_err("cut");
    assert!(error.outcome_unknown(), "{error}");
    assert_eq!(error.operation, "modify CN=a,DC=x (description)");
    assert_eq!(dc.state.writes.load(SeqCst), 1);
    pinned.modify(&dn("CN=a,DC=x"), &replace("description")).await.expect("over a new connection");
}

#[tokio::test]
async fn a_write_that_is_not_answered_ends_with_the_deadline_and_its_connection_is_not_used_again() {
    let dc = FakeDc::start().await;
    let pinned = pinned(&dc).await;
    dc.next(&[Fault::Freeze]);
    let started = Instant::now();
    let error = pinned.delete(&dn("CN=a,DC=x")).await.expect_err("frozen");
    assert!(error.outcome_unknown() && started.elapsed() < Duration::from_secs(3), "{error}");
    pinned.delete(&dn("CN=a,DC=x")).await.expect("over a new connection");
    assert_eq!(dc.state.connections.load(SeqCst), 2);
}

#[tokio::test]
async fn a_read_over_a_dying_connection_is_asked_once_more_and_not_for_ever() {
    let dc = FakeDc::start().await;
    let pinned = pinned(&dc).await;
    dc.next(&[Fault::Cut]);
    let base = Base::Dn(dn("CN=a,DC=x"));
    assert!(pinned.read(&base, &["cn"]).await.expect("asked again").is_some());
    assert_eq!(dc.state.reads.load(SeqCst), 2);
    dc.next(&[Fault::Cut, Fault::Cut]);
    assert!(pinned.read(&base, &["cn"]).await.expect_err("twice cut").outcome_unknown());
    assert_eq!(dc.state.reads.load(SeqCst), 4);
}

#[tokio::test]
async fn a_connection_that_the_dc_closed_while_idle_is_replaced_unseen() {
    let dc = FakeDc::start().await;
    let pinned = pinned(&dc).await;
    dc.hang_up().await;
    // The client's side learns of it a moment later; until then a write may still be lost.
    let base = Base::Dn(dn("CN=a,DC=x"));
    pinned.read(&base, &["cn"]).await.expect("a read finds out");
    pinned.modify(&dn("CN=a,DC=x"), &replace("cn")).await.expect("over the new connection");
    assert_eq!(dc.state.connections.load(SeqCst), 2);
}

#[tokio::test]
async fn an_attribute_that_comes_in_parts_is_read_to_its_end() {
    let dc = FakeDc::start().await;
    let pinned = pinned(&dc).await;
    let read =
        pinned.read(&Base::Dn(dn("CN=g,DC=x")), &["member"]).await.expect("answers").expect("is there");
    assert_eq!(read.texts("member"), ["CN=a", "CN=b", "CN=c", "CN=d"]);
}

#[tokio::test]
async fn the_password_is_refused_before_anything_is_sent_and_dropped_if_it_comes() {
    let dc = FakeDc::start().await;
    let pinned = pinned(&dc).await;
    let base = Base::Dn(dn("CN=a,DC=x"));
    let refused = DirectoryErrorKind::Refused(Refusal::ManagedPassword);
    let asked = pinned.read(&base, &["cn", "MSDS-managedpassword"]).await.expect_err("refused");
    assert_eq!(asked.kind, refused);
    let written =
        pinned.modify(&dn("CN=a,DC=x"), &replace("msDS-ManagedPassword")).await.expect_err("refused");
    assert_eq!(written.kind, refused);
    assert_eq!((dc.state.reads.load(SeqCst), dc.state.writes.load(SeqCst)), (0, 0));
    let read = pinned.read(&base, &["*"]).await.expect("answers").expect("is there");
    assert!(read.has("cn") && !read.has("msDS-ManagedPassword"));
}

#[tokio::test]
async fn work_side_by_side_opens_as_many_connections_as_configured_and_no_more() {
    let dc = FakeDc::start().await;
    let directory = directory(LdapOptions { connections: 2, ..dc.options() });
    let pinned = directory.pin(None).await.expect("it answers");
    let base = Base::Dn(dn("CN=a,DC=x"));
    for _ in 0..5 {
        pinned.read(&base, &["cn"]).await.expect("answers");
    }
    assert_eq!(dc.state.connections.load(SeqCst), 1, "one after another shares one");
    let read = futures::future::join_all((0..20).map(|_| pinned.read(&base, &["cn"]))).await;
    assert!(read.iter().all(Result::is_ok));
    assert_eq!(dc.state.connections.load(SeqCst), 2);
    let urgent = directory.with_own_connections().pin(None).await.expect("it answers");
    urgent.read(&base, &["cn"]).await.expect("answers");
    assert_eq!(dc.state.connections.load(SeqCst), 3, "urgent work has its own");
}

/// A URL may name several DCs; what was begun on one must not go on at another.
#[tokio::test]
async fn a_url_that_leads_to_another_dc_than_before_is_not_followed() {
    let dc = FakeDc::start().await;
    let pinned = pinned(&dc).await;
    assert_eq!(pinned.dc(), "dc1.contoso.com");
    *dc.state.name.lock().expect("unpoisoned") = "localhost.invalid".to_owned();
    dc.hang_up().await;
    let error = pinned.read(&Base::Dn(dn("CN=a,DC=x")), &["cn"]).await.expect_err("another DC");
    assert!(
        matches!(&error.kind, DirectoryErrorKind::Unreachable(why) if why.contains("instead of dc1")),
        "{error}"
    );
    assert_eq!(dc.state.reads.load(SeqCst), 0);
}

#[tokio::test]
async fn a_read_only_dc_is_passed_over() {
    let (rodc, dc) = (FakeDc::start().await, FakeDc::start().await);
    *rodc.state.name.lock().expect("unpoisoned") = "rodc.contoso.com".to_owned();
    let mut options = rodc.options();
    let alone = directory(options.clone()).pin(None).await.err().expect("refused");
    assert!(alone.to_string().contains("read-only"), "{alone}");
    options.urls.extend(dc.options().urls);
    options.ca_pem = Some(format!("{}{}", rodc.ca_pem, dc.ca_pem));
    let directory = directory(options);
    assert_eq!(directory.pin(None).await.expect("the second").dc(), "dc1.contoso.com");
    assert_eq!(directory.pin(Some("DC1.contoso.com")).await.expect("the second").dc(), "dc1.contoso.com");
}

#[tokio::test]
async fn a_named_dc_that_no_url_leads_to_is_an_error_never_another() {
    let dc = FakeDc::start().await;
    let error = directory(dc.options()).pin(Some("dc9.invalid")).await.err().expect("not there");
    assert!(matches!(error.kind, DirectoryErrorKind::Unreachable(_)), "{error}");
}

#[tokio::test]
async fn a_probe_tells_how_far_each_url_leads() {
    let dc = FakeDc::start().await;
    let mut options = dc.options();
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let dead = format!("ldaps://localhost:{}", free.local_addr().expect("an address").port());
    drop(free);
    options.urls.extend(directory::ldap::parse_urls(&dead).expect("a URL"));
    let [good, bad] = &directory(options.clone()).probe().await[..] else { panic!("two URLs") };
    assert!(good.encrypted.is_ok() && matches!(good.logged_in, Some(Ok(()))));
    assert!(matches!(&good.root_dse, Some(Ok(root)) if root.dns_host_name == "dc1.contoso.com"));
    assert!(bad.encrypted.is_err() && bad.logged_in.is_none());
    options.password = "wrong".into();
    let refused = &directory(options).probe().await[0];
    assert!(
        refused.encrypted.is_ok() && matches!(refused.logged_in, Some(Err(_))) && refused.root_dse.is_none()
    );
}
