//! Which hosts can read the password, and by what.

use directory::preflight::{self, Principal};
use directory::security::{Access, Effect, ReaderDescriptor};
use directory::{DirectoryRead, Entry};
use domain::Sid;
use futures::{StreamExt, TryStreamExt, stream};

use super::view::{CanRead, HostView};
use super::{Asked, LISTED, Names};
use crate::StepError;
use crate::steps::gmsa::READERS;
use crate::steps::principals::{self, Member};

/// Hosts whose groups are asked for side by side.
const AT_ONCE: usize = 8;

/// Every host that was asked for, then the first members of the group that were not.
pub(super) async fn hosts(
    dc: &dyn DirectoryRead,
    account: Option<&Entry>,
    asked: &Asked,
    members: &[Member],
    names: &Names,
) -> Result<Vec<HostView>, StepError> {
    let readers = account.and_then(|found| found.bytes(READERS));
    let readers = readers.and_then(|bytes| ReaderDescriptor::from_bytes(bytes).ok());
    let (readers, group) = (readers.as_ref(), asked.group.as_ref());
    let looks: Vec<_> = asked
        .hosts
        .iter()
        .map(|(reference, found)| async move {
            let Some(found) = found else {
                let through = Some("there is no such computer".to_owned());
                let name = reference.to_string();
                return Ok(HostView { name, on_record: true, can_read: CanRead::Unknown, through });
            };
            let name = principals::host_name(found.sam_account_name.as_deref(), &found.dn);
            let is_member = members.iter().any(|member| member.dn == found.dn);
            let token = token(dc, found, group.filter(|_| is_member)).await?;
            Ok::<_, StepError>(judge(name, true, readers, &token, names))
        })
        .collect();
    let mut hosts: Vec<_> = stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
    let is_asked = |member: &&Member| {
        !asked.hosts.iter().any(|(_, found)| found.as_ref().is_some_and(|f| f.dn == member.dn))
    };
    for member in members.iter().filter(is_asked).take(LISTED) {
        let group = group.and_then(|group| group.sid.clone());
        let token: Vec<_> = member.sid.iter().cloned().chain(group).collect();
        hosts.push(judge(member.name.clone(), false, readers, &token, names));
    }
    Ok(hosts)
}

/// What the host holds after a new logon. Not every DC lets everybody read a computer's groups, so
/// the one membership that is known otherwise counts as well.
async fn token(
    dc: &dyn DirectoryRead,
    host: &Principal,
    group: Option<&Principal>,
) -> Result<Vec<Sid>, StepError> {
    let mut sids =
        preflight::token_of(dc, &(&host.dn).into()).await?.map(|token| token.sids).unwrap_or_default();
    sids.extend(host.sid.clone());
    sids.extend(group.and_then(|group| group.sid.clone()));
    Ok(sids)
}

fn judge(
    name: String,
    on_record: bool,
    readers: Option<&ReaderDescriptor>,
    token: &[Sid],
    names: &Names,
) -> HostView {
    let Some(readers) = readers else {
        let through = Some("there is no reader list".to_owned());
        return HostView { name, on_record, can_read: CanRead::No, through };
    };
    let by = |effect| {
        let entries = readers.entries();
        let entry = entries.into_iter().find(|entry| entry.effect == effect && token.contains(&entry.sid));
        entry.map(|entry| names.shown(&entry.sid))
    };
    let (can_read, through) = match readers.may_read(token) {
        Access::Granted => (CanRead::Yes, by(Effect::Allow)),
        Access::Denied => (CanRead::No, by(Effect::Deny).map(|who| format!("an entry denies {who}"))),
        Access::Depends(why) => (CanRead::Unknown, Some(why)),
    };
    HostView { name, on_record, can_read, through }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::{self, sid};

    fn judged(readers: &ReaderDescriptor, token: &[u32]) -> (CanRead, Option<String>) {
        let names = Names([(sid(1200), testing::group())].into());
        let token: Vec<_> = token.iter().map(|rid| sid(*rid)).collect();
        let view = judge("Host1".into(), true, Some(readers), &token, &names);
        (view.can_read, view.through)
    }

    #[test]
    fn what_decides_is_named() {
        let mut readers = ReaderDescriptor::allowing([&sid(1200)]);
        assert_eq!(judged(&readers, &[1101]), (CanRead::No, None));
        let (can, through) = judged(&readers, &[1101, 1200]);
        assert_eq!((can, through.as_deref()), (CanRead::Yes, Some("ITFarmHosts (S-1-5-21-1-2-3-1200)")));
        readers.deny(&sid(1101));
        let (can, through) = judged(&readers, &[1101, 1200]);
        assert_eq!(can, CanRead::No);
        assert!(through.is_some_and(|through| through.contains("denies S-1-5-21-1-2-3-1101")));
    }
}
