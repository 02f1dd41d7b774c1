//! Many hosts at once. One search for each of thousands would be thousands of round trips.

use std::collections::HashMap;

use domain::{Dn, PrincipalRef, Sid};
use futures::{StreamExt, TryStreamExt, stream};

use super::contexts;
use super::principal::{ATTRIBUTES, Preferred, Principal, find_principal};
use crate::error::DirectoryError;
use crate::ldap::filter_value;
use crate::port::{DirectoryRead, Scope, Search};

/// References in one search. Each term of the filter is one look into an index of the DC.
const TERMS: usize = 250;
/// Searches, and reads of DNs, side by side.
const AT_ONCE: usize = 8;

/// What each of `references` means, in their order; see [`find_principal`].
pub async fn find_principals(
    dc: &dyn DirectoryRead,
    references: &[PrincipalRef],
    preferred: Preferred,
) -> Result<Vec<Option<Principal>>, DirectoryError> {
    let domain = contexts(dc).await?.default_naming_context.clone();
    let (together, alone): (Vec<_>, Vec<_>) =
        (0..references.len()).partition(|at| term(&references[*at]).is_some());
    let mut found = Found::default();
    let searches: Vec<_> = together
        .chunks(TERMS)
        .map(|chunk| chunk.iter().filter_map(|at| term(&references[*at])).collect::<String>())
        .map(|terms| search(dc, &domain, terms))
        .collect();
    let answers: Vec<Vec<Principal>> = stream::iter(searches).buffered(AT_ONCE).try_collect().await?;
    answers.into_iter().flatten().for_each(|principal| found.insert(principal));
    let mut meant: Vec<_> = references.iter().map(|reference| found.meant(reference, preferred)).collect();
    // By value: a stream of futures that borrow their items is not Send for every lifetime.
    let reads = alone.into_iter().map(|at| (at, references[at].clone()));
    let reads = reads.map(|(at, reference)| async move {
        find_principal(dc, &reference, preferred).await.map(|found| (at, found))
    });
    let reads: Vec<_> = reads.collect();
    let reads: Vec<_> = stream::iter(reads).buffered(AT_ONCE).try_collect().await?;
    for (at, principal) in reads {
        meant[at] = principal;
    }
    Ok(meant)
}

async fn search(
    dc: &dyn DirectoryRead,
    domain: &Dn,
    terms: String,
) -> Result<Vec<Principal>, DirectoryError> {
    let search = Search::new(domain, Scope::Subtree, format!("(|{terms})"), &ATTRIBUTES);
    Ok(dc.search(&search).await?.iter().map(Principal::of).collect())
}

/// The part of a filter that selects what is referred to; `None` for what is looked up alone.
///
/// A DC folds more than case when it compares names (accents, repeated spaces), so that its answer
/// could not be told to belong to a reference that holds such characters. DNs are read where they
/// point.
fn term(reference: &PrincipalRef) -> Option<String> {
    match reference {
        PrincipalRef::Name(name) if name.chars().all(|c| c.is_ascii_graphic()) => {
            let escaped = filter_value(name);
            Some(format!("(sAMAccountName={escaped})(sAMAccountName={escaped}$)"))
        }
        PrincipalRef::Sid(sid) => Some(format!("(objectSid={sid})")),
        PrincipalRef::Name(_) | PrincipalRef::Dn(_) => None,
    }
}

/// Answers by what they can be referred to with.
#[derive(Default)]
struct Found {
    /// By sAMAccountName in small letters, without a trailing `$`: at most `NAME` and `NAME$`.
    names: HashMap<String, Vec<Principal>>,
    sids: HashMap<Sid, Principal>,
}

impl Found {
    fn insert(&mut self, principal: Principal) {
        if let Some(name) = &principal.sam_account_name {
            let same = self.names.entry(bare(name).to_ascii_lowercase()).or_default();
            if same.iter().all(|known| known.dn != principal.dn) {
                same.push(principal.clone());
            }
        }
        if let Some(sid) = principal.sid.clone() {
            self.sids.insert(sid, principal);
        }
    }

    fn meant(&self, reference: &PrincipalRef, preferred: Preferred) -> Option<Principal> {
        match reference {
            PrincipalRef::Name(name) => {
                let same = self.names.get(&name.to_ascii_lowercase())?;
                same.iter().min_by_key(|principal| !principal.is_preferred(preferred)).cloned()
            }
            PrincipalRef::Sid(sid) => self.sids.get(sid).cloned(),
            PrincipalRef::Dn(_) => None,
        }
    }
}

fn bare(name: &str) -> &str {
    name.strip_suffix('$').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::PrincipalKind;

    fn sid(rid: u32) -> Sid {
        Sid::new(5, vec![21, 1, 2, 3, rid]).expect("valid")
    }
    fn principal(name: &str, rid: u32) -> Principal {
        Principal {
            dn: Dn::parse(&format!("CN={},DC=x", name.replace('$', "-computer"))).expect("a DN"),
            sid: Some(sid(rid)),
            sam_account_name: Some(name.to_owned()),
            object_classes: Vec::new(),
            kind: PrincipalKind::Computer,
            primary_group_id: None,
            dns_host_name: None,
            disabled: false,
        }
    }
    fn reference(text: &str) -> PrincipalRef {
        PrincipalRef::parse(text).expect("valid")
    }

    #[test]
    fn an_answer_is_told_by_name_or_sid_without_regard_to_case() {
        let mut found = Found::default();
        found.insert(principal("Host1$", 1));
        found.insert(principal("HOST1", 2));
        let meant = |text: &str, preferred| {
            found.meant(&reference(text), preferred).and_then(|principal| principal.sam_account_name)
        };
        assert_eq!(meant("hOST1", Preferred::Computer).as_deref(), Some("Host1$"));
        assert_eq!(meant("host1$", Preferred::Group).as_deref(), Some("HOST1"));
        assert_eq!(meant("S-1-5-21-1-2-3-2", Preferred::Computer).as_deref(), Some("HOST1"));
        assert_eq!(meant("host2", Preferred::Computer), None);
    }

    #[test]
    fn only_what_a_dc_compares_as_we_do_is_asked_for_together() {
        assert_eq!(
            term(&reference("web&1")).as_deref(),
            Some("(sAMAccountName=web&1)(sAMAccountName=web&1$)")
        );
        assert_eq!(term(&reference("S-1-5-21-1-2-3-4")).as_deref(), Some("(objectSid=S-1-5-21-1-2-3-4)"));
        for alone in ["wéb", "web 1", "CN=web,DC=x"] {
            assert_eq!(term(&reference(alone)), None, "{alone}");
        }
        assert_eq!(
            term(&reference("a(b)")).as_deref(),
            Some("(sAMAccountName=a\\28b\\29)(sAMAccountName=a\\28b\\29$)")
        );
    }
}
