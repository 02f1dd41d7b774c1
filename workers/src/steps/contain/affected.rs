//! Which accounts a containment is about.

use directory::Entry;
use domain::{Dn, FarmName, Sid};
use serde::{Deserialize, Serialize};
use store::{Farm, FarmFacts};

use super::host::Host;
use super::judge::{Judged, Verdict, judge};

/// An account that the host could read, or may have read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Affected {
    /// With its `$`.
    pub account: String,
    pub dn: Dn,
    pub sid: Sid,
    /// The farm on record whose account it is.
    pub farm: Option<FarmName>,
    /// That farm's group.
    pub group: Option<Sid>,
    pub standing: Standing,
    /// SIDs of the host's token that the list lets in, on whichever DC.
    pub by: Vec<Sid>,
    /// What it turns on, where that cannot be seen.
    pub depends: Option<String>,
}

/// How the host stood to the account when it was first looked at; the worst of all DCs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// The list does not let it in; the farm's record, or the request, names both.
    OnRecord,
    /// A deny entry stood first already.
    Denied,
    Depends,
    LetIn,
}

/// An account that is looked at although no list may say so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub known: Affected,
    /// Denied whether or not its list lets the host in: an open session may hold a group that the
    /// directory shows no more.
    pub insist: bool,
}

impl Candidate {
    pub fn insisted(known: &Affected) -> Self {
        Self { known: known.clone(), insist: true }
    }

    fn of_farm(farm: &Farm, facts: &FarmFacts, host: &Host, asked: bool) -> Self {
        let known = Affected {
            account: facts.spec.account.sam_account_name.sam_account_name(),
            dn: facts.account_dn.clone(),
            sid: facts.account_sid.clone(),
            farm: Some(farm.name.clone()),
            group: facts.group_sid.clone(),
            standing: Standing::OnRecord,
            by: Vec::new(),
            depends: None,
        };
        let recorded = facts.spec.hosts.iter().any(|reference| host.is_meant_by(reference));
        Self { known, insist: asked || recorded }
    }
}

/// The farms on record with their accounts; only those that were asked for, if any were.
pub fn in_scope<'a>(
    farms: &'a [Farm],
    asked: &'a [FarmName],
) -> impl Iterator<Item = (&'a Farm, &'a FarmFacts)> {
    let farms = farms.iter().filter(move |farm| asked.is_empty() || is_asked(farm, asked));
    farms.filter_map(|farm| Some((farm, farm.recorded.as_ref()?)))
}

fn is_asked(farm: &Farm, asked: &[FarmName]) -> bool {
    asked.iter().any(|name| name.key() == farm.name.key())
}

/// The accounts of the farms in scope.
pub fn on_record(farms: &[Farm], host: &Host, asked: &[FarmName]) -> Vec<Candidate> {
    let candidate = |(farm, facts)| Candidate::of_farm(farm, facts, host, is_asked(farm, asked));
    in_scope(farms, asked).map(candidate).collect()
}

/// What a survey of all DCs found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub affected: Vec<Affected>,
    pub warnings: Vec<String>,
}

/// The accounts that the host could read by the copy of any DC, candidates first.
pub fn survey(
    copies: &[(String, Vec<Entry>)],
    host: &Host,
    token: &[Sid],
    candidates: &[Candidate],
) -> Found {
    let mut found = Found::default();
    let mut all: Vec<(Candidate, bool)> =
        candidates.iter().map(|candidate| (candidate.clone(), candidate.insist)).collect();
    for (dc, entry) in copies.iter().flat_map(|(dc, entries)| entries.iter().map(move |entry| (dc, entry))) {
        let Some(sid) = entry.sid("objectSid") else { continue };
        let judged = judge(entry, &host.sid, token);
        if let Verdict::Unreadable(why) = &judged.verdict {
            found.warnings.push(unreadable(&entry.dn, dc, why));
        }
        let concerns = judged.verdict.concerns();
        match all.iter_mut().find(|(known, _)| known.known.sid == sid) {
            Some((known, affected)) => {
                *affected |= concerns;
                learn(&mut known.known, entry, judged);
            }
            None if concerns => all.push((Candidate::insisted(&stranger(entry, sid, judged)), true)),
            None => {}
        }
    }
    found.affected =
        all.into_iter().filter(|(_, affected)| *affected).map(|(known, _)| known.known).collect();
    let is_known = |one: &&Affected| candidates.iter().any(|known| known.known.sid == one.sid);
    let strangers = found.affected.iter().take_while(is_known).count();
    found.affected[strangers..].sort_by_key(|one| one.account.to_lowercase());
    found.warnings.sort();
    found.warnings.dedup();
    found
}

