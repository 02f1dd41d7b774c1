//! From the request to denial on two real DCs, idle and under load, beside the same writes sent by bare ldap3.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use directory::LdapOptions;
use futures::future::try_join_all;
use secrecy::SecretString;
use tests::lab::Lab;
use tests::objects::{account_dn, group_dn, host_dn};
use tests::twin::{DCS, TwinDcs};
use tests::wait::eventually;

use super::busy;
use super::rig::{LIFECYCLE_SLOTS, Rig, Seen};
use super::watch::Written;
use crate::ldap::Bare;
use crate::noop;
use crate::ours::HOSTS;
use crate::report::{self, Aim, Samples, Verdicts};
use crate::telemetry::Meters;

const ROUNDS: usize = 15;
const QUEUED: usize = 10_000;
const FARM: &str = "bench-contain";
const READERS: &str = "msDS-GroupMSAMembership";
const LIMIT: Duration = Duration::from_secs(30);

pub async fn run(lab: &Lab, twin: &TwinDcs, meters: &Meters, verdicts: &mut Verdicts) -> Result<()> {
    let rig = Rig::start(lab, options(twin)?, meters).await?;
    let outcome = measure(twin, &rig, verdicts).await;
    rig.stop().await;
    outcome
}

/// Both DCs, as the delegated account.
pub fn options(twin: &TwinDcs) -> Result<LdapOptions> {
    let urls = DCS.map(|dc| twin.lab(dc).directory_url.parse());
    let urls = urls.into_iter().collect::<Result<Vec<_>, _>>()?;
    let lab = twin.lab(DCS[0]);
    let password = SecretString::from(lab.service.password.clone());
    let mut options = LdapOptions::new(Default::default(), urls, &lab.service.dn, password);
    options.ca_file = Some(lab.ca_file.clone());
    Ok(options)
}

async fn measure(twin: &TwinDcs, rig: &Rig, verdicts: &mut Verdicts) -> Result<()> {
    report::section(
        "a host of one farm is cut off on two real DCs that flush each write; store PostgreSQL, bus RabbitMQ",
    );
    rig.deploy(FARM).await?;
    let before = Before::read(twin).await?;
    // What each DC tells the other is no part of it, and would be in the way of the next round.
    twin.cut_replication();
    let bare = [Bare::connect(twin.lab(DCS[0]), 1).await?, Bare::connect(twin.lab(DCS[1]), 1).await?];
    let first = rig.contain(HOSTS[0], DCS.len()).await?;
    before.restore(twin)?;
    bare_writes(&bare, &first.written).await?;
    before.restore(twin)?;
    let (mut ours, mut floor) = (Samples::default(), Samples::default());
    let (mut submitted, mut whole) = (Samples::default(), Samples::default());
    for round in 0..ROUNDS {
        for turn in 0..2 {
            if (round + turn) % 2 == 0 {
                let seen = rig.contain(HOSTS[0], DCS.len()).await?;
                ours.push_millis(seen.denied);
                submitted.push_millis(seen.submitted);
                whole.push_millis(end_to_end(&seen)?);
            } else {
                floor.push_millis(bare_writes(&bare, &first.written).await?);
            }
            before.restore(twin)?;
        }
    }
    report::line("Farmhand, from the durable request to denied on both", &ours.show("ms"));
    report::line("  the request itself, before that", &submitted.show("ms"));
    report::line("  the whole containment, with its proof", &whole.show("ms"));
    report::line("bare ldap3, the same two writes side by side", &floor.show("ms"));
    report::line("Farmhand / bare writes", &report::round_by_round(&ours, &floor));
    let ratio = ours.median() / floor.median();
    verdicts.judge("containment: request to denied everywhere / bare writes", ratio, "", Aim::AtMost(1.5));
    let ratio = |busy: &Samples| busy.median() / ours.median();

    report::section("the same with 10,000 lifecycle workflows queued and every slot at work");
    let held = under_load(twin, rig, &before, busy::request).await?;
    report::line("steps that wait as for a busy DC", &held.show("ms"));
    verdicts.judge("containment: 10,000 queued, every slot busy / idle", ratio(&held), "", Aim::AtMost(2.0));
    let flat_out = under_load(twin, rig, &before, noop::request).await?;
    report::line("no-op steps as fast as the machine can", &flat_out.show("ms"));
    report::line("  that / idle", &format!("{:.2}", ratio(&flat_out)));
    Ok(())
}

fn end_to_end(seen: &Seen) -> Result<Duration> {
    let end = seen.done.finished_at.context("no end")?;
    Ok((end - seen.done.created_at).to_std()?)
}

async fn under_load(
    twin: &TwinDcs,
    rig: &Rig,
    before: &Before,
    load: fn() -> store::NewWorkflow,
) -> Result<Samples> {
    rig.burden(QUEUED, load).await?;
    let mut samples = Samples::default();
    for _ in 0..ROUNDS {
        let queued = rig.queued().await?;
        if queued < i64::from(LIFECYCLE_SLOTS) {
            break;
        }
        samples.push_millis(rig.contain(HOSTS[0], DCS.len()).await?.denied);
        before.restore(twin)?;
    }
    ensure!(samples.median() > 0.0, "the queue was empty before the first containment");
    Ok(samples)
}

/// Both DCs' at once, each over a connection that is open already.
async fn bare_writes(bare: &[Bare; 2], written: &[Written]) -> Result<Duration> {
    let writes = written.iter().map(|written| {
        let index = usize::from(written.dc.starts_with(DCS[1]));
        let dn = written.dn.to_string();
        async move { bare[index].modify(&dn, &written.modifications).await }
    });
    let start = Instant::now();
    try_join_all(writes).await?;
    Ok(start.elapsed())
}

/// The reader list as the deploy left it.
struct Before(Vec<u8>);

impl Before {
    /// Once both DCs show it, and the group with its hosts.
    async fn read(twin: &TwinDcs) -> Result<Self> {
        let mut list = None;
        for dc in DCS {
            let admin = twin.admin(dc);
            let value = eventually("the farm on both DCs", LIMIT, async || {
                let group = admin.read(&group_dn(&format!("{FARM}-g")), &["member"]).ok()??;
                let account = admin.read(&account_dn(FARM), &[READERS]).ok()??;
                (group.values("member").len() == HOSTS.len()).then_some(account)
            })
            .await;
            list = value.values(READERS).first().cloned();
        }
        Ok(Self(list.context("no reader list")?))
    }

    /// On both, with the host in the group again.
    fn restore(&self, twin: &TwinDcs) -> Result<()> {
        let (account, group) = (account_dn(FARM), group_dn(&format!("{FARM}-g")));
        let list = STANDARD.encode(&self.0);
        let mut ldif =
            format!("dn: {account}\nchangetype: modify\nreplace: {READERS}\n{READERS}:: {list}\n\n");
        ldif += &format!("dn: {group}\nchangetype: modify\nreplace: member\n");
        HOSTS.iter().for_each(|host| ldif += &format!("member: {}\n", host_dn(host)));
        tokio::task::block_in_place(|| DCS.iter().try_for_each(|dc| twin.admin(dc).apply(&ldif)))
    }
}
