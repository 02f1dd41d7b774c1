//! A DC that cannot be reached, is not trusted, or does not let us in.

use std::time::Duration;

use domain::{StepState, WaitReason, Workflow, WorkflowState};
use serde_json::json;
use tests::cluster::{Cluster, FaultyDirectory, manifest, step};
use tests::lab::{Account, Cleanup, Lab};
use tests::process::free_port;
use tests::wait::{eventually, never};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const LIMIT: Duration = Duration::from_secs(60);
/// Long enough for what would be tried again at once, or after a second.
const A_WHILE: Duration = Duration::from_secs(4);

type Env = Vec<(String, String)>;

fn with(mut env: Env, name: &str, value: &str) -> Env {
    env.push((name.to_owned(), value.to_owned()));
    env
}

/// Asks for a farm and gives the workflow once it waits.
async fn waiting(lab: &Lab, names: &mut Cleanup, env: Env) -> (Cluster, Workflow) {
    let cluster = Cluster::on_lab(lab, env).await.start(1, 1).await;
    let id = cluster.submit(&manifest(&names.name("bad"), &names.name("badg"), &["Host1"])).await;
    let waiting = cluster.reaches(&id, &[WorkflowState::Waiting], LIMIT).await;
    assert_eq!(step(&waiting, "preflight").state, StepState::Waiting, "{waiting:#?}");
    assert_eq!(names.found().expect("the DC answers"), Vec::<String>::new(), "nothing was written");
    (cluster, waiting)
}

