//! `ensure-gmsa`: the account itself, made by one Add or adopted where an identical one stands.

use async_trait::async_trait;
use directory::password_id::ManagedPasswordId;
use directory::{DirectoryRead, Entry};
use domain::farm::ForeignReader;
use domain::{Dn, ErrorCode, FarmSpec, MembershipMode, Problem, Sid};
use serde::{Deserialize, Serialize};

use super::ensure_group::{self, GroupOutput};
use super::find_farm::{self, FarmOutput};
use super::gmsa::{self, Reader, Readers, Wanted};
use super::outputs::{not_as_written, to_value};
use super::preflight::{self, PreflightOutput};
use super::quarantine;
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "ensure-gmsa";

/// Output. `sid`, `guid` and `keyId` are `null` in a dry run, where the account is yet to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountOutput {
    pub dn: Dn,
    /// With its `$`.
    pub sam_account_name: String,
    pub sid: Option<Sid>,
    /// objectGUID.
    pub guid: Option<String>,
    /// Which key the current password is made from; `null` where the DC does not say.
    pub key_id: Option<KeyId>,
    /// Whom the reader descriptor names.
    pub readers: Vec<Reader>,
}

/// msDS-ManagedPasswordId, decoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyId {
    pub l0: u32,
    pub l1: u32,
    pub l2: u32,
    /// GUID of the KDS root key.
    pub root_key: String,
}

/// Makes the account, or adopts an identical one; refuses one that differs.
#[derive(Debug)]
pub struct EnsureGmsa;

#[async_trait]
impl Step for EnsureGmsa {
    type Observed = (Wanted, Option<Entry>);

    fn name(&self) -> &'static str {
        NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<Self::Observed, StepError> {
        let wanted = wanted_now(cx).await?;
        let found = read(cx.dc().await?.as_ref(), &wanted.dn).await?;
        Ok((wanted, found))
    }

    fn plan(&self, _: &StepContext, (wanted, found): &Self::Observed) -> Result<StepPlan, StepError> {
        plan(wanted, found.as_ref())
    }

    async fn verify(&self, cx: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        let (wanted, found) = self.check(cx).await?;
        let found = found.ok_or_else(|| not_as_written(format!("{} is not there any more", wanted.dn)))?;
        let differences = gmsa::differences(&wanted, &found);
        if !differences.is_empty() {
            let what = format!("{}: {}", wanted.dn, gmsa::differences_text(&differences));
            return Err(not_as_written(what));
        }
        if let Some(sid) = found.sid("objectSid") {
            quarantine::note_written(cx, &sid, &wanted.dn).await?;
        }
        let made = !plan.changes.is_empty();
        let detail = match made {
            true => format!("{} was made and reads back as asked", wanted.dn),
            false => format!("{} is as asked", wanted.dn),
        };
        Ok(Verified { output: to_value(&output(&wanted, Some(&found)))?, detail })
    }
}

/// The same with the hosts that are under quarantine by now.
pub(super) async fn wanted_now(cx: &StepContext) -> Result<Wanted, StepError> {
    Ok(Wanted { contained: quarantine::contained(&cx.quarantined().await?), ..wanted(cx)? })
}

/// The account as this workflow wants it: the manifest with what earlier steps put out.
pub(super) fn wanted(cx: &StepContext) -> Result<Wanted, StepError> {
    let spec: FarmSpec = cx.input()?;
    let preflight: PreflightOutput = cx.output(preflight::NAME)?;
    let group: Option<GroupOutput> = cx.output(ensure_group::NAME)?;
    let readers = readers(spec.membership.mode, group, &preflight);
    // The account of a farm that is looked up by its record stood before: whether it is disabled is
    // somebody's decision, which only a deploy asks about.
    let may_be_disabled = cx.output::<Option<FarmOutput>>(find_farm::NAME)?.is_some();
    let foreign = foreign_readers(cx);
    let contained = Vec::new();
    Ok(Wanted { dn: preflight.account.dn, spec: spec.account, readers, foreign, contained, may_be_disabled })
}

/// Whom the account was imported with, and who stays.
pub(super) fn foreign_readers(cx: &StepContext) -> Vec<ForeignReader> {
    let recorded = cx.farm().and_then(|farm| farm.recorded.as_ref());
    recorded.map(|facts| facts.foreign_readers.clone()).unwrap_or_default()
}

fn readers(mode: MembershipMode, group: Option<GroupOutput>, preflight: &PreflightOutput) -> Readers {
    match (mode, group) {
        (MembershipMode::Group, Some(GroupOutput { name, sid: Some(sid), .. })) => {
            Readers::Known(vec![Reader { name, sid }])
        }
        (MembershipMode::Group, group) => {
            Readers::Pending { group: group.map_or_else(|| "the group".to_owned(), |group| group.name) }
        }
        (MembershipMode::Direct, _) => {
            let hosts = preflight.hosts.iter();
            Readers::Known(hosts.map(|h| Reader { name: h.name.clone(), sid: h.sid.clone() }).collect())
        }
    }
}

pub(super) async fn read(dc: &dyn DirectoryRead, dn: &Dn) -> Result<Option<Entry>, StepError> {
    Ok(dc.read(&dn.into(), gmsa::ATTRIBUTES).await?)
}

