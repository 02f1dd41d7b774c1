//! Group managed service accounts: what the server sets, what a caller may, and when.

use directory::Modification;
use directory::password_id::ManagedPasswordId;
use directory::security::ReaderDescriptor;
use domain::Sid;

use super::{World, add, attribute, bytes, code, delete, dn, extended, replace};

fn readers(sid: &str) -> Vec<u8> {
    let sid: Sid = sid.parse().expect("a SID");
    ReaderDescriptor::allowing([&sid]).to_bytes().expect("fits")
}

pub async fn the_server_completes_an_account(world: &World) {
    let account = world.add_gmsa("a", &[]).await;
    let read = world.read(&account, &["*"]).await;
    let classes =
        ["top", "person", "organizationalPerson", "user", "computer", "msDS-GroupManagedServiceAccount"];
    assert_eq!(read.texts("objectClass"), classes);
    let numbers = [
        ("userAccountControl", 4096),
        ("sAMAccountType", 805_306_369),
        ("primaryGroupID", 515),
        ("instanceType", 4),
        ("msDS-ManagedPasswordInterval", 30),
        ("accountExpires", i64::MAX),
        ("lastLogon", 0),
        ("logonCount", 0),
        ("badPwdCount", 0),
        ("badPasswordTime", 0),
        ("lastLogoff", 0),
        ("codePage", 0),
        ("countryCode", 0),
    ];
    for (name, number) in numbers {
        assert_eq!(read.int(name), Some(number), "{name}");
    }
    assert!(read.int("pwdLastSet").is_some_and(|set| set > 0));
    assert_eq!(read.text("name"), Some(world.name("a").as_str()));
    assert_eq!(read.text("cn"), Some(world.name("a").as_str()));
    assert_eq!(read.text("isCriticalSystemObject"), Some("FALSE"));
    let category = dn("CN=ms-DS-Group-Managed-Service-Account,CN=Schema,CN=Configuration,DC=contoso,DC=com");
    assert_eq!(read.dns("objectCategory"), [category]);
    assert_eq!(read.dns("distinguishedName"), [account]);
    assert!(read.guid("objectGUID").is_some());
    assert!(read.sid("objectSid").and_then(|sid| sid.rid()).is_some_and(|rid| rid >= 1000));
    assert!(read.int("uSNCreated") <= read.int("uSNChanged") && read.has("uSNCreated"));

    let root = world.as_service().await.root_dse().await.expect("read");
    let age = root.current_time.expect("a clock") - read.time("whenCreated").expect("a time");
    assert!((0..60).contains(&age.num_seconds()), "{age}");
    let id = ManagedPasswordId::parse(read.bytes("msDS-ManagedPasswordId").expect("an id")).expect("an id");
    let age = root.current_time.expect("a clock") - id.slot_start();
    assert!((0..=36_000).contains(&age.num_seconds()), "the slot that holds now: {age}");
    assert_eq!((id.domain.as_str(), id.forest.as_str()), ("contoso.com", "contoso.com"));
    assert!(!read.has("msDS-ManagedPasswordPreviousId") && !read.has("msDS-ManagedPassword"));
}

pub async fn what_is_left_out_gets_ads_defaults(world: &World) {
    let service = world.as_service().await;
    let mut given = world.gmsa("a");
    given.retain(|attribute| attribute.name != "userAccountControl");
    service.add(&world.gmsa_dn("a"), &given).await.expect("added");
    // Disabled, and no password required.
    assert_eq!(
        world.read(&world.gmsa_dn("a"), &["userAccountControl"]).await.int("userAccountControl"),
        Some(4130)
    );
    given.retain(|attribute| attribute.name != "sAMAccountName");
    service.add(&world.gmsa_dn("b"), &given).await.expect("added");
    let invented = world.read(&world.gmsa_dn("b"), &["sAMAccountName"]).await;
    assert!(invented.text("sAMAccountName").is_some_and(|name| name.starts_with('$') && name.ends_with('$')));
}

