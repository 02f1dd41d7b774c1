//! Every setting with its environment variable and its meaning, in one list: the environment
//! layer, `config check` and the documentation's test all read it.

use super::directory::Directory;
use super::settings::Settings;

/// How the text of an environment variable or flag becomes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Integer,
    /// `true` or `false`.
    Switch,
    /// Separated by commas.
    List,
}

/// A setting outside of `[directories.NAME]`.
pub struct Setting {
    pub key: &'static str,
    pub env: &'static str,
    pub kind: Kind,
    pub meaning: &'static str,
    /// The effective value for people; secrets as `***`. `None`: not set.
    pub show: fn(&Settings) -> Option<String>,
}

/// A setting of each `[directories.NAME]`; `env` sets it for the directory `default`.
pub struct DirectorySetting {
    pub key: &'static str,
    pub env: &'static str,
    pub kind: Kind,
    pub meaning: &'static str,
    pub show: fn(&Directory) -> Option<String>,
}

/// Keys whose value may not be named in a message.
pub fn is_secret(key: &str) -> bool {
    matches!(key, "database.url" | "amqp.url" | "client.token")
        || (key.starts_with("directories.") && key.ends_with(".password"))
}

/// From variable to dotted key.
pub fn variable(name: &str) -> Option<(String, Kind)> {
    let plain = SETTINGS.iter().map(|s| (s.env, s.key.to_owned(), s.kind));
    let directory =
        DIRECTORY_SETTINGS.iter().map(|s| (s.env, format!("directories.default.{}", s.key), s.kind));
    plain.chain(directory).find(|(env, ..)| *env == name).map(|(_, key, kind)| (key, kind))
}

/// Every variable that means something.
pub fn variables() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|s| s.env).chain(DIRECTORY_SETTINGS.iter().map(|s| s.env)).chain(["FARMHAND_CONFIG"])
}

fn path(path: Option<&std::path::PathBuf>) -> Option<String> {
    path.map(|path| path.display().to_string())
}

