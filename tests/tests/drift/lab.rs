//! On the lab's real DC as a delegated account, which sees no deleted objects. What others do is done
//! by another program.

use domain::Mode;
use domain::drift::{DriftKind as K, DriftState};
use serde_json::json;
use tests::lab::{BASE_DN, Cleanup, Lab};
use tests::ldap::Ldap;
use tests::objects::{account_dn, entry as ace, group_dn, host_dn, readers, sid};
use tests::world::World;

use super::{check_as, deployed, entry, farm, full, in_line, mended, succeeded, told};

fn replace(lab: &Lab, dn: &str, attribute: &str, values: &[&str]) {
    let values: String = values.iter().map(|value| format!("{attribute}: {value}\n")).collect();
    let ldif = format!("dn: {dn}\nchangetype: modify\nreplace: {attribute}\n{values}");
    lab.as_admin().apply(&ldif).expect("an administrator may");
}

/// An organizational unit of a test, under its name or one that begins with it.
struct Unit {
    admin: Ldap,
    name: String,
}

impl Drop for Unit {
    fn drop(&mut self) {
        let filter = format!("(ou={}*)", self.name);
        let units = self.admin.search(BASE_DN, &filter, &["1.1"]).unwrap_or_default();
        for unit in units {
            let mut all = self.admin.search(&unit.dn, "(objectClass=*)", &["1.1"]).unwrap_or_default();
            // What is in it goes first.
            all.sort_by_key(|entry| std::cmp::Reverse(entry.dn.len()));
            for entry in all {
                if let Err(error) = self.admin.delete(&entry.dn) {
                    eprintln!("{} is left behind: {error:#}", entry.dn);
                }
            }
        }
    }
}

/// By what has changed; the DC is everybody's, so that others' changes are seen and pass by.
async fn changes(world: &World) -> domain::drift::DriftSummary {
    let found = check_as(world, None, false).await;
    assert_eq!(found.full, None, "{}", found.summary);
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_change_is_found_by_what_the_dc_says_has_changed_and_mended_after_approval() {
    let lab = Lab::from_env();
    let mut names = Cleanup::new(&lab);
    let (attributes, members, strangers) = (names.name("dra"), names.name("drm"), names.name("drs"));
    let world = World::on_lab(&lab).await;
    let _worker = world.start_worker("one");
    for name in [&attributes, &members] {
        deployed(&world, mended(name, &["Host1", "Host2"])).await;
    }
    deployed(&world, farm(&strangers, &["Host1"], json!({}))).await;
    let first = full(&world).await;
    assert_eq!((first.checked, first.farms.in_line), (3, 3), "{first:#?}");
    assert_eq!(changes(&world).await.compared, 0, "of our farms nothing has changed");

    let account = account_dn(&attributes);
    replace(&lab, &account, "description", &["another's"]);
    replace(&lab, &account, "msDS-SupportedEncryptionTypes", &["28"]);
    replace(&lab, &account, "servicePrincipalName", &[&format!("http/{attributes}")]);
    replace(&lab, &group_dn(&format!("{members}g")), "member", &[&host_dn("Host1")]);
    let admin = lab.as_admin();
    let group = sid(&admin, &group_dn(&format!("{strangers}g"))).expect("a SID");
    let stranger = sid(&admin, &host_dn("Host9")).expect("a SID");
    readers(&admin, &account_dn(&strangers), &[ace::allow(&group), ace::allow(&stranger)]).expect("written");

    let found = changes(&world).await;
    assert_eq!((found.farms.mending, found.farms.drifted, found.compared), (2, 1, 3), "{found:#?}");
    let mut kinds: Vec<_> =
        entry(&world, &attributes).await.items.iter().map(|item| item.attribute.clone()).collect();
    kinds.sort();
    assert_eq!(kinds, ["description", "msDS-SupportedEncryptionTypes", "servicePrincipalName"]);
    assert_eq!(told(&entry(&world, &members).await), [(K::Missing, "Host2", "member")]);
    assert_eq!(told(&entry(&world, &strangers).await), [(K::Extra, "Host9", "msDS-GroupMSAMembership")]);
    assert!(lab.host_reads_password("Host9", &strangers).expect("a try"), "and so it is");

    for id in found.mending {
        succeeded(&world.finishes_approved(id).await);
    }
    let removed =
        world.submit_for("remove-host", Mode::Apply, Some(&strangers), json!({ "hosts": ["Host9"] })).await;
    succeeded(&world.finishes(removed).await);
    let then = changes(&world).await;
    assert_eq!(then.farms.in_line, 3, "{then:#?}");
    let description = admin.read(&account, &["description"]).expect("a read").expect("the account");
    assert_eq!(description.text("description").as_deref(), Some("a farm of a test"));
    assert!(lab.host_reads_password("Host2", &members).expect("a try"));
    assert!(!lab.host_reads_password("Host9", &strangers).expect("a try"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_no_trace_in_usns_is_found_all_the_same() {
    let lab = Lab::from_env();
    let mut names = Cleanup::new(&lab);
    let (one, two, gone, moved) =
        (names.name("dre"), names.name("drf"), names.name("drg"), names.name("drh"));
    let unit = names.name("dru");
    let admin = lab.as_admin();
    let unit_dn = format!("OU={unit},{BASE_DN}");
    let _unit = Unit { admin: admin.clone(), name: unit.clone() };
    let computer = |name: &str, at: &str| {
        format!(
            "dn: CN={name},{at}\nchangetype: add\nobjectClass: computer\nsAMAccountName: {name}$\n\
             userAccountControl: 4096\n\n"
        )
    };
    let made = format!("dn: {unit_dn}\nchangetype: add\nobjectClass: organizationalUnit\n\n");
    admin.apply(&[made, computer(&gone, &unit_dn), computer(&moved, &unit_dn)].concat()).expect("made");
    let world = World::on_lab(&lab).await;
    let _worker = world.start_worker("one");
    // Direct: not even a group loses a member.
    let direct = json!({ "membership": { "mode": "direct" } });
    deployed(&world, farm(&one, &["Host1", &gone], direct)).await;
    deployed(&world, farm(&two, &["Host1", &moved], json!({}))).await;
    assert_eq!(full(&world).await.farms.in_line, 2);

    // A deleted computer: its tombstone is for administrators.
    admin.delete(&format!("CN={gone},{unit_dn}")).expect("deleted");
    let found = changes(&world).await;
    assert_eq!((found.farms.drifted, found.compared), (1, 1), "{found:#?}");
    let told_of = entry(&world, &one).await;
    assert!(told(&told_of).contains(&(K::Gone, gone.as_str(), "objectSid")), "{told_of:#?}");
    assert_eq!(told_of.state, DriftState::Drifted);

    // A container above it is renamed: the host is another DN's now, and reads as before.
    let renamed = format!("{unit}x");
    admin
        .apply(&format!("dn: {unit_dn}\nchangetype: modrdn\nnewrdn: OU={renamed}\ndeleteoldrdn: 1\n"))
        .expect("renamed");
    let found = changes(&world).await;
    assert_eq!(found.compared, 2, "the one that is not settled, and the one whose host moved: {found:#?}");
    in_line(&world, &two).await;

    // And the account itself.
    admin.delete(&account_dn(&two)).expect("deleted");
    changes(&world).await;
    assert_eq!(told(&entry(&world, &two).await), [(K::Gone, format!("{two}$").as_str(), "objectSid")]);
}
