//! What a search finds and what it shows.

use std::slice::from_ref;

use directory::ldap::filter_bytes;
use directory::{Base, Scope, Search};
use futures::StreamExt;

use super::{DOMAIN, HOSTS, MSA, World, attribute, cns, code, dn, host};

pub async fn by_every_identifier(world: &World) {
    let spn = format!("http/{}", world.name("x"));
    let more = [attribute("servicePrincipalName", &[&spn]), attribute("dNSHostName", &["x.contoso.com"])];
    let account = world.add_gmsa("a", &more).await;
    let read = world.read(&account, &["objectSid", "objectGUID"]).await;
    let (sid, guid) = (read.sid("objectSid").expect("a SID"), read.bytes("objectGUID").expect("a GUID"));
    let name = world.name("a");
    for filter in [
        format!("(sAMAccountName={}$)", name.to_uppercase()),
        format!("(servicePrincipalName={})", spn.to_uppercase()),
        format!("(objectSid={sid})"),
        format!("(objectSid={})", filter_bytes(&sid.to_bytes())),
        format!("(objectGUID={})", filter_bytes(guid)),
        format!("(distinguishedName={account})"),
        format!("(&(objectCategory=msDS-GroupManagedServiceAccount)(cn={name}))"),
        format!("(&(dNSHostName=X.contoso.com)(name={name}))"),
    ] {
        assert_eq!(cns(&*world.as_service().await, DOMAIN, &filter).await, from_ref(&name), "{filter}");
    }
}

pub async fn logic_and_absence(world: &World) {
    world.add_group("a", &[]).await;
    world.add_group("b", &[&host(1)]).await;
    let (a, b) = (world.name("a"), world.name("b"));
    let service = world.as_service().await;
    let found =
        async |inner: &str| cns(&*service, DOMAIN, &format!("(&(cn={}*){inner})", world.name(""))).await;
    assert_eq!(found(&format!("(|(cn={a})(cn={b})(cn=nobody))")).await, [a.clone(), b.clone()]);
    assert_eq!(found("(member=*)").await, from_ref(&b));
    assert_eq!(found("(!(member=*))").await, from_ref(&a));
    assert_eq!(found(&format!("(!(cn={a}))")).await, from_ref(&b));
    // An absent attribute is unequal to anything.
    assert_eq!(found("(!(description=x))").await, [a.clone(), b.clone()]);
    assert_eq!(found("(noSuchAttribute=x)").await, Vec::<String>::new());
    assert_eq!(found("(&)").await, [a, b]);
}

pub async fn substrings_and_order(world: &World) {
    for (suffix, note) in [("a", "alpha beta"), ("b", "beta gamma")] {
        let mut given = world.group(suffix);
        given.push(attribute("description", &[note]));
        world.as_service().await.add(&world.group_dn(suffix), &given).await.expect("added");
    }
    let (a, b) = (world.name("a"), world.name("b"));
    let service = world.as_service().await;
    let found =
        async |inner: &str| cns(&*service, DOMAIN, &format!("(&(cn={}*){inner})", world.name(""))).await;
    assert_eq!(found("(description=ALPHA*)").await, from_ref(&a));
    assert_eq!(found("(description=*beta*)").await, [a.clone(), b.clone()]);
    assert_eq!(found("(description=b*ta*mma)").await, from_ref(&b));
    assert_eq!(found("(description=*alpha)").await, Vec::<String>::new());
    assert_eq!(found("(groupType>=-2147483646)").await, [a.clone(), b.clone()]);
    assert_eq!(found("(groupType>=0)").await, Vec::<String>::new());
    assert_eq!(found("(groupType<=-1)").await, [a, b]);
}

