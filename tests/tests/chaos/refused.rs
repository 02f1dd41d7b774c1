//! A right that is not there, or not there any more.

use std::process::Command;
use std::time::Duration;

use directory::ResultCode;
use directory::embedded::{Fault, FaultKind, OperationKind};
use domain::{ErrorCode, StepState, WorkflowState};
use tests::cluster::{Cluster, FaultyDirectory, changed, deployed, manifest, step};
use tests::lab::{Cleanup, GMSA_CONTAINER, GROUP_CONTAINER, HOST_CONTAINER, Lab, unique_name};
use tests::private::PrivateDc;
use tests::proxy::Proxy;
use tests::wait::eventually;

use super::{LIMIT, SERVICES};

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_missing_is_found_before_the_first_write() {
    let lab = Lab::from_env();
    let mut names = Cleanup::new(&lab);
    let (name, group) = (names.name("lim"), names.name("limg"));
    let cluster = Cluster::on_lab(&lab, lab.directory_env(&lab.limited)).await.start(1, 1).await;
    let id = cluster.submit(&manifest(&name, &group, &["Host1"])).await;
    let failed = cluster.finishes(&id, LIMIT).await;
    assert_eq!(failed.state, WorkflowState::Failed, "{failed:#?}");
    let error = failed.error.as_ref().expect("an error");
    assert_eq!(error.code, ErrorCode::RightsMissing, "{error:?}");
    assert!(error.message.contains(GMSA_CONTAINER) && error.hint.contains("dsacls"), "{error:?}");
    assert_eq!(error.violations[0].field, "spec.account.container");
    assert_eq!(step(&failed, "preflight").state, StepState::Failed);
    assert!(failed.steps[1..].iter().all(|step| step.state == StepState::Pending), "{failed:#?}");
    assert_eq!(names.found().expect("the DC answers"), Vec::<String>::new(), "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_in_the_middle_takes_back_what_is_ours_and_leaves_what_stood_before() {
    let lab = Lab::from_env();
    let directory = FaultyDirectory::start().await;
    let cluster = Cluster::on_lab(&lab, directory.env()).await.start(1, 1).await;
    let witness = directory.witness();
    let [fresh, standing] = [unique_name("refg"), unique_name("refg")];
    let dn = format!("CN={standing},{GROUP_CONTAINER}");
    let foreign = [format!("CN=Host1,{HOST_CONTAINER}"), format!("CN=Host9,{HOST_CONTAINER}")];
    witness
        .apply(&format!(
            "dn: {dn}\nchangetype: add\nobjectClass: group\nsAMAccountName: {standing}\ndescription: of somebody else\n\
             member: {}\nmember: {}\n",
            foreign[0], foreign[1]
        ))
        .expect("a group");
    for group in [&fresh, &standing] {
        let name = unique_name("ref");
        let denied =
            FaultKind::Refuse(ResultCode::INSUFFICIENT_ACCESS_RIGHTS, "00002098: refused".to_owned());
        directory.faults.inject(Fault::once(OperationKind::Add, denied).on(&format!("CN={name},")));
        let id = cluster.submit(&manifest(&name, group, &["Host1", "Host2"])).await;
        let done = cluster.finishes(&id, LIMIT).await;
        assert_eq!(done.state, WorkflowState::Unwound, "{done:#?}");
        let error = done.error.as_ref().expect("an error");
        assert_eq!(error.code, ErrorCode::RightsMissing);
        assert!(
            error.hint.contains("msDS-GroupManagedServiceAccount"),
            "the missing right is named: {error:?}"
        );
        assert_eq!(step(&done, "ensure-members").state, StepState::Undone, "{done:#?}");
        assert_eq!(step(&done, "ensure-gmsa").state, StepState::Failed, "{done:#?}");
        assert_eq!(
            step(&done, "ensure-group").state,
            if group == &fresh { StepState::Undone } else { StepState::Succeeded }
        );
        assert_eq!(witness.read(&format!("CN={name},{GMSA_CONTAINER}"), &[]).expect("an answer"), None);
    }
    assert_eq!(deployed(&witness, "nobody", &fresh), None, "the group that we made is gone");
    let left = witness
        .read(&dn, &["member", "description"])
        .expect("an answer")
        .expect("the group that stood before");
    assert_eq!(left.texts("member"), foreign);
    assert_eq!(left.text("description").as_deref(), Some("of somebody else"));
}

/// Puts a deny entry for the delegated account before all others of the gMSA container.
fn take_the_right_away(dc: &Lab) {
    let witness = dc.as_admin();
    let account = witness.read(&dc.service.dn, &["objectSid"]).expect("an answer").expect("the account");
    let sid = domain::Sid::from_bytes(&account.values("objectSid")[0]).expect("a SID");
    let name = dc.admin.dn.split([',', '=']).nth(1).expect("a name").to_owned();
    // Sealed by NTLM: samba-tool's own TLS wants a revocation list.
    let address = dc.directory_url.trim_start_matches("ldaps://").trim_end_matches(":636");
    let folder = dc.ca_file.ancestors().nth(2).expect("the folder of the DC");
    let output = Command::new("samba-tool")
        .args(["dsacl", "set", "-H", &format!("ldap://{address}"), "--objectdn", GMSA_CONTAINER])
        .args(["--sddl", &format!("(OD;;CC;7b8b558a-93a5-4af7-adca-c017e67f1057;;{sid})")])
        .args(["-U", &format!("{name}%{}", dc.admin.password), "--use-kerberos=off"])
        .env("SMB_CONF_PATH", folder.join("client.conf"))
        .env("KRB5_CONFIG", folder.join("krb5.conf"))
        .output()
        .expect("samba-tool");
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_taken_away_on_the_real_dc_in_the_middle_is_unwound() {
    let _turn = SERVICES.lock().await;
    let lab = Lab::from_env();
    let dc = PrivateDc::start(&lab).await;
    let address = dc.lab.directory_url.trim_start_matches("ldaps://").to_owned();
    let proxy = Proxy::start(address.clone()).await;
    let mut env = dc.lab.directory_env(&dc.lab.service);
    let url = |host: &str, port: u16| format!("ldaps://{host}:{port}");
    env.extend([
        ("FARMHAND_DIRECTORY_URL".to_owned(), url("localhost", proxy.port())),
        ("FARMHAND_DIRECTORY_GLOBAL_CATALOG_URL".to_owned(), url(address.trim_end_matches(":636"), 3269)),
    ]);
    let cluster = Cluster::on_lab(&lab, env).await.start(1, 1).await;
    let (name, group) = (unique_name("los"), unique_name("losg"));
    // Slow enough that the group is seen long before the account is asked for; then nothing moves
    // until the right is gone.
    proxy.delay(Duration::from_millis(40));
    let id = cluster.submit(&manifest(&name, &group, &["Host1", "Host2"])).await;
    let witness = dc.lab.as_admin();
    eventually("the group", LIMIT, async || deployed(&witness, &name, &group)).await;
    proxy.hold();
    take_the_right_away(&dc.lab);
    proxy.heal();
    let done = cluster.finishes(&id, LIMIT).await;
    assert_eq!(done.state, WorkflowState::Unwound, "{done:#?}");
    assert_eq!(done.error.as_ref().map(|error| error.code), Some(ErrorCode::RightsMissing), "{done:#?}");
    assert_eq!(step(&done, "ensure-gmsa").state, StepState::Failed);
    assert_eq!(step(&done, "ensure-group").state, StepState::Undone);
    assert_eq!(changed(&done), ["ensure-group", "ensure-members"]);
    assert_eq!(deployed(&witness, &name, &group), None, "nothing of ours is left");
}
