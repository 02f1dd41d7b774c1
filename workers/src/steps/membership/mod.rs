//! Hosts join and leave a farm on record: the steps of `add-host` and `remove-host`.
//!
//! Where the farm has a group, hosts are its members; otherwise the reader list names each.

pub mod ensure_membership;
pub mod install_on_hosts;
pub mod joining;
pub mod leaving;
pub mod remove_membership;
pub mod uninstall_from_hosts;
pub mod verify_joined;
pub mod verify_no_access;

use directory::security::ReaderDescriptor;
use directory::{DirectoryRead, Entry};
use domain::request::HostsRequest;
use domain::{AttributeChange, AttributeOp, Dn, ErrorCode, MembershipMode, PrincipalRef, Sid, Write};

use super::ensure_group::GroupOutput;
use super::find_farm::{self, FarmOutput};
use super::gmsa;
use super::members::{Members, members};
use super::preflight::hosts::Seen;
use super::preflight::{HostTarget, observe};
use crate::engine::execute;
use crate::{StepContext, StepError};

/// Both kinds look their hosts up in a step of this name; the outputs differ.
pub const PREFLIGHT: &str = "preflight-hosts";

/// Where the farm's hosts are entered.
pub fn mode(farm: &FarmOutput) -> MembershipMode {
    match farm.group {
        Some(_) => MembershipMode::Group,
        None => MembershipMode::Direct,
    }
}

/// The hosts that the request names and those on record, as the directory knows them.
pub struct Named {
    pub asked: Vec<PrincipalRef>,
    /// What each of `asked` means.
    pub seen: Vec<Seen>,
    pub recorded: Vec<PrincipalRef>,
    /// What each of `recorded` means; `None` where it is gone.
    pub known: Vec<Option<Sid>>,
}

impl Named {
    pub async fn read(
        cx: &StepContext,
        dc: &dyn DirectoryRead,
        farm: &FarmOutput,
    ) -> Result<Self, StepError> {
        let asked = cx.input::<HostsRequest>()?.hosts;
        let recorded = cx.facts()?.spec.hosts.clone();
        let mut seen = observe::seen_hosts(dc, &asked, &farm.domain).await?;
        for (asked, seen) in asked.iter().zip(&mut seen) {
            let stranger = matches!(asked, PrincipalRef::Sid(sid) if !same_domain(sid, &farm.account.sid));
            if stranger && matches!(seen, Seen::Nothing) {
                *seen = Seen::OtherDomain;
            }
        }
        let known = observe::seen_hosts(dc, &recorded, &farm.domain).await?.into_iter().map(sid_of).collect();
        Ok(Self { asked, seen, recorded, known })
    }

    /// Whether the farm's record names the host, by whatever spelling.
    pub fn is_recorded(&self, host: &HostTarget) -> bool {
        self.known.iter().flatten().any(|known| *known == host.sid)
    }
}

fn sid_of(seen: Seen) -> Option<Sid> {
    match seen {
        Seen::Found(found) => found.sid,
        Seen::Nothing | Seen::OtherDomain => None,
    }
}

/// Whether both are of one domain: they differ in the last number at most.
fn same_domain(one: &Sid, other: &Sid) -> bool {
    let domain = |sid: &Sid| {
        let bytes = sid.to_bytes();
        bytes.get(..bytes.len() - 4).map(<[u8]>::to_vec)
    };
    domain(one) == domain(other)
}

/// The farm's account as it stands, with its reader list.
pub async fn account(dc: &dyn DirectoryRead, farm: &FarmOutput) -> Result<Entry, StepError> {
    let found = find_farm::read_account(dc, &farm.account.sid).await?;
    found.ok_or_else(|| find_farm::gone(&farm.account.dn))
}

/// The members of the farm's group as they stand.
pub async fn standing_members(
    dc: &dyn DirectoryRead,
    domain: &Dn,
    group: &GroupOutput,
) -> Result<Members, StepError> {
    members(dc, domain, group).await?.ok_or_else(|| {
        StepError::fail(
            ErrorCode::GroupNotFound,
            format!("the group {} is not there any more", group.dn),
            "somebody deleted or moved it at this moment: ask again, and deploy the farm again if it is gone",
        )
    })
}

/// Names for a reader list's entries, as far as this workflow knows them.
pub fn names(farm: &FarmOutput, hosts: &[HostTarget]) -> impl Fn(&Sid) -> Option<String> + use<> {
    let group = farm.group.iter().filter_map(|group| Some((group.sid.clone()?, group.name.clone())));
    let hosts = hosts.iter().map(|host| (host.sid.clone(), host.name.clone()));
    let known: std::collections::HashMap<_, _> = group.chain(hosts).collect();
    move |sid| known.get(sid).cloned()
}

/// Takes writes back. A reader list that others have changed since keeps their entries: only what
/// this workflow put in or took out is put right.
pub async fn undo(cx: &StepContext, writes: &[Write]) -> Result<(), StepError> {
    for write in writes.iter().rev() {
        let swap = match write.change.attributes.as_slice() {
            [attribute] => swapped(attribute),
            _ => None,
        };
        let taken_back = match swap {
            Some(swap) => take_back_swap(cx, write, &swap).await?,
            None => false,
        };
        if !taken_back {
            execute::take_back(cx, std::slice::from_ref(write)).await?;
        }
    }
    Ok(())
}

/// A reader list that went from one value to another.
struct Swap {
    before: Vec<u8>,
    after: Vec<u8>,
}

fn swapped(attribute: &AttributeChange) -> Option<Swap> {
    let AttributeOp::Set { before, after } = &attribute.op else { return None };
    let [before, after] = [before, after].map(|values| match values.as_slice() {
        [value] => value.wire().map(<[u8]>::to_vec),
        _ => None,
    });
    let (before, after) = (before?, after?);
    (attribute.attribute == gmsa::READERS).then_some(Swap { before, after })
}

/// Whether it is seen to: a list that still is as we wrote it, or is as it was, is swapped byte for byte.
async fn take_back_swap(cx: &StepContext, write: &Write, swap: &Swap) -> Result<bool, StepError> {
    let dc = cx.dc().await?;
    let Some(found) = dc.read(&(&write.change.dn).into(), gmsa::ATTRIBUTES).await? else { return Ok(true) };
    let now = found.bytes(gmsa::READERS).unwrap_or_default();
    if now == swap.before || now == swap.after {
        return Ok(false);
    }
    let readers =
        |bytes: &[u8]| ReaderDescriptor::from_bytes(bytes).map(|list| list.readers()).unwrap_or_default();
    let (before, after) = (readers(&swap.before), readers(&swap.after));
    let change = gmsa::change_readers(
        &found,
        |_| None,
        |list| {
            for ours in after.iter().filter(|sid| !before.contains(sid)) {
                list.remove(ours);
            }
            for taken in before.iter().filter(|sid| !after.contains(sid)) {
                list.allow(taken);
            }
        },
    )?;
    let carried = execute::carry_out(cx, &Vec::from_iter(change)).await;
    carried.stopped.map_or(Ok(true), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::sid;

    #[test]
    fn a_sid_belongs_to_the_domain_whose_numbers_it_begins_with() {
        let other: Sid = "S-1-5-21-9-9-9-1104".parse().expect("valid");
        let builtin: Sid = "S-1-5-32-544".parse().expect("valid");
        assert!(same_domain(&sid(1104), &sid(1300)));
        assert!(!same_domain(&other, &sid(1300)) && !same_domain(&builtin, &sid(1300)));
    }
}
