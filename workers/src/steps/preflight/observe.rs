//! Reads everything that preflight judges.

use directory::preflight::{self, FunctionalLevels, Preferred};
use directory::{Base, DirectoryRead, Scope, Search};
use domain::{Dn, FarmSpec, MembershipMode, PrincipalRef};

use super::{Observed, account, forest, group, hosts, rights};
use crate::steps::ensure_gmsa::foreign_readers;
use crate::steps::gmsa;
use crate::steps::group::may_be_made;
use crate::steps::quarantine::contained;
use crate::{StepContext, StepError};

pub async fn all(cx: &StepContext, spec: &FarmSpec) -> Result<Observed, StepError> {
    let dc: &dyn DirectoryRead = cx.dc().await?.as_ref();
    let (forest, domain) = seen_forest(cx, dc).await?;
    let catalog = cx.forest()?.global_catalog().await?;
    let (mut account, hosts, group, dcs, quarantined) = futures::try_join!(
        seen_account(dc, catalog.as_ref(), spec, &domain),
        seen_hosts(dc, &spec.hosts, &domain),
        seen_group(dc, spec, &domain),
        async { Ok(cx.forest()?.writable_dcs().await?) },
        cx.quarantined(),
    )?;
    account.foreign = foreign_readers(cx);
    account.contained = contained(&quarantined);
    let domain_controllers = dcs.into_iter().map(|dc| dc.name).collect();
    Ok(Observed { domain, forest, account, group, hosts, quarantined, domain_controllers })
}

pub(super) async fn seen_forest(
    cx: &StepContext,
    dc: &dyn DirectoryRead,
) -> Result<(forest::Seen, Dn), StepError> {
    let root = dc.root_dse().await?;
    // The DC's clock decides which key it uses.
    let now = root.current_time.unwrap_or_else(|| cx.environment.clock.now());
    let has_class = preflight::schema_has_gmsa_class(dc).await?;
    let root_key = preflight::kds_root_key(dc, now).await?;
    let levels = FunctionalLevels::of(&root);
    Ok((forest::Seen { levels, has_class, root_key }, root.default_naming_context))
}

async fn seen_account(
    dc: &dyn DirectoryRead,
    catalog: &dyn DirectoryRead,
    spec: &FarmSpec,
    domain: &Dn,
) -> Result<account::Seen, StepError> {
    let spec = &spec.account;
    let well_known = Base::WellKnown { guid: Base::MANAGED_SERVICE_ACCOUNTS, domain: domain.clone() };
    let container = container(dc, spec.container.as_ref(), well_known).await?;
    let dn = container.dn().map(|dn| dn.child("CN", spec.sam_account_name.as_str()));
    let standing = match &dn {
        Some(dn) => dc.read(&dn.into(), gmsa::ATTRIBUTES).await?,
        None => None,
    };
    let mut names = preflight::account_name_users(dc, Some(catalog), &spec.sam_account_name).await?;
    names.retain(|user| Some(&user.dn) != dn.as_ref());
    let aliases = preflight::spn_aliases(dc).await?;
    let spns = preflight::spn_owners(catalog, &aliases, &spec.service_principal_names, dn.as_ref()).await?;
    let same_dns_name = match &spec.dns_host_name {
        Some(name) => {
            let filter = format!("(dNSHostName={})", directory::ldap::filter_value(name.as_str()));
            let search = Search::new(Base::Root, Scope::Subtree, filter, &["dNSHostName"]);
            let found = catalog.search(&search).await?.into_iter().map(|entry| entry.dn);
            found.filter(|found| Some(found) != dn.as_ref()).collect()
        }
        None => Vec::new(),
    };
    Ok(account::Seen {
        container,
        standing,
        names,
        spns,
        same_dns_name,
        foreign: Vec::new(),
        contained: Vec::new(),
    })
}

/// In the order in which they are named.
pub(in crate::steps) async fn seen_hosts(
    dc: &dyn DirectoryRead,
    asked: &[PrincipalRef],
    domain: &Dn,
) -> Result<Vec<hosts::Seen>, StepError> {
    // A DC answers for another domain's names with a referral, not with "no".
    let elsewhere = |host: &PrincipalRef| matches!(host, PrincipalRef::Dn(dn) if !dn.is_within(domain));
    let here: Vec<_> = asked.iter().filter(|host| !elsewhere(host)).cloned().collect();
    let mut found = preflight::find_principals(dc, &here, Preferred::Computer).await?.into_iter();
    let seen = |host: &PrincipalRef| match elsewhere(host) {
        true => hosts::Seen::OtherDomain,
        false => found.next().flatten().map_or(hosts::Seen::Nothing, hosts::Seen::Found),
    };
    Ok(asked.iter().map(seen).collect())
}

pub(super) async fn seen_group(
    dc: &dyn DirectoryRead,
    spec: &FarmSpec,
    domain: &Dn,
) -> Result<Option<group::Seen>, StepError> {
    let (MembershipMode::Group, Some(asked)) = (spec.membership.mode, &spec.membership.group) else {
        return Ok(None);
    };
    let elsewhere = matches!(asked, PrincipalRef::Dn(dn) if !dn.is_within(domain));
    let found = match elsewhere {
        true => None,
        false => preflight::find_principal(dc, asked, Preferred::Group).await?,
    };
    if let Some(principal) = found {
        return standing_group(dc, principal).await.map(Some);
    }
    let (PrincipalRef::Name(name), true) = (asked, may_be_made(spec)) else {
        return Ok(Some(group::Seen::Missing));
    };
    let well_known = Base::WellKnown { guid: Base::USERS, domain: domain.clone() };
    let container = container(dc, spec.membership.group_container.as_ref(), well_known).await?;
    let occupant = match container.dn() {
        Some(dn) => preflight::principal_at(dc, &Base::Dn(dn.child("CN", name))).await?,
        None => None,
    };
    let occupant = occupant.map(|principal| principal.dn);
    Ok(Some(group::Seen::ToBeMade { name: name.clone(), container, occupant }))
}

async fn standing_group(
    dc: &dyn DirectoryRead,
    principal: preflight::Principal,
) -> Result<group::Seen, StepError> {
    let rights = preflight::rights_on(dc, &principal.dn).await?;
    let may_write = rights.is_some_and(|rights| rights.can_write("member"));
    let entry = dc.read(&(&principal.dn).into(), &["adminCount", "member"]).await?;
    let privileged = entry.as_ref().and_then(|entry| entry.int("adminCount")).is_some_and(|count| count > 0);
    let members = entry.map(|entry| entry.dns("member")).unwrap_or_default().into_iter().collect();
    Ok(group::Seen::Standing { principal, privileged, may_write, members })
}

/// The container that was asked for, or the domain's well-known one.
async fn container(
    dc: &dyn DirectoryRead,
    asked: Option<&Dn>,
    well_known: Base,
) -> Result<rights::Container, StepError> {
    let base = asked.map_or(well_known, Base::from);
    let Some(found) = dc.read(&base, &["objectClass"]).await? else {
        return Ok(rights::Container::Missing(base.to_string()));
    };
    let rights = preflight::rights_on(dc, &found.dn).await?;
    Ok(match rights {
        Some(rights) => rights::Container::Found { dn: found.dn, rights },
        None => rights::Container::Missing(found.dn.to_string()),
    })
}
