//! What is wrong with an account beside its verdict: pure, from what was read and looked up.

use domain::rotation::{FindingCode as Code, RootKeyState, RotationFinding, RotationItem};

use super::judge::{Around, Judged, SKEW, moment};
use super::observe::{Account, DcCopy, Key, Readers};
use super::on_record::OnRecord;
use super::readers::{self, Names};
use crate::steps::outputs::count;

const DES: i64 = 0x3;
const RC4: i64 = 0x4;
/// RC4, AES128 and AES256: without any of them a DC uses its default.
const CIPHERS: i64 = 0x1f;

pub struct Facts<'a> {
    pub account: &'a Account,
    pub copies: &'a [DcCopy],
    pub judged: &'a Judged,
    pub around: &'a Around,
    pub names: &'a Names,
    /// The farm on record, where the account has one.
    pub record: Option<&'a OnRecord>,
    pub max_interval_days: u32,
}

pub fn findings(facts: &Facts<'_>) -> Vec<RotationFinding> {
    let mut found = Vec::new();
    reading(facts, &mut found);
    of_record(facts, &mut found);
    encryption(facts, &mut found);
    interval(facts, &mut found);
    root_key(facts, &mut found);
    between_dcs(facts, &mut found);
    found
}

fn add(found: &mut Vec<RotationFinding>, code: Code, text: impl Into<String>) {
    found.push(RotationFinding { code, text: text.into(), subjects: Vec::new(), at: None });
}

/// With whom it is about, the first of them.
fn add_about(found: &mut Vec<RotationFinding>, code: Code, text: impl Into<String>, subjects: &[String]) {
    if subjects.is_empty() {
        return;
    }
    let subjects = subjects.iter().take(RotationItem::LISTED).cloned().collect();
    found.push(RotationFinding { code, text: text.into(), subjects, at: None });
}

fn reading(facts: &Facts<'_>, found: &mut Vec<RotationFinding>) {
    let list = match &facts.account.readers {
        Readers::Absent => {
            let text = "there is no reader descriptor: every read of the password fails; set one (Set-ADServiceAccount \
                        -PrincipalsAllowedToRetrieveManagedPassword, or import the account and update the farm)";
            return add(found, Code::NoReaderDescriptor, text);
        }
        Readers::Broken(error) => {
            let text = format!("the reader descriptor is broken ({error}): every read fails; write it anew");
            return add(found, Code::ReaderDescriptorBroken, text);
        }
        Readers::List(list) => list,
    };
    if !list.may_let_somebody_read() {
        return add(
            found,
            Code::NobodyMayRead,
            "nobody may read the password: let hosts in, or retire the account",
        );
    }
    let (mut broad, mut orphans, mut powerless) = (Vec::new(), Vec::new(), Vec::new());
    if list.descriptor().dacl.is_none() {
        broad.push("everyone (the list is NULL)".to_owned());
    }
    for sid in list.readers() {
        match facts.names.get(&sid) {
            _ if readers::broad(&sid).is_some() => broad.push(facts.names.shown(&sid)),
            Some(known) if known.is_distribution_group() => powerless.push(known.name.clone()),
            None if facts.names.is_orphan(&sid) => orphans.push(sid.to_string()),
            _ => {}
        }
    }
    let text = "whoever is in these groups can be the service: name the farm's own group instead";
    add_about(found, Code::BroadReader, text, &broad);
    let text = "nobody in this domain has these SIDs any more; take the entries away, since a SID can come back with a \
                restored object";
    add_about(found, Code::OrphanReader, text, &orphans);
    let text = "distribution groups never enter a token: they let nobody read";
    add_about(found, Code::DistributionGroupReader, text, &powerless);
    if !facts.account.enabled {
        let text = "the account is disabled, and hosts may still read its password: retire it (decommission), or enable it";
        add(found, Code::DisabledYetReadable, text);
    }
}

fn of_record(facts: &Facts<'_>, found: &mut Vec<RotationFinding>) {
    let Some(record) = facts.record else { return };
    let until = facts.judged.next_due.map_or_else(String::new, |due| format!(" after {}", moment(due)));
    let text = format!(
        "{} on record cannot read the password: what runs there breaks at the first roll{until}; let it in with add-host, \
         or take it off the record with remove-host",
        count(record.cannot_read.len(), "host")
    );
    let before = found.len();
    add_about(found, Code::HostCannotRead, text, &record.cannot_read);
    if let Some(finding) = found.get_mut(before) {
        finding.at = facts.judged.next_due;
    }
    let text = "these hosts are on record and not in the directory: take them off with remove-host";
    add_about(found, Code::HostNotFound, text, &record.absent);
    let text = format!(
        "{} may read the password without being on record: add-host what belongs there, take away the rest",
        if record.strays.len() == 1 { "somebody" } else { "several" }
    );
    add_about(found, Code::ReaderNotOnRecord, text, &record.strays);
}

