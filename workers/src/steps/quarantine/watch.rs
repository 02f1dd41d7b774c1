//! What one DC shows of the hosts under quarantine, and what all of them together mean.

use std::collections::{BTreeMap, HashMap};

use directory::{DirectoryRead, Entry, Scope, Search};
use domain::{Change, Dn, Sid, WorkflowId};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use store::Quarantined;

use crate::StepError;
use crate::steps::contain::accounts;
use crate::steps::contain::judge::{Verdict, judge};
use crate::steps::contain::token::{self, HostCopy};
use crate::steps::gmsa::fields::DISABLED;
use crate::steps::gmsa::{change_readers, readers_of};
use crate::steps::ways::domain_of;

/// Hosts whose tokens are read side by side.
const AT_ONCE: usize = 8;

/// A host under quarantine with the accounts that have a deny entry of ours for it.
#[derive(Debug, Clone)]
pub struct Watched {
    pub quarantine: Quarantined,
    pub denied_by: Vec<Sid>,
}

/// One DC's view. Of the gMSAs it keeps only those in which something is wrong.
#[derive(Debug, Default)]
pub struct OnDc {
    pub looked_at: u64,
    pub unreadable: u64,
    /// By the host's place among the watched; `None`: this DC has no such account.
    pub hosts: Vec<Option<HostCopy>>,
    pub let_in: Vec<Finding>,
    /// Accounts that have lost a deny entry of ours, with the hosts that it was for.
    pub open: Vec<(Entry, Vec<usize>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub host: usize,
    pub account: Dn,
    pub by: Vec<Sid>,
    pub depends: Option<String>,
}

/// What is found of one host; part of the check's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostChecked {
    /// sAMAccountName without its `$`.
    pub name: String,
    pub sid: Sid,
    /// `null`: no DC has the computer account any more.
    pub computer: Option<Dn>,
    /// DCs on which it is enabled although a containment had disabled it.
    pub enabled_again_on: Vec<String>,
    /// gMSAs that it can read.
    pub let_in: Vec<LetIn>,
    /// gMSAs that had lost the deny entry of ours, which is put back.
    pub denied_again: Vec<Dn>,
    /// The containment that was asked for because of it.
    pub contained_by: Option<WorkflowId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LetIn {
    pub account: Dn,
    pub domain_controllers: Vec<String>,
    /// Whom the list lets in, of the host's token; told in words where it is known how.
    pub by: Vec<Sid>,
    pub paths: Vec<String>,
    /// What it turns on, where that cannot be seen.
    pub depends: Option<String>,
}

impl HostChecked {
    /// Whether it has to be cut off again.
    pub fn got_out(&self) -> bool {
        !self.let_in.is_empty() || !self.enabled_again_on.is_empty()
    }
}

/// Sweeps all gMSAs of the DC once for all hosts.
pub async fn look(dc: &dyn DirectoryRead, watched: &[Watched]) -> Result<OnDc, StepError> {
    let sids: Vec<_> = watched.iter().map(|one| one.quarantine.host_sid.clone()).collect();
    let hosts = sids.iter().map(|sid| token::read(dc, sid));
    let hosts: Vec<_> = hosts.collect();
    let hosts: Vec<_> = stream::iter(hosts).buffered(AT_ONCE).try_collect().await?;
    let mut seen = OnDc { hosts, ..OnDc::default() };
    let denied = denied(watched);
    let domain = domain_of(dc).await?;
    let search = Search::new(&domain, Scope::Subtree, accounts::all(), &accounts::ATTRIBUTES);
    let mut pages = dc.pages(&search);
    while let Some(page) = pages.try_next().await? {
        page.into_iter().for_each(|entry| seen.take(watched, &denied, entry));
    }
    drop(pages);
    Ok(seen)
}

/// Which hosts an account has to deny.
fn denied(watched: &[Watched]) -> HashMap<&Sid, Vec<usize>> {
    let mut denied: HashMap<&Sid, Vec<usize>> = HashMap::new();
    for (at, one) in watched.iter().enumerate() {
        one.denied_by.iter().for_each(|account| denied.entry(account).or_default().push(at));
    }
    denied
}

impl OnDc {
    /// Nothing is wrong about the hosts at these places.
    pub fn forget(&mut self, places: &[bool]) {
        let kept = |at: &usize| !places.get(*at).copied().unwrap_or(false);
        self.let_in.retain(|finding| kept(&finding.host));
        self.open.iter_mut().for_each(|(_, hosts)| hosts.retain(kept));
        self.open.retain(|(_, hosts)| !hosts.is_empty());
    }

