//! What is no host of this domain's to contain: refused before anything is written.

use domain::{ErrorCode, WorkflowState};
use serde_json::json;
use tests::objects::{account_dn, entry, make_gmsa, sid};

use super::{LIMIT, Scene, reader_list};

const DC1_DN: &str = "CN=DC1,OU=Domain Controllers,DC=contoso,DC=com";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_member_host_is_refused_and_nothing_written_and_a_dcs_account_only_goes_with_a_reason() {
    let scene = Scene::new().await;
    let host = scene.twin.host();
    let farm = scene.farm(&[&host]).await;
    let admin = scene.twin.admin("dc1");
    let dc1 = sid(&admin, DC1_DN).expect("a SID");
    let gmsa = tests::lab::unique_name("cmpb");
    make_gmsa(&admin, &gmsa, &[entry::allow(&dc1)]).expect("a gMSA");
    scene.replicated(&account_dn(&gmsa), "msDS-GroupMSAMembership", 1).await;
    let account = format!("{}$", farm.name);
    let all = [
        ("NoSuchHost", ErrorCode::HostNotFound),
        ("svc-limited", ErrorCode::HostNotComputer),
        ("CN=svc-limited,CN=Users,DC=contoso,DC=com", ErrorCode::HostNotComputer),
        ("Domain Computers", ErrorCode::HostNotComputer),
        (&account, ErrorCode::HostNotComputer),
        ("dc1", ErrorCode::HostIsDomainController),
        (DC1_DN, ErrorCode::HostIsDomainController),
    ];
    let ids = futures::future::join_all(all.map(|(named, _)| scene.contain(named))).await;
    for ((named, code), id) in all.iter().zip(ids) {
        let done = scene.cluster.finishes(&id, LIMIT).await;
        assert_eq!(done.state, WorkflowState::Failed, "{named}: {:#?}", done.result);
        assert_eq!(done.error.map(|error| error.code), Some(*code), "{named}");
        let outcomes = done.steps.iter().filter_map(|step| step.outcome.as_ref());
        assert_eq!(outcomes.map(|outcome| outcome.writes.len()).sum::<usize>(), 0, "{named}");
    }
    assert_eq!(reader_list(&admin, &gmsa), [(0, dc1.clone())]);
    assert_eq!(
        scene.cluster.query("select count(*) from quarantine")[0][0],
        "0",
        "nobody is under quarantine"
    );

    let forced =
        json!({ "host": "dc1", "force": "seen in the incident of today", "keepComputerEnabled": true });
    let id = scene.cluster.ask("compromises", &forced).await;
    scene.contained(&id).await;
    for dc in tests::twin::DCS {
        assert_eq!(reader_list(&scene.twin.admin(dc), &gmsa).first(), Some(&(1, dc1.clone())), "{dc}");
    }
}
