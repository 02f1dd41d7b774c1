//! Each configured directory: every URL by itself, then what a deploy needs of the domain.

use std::sync::Arc;

use chrono::TimeDelta;
use directory::ldap::UrlProbe;
use directory::preflight::{self, FunctionalLevels, KdsRootKey};
use directory::{Base, Directory as _, DirectoryError, DirectoryRead, DirectoryWrite, LdapDirectory};
use domain::ErrorCode;

use super::Check;
use crate::compose::clock;
use crate::compose::directories::{Opened, problem};
use crate::config::Settings;

/// Kerberos refuses tickets beyond this (MS-KILE: MaxClockSkew, 5 minutes).
const MAX_SKEW: TimeDelta = TimeDelta::minutes(5);
const NOTABLE_SKEW: TimeDelta = TimeDelta::seconds(30);

pub async fn checks(settings: &Settings) -> Vec<Check> {
    if settings.directories.is_empty() {
        let fix = "fine for trying; set FARMHAND_DIRECTORY_URL for a real domain";
        return vec![Check::warn("directory default", "embedded, in the process of `farmhand up`", fix)];
    }
    let opened = match Opened::configured(settings) {
        Ok(opened) => opened,
        Err(failure) => return vec![Check::failure("directories", &failure)],
    };
    let mut checks = Vec::new();
    for directory in &opened.all {
        checks.extend(one(directory).await);
    }
    checks
}

async fn one(directory: &Arc<LdapDirectory>) -> Vec<Check> {
    let name = format!("directory {}", directory.name());
    let probes = directory.probe().await;
    let mut checks: Vec<Check> = probes.iter().map(|probe| url(&name, probe)).collect();
    if !probes.iter().any(|probe| matches!(probe.root_dse, Some(Ok(_)))) {
        return checks;
    }
    let dc = match directory.pin(None).await {
        Ok(dc) => dc,
        Err(error) => {
            checks.push(failed(format!("{name}: writable DC"), &error));
            return checks;
        }
    };
    checks.push(Check::ok(format!("{name}: writable DC"), dc.dc()));
    checks.push(writable_dcs(&name, directory).await);
    checks.extend(domain(&name, dc.as_ref()).await);
    checks
}

fn url(name: &str, probe: &UrlProbe) -> Check {
    let row = format!("{name}: {}", probe.url);
    let steps =
        [probe.encrypted.as_ref().err(), probe.logged_in.as_ref().and_then(|step| step.as_ref().err())];
    if let Some(error) = steps.into_iter().flatten().next() {
        return failed(row, error);
    }
    match &probe.root_dse {
        Some(Ok(root)) => {
            Check::ok(row, format!("{} answers; certificate trusted, logged in", root.dns_host_name))
        }
        Some(Err(error)) => failed(row, error),
        None => Check::fail(row, "was not asked", ""),
    }
}

fn failed(row: String, error: &DirectoryError) -> Check {
    let problem = problem(error);
    let mut check = Check::fail(row, problem.message, problem.hint);
    check.unreachable = problem.code == ErrorCode::DirectoryUnreachable;
    check
}

async fn writable_dcs(name: &str, directory: &LdapDirectory) -> Check {
    let row = format!("{name}: all writable DCs");
    match directory.writable_dcs().await {
        Ok(dcs) => Check::ok(row, dcs.iter().map(|dc| dc.name.as_str()).collect::<Vec<_>>().join(", ")),
        Err(error) => failed(row, &error),
    }
}

async fn domain(name: &str, dc: &dyn DirectoryWrite) -> Vec<Check> {
    let dc: &dyn DirectoryRead = dc;
    let row = |what: &str| format!("{name}: {what}");
    let root = match dc.root_dse().await {
        Ok(root) => root,
        Err(error) => return vec![failed(row("rootDSE"), &error)],
    };
    let now = root.current_time.unwrap_or_else(|| clock().now());
    let skew = now - clock().now();
    let msa =
        Base::WellKnown { guid: Base::MANAGED_SERVICE_ACCOUNTS, domain: root.default_naming_context.clone() };
    let users = Base::WellKnown { guid: Base::USERS, domain: root.default_naming_context.clone() };
    vec![
        clock_skew(row("clock"), skew),
        levels(row("functional levels"), FunctionalLevels::of(&root)),
        gmsa_class(row("schema"), dc).await,
        kds(row("KDS root key"), preflight::kds_root_key(dc, now).await),
        rights(row("right to make gMSAs"), dc, &msa, "msDS-GroupManagedServiceAccount").await,
        rights(row("right to make groups"), dc, &users, "group").await,
    ]
}

