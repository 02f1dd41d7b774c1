//! `install-on-hosts`: the hosts that are new to the farm fetch its password, as the farm's host
//! actions have it.

use async_trait::async_trait;
use domain::HostActionKind;

use super::PREFLIGHT;
use super::joining::JoiningOutput;
use crate::steps::find_farm::{self, FarmOutput};
use crate::steps::members::Standing;
use crate::steps::on_hosts::{HostJob, OnHosts};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "install-on-hosts";

#[derive(Debug)]
pub struct InstallOnHosts;

#[async_trait]
impl Step for InstallOnHosts {
    type Observed = HostJob;

    fn name(&self) -> &'static str {
        NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<HostJob, StepError> {
        work(cx)?.check(cx).await
    }

    fn plan(&self, cx: &StepContext, observed: &HostJob) -> Result<StepPlan, StepError> {
        work(cx)?.plan(cx, observed)
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        work(cx)?.verify(cx, plan).await
    }
}

fn work(cx: &StepContext) -> Result<OnHosts, StepError> {
    let by_group = cx.output::<FarmOutput>(find_farm::NAME)?.group.is_some();
    Ok(OnHosts {
        name: NAME,
        // A reader list that names the host itself needs no new ticket.
        actions: match by_group {
            true => |_| vec![HostActionKind::PurgeTickets, HostActionKind::Install, HostActionKind::Test],
            false => |_| vec![HostActionKind::Install, HostActionKind::Test],
        },
        job,
    })
}

/// Hosts that were in and on record have been seen to.
fn job(cx: &StepContext) -> Result<HostJob, StepError> {
    let joining: JoiningOutput = cx.output(PREFLIGHT)?;
    let account = cx.output::<FarmOutput>(find_farm::NAME)?.account.sam_account_name;
    let new = joining.hosts.into_iter().filter(|host| host.found == Standing::Absent || !host.on_record);
    Ok(HostJob { hosts: new.map(|joining| joining.host).collect(), account })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::membership::joining::Joining;
    use crate::steps::outputs::to_value;
    use crate::steps::testing::{self, farm_output, host};

    fn context(by_group: bool) -> StepContext {
        let joining = |name: &str, found, on_record| Joining { host: host(name), found, on_record };
        let hosts = vec![
            joining("Host1", Standing::Member, true),
            joining("Host2", Standing::Absent, true),
            joining("Host3", Standing::Member, false),
        ];
        let mut cx = testing::context();
        cx.set_output(find_farm::NAME, to_value(&farm_output(by_group)).expect("serialises"));
        let joining = JoiningOutput { hosts, warnings: vec![] };
        cx.set_output(PREFLIGHT, to_value(&joining).expect("serialises"));
        cx
    }

    #[test]
    fn only_hosts_that_are_new_to_the_farm_are_asked() {
        let names: Vec<_> =
            job(&context(true)).expect("a job").hosts.into_iter().map(|host| host.name).collect();
        assert_eq!(names, ["Host2", "Host3"]);
    }

    #[test]
    fn tickets_are_purged_only_where_the_group_is_in_them() {
        for (by_group, purges) in [(true, true), (false, false)] {
            let actions = (work(&context(by_group)).expect("work").actions)(&Default::default());
            assert_eq!(actions.contains(&HostActionKind::PurgeTickets), purges);
            assert!(actions.ends_with(&[HostActionKind::Install, HostActionKind::Test]));
        }
    }
}
