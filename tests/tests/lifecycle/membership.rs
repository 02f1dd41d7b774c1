//! Hosts join and leave.

use std::time::Duration;

use domain::{Clock, ErrorCode, Mode, SystemClock, WaitReason};
use serde_json::{Value, json};
use store::Action;
use tests::computers::Computers;
use tests::lab::Lab;
use tests::wait::eventually;

use super::{Deployed, account_dn, group_dn, host_dn, hosts, succeeded};

/// What `samba-tool` says, line by line.
fn samba_tool(lab: &Lab, arguments: &[&str]) -> Vec<String> {
    lab.samba_tool(arguments).expect("samba-tool works").lines().map(str::to_owned).collect()
}

fn outcomes(result: &Value) -> Vec<(&str, &str)> {
    let hosts = result["hosts"].as_array().expect("hosts");
    hosts
        .iter()
        .map(|host| (host["name"].as_str().expect("a name"), host["outcome"].as_str().expect("an outcome")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_joins_by_group_reads_the_password_with_its_next_ticket() {
    let lab = Lab::from_env();
    let farm = Deployed::by_group(&lab, &["Host1"]).await;
    let witness = lab.as_admin();
    assert!(!lab.host_reads_password("Host2", &farm.name).expect("a try"));

    // One host that is in already, by a spelling of its own, and two new ones.
    let dn = host_dn("Host3");
    let done = farm.run("add-host", hosts(&["host1$", "Host2", &dn])).await;
    succeeded(&done);
    let result = done.result.expect("a result");
    let expected = [("Host1", "already-member"), ("Host2", "added"), ("Host3", "added")];
    assert_eq!(outcomes(&result), expected);
    assert_eq!(
        (&result["mode"], &result["accessTakesEffect"]["sooner"]),
        (&json!("group"), &json!("klist -li 0x3e7 purge"))
    );
    assert_eq!(farm.recorded().await, ["Host1", "Host2", "Host3"]);
    assert_eq!(farm.members(&witness), ["Host1", "Host2", "Host3"].map(host_dn));
    let group = farm.group.as_deref().expect("a group");
    let mut listed = samba_tool(&lab, &["group", "listmembers", group]);
    listed.sort();
    assert_eq!(listed, ["Host1$", "Host2$", "Host3$"]);
    assert!(lab.host_reads_password_by_new_ticket("Host2", &farm.name).expect("a try"));

    let again = farm.run("add-host", hosts(&["Host2", "Host3"])).await;
    succeeded(&again);
    let result = again.result.expect("a result");
    assert_eq!(
        (&result["changed"], outcomes(&result)),
        (&json!(false), vec![("Host2", "already-member"), ("Host3", "already-member")])
    );
    assert!(result["summary"].as_str().expect("a summary").starts_with("nothing to change"), "{result}");
    assert_eq!(farm.recorded().await, ["Host1", "Host2", "Host3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_joins_directly_reads_the_password_at_once() {
    let lab = Lab::from_env();
    let farm = Deployed::direct(&lab, &["Host1"]).await;
    let done = farm.run("add-host", hosts(&["Host4", "Host1", "Host5"])).await;
    succeeded(&done);
    let result = done.result.expect("a result");
    assert_eq!(outcomes(&result), [("Host4", "added"), ("Host1", "already-member"), ("Host5", "added")]);
    assert_eq!(
        (&result["mode"], &result["accessTakesEffect"]["when"]),
        (&json!("direct"), &json!("at once"))
    );
    assert!(lab.host_reads_password_by_new_ticket("Host4", &farm.name).expect("a try"));
    assert!(!lab.host_reads_password("Host6", &farm.name).expect("a try"));
    let shown = samba_tool(&lab, &["service-account", "group-msa-membership", "show", "--name", &farm.name])
        .join("\n");
    for host in ["Host1", "Host4", "Host5"] {
        assert!(shown.contains(&host_dn(host)), "{host}: {shown}");
    }
    assert!(lab.as_admin().read(&account_dn(&farm.name), &["cn"]).expect("the DC answers").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_join_is_named_all_at_once_and_nothing_is_written() {
    let lab = Lab::from_env();
    let farm = Deployed::by_group(&lab, &["Host1"]).await;
    let witness = lab.as_admin();
    let gmsa = farm.name.clone();
    let asked =
        ["Host2", "Nobody-1", &gmsa, "CN=H,OU=x,DC=other,DC=com", "Domain Computers", "S-1-5-21-1-2-3-4"];
    let refused = farm.run("add-host", hosts(&asked)).await;
    assert_eq!(refused.state, domain::WorkflowState::Failed);
    let error = refused.error.expect("an error");
    let found: Vec<_> = error.violations.iter().map(|v| (v.field.as_str(), v.rule.as_str())).collect();
    let expected = [
        ("hosts[1]", "host-not-found"),
        ("hosts[2]", "host-not-computer"),
        ("hosts[3]", "host-not-found"),
        ("hosts[4]", "host-not-computer"),
        ("hosts[5]", "host-not-found"),
    ];
    assert_eq!(found, expected);
    assert_eq!(farm.members(&witness), ["Host1"].map(host_dn));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_left_the_group_reads_nothing_with_a_new_ticket_and_the_last_one_is_warned_about() {
    let lab = Lab::from_env();
    let farm = Deployed::by_group(&lab, &["Host1", "Host2"]).await;
    let witness = lab.as_admin();
    assert!(lab.host_reads_password_by_new_ticket("Host2", &farm.name).expect("a try"));

    let done = farm.run("remove-host", hosts(&["HOST2$", "Host7"])).await;
    succeeded(&done);
    let result = done.result.expect("a result");
    assert_eq!(outcomes(&result), [("Host2", "removed"), ("Host7", "not-a-member")]);
    assert!(result["accessEnds"].as_str().expect("text").contains("up to 10 hours"), "{result}");
    assert_eq!(result["domainControllers"].as_array().map(Vec::len), Some(1), "{result}");
    assert_eq!(farm.members(&witness), ["Host1"].map(host_dn));
    assert_eq!(farm.recorded().await, ["Host1"]);
    assert!(!lab.host_reads_password_by_new_ticket("Host2", &farm.name).expect("a try"));
    assert!(lab.host_reads_password("Host1", &farm.name).expect("a try"));

    let again = farm.run("remove-host", hosts(&["Host2"])).await;
    succeeded(&again);
    assert_eq!(again.result.expect("a result")["changed"], json!(false));

    let last = farm.run("remove-host", hosts(&["Host1"])).await;
    succeeded(&last);
    let warnings = last.result.expect("a result")["warnings"].to_string();
    assert!(warnings.contains("never rolls its password"), "{warnings}");
    assert_eq!(farm.recorded().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_left_the_reader_list_reads_nothing_and_one_that_is_gone_leaves_it_by_sid() {
    let lab = Lab::from_env();
    let farm = Deployed::direct(&lab, &["Host1", "Host4"]).await;
    let witness = lab.as_admin();
    let gone = Computers::new(&lab, "lifc", 1).expect("a computer");
    succeeded(&farm.run("add-host", hosts(&[&gone.names[0]])).await);
    let sid = farm.directory_sid(&host_dn(&gone.names[0])).await;
    drop(gone);
    let shown = || {
        samba_tool(&lab, &["service-account", "group-msa-membership", "show", "--name", &farm.name])
            .join("\n")
    };
    assert!(lab.host_reads_password_by_new_ticket("Host4", &farm.name).expect("a try"));

    let done = farm.run("remove-host", hosts(&["Host4", &sid])).await;
    succeeded(&done);
    let result = done.result.expect("a result");
    assert_eq!(outcomes(&result), [("Host4", "removed"), (sid.as_str(), "removed")]);
    assert!(result["accessEnds"].as_str().expect("text").starts_with("at once"), "{result}");
    assert!(!lab.host_reads_password_by_new_ticket("Host4", &farm.name).expect("a try"));
    assert!(lab.host_reads_password("Host1", &farm.name).expect("a try"));
    let list = shown();
    assert!(list.contains(&host_dn("Host1")) && !list.contains(&host_dn("Host4")), "{list}");
    assert!(!list.contains(&sid), "{list}");
    assert!(witness.read(&account_dn(&farm.name), &["cn"]).expect("the DC answers").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_has_another_way_in_is_for_a_person_who_is_told_which() {
    let lab = Lab::from_env();
    let farm = Deployed::by_group(&lab, &["Host1", "Host2"]).await;
    let witness = lab.as_admin();
    let group = farm.group.as_deref().expect("a group");
    // Found by the clean-up, since its name begins with the farm's group's.
    let nested = group_dn(&format!("{group}n"));
    let (member, outer) = (host_dn("Host2"), group_dn(group));
    witness
        .apply(&format!(
            "dn: {nested}\nchangetype: add\nobjectClass: group\nsAMAccountName: {group}n\nmember: {member}\n\n\
             dn: {outer}\nchangetype: modify\nadd: member\nmember: {nested}\n-\n"
        ))
        .expect("a nested group");
    let id = farm.world.submit_for("remove-host", Mode::Apply, Some(&farm.name), hosts(&["Host2"])).await;
    let parked = eventually("a person is asked", Duration::from_secs(40), async || {
        let workflow = farm.world.workflow(id).await;
        assert!(!workflow.state.is_finished(), "{workflow:#?}");
        workflow.waiting.as_ref().is_some_and(|wait| wait.reason == WaitReason::Operator).then_some(workflow)
    })
    .await;
    let error = parked.steps.iter().find_map(|step| step.error.as_ref()).expect("a step that waits");
    assert_eq!(error.code, ErrorCode::HostStillReads);
    assert!(error.message.contains(&outer) && error.message.contains(&nested), "{}", error.message);

    let ldif = format!("dn: {nested}\nchangetype: modify\ndelete: member\nmember: {member}\n-\n");
    witness.apply(&ldif).expect("the way is closed");
    let now = SystemClock.now();
    farm.world.store.act(id, Action::Resume, "a test", now).await.expect("the store answers");
    farm.world.signal.wake();
    succeeded(&farm.world.finishes(id).await);
    assert!(!lab.host_reads_password("Host2", &farm.name).expect("a try"));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_hosts_than_one_write_takes_join_and_leave_in_one_workflow_each() {
    const MANY: usize = 1_010;
    let lab = Lab::from_env();
    let (farm, witness) = (Deployed::by_group(&lab, &["Host1"]).await, lab.as_admin());
    let computers = Computers::new(&lab, "lif", MANY).expect("computers");
    let names: Vec<_> = computers.names.iter().map(String::as_str).collect();
    let done = farm.run("add-host", hosts(&names)).await;
    succeeded(&done);
    let writes =
        done.steps.iter().filter_map(|step| step.outcome.as_ref()).map(|outcome| outcome.writes.len());
    assert_eq!(writes.sum::<usize>(), 2, "1,000 values, then the rest");
    let result = done.result.expect("a result");
    let added: Vec<_> =
        outcomes(&result).into_iter().map(|(name, outcome)| (name, outcome == "added")).collect();
    assert_eq!(
        added,
        names.iter().map(|name| (*name, true)).collect::<Vec<_>>(),
        "in the order of the request"
    );
    assert_eq!(farm.members(&witness).len(), MANY + 1);
    assert_eq!(farm.recorded().await.len(), MANY + 1);

    succeeded(&farm.run("remove-host", hosts(&names)).await);
    assert_eq!(farm.members(&witness), ["Host1"].map(host_dn));
    assert_eq!(farm.recorded().await, ["Host1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_who_add_hosts_to_one_group_at_once_lose_nothing() {
    let lab = Lab::from_env();
    let one = Deployed::by_group(&lab, &["Host1"]).await;
    let (other, witness) = (one.beside(&lab, &["Host1"]).await, lab.as_admin());
    let group = group_dn(one.group.as_deref().expect("a group"));
    let by_hand = tokio::task::spawn_blocking(move || {
        for host in ["Host8", "Host9", "Host10"] {
            let ldif =
                format!("dn: {group}\nchangetype: modify\nadd: member\nmember: {}\n-\n", host_dn(host));
            witness.apply(&ldif).expect("another tool writes too");
        }
    });
    let (_, _, by_hand) = tokio::join!(
        one_after_the_other(&one, &["Host2", "Host3", "Host4"]),
        one_after_the_other(&other, &["Host5", "Host4", "Host6"]),
        by_hand,
    );
    by_hand.expect("the other tool wrote");
    let mut expected =
        ["Host1", "Host2", "Host3", "Host4", "Host5", "Host6", "Host8", "Host9", "Host10"].map(host_dn);
    expected.sort();
    assert_eq!(one.members(&lab.as_admin()), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_who_add_hosts_to_one_reader_list_at_once_lose_nothing() {
    let lab = Lab::from_env();
    let one = Deployed::direct(&lab, &["Host1"]).await;
    let other = one.beside(&lab, &["Host1"]).await;
    tokio::join!(
        one_after_the_other(&one, &["Host2", "Host3", "Host4", "Host5"]),
        one_after_the_other(&other, &["Host6", "Host7", "Host8", "Host5"]),
    );
    let list = samba_tool(&lab, &["service-account", "group-msa-membership", "show", "--name", &one.name])
        .join("\n");
    for host in 1..=8 {
        assert!(list.contains(&host_dn(&format!("Host{host}"))), "Host{host}: {list}");
    }
    assert_eq!(list.matches("CN=Host5,").count(), 1, "each once: {list}");
}

async fn one_after_the_other(farm: &Deployed, names: &[&str]) {
    for name in names {
        succeeded(&farm.run("add-host", hosts(&[name])).await);
    }
}
