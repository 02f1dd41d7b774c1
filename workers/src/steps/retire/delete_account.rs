//! The account is deleted: the point of no return.

use async_trait::async_trait;
use directory::Entry;
use domain::Change;
use serde::{Deserialize, Serialize};

use super::{WhichAccount, held, standing};
use crate::steps::gmsa::{self, READERS};
use crate::steps::outputs::{not_as_written, to_value};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

/// What goes on record of an account with its deletion.
const HELD: [&str; 17] = [
    "objectClass",
    "objectSid",
    "objectGUID",
    "sAMAccountName",
    "userAccountControl",
    "accountExpires",
    "dNSHostName",
    "displayName",
    "description",
    "managedBy",
    "memberOf",
    "servicePrincipalName",
    "msDS-SupportedEncryptionTypes",
    "msDS-ManagedPasswordInterval",
    READERS,
    "msDS-AllowedToDelegateTo",
    "msDS-AllowedToActOnBehalfOfOtherIdentity",
];

pub struct DeleteAccount {
    pub name: &'static str,
    pub account: WhichAccount,
}

/// Output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeletedOutput {
    /// The account is not there any more, whoever deleted it.
    pub gone: bool,
}

#[async_trait]
impl Step for DeleteAccount {
    type Observed = Option<Entry>;

    fn name(&self) -> &'static str {
        self.name
    }

    /// By SID, right before: an object that has taken the account's name is another one.
    async fn check(&self, cx: &StepContext) -> Result<Option<Entry>, StepError> {
        let Some(account) = (self.account)(cx)? else { return Ok(None) };
        let found = cx.dc().await?.read(&(&account.sid).into(), &HELD).await;
        let found = found.map_err(|error| StepError::from(error).or_park())?;
        Ok(found.filter(|entry| entry.is_class(gmsa::CLASS)))
    }

    fn plan(&self, _: &StepContext, account: &Option<Entry>) -> Result<StepPlan, StepError> {
        let output = to_value(&DeletedOutput { gone: true })?;
        let Some(account) = account else {
            return Ok(StepPlan::nothing("there is no account any more", output));
        };
        let change = Change::delete(account.dn.clone(), held(account, &HELD)?);
        Ok(StepPlan::new(vec![change], format!("{} is deleted", account.dn), output))
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        match standing(cx, self.account).await? {
            Some(account) => Err(not_as_written(format!("{} is still there", account.dn)).or_park()),
            None => Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::ChangeKind;

    use super::*;
    use crate::steps::testing::{account, context};

    fn step() -> DeleteAccount {
        DeleteAccount { name: "delete-account", account: |_| Ok(None) }
    }

    #[test]
    fn a_deletion_shows_what_the_account_held_and_nothing_that_changes_by_itself() {
        let plan_of = |key: &str, password_set: &str| {
            let found = account(&[
                ("msDS-ManagedPasswordId", vec![key.as_bytes().to_vec()]),
                ("pwdLastSet", vec![password_set.as_bytes().to_vec()]),
                ("memberOf", vec![b"CN=Other,DC=contoso,DC=com".to_vec()]),
            ]);
            step().plan(&context(), &Some(found)).expect("a plan")
        };
        let planned = plan_of("a", "1");
        assert_eq!(planned, plan_of("b", "2"));
        let change = &planned.changes[0];
        assert_eq!(change.kind, ChangeKind::Delete);
        for attribute in ["objectSid", "servicePrincipalName", "msDS-GroupMSAMembership", "memberOf"] {
            assert!(change.attribute(attribute).is_some(), "{attribute}");
        }
    }

    #[test]
    fn an_account_that_is_gone_is_nothing_to_do() {
        assert!(step().plan(&context(), &None).expect("a plan").changes.is_empty());
    }
}
