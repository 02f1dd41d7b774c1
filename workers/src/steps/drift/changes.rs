//! Which farms have to be read, and which results stand: what a DC says of its own changes.
//!
//! A USN counts within one DC's database. As long as its highest one is what it was before the last
//! check, nothing at all has changed there. Where it is not, the objects with a later uSNChanged have.
//! Three things leave no such trace where our account can see it: an object that was deleted (its
//! tombstone is for administrators; its groups lose the member without a change of their own), one that
//! came under another name because a container above it was renamed, and one that was restored. So the
//! objects that results rest on are also asked for by their SIDs: each has to be there, under its DN.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use directory::{DirectoryRead, Scope, Search};
use domain::request::DriftCheckRequest;
use domain::{Dn, FarmName, Sid};
use futures::StreamExt as _;
use sha2::{Digest as _, Sha256};
use store::{DriftMark, Quarantined, RestsOn};

use crate::{StepContext, StepError};

/// SIDs in one search; each is one look into an index of the DC.
const TERMS: usize = 250;
/// Farms whose objects are held at a time.
const FARMS: u32 = 500;
/// Objects that may have changed before looking at every farm is the better way.
const CHANGED: usize = 100_000;

/// Where a check stands in the changes of its DC, taken before anything else is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// dNSHostName.
    pub dc: String,
    /// Of the DC's database; `None`: it does not say.
    pub invocation: Option<String>,
    pub usn: Option<i64>,
    pub domain: Dn,
    /// Names the list of hosts under quarantine.
    pub quarantine: String,
}

impl Position {
    pub async fn of(dc: &dyn DirectoryRead, quarantined: &[Quarantined]) -> Result<Self, StepError> {
        // Not the one that is known from the connection: this is about now.
        let root = dc.root_dse().await?;
        let settings = dc.read(&(&root.ds_service_name).into(), &["invocationId"]).await?;
        Ok(Self {
            dc: dc.dc().to_owned(),
            invocation: settings.and_then(|settings| settings.guid("invocationId")),
            usn: root.highest_committed_usn,
            domain: root.default_naming_context,
            quarantine: digest(quarantined),
        })
    }

    /// What the next check goes on from; `None` where this DC's word cannot be built upon.
    pub fn mark(&self, full_at: DateTime<Utc>, now: DateTime<Utc>) -> Option<DriftMark> {
        let (dc, quarantine) = (self.dc.clone(), self.quarantine.clone());
        let (invocation, usn) = (self.invocation.clone()?, self.usn?);
        Some(DriftMark { dc, invocation, usn, quarantine, full_at, checked_at: now })
    }

    /// Why every farm has to be compared; `None`: what has changed since `mark` is enough.
    pub fn why_full(
        &self,
        request: &DriftCheckRequest,
        mark: Option<&DriftMark>,
        now: DateTime<Utc>,
    ) -> Option<String> {
        let why = |text: &str| Some(text.to_owned());
        let Some(mark) = mark else { return why("it is the first check of this directory") };
        let every = i64::try_from(request.full_every_seconds).ok().and_then(TimeDelta::try_seconds);
        let is_old = every.is_none_or(|every| now - mark.full_at >= every);
        match (&self.invocation, self.usn) {
            _ if request.full => why("it was asked for"),
            (None, _) | (_, None) => why("the DC does not say where it stands in its changes"),
            (Some(invocation), _) if *invocation != mark.invocation => Some(format!(
                "{} answers, whose changes are counted apart from those of {}",
                self.dc, mark.dc
            )),
            (_, Some(usn)) if usn < mark.usn => why("the DC's changes are counted from an earlier point"),
            _ if self.quarantine != mark.quarantine => {
                why("other hosts are under quarantine than at the last check")
            }
            _ if is_old => why("the last check of every farm is long ago"),
            _ => None,
        }
    }
}

/// By what a result is judged, for comparison with the next time.
fn digest(quarantined: &[Quarantined]) -> String {
    let mut hosts: Vec<_> =
        quarantined.iter().map(|host| (host.host_sid.to_string(), host.computer_dn.key())).collect();
    hosts.sort_unstable();
    hex::encode(Sha256::digest(
        hosts.into_iter().map(|(sid, dn)| format!("{sid} {dn}\n")).collect::<String>(),
    ))
}

/// The farms whose results rest on an object that has changed since `mark`, was deleted or has moved.
/// `None`: so much has changed that every farm is better looked at.
pub async fn farms_concerned(
    cx: &StepContext,
    dc: &dyn DirectoryRead,
    position: &Position,
    mark: &DriftMark,
) -> Result<Option<HashSet<FarmName>>, StepError> {
    let mut concerned = HashSet::new();
    if position.usn == Some(mark.usn) {
        return Ok(Some(concerned));
    }
    let Some(changed) = changed(dc, &position.domain, mark.usn).await? else { return Ok(None) };
    let (records, mut after) = (cx.records()?, None);
    loop {
        let page = records.drift_rests_on(&cx.directory, after.as_ref(), FARMS).await?;
        let Some(last) = page.last() else { return Ok(Some(concerned)) };
        after = Some(last.farm.clone());
        let (hit, rest): (Vec<_>, Vec<_>) =
            page.into_iter().partition(|farm| farm.objects.iter().any(|object| changed.contains(&object.0)));
        concerned.extend(hit.into_iter().map(|farm| farm.farm));
        concerned.extend(astray(dc, &position.domain, &rest).await?);
    }
}