pub const SETTINGS: &[Setting] = &[
    Setting {
        key: "data_dir",
        env: "FARMHAND_DATA_DIR",
        kind: Kind::Text,
        meaning: "folder of the embedded database, the embedded directory and the first admin token",
        show: |s| Some(s.data_dir.display().to_string()),
    },
    Setting {
        key: "server.listen",
        env: "FARMHAND_LISTEN",
        kind: Kind::Text,
        meaning: "address and port of the HTTP API",
        show: |s| Some(s.server.listen.to_string()),
    },
    Setting {
        key: "server.shutdown_seconds",
        env: "FARMHAND_SHUTDOWN_SECONDS",
        kind: Kind::Integer,
        meaning: "how long a stopping server or worker may take to finish what it has begun",
        show: |s| Some(s.server.shutdown_seconds.to_string()),
    },
    Setting {
        key: "database.url",
        env: "FARMHAND_DATABASE_URL",
        kind: Kind::Text,
        meaning: "postgres:// or sqlite:// URL; unset: farmhand.db in the data folder (only `up`)",
        show: |s| s.database.url.as_ref().map(ToString::to_string),
    },
    Setting {
        key: "database.url_file",
        env: "FARMHAND_DATABASE_URL_FILE",
        kind: Kind::Text,
        meaning: "file that holds database.url",
        show: |s| path(s.database.url_file.as_ref()),
    },
    Setting {
        key: "database.max_connections",
        env: "FARMHAND_DATABASE_MAX_CONNECTIONS",
        kind: Kind::Integer,
        meaning: "connections of one process to the database",
        show: |s| Some(s.database.max_connections.to_string()),
    },
    Setting {
        key: "database.urgent_connections",
        env: "FARMHAND_DATABASE_URGENT_CONNECTIONS",
        kind: Kind::Integer,
        meaning: "further connections that only urgent work uses (PostgreSQL)",
        show: |s| Some(s.database.urgent_connections.to_string()),
    },
    Setting {
        key: "database.timeout_seconds",
        env: "FARMHAND_DATABASE_TIMEOUT_SECONDS",
        kind: Kind::Integer,
        meaning: "how long to wait for a connection to the database",
        show: |s| Some(s.database.timeout_seconds.to_string()),
    },
    Setting {
        key: "amqp.url",
        env: "FARMHAND_AMQP_URL",
        kind: Kind::Text,
        meaning: "amqp:// or amqps:// URL of RabbitMQ; unset: the in-process bus (only `up`)",
        show: |s| s.amqp.url.as_ref().map(ToString::to_string),
    },
    Setting {
        key: "amqp.url_file",
        env: "FARMHAND_AMQP_URL_FILE",
        kind: Kind::Text,
        meaning: "file that holds amqp.url",
        show: |s| path(s.amqp.url_file.as_ref()),
    },
    Setting {
        key: "amqp.ca_file",
        env: "FARMHAND_AMQP_CA_FILE",
        kind: Kind::Text,
        meaning: "PEM file of the authority that signed the broker's certificate",
        show: |s| path(s.amqp.ca_file.as_ref()),
    },
    Setting {
        key: "amqp.prefix",
        env: "FARMHAND_AMQP_PREFIX",
        kind: Kind::Text,
        meaning: "first part of every exchange's and queue's name",
        show: |s| Some(s.amqp.prefix.clone()),
    },
    Setting {
        key: "intake.enabled",
        env: "FARMHAND_INTAKE_ENABLED",
        kind: Kind::Switch,
        meaning: "whether requests are taken over AMQP; unset: if [intake.users] names anybody",
        show: |s| s.intake.enabled.map(|enabled| enabled.to_string()),
    },
    Setting {
        key: "announcements.enabled",
        env: "FARMHAND_ANNOUNCEMENTS_ENABLED",
        kind: Kind::Switch,
        meaning: "whether other systems are told what happens, on the exchange farmhand.events",
        show: |s| Some(s.announcements.enabled.to_string()),
    },
    Setting {
        key: "worker.name",
        env: "FARMHAND_WORKER_NAME",
        kind: Kind::Text,
        meaning: "name in leases and logs; unset: host name, process id and a random part",
        show: |s| s.worker.name.clone(),
    },
    Setting {
        key: "worker.lanes",
        env: "FARMHAND_WORKER_LANES",
        kind: Kind::List,
        meaning: "lanes that this worker serves: urgent, lifecycle, checks",
        show: |s| Some(s.worker.lanes.iter().map(|lane| lane.as_str()).collect::<Vec<_>>().join(",")),
    },
    Setting {
        key: "worker.urgent_slots",
        env: "FARMHAND_WORKER_URGENT_SLOTS",
        kind: Kind::Integer,
        meaning: "workflows of the urgent lane at the same time",
        show: |s| Some(s.worker.urgent_slots.to_string()),
    },
    Setting {
        key: "worker.lifecycle_slots",
        env: "FARMHAND_WORKER_LIFECYCLE_SLOTS",
        kind: Kind::Integer,
        meaning: "workflows of the lifecycle lane at the same time",
        show: |s| Some(s.worker.lifecycle_slots.to_string()),
    },
    Setting {
        key: "worker.checks_slots",
        env: "FARMHAND_WORKER_CHECKS_SLOTS",
        kind: Kind::Integer,
        meaning: "workflows of the checks lane at the same time",
        show: |s| Some(s.worker.checks_slots.to_string()),
    },
    Setting {
        key: "worker.lease_seconds",
        env: "FARMHAND_WORKER_LEASE_SECONDS",
        kind: Kind::Integer,
        meaning: "after how long without a sign of life another worker takes over",
        show: |s| Some(s.worker.lease_seconds.to_string()),
    },
    Setting {
        key: "worker.listen",
        env: "FARMHAND_WORKER_LISTEN",
        kind: Kind::Text,
        meaning: "address for /healthz and /metrics of `farmhand worker`; unset: none",
        show: |s| s.worker.listen.map(|listen| listen.to_string()),
    },
    Setting {
        key: "lifecycle.cool_down",
        env: "FARMHAND_LIFECYCLE_COOL_DOWN",
        kind: Kind::Text,
        meaning: "how long a retired account stays disabled before it is deleted, where the request does not say",
        show: |s| Some(humantime::format_duration(s.lifecycle.cool_down).to_string()),
    },
    Setting {
        key: "rotation.max_interval_days",
        env: "FARMHAND_ROTATION_MAX_INTERVAL_DAYS",
        kind: Kind::Integer,
        meaning: "a managed password interval above this is a finding of rotation checks",
        show: |s| Some(s.rotation.max_interval_days.to_string()),
    },
    Setting {
        key: "rotation.keep_days",
        env: "FARMHAND_ROTATION_KEEP_DAYS",
        kind: Kind::Integer,
        meaning: "how long rotation checks' history, and accounts that are gone, are kept",
        show: |s| Some(s.rotation.keep_days.to_string()),
    },
    Setting {
        key: "drift.full_every",
        env: "FARMHAND_DRIFT_FULL_EVERY",
        kind: Kind::Text,
        meaning: "how long after the last full drift check the next one compares every farm anyway",
        show: |s| Some(humantime::format_duration(s.drift.full_every).to_string()),
    },
    Setting {
        key: "scheduler.keep_fires_days",
        env: "FARMHAND_SCHEDULER_KEEP_FIRES_DAYS",
        kind: Kind::Integer,
        meaning: "for how many days it stays on record what became of a schedule's due time",
        show: |s| Some(s.scheduler.keep_fires_days.to_string()),
    },
    Setting {
        key: "reactions.keep_days",
        env: "FARMHAND_REACTIONS_KEEP_DAYS",
        kind: Kind::Integer,
        meaning: "for how many days it stays on record what rules and webhooks made of events",
        show: |s| Some(s.reactions.keep_days.to_string()),
    },
    Setting {
        key: "reactions.allow_http",
        env: "FARMHAND_REACTIONS_ALLOW_HTTP",
        kind: Kind::Switch,
        meaning: "whether events may be sent to webhooks of other machines over plain HTTP",
        show: |s| Some(s.reactions.allow_http.to_string()),
    },
    Setting {
        key: "quarantine.check_every",
        env: "FARMHAND_QUARANTINE_CHECK_EVERY",
        kind: Kind::Text,
        meaning: "how often it is looked whether a quarantined host can read anything again",
        show: |s| Some(humantime::format_duration(s.quarantine.check_every).to_string()),
    },
    Setting {
        key: "host_actions.adapter",
        env: "FARMHAND_HOST_ACTIONS_ADAPTER",
        kind: Kind::Text,
        meaning: "how things are done on hosts where a farm says nothing: none, manual or command",
        show: |s| Some(s.host_actions.adapter.to_string()),
    },
    Setting {
        key: "host_actions.command",
        env: "FARMHAND_HOST_ACTIONS_COMMAND",
        kind: Kind::List,
        meaning: "the program of the adapter command with its arguments",
        show: |s| s.host_actions.program().map(|_| s.host_actions.command.join(",")),
    },
    Setting {
        key: "host_actions.environment",
        env: "FARMHAND_HOST_ACTIONS_ENVIRONMENT",
        kind: Kind::List,
        meaning: "variables that the program gets from the worker's environment; it sees no others",
        show: |s| Some(s.host_actions.environment.join(",")),
    },
    Setting {
        key: "host_actions.timeout_seconds",
        env: "FARMHAND_HOST_ACTIONS_TIMEOUT_SECONDS",
        kind: Kind::Integer,
        meaning: "how long the program may take for one action before it is killed",
        show: |s| Some(s.host_actions.timeout_seconds.to_string()),
    },
    Setting {
        key: "host_actions.wave",
        env: "FARMHAND_HOST_ACTIONS_WAVE",
        kind: Kind::Integer,
        meaning: "hosts at the same time, in each workflow, where a farm says nothing",
        show: |s| Some(s.host_actions.wave.to_string()),
    },
    Setting {
        key: "client.url",
        env: "FARMHAND_URL",
        kind: Kind::Text,
        meaning: "where commands find the server; unset: where server.listen says",
        show: |s| s.client.url.as_ref().map(ToString::to_string),
    },
    Setting {
        key: "client.token",
        env: "FARMHAND_TOKEN",
        kind: Kind::Text,
        meaning: "bearer token of commands; unset: admin-token in the data folder",
        show: |s| s.client.token.as_ref().map(ToString::to_string),
    },
    Setting {
        key: "client.token_file",
        env: "FARMHAND_TOKEN_FILE",
        kind: Kind::Text,
        meaning: "file that holds client.token",
        show: |s| path(s.client.token_file.as_ref()),
    },
    Setting {
        key: "client.ca_file",
        env: "FARMHAND_CA_FILE",
        kind: Kind::Text,
        meaning: "PEM file of the authority that signed the API's certificate, beside the system's own",
        show: |s| path(s.client.ca_file.as_ref()),
    },
    Setting {
        key: "client.timeout_seconds",
        env: "FARMHAND_TIMEOUT_SECONDS",
        kind: Kind::Integer,
        meaning: "how long a command waits for one answer of the server",
        show: |s| Some(s.client.timeout_seconds.to_string()),
    },
    Setting {
        key: "log.filter",
        env: "FARMHAND_LOG",
        kind: Kind::Text,
        meaning: "what is logged, e.g. info or info,workers=debug",
        show: |s| Some(s.log.filter.clone()),
    },
    Setting {
        key: "log.format",
        env: "FARMHAND_LOG_FORMAT",
        kind: Kind::Text,
        meaning: "text or json, on standard error",
        show: |s| Some(s.log.format.as_str().to_owned()),
    },
    Setting {
        key: "telemetry.otlp_endpoint",
        env: "OTEL_EXPORTER_OTLP_ENDPOINT",
        kind: Kind::Text,
        meaning: "OTLP/HTTP collector that traces go to; unset: none",
        show: |s| s.telemetry.otlp_endpoint.as_ref().map(ToString::to_string),
    },
];

