//! A thousand hosts join a farm, beside what people would do instead: a loop of single modifies, and
//! `samba-tool group addmembers`.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tests::computers::Computers;
use tests::lab::{GROUP_CONTAINER, Lab};

use crate::clean::Objects;
use crate::ldap::Bare;
use crate::ours::Ours;
use crate::report::{self, Aim, Samples, Verdicts};

const HOSTS: usize = 1_000;
const ROUNDS: usize = 3;

pub async fn run(lab: &Lab, ours: &Ours, verdicts: &mut Verdicts) -> Result<()> {
    report::section("1,000 hosts join a farm's group on the real DC; store PostgreSQL, bus RabbitMQ");
    let computers = tokio::task::block_in_place(|| Computers::new(lab, "benchm", HOSTS))?;
    let bare = Bare::connect(lab, 1).await?;
    let (mut farmhand, mut single, mut peer) = (Samples::default(), Samples::default(), Samples::default());
    for round in 0..ROUNDS {
        // Each is first as often as the others.
        for turn in 0..3 {
            let objects = Objects::new(lab);
            match (round + turn) % 3 {
                0 => farmhand.push_millis(joined(lab, ours, &objects.farm, &computers.names).await?),
                1 => single.push_millis(one_by_one(lab, &bare, &objects.farm, &computers.names).await?),
                _ => peer.push_millis(by_samba_tool(lab, &objects.farm, &computers.names)?),
            }
        }
    }
    tokio::task::block_in_place(|| drop(computers));
    report::line("Farmhand add-host, from submission to end", &farmhand.show("ms"));
    report::line("bare ldap3, 1,000 single modifies", &single.show("ms"));
    report::line("samba-tool group addmembers, one process", &peer.show("ms"));
    report::line("Farmhand / single modifies", &report::round_by_round(&farmhand, &single));
    report::line("Farmhand / samba-tool", &report::round_by_round(&farmhand, &peer));
    let ratio = |other: &Samples| farmhand.median() / other.median();
    verdicts.judge("1,000 hosts: add-host / single modifies", ratio(&single), "", Aim::AtMost(0.5));
    verdicts.judge("1,000 hosts: add-host / samba-tool addmembers", ratio(&peer), "", Aim::AtMost(1.0));
    Ok(())
}

async fn joined(lab: &Lab, ours: &Ours, farm: &str, hosts: &[String]) -> Result<Duration> {
    ours.deploy(farm).await?;
    let took = ours.add_hosts(farm, hosts).await?;
    // A deploy brings three of its own.
    all_in(lab, &format!("{farm}-g"), hosts.len() + 3)?;
    Ok(took)
}

async fn one_by_one(lab: &Lab, bare: &Bare, name: &str, hosts: &[String]) -> Result<Duration> {
    let group = make_group(lab, name)?;
    let start = Instant::now();
    for host in hosts {
        bare.add_member(&group, &Computers::dn(host)).await?;
    }
    let took = start.elapsed();
    all_in(lab, &format!("{name}-g"), hosts.len())?;
    Ok(took)
}

fn by_samba_tool(lab: &Lab, name: &str, hosts: &[String]) -> Result<Duration> {
    make_group(lab, name)?;
    let members: Vec<_> = hosts.iter().map(|host| format!("{host}$")).collect();
    let (group, members) = (format!("{name}-g"), members.join(","));
    let start = Instant::now();
    tokio::task::block_in_place(|| lab.samba_tool(&["group", "addmembers", &group, &members]))?;
    let took = start.elapsed();
    all_in(lab, &group, hosts.len())?;
    Ok(took)
}

fn make_group(lab: &Lab, name: &str) -> Result<String> {
    let dn = format!("CN={name}-g,{GROUP_CONTAINER}");
    let ldif = format!("dn: {dn}\nchangetype: add\nobjectClass: group\nsAMAccountName: {name}-g\n");
    tokio::task::block_in_place(|| lab.bound_as(&lab.service).apply(&ldif))?;
    Ok(dn)
}

/// No figure counts if a host is missing.
fn all_in(lab: &Lab, group: &str, expected: usize) -> Result<()> {
    let dn = format!("CN={group},{GROUP_CONTAINER}");
    let entry = tokio::task::block_in_place(|| lab.as_admin().read(&dn, &["member"]))?;
    let members = entry.context("the group is gone")?.values("member").len();
    ensure!(members == expected, "{group} holds {members} hosts instead of {expected}");
    Ok(())
}
