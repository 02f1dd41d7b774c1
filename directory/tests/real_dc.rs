//! The adapter and the preflight against a real domain controller. Needs the lab: run
//! `deploy/lab/up` and source the env file that it names.

use std::time::Duration;

use directory::error::{DirectoryErrorKind, Refusal};
use directory::password_id::ManagedPasswordId;
use directory::preflight::{
    GroupScope, KdsRootKey, Preferred, PrincipalKind, account_name_users, find_principal, functional_levels,
    kds_root_key, rights_on, schema_has_gmsa_class, spn_aliases, spn_owners, token_of,
};
use directory::security::Access;
use directory::{
    Attribute, Base, Directory, DirectoryRead, DirectoryWrite, LdapDirectory, LdapOptions, Modification,
    ReaderDescriptor, ResultCode, Scope, Search,
};
use domain::{AccountName, Clock, Dn, PrincipalRef, Rng, ServicePrincipalName, Sid, SystemClock, SystemRng};

fn env(name: &str) -> String {
    let name = format!("FARMHAND_TEST_DIRECTORY_{name}");
    std::env::var(&name)
        .unwrap_or_else(|_| panic!("{name} is not set: run `deploy/lab/up` and source its env"))
}

fn options() -> LdapOptions {
    let urls = directory::ldap::parse_urls(&env("URL")).expect("URLs");
    let mut options = LdapOptions::new(Default::default(), urls, env("BIND_DN"), env("PASSWORD").into());
    options.ca_file = Some(env("CA_FILE").into());
    options
}

fn directory() -> LdapDirectory {
    LdapDirectory::new(options()).expect("valid options")
}

fn as_admin() -> LdapDirectory {
    let (bind_dn, password) = (env("ADMIN_DN"), env("ADMIN_PASSWORD").into());
    LdapDirectory::new(LdapOptions { bind_dn, password, ..options() }).expect("valid options")
}

/// A name that no other test or run uses.
fn unique(prefix: &str) -> String {
    let mut random = [0; 4];
    SystemRng.fill(&mut random);
    format!("{prefix}-{}", hex::encode(random))
}

fn attribute(name: &str, values: &[&str]) -> Attribute {
    Attribute {
        name: name.to_owned(),
        values: values.iter().map(|value| value.as_bytes().to_vec()).collect(),
    }
}

async fn domain_of(dc: &dyn DirectoryRead) -> Dn {
    dc.root_dse().await.expect("a rootDSE").default_naming_context
}

async fn add_group(dc: &dyn DirectoryWrite, name: &str) -> Dn {
    let dn = domain_of(dc).await.child("OU", "Farms").child("CN", name);
    let attributes = [
        attribute("objectClass", &["group"]),
        attribute("sAMAccountName", &[name]),
        attribute("groupType", &["-2147483646"]),
    ];
    dc.add(&dn, &attributes).await.expect("the delegated account may make groups");
    dn
}

fn replaced(name: &str, from: &str, to: &str) -> Vec<Modification> {
    vec![Modification::Delete(attribute(name, &[from])), Modification::Add(attribute(name, &[to]))]
}

#[tokio::test]
async fn the_dc_says_who_it_is_and_is_found_by_its_name() {
    let directory = directory();
    let pinned = directory.pin(None).await.expect("it answers");
    let root = pinned.root_dse().await.expect("a rootDSE");
    assert_eq!(pinned.dc(), root.dns_host_name);
    let again = directory.pin(Some(&root.dns_host_name.to_uppercase())).await.expect("the same");
    assert_eq!(again.dc(), root.dns_host_name);
    let writable = directory.writable_dcs().await.expect("listed");
    let own = writable.iter().find(|dc| dc.name == root.dns_host_name).expect("itself among them");
    assert_eq!(own.settings, root.ds_service_name);
    assert!(own.is_global_catalog && own.behavior_version.is_some() && !own.site.is_empty());
    let missing = directory.pin(Some("dc99.invalid")).await.err().expect("not there");
    assert!(matches!(missing.kind, DirectoryErrorKind::Unreachable(_)), "{missing}");
}

#[tokio::test]
async fn the_global_catalogue_answers_for_the_forest_and_takes_no_writes() {
    let catalog = directory().global_catalog().await.expect("a global catalogue");
    let search = Search::new(Base::Root, Scope::Subtree, "(sAMAccountName=Host1$)", &["sAMAccountName"]);
    let found = catalog.search(&search).await.expect("answers");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].text("samaccountname"), Some("Host1$"));
}

