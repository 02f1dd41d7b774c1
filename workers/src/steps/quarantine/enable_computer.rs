//! `enable-computer`: the computer account is enabled again, if a containment had disabled it.

use async_trait::async_trait;
use directory::{Base, DirectoryRead, Entry};
use domain::{AttributeChange, Change, Dn, ErrorCode};
use serde::{Deserialize, Serialize};

use super::find::{self, Found};
use crate::steps::everywhere::{Lag, Look, every_dc};
use crate::steps::gmsa::fields::{CONTROL, DISABLED};
use crate::steps::outputs::to_value;
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "enable-computer";

/// Output: what becomes of the computer account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ComputerEnabled {
    Enabled,
    /// No containment disabled it.
    LeftAsItIs,
    /// Deleted, or rebuilt with another SID.
    Gone,
}

#[derive(Debug)]
pub struct EnableComputer;

pub enum Observed {
    NotOurs,
    /// Each DC's copy.
    Copies(Vec<(String, Option<Entry>)>),
}

#[async_trait]
impl Step for EnableComputer {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<Observed, StepError> {
        let found: Found = cx.output(find::NAME)?;
        match found.quarantine.computer_disabled {
            false => Ok(Observed::NotOurs),
            true => Ok(Observed::Copies(copies(cx, &found).await?)),
        }
    }

    fn plan(&self, _: &StepContext, observed: &Observed) -> Result<StepPlan, StepError> {
        plan(observed)
    }

    /// Read back at the end, with all the rest.
    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

pub async fn copies(cx: &StepContext, found: &Found) -> Result<Vec<(String, Option<Entry>)>, StepError> {
    every_dc(cx, &Computer(Base::from(&found.quarantine.host_sid))).await
}

struct Computer(Base);

#[async_trait]
impl Look for Computer {
    type Seen = (String, Option<Entry>);

    async fn look(&self, dc: &dyn DirectoryRead) -> Result<Self::Seen, Lag> {
        Ok((dc.dc().to_owned(), dc.read(&self.0, &[CONTROL]).await?))
    }
}

fn plan(observed: &Observed) -> Result<StepPlan, StepError> {
    let Observed::Copies(copies) = observed else {
        let detail = "no containment disabled the computer account: it is left as it is";
        return Ok(StepPlan::nothing(detail, to_value(&ComputerEnabled::LeftAsItIs)?));
    };
    let Some(dn) = copies.iter().find_map(|(_, copy)| copy.as_ref()).map(|copy| &copy.dn) else {
        let detail = "the computer account is gone: there is nothing to enable";
        return Ok(StepPlan::nothing(detail, to_value(&ComputerEnabled::Gone)?));
    };
    let changes = enabling(copies)?;
    let detail = match changes.len() {
        0 => format!("{dn} is enabled"),
        _ => format!("{dn} is enabled again"),
    };
    Ok(StepPlan::new(changes, detail, to_value(&ComputerEnabled::Enabled)?))
}

/// One bit, on every DC where it is set.
pub fn enabling(copies: &[(String, Option<Entry>)]) -> Result<Vec<Change>, StepError> {
    let mut changes = Vec::new();
    for (dc, copy) in copies.iter().filter_map(|(dc, copy)| Some((dc, copy.as_ref()?))) {
        let control = copy.int(CONTROL).ok_or_else(|| unread(&copy.dn))?;
        if control & DISABLED == 0 {
            continue;
        }
        let (before, after) = (control.to_string(), (control & !DISABLED).to_string());
        let change = AttributeChange::set(CONTROL, vec![before.into()], vec![after.into()]);
        changes.push(Change::modify(copy.dn.clone(), vec![change]).at(dc));
    }
    Ok(changes)
}

fn unread(dn: &Dn) -> StepError {
    StepError::fail(
        ErrorCode::DirectoryMalformed,
        format!("userAccountControl of {dn} cannot be read"),
        "let Farmhand's account read it (Authenticated Users may by default), then ask again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::entry;

    fn copy(dc: &str, control: Option<&str>) -> (String, Option<Entry>) {
        let at = "CN=Host1,OU=Servers,DC=contoso,DC=com";
        (dc.to_owned(), control.map(|control| entry(at, &[(CONTROL, control)])))
    }

    #[test]
    fn one_bit_is_cleared_where_it_is_set_and_the_others_are_kept() {
        let copies = vec![copy("dc1", Some("4130")), copy("dc2", Some("4128")), copy("dc3", None)];
        let planned = plan(&Observed::Copies(copies)).expect("a plan");
        assert_eq!(planned.changes.len(), 1);
        let change = &planned.changes[0];
        assert_eq!((change.dc.as_deref(), change.attributes[0].added()), (Some("dc1"), &["4128".into()][..]));
    }

    #[test]
    fn what_is_gone_or_was_never_ours_is_not_enabled() {
        let gone = plan(&Observed::Copies(vec![copy("dc1", None)])).expect("a plan");
        assert_eq!((gone.changes.len(), gone.expected), (0, "gone".into()));
        let kept = plan(&Observed::NotOurs).expect("a plan");
        assert_eq!((kept.changes.len(), kept.expected), (0, "left-as-it-is".into()));
        let error = plan(&Observed::Copies(vec![copy("dc1", Some(""))])).expect_err("not to be seen");
        assert_eq!(error.problem().code, ErrorCode::DirectoryMalformed);
    }
}
