//! Asking every writable DC of the domain whether it shows a change.
//!
//! A DC answers from its own copy, so a host that asks another one than the one that was written to
//! meets the change only when it has arrived there.

use std::time::Duration;

use async_trait::async_trait;
use directory::{DirectoryError, DirectoryRead};
use domain::{ErrorCode, Problem};
use futures::future::join_all;

use super::outputs::{count, list};
use crate::{StepContext, StepError};

/// Replication within a site takes seconds.
const AGAIN: Duration = Duration::from_secs(2);

/// What is looked for on each DC.
#[async_trait]
pub trait Look: Send + Sync {
    type Seen: Send;

    async fn look(&self, dc: &dyn DirectoryRead) -> Result<Self::Seen, Lag>;
}

/// What one DC lacks.
#[derive(Debug)]
pub enum Lag {
    /// It does not show this yet.
    Behind(String),
    Away(Problem),
    /// Not passing: whatever the decision table says.
    Other(StepError),
}

/// What each DC answered, by its name.
pub type Answers<T> = Vec<(String, Result<T, Lag>)>;

/// What every DC shows; an error that waits while one of them is behind or away.
pub async fn every_dc<L: Look>(cx: &StepContext, look: &L) -> Result<Vec<L::Seen>, StepError> {
    collect(ask_every_dc(cx, look).await?)
}

/// What each DC shows, or why it does not.
pub async fn ask_every_dc<L: Look>(cx: &StepContext, look: &L) -> Result<Answers<L::Seen>, StepError> {
    let forest = cx.forest()?;
    // Asked anew each time: a DC that is demoted meanwhile is not waited for.
    let dcs = forest.writable_dcs().await?;
    let asked = dcs.iter().map(|known| async move {
        let answer = async {
            let dc = forest.pin(Some(&known.name)).await?;
            look.look(dc.as_ref()).await
        };
        (known.name.clone(), answer.await)
    });
    Ok(join_all(asked).await)
}

impl From<StepError> for Lag {
    fn from(error: StepError) -> Self {
        match error {
            // A read has no outcome that could be unknown: it is simply asked again.
            StepError::Retry { problem, .. } | StepError::ReadAgain(problem) => Self::Away(problem),
            other => Self::Other(other),
        }
    }
}

impl From<DirectoryError> for Lag {
    fn from(error: DirectoryError) -> Self {
        StepError::from(error).into()
    }
}

/// All DCs, or why not: what cannot pass goes before what can.
pub fn collect<T>(answers: Answers<T>) -> Result<Vec<T>, StepError> {
    let (mut seen, mut behind, mut away) = (Vec::new(), Vec::new(), Vec::new());
    for (name, answer) in answers {
        match answer {
            Ok(dc) => seen.push(dc),
            Err(Lag::Behind(what)) => behind.push(format!("{name}: {what}")),
            Err(Lag::Away(problem)) => away.push(format!("{name}: {}", problem.message)),
            Err(Lag::Other(error)) => return Err(error),
        }
    }
    match (behind.is_empty(), away.is_empty()) {
        (true, true) => Ok(seen),
        (_, false) => {
            let message =
                format!("{} not answering; {}", count(away.len(), "DC"), list(&together(away, behind)));
            let hint = "bring the DC back, or remove it from the domain; the change is in place on the DC that was \
                        written to, and this step goes on by itself";
            Err(again(Problem::new(ErrorCode::DirectoryUnreachable, message, hint)))
        }
        (false, true) => {
            let message = format!("{} not up to date; {}", count(behind.len(), "DC"), list(&behind));
            let hint = "replication takes seconds within a site and longer between sites; if it lasts, look at \
                        `repadmin /showrepl` (Samba: `samba-tool drs showrepl`)";
            Err(again(Problem::new(ErrorCode::NotReplicated, message, hint)))
        }
    }
}

fn together(mut first: Vec<String>, second: Vec<String>) -> Vec<String> {
    first.extend(second);
    first
}

fn again(problem: Problem) -> StepError {
    StepError::Retry { after: AGAIN, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(name: &'static str) -> (String, Result<&'static str, Lag>) {
        (name.into(), Ok(name))
    }
    fn lag(name: &str, lag: Lag) -> (String, Result<&'static str, Lag>) {
        (name.into(), Err(lag))
    }
    fn away() -> Lag {
        Lag::Away(Problem::new(ErrorCode::DirectoryUnreachable, "no route", "wait"))
    }

    #[test]
    fn all_dcs_that_agree_are_the_result() {
        assert_eq!(collect(vec![seen("dc1"), seen("dc2")]).expect("converged"), ["dc1", "dc2"]);
    }

    #[test]
    fn a_dc_that_lags_is_named_and_waited_for() {
        let error =
            collect(vec![seen("dc1"), lag("dc2", Lag::Behind("no account".into()))]).expect_err("lag");
        let StepError::Retry { after, problem } = error else { panic!("{error:?}") };
        assert_eq!((after, problem.code), (AGAIN, ErrorCode::NotReplicated));
        assert!(problem.message.contains("dc2: no account") && !problem.message.contains("dc1"));
    }

    #[test]
    fn a_dc_that_is_away_is_named_and_waited_for_beside_those_that_lag() {
        let answers = vec![lag("dc1", Lag::Behind("old".into())), lag("dc2", away())];
        let error = collect(answers).expect_err("away");
        let StepError::Retry { problem, .. } = error else { panic!("{error:?}") };
        assert_eq!(problem.code, ErrorCode::DirectoryUnreachable);
        assert!(problem.message.contains("dc1: old") && problem.message.contains("dc2: no route"));
    }

    #[test]
    fn what_will_not_pass_by_itself_goes_first() {
        let park = StepError::park(ErrorCode::DirectoryLoginFailed, "refused", "mend it");
        let answers = vec![lag("dc1", away()), lag("dc2", Lag::Other(park.clone()))];
        assert_eq!(collect(answers).expect_err("parked"), park);
    }
}
