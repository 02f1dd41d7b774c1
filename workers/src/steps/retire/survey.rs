//! `preflight`, of a farm that is to end: everything that will be lost, and whether we may.
//!
//! Read only. What it lists is what the second person who approves should know: the hosts on record,
//! who else reads the password, what the account is a member of, the SPNs that nobody answers for
//! afterwards, and whether the group goes too.

use async_trait::async_trait;
use directory::preflight::{self as ask, Preferred};
use directory::{DirectoryRead, Entry};
use domain::{Dn, DnsHostName, ErrorCode, PrincipalRef};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::{RemainsOutput, group_use, name_of, standing};

use crate::steps::gmsa::{READERS, Reader, readers_of};
use crate::steps::outputs::{count, list, to_value};
use crate::steps::preflight::{self, HostTarget};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

/// Hosts that are looked up side by side.
const AT_ONCE: usize = 8;

/// Output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SurveyOutput {
    /// The hosts on record that the directory has.
    pub hosts: Vec<HostTarget>,
    /// Who else may read the password: neither the farm's group nor a host on record.
    pub further_readers: Vec<Reader>,
    /// Members of the farm's group that are no host on record.
    pub further_members: Vec<Dn>,
    /// Groups that the account itself is a member of.
    pub member_of: Vec<Dn>,
    pub service_principal_names: Vec<String>,
    /// `null`: it goes with the farm, or there is none.
    pub group_kept_because: Option<String>,
    pub warnings: Vec<String>,
}

impl SurveyOutput {
    /// As later steps find it.
    pub fn of(cx: &StepContext) -> Result<Self, StepError> {
        Ok(cx.output::<Option<Self>>(preflight::NAME)?.unwrap_or_default())
    }

    /// A [`super::WhichHosts`].
    pub fn hosts(cx: &StepContext) -> Result<Vec<HostTarget>, StepError> {
        Ok(Self::of(cx)?.hosts)
    }
}

#[derive(Debug)]
pub struct Survey;

#[async_trait]
impl Step for Survey {
    /// `None`: nothing is left to look at.
    type Observed = Option<SurveyOutput>;

    fn name(&self) -> &'static str {
        preflight::NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<Option<SurveyOutput>, StepError> {
        let remains = RemainsOutput::of(cx)?;
        if remains.decommissioned {
            return Ok(None);
        }
        survey(cx, &remains).await.map(Some)
    }