fn assert_waits(workflow: &Workflow, reason: WaitReason, code: &str, says: &[&str]) {
    let wait = workflow.waiting.as_ref().expect("a reason");
    assert_eq!((wait.reason, wait.until.is_some()), (reason, reason == WaitReason::Retry), "{wait:?}");
    let error = step(workflow, "preflight").error.as_ref().expect("an error");
    assert_eq!(error.code.as_str(), code, "{error:?}");
    for part in says {
        assert!(error.message.contains(part) || error.hint.contains(part), "{part}: {error:?}");
    }
    assert!(!error.hint.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_dc_is_named_and_tried_again() {
    let lab = Lab::from_env();
    let mut names = Cleanup::new(&lab);
    let nowhere = format!("ldaps://127.0.0.1:{}", free_port());
    let env = with(lab.directory_env(&lab.service), "FARMHAND_DIRECTORY_URL", &nowhere);
    let (_cluster, workflow) = waiting(&lab, &mut names, env).await;
    assert_waits(
        &workflow,
        WaitReason::Retry,
        "directory-unreachable",
        &[nowhere.trim_start_matches("ldaps://")],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untrusted_dc_is_not_told_the_password_and_waits_for_a_person() {
    let lab = Lab::from_env();
    let mut names = Cleanup::new(&lab);
    let other = FaultyDirectory::start().await;
    let (_, other_ca) =
        other.env().into_iter().find(|(name, _)| name == "FARMHAND_DIRECTORY_CA_FILE").expect("a CA");
    let env = with(lab.directory_env(&lab.service), "FARMHAND_DIRECTORY_CA_FILE", &other_ca);
    let (cluster, workflow) = waiting(&lab, &mut names, env).await;
    assert_waits(&workflow, WaitReason::Operator, "directory-untrusted", &["FARMHAND_DIRECTORY_CA_FILE"]);
    let watched = cluster.cli(&["workflow", "watch", &workflow.id.to_string(), "-o", "json"]).await;
    assert_eq!(
        (watched.status, &watched.json()["state"]),
        (5, &json!("waiting")),
        "a person is needed: {watched:#?}"
    );
}

/// A person's account under a policy that locks it at the third wrong password; both go with `names`.
fn lockable(lab: &Lab, names: &mut Cleanup) -> Account {
    let (user, policy) = (names.name("bad"), names.name("badp"));
    let dn = format!("CN={user},CN=Users,{}", tests::lab::BASE_DN);
    let witness = lab.as_admin();
    witness
        .apply(&format!(
            "dn: {dn}\nchangetype: add\nobjectClass: user\nsAMAccountName: {user}\nuserAccountControl: 544\n"
        ))
        .expect("an account");
    witness
        .apply(&format!(
            "dn: CN={policy},CN=Password Settings Container,CN=System,{}\nchangetype: add\n\
             objectClass: msDS-PasswordSettings\nmsDS-PasswordSettingsPrecedence: 1\nmsDS-PasswordReversibleEncryptionEnabled: FALSE\n\
             msDS-PasswordHistoryLength: 0\nmsDS-PasswordComplexityEnabled: FALSE\nmsDS-MinimumPasswordLength: 0\n\
             msDS-MinimumPasswordAge: 0\nmsDS-MaximumPasswordAge: -9223372036854775808\nmsDS-LockoutThreshold: 3\n\
             msDS-LockoutObservationWindow: -18000000000\nmsDS-LockoutDuration: -18000000000\nmsDS-PSOAppliesTo: {dn}\n",
            tests::lab::BASE_DN
        ))
        .expect("a policy");
    Account { dn, password: "not its password".to_owned() }
}

fn bad_passwords(lab: &Lab, account: &Account) -> u32 {
    let entry = lab
        .as_admin()
        .read(&account.dn, &["badPwdCount", "lockoutTime"])
        .expect("an answer")
        .expect("the account");
    assert!(entry.text("lockoutTime").is_none_or(|time| time == "0"), "it is locked out: {entry:?}");
    entry.text("badPwdCount").and_then(|count| count.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_tried_once_and_locks_nobody_out() {
    let lab = Lab::from_env();
    let mut names = Cleanup::new(&lab);
    let account = lockable(&lab, &mut names);
    let _ = lab.bound_as(&account).read(&account.dn, &["cn"]).expect_err("a wrong password");
    assert_eq!(bad_passwords(&lab, &account), 1, "the DC counts");
    names.sweep().expect("swept");

    let account = lockable(&lab, &mut names);
    let kept = names.found().expect("the DC answers");
    let cluster = Cluster::on_lab(&lab, lab.directory_env(&account)).await.start(1, 1).await;
    let mut waits = Vec::new();
    for _ in 0..3 {
        let id = cluster.submit(&manifest(&names.name("bad"), &names.name("badg"), &["Host1"])).await;
        waits.push(cluster.reaches(&id, &[WorkflowState::Waiting], LIMIT).await);
    }
    for workflow in &waits {
        assert_waits(workflow, WaitReason::Operator, "directory-login-failed", &["password"]);
    }
    never("more than two wrong passwords", A_WHILE, async || {
        Some(bad_passwords(&lab, &account)).filter(|count| *count > 2)
    })
    .await;
    assert!(bad_passwords(&lab, &account) >= 1);
    assert_eq!(names.found().expect("the DC answers"), kept, "nothing was written");
    assert!(!cluster.workers[0].log().contains(&account.password), "no log holds the password");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_sent_once_whatever_asks_for_a_login() {
    let lab = Lab::from_env();
    let directory = FaultyDirectory::start().await;
    let env = with(directory.env(), "FARMHAND_DIRECTORY_PASSWORD", "not its password");
    let cluster = Cluster::on_lab(&lab, env).await.start(1, 1).await;
    let binds = || {
        let operations = directory.faults.operations();
        operations
            .iter()
            .filter(|operation| operation.kind == directory::embedded::OperationKind::Bind)
            .count()
    };
    for n in 0..5 {
        let id = cluster.submit(&manifest(&format!("bad{n}"), &format!("badg{n}"), &["Host1"])).await;
        cluster.reaches(&id, &[WorkflowState::Waiting], LIMIT).await;
    }
    never("a second bind", A_WHILE, async || Some(binds()).filter(|binds| *binds > 1)).await;
    assert_eq!((binds(), directory.faults.writes().len()), (1, 0));
}

/// StartTLS (RFC 4511, 4.14) refused with protocolError, as by a server that does not know it.
const NO_TLS: [u8; 14] = [0x30, 0x0c, 0x02, 0x01, 0x01, 0x78, 0x07, 0x0a, 0x01, 0x02, 0x04, 0x00, 0x04, 0x00];
const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";

#[tokio::test(flavor = "multi_thread")]
async fn over_plain_ldap_the_password_is_never_sent() {
    let lab = Lab::from_env();
    let mut names = Cleanup::new(&lab);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("ldap://{}", listener.local_addr().expect("its address"));
    let (heard, mut hearing) = tokio::sync::mpsc::unbounded_channel::<Vec<u8>>();
    let server = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let heard = heard.clone();
            tokio::spawn(async move {
                let mut buffer = vec![0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                    let _ = heard.send(buffer[..length].to_vec());
                    let _ = stream.write_all(&NO_TLS).await;
                }
            });
        }
    });
    let env = with(lab.directory_env(&lab.service), "FARMHAND_DIRECTORY_URL", &url);
    let (_cluster, workflow) = waiting(&lab, &mut names, env).await;
    assert_waits(&workflow, WaitReason::Operator, "directory-insecure", &["StartTLS", "ldaps://"]);
    let mut all = Vec::new();
    eventually("the server heard something", LIMIT, async || {
        while let Ok(bytes) = hearing.try_recv() {
            all.extend(bytes);
        }
        (!all.is_empty()).then_some(())
    })
    .await;
    never("a bind in the clear", A_WHILE, async || {
        while let Ok(bytes) = hearing.try_recv() {
            all.extend(bytes);
        }
        let has = |part: &[u8]| all.windows(part.len()).any(|window| window == part);
        (has(lab.service.password.as_bytes()) || has(lab.service.dn.as_bytes())).then_some(())
    })
    .await;
    let started = all.windows(START_TLS.len()).filter(|window| *window == START_TLS).count();
    assert!(started >= 1, "TLS is asked for before anything else");
    server.abort();
}
