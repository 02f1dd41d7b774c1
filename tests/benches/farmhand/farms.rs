//! Ten workflows on ten farms: side by side against one after another.

use anyhow::Result;
use tests::lab::Lab;

use crate::clean::Objects;
use crate::ours::Ours;
use crate::report::{self, Aim, Samples, Verdicts};

const FARMS: usize = 10;
const ROUNDS: usize = 7;

pub async fn run(lab: &Lab, ours: &Ours, verdicts: &mut Verdicts) -> Result<()> {
    report::section("ten deploys on ten farms, on the real DC");
    ours.deploy(&Objects::new(lab).farm).await?;
    let (mut together, mut apart) = (Samples::default(), Samples::default());
    for round in 0..ROUNDS {
        for turn in 0..2 {
            let objects: Vec<_> = (0..FARMS).map(|_| Objects::new(lab)).collect();
            let farms: Vec<_> = objects.iter().map(|objects| objects.farm.as_str()).collect();
            if (round + turn) % 2 == 0 {
                together.push_millis(ours.deploy_together(&farms).await?);
            } else {
                let mut took = std::time::Duration::ZERO;
                for farm in farms {
                    took += ours.deploy(farm).await?;
                }
                apart.push_millis(took);
            }
        }
    }
    ours.all_succeeded().await?;
    report::line("side by side", &together.show("ms"));
    report::line("one after another", &apart.show("ms"));
    report::line("side by side / one after another", &report::round_by_round(&together, &apart));
    let ratio = together.median() / apart.median();
    verdicts.judge("ten farms: side by side / one after another", ratio, "", Aim::AtMost(1.0));
    Ok(())
}
