//! `survey-account` and `survey-again`: the old account as it is, and the new one as it will be.
//!
//! Read only. The first is for the one who approves: it shows what will be lost. The second runs
//! when approval was given, right before anything is written: what somebody changed meanwhile is
//! carried over too, and since it is rehearsed with everything behind it, an approval of something
//! else is void.

use async_trait::async_trait;
use directory::preflight::{account_name_users, rights_on};
use directory::{Base, DirectoryRead, Entry, Scope, Search};
use domain::request::ReplaceRequest;
use domain::{AccountName, Dn, ErrorCode, Sid};

use super::carry::{self, Asked, Carried, SAM};
use super::{NewAccount, OldAccount, Parking, Survey, hosts, losses};
use crate::steps::find_farm::{self, FarmOutput};
use crate::steps::outputs::{count, to_value};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const BEFORE_APPROVAL: &str = "survey-account";
pub const AFRESH: &str = "survey-again";

/// Domain Computers: the primary group that a DC gives.
const DOMAIN_COMPUTERS: i64 = 515;
/// Names are at most so long in front of the `$`.
const LONGEST: usize = 15;

pub struct SurveyAccount {
    pub name: &'static str,
}

#[async_trait]
impl Step for SurveyAccount {
    type Observed = Option<Survey>;

    fn name(&self) -> &'static str {
        self.name
    }

    async fn check(&self, cx: &StepContext) -> Result<Self::Observed, StepError> {
        let request: ReplaceRequest = cx.input()?;
        if cx.facts()?.account_sid != request.account_sid {
            return Ok(None);
        }
        survey(cx, &request).await.map(Some)
    }

    fn plan(&self, cx: &StepContext, survey: &Self::Observed) -> Result<StepPlan, StepError> {
        let Some(survey) = survey else {
            let now = &cx.facts()?.account_sid;
            return Ok(StepPlan::skip(format!("it has been replaced already: the farm's account is {now}")));
        };
        Ok(StepPlan::nothing(summary(survey), to_value(survey)?))
    }

    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

fn summary(survey: &Survey) -> String {
    let attributes = count(survey.carried.len() + survey.names.len(), "attribute");
    let (groups, hosts) = (count(survey.groups.len(), "group"), count(survey.hosts.len(), "host"));
    let way = match &survey.parking {
        Some(parking) => {
            format!("under the same name, the old one as {} until it is deleted", parking.sam_account_name)
        }
        None => format!("side by side as {}", survey.new.sam_account_name),
    };
    let losses = survey.not_carried_over.join("; ");
    format!(
        "{} ({}) is replaced {way}: {attributes}, {groups}, {hosts} are carried over. NOT carried over: {losses}",
        survey.old.sam_account_name, survey.old.sid
    )
}

async fn survey(cx: &StepContext, request: &ReplaceRequest) -> Result<Survey, StepError> {
    let farm: FarmOutput = cx.output(find_farm::NAME)?;
    let dc: &dyn DirectoryRead = cx.dc().await?.as_ref();
    let sid = &request.account_sid;
    let old = dc.read(&Base::from(sid), &["*"]).await?.ok_or_else(|| find_farm::gone(&farm.account.dn))?;
    let guid = old.guid("objectGUID").ok_or_else(|| find_farm::gone(&old.dn))?;
    let sam = old.text(SAM).unwrap_or_default().to_owned();
    let (new, parking) = names(cx, dc, &old, &sam, request).await?;
    let rights = rights_on(dc, &old.dn).await?.ok_or_else(|| find_farm::gone(&old.dn))?;
    let reader_name = |sid: &Sid| {
        let group = farm.group.as_ref().filter(|group| group.sid.as_ref() == Some(sid));
        group.map(|group| group.name.clone())
    };
    let asked = Asked {
        sam_account_name: &new.sam_account_name,
        interval: new.managed_password_interval_in_days,
        delegates: may_delegate(dc).await?,
        reader_name: &reader_name,
    };
    let Carried { attributes: carried, names, losses: mut lost } = carry::carry(&old, &rights, &asked);
    let groups = groups(cx, dc, &old, sid, &farm.domain, &mut lost).await?;
    lost.extend(losses::naming(dc, &farm.domain, &old.dn, sid).await?);
    let managed = old.dns("managedObjects");
    lost.extend(managed.iter().map(|dn| format!("managedBy of {dn} names the old account")));
    lost.push(losses::unseen(sid));
    Ok(Survey {
        hosts: hosts::of_farm(dc, &farm, &old).await?,
        domain: farm.domain,
        old: OldAccount { dn: old.dn, sid: sid.clone(), guid, sam_account_name: sam },
        new,
        parking,
        carried,
        names,
        groups,
        not_carried_over: lost,
    })
}

/// SeEnableDelegationPrivilege cannot be asked for; by default administrators have it, and who we are
/// the DC says.
async fn may_delegate(dc: &dyn DirectoryRead) -> Result<bool, StepError> {
    let token = dc.read(&Base::Root, &["tokenGroups"]).await?;
    let administrators = Sid::new(5, vec![32, 544]).map(|sid| sid.to_bytes()).unwrap_or_default();
    Ok(token.is_some_and(|token| token.values("tokenGroups").contains(&administrators)))
}