/// SIDs of accounts and groups that have changed since; `None`: too many.
async fn changed(dc: &dyn DirectoryRead, domain: &Dn, usn: i64) -> Result<Option<HashSet<Sid>>, StepError> {
    let filter =
        format!("(&(uSNChanged>={})(|(objectClass=user)(objectClass=group)))", usn.saturating_add(1));
    let search = Search::new(domain, Scope::Subtree, filter, &["objectSid"]);
    let (mut pages, mut changed) = (dc.pages(&search), HashSet::new());
    while let Some(page) = pages.next().await.transpose()? {
        changed.extend(page.iter().filter_map(|entry| entry.sid("objectSid")));
        if changed.len() > CHANGED {
            return Ok(None);
        }
    }
    Ok(Some(changed))
}

/// The farms of which an object is not there, or not where it was.
async fn astray(dc: &dyn DirectoryRead, domain: &Dn, farms: &[RestsOn]) -> Result<Vec<FarmName>, StepError> {
    let sids: BTreeMap<&Sid, ()> =
        farms.iter().flat_map(|farm| &farm.objects).map(|object| (&object.0, ())).collect();
    let sids: Vec<&Sid> = sids.into_keys().collect();
    let mut there: HashMap<Sid, Dn> = HashMap::with_capacity(sids.len());
    for part in sids.chunks(TERMS) {
        let terms: String = part.iter().map(|sid| format!("(objectSid={sid})")).collect();
        let search = Search::new(domain, Scope::Subtree, format!("(|{terms})"), &["objectSid"]);
        let found = dc.search(&search).await?.into_iter();
        there.extend(found.filter_map(|entry| Some((entry.sid("objectSid")?, entry.dn))));
    }
    let stands = |farm: &&RestsOn| farm.objects.iter().all(|object| there.get(&object.0) == Some(&object.1));
    Ok(farms.iter().filter(|farm| !stands(farm)).map(|farm| farm.farm.clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::dn;
    use crate::steps::testing::records::FakeRecords;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).expect("a time")
    }
    fn position() -> Position {
        Position {
            dc: "dc1".to_owned(),
            invocation: Some("one".to_owned()),
            usn: Some(100),
            domain: dn("DC=contoso,DC=com"),
            quarantine: digest(&[]),
        }
    }

    #[test]
    fn every_farm_is_compared_where_a_dcs_own_changes_are_no_word_to_go_by() {
        let mark = position().mark(at(0), at(0)).expect("a mark");
        let request = DriftCheckRequest { full: false, full_every_seconds: 3600 };
        let why = |position: Position, mark: Option<&DriftMark>, now| position.why_full(&request, mark, now);
        assert_eq!(why(position(), Some(&mark), at(3599)), None);
        assert_eq!(why(Position { usn: Some(101), ..position() }, Some(&mark), at(1)), None);
        for (position, mark, now, told) in [
            (position(), None, at(0), "first"),
            (position(), Some(&mark), at(3600), "long ago"),
            (
                Position { invocation: Some("two".into()), dc: "dc2".into(), ..position() },
                Some(&mark),
                at(1),
                "dc2 answers",
            ),
            // The same DC, restored.
            (Position { invocation: Some("two".into()), ..position() }, Some(&mark), at(1), "counted apart"),
            (Position { usn: Some(99), ..position() }, Some(&mark), at(1), "earlier point"),
            (Position { usn: None, ..position() }, Some(&mark), at(1), "does not say"),
            (Position { invocation: None, ..position() }, Some(&mark), at(1), "does not say"),
            (Position { quarantine: "other".into(), ..position() }, Some(&mark), at(1), "quarantine"),
        ] {
            let why = why(position, mark, now).expect("every farm");
            assert!(why.contains(told), "{why}");
        }
        let asked = DriftCheckRequest { full: true, ..request };
        assert!(position().why_full(&asked, Some(&mark), at(1)).is_some_and(|why| why.contains("asked for")));
        assert_eq!(Position { usn: None, ..position() }.mark(at(0), at(0)), None);
    }

    #[test]
    fn the_quarantine_is_named_by_its_hosts_and_not_by_their_order() {
        let records = FakeRecords::default();
        for name in ["Host1", "Host2"] {
            let host = crate::steps::testing::host(name);
            records.place(name, &host.sid, &host.dn);
        }
        let mut hosts = records.lock().quarantines.clone();
        let two = digest(&hosts);
        hosts.reverse();
        assert_eq!(digest(&hosts), two);
        hosts.pop();
        assert_ne!(digest(&hosts), two);
    }
}
