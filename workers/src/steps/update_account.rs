//! `update-account` and `settle-spns`: the account's attributes as the changed manifest asks for them.

use async_trait::async_trait;
use directory::{Attribute, DirectoryRead, DirectoryWrite, Entry, Modification};
use domain::farm::AccountSpec;
use domain::{AttributeChange, AttributeOp, AttributeValue, Change, Dn, FarmSpec, Mode, Sid, Write};
use serde::{Deserialize, Serialize};

use super::find_farm::{self, FarmOutput};
use super::gmsa::diff::{account_changes, contains, rewritten, spn_changes};
use super::gmsa::fields::{DNS_HOST_NAME, SPNS};
use super::outputs::{not_as_written, to_value};
use crate::engine::execute;
use crate::{Step, StepContext, StepError, StepPlan, Verified};

/// Output of `update-account`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountUpdateOutput {
    /// Attributes that were changed.
    pub attributes: Vec<String>,
    /// The SPNs as the DC holds them then.
    pub service_principal_names: Vec<String>,
}

/// The smallest difference between the standing account and the manifest, as one Modify.
#[derive(Debug)]
pub struct UpdateAccount;

pub const UPDATE: &str = "update-account";

#[async_trait]
impl Step for UpdateAccount {
    type Observed = Entry;

    fn name(&self) -> &'static str {
        UPDATE
    }

    async fn check(&self, cx: &StepContext) -> Result<Entry, StepError> {
        read(cx).await
    }

    fn plan(&self, cx: &StepContext, found: &Entry) -> Result<StepPlan, StepError> {
        let changes = account_changes(&cx.facts()?.spec.account, &asked(cx)?, found);
        plan(&found.dn, changes, found)
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        let found = read(cx).await?;
        // The SPNs have a step of their own, which sees what the DC made of them.
        let mut left = account_changes(&cx.facts()?.spec.account, &asked(cx)?, &found);
        left.retain(|change| change.attribute != SPNS);
        if !left.is_empty() {
            return Err(not_as_written(format!("{} still differs in {}", found.dn, names(&left).join(", "))));
        }
        let mut output: AccountUpdateOutput = from(plan)?;
        output.service_principal_names = found.texts(SPNS);
        let detail = match output.attributes.is_empty() {
            true => format!("{} is as asked", found.dn),
            false => format!("{} has its new {}", found.dn, output.attributes.join(", ")),
        };
        Ok(Verified { output: to_value(&output)?, detail })
    }

    /// The way back changes dNSHostName as well, so the DC rewrites SPNs once more: they are put
    /// right afterwards.
    async fn undo(&self, cx: &StepContext, writes: &[Write]) -> Result<(), StepError> {
        for write in writes.iter().rev() {
            match Renamed::of(&write.change) {
                Some(renamed) => take_back(cx, write, &renamed).await?,
                None => execute::take_back(cx, std::slice::from_ref(write)).await?,
            }
        }
        Ok(())
    }
}

fn plan(dn: &Dn, changes: Vec<AttributeChange>, found: &Entry) -> Result<StepPlan, StepError> {
    let attributes = names(&changes);
    let swapped = changes.iter().find(|change| change.attribute == SPNS);
    let service_principal_names = match swapped.map(|change| &change.op) {
        Some(AttributeOp::Set { after, .. }) => after.iter().map(ToString::to_string).collect(),
        Some(AttributeOp::Values { added, removed }) => {
            let kept = found.texts(SPNS).into_iter();
            let kept = kept.filter(|has| !removed.iter().any(|gone| gone.to_string() == *has));
            kept.chain(added.iter().map(ToString::to_string)).collect()
        }
        None => found.texts(SPNS),
    };
    let expected =
        to_value(&AccountUpdateOutput { attributes: attributes.clone(), service_principal_names })?;
    Ok(match changes.is_empty() {
        true => StepPlan::nothing(format!("{dn} is as asked"), expected),
        false => {
            let detail = format!("{dn}: change {}", attributes.join(", "));
            StepPlan::new(vec![Change::modify(dn.clone(), changes)], detail, expected)
        }
    })
}

fn names(changes: &[AttributeChange]) -> Vec<String> {
    changes.iter().map(|change| change.attribute.clone()).collect()
}

fn from<T: serde::de::DeserializeOwned>(plan: &StepPlan) -> Result<T, StepError> {
    T::deserialize(&plan.expected).map_err(|error| not_as_written(format!("a plan cannot be read: {error}")))
}

fn asked(cx: &StepContext) -> Result<AccountSpec, StepError> {
    Ok(cx.input::<FarmSpec>()?.account)
}

/// The account by its SID, as every step of an update reads it.
pub(super) async fn read(cx: &StepContext) -> Result<Entry, StepError> {
    let farm: FarmOutput = cx.output(find_farm::NAME)?;
    read_by(cx.dc().await?.as_ref(), &farm.account.sid, &farm.account.dn).await
}

async fn read_by(dc: &dyn DirectoryRead, sid: &Sid, dn: &Dn) -> Result<Entry, StepError> {
    find_farm::read_account(dc, sid).await?.ok_or_else(|| find_farm::gone(dn))
}

/// A Modify that gave the account another dNSHostName.
struct Renamed {
    before: Option<String>,
    after: Option<String>,
    spns: Vec<String>,
}