fn encryption(facts: &Facts<'_>, found: &mut Vec<RotationFinding>) {
    let bits = facts.account.encryption;
    if bits & RC4 != 0 {
        let text = "RC4 is allowed: its tickets can be cracked offline; allow AES only once every host and client does AES";
        add(found, Code::Rc4Allowed, text);
    }
    if bits & DES != 0 {
        add(found, Code::DesAllowed, "DES is allowed; no supported system needs it");
    }
    if bits & CIPHERS == 0 {
        let text = "no encryption types are set, so a DC uses its own default, which may be RC4; set AES128 and AES256";
        add(found, Code::EncryptionUnset, text);
    }
}

fn interval(facts: &Facts<'_>, found: &mut Vec<RotationFinding>) {
    let Some(days) = facts.account.days else { return };
    if facts.judged.rollover.is_none() {
        let text = format!(
            "no DC is known to work with an interval of {days} days; it is fixed: replace the account"
        );
        add(found, Code::IntervalInvalid, text);
    } else if days > i64::from(facts.max_interval_days) {
        let text = format!(
            "the interval is {days} days, policy allows {}; it is fixed: replace the account (farmhand replace --interval)",
            facts.max_interval_days
        );
        add(found, Code::IntervalOverPolicy, text);
    }
}

fn root_key(facts: &Facts<'_>, found: &mut Vec<RotationFinding>) {
    let keys = &facts.around.root_keys;
    if matches!(keys.state, RootKeyState::None | RootKeyState::NotYetUsable) {
        let text = "no KDS root key can be used, so the password cannot roll: make one (Add-KdsRootKey) and wait ten hours";
        add(found, Code::NoUsableRootKey, text);
    }
    let Some(key) = &facts.judged.key else { return };
    if keys.visible.as_ref().is_some_and(|visible| !visible.contains(&key.root_key)) {
        let text = format!(
            "root key {} is not there any more: reads of the password fail until it rolls to another",
            key.root_key
        );
        add(found, Code::RootKeyMissing, text);
    } else if keys.newest.is_some_and(|newest| newest != key.root_key) {
        let when = facts
            .judged
            .next_due
            .map_or_else(|| "its next roll".to_owned(), |due| format!("its roll after {}", moment(due)));
        let text = format!(
            "made from root key {}, which is not the newest; it moves at {when}, and sooner only by `farmhand replace`",
            key.root_key
        );
        add(found, Code::OldRootKey, text);
        if let Some(finding) = found.last_mut() {
            finding.at = facts.judged.next_due;
        }
    }
}

fn between_dcs(facts: &Facts<'_>, found: &mut Vec<RotationFinding>) {
    let Facts { copies, judged, around, .. } = facts;
    if let Some(key) = &judged.key
        && copies.iter().all(|copy| key.slot_start() > copy.now + SKEW)
    {
        let text = format!(
            "the key's slot begins at {}: a DC whose clock was ahead rolled it, and it stays until that time has come",
            moment(key.slot_start())
        );
        add(found, Code::KeyIdAhead, text);
    }
    let mut differing: Vec<_> = copies.iter().filter(|copy| copy.id().is_some()).collect();
    differing.retain(|copy| copy.id() != judged.key.as_ref());
    let differing: Vec<_> = differing.into_iter().map(|copy| copy.dc.clone()).collect();
    let text =
        "these DCs show an older key than another DC; if it lasts, look at replication (repadmin /showrepl)";
    add_about(found, Code::DcsDisagree, text, &differing);
    let without = copies.iter().filter(|copy| copy.key == Key::Missing).map(|copy| copy.dc.clone());
    let silent: Vec<_> = around.silent.iter().cloned().chain(without).collect();
    add_about(found, Code::DcSilent, "these DCs did not answer, or show no key id of the account", &silent);
    if around.clocks_apart > SKEW {
        let text = "the clocks of the DCs, or theirs and ours, are more than five minutes apart: mend the time service";
        add(found, Code::DcClocksApart, text);
    }
}

#[cfg(test)]
#[path = "findings_tests.rs"]
mod tests;
