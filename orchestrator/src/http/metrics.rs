//! `/metrics`: the Prometheus exposition, with the gauges that only a look at the database and the
//! broker can give.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use domain::schedule::ScheduleState;
use domain::{DirectoryName, DriftState, Lane, RotationVerdict, WorkflowKind, WorkflowState};
use futures::future::join_all;
use store::StoreError;

use super::Api;

/// A scrape has its own deadline; what does not answer by now is left as it was.
const DEADLINE: Duration = Duration::from_secs(2);

/// Which kinds and states were ever reported: one that no workflow is in any more must read 0, not
/// its last value.
#[derive(Debug, Default)]
pub(crate) struct WorkflowGauges(
    Mutex<HashSet<(WorkflowKind, WorkflowState)>>,
    /// Directories whose gMSAs were counted.
    Mutex<HashSet<DirectoryName>>,
    /// Directories whose farms were compared.
    Mutex<HashSet<DirectoryName>>,
);

/// Metrics in Prometheus' text format.
#[utoipa::path(
    get, path = "/metrics", tag = "health",
    responses((status = 200, description = "Prometheus exposition", body = String, content_type = "text/plain")),
)]
pub(crate) async fn scrape(State(api): State<Arc<Api>>) -> impl IntoResponse {
    let (database, bus) = futures::join!(
        tokio::time::timeout(DEADLINE, refresh_database(&api)),
        tokio::time::timeout(DEADLINE, refresh_bus(&api)),
    );
    report("database", matches!(database, Ok(Ok(()))));
    report("bus", matches!(bus, Ok(true)));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], api.prometheus.render())
}

