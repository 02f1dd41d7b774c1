//! A farm becomes what its changed manifest asks for, and no host is cut off on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use domain::{Clock, ErrorCode, Mode, SystemClock, WaitReason, WorkflowState};
use serde_json::{Value, json};
use store::Action;
use tests::wait::eventually;
use workers::StepContext;

use super::import::Setup;

fn input(manifest: Value) -> Value {
    let manifest: domain::FarmManifest = serde_json::from_value(manifest).expect("a manifest's form");
    serde_json::to_value(manifest.validate().expect("a valid farm")).expect("serialises")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_dns_name_takes_its_spns_along_keeps_the_alias_that_is_asked_for_and_can_be_taken_back() {
    let setup = Setup::new().await;
    let mut manifest = setup.manifest(&setup.by_group(), &["Host1"]);
    setup.succeeds("deploy", input(manifest.clone())).await;
    let spns = setup.texts("servicePrincipalName");
    let (old, new) = (format!("{}.contoso.com", setup.name), format!("{}x.contoso.com", setup.name));

    let account = &mut manifest["spec"]["account"];
    account["dnsHostName"] = json!(new);
    account["servicePrincipalNames"] =
        json!([format!("http/{old}"), format!("http/{new}"), format!("MSSQLSvc/{new}:1433")]);
    account["homePage"] = json!("https://farm");
    account["accountNotDelegated"] = json!(true);
    account.as_object_mut().expect("an object").remove("description");
    let done = setup.succeeds("update", input(manifest.clone())).await;
    assert_eq!(setup.texts("dNSHostName"), std::slice::from_ref(&new));
    let mut expected = vec![format!("MSSQLSvc/{new}:1433"), format!("http/{old}"), format!("http/{new}")];
    expected.sort();
    assert_eq!(setup.texts("servicePrincipalName"), expected);
    assert_eq!(setup.texts("userAccountControl"), ["1052672"]);
    assert_eq!(
        (setup.texts("wWWHomePage"), setup.texts("description")),
        (vec!["https://farm".to_owned()], vec![])
    );
    assert_eq!(setup.inspected().await["differences"], json!([]));

    let again = setup.succeeds("update", input(manifest)).await.result.expect("a result");
    assert_eq!(again["changed"], json!(false));
    assert!(again["summary"].as_str().expect("a summary").starts_with("nothing to change"), "{again}");

    // What an unwinding does: the DC rewrites SPNs on the way back as well.
    let runbook = setup.world.registry.get(&done.kind).expect("registered").clone();
    let cx = StepContext::new(
        done.id,
        done.directory.clone(),
        Mode::Apply,
        setup.world.environment(),
        json!({}),
        None,
    );
    for (step, record) in runbook.steps.iter().zip(&done.steps).rev() {
        let writes = record.outcome.as_ref().map(|outcome| outcome.writes.clone()).unwrap_or_default();
        step.undo(&cx, &writes).await.expect("undone");
    }
    assert_eq!((setup.texts("dNSHostName"), setup.texts("servicePrincipalName")), (vec![old], spns));
    assert_eq!(setup.texts("description"), ["of a test"]);
}

/// A member host that asks for the password as itself, again and again.
struct Poll {
    stop: Arc<AtomicBool>,
    tried: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
    thread: std::thread::JoinHandle<()>,
}

impl Poll {
    fn start(setup: &Setup, host: &'static str) -> Self {
        let (stop, tried, failed) = <(Arc<AtomicBool>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let (lab, name) = (tests::lab::Lab::from_env(), setup.name.clone());
        let (stopped, counted, bad) = (stop.clone(), tried.clone(), failed.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                if !lab.host_reads_password(host, &name).expect("a try") {
                    bad.fetch_add(1, Ordering::SeqCst);
                }
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { stop, tried, failed, thread }
    }

    /// A whole try that began after now.
    async fn once_more(&self) {
        let before = self.tried.load(Ordering::SeqCst);
        eventually("another try", Duration::from_secs(30), async || {
            (self.tried.load(Ordering::SeqCst) >= before + 2).then_some(())
        })
        .await;
    }

    fn end(self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("the host went on asking");
        self.failed.load(Ordering::SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_of_membership_and_back_cuts_no_host_off() {
    let setup = Setup::new().await;
    let by_group = setup.manifest(&setup.by_group(), &["Host1", "Host2"]);
    setup.succeeds("deploy", input(by_group.clone())).await;
    let poll = Poll::start(&setup, "Host1");
    poll.once_more().await;

    let direct = setup.manifest(&json!({ "mode": "direct" }), &["Host1", "Host2"]);
    let switched = setup.succeeds("update", input(direct)).await.result.expect("a result");
    let group = format!("CN={},{}", setup.group, tests::lab::GROUP_CONTAINER);
    assert_eq!((&switched["group"], &switched["groupLeftStanding"]), (&Value::Null, &json!(group)));
    let inspected = setup.inspected().await;
    assert_eq!(inspected["differences"], json!([]), "{inspected:#}");
    poll.once_more().await;

    // Back: the hosts' tickets may not know the group, so a person's word is waited for.
    let id = setup.world.submit_for("update", Mode::Apply, Some(&setup.name), input(by_group)).await;
    let waiting = setup.world.reaches(id, &[WorkflowState::Waiting]).await;
    let wait = waiting.waiting.expect("a wait");
    assert_eq!(wait.reason, WaitReason::Operator, "{wait:?}");
    assert!(wait.detail.contains("klist -li 0x3e7 purge"), "{wait:?}");
    poll.once_more().await;
    setup.world.store.act(id, Action::Resume, "a test", SystemClock.now()).await.expect("resumed");
    setup.world.signal.wake();
    let back = setup.world.finishes(id).await;
    assert_eq!(back.state, WorkflowState::Succeeded, "{:#?}", back.error);
    poll.once_more().await;
    assert_eq!(poll.end(), 0, "the host could always read");
    let inspected = setup.inspected().await;
    assert_eq!(inspected["differences"], json!([]), "{inspected:#}");
    assert!(!setup.lab.host_reads_password("Host3", &setup.name).expect("a try"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dc_or_an_account_does_not_allow_is_refused_with_the_reason_and_nothing_changes() {
    let setup = Setup::new().await;
    let manifest = setup.manifest(&setup.by_group(), &["Host1"]);
    setup.succeeds("deploy", input(manifest.clone())).await;
    let usn = setup.texts("uSNChanged");
    let with = |field: &str, value: Value| {
        let mut changed = manifest.clone();
        changed["spec"]["account"][field] = value;
        input(changed)
    };
    let host = "http/Host1.contoso.com";
    for (changed, code, says) in [
        (
            with("trustedForDelegation", json!(true)),
            ErrorCode::DirectoryRefused,
            "trust an account for delegation",
        ),
        (with("managedPasswordIntervalInDays", json!(60)), ErrorCode::IntervalFixed, "60 days are asked for"),
        (with("samAccountName", json!("other")), ErrorCode::UpdateRefused, "does not rename"),
        (with("servicePrincipalNames", json!([host])), ErrorCode::SpnConflict, "Host1"),
    ] {
        let failed = setup.run("update", changed).await;
        let error = failed.error.expect("an error");
        assert_eq!((failed.state, error.code), (WorkflowState::Failed, code), "{error}");
        assert!(error.message.contains(says), "{error}");
    }
    assert_eq!(setup.texts("uSNChanged"), usn);
}
