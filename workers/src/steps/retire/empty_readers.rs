//! The reader list is emptied: from the next question on a DC gives nobody the password.
//!
//! A DC asks this list at every read, so it works at once; taking hosts out of the group would
//! work only when their Kerberos tickets run out, hours later, and would take from them what else
//! the group gives. So the group is left alone here. The list is emptied, not removed: Samba fails a
//! whole search that meets an account without one.

use async_trait::async_trait;
use directory::Entry;
use domain::Sid;
use serde_json::Value;

use super::{WhichAccount, name_of, standing};
use crate::steps::gmsa::{change_readers, readers_of};
use crate::steps::outputs::not_as_written;
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub struct EmptyReaders {
    pub name: &'static str,
    pub account: WhichAccount,
}

/// The account, and the names of whom its list mentions.
pub struct Observed {
    account: Option<Entry>,
    names: Vec<(Sid, String)>,
}

#[async_trait]
impl Step for EmptyReaders {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        self.name
    }

    async fn check(&self, cx: &StepContext) -> Result<Observed, StepError> {
        let account = standing(cx, self.account).await?;
        let readers = account.as_ref().map(readers_of).transpose()?.flatten();
        let mentioned = readers.map(|readers| [readers.readers(), readers.denied()].concat());
        let dc = cx.dc().await?.as_ref();
        let mut names = Vec::new();
        for sid in mentioned.unwrap_or_default() {
            if let Some(name) = name_of(dc, &sid).await? {
                names.push((sid, name));
            }
        }
        Ok(Observed { account, names })
    }

    fn plan(&self, _: &StepContext, observed: &Observed) -> Result<StepPlan, StepError> {
        plan(observed)
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        let account = standing(cx, self.account).await?;
        let readers = account.as_ref().map(readers_of).transpose()?.flatten();
        match readers {
            Some(readers) if readers.may_let_somebody_read() => {
                Err(not_as_written("the reader list names somebody again"))
            }
            _ => Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() }),
        }
    }
}

fn plan(observed: &Observed) -> Result<StepPlan, StepError> {
    let Some(account) = &observed.account else {
        return Ok(StepPlan::skip("there is no account whose readers could be emptied"));
    };
    let name = |sid: &Sid| {
        let known = observed.names.iter().find(|(known, _)| known == sid);
        known.map(|(_, name)| name.clone())
    };
    let change = change_readers(account, name, |readers| {
        readers.allow_nobody();
    })?;
    Ok(match change {
        Some(change) => {
            let detail = format!("nobody may read the password of {} any more", account.dn);
            StepPlan::new(vec![change], detail, Value::Null)
        }
        None => StepPlan::nothing(format!("nobody may read the password of {}", account.dn), Value::Null),
    })
}

#[cfg(test)]
mod tests {
    use directory::security::ReaderDescriptor;

    use super::*;
    use crate::steps::gmsa::READERS;
    use crate::steps::testing::{account, sid};

    fn planned(readers: Vec<Vec<u8>>) -> StepPlan {
        let account = Some(account(&[(READERS, readers)]));
        plan(&Observed { account, names: vec![(sid(1200), "ITFarmHosts".into())] }).expect("a plan")
    }
    fn after(plan: &StepPlan) -> ReaderDescriptor {
        let bytes = plan.changes[0].attributes[0].added()[0].wire().expect("bytes").to_vec();
        ReaderDescriptor::from_bytes(&bytes).expect("a valid descriptor")
    }

    #[test]
    fn every_entry_that_allows_goes_and_every_one_that_denies_stays() {
        let mut readers = ReaderDescriptor::allowing([&sid(1200), &sid(1101)]);
        readers.deny(&sid(1102));
        let planned = planned(vec![readers.to_bytes().expect("fits")]);
        let after = after(&planned);
        assert_eq!((after.readers(), after.denied()), (vec![], vec![sid(1102)]));
        assert!(!after.may_let_somebody_read());
        let before = planned.changes[0].attributes[0].removed()[0].to_string();
        assert!(before.contains("ITFarmHosts"), "{before}");
    }

    #[test]
    fn a_list_that_is_empty_is_left_and_one_that_is_missing_is_made() {
        let empty = ReaderDescriptor::allowing([]).to_bytes().expect("fits");
        assert!(planned(vec![empty]).changes.is_empty());
        assert!(!after(&planned(vec![])).may_let_somebody_read());
    }

    #[test]
    fn an_account_that_is_gone_is_nothing_to_do() {
        assert!(plan(&Observed { account: None, names: vec![] }).expect("a plan").skipped);
    }
}
