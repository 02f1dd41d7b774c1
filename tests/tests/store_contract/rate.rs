//! How fast the journal is. Not a test of anything: `cargo test -p tests --test store_contract
//! -- --ignored --nocapture rate`.

use std::time::{Duration, Instant};

use domain::WorkflowEvent;
use store::{Claim, Claimed, WorkflowChange};

use crate::kit::*;

async fn claimed(world: &World, count: i64) -> Vec<Box<Claimed>> {
    let new: Vec<_> = (0..count).map(check).collect();
    let ids: Vec<_> = new.iter().map(|new| new.id).collect();
    world.store.submit_many(new).await.expect("submitted");
    let start = Instant::now();
    let claims = world.store.claim(&ids, &worker("w1"), at(0)).await.expect("claimed");
    eprintln!("  claim of {count}: {:?}", start.elapsed());
    claims
        .into_iter()
        .filter_map(|claim| if let Claim::Claimed(claimed) = claim { Some(claimed) } else { None })
        .collect()
}

/// Begin, six steps (the last with the end), in batches: what the benchmark's workflow commits.
async fn run(world: &World, name: &str, batch: usize, rounds: usize) {
    let mut spent = Duration::ZERO;
    let mut commits = 0;
    for _ in 0..rounds {
        let held = claimed(world, i64::try_from(batch).expect("few")).await;
        for index in 0..7u16 {
            let entries: Vec<_> = held
                .iter()
                .map(|claimed| match index {
                    0 => entry(claimed, 1, begin(&["a", "b", "c", "d", "e", "f"])),
                    6 => with_steps(entry(claimed, 1, finish(WorkflowEvent::Succeed)), vec![done(5, "f")]),
                    n => with_steps(entry(claimed, 1, WorkflowChange::None), vec![done(n - 1, "step")]),
                })
                .collect();
            let start = Instant::now();
            world.store.commit(&entries).await.expect("committed");
            spent += start.elapsed();
            commits += 1;
        }
    }
    let entries = commits * batch;
    let rate = (entries as f64) / spent.as_secs_f64();
    let each = spent / u32::try_from(commits).expect("few");
    eprintln!(
        "{name}, {batch} a commit: {each:?} a commit, {rate:.0} entries/s, {:.0} workflows/s",
        rate / 7.0
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn rate_of_commits() {
    for (name, world) in [("PostgreSQL", World::on_postgresql().await), ("SQLite", World::on_sqlite().await)]
    {
        run(&world, name, 1000, 6).await;
        run(&world, name, 200, 10).await;
        run(&world, name, 1, 60).await;
    }
}
