//! `inventory`: which accounts the exposed key gives away, before anybody decides.

use std::collections::BTreeMap;

use async_trait::async_trait;
use directory::preflight::{RootKey, root_keys};
use directory::{DirectoryRead, Scope, Search};
use domain::request::KdsRootKeyRecoveryRequest;
use domain::{Dn, ErrorCode, FarmName, Sid};
use serde::{Deserialize, Serialize};
use store::Farm;
use uuid::Uuid;

use super::sweep::{OnKey, Swept, sweep};
use crate::steps::outputs::{count, list, to_value};
use crate::{Step, StepContext, StepError, StepPlan, Verified};

pub const NAME: &str = "inventory";

/// Accounts that are listed; a domain may have thousands, and the record is read at every step.
const LISTED: usize = 500;

/// Output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InventoryOutput {
    /// The exposed one.
    pub root_key: Uuid,
    /// Every root key that was there when it began, the exposed one included.
    pub root_keys: Vec<Uuid>,
    pub looked_at: u64,
    /// gMSAs by the root key of their password.
    pub accounts_by_root_key: BTreeMap<Uuid, u64>,
    /// Farms on record whose account is on the exposed key.
    pub farms: Vec<FarmName>,
    /// How many more are on it that are no farm's, and the first of them.
    pub others: u64,
    pub other_accounts: Vec<OtherAccount>,
    pub warnings: Vec<String>,
}

/// A gMSA that is no farm on record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OtherAccount {
    /// With its `$`.
    pub account: String,
    pub dn: Dn,
}

#[derive(Debug)]
pub struct Inventory;

#[async_trait]
impl Step for Inventory {
    type Observed = InventoryOutput;

    fn name(&self) -> &'static str {
        NAME
    }

    async fn check(&self, cx: &StepContext) -> Result<InventoryOutput, StepError> {
        let key = cx.input::<KdsRootKeyRecoveryRequest>()?.root_key;
        let dc = cx.dc().await?.as_ref();
        let keys = root_keys(dc).await?;
        let swept = sweep(dc, key).await?;
        let farms = cx.records()?.deployed_farms(&cx.directory).await?;
        let domains = other_domains(dc).await?;
        take_stock(key, keys, swept, &farms, &domains)
    }

    fn plan(&self, _: &StepContext, stock: &InventoryOutput) -> Result<StepPlan, StepError> {
        let detail = format!(
            "{} looked at; on the exposed key: {}, and {} that are no farm's",
            count(usize::try_from(stock.looked_at).unwrap_or(usize::MAX), "gMSA"),
            count(stock.farms.len(), "farm"),
            stock.others,
        );
        Ok(StepPlan::nothing(detail, to_value(stock)?))
    }

    async fn verify(&self, _: &StepContext, plan: &StepPlan) -> Result<Verified, StepError> {
        Ok(Verified { output: plan.expected.clone(), detail: plan.detail.clone() })
    }
}

fn take_stock(
    key: Uuid,
    keys: Option<Vec<RootKey>>,
    swept: Swept,
    farms: &[Farm],
    domains: &[String],
) -> Result<InventoryOutput, StepError> {
    let known = keys.iter().flatten().any(|root_key| root_key.id == key);
    if !known && swept.on_key.is_empty() {
        return Err(StepError::fail(
            ErrorCode::InvalidRequest,
            format!("there is no KDS root key {key} to be seen, and no gMSA's password is made from it"),
            "`Get-KdsRootKey` lists the forest's keys; one that is removed already needs no recovery",
        ));
    }
    let split = Split::of(&swept.on_key, farms);
    let mut warnings = Vec::new();
    if swept.unreadable > 0 {
        warnings.push(format!(
            "{} of which nothing shows the root key: {}",
            count(usize::try_from(swept.unreadable).unwrap_or(usize::MAX), "gMSA"),
            list(&swept.named)
        ));
    }
    if !domains.is_empty() {
        warnings.push(format!(
            "every domain of the forest uses the same root keys: recover the gMSAs of {} as well before the exposed \
             one is removed",
            list(domains)
        ));
    }
    Ok(InventoryOutput {
        root_key: key,
        root_keys: keys.into_iter().flatten().map(|root_key| root_key.id).collect(),
        looked_at: swept.looked_at,
        accounts_by_root_key: swept.keys,
        farms: split.farms.into_iter().map(|(farm, _)| farm.name.clone()).collect(),
        others: split.others.len() as u64,
        other_accounts: split.others.into_iter().take(LISTED).map(OtherAccount::of).collect(),
        warnings,
    })
}