pub async fn bits(world: &World) {
    world.add_gmsa("a", &[]).await;
    let disabled = world.add_gmsa("b", &[]).await;
    assert_eq!(world.modify(&disabled, &[super::replace("userAccountControl", &["4098"])]).await, 0);
    let (a, b) = (world.name("a"), world.name("b"));
    let service = world.as_service().await;
    let found = async |rule: &str, mask: u32| {
        let filter =
            format!("(&(cn={}*)(userAccountControl:1.2.840.113556.1.4.{rule}:={mask}))", world.name(""));
        cns(&*service, MSA, &filter).await
    };
    assert_eq!(found("803", 2).await, from_ref(&b));
    assert_eq!(found("803", 4098).await, from_ref(&b));
    assert_eq!(found("804", 4098).await, [a, b]);
    assert_eq!(found("803", 0x8_0000).await, Vec::<String>::new());
}

pub async fn computers_and_accounts(world: &World) {
    world.add_gmsa("a", &[]).await;
    let service = world.as_service().await;
    let own = format!("(cn={})", world.name("a"));
    let found = async |class: &str| cns(&*service, DOMAIN, &format!("(&{own}{class})")).await.len();
    assert_eq!(found("(objectClass=computer)").await, 1, "a gMSA is a computer");
    assert_eq!(found("(objectCategory=computer)").await, 0, "and yet no host");
    assert_eq!(found("(objectClass=msDS-GroupManagedServiceAccount)").await, 1);
    assert_eq!(found("(objectClass=group)").await, 0);
    assert_eq!(cns(&*service, HOSTS, "(&(objectCategory=computer)(sAMAccountName=host1$))").await, ["Host1"]);
}

pub async fn memberships_in_chain(world: &World) {
    let inner = world.add_group("i", &[&host(1)]).await;
    let outer = world.add_group("o", &[&inner]).await;
    // A circle must not turn for ever.
    let circle = [directory::Modification::Add(super::dns("member", &[&outer]))];
    assert_eq!(world.modify(&inner, &circle).await, 0);
    let (i, o) = (world.name("i"), world.name("o"));
    let service = world.as_service().await;
    let own = format!("(cn={}*)", world.name(""));
    let chain = "1.2.840.113556.1.4.1941";
    let up = format!("(&{own}(member:{chain}:={}))", host(1));
    assert_eq!(cns(&*service, DOMAIN, &up).await, [i.clone(), o.clone()]);
    let down = format!("(memberOf:{chain}:={outer})");
    assert!(cns(&*service, HOSTS, &down).await.contains(&"Host1".to_owned()));
    assert_eq!(cns(&*service, DOMAIN, &format!("(&{own}(member={}))", host(1))).await, from_ref(&i));
    assert_eq!(cns(&*service, DOMAIN, &format!("(&{own}(memberOf={outer}))")).await, [i]);
}

pub async fn scopes(world: &World) {
    world.add_group("a", &[]).await;
    let service = world.as_service().await;
    let count = async |base: &str, scope| {
        let filter = format!("(|(cn={})(distinguishedName={base}))", world.name("a"));
        service.search(&Search::new(&dn(base), scope, filter, &["1.1"])).await.expect("searched").len()
    };
    let group = world.group_dn("a");
    assert_eq!(count(DOMAIN, Scope::Base).await, 1);
    assert_eq!(count(DOMAIN, Scope::One).await, 0);
    assert_eq!(count(DOMAIN, Scope::Subtree).await, 2);
    assert_eq!(count(super::FARMS, Scope::One).await, 1);
    assert_eq!(count(group.as_str(), Scope::One).await, 0);
    assert_eq!(count(group.as_str(), Scope::Subtree).await, 1);
    // Configuration is another partition, although its name ends with the domain's.
    let other = Search::new(&dn(DOMAIN), Scope::Subtree, "(objectClass=nTDSDSA)", &["1.1"]);
    assert!(service.search(&other).await.expect("searched").is_empty());
}

