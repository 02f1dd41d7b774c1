//! Whether a farm's group may go with the farm, or what speaks against it.

use directory::{Base, DirectoryRead, Entry, Scope, Search};
use domain::{Dn, Sid};

use crate::steps::ensure_group::GroupOutput;

use crate::steps::find_farm::FarmAccount;
use crate::steps::gmsa::{self, READERS};
use crate::steps::outputs::list;
use crate::steps::preflight::HostTarget;
use crate::{StepContext, StepError};

/// What is read of the group, and goes on record with its deletion.
pub const HELD: [&str; 9] = [
    "objectClass",
    "objectSid",
    "objectGUID",
    "sAMAccountName",
    "groupType",
    "description",
    "managedBy",
    "member",
    "memberOf",
];

/// What was read of the group.
pub struct Seen {
    pub group: Entry,
    /// Deploys of this farm made it.
    made: bool,
    /// Names of other farms on record that use it.
    farms: Vec<String>,
    /// Members that are no host on record.
    pub others: Vec<Dn>,
    /// gMSAs, other than the farm's, whose reader list mentions it.
    accounts: Vec<Dn>,
}

/// Reads the group by SID; `None` where there is none (any more).
pub async fn look(
    cx: &StepContext,
    group: Option<&GroupOutput>,
    account: Option<&FarmAccount>,
    hosts: &[HostTarget],
) -> Result<Option<Seen>, StepError> {
    let Some(sid) = group.and_then(|group| group.sid.as_ref()) else { return Ok(None) };
    let dc: &dyn DirectoryRead = cx.dc().await?.as_ref();
    let Some(entry) = dc.read(&sid.into(), &HELD).await?.filter(|entry| entry.is_class("group")) else {
        return Ok(None);
    };
    let recorded = cx.farm().and_then(|farm| farm.recorded.as_ref());
    let made = recorded.is_some_and(|facts| facts.group_made && facts.group_sid.as_ref() == Some(sid));
    let farms = cx.farms_sharing_group().iter().map(ToString::to_string).collect();
    let others = others(dc, &entry, hosts).await?;
    let accounts = mentioned_by(dc, sid, account.map(|account| &account.sid)).await?;
    Ok(Some(Seen { group: entry, made, farms, others, accounts }))
}

/// By DN, and where that is another one (a host was moved), by SID.
async fn others(dc: &dyn DirectoryRead, group: &Entry, hosts: &[HostTarget]) -> Result<Vec<Dn>, StepError> {
    let mut others = Vec::new();
    for member in group.dns("member") {
        if hosts.iter().any(|host| host.dn == member) {
            continue;
        }
        let found = dc.read(&Base::from(&member), &["objectSid"]).await?;
        let sid = found.and_then(|entry| entry.sid("objectSid"));
        if !hosts.iter().any(|host| Some(&host.sid) == sid.as_ref()) {
            others.push(member);
        }
    }
    Ok(others)
}

/// The SID anywhere in the list counts, in entries of every kind and in lists that cannot be read:
/// a group is kept rather too often than not.
async fn mentioned_by(
    dc: &dyn DirectoryRead,
    group: &Sid,
    except: Option<&Sid>,
) -> Result<Vec<Dn>, StepError> {
    let domain = dc.root_dse().await?.default_naming_context;
    let filter = format!("(objectClass={})", gmsa::CLASS);
    let search = Search::new(&domain, Scope::Subtree, filter, &["objectSid", READERS]);
    let sid = group.to_bytes();
    let mentions = |entry: &Entry| {
        entry.values(READERS).iter().any(|list| list.windows(sid.len()).any(|part| part == sid))
    };
    let found = dc.search(&search).await?;
    let found =
        found.into_iter().filter(|entry| except.is_none() || entry.sid("objectSid").as_ref() != except);
    Ok(found.filter(mentions).map(|entry| entry.dn).collect())
}

impl Seen {
    /// Why it stays; `None` where it may go.
    pub fn kept_because(&self) -> Option<String> {
        if !self.made {
            return Some("it was there before the farm".to_owned());
        }
        let member_of = self.group.dns("memberOf");
        let reasons = [
            (self.farms.is_empty(), "other farms use it", list(&self.farms)),
            (self.accounts.is_empty(), "other gMSAs name it among their readers", list(&self.accounts)),
            (self.others.is_empty(), "it has members that are no host on record", list(&self.others)),
            (member_of.is_empty(), "it is itself a member of other groups", list(&member_of)),
        ];
        let reasons = reasons.into_iter().filter(|(none, ..)| !none);
        let reasons: Vec<_> = reasons.map(|(_, reason, who)| format!("{reason}: {who}")).collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::{dn, entry};

    fn seen() -> Seen {
        let group = entry("CN=G,DC=x", &[("objectClass", "group")]);
        Seen { group, made: true, farms: vec![], others: vec![], accounts: vec![] }
    }

    #[test]
    fn a_group_of_ours_that_nobody_else_uses_may_go() {
        assert_eq!(seen().kept_because(), None);
    }

    #[test]
    fn whatever_else_the_group_is_for_keeps_it_and_is_named() {
        let other = || vec![dn("CN=Other,DC=x")];
        let nested = entry("CN=G,DC=x", &[("objectClass", "group"), ("memberOf", "CN=Parent,DC=x")]);
        for (seen, part) in [
            (Seen { made: false, ..seen() }, "before the farm"),
            (Seen { farms: vec!["ITFarm2".into()], ..seen() }, "other farms use it: ITFarm2"),
            (Seen { others: other(), ..seen() }, "no host on record: CN=Other"),
            (Seen { accounts: other(), ..seen() }, "among their readers: CN=Other"),
            (Seen { group: nested, ..seen() }, "member of other groups: CN=Parent"),
        ] {
            let reason = seen.kept_because().expect("kept");
            assert!(reason.contains(part), "{reason}");
        }
    }
}
