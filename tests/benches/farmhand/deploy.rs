//! A deploy on the real DC, beside the same LDAP operations sent by bare ldap3.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use tests::lab::Lab;

use crate::clean::Objects;
use crate::ldap::record::Recorded;
use crate::ldap::{Bare, Order, replay};
use crate::ours::Ours;
use crate::report::{self, Aim, Samples, Verdicts};
use crate::telemetry::{Meters, Readings};

const ROUNDS: usize = 15;
/// Connections that the adapter opens to a DC at most.
const CONNECTIONS: usize = 4;
const LDAP: &str = "farmhand_ldap_operation_seconds";
const STORE: &str = "farmhand_store_seconds";

pub async fn run(lab: &Lab, ours: &Ours, meters: &Meters, verdicts: &mut Verdicts) -> Result<()> {
    report::section("a deploy (new group, 3 hosts, gMSA) on the real DC; store PostgreSQL, bus RabbitMQ");
    // Connections are opened and the DC's caches filled before anything counts.
    ours.deploy(&Objects::new(lab).farm).await?;
    let (tape, recorded) = record(lab, ours, meters).await?;
    let (wide, narrow) = (Bare::connect(lab, CONNECTIONS).await?, Bare::connect(lab, 1).await?);
    let floor = async |bare: &Bare, order: Order| -> Result<Duration> {
        let objects = Objects::new(lab);
        replay(bare, &tape, &recorded, &objects.farm, order).await
    };
    floor(&wide, Order::AsRecorded).await?;
    floor(&narrow, Order::OneByOne).await?;
    let (mut farmhand, mut alike, mut single) = (Samples::default(), Samples::default(), Samples::default());
    let before = meters.read();
    for round in 0..ROUNDS {
        // Each is first as often as the others.
        for turn in 0..3 {
            match (round + turn) % 3 {
                0 => {
                    let objects = Objects::new(lab);
                    farmhand.push_millis(ours.deploy(&objects.farm).await?);
                }
                1 => alike.push_millis(floor(&wide, Order::AsRecorded).await?),
                _ => single.push_millis(floor(&narrow, Order::OneByOne).await?),
            }
        }
    }
    let spent = meters.read().since(&before);
    ours.all_succeeded().await?;
    report::line("Farmhand, from submission to durable end", &farmhand.show("ms"));
    report::line("bare ldap3, side by side as Farmhand does", &alike.show("ms"));
    report::line("bare ldap3, one after the other", &single.show("ms"));
    show_spent(&spent);
    report::line("Farmhand / bare ldap3 side by side", &report::round_by_round(&farmhand, &alike));
    let ratio = |floor: &Samples| farmhand.median() / floor.median();
    verdicts.judge("deploy: Farmhand / bare ldap3, side by side", ratio(&alike), "", Aim::AtMost(1.15));
    verdicts.judge(
        "deploy: Farmhand / bare ldap3, one after the other",
        ratio(&single),
        "",
        Aim::AtMost(1.15),
    );
    Ok(())
}

/// The operations of one deploy, and the farm's name in them. They are held against what the
/// adapter itself counted: an operation that the recording does not see would flatter Farmhand.
async fn record(lab: &Lab, ours: &Ours, meters: &Meters) -> Result<(Vec<Recorded>, String)> {
    let objects = Objects::new(lab);
    let before = meters.read();
    let tape = ours.recorded_deploy(&objects.farm).await?;
    let counted = meters.read().since(&before);
    let mut seen = BTreeMap::<&str, f64>::new();
    tape.iter().for_each(|recorded| *seen.entry(recorded.call.name()).or_default() += 1.0);
    for operation in ["read", "search", "add", "modify", "delete"] {
        let (recorded, sent) =
            (seen.get(operation).copied().unwrap_or_default(), counted.of(LDAP, operation).1);
        ensure!(
            (recorded - sent).abs() < 0.5,
            "{recorded} operations of kind {operation} were recorded and {sent} sent"
        );
    }
    let kinds: Vec<_> = seen.iter().map(|(operation, count)| format!("{count} {operation}")).collect();
    report::line("LDAP operations of one deploy", &format!("{} ({})", tape.len(), kinds.join(", ")));
    if std::env::var_os("FARMHAND_BENCH_TAPE").is_some() {
        tape.iter().enumerate().for_each(|(index, one)| {
            println!(
                "    {index:>3} after {:?}{}: {:?}",
                one.after,
                if one.catalog { " gc" } else { "" },
                one.call
            );
        });
    }
    Ok((tape, objects.farm.clone()))
}

/// Where Farmhand's time went, a deploy. Directory operations overlap, so theirs may add up to more.
fn show_spent(spent: &Readings) {
    let rounds = ROUNDS as f64;
    let show = |metric: &str| {
        let operations = spent.operations(metric).into_iter().filter(|(_, sum, _)| sum / rounds > 1e-5);
        let shown = operations.map(|(operation, sum, count)| {
            format!("{operation} {:.1} ms in {:.1}", sum * 1e3 / rounds, count / rounds)
        });
        shown.collect::<Vec<_>>().join(", ")
    };
    report::line("  of it in LDAP operations", &show(LDAP));
    report::line("  of it in the store (idle work included)", &show(STORE));
}
