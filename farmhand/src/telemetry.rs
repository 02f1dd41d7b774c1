//! Logs on standard error, traces over OTLP, metrics for Prometheus.

use std::io::IsTerminal;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};
use url::Url;

use crate::config::Settings;
use crate::config::log::LogFormat;
use crate::failure::Failure;

const UPKEEP: Duration = Duration::from_secs(5);
/// From a directory read on the same machine to a step that waits for replication.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0];

/// Sends what is left when it is dropped.
pub struct Telemetry(Option<SdkTracerProvider>);

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = &self.0
            && let Err(error) = provider.shutdown()
        {
            eprintln!("the last traces could not be sent: {error}");
        }
    }
}

/// Starts logging, and tracing where an endpoint is configured. `instance` tells apart the
/// processes of one installation.
pub fn start(settings: &Settings, instance: &str) -> Result<Telemetry, Failure> {
    let filter = EnvFilter::try_new(&settings.log.filter)
        .map_err(|e| Failure::refused("invalid-configuration", format!("log.filter: {e}"), ""))?;
    let logs = match settings.log.format {
        LogFormat::Text => {
            // Colours are noise in a journal or a file.
            fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()).boxed()
        }
        LogFormat::Json => fmt::layer().json().with_writer(std::io::stderr).boxed(),
    };
    let provider =
        settings.telemetry.otlp_endpoint.as_ref().map(|url| provider(url, instance)).transpose()?;
    let traces = provider.as_ref().map(|provider| {
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        // The log's filter is for readers; traces are filtered by who looks at them.
        let spans = EnvFilter::new("info,hyper=off,h2=off,reqwest=off,opentelemetry=off");
        tracing_opentelemetry::layer().with_tracer(provider.tracer("farmhand")).with_filter(spans)
    });
    tracing_subscriber::registry()
        .with(traces)
        .with(logs.with_filter(filter))
        .try_init()
        .map_err(|e| Failure::internal(format!("logging cannot be started: {e}")))?;
    Ok(Telemetry(provider))
}

fn provider(endpoint: &Url, instance: &str) -> Result<SdkTracerProvider, Failure> {
    // The variable names the collector; OTLP/HTTP has one path for each signal below it.
    let traces = format!("{}/v1/traces", endpoint.as_str().trim_end_matches('/'));
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(traces)
        .build()
        .map_err(|e| {
            Failure::refused("invalid-configuration", format!("telemetry.otlp_endpoint: {e}"), "")
        })?;
    let resource = Resource::builder()
        .with_service_name("farmhand")
        .with_attribute(KeyValue::new("service.instance.id", instance.to_owned()))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// Installs the recorder behind `/metrics`; needs a tokio runtime.
pub fn metrics() -> Result<PrometheusHandle, Failure> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("seconds".to_owned()), &SECONDS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|e| Failure::internal(format!("metrics cannot be recorded: {e}")))?;
    let upkeep = handle.clone();
    // Without it histograms grow while nobody scrapes.
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(UPKEEP);
        loop {
            tick.tick().await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}
