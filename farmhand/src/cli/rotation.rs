//! `rotation-check` and `rotation`.

use clap::Args;
use domain::RotationVerdict;
use domain::rotation::FindingCode;

use super::{Ask, Paging};

#[derive(Debug, Clone, Args)]
pub struct RotationCheck {
    /// Only this farm's account [default: every gMSA of the directory]
    #[arg(long, value_name = "FARM")]
    pub farm: Option<String>,
    /// Ask every writable DC for its own copy, not only the one that answers
    #[arg(long)]
    pub every_dc: bool,
    #[command(flatten)]
    pub ask: Ask,
}

#[derive(Debug, Clone, Args)]
pub struct Rotation {
    /// One account with its changes, by name or SID [default: the board]
    pub account: Option<String>,
    /// Only with this verdict: current, rolling, due, idle, never, overdue, cannot-tell
    #[arg(long)]
    pub verdict: Option<RotationVerdict>,
    /// Only of this farm
    #[arg(long)]
    pub farm: Option<String>,
    /// Only with this finding, e.g. host-cannot-read
    #[arg(long, value_name = "CODE")]
    pub finding: Option<FindingCode>,
    /// Only of this directory [default: all; of one account: `default`]
    #[arg(long, value_name = "NAME")]
    pub directory: Option<String>,
    /// Accounts that are gone, instead of those that are there
    #[arg(long)]
    pub gone: bool,
    #[command(flatten)]
    pub paging: Paging,
}
