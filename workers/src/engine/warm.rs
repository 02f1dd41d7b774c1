//! Connections of the urgent lane are open before they are needed: a containment comes once in
//! months, and the TLS handshakes and binds of each DC would take longer than its denials.

use std::time::Duration;

use directory::{Directories, Directory, DirectoryRead};
use futures::future::join_all;
use tokio_util::sync::CancellationToken;

/// Connections to each DC: as many as the first step of a containment uses side by side.
const EACH: usize = 3;

/// Opens connections to every writable DC of every directory, and again each `every`, until `stop`.
pub async fn keep(directories: Directories, every: Duration, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        let opened = join_all(directories.iter().map(|directory| open(directory.as_ref())));
        tokio::select! {
            _ = opened => {}
            () = stop.cancelled() => return,
        }
    }
}

/// What does not answer is nobody's fault here: who needs it says so.
async fn open(directory: &dyn Directory) {
    let dcs = match directory.writable_dcs().await {
        Ok(dcs) => dcs,
        Err(error) => return tracing::debug!(error = %error, "no connection ahead of need"),
    };
    join_all(dcs.iter().map(|known| async move {
        let Ok(dc) = directory.pin(Some(&known.name)).await else { return };
        let dc: &dyn DirectoryRead = dc.as_ref();
        // Side by side, each opens one of its own.
        join_all((0..EACH).map(|_| dc.root_dse())).await;
    }))
    .await;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::steps::testing::forest::FakeForest;

    #[tokio::test]
    async fn it_ends_when_it_is_told_to_also_beside_a_dc_that_is_down() {
        let forest = Arc::new(FakeForest::of(&["dc1", "dc2"]));
        forest.dcs[0].set_down(true);
        let known: Arc<dyn Directory> = forest.clone();
        let stop = CancellationToken::new();
        let keep = tokio::spawn(keep(Directories::new([known]), Duration::from_secs(3600), stop.clone()));
        stop.cancel();
        keep.await.expect("it ends");
        open(forest.as_ref()).await;
    }
}
