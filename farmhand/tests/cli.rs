//! The real binary: exit statuses, the one document on standard output, and `up` from an empty
//! folder to a deployed farm and back after a restart.

mod kit;

use std::process::Command;

use kit::{Farmhand, Up};
use serde_json::{Value, json};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/samples/itfarm1.yaml");
const OUTBOUND: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/samples/outbound.yaml");

#[test]
fn a_usage_error_is_2() {
    let farmhand = Farmhand::new();
    for line in [&["deploy"][..], &["banana"], &["worker", "--lanes", "x"], &["workflow", "show", "7"]] {
        assert_eq!(farmhand.run(line).status, 2, "{line:?}");
    }
    let none = farmhand.write("hosts.txt", "# nobody\n\n");
    let none = farmhand.run(&["add-host", "ITFarm1", "--hosts-file", &none, "-o", "json"]);
    assert_eq!((none.status, none.code()), (2, "usage".to_owned()));
    let missing = farmhand.run(&["deploy", "-f", "/nowhere/farm.yaml", "-o", "json"]);
    assert_eq!((missing.status, missing.code()), (2, "usage".to_owned()));
}

#[test]
fn a_server_that_is_not_there_is_3() {
    let farmhand = Farmhand::new();
    let answer = farmhand.run(&["farm", "list", "--url", "http://127.0.0.1:1", "-o", "json"]);
    assert_eq!((answer.status, answer.code()), (3, "server-unreachable".to_owned()));
    let people = farmhand.run(&["farm", "list", "--url", "http://127.0.0.1:1"]);
    assert!(
        people.stderr.contains("error[server-unreachable]") && people.stderr.contains("hint: "),
        "{people:?}"
    );
    assert_eq!(people.stdout, "");
}

#[test]
fn a_manifest_with_a_syntax_error_is_4_and_names_line_and_column() {
    let farmhand = Farmhand::new();
    let path = farmhand.write("farm.yaml", "apiVersion: farmhand/v1\nkind: Farm\nmetadata: [\n");
    let answer = farmhand.run(&["deploy", "-f", &path, "-o", "json"]);
    assert_eq!((answer.status, answer.code()), (4, "invalid-manifest".to_owned()));
    let detail = answer.json()["detail"].as_str().expect("text").to_owned();
    let place =
        detail.strip_prefix(&path).and_then(|rest| rest.strip_prefix(':')).expect("the file's name first");
    assert!(place.split(':').take(2).all(|part| part.parse::<u32>().is_ok()), "{detail}");
}

#[test]
fn an_invalid_configuration_is_4_and_shows_no_secret() {
    let farmhand = Farmhand::new().env("FARMHAND_DATABSE_URL", "postgres://hunter2@db");
    let answer = farmhand.run(&["config", "check"]);
    assert_eq!(answer.status, 4);
    assert!(answer.stderr.contains("did you mean FARMHAND_DATABASE_URL?"), "{answer:?}");
    assert!(!answer.stderr.contains("hunter2"), "{answer:?}");
}

#[test]
fn config_check_explains_every_value_and_hides_secrets() {
    let farmhand = Farmhand::new()
        .env("FARMHAND_DATABASE_URL", "postgres://fh:hunter2@db/x")
        .env("FARMHAND_TOKEN", "hunter2");
    let answer = farmhand.run(&["config", "check", "-o", "json"]);
    assert_eq!(answer.status, 0, "{answer:?}");
    let document = answer.json();
    let settings = document["settings"].as_array().expect("settings");
    let url = settings.iter().find(|row| row["key"] == "database.url").expect("there");
    assert_eq!(url["value"], "postgres://fh:***@db/x");
    assert_eq!(url["source"], "environment variable FARMHAND_DATABASE_URL");
    assert!(!answer.stdout.contains("hunter2"));
    assert!(!farmhand.run(&["config", "check"]).stdout.contains("hunter2"));
}

#[test]
fn a_worker_without_shared_parts_is_refused_with_what_to_set() {
    let farmhand = Farmhand::new();
    for command in ["worker", "orchestrator"] {
        let answer = farmhand.run(&[command]);
        assert_eq!(answer.status, 4, "{answer:?}");
        assert!(answer.stderr.contains("FARMHAND_DATABASE_URL"), "{answer:?}");
    }
}

