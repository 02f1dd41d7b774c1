//! `/healthz` and `/readyz`, for load balancers and people.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use messages::BusHealth;
use serde::Serialize;
use store::{SchemaStatus, StoreError};
use utoipa::ToSchema;

use super::Api;

/// A check that takes longer has failed; the prober has its own deadline.
const DEADLINE: Duration = Duration::from_secs(2);

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Alive {
    #[schema(example = "alive")]
    status: &'static str,
}

/// Whether the process answers at all. It looks at nothing else: restarting it would mend nothing.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, description = "Alive", body = Alive)))]
pub(crate) async fn alive() -> Json<Alive> {
    Json(Alive { status: "alive" })
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Readiness {
    /// `ready` when every check is.
    status: &'static str,
    embedded_directory: bool,
    checks: Checks,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Checks {
    database: Check,
    schema: Check,
    bus: Check,
}

#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Check {
    ready: bool,
    /// What was found, and what to do where it is not ready.
    detail: String,
}

impl Check {
    fn ready(detail: &str) -> Self {
        Self { ready: true, detail: detail.to_owned() }
    }

    fn not(detail: impl Into<String>) -> Self {
        Self { ready: false, detail: detail.into() }
    }
}

/// Whether requests can be worked on: database, its schema, and the message broker.
#[utoipa::path(
    get, path = "/readyz", tag = "health",
    responses(
        (status = 200, description = "Ready", body = Readiness),
        (status = 503, description = "Not ready; the checks say why", body = Readiness),
    ),
)]
pub(crate) async fn ready(State(api): State<Arc<Api>>) -> (StatusCode, Json<Readiness>) {
    let database = answer_in_time(api.store.ping());
    let schema = answer_in_time(api.store.schema_status());
    let (database, schema) = futures::join!(database, schema);
    let checks =
        Checks { database: judge_database(database), schema: judge_schema(schema), bus: judge_bus(&api) };
    let all = checks.database.ready && checks.schema.ready && checks.bus.ready;
    let (code, status) =
        if all { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready") };
    (code, Json(Readiness { status, embedded_directory: api.embedded, checks }))
}

/// `None` when it took too long.
async fn answer_in_time<T>(
    check: impl Future<Output = Result<T, StoreError>>,
) -> Option<Result<T, StoreError>> {
    tokio::time::timeout(DEADLINE, check).await.ok()
}

// Who asks here has no token, so an answer names the kind of trouble and never an address.
const NO_DATABASE: &str = "does not answer: check that it runs and that FARMHAND_DATABASE_URL is right";

fn judge_database(answer: Option<Result<(), StoreError>>) -> Check {
    match answer {
        Some(Ok(())) => Check::ready("answers"),
        _ => Check::not(NO_DATABASE),
    }
}

fn judge_schema(answer: Option<Result<SchemaStatus, StoreError>>) -> Check {
    match answer {
        Some(Ok(SchemaStatus::Current)) => Check::ready("is that of this program"),
        Some(Ok(SchemaStatus::Behind { pending })) => {
            Check::not(format!("lacks {} migration(s): run `farmhand migrate up`", pending.len()))
        }
        Some(Ok(SchemaStatus::Unknown { found })) => {
            Check::not(format!("has {} migration(s) of a newer Farmhand: run that version here", found.len()))
        }
        _ => Check::not("unknown while the database does not answer"),
    }
}

fn judge_bus(api: &Api) -> Check {
    let health = api.bus.health();
    let connected = *health.borrow() == BusHealth::Connected;
    if connected {
        return Check::ready("connected");
    }
    Check::not("not connected, trying again: check that the broker runs and that FARMHAND_AMQP_URL is right")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing::{FlakyBus, World};

    #[tokio::test]
    async fn all_is_ready_with_a_database_and_a_bus() {
        let world = World::new().await;
        let answer = world.get("/readyz").await;
        assert_eq!(
            (answer.status, answer.json["status"].as_str()),
            (StatusCode::OK, Some("ready")),
            "{}",
            answer.text
        );
        assert_eq!(answer.json["embeddedDirectory"], true);
        assert_eq!(world.get("/healthz").await.json["status"], "alive");
    }

    #[tokio::test]
    async fn a_dead_database_is_not_ready_and_the_process_still_alive() {
        let world = World::new().await;
        world.store.close().await;
        let answer = world.get("/readyz").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.json["checks"]["database"]["ready"], false);
        assert_eq!(answer.json["checks"]["bus"]["ready"], true);
        assert_eq!(world.get("/healthz").await.status, StatusCode::OK);
    }

    #[tokio::test]
    async fn an_old_schema_is_not_ready_and_says_how_to_mend_it() {
        let world = World::new().await;
        world.store.migrate_down(1).await.expect("works");
        let answer = world.get("/readyz").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.json["checks"]["database"]["ready"], true);
        let detail = answer.json["checks"]["schema"]["detail"].as_str().expect("a text");
        assert!(detail.contains("farmhand migrate up"), "{detail}");
    }

    #[tokio::test]
    async fn a_broker_that_is_away_is_not_ready() {
        let bus = Arc::new(FlakyBus::default());
        let world = World::with(|options| options.bus = bus.clone()).await;
        assert_eq!(world.get("/readyz").await.status, StatusCode::OK);
        bus.set_health(BusHealth::Down("amqp://user@10.0.0.1 refused".to_owned()));
        let answer = world.get("/readyz").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.json["checks"]["bus"]["ready"], false);
        assert!(!answer.text.contains("10.0.0.1"), "an address is not for everybody");
    }
}