fn clock_skew(row: String, skew: TimeDelta) -> Check {
    let seconds = skew.num_seconds();
    let found = format!("the DC is {} s {}", seconds.abs(), if seconds < 0 { "behind" } else { "ahead" });
    let fix = "let both follow the same time source (NTP)";
    match skew.abs() {
        skew if skew > MAX_SKEW => Check::fail(row, found, fix),
        skew if skew > NOTABLE_SKEW => Check::warn(row, found, fix),
        _ => Check::ok(row, found),
    }
}

fn levels(row: String, levels: FunctionalLevels) -> Check {
    let show = |level: Option<i64>| level.map_or("unknown".to_owned(), |level| level.to_string());
    let found = format!("domain {}, forest {}", show(levels.domain), show(levels.forest));
    if levels.suffice() {
        return Check::ok(row, found);
    }
    if levels.is_samba {
        return Check::warn(row, format!("{found} (Samba)"), "Samba makes gMSAs at this level all the same");
    }
    Check::fail(row, found, "gMSAs need Windows Server 2012 (5): raise the functional levels")
}

async fn gmsa_class(row: String, dc: &dyn DirectoryRead) -> Check {
    match preflight::schema_has_gmsa_class(dc).await {
        Ok(true) => Check::ok(row, "knows group managed service accounts"),
        Ok(false) => {
            Check::fail(row, "does not know gMSAs", "extend the schema to Windows Server 2012 (adprep)")
        }
        Err(error) => failed(row, &error),
    }
}

fn kds(row: String, key: Result<KdsRootKey, DirectoryError>) -> Check {
    match key {
        Ok(KdsRootKey::Usable { key }) => Check::ok(row, format!("{key} can be used")),
        Ok(KdsRootKey::NotYetUsable { usable_at }) => Check::warn(
            row,
            format!("there is one, to be used from {usable_at}"),
            "wait until then: every DC must have it first",
        ),
        Ok(KdsRootKey::None) => Check::fail(row, "there is none", "a domain admin runs Add-KdsRootKey once"),
        Ok(KdsRootKey::CannotSee { .. }) => Check::warn(
            row,
            "this account cannot see whether one can be used",
            "normal for a delegated account; a domain admin can look with Get-KdsRootKey",
        ),
        Err(error) => failed(row, &error),
    }
}

/// Whether the account may make a child of the class in a container, in the DC's own words.
async fn rights(row: String, dc: &dyn DirectoryRead, container: &Base, class: &str) -> Check {
    let dn = match dc.read(container, &["cn"]).await {
        Ok(Some(entry)) => entry.dn,
        Ok(None) => {
            return Check::warn(
                row,
                "the well-known container is not to be seen",
                "name another one in the manifest",
            );
        }
        Err(error) => return failed(row, &error),
    };
    match preflight::rights_on(dc, &dn).await {
        Ok(Some(rights)) if rights.can_create(class) => Check::ok(row, format!("in {dn}")),
        Ok(_) => Check::warn(
            row,
            format!("not in {dn}"),
            format!("delegate \"create {class}\" there, or name a container of yours in the manifest"),
        ),
        Err(error) => failed(row, &error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn what_kerberos_would_refuse_fails() {
        let verdict = |seconds| clock_skew("clock".into(), TimeDelta::seconds(seconds)).verdict;
        assert_eq!([verdict(2), verdict(-60), verdict(-301)], [Verdict::Ok, Verdict::Warn, Verdict::Fail]);
    }

    #[test]
    fn no_key_fails_and_one_that_cannot_be_seen_is_said() {
        let verdict = |key| kds("kds".into(), Ok(key)).verdict;
        assert_eq!(verdict(KdsRootKey::None), Verdict::Fail);
        assert_eq!(verdict(KdsRootKey::CannotSee { keys: vec![] }), Verdict::Warn);
    }

    #[test]
    fn an_old_windows_domain_fails_and_samba_is_only_said() {
        let old = FunctionalLevels { domain: Some(4), forest: Some(4), is_samba: false };
        assert_eq!(levels("l".into(), old).verdict, Verdict::Fail);
        assert_eq!(levels("l".into(), FunctionalLevels { is_samba: true, ..old }).verdict, Verdict::Warn);
    }
}
