//! Real programs, well-behaved and not.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use domain::{AccountName, DnsHostName, HostActionKind, MemberHost};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

/// Longer than any of these programs needs on a busy machine.
const PATIENT: Duration = Duration::from_secs(60);

fn action(kind: HostActionKind) -> HostAction {
    let sid = "S-1-5-21-1-2-3-1104".parse().expect("valid");
    let dns_host_name = DnsHostName::parse("host1.contoso.com").ok();
    let host = MemberHost { name: "Host1".into(), sid, dns_host_name };
    HostAction { kind, host, account: AccountName::parse("ITFarm1").expect("valid") }
}

/// A script in a folder of its own. It is given to the shell and not started itself: a file that
/// another thread's fork still has open for writing cannot be executed.
struct Script(TempDir);

impl Script {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("script"), text).expect("written");
        Self(folder)
    }
    fn path(&self) -> PathBuf {
        self.0.path().join("script")
    }
    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    fn command(&self, timeout: Duration) -> Command {
        let path = ("PATH".into(), "/usr/bin:/bin".into());
        let folder = ("FOLDER".into(), self.0.path().into());
        Command::new("/bin/sh", timeout).arguments([self.path()]).environment([path, folder])
    }
    async fn says(&self) -> HostAnswer {
        self.command(PATIENT).act(&action(HostActionKind::Test)).await
    }
    async fn fails(&self) -> String {
        match self.says().await {
            HostAnswer::Failed { detail } => detail,
            other => panic!("{other:?}"),
        }
    }
}

async fn failure(script: &str) -> String {
    Script::new(script).fails().await
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("readable")).expect("JSON")
}

#[tokio::test]
async fn the_program_gets_the_action_and_its_answer_counts() {
    let script = Script::new(
        r#"cat > "$FOLDER/request"; env > "$FOLDER/environment"
        printf '%s' '{"outcome": "succeeded", "detail": "installed\n on Host1"}'"#,
    );
    let restart = action(HostActionKind::RestartService { service: "W3SVC".into() });
    let answer = script.command(PATIENT).act(&restart).await;
    assert_eq!(answer, HostAnswer::Succeeded { detail: "installed on Host1".into() });
    let expected = json!({
        "version": 1, "action": "restart-service", "service": "W3SVC", "account": "ITFarm1",
        "host": {"name": "Host1", "sid": "S-1-5-21-1-2-3-1104", "dnsHostName": "host1.contoso.com"},
    });
    assert_eq!(read(&script.file("request")), expected);
    let environment = std::fs::read_to_string(script.file("environment")).expect("written");
    assert!(environment.contains("PATH=/usr/bin:/bin"), "{environment}");
    assert!(!environment.contains("HOME=") && !environment.contains("CARGO"), "{environment}");
}

