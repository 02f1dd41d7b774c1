//! Every writable DC side by side: one that does not answer holds up none of the others.

use std::sync::Arc;
use std::time::Duration;

use directory::{DirectoryRead, DirectoryWrite};
use domain::{ErrorCode, Problem};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{StepContext, StepError};

/// How much later than the first a DC may answer before the first denial goes out without it: a
/// round trip or two between continents.
pub const AT_ONCE: Duration = Duration::from_millis(300);
/// The same where nobody is being let in meanwhile.
pub const SOON: Duration = Duration::from_secs(2);

/// A DC that did not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Away {
    /// dNSHostName.
    pub dc: String,
    pub why: String,
}

/// What was seen on each DC, by its name.
#[derive(Debug)]
pub struct Survey<T> {
    pub seen: Vec<(String, T)>,
    pub away: Vec<Away>,
}

/// Does `work` on every writable DC, as the directory itself names them now. With `patience`, what
/// is not there so long after the first answer is written off. An error only if none answers.
pub async fn every_dc<T, F, W>(
    cx: &StepContext,
    patience: Option<Duration>,
    work: W,
) -> Result<Survey<T>, StepError>
where
    W: Fn(Arc<dyn DirectoryWrite>) -> F,
    F: Future<Output = Result<T, StepError>>,
{
    let dcs = cx.forest()?.writable_dcs().await?;
    each(cx, dcs.into_iter().map(|dc| dc.name).collect(), patience, work).await
}

/// The same on DCs that are known already.
pub async fn each<T, F, W>(
    cx: &StepContext,
    dcs: Vec<String>,
    patience: Option<Duration>,
    work: W,
) -> Result<Survey<T>, StepError>
where
    W: Fn(Arc<dyn DirectoryWrite>) -> F,
    F: Future<Output = Result<T, StepError>>,
{
    let (forest, work) = (cx.forest()?, &work);
    let mut open: FuturesUnordered<_> = dcs
        .iter()
        .map(|name| async move {
            let answer = async { work(forest.pin(Some(name)).await?).await };
            (name.clone(), answer.await)
        })
        .collect();
    let (mut seen, mut failed, mut until) = (Vec::new(), Vec::new(), None);
    while let Some((name, answer)) = next(&mut open, until).await {
        match answer {
            Ok(answer) => {
                until = until.or_else(|| Some(Instant::now() + patience?));
                seen.push((name, answer));
            }
            Err(error) => failed.push((name, error)),
        }
    }
    drop(open);
    settle(dcs, seen, failed)
}

/// The next answer; `None` when there is none to come, or none in time.
async fn next<F: Future>(open: &mut FuturesUnordered<F>, until: Option<Instant>) -> Option<F::Output> {
    match until {
        None => open.next().await,
        Some(until) => tokio::time::timeout_at(until, open.next()).await.ok().flatten(),
    }
}

fn settle<T>(
    dcs: Vec<String>,
    mut seen: Vec<(String, T)>,
    mut failed: Vec<(String, StepError)>,
) -> Result<Survey<T>, StepError> {
    if seen.is_empty() {
        // What no DC lets us read is a person's to mend: it must not end a containment.
        return Err(failed.pop().map_or_else(no_dc, |(_, error)| error.or_park()));
    }
    let place = |name: &String| dcs.iter().position(|known| known == name);
    seen.sort_by_key(|(name, _)| place(name));
    let answered: Vec<_> = seen.iter().map(|(name, _)| name.clone()).collect();
    let silent = dcs.into_iter().filter(|name| !answered.contains(name));
    let why = |name: &String| {
        let error = failed.iter().find(|(failed, _)| failed == name);
        error.map_or_else(
            || "it did not answer in time".to_owned(),
            |(_, error)| error.problem().message.clone(),
        )
    };
    let away = silent.map(|dc| Away { why: why(&dc), dc }).collect();
    Ok(Survey { seen, away })
}

fn no_dc() -> StepError {
    StepError::Retry {
        after: Duration::from_secs(1),
        problem: Problem::new(
            ErrorCode::DirectoryUnreachable,
            "the directory names no writable domain controller of the domain",
            "`farmhand doctor` shows what it names; it is tried again by itself",
        ),
    }
}

/// A DC to read from what is the same everywhere.
pub async fn any(cx: &StepContext) -> Result<&dyn DirectoryRead, StepError> {
    Ok(cx.dc().await?.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }
    fn failure(message: &str) -> StepError {
        StepError::park(ErrorCode::DirectoryUntrusted, message, "mend it")
    }

    #[test]
    fn who_is_silent_is_named_with_the_reason_if_there_is_one() {
        let seen = vec![("dc3".to_owned(), 3), ("dc1".to_owned(), 1)];
        let failed = vec![("dc2".to_owned(), failure("no route"))];
        let survey = settle(names(&["dc1", "dc2", "dc3", "dc4"]), seen, failed).expect("some answered");
        assert_eq!(survey.seen.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["dc1", "dc3"]);
        let away: Vec<_> = survey.away.iter().map(|away| (away.dc.as_str(), away.why.as_str())).collect();
        assert_eq!(away, [("dc2", "no route"), ("dc4", "it did not answer in time")]);
    }

    #[test]
    fn without_any_answer_there_is_nothing_to_go_by() {
        let failed = vec![("dc1".to_owned(), failure("no route"))];
        let error = settle::<()>(names(&["dc1"]), vec![], failed).expect_err("nobody answered");
        assert_eq!(error.problem().message, "no route");
        assert!(matches!(settle::<()>(vec![], vec![], vec![]).expect_err("no DC"), StepError::Retry { .. }));
    }

    #[tokio::test]
    async fn one_that_is_late_is_not_waited_for_once_the_time_is_up() {
        use futures::FutureExt as _;
        let mut open: FuturesUnordered<_> = [futures::future::ready(1).boxed()].into_iter().collect();
        assert_eq!(next(&mut open, None).await, Some(1), "the first is waited for without limit");
        assert_eq!(next(&mut open, None).await, None, "there is none to come");
        open.push(futures::future::pending().boxed());
        assert_eq!(next(&mut open, Some(Instant::now())).await, None, "there is one, and it is late");
    }
}
