//! `compromise-removal`, `recover`, `incident`, `quarantine`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use domain::{WorkflowId, WorkflowState};

use super::{Ask, Paging};

#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["host", "kds_root_key"]))]
pub struct CompromiseRemoval {
    /// Host1, Host1$, a DN or a SID
    pub host: Option<String>,
    /// Cut it off from this farm only; may be repeated [default: from everything that it can read]
    #[arg(long, value_name = "FARM", conflicts_with = "kds_root_key")]
    pub farm: Vec<String>,
    /// Do not disable the host's computer account
    #[arg(long, conflicts_with = "kds_root_key")]
    pub keep_computer_enabled: bool,
    /// Why a domain controller's own account is meant nevertheless
    #[arg(long, value_name = "REASON", conflicts_with = "kds_root_key")]
    pub force: Option<String>,
    /// Instead of a host: move every gMSA off this exposed KDS root key ("golden gMSA"), over days
    #[arg(long, value_name = "GUID")]
    pub kds_root_key: Option<String>,
    /// With --kds-root-key: how long replaced accounts stay disabled before they are deleted, e.g. 7d
    /// [default: as the server is configured]
    #[arg(long, value_name = "DURATION", conflicts_with = "host")]
    pub cool_down: Option<String>,
    #[command(flatten)]
    pub ask: Ask,
}

#[derive(Debug, Clone, Args)]
pub struct Recover {
    /// The containment, as `incident list` shows it
    #[arg(value_name = "WORKFLOW")]
    pub id: WorkflowId,
    /// For each farm: `ITFarm1=replace` (a new account now) or `ITFarm1=wait` (for the roll)
    #[arg(value_name = "FARM=CHOICE", required = true, value_parser = choice)]
    pub farms: Vec<(String, String)>,
    /// Print the exact directory changes and write nothing
    #[arg(long)]
    pub plan: bool,
    /// Follow each to its end, one after the other; ends with 5 where only a person can go on
    #[arg(long)]
    pub wait: bool,
    /// Why; kept with the workflows
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// The server judges what is chosen; here only the form.
fn choice(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((farm, choice @ ("replace" | "wait"))) if !farm.is_empty() => {
            Ok((farm.to_owned(), choice.to_owned()))
        }
        _ => Err("write FARM=replace or FARM=wait".to_owned()),
    }
}

#[derive(Debug, Subcommand)]
pub enum Incident {
    /// Lists containments, newest first
    List(IncidentList),
    /// Shows an incident: what the host may still know and until when, and what is being done
    Show { id: WorkflowId },
}

#[derive(Debug, Clone, Args)]
pub struct IncidentList {
    /// Only about this host, as it was named
    #[arg(long)]
    pub host: Option<String>,
    /// Only in this state, e.g. running
    #[arg(long)]
    pub state: Option<WorkflowState>,
    /// Only of this directory
    #[arg(long, value_name = "NAME")]
    pub directory: Option<String>,
    #[command(flatten)]
    pub paging: Paging,
}

#[derive(Debug, Subcommand)]
pub enum Quarantine {
    /// Lists hosts under quarantine, newest first
    List(QuarantineList),
    /// Shows a host under quarantine, and what a release would take back
    Show(QuarantineShow),
    /// Asks that a host leave the quarantine; waits for a second person's approval first
    ///
    /// Then it waits until tickets from before the host's removal must be dead (7 days and 10 hours),
    /// unless --force says why not. Exactly the deny entries that Farmhand wrote are lifted, and the
    /// computer account is enabled where Farmhand had disabled it.
    Release(QuarantineRelease),
    /// Looks whether a host under quarantine can read anything again, and contains it anew if so
    Check(Ask),
}

#[derive(Debug, Clone, Args)]
pub struct QuarantineList {
    /// Also those that were released
    #[arg(long)]
    pub released: bool,
    /// Only of this directory
    #[arg(long, value_name = "NAME")]
    pub directory: Option<String>,
    #[command(flatten)]
    pub paging: Paging,
}

#[derive(Debug, Clone, Args)]
pub struct QuarantineShow {
    /// Its name or its SID
    pub host: String,
    /// The host's directory [default: `default`]
    #[arg(long, value_name = "NAME")]
    pub directory: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub struct QuarantineRelease {
    /// Its name or its SID
    pub host: String,
    /// Why it does not wait until old tickets must be dead
    #[arg(long, value_name = "REASON")]
    pub force: Option<String>,
    /// Why it may come back is said with --reason, which is required
    #[command(flatten)]
    pub ask: Ask,
}

/// `workflow report`.
#[derive(Debug, Clone, Args)]
pub struct Report {
    pub id: WorkflowId,
    /// A page to print instead of a table; nothing in it is loaded from elsewhere
    #[arg(long)]
    pub html: bool,
    /// Write it to this file instead of standard output: HTML with --html, else JSON
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}
