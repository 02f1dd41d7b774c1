use std::path::Path;

use super::*;

fn sources(environment: &[(&str, &str)], file: Option<&str>) -> (tempfile::TempDir, Sources) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut environment: BTreeMap<String, String> =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    environment.entry("HOME".into()).or_insert_with(|| folder.path().display().to_string());
    if let Some(text) = file {
        std::fs::write(folder.path().join("farmhand.toml"), text).expect("written");
    }
    let working_dir = folder.path().to_owned();
    (folder, Sources { environment, working_dir, ..Sources::default() })
}

fn load(environment: &[(&str, &str)], file: Option<&str>) -> Result<Loaded, ConfigError> {
    let (_folder, sources) = sources(environment, file);
    sources.load()
}

fn refusal(environment: &[(&str, &str)], file: Option<&str>) -> String {
    load(environment, file).err().expect("refused").to_string()
}

#[test]
fn without_anything_the_defaults_hold() {
    let (folder, sources) = sources(&[], None);
    let loaded = sources.load().expect("valid");
    assert_eq!(loaded.settings.server.listen.to_string(), "127.0.0.1:8420");
    assert_eq!(loaded.settings.data_dir, folder.path().join(".local/state/farmhand"));
    assert_eq!(loaded.settings.api_url().as_str(), "http://127.0.0.1:8420/");
    assert!(loaded.settings.directories.is_empty());
    assert_eq!(loaded.origin("server.listen"), Origin::Default);
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let file = "[worker]\nlease_seconds = 40\nurgent_slots = 5\nchecks_slots = 6\n";
    let (_folder, mut sources) = sources(
        &[("FARMHAND_WORKER_LEASE_SECONDS", "50"), ("FARMHAND_WORKER_URGENT_SLOTS", "7")],
        Some(file),
    );
    sources.flags = vec![("worker.lease_seconds", "--lease", "60".to_owned())];
    let loaded = sources.load().expect("valid");
    let worker = &loaded.settings.worker;
    assert_eq!((worker.lease_seconds, worker.urgent_slots, worker.checks_slots), (60, 7, 6));
    assert_eq!(loaded.origin("worker.lease_seconds"), Origin::Flag("--lease"));
    let environment = Origin::Environment("FARMHAND_WORKER_URGENT_SLOTS".to_owned());
    assert_eq!(loaded.origin("worker.urgent_slots"), environment);
    assert!(matches!(loaded.origin("worker.checks_slots"), Origin::File { line: 4, .. }));
}