#[tokio::test]
async fn searches_are_paged_to_the_end_and_referrals_left_out() {
    let pinned = directory().pin(None).await.expect("it answers");
    let schema = pinned.root_dse().await.expect("a rootDSE").schema_naming_context;
    let search = Search::new(&schema, Scope::One, "(objectClass=attributeSchema)", &["attributeID"]);
    let found = pinned.search(&search).await.expect("answers");
    assert!(found.len() > 1_000, "a schema has over a thousand attributes, this search gave {}", found.len());
    let domain = domain_of(pinned.as_ref()).await;
    let everything =
        pinned.search(&Search::new(&domain, Scope::Subtree, "(objectClass=domain)", &["dc"])).await;
    assert_eq!(everything.expect("referrals are left out").len(), 1);
}

#[tokio::test]
async fn a_swap_of_a_stale_value_is_refused_whole_and_of_the_true_one_done() {
    let pinned = directory().pin(None).await.expect("it answers");
    let dn = add_group(pinned.as_ref(), &unique("dir-cas")).await;
    pinned.modify(&dn, &[Modification::Add(attribute("description", &["one"]))]).await.expect("allowed");
    let stale = pinned.modify(&dn, &replaced("description", "zero", "two")).await.expect_err("stale");
    assert!(stale.is(ResultCode::NO_SUCH_ATTRIBUTE), "{stale}");
    pinned.modify(&dn, &replaced("description", "one", "two")).await.expect("the true value");
    let read = pinned.read(&Base::from(&dn), &["description"]).await.expect("answers").expect("is there");
    assert_eq!(read.texts("description"), ["two"]);
    pinned.delete(&dn).await.expect("its own group");
    assert!(pinned.read(&Base::from(&dn), &["cn"]).await.expect("answers").is_none());
}

#[tokio::test]
async fn what_exists_and_what_is_not_allowed_are_told_apart() {
    let pinned = directory().pin(None).await.expect("it answers");
    let name = unique("dir-dup");
    let dn = add_group(pinned.as_ref(), &name).await;
    let attributes = [attribute("objectClass", &["group"]), attribute("sAMAccountName", &[&name])];
    let twice = pinned.add(&dn, &attributes).await.expect_err("there already");
    assert!(twice.is(ResultCode::ENTRY_ALREADY_EXISTS), "{twice}");
    assert_eq!(twice.operation, format!("add {dn} (group)"));
    pinned.delete(&dn).await.expect("its own group");
    let gone = pinned.delete(&dn).await.expect_err("gone");
    assert!(gone.is(ResultCode::NO_SUCH_OBJECT), "{gone}");
    let elsewhere = domain_of(pinned.as_ref()).await.child("CN", "Users").child("CN", &name);
    let denied = pinned.add(&elsewhere, &attributes).await.expect_err("not delegated");
    assert!(denied.is(ResultCode::INSUFFICIENT_ACCESS_RIGHTS), "{denied}");
    let found = directory::decide(&denied).problem().clone();
    assert_eq!(found.code, domain::ErrorCode::RightsMissing);
    assert!(found.hint.contains("create group objects in CN=Users"), "{}", found.hint);
}

#[tokio::test]
async fn explicit_ranges_are_answered_and_followed() {
    let pinned = directory().pin(None).await.expect("it answers");
    let dn = add_group(pinned.as_ref(), &unique("dir-range")).await;
    let servers = domain_of(pinned.as_ref()).await.child("OU", "Servers");
    let hosts: Vec<_> = (1..=5).map(|n| servers.child("CN", &format!("Host{n}")).to_string()).collect();
    let hosts: Vec<_> = hosts.iter().map(String::as_str).collect();
    pinned.modify(&dn, &[Modification::Add(attribute("member", &hosts))]).await.expect("allowed");
    let read =
        pinned.read(&Base::from(&dn), &["member;range=0-1"]).await.expect("answers").expect("is there");
    assert_eq!(read.dns("member").len(), 5, "the rest was fetched");
    pinned.delete(&dn).await.expect("its own group");
}

