//! Whether one account's reader list, as one DC shows it, lets the host read.

use directory::Entry;
use directory::security::{Access, Effect, ReaderDescriptor};
use domain::Sid;

use crate::steps::gmsa::READERS;

/// What the list means for the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    LetIn,
    /// It turns on something that cannot be seen from here: taken for let in.
    Depends(String),
    /// Its own SID is denied before anything can allow.
    Denied,
    NotLetIn,
    /// A DC cannot read it either: nobody gets the password.
    Unreadable(String),
}

impl Verdict {
    /// Whether the host may have, or have had, the password.
    pub fn concerns(&self) -> bool {
        matches!(self, Self::LetIn | Self::Depends(_) | Self::Denied)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    pub verdict: Verdict,
    /// SIDs of the token that the list lets in, denials aside.
    pub by: Vec<Sid>,
}

/// By an access check over the whole token.
pub fn judge(account: &Entry, host: &Sid, token: &[Sid]) -> Judged {
    let unreadable = |why: &str| Judged { verdict: Verdict::Unreadable(why.to_owned()), by: Vec::new() };
    let Some(bytes) = account.bytes(READERS) else { return unreadable("it has none") };
    let list = match ReaderDescriptor::from_bytes(bytes) {
        Ok(list) => list,
        Err(error) => return unreadable(&error.to_string()),
    };
    let verdict = match list.may_read(token) {
        _ if list.denies_first(host) => Verdict::Denied,
        Access::Granted => Verdict::LetIn,
        Access::Depends(why) => Verdict::Depends(why),
        Access::Denied => Verdict::NotLetIn,
    };
    Judged { verdict, by: let_in(&list, token) }
}

fn let_in(list: &ReaderDescriptor, token: &[Sid]) -> Vec<Sid> {
    let entries = list.entries();
    // A NULL list lets everyone in, and names nobody.
    if entries.is_empty() && list.may_let_somebody_read() {
        return Sid::new(1, vec![0]).into_iter().collect();
    }
    let allowed = entries.into_iter().filter(|entry| entry.effect == Effect::Allow);
    let mut by: Vec<_> = allowed.map(|entry| entry.sid).filter(|sid| token.contains(sid)).collect();
    by.sort();
    by.dedup();
    by
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::{account, sid};

    const HOST: u32 = 1101;

    fn judged(list: &ReaderDescriptor) -> Judged {
        let found = account(&[(READERS, vec![list.to_bytes().expect("fits")])]);
        judge(&found, &sid(HOST), &[sid(HOST), sid(1200), sid(515)])
    }

    #[test]
    fn a_list_is_judged_by_the_whole_token() {
        let cases = [
            (vec![sid(HOST)], Verdict::LetIn, vec![sid(HOST)]),
            (vec![sid(1200), sid(515), sid(9)], Verdict::LetIn, vec![sid(515), sid(1200)]),
            (vec![sid(9)], Verdict::NotLetIn, vec![]),
            (vec![], Verdict::NotLetIn, vec![]),
        ];
        for (readers, verdict, by) in cases {
            assert_eq!(judged(&ReaderDescriptor::allowing(&readers)), Judged { verdict, by }, "{readers:?}");
        }
    }

    #[test]
    fn a_denial_counts_when_it_stands_first_and_the_way_in_is_still_told() {
        let mut list = ReaderDescriptor::allowing(&[sid(1200)]);
        list.deny(&sid(HOST));
        let Judged { verdict, by } = judged(&list);
        assert_eq!((&verdict, by), (&Verdict::Denied, vec![sid(1200)]));
        assert!(verdict.concerns());
        let mut group = ReaderDescriptor::allowing(&[sid(HOST)]);
        group.deny(&sid(515));
        assert_eq!(
            judged(&group).verdict,
            Verdict::NotLetIn,
            "a group's denial keeps it out, but is not ours"
        );
    }

    #[test]
    fn what_cannot_be_told_is_taken_for_let_in() {
        let network: Sid = "S-1-5-2".parse().expect("valid");
        let verdict = judged(&ReaderDescriptor::allowing(&[network])).verdict;
        assert!(matches!(&verdict, Verdict::Depends(why) if why.contains("Network")), "{verdict:?}");
        assert!(verdict.concerns());
    }

    #[test]
    fn no_list_lets_everyone_in_and_none_at_all_nobody() {
        let mut null = vec![1, 0, 4, 0x80];
        null.resize(20, 0);
        let found = account(&[(READERS, vec![null])]);
        let judged = judge(&found, &sid(HOST), &[sid(HOST)]);
        assert_eq!((judged.verdict, judged.by), (Verdict::LetIn, vec!["S-1-1-0".parse().expect("valid")]));
        for broken in [vec![], vec![b"garbage".to_vec()]] {
            let verdict = judge(&account(&[(READERS, broken)]), &sid(HOST), &[sid(HOST)]).verdict;
            assert!(matches!(verdict, Verdict::Unreadable(_)) && !verdict.concerns());
        }
    }
}
