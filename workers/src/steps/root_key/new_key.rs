//! `new-root-key`: an administrator makes a key to move to; every DC has it before anything follows.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use directory::DirectoryRead;
use directory::preflight::{RootKey, root_keys};
use domain::{ErrorCode, Mode, Problem};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::by_hand::seen_later;
use super::inventory::{self, InventoryOutput};
use super::keys::{NewKey, new_key};
use crate::steps::everywhere::{Lag, Look, ask_every_dc, collect};
use crate::steps::outputs::{list, to_value};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "new-root-key";

/// Output. `None`s in a dry run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NewKeyOutput {
    pub root_key: Option<Uuid>,
    /// When every DC was seen to have it.
    pub seen_at: Option<DateTime<Utc>>,
    /// When DCs make passwords from it; `None` where its times are hidden from us.
    pub usable_at: Option<DateTime<Utc>>,
}

#[derive(Debug)]
pub struct NewRootKey;

#[async_trait]
impl Step for NewRootKey {
    type Observed = NewKeyOutput;

    fn name(&self) -> &'static str {
        NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<NewKeyOutput, StepError> {
        if cx.mode == Mode::Plan {
            return Ok(NewKeyOutput::default());
        }
        let stock: InventoryOutput = cx.output(inventory::NAME)?;
        let per_dc = collect(ask_every_dc(cx, &RootKeys).await?)?;
        let now = cx.environment.clock.now();
        match new_key(&per_dc, stock.root_key, &stock.root_keys) {
            NewKey::None => Err(seen_later(now, asked(), COMMANDS.to_owned())),
            NewKey::Behind(key, dcs) => Err(StepError::Retry {
                after: std::time::Duration::from_secs(10),
                problem: Problem::new(
                    ErrorCode::NotReplicated,
                    format!("the new root key {key} has not reached {}", list(&dcs)),
                    "replication of the configuration takes its time between sites; if it lasts, look at \
                     `repadmin /showrepl`",
                ),
            }),
            NewKey::Everywhere(key) => {
                Ok(NewKeyOutput { root_key: Some(key.id), seen_at: Some(now), usable_at: key.usable_at() })
            }
        }
    }

    fn plan(&self, _: &StepContext, found: &NewKeyOutput) -> Result<StepPlan, StepError> {
        let detail = match found.root_key {
            Some(key) => format!("every DC has the new root key {key}"),
            None => format!("an administrator would be asked for a new root key ({COMMANDS})"),
        };
        Ok(StepPlan::nothing(detail, to_value(found)?))
    }

    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

const COMMANDS: &str = "as an Enterprise Admin, on a DC that the attacker never had: `Add-KdsRootKey -EffectiveImmediately` \
                        (Samba: `samba-tool domain kds root-key create`)";

fn asked() -> String {
    "make a new KDS root key; it is seen here by itself when it is there".to_owned()
}

/// The root keys that one DC shows.
pub struct RootKeys;

#[async_trait]
impl Look for RootKeys {
    type Seen = (String, Vec<RootKey>);

    async fn look(&self, dc: &dyn DirectoryRead) -> Result<Self::Seen, Lag> {
        let keys = root_keys(dc).await?.ok_or_else(|| {
            StepError::park(
                ErrorCode::RightsMissing,
                "the root keys cannot be listed, so that a new one cannot be told from none",
                "let Farmhand's account list CN=Master Root Keys (Authenticated Users may by default), then \
                 resume the workflow",
            )
        })?;
        Ok((dc.dc().to_owned(), keys))
    }
}