#[tokio::test]
async fn the_managed_password_is_refused_in_every_place() {
    let pinned = directory().pin(None).await.expect("it answers");
    let domain = domain_of(pinned.as_ref()).await;
    let refused = DirectoryErrorKind::Refused(Refusal::ManagedPassword);
    let name = "msds-MANAGEDPASSWORD";
    let filter = format!("({name}=*)");
    let by_filter = Search::new(&domain, Scope::Subtree, filter, &["cn"]);
    assert_eq!(pinned.search(&by_filter).await.expect_err("filter").kind, refused);
    let by_attribute = Search::new(&domain, Scope::Subtree, "(cn=x)", &["cn", name]);
    assert_eq!(pinned.search(&by_attribute).await.expect_err("attribute").kind, refused);
    assert_eq!(pinned.read(&Base::from(&domain), &[name]).await.expect_err("read").kind, refused);
    let write = [attribute(name, &["x"])];
    assert_eq!(pinned.add(&domain.child("CN", "x"), &write).await.expect_err("add").kind, refused);
}

#[tokio::test]
async fn an_authority_that_did_not_sign_is_not_trusted() {
    let made = rcgen::generate_simple_self_signed(["other".to_owned()]).expect("a certificate");
    let options = LdapOptions { ca_file: None, ca_pem: Some(made.cert.pem()), ..options() };
    let error = LdapDirectory::new(options).expect("valid").pin(None).await.err().expect("not trusted");
    assert!(matches!(error.kind, DirectoryErrorKind::Untrusted(_)), "{error}");
}

/// Against an account that does not exist, so that no lockout counts: the answer is the same.
#[tokio::test]
async fn a_refused_login_is_answered_once_and_then_refused_here() {
    let bind_dn = format!("CN={},DC=contoso,DC=com", unique("nobody"));
    let directory = LdapDirectory::new(LdapOptions { bind_dn, ..options() }).expect("valid");
    let first = directory.pin(None).await.err().expect("refused");
    assert!(
        matches!(
            first.kind,
            DirectoryErrorKind::Result { code: ResultCode::INVALID_CREDENTIALS, data: Some(_), .. }
        ),
        "{first}"
    );
    let second = directory.pin(None).await.err().expect("not tried");
    assert_eq!(second.kind, DirectoryErrorKind::Refused(Refusal::LoginRefusedBefore));
}

#[tokio::test]
async fn a_plain_url_is_upgraded_before_the_login() {
    let mut options = options();
    let host = options.urls[0].host_str().expect("a host").to_owned();
    options.urls = directory::ldap::parse_urls(&format!("ldap://{host}:389")).expect("a URL");
    let directory = LdapDirectory::new(options).expect("valid");
    let pinned = directory.pin(None).await.expect("StartTLS works");
    assert!(pinned.root_dse().await.is_ok());
    assert!(directory.global_catalog().await.is_ok(), "3268 with StartTLS");
}

#[tokio::test]
async fn containers_are_found_by_their_well_known_names() {
    let pinned = directory().pin(None).await.expect("it answers");
    let domain = domain_of(pinned.as_ref()).await;
    let base = Base::WellKnown { guid: Base::MANAGED_SERVICE_ACCOUNTS, domain: domain.clone() };
    let container = pinned.read(&base, &["cn"]).await.expect("answers").expect("is there");
    assert_eq!(container.dn, domain.child("CN", "Managed Service Accounts"));
}

#[tokio::test]
async fn preflight_sees_levels_schema_and_rights_as_the_delegated_account() {
    let pinned = directory().pin(None).await.expect("it answers");
    let dc = pinned.as_ref();
    let levels = functional_levels(dc).await.expect("answers");
    assert!(levels.suffice() && levels.is_samba, "{levels:?}");
    assert!(schema_has_gmsa_class(dc).await.expect("answers"));
    let domain = domain_of(dc).await;
    let accounts = domain.child("CN", "Managed Service Accounts");
    let rights = rights_on(dc, &accounts).await.expect("answers").expect("is there");
    assert!(rights.can_create_gmsa() && !rights.can_create_group() && !rights.can_create("user"));
    let farms = rights_on(dc, &domain.child("OU", "Farms")).await.expect("answers").expect("is there");
    assert!(farms.can_create_group() && !farms.can_create_gmsa() && !farms.can_write("gPLink"));
    assert_eq!(rights_on(dc, &domain.child("OU", "Nowhere")).await.expect("answers"), None);
}