pub fn unreadable(account: &Dn, dc: &str, why: &str) -> String {
    format!(
        "the reader list of {account} cannot be read on {dc} ({why}): no host gets its password there, and no deny \
         entry was put in"
    )
}

/// An account that is on nobody's record.
pub fn stranger(entry: &Entry, sid: Sid, judged: Judged) -> Affected {
    let account = entry.text("sAMAccountName").unwrap_or(&entry.dn.rdn().value).to_owned();
    let (dn, standing) = (entry.dn.clone(), Standing::OnRecord);
    let mut stranger =
        Affected { account, dn, sid, farm: None, group: None, standing, by: Vec::new(), depends: None };
    learn(&mut stranger, entry, judged);
    stranger
}

fn learn(known: &mut Affected, entry: &Entry, judged: Judged) {
    known.dn = entry.dn.clone();
    if let Some(name) = entry.text("sAMAccountName") {
        known.account = name.to_owned();
    }
    let standing = match judged.verdict {
        Verdict::LetIn => Standing::LetIn,
        Verdict::Depends(why) => {
            known.depends = Some(why);
            Standing::Depends
        }
        Verdict::Denied => Standing::Denied,
        Verdict::NotLetIn | Verdict::Unreadable(_) => Standing::OnRecord,
    };
    known.standing = known.standing.max(standing);
    known.by.extend(judged.by);
    known.by.sort();
    known.by.dedup();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::contain::testing::{copy, farm, host};
    use crate::steps::testing::sid;

    fn token() -> Vec<Sid> {
        vec![sid(1101), sid(1200)]
    }

    #[test]
    fn farms_that_were_not_asked_for_are_left_out_and_those_that_were_are_insisted_on() {
        let farms = [farm("One", 1301, &["Host9"]), farm("Two", 1302, &["HOST1$"]), farm("Three", 1303, &[])];
        let insisted = |asked: &[&str]| {
            let asked: Vec<_> = asked.iter().map(|name| FarmName::parse(name).expect("a name")).collect();
            let found = on_record(&farms, &host(), &asked);
            found.iter().map(|one| (one.known.account.clone(), one.insist)).collect::<Vec<_>>()
        };
        let expected = [("One$", false), ("Two$", true), ("Three$", false)];
        assert_eq!(insisted(&[]), expected.map(|(name, insist)| (name.to_owned(), insist)));
        assert_eq!(insisted(&["three"]), [("Three$".to_owned(), true)]);
    }

    #[test]
    fn who_is_let_in_on_one_dc_is_affected_on_all() {
        let one = copy("One", 1301, &[sid(1200)]);
        let stale = copy("One", 1301, &[sid(9)]);
        let copies = [("dc1".to_owned(), vec![stale]), ("dc2".to_owned(), vec![one])];
        let candidates = on_record(&[farm("One", 1301, &[])], &host(), &[]);
        let found = survey(&copies, &host(), &token(), &candidates);
        assert_eq!(found.affected.len(), 1);
        let affected = &found.affected[0];
        assert_eq!((affected.standing, &affected.by), (Standing::LetIn, &vec![sid(1200)]));
        assert_eq!(affected.farm.as_ref().map(FarmName::as_str), Some("One"));
    }

    #[test]
    fn one_that_the_record_names_is_affected_although_no_list_says_so() {
        let copies = [("dc1".to_owned(), vec![copy("One", 1301, &[sid(9)]), copy("Two", 1302, &[sid(9)])])];
        let candidates =
            on_record(&[farm("One", 1301, &["Host1"]), farm("Two", 1302, &["Host2"])], &host(), &[]);
        let found = survey(&copies, &host(), &token(), &candidates);
        let names: Vec<_> = found.affected.iter().map(|one| one.account.as_str()).collect();
        assert_eq!((names, found.affected[0].standing), (vec!["One$"], Standing::OnRecord));
    }

    #[test]
    fn strangers_are_found_and_lists_that_cannot_be_read_are_warned_about_once_a_dc() {
        let broken =
            Entry::new(copy("Broken", 1303, &[]).dn, [("objectSid".into(), vec![sid(1303).to_bytes()])]);
        let copies = [("dc1".to_owned(), vec![copy("One", 1301, &[sid(1101)]), broken.clone(), broken])];
        let found = survey(&copies, &host(), &token(), &[]);
        assert_eq!(found.affected.len(), 1);
        assert_eq!((found.affected[0].farm.clone(), found.affected[0].standing), (None, Standing::LetIn));
        assert_eq!(found.warnings.len(), 1, "{:?}", found.warnings);
        assert!(found.warnings[0].contains("CN=Broken"));
    }
}