#[test]
fn documents_are_valid_json() {
    let farmhand = Farmhand::new();
    let openapi = farmhand.run(&["openapi"]).json();
    assert!(openapi["paths"]["/api/v1/farms"]["post"].is_object(), "{openapi}");
    assert!(farmhand.run(&["asyncapi"]).json()["channels"].is_object());
    assert!(farmhand.run(&["completions", "bash"]).stdout.contains("farmhand"));
}

#[test]
fn from_an_empty_folder_to_a_farm_that_survives_a_restart() {
    let farmhand = Farmhand::new();
    let up = Up::start(&farmhand);
    assert_eq!(up.ready["database"]["embedded"], true);
    assert_eq!(up.ready["directories"]["embedded"], true);

    let plan = farmhand.run_at(&up, &["deploy", "-f", SAMPLE, "--plan"]);
    assert_eq!(plan.status, 0, "{plan:?}");
    for expected in [
        "servicePrincipalName",
        "msDS-GroupMSAMembership",
        "http/ITFarm1/contoso.com",
        "Nothing was written.",
    ] {
        assert!(plan.stdout.contains(expected), "{expected} in {}", plan.stdout);
    }

    let first = farmhand.run_at(&up, &["deploy", "-f", SAMPLE, "--wait", "-o", "json"]);
    assert_eq!(first.status, 0, "{first:?}");
    assert_eq!(first.json()["state"], "succeeded");
    assert!(changed(&first.json()) > 0, "a dry run before it wrote nothing, so there was something to do");
    assert!(first.stderr.contains("embedded directory"), "{first:?}");

    let second = farmhand.run_at(&up, &["deploy", "-f", SAMPLE, "--wait", "-o", "json"]);
    assert_eq!((second.status, changed(&second.json())), (0, 0), "{second:?}");

    let farms = farmhand.run_at(&up, &["farm", "list", "-o", "json"]).json();
    assert_eq!(farms["items"][0]["name"], "ITFarm1");
    let recorded = farmhand.run_at(&up, &["farm", "show", "ITFarm1", "--recorded", "-o", "json"]).json();
    assert_eq!((&recorded["state"], &recorded["live"]), (&"deployed".into(), &Value::Null));
    for (filter, found) in [
        (["--host", "host2$"], 3),
        (["--directory", "default"], 3),
        (["--since", "2020-01-01T00:00:00Z"], 3),
        (["--until", "2020-01-01T00:00:00+01:00"], 0),
    ] {
        let line = [&["workflow", "list", "--kind", "deploy", "-o", "json"], &filter[..]].concat();
        let listed = farmhand.run_at(&up, &line).json();
        assert_eq!(listed["items"].as_array().map(Vec::len), Some(found), "{filter:?}");
    }
    assert_eq!(up.stop(), 0);

    let again = Up::start(&farmhand);
    let shown = farmhand.run_at(&again, &["farm", "show", "ITFarm1", "-o", "json"]);
    assert_eq!((shown.status, shown.json()["state"].clone()), (0, "deployed".into()), "{shown:?}");
    let third = farmhand.run_at(&again, &["deploy", "-f", SAMPLE, "--wait", "-o", "json"]);
    assert_eq!((third.status, changed(&third.json())), (0, 0), "the directory kept its state: {third:?}");
    assert_eq!(again.stop(), 0);
}

fn changed(workflow: &Value) -> usize {
    workflow["steps"].as_array().expect("steps").iter().filter(|step| step["changed"] == true).count()
}

