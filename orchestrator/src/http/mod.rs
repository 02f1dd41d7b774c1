//! The HTTP API: one file per noun. A handler is about 30 lines; what it refuses and its tests
//! stand in the same file.

mod actions;
mod auth;
mod calendars;
mod compromises;
mod decisions;
mod deploy;
mod docs;
mod drift;
mod error_pages;
mod errors;
mod extract;
mod farms;
mod health;
mod hosts;
mod inspections;
mod layers;
mod lifecycle;
mod manifest;
mod metrics;
mod page;
mod quarantine;
mod recovery;
mod report;
mod rotation;
mod rules;
mod schedules;
mod schema;
mod submit;
mod tokens;
mod watch;
mod webhooks;
mod whoami;
mod workflows;

#[cfg(test)]
mod contract_tests;
#[cfg(test)]
pub(crate) mod testing;

use std::sync::Arc;

use ::metrics_exporter_prometheus::PrometheusHandle;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use axum::{Router, middleware};
use domain::{Clock, Rng};
use messages::Bus;
use store::Store;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::options::{OrchestratorOptions, Settings};
use crate::reactions::Rules;
use crate::requests::Requests;
use crate::schedules::Schedules;
use crate::webhooks::Webhooks;
use crate::webhooks::receive::{Calls, Receiver};

pub use docs::openapi;

/// The largest request body. A manifest with a thousand hosts has about 100 KiB.
const MAX_BODY: usize = 1024 * 1024;

/// What every handler may use.
pub(crate) struct Api {
    pub(crate) store: Store,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) prometheus: PrometheusHandle,
    pub(crate) embedded: bool,
    pub(crate) requests: Requests,
    pub(crate) settings: Settings,
    /// Ends the event streams.
    pub(crate) stop: CancellationToken,
    pub(crate) tokens: auth::TokenCache,
    pub(crate) gauges: metrics::WorkflowGauges,
    pub(crate) calls: Calls,
}

impl Api {
    pub(crate) fn new(options: OrchestratorOptions) -> Self {
        let tokens =
            auth::TokenCache::new(options.store.clone(), options.clock.clone(), options.settings.token_cache);
        let requests = Requests {
            store: options.store.clone(),
            clock: options.clock.clone(),
            rng: options.rng.clone(),
            directories: options.known_directories,
            cool_down: options.settings.cool_down,
            rotation: options.settings.rotation,
            drift_full_every: options.settings.drift_full_every,
        };
        Self {
            tokens,
            requests,
            store: options.store,
            bus: options.bus,
            clock: options.clock,
            rng: options.rng,
            prometheus: options.prometheus,
            embedded: options.embedded,
            settings: options.settings,
            stop: CancellationToken::new(),
            gauges: metrics::WorkflowGauges::default(),
            calls: Calls::default(),
        }
    }
}

impl Api {
    pub(crate) fn schedules(&self) -> Schedules {
        Schedules { requests: self.requests.clone() }
    }

    pub(crate) fn rules(&self) -> Rules {
        Rules { requests: self.requests.clone() }
    }

    pub(crate) fn webhooks(&self) -> Webhooks {
        Webhooks { requests: self.requests.clone(), allow_http: self.settings.allow_http_webhooks }
    }

    pub(crate) fn receiver(&self) -> Receiver<'_> {
        Receiver {
            store: &self.store,
            clock: self.clock.as_ref(),
            calls: &self.calls,
            most: self.settings.webhook_calls_a_minute,
        }
    }
}

/// Every route of `/api/v1`, with its part of the OpenAPI document.
fn v1() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(farms::list, deploy::deploy))
        .routes(routes!(farms::show, deploy::update))
        .routes(routes!(hosts::add))
        .routes(routes!(hosts::remove_many))
        .routes(routes!(hosts::remove_one))
        .routes(routes!(lifecycle::decommission))
        .routes(routes!(lifecycle::replace))
        .routes(routes!(lifecycle::import))
        .routes(routes!(inspections::inspect))
        .routes(routes!(rotation::check))
        .routes(routes!(rotation::list))
        .routes(routes!(rotation::show))
        .routes(routes!(drift::check))
        .routes(routes!(drift::list))
        .routes(routes!(drift::show))
        .routes(routes!(compromises::list, compromises::contain))
        .routes(routes!(compromises::show))
        .routes(routes!(recovery::recover))
        .routes(routes!(quarantine::list))
        .routes(routes!(quarantine::show))
        .routes(routes!(quarantine::release))
        .routes(routes!(quarantine::check))
        .routes(routes!(report::show))
        .routes(routes!(workflows::list))
        .routes(routes!(workflows::show))
        .routes(routes!(watch::watch))
        .routes(routes!(actions::cancel))
        .routes(routes!(actions::pause))
        .routes(routes!(actions::resume))
        .routes(routes!(actions::retry))
        .routes(routes!(decisions::approve))
        .routes(routes!(decisions::reject))
        .routes(routes!(decisions::ack))
        .routes(routes!(schedules::list, schedules::create))
        .routes(routes!(schedules::show, schedules::replace, schedules::delete))
        .routes(routes!(schedules::pause))
        .routes(routes!(schedules::resume))
        .routes(routes!(schedules::preview))
        .routes(routes!(schedules::fires))
        .routes(routes!(calendars::list, calendars::create))
        .routes(routes!(calendars::delete))
        .routes(routes!(rules::list, rules::create))
        .routes(routes!(rules::show, rules::replace, rules::delete))
        .routes(routes!(rules::pause))
        .routes(routes!(rules::resume))
        .routes(routes!(rules::test))
        .routes(routes!(rules::firings))
        .routes(routes!(webhooks::list, webhooks::create))
        .routes(routes!(webhooks::show, webhooks::delete, webhooks::receive))
        .routes(routes!(webhooks::pause))
        .routes(routes!(webhooks::resume))
        .routes(routes!(webhooks::deliveries))
        .routes(routes!(webhooks::redeliver))
        .routes(routes!(webhooks::ping))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(whoami::whoami))
}

/// What answers without a token: nothing of it tells about farms or workflows by name.
fn open() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(metrics::scrape))
        .routes(routes!(error_pages::show))
}

pub(crate) fn router(api: Arc<Api>) -> Router {
    let (v1, _) = v1().split_for_parts();
    let (open, _) = open().split_for_parts();
    let v1 = v1
        .fallback(errors::no_such_route)
        .method_not_allowed_fallback(errors::no_such_method)
        // Around the fallbacks too: without a token nobody learns which routes there are, and no
        // route can be added that forgets to ask.
        .layer(middleware::from_fn_with_state(api.clone(), auth::authenticate));
    let routes = Router::new()
        .nest("/api/v1", v1)
        .merge(open)
        .route("/openapi.json", get(docs::document))
        .merge(docs::swagger_ui())
        .fallback(errors::no_such_route)
        .method_not_allowed_fallback(errors::no_such_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(api.clone());
    layers::around(routes, &api)
}
