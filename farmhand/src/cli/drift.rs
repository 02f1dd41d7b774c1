//! `drift-check` and `drift`.

use clap::{Args, Subcommand};
use domain::DriftState;

use super::{Ask, Paging};

#[derive(Debug, Clone, Args)]
pub struct DriftCheck {
    /// Only this farm [default: every deployed farm of the directory]
    pub farm: Option<String>,
    /// Compare every farm, whether or not anything has changed about it
    #[arg(long)]
    pub full: bool,
    #[command(flatten)]
    pub ask: Ask,
}

#[derive(Debug, Clone, Subcommand)]
pub enum Drift {
    /// Farms and how they stand
    List(DriftList),
    /// One farm: asked, recorded and found, attribute by attribute and reader by reader
    Show(DriftShow),
}

#[derive(Debug, Clone, Args)]
pub struct DriftList {
    /// Only those that are so: in-line, drifted, mending, cannot-tell
    #[arg(long)]
    pub state: Option<DriftState>,
    /// Only of this directory [default: all]
    #[arg(long, value_name = "NAME")]
    pub directory: Option<String>,
    #[command(flatten)]
    pub paging: Paging,
}

#[derive(Debug, Clone, Args)]
pub struct DriftShow {
    pub farm: String,
    /// The farm's directory [default: `default`]
    #[arg(long, value_name = "NAME")]
    pub directory: Option<String>,
}