    fn take(&mut self, watched: &[Watched], denied: &HashMap<&Sid, Vec<usize>>, entry: Entry) {
        self.looked_at += 1;
        let readers = match readers_of(&entry) {
            Ok(Some(readers)) => readers,
            // Nobody gets the password of such an account.
            Ok(None) | Err(_) => {
                self.unreadable += 1;
                return;
            }
        };
        for (at, copy) in self.hosts.iter().enumerate() {
            let Some(copy) = copy else { continue };
            let judged = judge(&entry, &watched[at].quarantine.host_sid, &copy.token);
            let depends = match judged.verdict {
                Verdict::LetIn => None,
                Verdict::Depends(why) => Some(why),
                Verdict::Denied | Verdict::NotLetIn | Verdict::Unreadable(_) => continue,
            };
            self.let_in.push(Finding { host: at, account: entry.dn.clone(), by: judged.by, depends });
        }
        let wanted = entry.sid("objectSid").and_then(|sid| denied.get(&sid).cloned()).unwrap_or_default();
        let lost = wanted.into_iter().filter(|at| !readers.denies_first(&watched[*at].quarantine.host_sid));
        let lost: Vec<_> = lost.collect();
        if !lost.is_empty() {
            self.open.push((entry, lost));
        }
    }
}

/// The deny entries that are missing, one write for each account and DC; and the accounts for which
/// there can be none, in words.
pub fn denials(seen: &[(String, OnDc)], watched: &[Watched]) -> (Vec<Change>, Vec<String>) {
    let name = |sid: &Sid| {
        let host = watched.iter().find(|one| one.quarantine.host_sid == *sid);
        host.map(|one| one.quarantine.host_name.clone())
    };
    let (mut changes, mut impossible) = (Vec::new(), Vec::new());
    for (dc, (entry, hosts)) in seen.iter().flat_map(|(dc, on)| on.open.iter().map(move |open| (dc, open))) {
        let change = change_readers(entry, name, |readers| {
            hosts.iter().for_each(|at| {
                readers.deny(&watched[*at].quarantine.host_sid);
            });
        });
        match change {
            Ok(change) => changes.extend(change.map(|change| change.at(dc))),
            Err(error) => impossible.push(format!("{} on {dc}: {}", entry.dn, error.problem().message)),
        }
    }
    (changes, impossible)
}

/// What each host is found to be able to do, on whichever DC.
pub fn judged(seen: &[(String, OnDc)], watched: &[Watched]) -> Vec<HostChecked> {
    watched.iter().enumerate().map(|(at, one)| host(seen, at, one)).collect()
}

fn host(seen: &[(String, OnDc)], at: usize, watched: &Watched) -> HostChecked {
    let copies: Vec<_> = seen.iter().filter_map(|(dc, on)| Some((dc, on.hosts.get(at)?.as_ref()?))).collect();
    let is_enabled = |copy: &HostCopy| copy.control.is_some_and(|control| control & DISABLED == 0);
    let enabled = copies.iter().filter(|(_, copy)| watched.quarantine.computer_disabled && is_enabled(copy));
    let mut let_in: BTreeMap<String, LetIn> = BTreeMap::new();
    for (dc, finding) in seen.iter().flat_map(|(dc, on)| on.let_in.iter().map(move |one| (dc, one))) {
        if finding.host != at {
            continue;
        }
        let known = let_in.entry(finding.account.key().to_owned()).or_insert_with(|| LetIn {
            account: finding.account.clone(),
            domain_controllers: Vec::new(),
            by: Vec::new(),
            paths: Vec::new(),
            depends: None,
        });
        known.domain_controllers.push(dc.clone());
        known.by = token::union(known.by.iter().chain(&finding.by).cloned());
        known.depends = known.depends.take().or_else(|| finding.depends.clone());
    }
    let mut denied_again: BTreeMap<String, Dn> = BTreeMap::new();
    let lost = seen.iter().flat_map(|(_, on)| &on.open).filter(|(_, hosts)| hosts.contains(&at));
    denied_again.extend(lost.map(|(entry, _)| (entry.dn.key().to_owned(), entry.dn.clone())));
    HostChecked {
        name: watched.quarantine.host_name.clone(),
        sid: watched.quarantine.host_sid.clone(),
        computer: copies.first().map(|(_, copy)| copy.dn.clone()),
        enabled_again_on: enabled.map(|(dc, _)| (*dc).clone()).collect(),
        let_in: let_in.into_values().collect(),
        denied_again: denied_again.into_values().collect(),
        contained_by: None,
    }
}

#[cfg(test)]
mod tests {
    use directory::ReaderDescriptor;