#[tokio::test]
async fn a_failure_that_the_program_names_is_the_detail() {
    assert_eq!(
        failure(r#"echo '{"outcome":"failed","detail":"no route to host"}'"#).await,
        "no route to host"
    );
    assert!(failure(r#"echo '{"outcome":"failed"}'"#).await.contains("not why"));
}

#[tokio::test]
async fn every_other_answer_is_a_failure_that_says_what_is_wrong() {
    for (script, expected) in [
        ("exit 3", "exit status: 3"),
        ("echo 'no such host' >&2; exit 3", "standard error: no such host"),
        (r#"echo '{"outcome":"succeeded"}'; exit 1"#, "exit status: 1"),
        ("kill -TERM $$", "signal: 15"),
        ("true", "printed no answer"),
        ("echo 'oops' >&2", "oops"),
        ("echo hello", "cannot be understood"),
        (r#"printf '\377\376'"#, "cannot be understood"),
        (r#"echo '{"outcome":"maybe"}'"#, "maybe"),
        (r#"echo '{"outcome":"succeeded","surprise":1}'"#, "surprise"),
        (r#"echo '{"outcome":"succeeded"}{"outcome":"failed"}'"#, "cannot be understood"),
        ("echo '[]'", "cannot be understood"),
        ("echo '{}'", "outcome"),
    ] {
        let detail = failure(script).await;
        assert!(detail.contains(expected), "{script}: {detail}");
    }
}

#[tokio::test]
async fn a_program_that_does_not_read_its_input_is_heard_all_the_same() {
    let deaf = Script::new(r#"exec 0<&-; echo '{"outcome":"succeeded"}'"#);
    assert_eq!(deaf.says().await, HostAnswer::Succeeded { detail: String::new() });
}

#[tokio::test]
async fn a_program_that_talks_while_it_works_is_waited_for() {
    let slow = r#"echo '{"outcome":'; read -r request; for i in 1 2 3; do sleep 0.1; echo; done
        exec 2>&-; echo '"succeeded"}'"#;
    assert_eq!(Script::new(slow).says().await, HostAnswer::Succeeded { detail: String::new() });
}

#[tokio::test]
async fn endless_output_is_cut_and_the_program_ended() {
    let detail = failure("exec yes").await;
    assert!(detail.contains("more than 64 KiB"), "{detail}");
    let loud = Script::new(r#"yes complaint | head -c 300000 >&2; echo '{"outcome":"succeeded"}'"#);
    assert!(matches!(loud.says().await, HostAnswer::Succeeded { .. }));
    let detail = failure("yes complaint | head -c 300000 >&2; echo the end >&2; exit 1").await;
    assert!(detail.len() < 2_000 && detail.contains("complaint"), "{detail}");
}

#[tokio::test]
async fn a_program_that_does_not_end_is_killed_with_all_that_it_started() {
    let script = Script::new(
        r#"sleep 600 & echo $! > "$FOLDER/child.new"; mv "$FOLDER/child.new" "$FOLDER/child"; wait"#,
    );
    // It must have got as far as starting its child, however busy the machine is.
    let mut seconds = 1;
    let child = loop {
        let answer = script.command(Duration::from_secs(seconds)).act(&action(HostActionKind::Install)).await;
        let HostAnswer::Failed { detail } = answer else { panic!("{answer:?}") };
        assert!(detail.contains(&format!("within {seconds} s")), "{detail}");
        match std::fs::read_to_string(script.file("child")) {
            Ok(child) => break child,
            Err(_) => seconds *= 2,
        }
        assert!(seconds < 100, "the script never began");
    };
    assert!(gone(child.trim()).await, "the child {child} is still there");
}

#[tokio::test]
async fn a_program_ends_with_the_step_that_asked() {
    let script = Script::new(r#"echo $$ > "$FOLDER/own.new"; mv "$FOLDER/own.new" "$FOLDER/own"; sleep 600"#);
    let asking = tokio::spawn({
        let command = script.command(PATIENT);
        async move { command.act(&action(HostActionKind::Install)).await }
    });
    let begun = Instant::now();
    let own = loop {
        if let Ok(own) = std::fs::read_to_string(script.file("own")) {
            break own;
        }
        assert!(begun.elapsed() < PATIENT, "the script never began");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    asking.abort();
    assert!(asking.await.is_err());
    assert!(gone(own.trim()).await, "the program {own} is still there");
}

#[tokio::test]
async fn a_process_left_behind_does_not_hold_the_answer_back() {
    let script = Script::new(r#"sleep 600 & echo $! > "$FOLDER/child"; echo '{"outcome":"succeeded"}'"#);
    assert!(matches!(script.says().await, HostAnswer::Succeeded { .. }));
    let child = std::fs::read_to_string(script.file("child")).expect("written");
    let child = child.trim().parse().ok().and_then(Pid::from_raw).expect("an id");
    rustix::process::kill_process(child, Signal::KILL).expect("it was left alone");
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_named() {
    let script = Script::new("");
    std::fs::set_permissions(script.path(), std::fs::Permissions::from_mode(0o644)).expect("set");
    for program in [script.path(), script.file("missing"), script.0.path().to_owned()] {
        let command = Command::new(program.clone(), PATIENT);
        let HostAnswer::Failed { detail } = command.act(&action(HostActionKind::Install)).await else {
            panic!("it cannot succeed")
        };
        assert!(detail.contains(&program.display().to_string()), "{detail}");
        assert!(detail.contains("cannot be started"), "{detail}");
    }
}

#[test]
fn a_foreign_text_becomes_one_bounded_line() {
    assert_eq!(readable(" a\u{0}b\r\n\tc\u{1b}[31m "), "a b c [31m");
    let long = readable(&"ä".repeat(3_000));
    assert!(long.ends_with(" ...") && long.chars().count() == MAX_DETAIL + 4);
}

#[test]
fn a_secret_among_the_arguments_is_not_shown() {
    let command = Command::new("/opt/act", PATIENT).arguments(["--password=hunter2"]);
    assert_eq!(format!("{command:?}"), "Command(/opt/act, 60s)");
}

/// Killed and reaped, or at least nothing but a zombie that waits for its parent.
async fn gone(id: &str) -> bool {
    let begun = Instant::now();
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest.starts_with('Z'));
        if state.unwrap_or(true) {
            return true;
        }
        if begun.elapsed() > PATIENT {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