pub async fn the_interval_is_mandatory_and_fixed(world: &World) {
    let service = world.as_service().await;
    let mut given = world.gmsa("a");
    let interval = given.pop().expect("the interval");
    assert_eq!(interval.name, "msDS-ManagedPasswordInterval");
    let refused = service.add(&world.gmsa_dn("a"), &given).await;
    assert_eq!((code(&refused), extended(&refused)), (65, Some(0x2014)));
    given.push(attribute("msDS-ManagedPasswordInterval", &["abc"]));
    let refused = service.add(&world.gmsa_dn("a"), &given).await;
    assert_eq!((code(&refused), extended(&refused)), (21, Some(0x200B)));
    let account = world.add_gmsa("b", &[]).await;
    for dc in [service, world.as_admin().await] {
        for days in ["30", "60"] {
            let refused = dc.modify(&account, &[replace("msDS-ManagedPasswordInterval", &[days])]).await;
            assert_eq!((code(&refused), extended(&refused)), (19, Some(0x202F)), "{days}");
        }
    }
}

pub async fn only_the_server_writes_key_ids(world: &World) {
    let forged = bytes("msDS-ManagedPasswordId", b"forged");
    let account = world.add_gmsa("a", std::slice::from_ref(&forged)).await;
    let read = world.read(&account, &["msDS-ManagedPasswordId"]).await;
    assert!(ManagedPasswordId::parse(read.bytes("msDS-ManagedPasswordId").expect("an id")).is_ok());
    assert_eq!(world.modify(&account, &[Modification::Replace(forged)]).await, 19);
    let previous = bytes("msDS-ManagedPasswordPreviousId", b"forged");
    assert_eq!(world.modify(&account, &[Modification::Replace(previous)]).await, 19);
    let sid = bytes("objectSid", &"S-1-5-21-1-2-3-4".parse::<Sid>().expect("a SID").to_bytes());
    assert_eq!(world.modify(&account, &[Modification::Replace(sid)]).await, 53);
    let guid = bytes("objectGUID", &[7; 16]);
    assert_eq!(world.modify(&account, &[Modification::Replace(guid)]).await, 19);
}

pub async fn a_single_value_stays_single(world: &World) {
    let account = world.add_gmsa("a", &[attribute("description", &["one"])]).await;
    assert_eq!(world.modify(&account, &[add("description", &["two"])]).await, 20);
    assert_eq!(world.modify(&account, &[add("description", &["one"])]).await, 20);
    assert_eq!(world.modify(&account, &[replace("displayName", &["one", "two"])]).await, 20);
    assert_eq!(world.read(&account, &["description"]).await.texts("description"), ["one"]);
    // In an Add it is another code.
    let two = [world.gmsa("b"), vec![attribute("dNSHostName", &["a.contoso.com", "b.contoso.com"])]].concat();
    assert_eq!(code(&world.as_service().await.add(&world.gmsa_dn("b"), &two).await), 19);
}

pub async fn compare_and_swap(world: &World) {
    let account = world.add_gmsa("a", &[bytes("msDS-GroupMSAMembership", &readers("S-1-5-32-544"))]).await;
    let swap = |old: &[u8], new: &[u8]| {
        [
            Modification::Delete(bytes("msDS-GroupMSAMembership", old)),
            Modification::Add(bytes("msDS-GroupMSAMembership", new)),
        ]
    };
    let (old, new) = (readers("S-1-5-32-544"), readers("S-1-5-32-545"));
    assert_eq!(world.modify(&account, &swap(&old, &new)).await, 0);
    assert_eq!(world.modify(&account, &swap(&old, &readers("S-1-1-0"))).await, 16);
    let read = world.read(&account, &["msDS-GroupMSAMembership"]).await;
    assert_eq!(read.bytes("msDS-GroupMSAMembership"), Some(&new[..]));
    // The whole modify is undone, also what came before the element that failed.
    let both = [vec![replace("description", &["x"])], swap(&old, &new).to_vec()].concat();
    assert_eq!(world.modify(&account, &both).await, 16);
    assert!(!world.read(&account, &["description"]).await.has("description"));
}