impl Renamed {
    fn of(change: &Change) -> Option<Self> {
        let name = change.attribute(DNS_HOST_NAME)?;
        let first = |values: &[AttributeValue]| values.first().map(ToString::to_string);
        let spns = change.attribute(SPNS).map(AttributeChange::removed).unwrap_or_default();
        Some(Self {
            before: first(name.removed()),
            after: first(name.added()),
            spns: spns.iter().map(ToString::to_string).collect(),
        })
    }

    /// What is still to be done once the old name is back: `(to add, to remove)`.
    fn left(&self, found: &[String]) -> (Vec<String>, Vec<String>) {
        let made = match (&self.after, &self.before) {
            (Some(from), Some(to)) => rewritten(&self.spns, from, to),
            _ => Vec::new(),
        };
        let add = self.spns.iter().filter(|spn| !contains(found, spn)).cloned().collect();
        let by_the_dc = |has: &&String| contains(&made, has) && !contains(&self.spns, has);
        (add, found.iter().filter(by_the_dc).cloned().collect())
    }
}

async fn take_back(cx: &StepContext, write: &Write, renamed: &Renamed) -> Result<(), StepError> {
    let dc: &dyn DirectoryWrite = cx.dc().await?.as_ref();
    let dn = &write.change.dn;
    let Some(found) = dc.read(&dn.into(), &[DNS_HOST_NAME, SPNS]).await? else { return Ok(()) };
    let is_back =
        found.text(DNS_HOST_NAME).map(str::to_lowercase) == renamed.before.as_ref().map(|n| n.to_lowercase());
    let found = if is_back {
        found
    } else {
        execute::take_back(cx, std::slice::from_ref(write)).await?;
        let Some(found) = dc.read(&dn.into(), &[SPNS]).await? else { return Ok(()) };
        found
    };
    let (add, remove) = renamed.left(&found.texts(SPNS));
    let attribute = |values: Vec<String>| Attribute {
        name: SPNS.to_owned(),
        values: values.into_iter().map(String::into_bytes).collect(),
    };
    let mut modifications = Vec::new();
    if !remove.is_empty() {
        modifications.push(Modification::Delete(attribute(remove)));
    }
    if !add.is_empty() {
        modifications.push(Modification::Add(attribute(add)));
    }
    if !modifications.is_empty() && !cx.lease_is_lost() {
        dc.modify(dn, &modifications).await?;
    }
    Ok(())
}

/// The SPNs once more, after the DC has had its say: a new dNSHostName makes it rewrite those of the
/// old one, also one that is to stay.
#[derive(Debug)]
pub struct SettleSpns;

pub const SETTLE: &str = "settle-spns";

#[async_trait]
impl Step for SettleSpns {
    type Observed = Entry;

    fn name(&self) -> &'static str {
        SETTLE
    }

    async fn check(&self, cx: &StepContext) -> Result<Entry, StepError> {
        let found = read(cx).await?;
        if cx.mode == Mode::Apply {
            return Ok(found);
        }
        let expected: AccountUpdateOutput = cx.output(UPDATE)?;
        let spns = expected.service_principal_names.into_iter().map(String::into_bytes).collect();
        Ok(Entry::new(found.dn, [(SPNS.to_owned(), spns)]))
    }

    fn plan(&self, cx: &StepContext, found: &Entry) -> Result<StepPlan, StepError> {
        let expected = serde_json::Value::Null;
        Ok(match spn_changes(&asked(cx)?, found) {
            None => StepPlan::nothing("the SPNs are as asked", expected),
            Some(change) => {
                let detail = format!("{}: put back what the DC rewrites with the DNS name", found.dn);
                StepPlan::new(vec![Change::modify(found.dn.clone(), vec![change])], detail, expected)
            }
        })
    }

    async fn verify(&self, cx: &StepContext, _: &StepPlan) -> Result<Verified, StepError> {
        let found = read(cx).await?;
        match spn_changes(&asked(cx)?, &found) {
            None => {
                Ok(Verified { output: serde_json::Value::Null, detail: "the SPNs are as asked".to_owned() })
            }
            Some(_) => Err(not_as_written(format!("the SPNs of {} are not as asked", found.dn))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(spns: &[&str]) -> Renamed {
        let spns = spns.iter().map(|spn| (*spn).to_owned()).collect();
        Renamed { before: Some("a.x".into()), after: Some("b.x".into()), spns }
    }
    fn left(spns: &[&str], found: &[&str]) -> (Vec<String>, Vec<String>) {
        let found: Vec<_> = found.iter().map(|spn| (*spn).to_owned()).collect();
        renamed(spns).left(&found)
    }

    #[test]
    fn the_way_back_restores_spns_that_the_dc_rewrote_on_it() {
        // Both names before: on the way back the DC merges them.
        assert_eq!(left(&["http/a.x", "http/b.x"], &["http/a.x"]), (vec!["http/b.x".into()], vec![]));
        // The new name alone before: the DC makes it the old one.
        assert_eq!(left(&["http/b.x"], &["http/a.x"]), (vec!["http/b.x".into()], vec!["http/a.x".into()]));
        // All is back.
        assert_eq!(left(&["http/a.x", "http/b.x"], &["http/B.x", "http/a.x"]), (vec![], vec![]));
        // Somebody else's stays.
        assert_eq!(left(&["http/a.x"], &["http/a.x", "http/other"]), (vec![], vec![]));
    }
}