#[test]
fn the_names_of_the_interface_contract_are_read() {
    let loaded = load(
        &[
            ("FARMHAND_DATABASE_URL", "postgres://fh:pw@db/farmhand"),
            ("FARMHAND_AMQP_URL", "amqp://guest:pw@mq"),
            ("FARMHAND_DIRECTORY_URL", "ldaps://dc1.contoso.com, ldaps://dc2.contoso.com"),
            ("FARMHAND_DIRECTORY_BIND_DN", "CN=svc,DC=contoso,DC=com"),
            ("FARMHAND_DIRECTORY_PASSWORD", "12345"),
            ("FARMHAND_DIRECTORY_CA_FILE", "/etc/ca.pem"),
            ("FARMHAND_LISTEN", "0.0.0.0:9000"),
            ("FARMHAND_DATA_DIR", "/srv/farmhand"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel:4318"),
            ("FARMHAND_TOKEN", "t"),
        ],
        None,
    )
    .expect("valid");
    let settings = &loaded.settings;
    let directory = &settings.directories["default"];
    assert_eq!(directory.urls, ["ldaps://dc1.contoso.com", "ldaps://dc2.contoso.com"]);
    assert_eq!(directory.password("default").expect("given").expose(), "12345");
    assert_eq!(settings.data_dir, Path::new("/srv/farmhand"));
    assert_eq!(settings.api_url().as_str(), "http://127.0.0.1:9000/");
    assert_eq!(settings.client.token().expect("given").expect("given").expose(), "t");
    let shown = serde_json::to_string(&loaded.explain()).expect("serialises");
    for secret in [":pw@", "12345", "\"t\""] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[test]
fn more_directories_come_from_the_file() {
    let file = "[directories.emea]\nurls = ['ldaps://dc.emea']\nbind_dn = 'CN=x'\npassword = 'p'\n";
    let loaded = load(&[], Some(file)).expect("valid");
    assert_eq!(loaded.settings.directories.keys().collect::<Vec<_>>(), ["emea"]);
    assert!(
        loaded.explain().iter().any(|row| row.key == "directories.emea.urls" && row.source.ends_with(":2"))
    );
}

#[test]
fn an_unknown_key_names_the_nearest_known_one_and_its_place() {
    let text = refusal(&[], Some("[worker]\nlease_second = 40\n"));
    assert!(text.contains("worker.lease_second") && text.contains("did you mean lease_seconds?"), "{text}");
    assert!(text.contains("farmhand.toml:2"), "{text}");
    let text = refusal(&[], Some("[wroker]\nlease_seconds = 40\n"));
    assert!(text.contains("did you mean worker?"), "{text}");
}

#[test]
fn an_unknown_variable_names_the_nearest_known_one() {
    let text = refusal(&[("FARMHAND_DATABSE_URL", "postgres://secret@x")], None);
    assert!(
        text.contains("FARMHAND_DATABSE_URL") && text.contains("did you mean FARMHAND_DATABASE_URL?"),
        "{text}"
    );
    assert!(!text.contains("secret"), "{text}");
    assert!(load(&[("FARMHAND_TEST_FAULT", "x"), ("OTEL_SERVICE_NAME", "y")], None).is_ok());
}

#[test]
fn a_syntax_error_names_line_and_column_and_quotes_nothing() {
    let text = refusal(&[], Some("[directories.default]\npassword = \"hunter2\n"));
    assert!(text.contains("farmhand.toml:2:"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn a_secret_of_the_wrong_type_is_not_quoted() {
    let text = refusal(&[], Some("[directories.default]\npassword = 77881199\n"));
    assert!(text.contains("directories.default.password") && !text.contains("77881199"), "{text}");
}

#[test]
fn a_secret_and_its_file_contradict_each_other_only_in_one_layer() {
    let file = "[client]\ntoken = 'from-file'\n";
    let loaded = load(&[("FARMHAND_TOKEN_FILE", "/run/token")], Some(file)).expect("the higher layer counts");
    assert!(loaded.settings.client.token.is_none());
    let both = refusal(&[("FARMHAND_TOKEN_FILE", "/run/token"), ("FARMHAND_TOKEN", "x")], None);
    assert!(both.contains("set one of them"), "{both}");
}

#[test]
fn every_broken_rule_is_reported_at_once() {
    let text = refusal(
        &[
            ("FARMHAND_DATABASE_URL", "mysql://x"),
            ("FARMHAND_AMQP_URL", "http://x"),
            ("FARMHAND_DIRECTORY_URL", "https://dc"),
            ("FARMHAND_WORKER_LEASE_SECONDS", "1"),
        ],
        None,
    );
    for key in
        ["database.url", "amqp.url", "directories.default.urls", "bind_dn", "password", "lease_seconds"]
    {
        assert!(text.contains(key), "{key} in {text}");
    }
}

#[test]
fn a_login_inside_of_an_ldap_url_is_refused_without_showing_it() {
    let text = refusal(&[("FARMHAND_DIRECTORY_URL", "ldaps://svc:hunter2@dc")], None);
    assert!(text.contains("use bind_dn and password") && !text.contains("hunter2"), "{text}");
}

#[test]
fn a_named_file_that_is_missing_is_an_error() {
    let (_folder, mut sources) = sources(&[("FARMHAND_CONFIG", "/nowhere/farmhand.toml")], None);
    assert!(sources.load().is_err());
    sources.environment.clear();
    sources.environment.insert("FARMHAND_DATA_DIR".into(), "/nowhere".into());
    assert!(sources.load().is_ok());
}

#[test]
fn the_data_folder_may_hold_the_file() {
    let data = tempfile::tempdir().expect("a folder");
    std::fs::write(data.path().join("farmhand.toml"), "[amqp]\nprefix = 'lab'\n").expect("written");
    let folder = data.path().display().to_string();
    assert_eq!(load(&[("FARMHAND_DATA_DIR", &folder)], None).expect("valid").settings.amqp.prefix, "lab");
}

fn repository(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn every_setting_is_documented() {
    let page = repository("docs/configuration.md");
    for setting in catalogue::SETTINGS {
        assert!(page.contains(&format!("| `{}` | `{}` |", setting.key, setting.env)), "{}", setting.key);
    }
    for setting in catalogue::DIRECTORY_SETTINGS {
        assert!(page.contains(&format!("| `{}` | `{}` |", setting.key, setting.env)), "{}", setting.key);
    }
}

#[test]
fn the_documented_defaults_are_the_compiled_ones() {
    let page = repository("docs/configuration.md");
    let defaults = Settings::default();
    let plain = catalogue::SETTINGS
        .iter()
        .filter(|s| s.key != "data_dir")
        .map(|s| (s.key, s.env, (s.show)(&defaults)));
    let directory = directory::Directory::default();
    let of_directory = catalogue::DIRECTORY_SETTINGS.iter().map(|s| (s.key, s.env, (s.show)(&directory)));
    for (key, env, default) in plain.chain(of_directory) {
        let shown =
            default.filter(|text| !text.is_empty()).map_or("none".to_owned(), |text| format!("`{text}`"));
        let row = format!("| `{key}` | `{env}` | {shown} |");
        assert!(page.contains(&row), "docs/configuration.md lacks: {row}");
    }
}

#[test]
fn the_sample_file_is_valid_and_shows_every_setting() {
    let sample = repository("deploy/samples/farmhand.toml");
    load(&[], Some(&sample)).expect("valid");
    let all: String =
        sample.lines().map(|line| line.strip_prefix("#: ").unwrap_or(line).to_owned() + "\n").collect();
    let loaded = load(&[], Some(&all)).expect("valid with everything switched on");
    for row in loaded.explain() {
        // Each secret is shown as a file; the two ways exclude each other.
        let either = catalogue::is_secret(&row.key);
        assert!(either || row.source != "default", "deploy/samples/farmhand.toml does not show {}", row.key);
    }
}

#[test]
fn an_empty_section_makes_a_directory_known_by_name() {
    let loaded = load(&[], Some("[directories.emea]\n[directories.'a.b']\n")).expect("valid");
    assert!(loaded.settings.directories.values().all(directory::Directory::is_name_only));
    assert_eq!(loaded.settings.directories.keys().collect::<Vec<_>>(), ["a.b", "emea"]);
}

#[test]
fn requests_over_amqp_are_taken_where_there_is_a_broker_and_somebody_is_named() {
    let users = "[intake.users]\npipeline = ['operator', 'viewer']\n'a.b' = ['admin']\n";
    let broker = ("FARMHAND_AMQP_URL", "amqp://mq");
    let is_on = |environment: &[(&str, &str)], file| {
        let settings = load(environment, file).expect("valid").settings;
        settings.intake.is_on(settings.amqp.is_configured())
    };
    assert!(is_on(&[broker], Some(users)));
    assert!(!is_on(&[], Some(users)), "nobody reaches the in-process bus");
    assert!(!is_on(&[broker], None));
    assert!(!is_on(&[broker, ("FARMHAND_INTAKE_ENABLED", "false")], Some(users)));
    let loaded = load(&[broker], Some(users)).expect("valid");
    let rows = loaded.explain();
    let row = rows.iter().find(|row| row.key == "intake.users.pipeline").expect("shown");
    assert_eq!(row.value.as_deref(), Some("viewer,operator"));
    assert!(row.source.ends_with(":2"), "{}", row.source);

    let text = refusal(&[("FARMHAND_INTAKE_ENABLED", "true")], None);
    assert!(
        text.contains("intake.users: names nobody") && text.contains("no broker is configured"),
        "{text}"
    );
    assert!(refusal(&[broker, ("FARMHAND_INTAKE_ENABLED", "yes")], None).contains("neither true nor false"));
    assert!(refusal(&[broker], Some("[intake.users]\np = []\n")).contains("intake.users.p: names no role"));
    assert!(refusal(&[broker], Some("[intake.users]\np = ['boss']\n")).contains("boss"));
}

#[test]
fn a_program_for_hosts_is_named_by_its_path_and_gets_no_secret_of_ours() {
    let text = refusal(
        &[("FARMHAND_HOST_ACTIONS_ADAPTER", "command"), ("FARMHAND_HOST_ACTIONS_TIMEOUT_SECONDS", "121")],
        None,
    );
    assert!(text.contains("host_actions.command: is empty"), "{text}");
    assert!(text.contains("121 is not within 1 to 120"), "{text}");
    let text = refusal(
        &[],
        Some("[host_actions]\ncommand = ['act']\nenvironment = ['FARMHAND_DATABASE_URL', 'A=B']\n"),
    );
    for expected in ["absolute path", "FARMHAND_DATABASE_URL is not handed on", "A=B"] {
        assert!(text.contains(expected), "{text}");
    }
    assert!(refusal(&[("FARMHAND_HOST_ACTIONS_ADAPTER", "magic")], None).contains("host_actions.adapter"));
    let argv = "/opt/act,--ssh,me";
    let loaded = load(&[("FARMHAND_HOST_ACTIONS_COMMAND", argv)], None).expect("valid");
    assert_eq!(loaded.settings.host_actions.command, ["/opt/act", "--ssh", "me"]);
}
