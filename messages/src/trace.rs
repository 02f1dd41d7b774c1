//! W3C trace context across the database and the broker.
//!
//! A workflow outlives the request that asked for it by days, so its span is a root of its own
//! that is *linked* to the producer's, never a child of it.

use std::collections::HashMap;

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

const TRACEPARENT: &str = "traceparent";

/// The current span as a `traceparent`; `None` where nothing is traced.
pub fn current() -> Option<String> {
    let mut carrier = HashMap::new();
    let context = tracing::Span::current().context();
    TraceContextPropagator::new().inject_context(&context, &mut carrier);
    carrier.remove(TRACEPARENT)
}

/// Links `span` to the producer that `traceparent` names; what is no traceparent is ignored.
pub fn link(span: &tracing::Span, traceparent: &str) {
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    let producer = TraceContextPropagator::new().extract(&carrier).span().span_context().clone();
    if producer.is_valid() {
        span.add_link(producer);
    }
}

/// Makes `span` a part of the trace that `traceparent` names: the asker waits for it. What is no
/// traceparent is ignored.
pub fn follow(span: &tracing::Span, traceparent: &str) {
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    let parent = TraceContextPropagator::new().extract(&carrier);
    if parent.span().span_context().is_valid() {
        // Fails where nothing is traced.
        let _ = span.set_parent(parent);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_no_traceparent_is_ignored() {
        for bad in ["", "00-zz-01", "00-00000000000000000000000000000000-0000000000000000-00"] {
            super::link(&tracing::info_span!("test"), bad);
            super::follow(&tracing::info_span!("test"), bad);
        }
        assert_eq!(super::current(), None, "nothing is traced here");
    }
}