pub async fn replacing_and_deleting_attributes(world: &World) {
    let account = world.add_gmsa("a", &[attribute("description", &["one"])]).await;
    assert_eq!(world.modify(&account, &[replace("description", &[])]).await, 0);
    assert_eq!(world.modify(&account, &[replace("description", &[])]).await, 0);
    assert_eq!(world.modify(&account, &[delete("description", &[])]).await, 16);
    assert_eq!(world.modify(&account, &[delete("description", &["one"])]).await, 16);
    let in_order =
        [add("description", &["two"]), delete("description", &["two"]), add("description", &["three"])];
    assert_eq!(world.modify(&account, &in_order).await, 0);
    assert_eq!(world.read(&account, &["description"]).await.texts("description"), ["three"]);
    assert_eq!(world.modify(&account, &[delete("msDS-ManagedPasswordInterval", &[])]).await, 19);
}

pub async fn values_are_checked_by_their_syntax(world: &World) {
    let account = world.add_gmsa("a", &[]).await;
    let control = [replace("userAccountControl", &["abc"])];
    assert_eq!(code(&world.as_admin().await.modify(&account, &control).await), 21);
    assert_eq!(world.modify(&account, &[replace("msDS-SupportedEncryptionTypes", &["x"])]).await, 21);
    assert_eq!(world.modify(&account, &[add("description", &[""])]).await, 21);
    assert_eq!(world.modify(&account, &[replace("msDS-SupportedEncryptionTypes", &["24"])]).await, 0);
}

pub async fn attributes_belong_to_classes(world: &World) {
    let account = world.add_gmsa("a", &[]).await;
    let member = attribute("member", &["CN=Host1,OU=Servers,DC=contoso,DC=com"]);
    assert_eq!(world.modify(&account, &[Modification::Add(member.clone())]).await, 65);
    let with_member = [world.gmsa("b"), vec![member]].concat();
    assert_eq!(code(&world.as_service().await.add(&world.gmsa_dn("b"), &with_member).await), 65);
    let mut group = world.group("g");
    group.push(attribute("dNSHostName", &["x.contoso.com"]));
    assert_eq!(code(&world.as_service().await.add(&world.group_dn("g"), &group).await), 65);
}

pub async fn readers_are_kept_byte_for_byte(world: &World) {
    let mut list = ReaderDescriptor::allowing([&"S-1-5-32-544".parse().expect("a SID")]);
    let account =
        world.add_gmsa("a", &[bytes("msDS-GroupMSAMembership", &list.to_bytes().expect("fits"))]).await;
    let stored = async || {
        let read = world.read(&account, &["msDS-GroupMSAMembership"]).await;
        read.bytes("msDS-GroupMSAMembership").map(<[u8]>::to_vec)
    };
    assert_eq!(stored().await, Some(list.to_bytes().expect("fits")));
    list.deny(&"S-1-5-21-1-2-3-1104".parse().expect("a SID"));
    let changed = bytes("msDS-GroupMSAMembership", &list.to_bytes().expect("fits"));
    assert_eq!(world.modify(&account, &[Modification::Replace(changed)]).await, 0);
    assert_eq!(stored().await, Some(list.to_bytes().expect("fits")));
}

pub async fn an_account_is_disabled_and_enabled(world: &World) {
    let account = world.add_gmsa("a", &[]).await;
    for control in ["4098", "4096"] {
        assert_eq!(world.modify(&account, &[replace("userAccountControl", &[control])]).await, 0);
        let read = world.read(&account, &["userAccountControl", "sAMAccountType"]).await;
        assert_eq!(read.text("userAccountControl"), Some(control));
        assert_eq!(read.int("sAMAccountType"), Some(805_306_369));
    }
    // A computer stays one, and always has the flags that say so.
    for control in ["512", "0"] {
        assert_eq!(
            world.modify(&account, &[replace("userAccountControl", &[control])]).await,
            65,
            "{control}"
        );
    }
    for name in ["userAccountControl", "sAMAccountName"] {
        assert_eq!(world.modify(&account, &[delete(name, &[])]).await, 53, "{name}");
    }
}

/// Samba has the attribute as the schema has it; Windows is said to take it later too, which the
/// product does not rely on.
pub async fn delegation_is_written_only_at_creation(world: &World) {
    let list = bytes("msDS-AllowedToActOnBehalfOfOtherIdentity", &readers("S-1-5-32-544"));
    let account = world.add_gmsa("a", std::slice::from_ref(&list)).await;
    assert!(world.read(&account, &[&list.name]).await.has(&list.name));
    assert_eq!(world.modify(&account, &[Modification::Replace(list)]).await, 19);
}
