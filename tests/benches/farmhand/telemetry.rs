//! Logs, spans and metrics as the binary has them: what they cost belongs to what is measured.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use metrics::{Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tracing_subscriber::fmt::writer::MakeWriterExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::finished::Finished;

/// Counted by the engine when the end of a workflow is durable: the moment that is measured, seen
/// without asking the database.
const ENDED: &str = "farmhand_workflows_finished_total";
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0];
const UPKEEP: Duration = Duration::from_secs(5);

/// Reads the metrics.
#[derive(Clone)]
pub struct Meters(pub PrometheusHandle);

/// Installs both for the whole process. `FARMHAND_BENCH_LOG=off` shows what spans cost.
pub fn start(finished: Arc<Finished>) -> Result<Meters> {
    let filter = std::env::var("FARMHAND_BENCH_LOG").unwrap_or_else(|_| "info".to_owned());
    // Every event is formatted as in the binary, but only what is wrong is shown.
    let writer = std::io::stderr.with_max_level(tracing::Level::WARN).or_else(std::io::sink);
    let logs = fmt::layer().with_writer(writer).with_filter(EnvFilter::try_new(filter)?);
    tracing_subscriber::registry().with(logs).try_init()?;
    let builder = PrometheusBuilder::new();
    let builder = builder.set_buckets_for_metric(Matcher::Suffix("seconds".to_owned()), &SECONDS)?;
    let prometheus = builder.build_recorder();
    let handle = prometheus.handle();
    metrics::set_global_recorder(Watching { prometheus, finished })
        .map_err(|error| anyhow::anyhow!("the metrics recorder: {error}"))?;
    let upkeep = handle.clone();
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(UPKEEP);
        loop {
            tick.tick().await;
            upkeep.run_upkeep();
        }
    });
    Ok(Meters(handle))
}

/// Prometheus' recorder that also tells when a workflow has ended.
struct Watching {
    prometheus: PrometheusRecorder,
    finished: Arc<Finished>,
}

struct Ended {
    counter: Counter,
    finished: Arc<Finished>,
}

impl CounterFn for Ended {
    fn increment(&self, value: u64) {
        self.finished.add(value);
        self.counter.increment(value);
    }

    fn absolute(&self, value: u64) {
        self.counter.absolute(value);
    }
}

impl Recorder for Watching {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.prometheus.describe_counter(key, unit, description);
    }
    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.prometheus.describe_gauge(key, unit, description);
    }
    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.prometheus.describe_histogram(key, unit, description);
    }
    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        let counter = self.prometheus.register_counter(key, metadata);
        if key.name() == ENDED {
            return Counter::from_arc(Arc::new(Ended { counter, finished: self.finished.clone() }));
        }
        counter
    }
    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.prometheus.register_gauge(key, metadata)
    }
    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.prometheus.register_histogram(key, metadata)
    }
}

/// What the histograms hold: sum and count by metric and operation.
#[derive(Debug, Default, Clone)]
pub struct Readings(BTreeMap<(String, String), (f64, f64)>);

impl Meters {
    pub fn read(&self) -> Readings {
        let mut readings = Readings::default();
        for line in self.0.render().lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse::<f64>() else { continue };
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let operation = labels
                .split(['{', ',', '}'])
                .find_map(|label| Some(label.strip_prefix("operation=\"")?.trim_end_matches('"').to_owned()));
            let (metric, sum) = match (name.strip_suffix("_sum"), name.strip_suffix("_count")) {
                (Some(metric), _) => (metric, true),
                (_, Some(metric)) => (metric, false),
                (None, None) => continue,
            };
            let reading = readings.0.entry((metric.to_owned(), operation.unwrap_or_default())).or_default();
            if sum { reading.0 += value } else { reading.1 += value }
        }
        readings
    }
}

impl Readings {
    /// What came since `before`.
    pub fn since(&self, before: &Self) -> Self {
        let zero = (0.0, 0.0);
        let less = |(key, now): (&(String, String), &(f64, f64))| {
            let then = before.0.get(key).unwrap_or(&zero);
            (key.clone(), (now.0 - then.0, now.1 - then.1))
        };
        Self(self.0.iter().map(less).filter(|(_, reading)| reading.1 > 0.0).collect())
    }

    /// Sum and count.
    pub fn of(&self, metric: &str, operation: &str) -> (f64, f64) {
        self.0.get(&(metric.to_owned(), operation.to_owned())).copied().unwrap_or_default()
    }

    /// Operations of a metric with sum and count, the dearest first.
    pub fn operations(&self, metric: &str) -> Vec<(&str, f64, f64)> {
        let mut found: Vec<_> = self
            .0
            .iter()
            .filter(|((name, _), _)| name == metric)
            .map(|((_, operation), (sum, count))| (operation.as_str(), *sum, *count))
            .collect();
        found.sort_by(|a, b| b.1.total_cmp(&a.1));
        found
    }
}