#[test]
fn what_the_server_refuses_is_4_and_what_fails_is_1() {
    let farmhand = Farmhand::new();
    let up = Up::start(&farmhand);
    let sample = std::fs::read_to_string(SAMPLE).expect("the sample");

    let bad = farmhand.write(
        "bad.yaml",
        &sample.replace("managedPasswordIntervalInDays: 30", "managedPasswordIntervalInDays: 0"),
    );
    let refused = farmhand.run_at(&up, &["deploy", "-f", &bad, "-o", "json"]);
    assert_eq!((refused.status, refused.code()), (4, "invalid-manifest".to_owned()), "{refused:?}");
    assert_eq!(refused.json()["errors"][0]["field"], "spec.account.managedPasswordIntervalInDays");

    let unknown =
        farmhand.write("unknown.yaml", &sample.replace("[Host1, Host2, Host3]", "[Host1, NoSuchHost]"));
    let failed = farmhand.run_at(&up, &["deploy", "-f", &unknown, "--wait", "-o", "json"]);
    assert_eq!(failed.status, 1, "{failed:?}");
    assert_eq!(failed.json()["error"]["code"], "host-not-found", "{failed:?}");

    let id = failed.json()["id"].as_str().expect("an id").to_owned();
    for (line, status, code) in [
        (&["add-host", "Nobody", "Host1"][..], 4, "farm-not-deployed"),
        (&["remove-host", "Nobody", "Host1", "--plan"], 4, "farm-not-deployed"),
        (&["add-host", "Nobody", "a/b"], 4, "invalid-request"),
        (&["update", "-f", OUTBOUND], 4, "farm-not-deployed"),
        (&["update", "-f", SAMPLE, "--directory", "lab"], 2, "usage"),
        (&["decommission", "Nobody", "--cool-down", "1d"], 4, "farm-not-deployed"),
        (&["decommission", "Nobody", "--cool-down", "soon"], 4, "invalid-request"),
        (&["replace", "Nobody", "--interval", "0"], 4, "invalid-request"),
        (&["farm", "import", "Nobody", "--directory", "lab"], 4, "directory-unknown"),
        (&["workflow", "approve", &id], 4, "illegal-transition"),
        (&["workflow", "approve", &id, "--plan-hash", "5f1e"], 4, "illegal-transition"),
        (&["workflow", "reject", &id, "--reason", "no"], 4, "illegal-transition"),
        (&["workflow", "ack", &id, "nowhere", "--outcome", "skipped"], 2, "usage"),
        (&["workflow", "ack", &id, "1", "--outcome", "skipped"], 4, "illegal-transition"),
    ] {
        let answer = farmhand.run_at(&up, &[line, &["-o", "json"]].concat());
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{line:?}: {answer:?}");
    }

    let missing = farmhand.run_at(&up, &["farm", "show", "Nobody", "-o", "json"]);
    assert_eq!((missing.status, missing.code()), (4, "not-found".to_owned()));

    let stranger = Farmhand::new().env("FARMHAND_TOKEN", &format!("fh_{}", "0".repeat(64)));
    let forbidden = stranger.run_at(&up, &["farm", "list", "-o", "json"]);
    assert_eq!((forbidden.status, forbidden.code()), (4, "unauthenticated".to_owned()), "{forbidden:?}");
    let nobody = Farmhand::new().run_at(&up, &["farm", "list"]);
    assert!(nobody.status == 4 && nobody.stderr.contains("admin-token"), "{nobody:?}");
}