pub async fn bases_that_are_no_dn(world: &World) {
    let service = world.as_service().await;
    let sid = world.read(&host(1), &["objectSid"]).await.sid("objectSid").expect("a SID");
    let by_sid = service.read(&Base::Sid(sid), &["cn"]).await.expect("read").expect("there");
    assert_eq!(by_sid.dn, host(1));
    for (guid, expected) in [(Base::MANAGED_SERVICE_ACCOUNTS, MSA), (Base::USERS, super::USERS)] {
        let base = Base::WellKnown { guid, domain: dn(DOMAIN) };
        let found = service.read(&base, &["cn"]).await.expect("read").expect("there");
        assert_eq!(found.dn, dn(expected));
    }
    let unknown: domain::Sid = "S-1-5-21-1-2-3-4".parse().expect("a SID");
    assert!(service.read(&Base::Sid(unknown), &["cn"]).await.expect("read").is_none());
}

pub async fn bases_that_are_not_there(world: &World) {
    let service = world.as_service().await;
    let missing = world.group_dn("none");
    assert!(service.read(&Base::from(&missing), &["cn"]).await.expect("read").is_none());
    let search = Search::new(&missing, Scope::Subtree, "(objectClass=*)", &["cn"]);
    assert_eq!(code(&service.search(&search).await), 32);
}

pub async fn selections_of_attributes(world: &World) {
    let account = world.add_gmsa("a", &[attribute("description", &["x"])]).await;
    let none = world.read(&account, &["1.1"]).await;
    assert!(!none.has("cn") && !none.has("objectClass"));
    let named = world.read(&account, &["DESCRIPTION", "noSuchAttribute"]).await;
    assert!(named.has("description") && !named.has("cn") && !named.has("noSuchAttribute"));
    let all = world.read(&account, &["*"]).await;
    assert!(all.has("description") && all.has("whenCreated") && all.has("uSNChanged"));
    // What is computed comes only when it is asked for.
    assert!(!all.has("canonicalName") && !all.has("tokenGroups") && !all.has("allowedAttributesEffective"));
    let both = world.read(&account, &["*", "canonicalName"]).await;
    assert_eq!(
        both.text("canonicalName"),
        Some(format!("contoso.com/Managed Service Accounts/{}", world.name("a")).as_str())
    );
    assert!(both.has("description"));
    let computed = world.read(&account, &["createTimeStamp", "whenCreated", "msDS-KeyVersionNumber"]).await;
    assert_eq!(computed.text("createTimeStamp"), computed.text("whenCreated"));
    assert_eq!(computed.int("msDS-KeyVersionNumber"), Some(1));
}

pub async fn ranges_of_values(world: &World) {
    let members: Vec<_> = (1..=5).map(host).collect();
    let group = world.add_group("a", &members.iter().collect::<Vec<_>>()).await;
    let some = world.read(&group, &["member;range=1-2"]).await;
    // The adapter goes on from a range that is not the last one, and so has all from 1 on.
    assert_eq!(some.dns("member").len(), 4);
    assert_eq!(world.read(&group, &["member;range=3-*"]).await.dns("member").len(), 2);
    assert!(world.read(&group, &["member;range=5-*"]).await.dns("member").is_empty());
    assert_eq!(world.read(&group, &["member"]).await.dns("member").len(), 5);
}

pub async fn token_groups(world: &World) {
    let account = world.add_gmsa("m", &[]).await;
    let inner = world.add_group("i", &[&account]).await;
    let outer = world.add_group("o", &[&inner]).await;
    let mut expected = Vec::new();
    for group in [&inner, &outer, &dn("CN=Domain Computers,CN=Users,DC=contoso,DC=com")] {
        expected.push(world.read(group, &["objectSid"]).await.bytes("objectSid").expect("a SID").to_vec());
    }
    expected.sort();
    let mut groups = world.read(&account, &["tokenGroups"]).await.values("tokenGroups").to_vec();
    groups.sort();
    assert_eq!(groups, expected);
    let wide = Search::new(&account, Scope::Subtree, "(objectClass=*)", &["tokenGroups"]);
    let answer = world.as_service().await.search(&wide).await;
    // Samba says the same to an unpaged search; a paged one it carries out as a search for each
    // object, and so answers.
    match world.is_real() {
        true => assert!(answer.is_ok_and(|found| found[0].has("tokenGroups"))),
        false => assert_eq!(code(&answer), 1),
    }
}