    fn plan(&self, _: &StepContext, found: &Option<SurveyOutput>) -> Result<StepPlan, StepError> {
        match found {
            None => Ok(StepPlan::skip("nothing is left of the farm")),
            Some(found) => Ok(StepPlan::nothing(detail(found), to_value(found)?)),
        }
    }

    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

async fn survey(cx: &StepContext, remains: &RemainsOutput) -> Result<SurveyOutput, StepError> {
    let dc: &dyn DirectoryRead = cx.dc().await?.as_ref();
    let (hosts, missing) = hosts(dc, &cx.facts()?.spec.hosts).await?;
    let group = group_use::look(cx, remains.group.as_ref(), remains.account.as_ref(), &hosts).await?;
    let mut found = SurveyOutput {
        further_members: group.as_ref().map(|seen| seen.others.clone()).unwrap_or_default(),
        group_kept_because: group.as_ref().and_then(group_use::Seen::kept_because),
        hosts,
        ..SurveyOutput::default()
    };
    if let Some(account) = standing(cx, RemainsOutput::account).await? {
        may_write(dc, &account.dn).await?;
        found.further_readers = further_readers(dc, &account, remains, &found.hosts).await?;
        let groups = dc.read(&(&account.dn).into(), &["memberOf"]).await?;
        found.member_of = groups.map(|entry| entry.dns("memberOf")).unwrap_or_default();
        found.member_of.sort_by_key(|dn| dn.key().to_owned());
        found.service_principal_names = account.texts("servicePrincipalName");
        found.service_principal_names.sort();
    }
    found.warnings = warnings(&found, &missing);
    Ok(found)
}

/// Those that the directory has, and the names of the others. A host that is gone is no obstacle: it
/// reads nothing any more.
async fn hosts(
    dc: &dyn DirectoryRead,
    recorded: &[PrincipalRef],
) -> Result<(Vec<HostTarget>, Vec<String>), StepError> {
    let look = |host: PrincipalRef| async move {
        let found = ask::find_principal(dc, &host, Preferred::Computer).await?;
        Ok::<_, StepError>((host.to_string(), found))
    };
    let looks: Vec<_> = recorded.iter().cloned().map(look).collect();
    let answers: Vec<_> = stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
    let (mut hosts, mut missing) = (Vec::new(), Vec::new());
    for (recorded, found) in answers {
        match found.and_then(|found| Some((found.sid.clone()?, found))) {
            Some((sid, found)) => {
                let name = found.sam_account_name.unwrap_or_else(|| found.dn.rdn().value.clone());
                hosts.push(HostTarget {
                    name: name.strip_suffix('$').unwrap_or(&name).to_owned(),
                    dn: found.dn,
                    sid,
                    dns_host_name: found.dns_host_name.and_then(|name| DnsHostName::parse(&name).ok()),
                });
            }
            None => missing.push(recorded),
        }
    }
    Ok((hosts, missing))
}

/// What the DC lets us write. Whether it will let us delete it does not say beforehand; a deletion
/// that is refused parks, with everything before it still to be taken back.
async fn may_write(dc: &dyn DirectoryRead, account: &Dn) -> Result<(), StepError> {
    let Some(rights) = ask::rights_on(dc, account).await? else { return Ok(()) };
    let lacking: Vec<_> =
        [READERS, "userAccountControl"].into_iter().filter(|name| !rights.can_write(name)).collect();
    if lacking.is_empty() {
        return Ok(());
    }
    let delegations = lacking.iter().map(|name| format!("RPWP;{name}")).collect::<Vec<_>>().join(" ");
    Err(StepError::fail(
        ErrorCode::RightsMissing,
        format!("Farmhand's account has no right to write {} of {account}", lacking.join(" and ")),
        format!(
            "grant it with `dsacls \"{account}\" /G \"<Farmhand's group>:{delegations}\"`, and the right to \
                 delete it with `:SD`"
        ),
    ))
}

async fn further_readers(
    dc: &dyn DirectoryRead,
    account: &Entry,
    remains: &RemainsOutput,
    hosts: &[HostTarget],
) -> Result<Vec<Reader>, StepError> {
    let group = remains.group.as_ref().and_then(|group| group.sid.as_ref());
    let mut further = Vec::new();
    for sid in readers_of(account)?.map(|readers| readers.readers()).unwrap_or_default() {
        if Some(&sid) == group || hosts.iter().any(|host| host.sid == sid) {
            continue;
        }
        let name = name_of(dc, &sid).await?.unwrap_or_else(|| sid.to_string());
        further.push(Reader { name, sid });
    }
    Ok(further)
}

fn warnings(found: &SurveyOutput, missing: &[String]) -> Vec<String> {
    let readers: Vec<_> = found.further_readers.iter().map(|reader| &reader.name).collect();
    let warnings = [
        (missing.is_empty(), format!("on record and not in the directory: {}", list(missing))),
        (readers.is_empty(), format!("others read the password, too: {}", list(&readers))),
        (
            found.further_members.is_empty(),
            format!("others are in the farm's group, too: {}", list(&found.further_members)),
        ),
        (found.member_of.is_empty(), format!("the account is a member of {}", list(&found.member_of))),
        (
            found.service_principal_names.is_empty(),
            format!("nobody will answer for {}", list(&found.service_principal_names)),
        ),
    ];
    warnings.into_iter().filter(|(nothing, _)| !nothing).map(|(_, warning)| warning).collect()
}

fn detail(found: &SurveyOutput) -> String {
    let group = found.group_kept_because.as_ref().map(|reason| format!("; the group is kept: {reason}"));
    let warnings = match found.warnings.as_slice() {
        [] => String::new(),
        warnings => format!("; {}: {}", count(warnings.len(), "warning"), warnings.join("; ")),
    };
    format!("{} on record{}{warnings}", count(found.hosts.len(), "host"), group.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::{dn, host, reader};

    #[test]
    fn everything_that_will_be_lost_is_a_warning_by_name() {
        let found = SurveyOutput {
            hosts: vec![host("Host1")],
            further_readers: vec![reader("Backup", 1500)],
            further_members: vec![dn("CN=Host9,DC=x")],
            member_of: vec![dn("CN=SQL,DC=x")],
            service_principal_names: vec!["http/itfarm1".into()],
            ..SurveyOutput::default()
        };
        let text = warnings(&found, &["Host7".into()]).join("\n");
        for part in ["Host7", "Backup", "CN=Host9", "CN=SQL", "http/itfarm1"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(warnings(&SurveyOutput::default(), &[]), Vec::<String>::new());
    }
}