#[test]
fn what_is_asked_about_compromised_hosts_is_refused_by_its_rules() {
    let farmhand = Farmhand::new();
    let up = Up::start(&farmhand);
    let id = "0199c0de-0000-7000-8000-000000000000";
    for (line, status, code) in [
        (&["compromise-removal", "a/b"][..], 4, "invalid-request"),
        (&["compromise-removal", "Host1", "--farm", "Nobody"], 4, "farm-not-deployed"),
        (&["compromise-removal", "Host1", "--directory", "lab"], 4, "directory-unknown"),
        (&["compromise-removal", "--kds-root-key", "banana"], 4, "invalid-request"),
        (&["incident", "show", id], 4, "not-found"),
        (&["recover", id, "ITFarm1=wait"], 4, "not-found"),
        (&["recover", id, "ITFarm1=wait", "ITFarm1=replace"], 2, "usage"),
        (&["quarantine", "show", "Host1"], 4, "not-quarantined"),
        (&["quarantine", "release", "Host1", "--reason", "clean"], 4, "not-quarantined"),
        (&["quarantine", "release", "Host1"], 4, "invalid-request"),
        (&["workflow", "report", id], 4, "not-found"),
        (&["workflow", "report", id, "--html"], 2, "usage"),
    ] {
        let answer = farmhand.run_at(&up, &[line, &["-o", "json"]].concat());
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{line:?}: {answer:?}");
    }
    for line in [&["incident", "list"][..], &["quarantine", "list", "--released"]] {
        let listed = farmhand.run_at(&up, &[line, &["-o", "json"]].concat());
        assert_eq!((listed.status, &listed.json()["items"]), (0, &serde_json::json!([])), "{listed:?}");
    }
    let people = farmhand.run_at(&up, &["quarantine", "list"]);
    assert!(people.stdout.contains("no host is under quarantine"), "{people:?}");
    let made = farmhand
        .run_at(&up, &["token", "create", "--principal", "olaf", "--roles", "operator", "-o", "json"])
        .json();
    let operator = Farmhand::new().env("FARMHAND_TOKEN", made["secret"].as_str().expect("a secret"));
    let forbidden = operator.run_at(&up, &["compromise-removal", "Host1", "-o", "json"]);
    assert_eq!((forbidden.status, forbidden.code()), (4, "forbidden".to_owned()), "{forbidden:?}");
}

#[test]
fn a_containment_is_asked_for_listed_and_shown_as_an_incident() {
    let farmhand = Farmhand::new();
    let up = Up::start(&farmhand);
    let run = |line: &[&str]| farmhand.run_at(&up, &[line, &["-o", "json"]].concat());
    let ask = ["compromise-removal", "Host1$", "--reason", "beacon seen", "--idempotency-key", "alert-7"];
    let (one, two) = (run(&ask).json(), run(&ask).json());
    assert_eq!((&one["id"], &one["lane"]), (&two["id"], &"urgent".into()));
    let id = one["id"].as_str().expect("an id");
    let listed = run(&["incident", "list", "--host", "host1"]).json();
    assert_eq!(listed["items"][0]["id"], id, "{listed}");
    let shown = run(&["incident", "show", id]).json();
    assert_eq!(
        (&shown["workflow"]["id"], &shown["workflow"]["hosts"]),
        (&id.into(), &serde_json::json!(["Host1"]))
    );
    let people = farmhand.run_at(&up, &["incident", "show", id]);
    assert!(people.status == 0 && people.stdout.contains("beacon seen"), "{people:?}");
}

#[test]
fn a_report_tells_every_write_and_its_page_is_self_contained() {
    let farmhand = Farmhand::new();
    let up = Up::start(&farmhand);
    let deployed =
        farmhand.run_at(&up, &["deploy", "-f", OUTBOUND, "--wait", "--reason", "<b>trial", "-o", "json"]);
    let id = id_of(&deployed, 0, "succeeded");
    let report = farmhand.run_at(&up, &["workflow", "report", &id, "-o", "json"]).json();
    assert_eq!(
        (&report["workflow"]["id"], &report["embeddedDirectory"]),
        (&id.as_str().into(), &true.into())
    );
    let writes = report["writes"].as_array().expect("writes");
    let made = writes.iter().find(|write| write["kind"] == "add").expect("the account was made");
    assert!(made["attributes"].as_array().is_some_and(|list| !list.is_empty()), "{made}");
    assert_eq!(report["timeline"][0]["what"], "asked");
    let people = farmhand.run_at(&up, &["workflow", "report", &id]);
    assert!(people.status == 0 && people.stdout.contains("took the write of"), "{people:?}");
    let page = farmhand.write("report.html", "");
    let written = farmhand.run_at(&up, &["workflow", "report", &id, "--html", "-f", &page]);
    assert_eq!((written.status, written.stdout.as_str()), (0, ""), "{written:?}");
    let html = std::fs::read_to_string(&page).expect("written");
    assert!(html.starts_with("<!DOCTYPE html>") && html.contains(&id), "{html}");
    assert!(
        html.contains("&lt;b&gt;trial") && !html.contains("<script") && !html.contains("href="),
        "{html}"
    );
}