fn plan(wanted: &Wanted, found: Option<&Entry>) -> Result<StepPlan, StepError> {
    let expected = to_value(&output(wanted, found))?;
    let Some(found) = found else {
        let detail = format!("{} is missing: make it", wanted.dn);
        return Ok(StepPlan::new(vec![wanted.addition()?], detail, expected));
    };
    if !found.is_class(gmsa::CLASS) {
        return Err(StepError::fail(
            ErrorCode::AccountNameTaken,
            format!("{} exists and is no gMSA", found.dn),
            "choose another samAccountName or container",
        ));
    }
    let differences = gmsa::differences(wanted, found);
    if differences.is_empty() {
        return Ok(StepPlan::nothing(format!("{} exists and is as asked", found.dn), expected));
    }
    let message = format!("{} exists and differs: {}", found.dn, gmsa::differences_text(&differences));
    let problem = Problem::new(ErrorCode::AccountDiffers, message, gmsa::DIFFERS_HINT);
    Err(StepError::Fail(problem.with_violations(gmsa::violations(&differences))))
}

fn output(wanted: &Wanted, found: Option<&Entry>) -> AccountOutput {
    AccountOutput {
        dn: wanted.dn.clone(),
        sam_account_name: wanted.spec.sam_account_name.sam_account_name(),
        sid: found.and_then(|entry| entry.sid("objectSid")),
        guid: found.and_then(|entry| entry.guid("objectGUID")),
        key_id: found.and_then(|entry| key_id(entry.bytes("msDS-ManagedPasswordId")?)),
        readers: match &wanted.readers {
            Readers::Known(readers) => readers.clone(),
            Readers::Pending { .. } => Vec::new(),
        },
    }
}

/// An id that cannot be understood is no reason to fail a deploy: it is shown as unknown.
pub(super) fn key_id(bytes: &[u8]) -> Option<KeyId> {
    let id = ManagedPasswordId::parse(bytes).ok()?;
    let root_key = id.root_key.to_string();
    Some(KeyId { l0: id.slot.l0(), l1: id.slot.l1(), l2: id.slot.l2(), root_key })
}

#[cfg(test)]
mod tests {
    use domain::{AttributeValue, ChangeKind};

    use super::*;
    use crate::steps::testing::{self, account, reader};

    #[test]
    fn a_missing_account_is_made_by_one_add() {
        let planned = plan(&testing::wanted(), None).expect("a plan");
        assert_eq!(planned.changes.len(), 1);
        assert_eq!(planned.changes[0].kind, ChangeKind::Add);
        assert_eq!(planned.expected["sid"], serde_json::Value::Null);
        assert_eq!(planned.expected["samAccountName"], "ITFarm1$");
    }

    #[test]
    fn a_dry_run_shows_the_reader_that_is_yet_to_be_made() {
        let wanted = Wanted { readers: Readers::Pending { group: "G".into() }, ..testing::wanted() };
        let planned = plan(&wanted, None).expect("a plan");
        let reader = planned.changes[0].attribute("msDS-GroupMSAMembership").expect("it is there");
        assert!(matches!(reader.added()[0], AttributeValue::Pending { .. }));
    }

    #[test]
    fn an_identical_account_is_adopted() {
        let planned = plan(&testing::wanted(), Some(&account(&[]))).expect("a plan");
        assert!(planned.changes.is_empty() && !planned.skipped);
        let output: AccountOutput = serde_json::from_value(planned.expected).expect("its own form");
        assert_eq!(output.sid, Some(testing::sid(1300)));
        assert_eq!(output.guid.as_deref(), Some("04030201-0605-0807-090a-0b0c0d0e0f10"));
        assert_eq!(output.readers, [reader("ITFarmHosts", 1200)]);
    }

    #[test]
    fn a_different_account_is_refused_with_what_was_asked_and_found() {
        let found = account(&[
            ("msDS-ManagedPasswordInterval", vec![b"31".to_vec()]),
            ("description", vec![b"other".to_vec()]),
        ]);
        let error = plan(&testing::wanted(), Some(&found)).expect_err("it differs");
        assert_eq!(error.problem().code, ErrorCode::AccountDiffers);
        let fields: Vec<_> = error.problem().violations.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["spec.account.description", "spec.account.managedPasswordIntervalInDays"]);
    }

    #[test]
    fn something_else_of_that_name_is_never_touched() {
        let user = testing::entry("CN=ITFarm1,DC=contoso,DC=com", &[("objectClass", "user")]);
        let error = plan(&testing::wanted(), Some(&user)).expect_err("no gMSA");
        assert_eq!(error.problem().code, ErrorCode::AccountNameTaken);
    }

    #[test]
    fn the_readers_are_the_group_or_each_host() {
        let preflight = testing::preflight();
        let group = Some(testing::group_output());
        assert_eq!(
            readers(MembershipMode::Group, group.clone(), &preflight),
            Readers::Known(vec![reader("ITFarmHosts", 1200)])
        );
        let pending = group.map(|group| GroupOutput { sid: None, ..group });
        assert!(matches!(readers(MembershipMode::Group, pending, &preflight), Readers::Pending { .. }));
        let Readers::Known(direct) = readers(MembershipMode::Direct, None, &preflight) else {
            panic!("hosts have SIDs")
        };
        assert_eq!(direct.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["Host1", "Host2"]);
    }

    #[test]
    fn a_key_id_that_cannot_be_read_is_unknown() {
        assert_eq!(key_id(b"garbage"), None);
    }
}