    use super::*;
    use crate::steps::contain::testing::{copy, listed};
    use crate::steps::quarantine::find::tests::quarantine;
    use crate::steps::testing::{dn, sid};

    fn watched() -> Vec<Watched> {
        let second = Quarantined { host_sid: sid(1102), host_name: "Host2".into(), ..quarantine() };
        vec![
            Watched { quarantine: quarantine(), denied_by: vec![sid(1301)] },
            Watched { quarantine: second, denied_by: vec![sid(1301), sid(1302)] },
        ]
    }
    fn host_copy(rid: u32, control: i64, groups: &[u32]) -> Option<HostCopy> {
        let token = token::token(&sid(rid), groups.iter().map(|rid| sid(*rid)));
        let dn = dn(&format!("CN=Host{},OU=Servers,DC=contoso,DC=com", rid - 1100));
        Some(HostCopy { dn, control: Some(control), token, pieced_together: false })
    }
    fn seen(hosts: [Option<HostCopy>; 2], entries: Vec<Entry>) -> OnDc {
        let watched = watched();
        let mut on = OnDc { hosts: hosts.into(), ..OnDc::default() };
        let denied = denied(&watched);
        entries.into_iter().for_each(|entry| on.take(&watched, &denied, entry));
        on
    }
    fn denying(rids: &[u32]) -> ReaderDescriptor {
        let mut list = ReaderDescriptor::allowing(&[sid(1200)]);
        rids.iter().for_each(|rid| {
            list.deny(&sid(*rid));
        });
        list
    }

    #[test]
    fn a_host_that_is_kept_out_everywhere_is_no_finding() {
        let hosts = [host_copy(1101, 4098, &[1200]), host_copy(1102, 4098, &[])];
        let on = seen(
            hosts,
            vec![
                listed("One", 1301, &denying(&[1101, 1102])),
                listed("Two", 1302, &denying(&[1102])),
                copy("Three", 1303, &[sid(9)]),
            ],
        );
        assert_eq!((on.looked_at, on.open.len()), (3, 0));
        let found = judged(&[("dc1".to_owned(), on)], &watched());
        // Two lets Host1 in by its group.
        assert_eq!(found[0].let_in.len(), 1);
        assert_eq!(found[0].let_in[0].by, [sid(1200)]);
        assert!(!found[1].got_out(), "{:?}", found[1]);
    }

    #[test]
    fn a_deny_entry_that_is_gone_is_put_back_for_all_hosts_in_one_write_a_dc() {
        let hosts = || [host_copy(1101, 4098, &[]), host_copy(1102, 4098, &[])];
        let bare = || vec![copy("One", 1301, &[sid(1200)])];
        let all = [("dc1".to_owned(), seen(hosts(), bare())), ("dc2".to_owned(), seen(hosts(), bare()))];
        let (changes, impossible) = denials(&all, &watched());
        assert_eq!((changes.len(), impossible.len()), (2, 0));
        assert_eq!(changes[1].dc.as_deref(), Some("dc2"));
        let bytes = changes[0].attributes[0].added()[0].wire().expect("bytes").to_vec();
        let mut after = ReaderDescriptor::from_bytes(&bytes).expect("a descriptor");
        assert!(!after.deny(&sid(1101)) && !after.deny(&sid(1102)), "both stand first");
        let found = judged(&all, &watched());
        assert_eq!(found[0].denied_again.len(), 1);
        assert!(!found[0].got_out(), "its next token is not let in; one that it holds was");
    }

    #[test]
    fn a_computer_that_somebody_enabled_is_found_on_the_dc_that_shows_it() {
        let all = [
            ("dc1".to_owned(), seen([host_copy(1101, 4098, &[]), None], vec![])),
            ("dc2".to_owned(), seen([host_copy(1101, 4096, &[]), None], vec![])),
        ];
        let found = judged(&all, &watched());
        assert_eq!(found[0].enabled_again_on, ["dc2"]);
        assert!(found[0].got_out() && found[1].computer.is_none() && !found[1].got_out());
    }

    #[test]
    fn lists_that_nobody_can_read_are_counted() {
        let broken = Entry::new(dn("CN=Broken,DC=contoso,DC=com"), []);
        let on = seen([host_copy(1101, 4098, &[]), None], vec![broken]);
        assert_eq!((on.unreadable, on.let_in.len()), (1, 0));
    }
}