#[tokio::test]
async fn the_root_key_is_judged_by_what_the_account_can_see() {
    let now = SystemClock.now();
    let admin = as_admin().pin(None).await.expect("it answers");
    let seen = kds_root_key(admin.as_ref(), now).await.expect("answers");
    assert!(matches!(seen, KdsRootKey::Usable { .. }), "{seen:?}");
    let too_early = now - chrono::TimeDelta::days(3650);
    let early = kds_root_key(admin.as_ref(), too_early).await.expect("answers");
    assert!(matches!(early, KdsRootKey::NotYetUsable { usable_at } if usable_at > too_early), "{early:?}");
    let pinned = directory().pin(None).await.expect("it answers");
    let blind = kds_root_key(pinned.as_ref(), now).await.expect("answers");
    // By an account that was made with it, or not at all: never "none".
    match blind {
        KdsRootKey::Usable { .. } => {}
        KdsRootKey::CannotSee { keys } => assert_eq!(keys.len(), 1),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn principals_are_found_by_name_dn_and_sid_with_their_kind() {
    let pinned = directory().pin(None).await.expect("it answers");
    let dc = pinned.as_ref();
    let find = async |text: &str| {
        let reference = PrincipalRef::parse(text).expect("valid");
        find_principal(dc, &reference, Preferred::Computer).await.expect("answers")
    };
    let host = find("host1").await.expect("is there");
    assert_eq!(
        (host.kind, host.primary_group_id, host.disabled),
        (PrincipalKind::Computer, Some(515), false)
    );
    assert_eq!(find("HOST1$").await.expect("is there"), host);
    assert_eq!(find(host.dn.as_str()).await.expect("is there"), host);
    assert_eq!(find(&host.sid.as_ref().expect("a SID").to_string()).await.expect("is there"), host);
    let group = find("Domain Computers").await.expect("is there");
    assert_eq!(group.kind, PrincipalKind::Group { security: true, scope: GroupScope::Global });
    assert_eq!(find("no-such-host").await, None);
    assert_eq!(find("S-1-5-21-1-2-3-4").await, None);
    let token = token_of(dc, &Base::from(&host.dn)).await.expect("answers").expect("a token");
    assert_eq!(Some(&token.sid), host.sid.as_ref());
    assert!(token.sids.contains(group.sid.as_ref().expect("a SID")), "the primary group is in it");
}

#[tokio::test]
async fn spns_collide_with_a_hosts_own_through_the_alias() {
    let directory = directory();
    let pinned = directory.pin(None).await.expect("it answers");
    let catalog = directory.global_catalog().await.expect("a global catalogue");
    let aliases = spn_aliases(pinned.as_ref()).await.expect("answers");
    assert_eq!(aliases.colliding("http"), ["http", "host"]);
    let spn = |text: &str| ServicePrincipalName::parse(text).expect("valid");
    let asked = [spn("http/Host1"), spn("http/no-such-host.contoso.com")];
    let owners = spn_owners(catalog.as_ref(), &aliases, &asked, None).await.expect("answers");
    assert!(
        !owners.is_empty() && owners.iter().all(|owner| owner.asked == asked[0] && owner.by_alias),
        "{owners:?}"
    );
    let owner = &owners[0].owner;
    let others = spn_owners(catalog.as_ref(), &aliases, &asked, Some(owner)).await.expect("answers");
    assert!(others.is_empty(), "{others:?}");
}

/// A gMSA from its making to its end: what the adapter, the descriptors, the ids and the
/// preflight say of it.
#[tokio::test]
async fn a_gmsa_is_made_read_judged_and_deleted() {
    let directory = directory();
    let pinned = directory.pin(None).await.expect("it answers");
    let dc = pinned.as_ref();
    let domain = domain_of(dc).await;
    let name = unique("dir").replace('-', "");
    let dn = domain.child("CN", "Managed Service Accounts").child("CN", &name);
    let host = domain.child("OU", "Servers").child("CN", "Host1");
    let token = token_of(dc, &Base::from(&host)).await.expect("answers").expect("a token");
    let mut readers = ReaderDescriptor::allowing([&token.sid]);
    let account = AccountName::parse(&name).expect("valid");
    let free = account_name_users(dc, None, &account).await.expect("answers");
    assert!(free.is_empty(), "{free:?}");
    let sam = account.sam_account_name();
    let reader_value = |readers: &ReaderDescriptor| Attribute {
        name: "msDS-GroupMSAMembership".to_owned(),
        values: vec![readers.to_bytes().expect("fits")],
    };
    let attributes = [
        attribute("objectClass", &["msDS-GroupManagedServiceAccount"]),
        attribute("sAMAccountName", &[&sam]),
        attribute("userAccountControl", &["4096"]),
        attribute("msDS-ManagedPasswordInterval", &["30"]),
        attribute("dNSHostName", &[&format!("{name}.contoso.com")]),
        attribute("servicePrincipalName", &[&format!("http/{name}.contoso.com")]),
        reader_value(&readers),
    ];
    pinned.add(&dn, &attributes).await.expect("the delegated account may make gMSAs");

    let wanted = ["msDS-ManagedPasswordId", "msDS-GroupMSAMembership", "objectSid", "whenCreated"];
    let read = pinned.read(&Base::from(&dn), &wanted).await.expect("answers").expect("is there");
    let id = ManagedPasswordId::parse(read.bytes("msDS-ManagedPasswordId").expect("an id")).expect("valid");
    assert_eq!(id.to_bytes(), read.bytes("msDS-ManagedPasswordId").expect("an id"));
    let made = read.time("whenCreated").expect("a time");
    assert!(id.slot_start() <= made && made - id.slot_start() < chrono::TimeDelta::hours(10));
    assert_eq!((id.domain.as_str(), id.forest.as_str()), ("contoso.com", "contoso.com"));
    let usable = kds_root_key(dc, made).await.expect("answers");
    assert_eq!(usable, KdsRootKey::Usable { key: id.root_key }, "shown by this account");

    let stored = read.bytes("msDS-GroupMSAMembership").expect("a descriptor").to_vec();
    assert_eq!(ReaderDescriptor::from_bytes(&stored), Ok(readers.clone()));
    assert_eq!(readers.may_read(&token.sids), Access::Granted);
    assert!(readers.deny(&token.sid));
    let swap = [
        Modification::Delete(Attribute { name: "msDS-GroupMSAMembership".to_owned(), values: vec![stored] }),
        Modification::Add(reader_value(&readers)),
    ];
    pinned.modify(&dn, &swap).await.expect("the true value");
    let again = pinned.modify(&dn, &swap).await.expect_err("stale by now");
    assert!(again.is(ResultCode::NO_SUCH_ATTRIBUTE), "{again}");
    assert_eq!(readers.may_read(&token.sids), Access::Denied);

    let found =
        find_principal(dc, &PrincipalRef::Name(name.clone()), Preferred::Computer).await.expect("answers");
    assert_eq!(found.expect("is there").kind, PrincipalKind::Gmsa, "though it is of class computer");
    let catalog = directory.global_catalog().await.expect("a global catalogue");
    let users = account_name_users(dc, Some(catalog.as_ref()), &account).await.expect("answers");
    assert_eq!(users.iter().map(|user| &user.dn).collect::<Vec<_>>(), [&dn], "once, though found twice");
    pinned.delete(&dn).await.expect("its own account");
}

#[tokio::test]
async fn many_operations_share_few_connections() {
    let directory = directory();
    let pinned = directory.pin(None).await.expect("it answers");
    let base = Base::from(&domain_of(pinned.as_ref()).await);
    let reads = futures::future::join_all((0..200).map(|_| pinned.read(&base, &["objectSid"])));
    let read = tokio::time::timeout(Duration::from_secs(20), reads).await.expect("in time");
    let first: Option<Sid> =
        read[0].as_ref().expect("answers").as_ref().and_then(|entry| entry.sid("objectSid"));
    assert!(first.is_some());
    assert!(read.iter().all(|entry| matches!(entry, Ok(Some(entry)) if entry.sid("objectSid") == first)));
}

#[tokio::test]
async fn a_probe_shows_every_url_up_to_its_root_dse() {
    for probe in directory().probe().await {
        assert!(probe.encrypted.is_ok() && matches!(probe.logged_in, Some(Ok(()))));
        assert!(matches!(probe.root_dse, Some(Ok(_))), "{probe:?}");
    }
}
