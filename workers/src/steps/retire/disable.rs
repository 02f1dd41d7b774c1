//! The account is disabled: no DC lets anybody log on as it, whoever still has its key.

use async_trait::async_trait;
use directory::Entry;
use domain::{AttributeChange, Change, ErrorCode};
use serde_json::Value;

use super::{DISABLED, WhichAccount, is_disabled, standing};
use crate::steps::outputs::not_as_written;
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub struct DisableAccount {
    pub name: &'static str,
    pub account: WhichAccount,
}

#[async_trait]
impl Step for DisableAccount {
    type Observed = Option<Entry>;

    fn name(&self) -> &'static str {
        self.name
    }

    async fn check(&self, cx: &StepContext) -> Result<Option<Entry>, StepError> {
        standing(cx, self.account).await
    }

    fn plan(&self, _: &StepContext, account: &Option<Entry>) -> Result<StepPlan, StepError> {
        plan(account.as_ref())
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        match standing(cx, self.account).await? {
            Some(account) if !is_disabled(&account) => {
                Err(not_as_written(format!("{} is enabled again", account.dn)))
            }
            _ => Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() }),
        }
    }
}

fn plan(account: Option<&Entry>) -> Result<StepPlan, StepError> {
    let Some(account) = account else {
        return Ok(StepPlan::skip("there is no account that could be disabled"));
    };
    let Some(control) = account.int("userAccountControl") else {
        return Err(StepError::fail(
            ErrorCode::DirectoryMalformed,
            format!("userAccountControl of {} cannot be read", account.dn),
            "let Farmhand's account read it (Authenticated Users may by default), then ask again",
        ));
    };
    if is_disabled(account) {
        return Ok(StepPlan::nothing(format!("{} is disabled", account.dn), Value::Null));
    }
    // Whole, with the value that was read: another bit that somebody sets meanwhile is not lost.
    let (before, after) = (control.to_string(), (control | DISABLED).to_string());
    let change = AttributeChange::set("userAccountControl", vec![before.into()], vec![after.into()]);
    let detail = format!("{} is disabled now", account.dn);
    Ok(StepPlan::new(vec![Change::modify(account.dn.clone(), vec![change])], detail, Value::Null))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::account;

    fn control(value: &str) -> Entry {
        account(&[("userAccountControl", vec![value.as_bytes().to_vec()])])
    }

    #[test]
    fn one_bit_is_set_and_the_others_are_kept() {
        for (before, after) in [("4096", "4098"), ("1052672", "1052674"), ("4128", "4130")] {
            let planned = plan(Some(&control(before))).expect("a plan");
            let change = &planned.changes[0].attributes[0];
            assert_eq!((change.removed(), change.added()), (&[before.into()][..], &[after.into()][..]));
        }
    }

    #[test]
    fn what_is_disabled_is_left_and_what_is_gone_is_skipped() {
        assert!(plan(Some(&control("4098"))).expect("a plan").changes.is_empty());
        assert!(plan(None).expect("a plan").skipped);
        let unread = account(&[("userAccountControl", vec![])]);
        assert_eq!(plan(Some(&unread)).expect_err("no guess").problem().code, ErrorCode::DirectoryMalformed);
    }
}