#[test]
fn the_same_key_gives_the_same_workflow() {
    let farmhand = Farmhand::new();
    let up = Up::start(&farmhand);
    let ask = || {
        farmhand.run_at(
            &up,
            &["deploy", "-f", OUTBOUND, "--idempotency-key", "k1", "--reason", "trial", "-o", "json"],
        )
    };
    let (one, two) = (ask().json(), ask().json());
    assert_eq!(one["id"], two["id"]);
    assert_eq!(one["reason"], "trial");
    let id = one["id"].as_str().expect("an id");
    let watched = farmhand.run_at(&up, &["workflow", "watch", id, "-o", "json"]);
    assert_eq!((watched.status, watched.json()["state"].clone()), (0, "succeeded".into()), "{watched:?}");
    let other = farmhand.run_at(&up, &["deploy", "-f", SAMPLE, "--idempotency-key", "k1", "-o", "json"]);
    assert_eq!((other.status, other.code()), (4, "idempotency-conflict".to_owned()), "{other:?}");
}

/// The id of the workflow that a command printed, after it ended as expected.
fn id_of(answer: &kit::Answer, status: i32, state: &str) -> String {
    assert_eq!((answer.status, &answer.json()["state"]), (status, &state.into()), "{answer:?}");
    answer.json()["id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_farm_lives_from_deploy_to_retirement() {
    let farmhand = Farmhand::new();
    let up = Up::start(&farmhand);
    let run = |line: &[&str]| farmhand.run_at(&up, &[line, &["-o", "json"]].concat());
    let sample = std::fs::read_to_string(SAMPLE).expect("the sample");
    let sample = sample.replace("[Host1, Host2, Host3]", "[Host1, Host2]");
    let manual = farmhand.write("farm.yaml", &format!("{sample}  hostActions: {{adapter: manual}}\n"));
    let deployed = run(&["deploy", "-f", &manual, "--wait"]);
    settle_hosts(&run, deployed);

    let hosts = farmhand.write("hosts.txt", "# new\nHost4\n\nHost5$\n");
    let plan = farmhand.run_at(&up, &["add-host", "ITFarm1", "--hosts-file", &hosts, "--plan"]);
    assert!(plan.status == 0 && plan.stdout.contains("Nothing was written."), "{plan:?}");
    let added = run(&["add-host", "ITFarm1", "--hosts-file", &hosts, "--wait", "--reason", "growth"]);
    let id = id_of(&added, 5, "waiting");
    let shown = farmhand.run_at(&up, &["workflow", "show", &id]);
    for expected in ["Install-ADServiceAccount -Identity ITFarm1", "farmhand workflow ack", "growth"] {
        assert!(shown.stdout.contains(expected), "{expected} in {}", shown.stdout);
    }
    settle_hosts(&run, added);
    let removed = run(&["remove-host", "ITFarm1", "host5", "--wait"]);
    settle_hosts(&run, removed);

    let live = run(&["farm", "show", "ITFarm1"]).json();
    let hosts: Vec<_> = live["live"]["result"]["hosts"].as_array().expect("hosts").iter().collect();
    assert!(hosts.iter().any(|host| host["name"] == "Host4" && host["canRead"] == "yes"), "{live}");
    assert!(!hosts.iter().any(|host| host["name"] == "Host5"), "{live}");

    let asked = run(&["decommission", "ITFarm1", "--cool-down", "0s", "--wait"]);
    let id = id_of(&asked, 5, "waiting");
    let own = run(&["workflow", "approve", &id, "--yes"]);
    assert_eq!((own.status, own.code()), (4, "approval-own".to_owned()), "{own:?}");
    let made = run(&["token", "create", "--principal", "ben", "--roles", "approver"]).json();
    let second = Farmhand::new().env("FARMHAND_TOKEN", made["secret"].as_str().expect("a secret"));
    let blind = second.run_at(&up, &["workflow", "approve", &id, "-o", "json"]);
    assert_eq!((blind.status, blind.code()), (2, "usage".to_owned()), "there is no terminal to ask on");
    let hash = asked.json()["plan"]["hash"].as_str().expect("a hash").to_owned();
    let approved =
        second.run_at(&up, &["workflow", "approve", &id, "--plan-hash", &hash, "--wait", "-o", "json"]);
    settle_hosts(&run, approved);
    let gone = run(&["farm", "show", "ITFarm1"]).json();
    assert_eq!((&gone["state"], &gone["live"]), (&"decommissioned".into(), &Value::Null));
}

/// Says of every host that is waited for that it is done, until the workflow has succeeded.
fn settle_hosts(run: &dyn Fn(&[&str]) -> kit::Answer, mut answer: kit::Answer) {
    while answer.json()["waiting"]["for"] == "host" {
        let id = id_of(&answer, 5, "waiting");
        let document = answer.json();
        let steps = document["steps"].as_array().expect("steps");
        let name = steps.iter().find(|step| step["state"] == "waiting").expect("a step that waits");
        let name = name["name"].as_str().expect("a name");
        answer = run(&["workflow", "ack", &id, name, "--outcome", "succeeded", "--wait"]);
    }
    id_of(&answer, 0, "succeeded");
}

#[test]
fn a_token_is_made_used_and_revoked() {
    let farmhand = Farmhand::new();
    let up = Up::start(&farmhand);
    let made = farmhand
        .run_at(&up, &["token", "create", "--principal", "ci", "--roles", "viewer", "-o", "json"])
        .json();
    let viewer = Farmhand::new().env("FARMHAND_TOKEN", made["secret"].as_str().expect("a secret"));
    assert_eq!(viewer.run_at(&up, &["workflow", "list"]).status, 0);
    let forbidden = viewer.run_at(&up, &["deploy", "-f", SAMPLE, "-o", "json"]);
    assert_eq!((forbidden.status, forbidden.code()), (4, "forbidden".to_owned()), "{forbidden:?}");
    let id = made["id"].as_str().expect("an id");
    assert_eq!(farmhand.run_at(&up, &["token", "revoke", id]).status, 0);
    assert_eq!(viewer.run_at(&up, &["workflow", "list"]).status, 4);
    assert!(!farmhand.run_at(&up, &["token", "list"]).stdout.contains("fh_"));
    let again = farmhand.run(&["token", "bootstrap", "-o", "json"]);
    assert_eq!((again.status, again.code()), (4, "token-exists".to_owned()), "{again:?}");
}

#[test]
fn a_second_up_on_the_same_folder_says_so() {
    let farmhand = Farmhand::new();
    let _up = Up::start(&farmhand);
    let second = farmhand.run(&["up", "--listen", "127.0.0.1:0", "-o", "json"]);
    assert_eq!((second.status, second.code()), (4, "data-folder-in-use".to_owned()), "{second:?}");
}

#[test]
fn doctor_is_0_beside_a_healthy_server_and_3_without_one() {
    let farmhand = Farmhand::new();
    let up = Up::start(&farmhand);
    let healthy = farmhand.run_at(&up, &["doctor", "-o", "json"]);
    assert_eq!((healthy.status, healthy.json()["healthy"].clone()), (0, true.into()), "{healthy:?}");
    drop(up);
    let away = farmhand.run(&["doctor", "--url", "http://127.0.0.1:1"]);
    assert_eq!(away.status, 3, "{away:?}");
}

#[test]
fn the_help_of_every_command_is_there() {
    let help = Command::new(env!("CARGO_BIN_EXE_farmhand")).arg("--help").output().expect("runs");
    let text = String::from_utf8_lossy(&help.stdout).into_owned();
    for command in [
        "up",
        "orchestrator",
        "worker",
        "migrate",
        "deploy",
        "add-host",
        "remove-host",
        "update",
        "decommission",
        "replace",
        "compromise-removal",
        "recover",
        "incident",
        "quarantine",
        "drift",
        "drift-check",
        "farm",
        "workflow",
        "token",
        "doctor",
        "config",
    ] {
        assert!(text.contains(&format!("  {command}")), "{command}");
    }
    assert!(text.contains("Exit status: 0 done"), "{text}");
}

#[test]
fn a_check_fills_the_board_and_the_board_shows_one_account_with_its_changes() {
    let farmhand = Farmhand::new();
    let up = Up::start(&farmhand);
    let deployed = farmhand.run_at(&up, &["deploy", "-f", SAMPLE, "--wait", "-o", "json"]);
    assert_eq!(deployed.status, 0, "{deployed:?}");
    let empty = farmhand.run_at(&up, &["rotation"]);
    assert!(empty.status == 0 && empty.stdout.contains("farmhand rotation-check"), "{empty:?}");

    let checked = farmhand.run_at(&up, &["rotation-check", "--every-dc", "--wait"]);
    assert_eq!(checked.status, 0, "{checked:?}");
    assert!(checked.stdout.contains("1 gMSA: 1 current"), "{checked:?}");
    let board = farmhand.run_at(&up, &["rotation", "--farm", "itfarm1", "-o", "json"]).json();
    let item = &board["items"][0];
    assert_eq!((&item["account"], &item["verdict"]), (&"ITFarm1$".into(), &"current".into()), "{board}");
    assert!(item["keyId"]["rootKey"].is_string() && item["nextDue"].is_string(), "{item}");
    assert_eq!(
        farmhand.run_at(&up, &["rotation", "--verdict", "due", "-o", "json"]).json()["items"],
        json!([])
    );
    assert_eq!(farmhand.run_at(&up, &["rotation", "--finding", "banana"]).status, 2);

    let shown = farmhand.run_at(&up, &["rotation", "ITFarm1$"]);
    assert!(shown.stdout.contains("next due") && shown.stdout.contains("ITFarmHosts"), "{shown:?}");
    let one = farmhand.run_at(&up, &["rotation-check", "--farm", "ITFarm1", "--wait", "-o", "json"]).json();
    assert_eq!((&one["farm"], &one["result"]["checked"]), (&"ITFarm1".into(), &1.into()), "{one}");
    let nobody = farmhand.run_at(&up, &["rotation-check", "--farm", "nobody", "-o", "json"]);
    assert_eq!((nobody.status, nobody.code()), (4, "farm-not-deployed".to_owned()));
}

#[test]
fn a_drift_check_says_how_farms_stand_and_reads_them_once_as_long_as_nothing_changes() {
    let farmhand = Farmhand::new();
    let up = Up::start(&farmhand);
    let deployed = farmhand.run_at(&up, &["deploy", "-f", SAMPLE, "--wait", "-o", "json"]);
    assert_eq!(deployed.status, 0, "{deployed:?}");
    let empty = farmhand.run_at(&up, &["drift", "list"]);
    assert!(empty.status == 0 && empty.stdout.contains("farmhand drift-check"), "{empty:?}");

    let checked = farmhand.run_at(&up, &["drift-check", "--wait"]);
    assert_eq!(checked.status, 0, "{checked:?}");
    assert!(checked.stdout.contains("1 farm: 1 in-line"), "{checked:?}");
    let again = farmhand.run_at(&up, &["drift-check", "--wait", "-o", "json"]).json();
    assert_eq!(
        (&again["result"]["compared"], &again["result"]["checked"]),
        (&0.into(), &1.into()),
        "{again}"
    );
    let full = farmhand.run_at(&up, &["drift-check", "--full", "--wait"]);
    assert!(full.stdout.contains("every farm was compared: it was asked for"), "{full:?}");

    let list = farmhand.run_at(&up, &["drift", "list", "--state", "in-line", "-o", "json"]).json();
    assert_eq!((&list["items"][0]["farm"], &list["next"]), (&"ITFarm1".into(), &Value::Null), "{list}");
    let shown = farmhand.run_at(&up, &["drift", "show", "itfarm1"]);
    assert!(shown.stdout.starts_with("ITFarm1  in-line"), "{shown:?}");
    let one = farmhand.run_at(&up, &["drift-check", "ITFarm1", "--wait", "-o", "json"]).json();
    assert_eq!((&one["farm"], &one["result"]["compared"]), (&"ITFarm1".into(), &1.into()), "{one}");
    let nobody = farmhand.run_at(&up, &["drift-check", "nobody", "-o", "json"]);
    assert_eq!((nobody.status, nobody.code()), (4, "farm-not-deployed".to_owned()));
    assert_eq!(farmhand.run_at(&up, &["drift", "list", "--state", "banana"]).status, 2);
}
