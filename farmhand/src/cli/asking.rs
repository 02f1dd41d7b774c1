//! Commands that ask for work.

use std::path::PathBuf;

use clap::Args;

/// What every command that asks for work takes.
#[derive(Debug, Clone, Default, Args)]
pub struct Ask {
    /// Print the exact directory changes and write nothing
    #[arg(long)]
    pub plan: bool,
    /// Follow to the end with live progress; ends with 5 where only a person can go on
    #[arg(long)]
    pub wait: bool,
    /// The same key with the same request gives the same workflow, however often it is sent
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Why; kept with the workflow
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// The farm's directory, as it is configured [default: the manifest's, else `default`]
    #[arg(long, value_name = "NAME")]
    pub directory: Option<String>,
}

/// `deploy` and `update`.
#[derive(Debug, Clone, Args)]
pub struct FromManifest {
    /// Manifest in YAML or JSON; `-` reads standard input
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    pub ask: Ask,
}

/// `add-host` and `remove-host`.
#[derive(Debug, Clone, Args)]
pub struct Hosts {
    /// The farm's name
    pub farm: String,
    /// Host1, Host1$, a DN or a SID; up to 10,000 in all
    #[arg(value_name = "HOST", required_unless_present = "hosts_file")]
    pub hosts: Vec<String>,
    /// File with one host on each line (a line that begins with `#` is a comment); `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub hosts_file: Option<PathBuf>,
    #[command(flatten)]
    pub ask: Ask,
}

#[derive(Debug, Clone, Args)]
pub struct Decommission {
    /// The farm's name
    pub farm: String,
    /// How long the account stays disabled before it is deleted, e.g. 7d or 12h
    /// [default: as the server is configured]
    #[arg(long, value_name = "DURATION")]
    pub cool_down: Option<String>,
    #[command(flatten)]
    pub ask: Ask,
}

#[derive(Debug, Clone, Args)]
pub struct Replace {
    /// The farm's name
    pub farm: String,
    /// Build it side by side under this name [default: under the same name]
    #[arg(long, value_name = "NAME")]
    pub new_account: Option<String>,
    /// The new account's managed password interval [default: as the old one's]
    #[arg(long, value_name = "DAYS")]
    pub interval: Option<i64>,
    /// How long the old account stays disabled before it is deleted, e.g. 7d or 12h
    /// [default: as the server is configured]
    #[arg(long, value_name = "DURATION")]
    pub cool_down: Option<String>,
    #[command(flatten)]
    pub ask: Ask,
}

/// `farm import`.
#[derive(Debug, Clone, Args)]
pub struct Import {
    /// The name that the farm gets
    pub farm: String,
    /// The gMSA: ITFarm1, ITFarm1$, a DN or a SID [default: the one of the farm's name]
    #[arg(long, value_name = "ACCOUNT")]
    pub account: Option<String>,
    /// Which of several groups that may read holds the farm's hosts
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    #[command(flatten)]
    pub ask: Ask,
}
