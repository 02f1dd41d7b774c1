//! `uninstall-from-hosts`: the leaving hosts forget the account while they still can say so.

use domain::HostActionKind;

use super::PREFLIGHT;
use super::leaving::LeavingOutput;
use crate::steps::find_farm::{self, FarmOutput};
use crate::steps::on_hosts::{HostJob, OnHosts};
use crate::{StepContext, StepError};

pub const NAME: &str = "uninstall-from-hosts";

pub fn step() -> OnHosts {
    OnHosts { name: NAME, actions: |_| vec![HostActionKind::Uninstall], job }
}

/// Hosts that are there and were in the farm.
fn job(cx: &StepContext) -> Result<HostJob, StepError> {
    let leaving: LeavingOutput = cx.output(PREFLIGHT)?;
    let account = cx.output::<FarmOutput>(find_farm::NAME)?.account.sam_account_name;
    let hosts =
        leaving.hosts.into_iter().filter(|host| host.was_in()).filter_map(|host| host.computer).collect();
    Ok(HostJob { hosts, account })
}