/// The new account's names, and where the old one is parked for them.
async fn names(
    cx: &StepContext,
    dc: &dyn DirectoryRead,
    old: &Entry,
    sam: &str,
    request: &ReplaceRequest,
) -> Result<(NewAccount, Option<Parking>), StepError> {
    let container = old.dn.parent().ok_or_else(|| find_farm::gone(&old.dn))?;
    let interval = request.managed_password_interval_in_days.map(|days| i64::from(days.days()));
    let managed_password_interval_in_days =
        interval.or_else(|| old.int("msDS-ManagedPasswordInterval")).unwrap_or(30);
    if let Some(name) = &request.new_account {
        let dn = container.child("CN", name.as_str());
        if let Some(holder) = holder(cx, dc, &container, name).await? {
            return Err(StepError::fail(
                ErrorCode::AccountNameTaken,
                format!("{} is taken by {holder}", name.sam_account_name()),
                "choose another name for the new account, or leave it out to keep the old one's",
            ));
        }
        let sam_account_name = name.sam_account_name();
        return Ok((NewAccount { dn, sam_account_name, managed_password_interval_in_days }, None));
    }
    let new = NewAccount {
        dn: old.dn.clone(),
        sam_account_name: sam.to_owned(),
        managed_password_interval_in_days,
    };
    for name in parking_names(sam) {
        if holder(cx, dc, &container, &name).await?.is_none() {
            let dn = container.child("CN", name.as_str());
            return Ok((new, Some(Parking { dn, sam_account_name: name.sam_account_name() })));
        }
    }
    Err(StepError::fail(
        ErrorCode::AccountNameTaken,
        format!("every name under which {sam} could be parked is taken"),
        "delete accounts that earlier replacements left behind (NAME-old$, NAME-old2$, ...)",
    ))
}

/// Who has that account name or that place in the container.
async fn holder(
    cx: &StepContext,
    dc: &dyn DirectoryRead,
    container: &Dn,
    name: &AccountName,
) -> Result<Option<Dn>, StepError> {
    let catalog = cx.forest()?.global_catalog().await?;
    let users = account_name_users(dc, Some(catalog.as_ref()), name).await?;
    if let Some(user) = users.into_iter().next() {
        return Ok(Some(user.dn));
    }
    let place = container.child("CN", name.as_str());
    Ok(dc.read(&Base::from(&place), &["cn"]).await?.map(|entry| entry.dn))
}

/// What an account may be parked as: its name with a tail, at most 15 characters.
fn parking_names(sam: &str) -> Vec<AccountName> {
    let plain: String = sam.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect();
    let tails = std::iter::once("-old".to_owned()).chain((2..=9).map(|number| format!("-old{number}")));
    let named = |tail: String| {
        let head: String = plain.chars().take(LONGEST - tail.len()).collect();
        AccountName::parse(&format!("{head}{tail}")).ok()
    };
    tails.filter_map(named).collect()
}

/// The groups that the new account can be put into; the others are lost.
async fn groups(
    cx: &StepContext,
    dc: &dyn DirectoryRead,
    old: &Entry,
    sid: &Sid,
    domain: &Dn,
    lost: &mut Vec<String>,
) -> Result<Vec<Dn>, StepError> {
    // A DC shows its own domain's groups, the catalogue the universal ones of others.
    let catalog = cx.forest()?.global_catalog().await?;
    let seen = Search::new(Base::Root, Scope::Subtree, format!("(objectSid={sid})"), &["memberOf"]);
    let mut all = old.dns("memberOf");
    all.extend(catalog.search(&seen).await?.iter().flat_map(|entry| entry.dns("memberOf")));
    all.sort();
    all.dedup();
    let mut ours = Vec::new();
    for group in all {
        let rights = if group.is_within(domain) { rights_on(dc, &group).await? } else { None };
        match rights.is_some_and(|rights| rights.can_write("member")) {
            true => ours.push(group),
            false => lost.push(format!("membership in {group}: we have no right to write its members")),
        }
    }
    match old.int("primaryGroupID") {
        Some(rid) if rid != DOMAIN_COMPUTERS => {
            lost.push(format!("primaryGroupID {rid}: the new account's is {DOMAIN_COMPUTERS}"));
        }
        _ => {}
    }
    Ok(ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parking_names_fit_and_do_not_meet() {
        let names: Vec<_> =
            parking_names("AVeryLongName15$").iter().map(AccountName::sam_account_name).collect();
        assert_eq!(names[..2], ["AVeryLongNa-old$", "AVeryLongN-old2$"]);
        assert_eq!(names.len(), 9);
        assert!(names.iter().all(|name| name.len() <= 16));
        assert_eq!(parking_names("a b.c$")[0].as_str(), "abc-old");
    }
}
