//! The DCs that a check asks: the one that it is pinned to, and the others where every one is asked.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use directory::{DirectoryError, DirectoryRead, Entry, Scope, Search};
use domain::rotation::DcClock;
use domain::{Clock, Dn, Sid};
use futures::future::join_all;

use super::observe::{COPY_ATTRIBUTES, DcCopy};
use crate::{StepContext, StepError};

/// SIDs in one search; each is one look into an index of the DC.
const TERMS: usize = 250;

/// A DC with its clock.
pub struct Dc {
    pub read: Arc<dyn DirectoryRead>,
    /// Its clock less ours; zero where it does not say.
    ahead: TimeDelta,
    known: bool,
}

/// Those that are asked for their copy besides the pinned one.
pub struct Dcs {
    pub pinned: Dc,
    others: Vec<Dc>,
    /// By name: why it was not asked, or not any more.
    errors: Vec<(String, String)>,
    /// All writable DCs of the domain were meant to be asked.
    pub every_dc: bool,
}

impl Dc {
    async fn of(read: Arc<dyn DirectoryRead>, clock: &dyn Clock) -> Result<Self, DirectoryError> {
        // Its time is somewhere between the question and the answer; halfway is as good as any.
        let asked = clock.now();
        let time = read.root_dse().await?.current_time;
        let halfway = asked + (clock.now() - asked) / 2;
        let ahead = time.map_or_else(TimeDelta::zero, |time| time - halfway);
        Ok(Self { read, ahead, known: time.is_some() })
    }

    /// By its own clock.
    pub fn now(&self, clock: &dyn Clock) -> DateTime<Utc> {
        clock.now() + self.ahead
    }
}

impl Dcs {
    /// A DC that does not answer is part of the picture; the pinned one has to.
    pub async fn find(cx: &StepContext, every_dc: bool) -> Result<Self, StepError> {
        let clock = cx.environment.clock.as_ref();
        let pinned = Dc::of(cx.dc().await?.clone(), clock).await?;
        let forest = cx.forest()?;
        let known = forest.writable_dcs().await?;
        let elsewhere = known
            .iter()
            .map(|dc| dc.name.clone())
            .filter(|name| !name.eq_ignore_ascii_case(pinned.read.dc()));
        let elsewhere: Vec<_> = elsewhere.collect();
        let alone = elsewhere.is_empty();
        let mut found = Self { pinned, others: Vec::new(), errors: Vec::new(), every_dc: every_dc || alone };
        if !every_dc {
            return Ok(found);
        }
        let asked = elsewhere.iter().map(|name| async move {
            let dc: Arc<dyn DirectoryRead> = forest.pin(Some(name)).await?;
            Dc::of(dc, clock).await
        });
        for (name, answer) in elsewhere.iter().zip(join_all(asked).await) {
            match answer {
                Ok(dc) => found.others.push(dc),
                Err(error) => found.errors.push((name.clone(), error.to_string())),
            }
        }
        Ok(found)
    }

    pub fn silent(&self) -> Vec<String> {
        self.errors.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The largest distance between two clocks among theirs and ours.
    pub fn apart(&self) -> TimeDelta {
        let ahead = self.all().filter(|dc| dc.known).map(|dc| dc.ahead).chain([TimeDelta::zero()]);
        let (least, most) = ahead.fold((TimeDelta::zero(), TimeDelta::zero()), |(least, most), ahead| {
            (least.min(ahead), most.max(ahead))
        });
        most - least
    }

    pub fn clocks(&self) -> Vec<DcClock> {
        let asked = self.all().map(|dc| DcClock {
            name: dc.read.dc().to_owned(),
            ahead_seconds: dc.known.then(|| dc.ahead.num_seconds()),
            error: None,
        });
        let silent = self.errors.iter().map(|(name, error)| DcClock {
            name: name.clone(),
            ahead_seconds: None,
            error: Some(error.clone()),
        });
        asked.chain(silent).collect()
    }

    fn all(&self) -> impl Iterator<Item = &Dc> {
        std::iter::once(&self.pinned).chain(&self.others)
    }

    /// What the other DCs show of these accounts, side by side. One that fails is silent from then on.
    pub async fn copies(
        &mut self,
        domain: &Dn,
        accounts: &[Sid],
        clock: &dyn Clock,
    ) -> HashMap<Sid, Vec<DcCopy>> {
        let mut copies: HashMap<Sid, Vec<DcCopy>> = HashMap::new();
        let asked = self.others.iter().map(|dc| copies_of(dc, domain, accounts, clock));
        let answers = join_all(asked).await;
        for (dc, answer) in std::mem::take(&mut self.others).into_iter().zip(answers) {
            match answer {
                Ok(found) => {
                    for (sid, copy) in accounts.iter().zip(found) {
                        copies.entry(sid.clone()).or_default().push(copy);
                    }
                    self.others.push(dc);
                }
                Err(error) => self.errors.push((dc.read.dc().to_owned(), error.to_string())),
            }
        }
        copies
    }
}

/// In the order of `accounts`.
async fn copies_of(
    dc: &Dc,
    domain: &Dn,
    accounts: &[Sid],
    clock: &dyn Clock,
) -> Result<Vec<DcCopy>, DirectoryError> {
    let (name, now) = (dc.read.dc(), dc.now(clock));
    let mut found: HashMap<Sid, Entry> = HashMap::new();
    for part in accounts.chunks(TERMS) {
        let terms: String = part.iter().map(|sid| format!("(objectSid={sid})")).collect();
        let search = Search::new(domain, Scope::Subtree, format!("(|{terms})"), &COPY_ATTRIBUTES);
        let entries = dc.read.search(&search).await?;
        found.extend(entries.into_iter().filter_map(|entry| Some((entry.sid("objectSid")?, entry))));
    }
    let copy =
        |sid| found.get(sid).map_or_else(|| DcCopy::missing(name, now), |entry| DcCopy::of(name, now, entry));
    Ok(accounts.iter().map(copy).collect())
}