pub async fn effective_rights(world: &World) {
    let classes = async |dn: &str| {
        let read = world.read(&super::dn(dn), &["allowedChildClassesEffective"]).await;
        read.texts("allowedChildClassesEffective")
    };
    assert_eq!(classes(MSA).await, ["msDS-GroupManagedServiceAccount"]);
    assert_eq!(classes(super::FARMS).await, ["group"]);
    assert_eq!(classes(HOSTS).await, Vec::<String>::new());
    // The lab delegates groups in OU=Farms only; here a farm's group is made in CN=Users by
    // default, and so may be.
    let users = if world.is_real() { Vec::new() } else { vec!["group".to_owned()] };
    assert_eq!(classes(super::USERS).await, users);

    let writable = async |dn: &domain::Dn| {
        let read = world.read(dn, &["allowedAttributesEffective"]).await;
        read.texts("allowedAttributesEffective")
    };
    let account = world.add_gmsa("a", &[]).await;
    let allowed = writable(&account).await;
    for name in [
        "servicePrincipalName",
        "msDS-GroupMSAMembership",
        "description",
        "dNSHostName",
        "displayName",
        "userAccountControl",
        "msDS-SupportedEncryptionTypes",
        "sAMAccountName",
    ] {
        assert!(allowed.iter().any(|allowed| allowed == name), "{name} in {allowed:?}");
    }
    let group = world.add_group("g", &[]).await;
    let allowed = writable(&group).await;
    assert!(["member", "description"].iter().all(|name| allowed.iter().any(|allowed| allowed == name)));
    assert_eq!(writable(&host(1)).await, ["userAccountControl"]);
    assert_eq!(writable(&dn("CN=Domain Admins,CN=Users,DC=contoso,DC=com")).await, Vec::<String>::new());
}

pub async fn page_by_page(world: &World) {
    for suffix in ["a", "b", "c"] {
        world.add_group(suffix, &[]).await;
    }
    let service = world.as_service().await;
    let own = format!("(cn={}*)", world.name(""));
    // The schema of a real forest alone fills two pages.
    let schema = service.root_dse().await.expect("read").schema_naming_context;
    for (base, filter) in [(dn(DOMAIN), own.as_str()), (schema, "(objectClass=*)")] {
        let search = Search::new(&base, Scope::Subtree, filter, &["objectGUID"]);
        let pages: Vec<_> = service.pages(&search).map(|page| page.expect("a page")).collect().await;
        assert!(pages.len() > 1 || filter == own || !world.is_real(), "{}", pages.len());
        assert!(pages.iter().all(|page| page.len() <= 1000));
        let mut paged: Vec<_> = pages.concat().iter().map(|entry| entry.dn.clone()).collect();
        let mut whole: Vec<_> =
            service.search(&search).await.expect("searched").into_iter().map(|entry| entry.dn).collect();
        paged.sort();
        whole.sort();
        assert_eq!(paged, whole, "each once");
        assert!(filter != own || paged.len() == 3);
    }
    let malformed = Search::new(&dn(DOMAIN), Scope::Subtree, "(cn=", &["cn"]);
    let answers: Vec<_> = service.pages(&malformed).collect().await;
    assert!(matches!(&answers[..], [Err(_)]), "{answers:?}");
}

pub async fn changes_since(world: &World) {
    let (a, _) = (world.add_group("a", &[]).await, world.add_group("b", &[]).await);
    let service = world.as_service().await;
    let usn = service.root_dse().await.expect("read").highest_committed_usn.expect("a number");
    assert_eq!(world.modify(&a, &[super::replace("description", &["x"])]).await, 0);
    let filter = format!("(&(uSNChanged>={})(cn={}*))", usn + 1, world.name(""));
    assert_eq!(cns(&*service, DOMAIN, &filter).await, [world.name("a")]);
}