impl OtherAccount {
    pub fn of(on_key: &OnKey) -> Self {
        Self { account: on_key.account.clone(), dn: on_key.dn.clone() }
    }
}

/// Accounts on the exposed key, by whether they are a farm's on record.
pub struct Split<'a> {
    pub farms: Vec<(&'a Farm, &'a OnKey)>,
    pub others: Vec<&'a OnKey>,
}

impl<'a> Split<'a> {
    pub fn of(on_key: &'a [OnKey], farms: &'a [Farm]) -> Self {
        let by_account: BTreeMap<&Sid, &Farm> =
            farms.iter().filter_map(|farm| Some((&farm.recorded.as_ref()?.account_sid, farm))).collect();
        let mut split = Self { farms: Vec::new(), others: Vec::new() };
        for one in on_key {
            match by_account.get(&one.sid) {
                Some(farm) => split.farms.push((farm, one)),
                None => split.others.push(one),
            }
        }
        split.farms.sort_by_key(|(farm, _)| farm.name.key());
        split
    }
}

/// DNS names of the forest's other domains.
async fn other_domains(dc: &dyn DirectoryRead) -> Result<Vec<String>, StepError> {
    let root = dc.root_dse().await?;
    let partitions = root.configuration_naming_context.child("CN", "Partitions");
    // Only domains have a NetBIOS name; configuration and DNS zones have none.
    let search = Search::new(
        &partitions,
        Scope::One,
        "(&(objectClass=crossRef)(nETBIOSName=*))",
        &["nCName", "dnsRoot"],
    );
    let own = &root.default_naming_context;
    let found = dc.search(&search).await?;
    let others = found.iter().filter(|domain| domain.dns("nCName").iter().all(|name| name != own));
    Ok(others.filter_map(|domain| domain.text("dnsRoot").map(str::to_owned)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::contain::testing::farm;
    use crate::steps::root_key::replace_accounts::testing::on_key;

    const KEY: Uuid = Uuid::from_u128(7);

    fn stock(keys: Option<Vec<RootKey>>, on: Vec<OnKey>) -> Result<InventoryOutput, StepError> {
        let swept =
            Swept { looked_at: 3, keys: [(KEY, on.len() as u64)].into(), on_key: on, ..Swept::default() };
        take_stock(KEY, keys, swept, &[farm("One", 1301, &[]), farm("Two", 1302, &[])], &[])
    }
    fn root_key(id: Uuid) -> RootKey {
        RootKey { id, created: None, use_from: None }
    }

    #[test]
    fn farms_on_record_are_told_from_other_accounts() {
        let stock = stock(Some(vec![root_key(KEY)]), vec![on_key("Wild", 1400), on_key("Two", 1302)]);
        let stock = stock.expect("a stock");
        assert_eq!(stock.farms.iter().map(FarmName::as_str).collect::<Vec<_>>(), ["Two"]);
        assert_eq!((stock.others, stock.other_accounts[0].account.as_str()), (1, "Wild$"));
        assert_eq!(stock.root_keys, [KEY]);
    }

    #[test]
    fn thousands_of_accounts_are_counted_and_the_first_are_listed() {
        let many = (0..2_000).map(|rid| on_key("Wild", 10_000 + rid)).collect();
        let stock = stock(None, many).expect("a stock");
        assert_eq!((stock.others, stock.other_accounts.len()), (2_000, LISTED));
    }

    #[test]
    fn a_key_that_nothing_shows_is_refused_and_one_that_accounts_are_on_is_not() {
        let error = stock(Some(vec![root_key(Uuid::from_u128(8))]), vec![]).expect_err("a wrong GUID");
        assert_eq!(error.problem().code, ErrorCode::InvalidRequest);
        assert!(stock(None, vec![on_key("Wild", 1400)]).is_ok());
    }
}