pub const DIRECTORY_SETTINGS: &[DirectorySetting] = &[
    DirectorySetting {
        key: "urls",
        env: "FARMHAND_DIRECTORY_URL",
        kind: Kind::List,
        meaning: "ldaps:// (or ldap:// with StartTLS) URLs of domain controllers, tried in order",
        show: |d| Some(d.urls.join(",")),
    },
    DirectorySetting {
        key: "bind_dn",
        env: "FARMHAND_DIRECTORY_BIND_DN",
        kind: Kind::Text,
        meaning: "the delegated account that Farmhand works as",
        show: |d| d.bind_dn.clone(),
    },
    DirectorySetting {
        key: "password",
        env: "FARMHAND_DIRECTORY_PASSWORD",
        kind: Kind::Text,
        meaning: "its password",
        show: |d| d.password.as_ref().map(ToString::to_string),
    },
    DirectorySetting {
        key: "password_file",
        env: "FARMHAND_DIRECTORY_PASSWORD_FILE",
        kind: Kind::Text,
        meaning: "file that holds the password",
        show: |d| path(d.password_file.as_ref()),
    },
    DirectorySetting {
        key: "ca_file",
        env: "FARMHAND_DIRECTORY_CA_FILE",
        kind: Kind::Text,
        meaning: "PEM file of the authority that signed the DCs' certificates; unset: the system's own",
        show: |d| path(d.ca_file.as_ref()),
    },
    DirectorySetting {
        key: "global_catalog_url",
        env: "FARMHAND_DIRECTORY_GLOBAL_CATALOG_URL",
        kind: Kind::Text,
        meaning: "URL of the forest's global catalogue; unset: port 3269 of the DC in use",
        show: |d| d.global_catalog_url.clone(),
    },
    DirectorySetting {
        key: "connect_timeout_seconds",
        env: "FARMHAND_DIRECTORY_CONNECT_TIMEOUT_SECONDS",
        kind: Kind::Integer,
        meaning: "how long to wait for a connection to a DC",
        show: |d| Some(d.connect_timeout_seconds.to_string()),
    },
    DirectorySetting {
        key: "operation_timeout_seconds",
        env: "FARMHAND_DIRECTORY_OPERATION_TIMEOUT_SECONDS",
        kind: Kind::Integer,
        meaning: "how long to wait for a DC's answer to one operation",
        show: |d| Some(d.operation_timeout_seconds.to_string()),
    },
    DirectorySetting {
        key: "connections",
        env: "FARMHAND_DIRECTORY_CONNECTIONS",
        kind: Kind::Integer,
        meaning: "connections of one process to each DC; urgent work has as many again of its own",
        show: |d| Some(d.connections.to_string()),
    },
];
