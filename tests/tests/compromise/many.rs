//! A host of many farms among very many gMSAs: on the embedded directory, which takes thousands in seconds.

use std::collections::BTreeMap;

use serde_json::json;
use tests::cluster::{Cluster, FaultyDirectory, manifest};
use tests::lab::{BASE_DN, HOST_CONTAINER, Lab, unique_name};
use tests::ldap::Ldap;
use tests::objects::{descriptor, entries, entry, sid};

use super::{LIMIT, containment, succeeded};

const FARMS: usize = 50;
/// gMSAs that let nobody of us in, and those among them that let the host in beside any farm.
const GMSAS: usize = 2_000;
const STRANGERS: usize = 25;

/// Every reader list, by account name.
fn reader_lists(witness: &Ldap) -> BTreeMap<String, Vec<u8>> {
    let filter = "(objectClass=msDS-GroupManagedServiceAccount)";
    let found =
        witness.search(BASE_DN, filter, &["cn", "msDS-GroupMSAMembership"]).expect("the directory answers");
    let list = |entry: tests::ldap::Entry| {
        Some((entry.text("cn")?, entry.values("msDS-GroupMSAMembership").first()?.clone()))
    };
    found.into_iter().filter_map(list).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_fifty_farms_among_two_thousand_gmsas_is_cut_off_from_all_that_let_it_in_and_nothing_else_changes()
 {
    let lab = Lab::from_env();
    let directory = FaultyDirectory::start().await;
    let witness = directory.witness();
    let host = sid(&witness, &format!("CN=Host1,{HOST_CONTAINER}")).expect("a SID");
    let names = |prefix: &str, count| (0..count).map(|n| format!("{prefix}{n}")).collect::<Vec<_>>();
    let nobodys = descriptor(&[entry::allow(&[1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0])]);
    let strangers = names("Stranger", STRANGERS);
    directory.embedded.seed_gmsas(&names("Bulk", GMSAS - STRANGERS), Some(&nobodys)).await.expect("seeded");
    directory
        .embedded
        .seed_gmsas(&strangers, Some(&descriptor(&[entry::allow(&host)])))
        .await
        .expect("seeded");
    let cluster = Cluster::on_lab(&lab, directory.env()).await.start(1, 1).await;
    let farms: Vec<_> = (0..FARMS).map(|_| (unique_name("man"), unique_name("mang"))).collect();
    let mut deploys = Vec::new();
    for (name, group) in &farms {
        deploys.push(cluster.submit(&manifest(name, group, &["Host1", "Host2"])).await);
    }
    for id in &deploys {
        succeeded(&cluster.finishes(id, LIMIT).await);
    }
    let before = reader_lists(&witness);
    assert_eq!(before.len(), GMSAS + FARMS);

    let id = cluster.ask("compromises", &json!({ "host": "Host1" })).await;
    let done = cluster.finishes(&id, LIMIT).await;
    succeeded(&done);
    let contained = containment(&done);
    assert_eq!(contained.accounts.len(), FARMS + STRANGERS, "{}", contained.summary);
    assert!(
        contained.accounts[..FARMS].iter().all(|account| account.farm.is_some()),
        "farms on record come first"
    );
    assert!(contained.accounts[FARMS..].iter().all(|account| account.farm.is_none()));
    assert!(contained.swept >= (GMSAS + FARMS) as u64, "{}", contained.swept);
    for (name, after) in reader_lists(&witness) {
        let affected = strangers.contains(&name) || farms.iter().any(|(farm, _)| *farm == name);
        if affected {
            assert_eq!(entries(&after)[0], (1, host.clone()), "{name}");
        } else {
            assert_eq!(after, before[&name], "{name}");
        }
    }
}