fn report(dependency: &'static str, up: bool) {
    metrics::gauge!("farmhand_dependency_up", "dependency" => dependency).set(f64::from(u8::from(up)));
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; counts stay far below 2^53")]
async fn refresh_database(api: &Api) -> Result<(), StoreError> {
    let depth = api.store.outbox_depth().await?;
    let age = depth.oldest.map_or(0.0, |oldest| (api.clock.now() - oldest).as_seconds_f64().max(0.0));
    metrics::gauge!("farmhand_outbox_depth").set(depth.rows as f64);
    metrics::gauge!("farmhand_outbox_oldest_seconds").set(age);
    report_announcements(api).await?;
    refresh_schedules(api).await?;
    report_deliveries(api).await?;
    let counts = api.store.count_by_state().await?;
    report_workflows(api, &counts);
    report_gmsas(api, &api.store.count_by_verdict().await?);
    report_drift(api, &api.store.count_by_drift().await?);
    report_quarantine(api).await
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; counts stay far below 2^53")]
async fn report_announcements(api: &Api) -> Result<(), StoreError> {
    let waiting = api.store.announcements_depth().await?;
    let age = waiting.oldest.map_or(0.0, |oldest| (api.clock.now() - oldest).as_seconds_f64().max(0.0));
    metrics::gauge!("farmhand_announcements_waiting").set(waiting.rows as f64);
    metrics::gauge!("farmhand_announcements_oldest_seconds").set(age);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; counts stay far below 2^53")]
async fn report_deliveries(api: &Api) -> Result<(), StoreError> {
    let stats = api.store.delivery_stats().await?;
    let age = stats.oldest_pending.map_or(0.0, |since| (api.clock.now() - since).as_seconds_f64().max(0.0));
    metrics::gauge!("farmhand_webhook_deliveries_pending").set(stats.pending as f64);
    metrics::gauge!("farmhand_webhook_oldest_pending_seconds").set(age);
    Ok(())
}

/// Of every configured directory, also where there is none.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; counts stay far below 2^53")]
async fn report_quarantine(api: &Api) -> Result<(), StoreError> {
    for directory in &api.requests.directories {
        let hosts = api.store.quarantined(directory).await?.len();
        metrics::gauge!("farmhand_quarantined_hosts", "directory" => directory.to_string()).set(hosts as f64);
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; counts stay far below 2^53")]
fn report_workflows(api: &Api, counts: &[(WorkflowKind, WorkflowState, u64)]) {
    let mut known = api.gauges.0.lock().unwrap_or_else(PoisonError::into_inner);
    known.extend(counts.iter().map(|(kind, state, _)| (kind.clone(), *state)));
    for (kind, state) in known.iter() {
        let count = counts.iter().find(|(k, s, _)| k == kind && s == state).map_or(0, |(_, _, count)| *count);
        let kind = kind.to_string();
        metrics::gauge!("farmhand_workflows", "kind" => kind, "state" => state.as_str()).set(count as f64);
    }
}

/// gMSAs by verdict, as the checks have left them. Those of a directory that has any read 0 where
/// there is none.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; counts stay far below 2^53")]
fn report_gmsas(api: &Api, counts: &[(DirectoryName, RotationVerdict, u64)]) {
    let mut known = api.gauges.1.lock().unwrap_or_else(PoisonError::into_inner);
    known.extend(counts.iter().map(|(directory, ..)| directory.clone()));
    for directory in known.iter() {
        for verdict in RotationVerdict::ALL {
            let of = |(d, v, _): &&(DirectoryName, RotationVerdict, u64)| d == directory && v == verdict;
            let count = counts.iter().find(of).map_or(0, |(.., count)| *count);
            let directory = directory.to_string();
            metrics::gauge!("farmhand_gmsas", "directory" => directory, "verdict" => verdict.as_str())
                .set(count as f64);
        }
    }
}

/// Farms by how they stand, as the checks have left them.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; counts stay far below 2^53")]
fn report_drift(api: &Api, counts: &[(DirectoryName, DriftState, u64)]) {
    let mut known = api.gauges.2.lock().unwrap_or_else(PoisonError::into_inner);
    known.extend(counts.iter().map(|(directory, ..)| directory.clone()));
    for directory in known.iter() {
        for state in DriftState::ALL {
            let of = |(d, s, _): &&(DirectoryName, DriftState, u64)| d == directory && s == state;
            let count = counts.iter().find(of).map_or(0, |(.., count)| *count);
            let directory = directory.to_string();
            metrics::gauge!("farmhand_farms_drift", "directory" => directory, "state" => state.as_str())
                .set(count as f64);
        }
    }
}

/// Out of the database and not out of the scheduler, which may be what does not go any more.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; counts stay far below 2^53")]
async fn refresh_schedules(api: &Api) -> Result<(), StoreError> {
    let now = api.clock.now();
    let stats = api.store.schedule_stats(now).await?;
    for (state, count) in [
        (ScheduleState::Enabled, stats.enabled),
        (ScheduleState::Paused, stats.paused),
        (ScheduleState::Ended, stats.ended),
    ] {
        metrics::gauge!("farmhand_schedules", "state" => state.as_str()).set(count as f64);
    }
    metrics::gauge!("farmhand_schedules_without_next").set(stats.without_next as f64);
    let lag = stats.overdue_since.map_or(0.0, |since| (now - since).as_seconds_f64().max(0.0));
    metrics::gauge!("farmhand_scheduler_lag_seconds").set(lag);
    Ok(())
}

/// Whether the broker answered for every lane.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; counts stay far below 2^53")]
async fn refresh_bus(api: &Api) -> bool {
    let depths = Lane::ALL.iter().map(|lane| async { (*lane, api.bus.depth(*lane).await) });
    let mut all = true;
    for (lane, depth) in join_all(depths).await {
        match depth {
            Ok(depth) => metrics::gauge!("farmhand_queue_depth", "lane" => lane.as_str()).set(depth as f64),
            Err(_) => all = false,
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use axum::http::{Method, StatusCode};
    use metrics_exporter_prometheus::PrometheusBuilder;

    use crate::http::testing::{MANIFEST, World};

    /// An alert on a metric that nobody writes is silence that looks like health.
    #[test]
    fn every_metric_that_an_alert_asks_about_is_written_somewhere() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut sources = String::new();
        for folder in ["directory", "farmhand", "messages", "orchestrator", "store", "workers"] {
            append_sources(&root.join(folder).join("src"), &mut sources);
        }
        let rules =
            std::fs::read_to_string(root.join("deploy/alerts/farmhand.rules.yml")).expect("the rules");
        let of_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let asked: BTreeSet<_> = rules
            .lines()
            .filter(|line| line.trim_start().starts_with("expr:"))
            .flat_map(|line| line.split(|letter| !of_word(letter)))
            .filter(|word| word.starts_with("farmhand_"))
            .collect();
        assert!(asked.len() > 10, "{asked:?}");
        for metric in asked {
            assert!(sources.contains(&format!("!(\"{metric}\"")), "{metric}");
        }
    }

    fn append_sources(folder: &Path, sources: &mut String) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                append_sources(&path, sources);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push_str(&std::fs::read_to_string(&path).expect("a source"));
            }
        }
    }

    #[tokio::test]
    async fn gauges_follow_the_database_and_fall_back_to_zero() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        // Only for this thread, and a tokio test runs on one: tests beside this one do not meet it.
        let _local = metrics::set_default_local_recorder(&recorder);
        let world = World::with(|options| options.prometheus = handle).await;
        let id = world.deploy("operator", "", MANIFEST).await.json["id"].as_str().expect("an id").to_owned();

        world.quarantine("Host1", "S-1-5-21-1-2-3-1601", &id).await;
        let answer = world.get("/metrics").await;
        assert_eq!(answer.status, StatusCode::OK);
        for line in [
            "farmhand_workflows{kind=\"deploy\",state=\"queued\"} 1",
            "farmhand_outbox_depth 1",
            "farmhand_quarantined_hosts{directory=\"default\"} 1",
            "farmhand_queue_depth{lane=\"lifecycle\"} 0",
            "farmhand_dependency_up{dependency=\"database\"} 1",
            "farmhand_dependency_up{dependency=\"bus\"} 1",
        ] {
            assert!(answer.text.lines().any(|found| found == line), "{line}\n{}", answer.text);
        }

        world.send_as("operator", Method::POST, &format!("/api/v1/workflows/{id}/pause")).await;
        let text = world.get("/metrics").await.text;
        assert!(text.contains("farmhand_workflows{kind=\"deploy\",state=\"queued\"} 0"), "{text}");
        assert!(text.contains("farmhand_workflows{kind=\"deploy\",state=\"paused\"} 1"), "{text}");

        world.store.close().await;
        let text = world.get("/metrics").await.text;
        assert!(text.contains("farmhand_dependency_up{dependency=\"database\"} 0"), "{text}");
    }
}
