//! `remove-root-key`: the exposed key goes, when nothing is made from it any more.

use async_trait::async_trait;
use directory::preflight::root_key_dn;
use domain::request::KdsRootKeyRecoveryRequest;
use domain::{Dn, ErrorCode, Mode, Problem};
use serde::{Deserialize, Serialize};

use super::by_hand::{quoted, seen_later};
use super::inventory::{self, InventoryOutput};
use super::new_key::RootKeys;
use crate::steps::everywhere::{ask_every_dc, collect};
use crate::steps::outputs::{list, to_value};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "remove-root-key";

/// Output. Empty in a dry run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RemovedOutput {
    /// dNSHostName of each DC that does not have it any more.
    pub domain_controllers: Vec<String>,
}

#[derive(Debug)]
pub struct RemoveRootKey;

#[async_trait]
impl Step for RemoveRootKey {
    type Observed = RemovedOutput;

    fn name(&self) -> &'static str {
        NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<RemovedOutput, StepError> {
        if cx.mode == Mode::Plan {
            return Ok(RemovedOutput::default());
        }
        let key = cx.input::<KdsRootKeyRecoveryRequest>()?.root_key;
        let per_dc = collect(ask_every_dc(cx, &RootKeys).await?)?;
        let (gone, there): (Vec<_>, Vec<_>) =
            per_dc.into_iter().partition(|(_, keys)| keys.iter().all(|known| known.id != key));
        let names = |dcs: Vec<(String, _)>| dcs.into_iter().map(|(dc, _)| dc).collect::<Vec<_>>();
        if there.is_empty() {
            return Ok(RemovedOutput { domain_controllers: names(gone) });
        }
        if !gone.is_empty() {
            return Err(lagging(&names(there)));
        }
        let dn = root_key_dn(cx.dc().await?.as_ref(), key).await?;
        let stock: InventoryOutput = cx.output(inventory::NAME)?;
        Err(seen_later(cx.environment.clock.now(), ask(&dn, &stock.warnings), command(&dn)))
    }

    fn plan(&self, _: &StepContext, removed: &RemovedOutput) -> Result<StepPlan, StepError> {
        let detail = match removed.domain_controllers.len() {
            0 => "an administrator would be asked to remove the exposed root key".to_owned(),
            _ => format!("the exposed root key is gone from {}", list(&removed.domain_controllers)),
        };
        Ok(StepPlan::nothing(detail, to_value(removed)?))
    }

    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

fn ask(dn: &Dn, warnings: &[String]) -> String {
    let noted = warnings.iter().map(|warning| format!("; {warning}")).collect::<String>();
    format!("nothing is made from the exposed root key any more: remove {dn}{noted}")
}

fn command(dn: &Dn) -> String {
    format!(
        "as an Enterprise Admin: Remove-ADObject -Identity {} (Samba: samba-tool domain kds root-key delete --name {}); \
         it is seen here by itself when every DC has lost it",
        quoted(dn.as_str()),
        dn.rdn().value,
    )
}

fn lagging(dcs: &[String]) -> StepError {
    StepError::Retry {
        after: std::time::Duration::from_secs(10),
        problem: Problem::new(
            ErrorCode::NotReplicated,
            format!("the removal of the exposed root key has not reached {}", list(dcs)),
            "replication of the configuration takes its time between sites; if it lasts, look at \
             `repadmin /showrepl`",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::dn;

    #[test]
    fn the_key_is_named_whole_in_what_is_to_be_run() {
        let key = dn("CN=0d2f1a1c-0000-0000-0000-000000000001,CN=Master Root Keys,DC=contoso,DC=com");
        let command = command(&key);
        assert!(command.contains(&format!("Remove-ADObject -Identity '{key}'")), "{command}");
        assert!(ask(&key, &["other domains".into()]).ends_with("; other domains"));
    }
}
