//! `POST /workflows/{id}/approve`, `reject` and `steps/{index}/ack`: the word of people that a
//! workflow waits for.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use domain::host::HostAck;
use domain::{ErrorCode, Role, Workflow, WorkflowId, WorkflowState};
use serde::Deserialize;
use store::{Acked, Decided, Ruling};
use utoipa::ToSchema;

use super::auth::Caller;
use super::errors::ApiError;
use super::extract::{Body, InPath};
use super::{Api, schema, submit, workflows};
use crate::requests;

/// More than one request can name hosts.
const MAX_ACKS: usize = 10_000;

/// A second person's decision on the plan that they saw.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DecisionBody {
    /// `plan.hash` of the workflow as it was shown: with another plan by now the decision is refused.
    plan_hash: String,
    /// Why; required to reject.
    reason: Option<String>,
}

/// Approves the plan that a workflow waits with.
///
/// Never by who asked for it. The workflow goes on with exactly this plan. Role: approver.
#[utoipa::path(
    post, path = "/workflows/{id}/approve", tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id")),
    request_body = DecisionBody,
    responses((status = 200, description = "Approved and queued", body = schema::Workflow)),
)]
pub(crate) async fn approve(
    api: State<Arc<Api>>,
    caller: Caller,
    id: InPath<WorkflowId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Workflow>, ApiError> {
    decide(api, caller, id, headers, body, true).await
}

/// Rejects the plan that a workflow waits with.
///
/// It is cancelled, and what it had changed is taken back. Role: approver.
#[utoipa::path(
    post, path = "/workflows/{id}/reject", tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id")),
    request_body = DecisionBody,
    responses((status = 200, description = "Rejected: cancelled, or queued to be unwound", body = schema::Workflow)),
)]
pub(crate) async fn reject(
    api: State<Arc<Api>>,
    caller: Caller,
    id: InPath<WorkflowId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Workflow>, ApiError> {
    decide(api, caller, id, headers, body, false).await
}

async fn decide(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(id): InPath<WorkflowId>,
    headers: HeaderMap,
    Body(body): Body,
    approve: bool,
) -> Result<Json<Workflow>, ApiError> {
    caller.require(Role::Approver)?;
    let DecisionBody { plan_hash, reason } = submit::json(&headers, &body)?;
    let reason = requests::reason(reason)?;
    if !approve && reason.is_none() {
        return Err(ApiError::invalid(
            "a rejection needs a reason",
            "say why, for who asked and for the record",
        ));
    }
    let ruling = Ruling { approve, plan_hash, by: caller.principal.name.clone(), reason };
    match api.store.decide(id, ruling, api.clock.now()).await? {
        Decided::Done(workflow) => Ok(Json(*workflow)),
        Decided::NotFound => Err(workflows::no_such_workflow(id)),
        refused => Err(not_decided(id, &caller.principal.name, refused)),
    }
}

fn not_decided(id: WorkflowId, by: &str, refused: Decided) -> ApiError {
    match refused {
        Decided::Own => ApiError::new(
            ErrorCode::ApprovalOwn,
            format!("{by} asked for workflow {id} and cannot decide on it"),
            "let a second person decide; who asked can take it back with `farmhand workflow cancel`",
        ),
        Decided::OtherPlan { waiting } => ApiError::new(
            ErrorCode::ApprovalVoid,
            format!("workflow {id} waits with another plan by now, of hash {waiting}"),
            "look at the workflow again and decide on the plan that it shows now",
        ),
        Decided::Expired { at } => ApiError::new(
            ErrorCode::ApprovalExpired,
            format!("the time to decide on workflow {id} was over at {}", at.to_rfc3339()),
            "nothing was done; ask for it again",
        ),
        Decided::NotAwaited(state) => not_awaited("an approval", state),
        Decided::Done(_) | Decided::NotFound => ApiError::internal("a decision that was taken is no refusal"),
    }
}

fn not_awaited(what: &str, state: WorkflowState) -> ApiError {
    ApiError::new(
        ErrorCode::IllegalTransition,
        format!("a workflow that is {state} waits for no {}", what.trim_start_matches("an ")),
        "look at the workflow as it stands now; somebody may have been first",
    )
}

/// Says what became of hosts that a step waits for.
///
/// A list of `{host, outcome, detail}`; without `host` it counts for every host that is awaited. When
/// none is awaited any more, or one failed, the workflow goes on. All or nothing. Role: operator.
#[utoipa::path(
    post, path = "/workflows/{id}/steps/{index}/ack", tag = "workflows",
    params(
        ("id" = String, Path, description = "The workflow's id"),
        ("index" = u16, Path, description = "The step's `index` (from 0)"),
    ),
    request_body = Vec<schema::HostAck>,
    responses((status = 200, description = "Recorded", body = schema::Workflow)),
)]
pub(crate) async fn ack(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath((id, index)): InPath<(WorkflowId, u16)>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Json<Workflow>, ApiError> {
    caller.require(Role::Operator)?;
    let acks: Vec<HostAck> = submit::json(&headers, &body)?;
    if !(1..=MAX_ACKS).contains(&acks.len()) {
        let message = format!("1 to {MAX_ACKS} hosts in one request, these are {}", acks.len());
        return Err(ApiError::invalid(
            message,
            "send a list like [{\"host\": \"Host1\", \"outcome\": \"succeeded\"}]",
        ));
    }
    match api.store.ack(id, index, &acks, &caller.principal.name, api.clock.now()).await? {
        Acked::Done(workflow) => Ok(Json(*workflow)),
        Acked::NotFound => Err(workflows::no_such_workflow(id)),
        Acked::NotAwaited(state) => Err(not_awaited("hosts", state)),
        Acked::NoSuchStep => Err(ApiError::not_found(
            format!("the step of index {index} waits for no host"),
            "the step that is `waiting` is meant; its index counts from 0 (its number in tables from 1)",
        )),
        Acked::NoSuchHost(host) => Err(ApiError::not_found(
            if host.is_empty() { "no host is awaited".to_owned() } else { format!("{host} is not awaited") },
            "the hosts whose task is `asked` or `failed` are meant, by their sAMAccountName; nothing was recorded",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::StatusCode;
    use domain::Role;

    use crate::http::testing::{Answer, PLAN_HASH, World};

    const JSON: &str = "application/json";

    async fn decide(world: &World, who: &str, id: &str, verb: &str, hash: &str) -> Answer {
        let body = format!(r#"{{"planHash": "{hash}", "reason": "seen"}}"#);
        world.post_as(who, &format!("/api/v1/workflows/{id}/{verb}"), JSON, &body, &[]).await
    }

    #[tokio::test]
    async fn a_second_person_approves_the_plan_that_they_saw() {
        let world = World::new().await;
        let id = world.awaits_approval("ITFarm1").await;
        let other = decide(&world, "approver", &id, "approve", "beef").await;
        assert_eq!((other.status, other.code()), (StatusCode::CONFLICT, "approval-void"));
        assert!(other.json["detail"].as_str().is_some_and(|text| text.contains(PLAN_HASH)));

        let answer = decide(&world, "approver", &id, "approve", PLAN_HASH).await;
        assert_eq!(
            (answer.status, &answer.json["state"]),
            (StatusCode::OK, &"queued".into()),
            "{}",
            answer.text
        );
        let decision = &answer.json["steps"][0]["outcome"]["approval"]["decision"];
        assert_eq!(
            (&decision["approved"], &decision["by"], &decision["reason"]),
            (&true.into(), &"approver".into(), &"seen".into())
        );

        let again = decide(&world, "admin", &id, "approve", PLAN_HASH).await;
        assert_eq!((again.status, again.code()), (StatusCode::CONFLICT, "illegal-transition"));
    }

    #[tokio::test]
    async fn who_asked_cannot_decide_whichever_roles_they_hold() {
        let world = World::new().await;
        world.add_token("OPERATOR", &[Role::Approver, Role::Operator], None).await;
        let id = world.awaits_approval("ITFarm1").await;
        for verb in ["approve", "reject"] {
            let answer = decide(&world, "OPERATOR", &id, verb, PLAN_HASH).await;
            assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "approval-own"), "{verb}");
            let answer = decide(&world, "operator", &id, verb, PLAN_HASH).await;
            assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "forbidden"), "{verb}");
        }
    }

    #[tokio::test]
    async fn a_rejection_needs_a_reason_and_cancels() {
        let world = World::new().await;
        let id = world.awaits_approval("ITFarm1").await;
        let path = format!("/api/v1/workflows/{id}/reject");
        for body in
            [r#"{"planHash": "5f1e"}"#, r#"{"planHash": "5f1e", "reason": " "}"#, "{}", r#"{"hash": "x"}"#]
        {
            let answer = world.post_as("approver", &path, JSON, body, &[]).await;
            assert_eq!(
                (answer.status, answer.code()),
                (StatusCode::BAD_REQUEST, "invalid-request"),
                "{body}"
            );
        }
        let answer = decide(&world, "approver", &id, "reject", PLAN_HASH).await;
        assert_eq!((answer.status, &answer.json["state"]), (StatusCode::OK, &"cancelled".into()));
        assert_eq!(answer.json["error"]["code"], "approval-rejected");
    }

    #[tokio::test]
    async fn too_late_is_too_late() {
        let world = World::new().await;
        let id = world.awaits_approval("ITFarm1").await;
        world.clock.advance(Duration::from_secs(3600));
        let answer = decide(&world, "approver", &id, "approve", PLAN_HASH).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "approval-expired"));
    }

    #[tokio::test]
    async fn hosts_are_acknowledged_one_by_one_or_all_at_once() {
        let world = World::new().await;
        let id = world.awaits_hosts("ITFarm1").await;
        let path = format!("/api/v1/workflows/{id}/steps/1/ack");
        let ack = async |path: &str, body: &str| world.post_as("operator", path, JSON, body, &[]).await;
        let one = ack(&path, r#"[{"host": "HOST1$", "outcome": "succeeded", "detail": "done"}]"#).await;
        assert_eq!((one.status, &one.json["state"]), (StatusCode::OK, &"waiting".into()), "{}", one.text);
        let task = &one.json["steps"][1]["outcome"]["hosts"][0];
        assert_eq!((&task["state"], &task["by"]), (&"succeeded".into(), &"operator".into()));

        for (path, body, status) in [
            (path.as_str(), r#"[{"host": "Host9", "outcome": "succeeded"}]"#, StatusCode::NOT_FOUND),
            (&path.replace("steps/1", "steps/0"), r#"[{"outcome": "skipped"}]"#, StatusCode::NOT_FOUND),
            (&path.replace("steps/1", "steps/7"), r#"[{"outcome": "skipped"}]"#, StatusCode::NOT_FOUND),
            (&path.replace("steps/1", "steps/x"), r#"[{"outcome": "skipped"}]"#, StatusCode::BAD_REQUEST),
            (path.as_str(), "[]", StatusCode::BAD_REQUEST),
            (path.as_str(), r#"[{"outcome": "maybe"}]"#, StatusCode::BAD_REQUEST),
            (path.as_str(), r#"[{"hosts": "Host2", "outcome": "skipped"}]"#, StatusCode::BAD_REQUEST),
        ] {
            let answer = ack(path, body).await;
            assert_eq!(answer.status, status, "{path} {body}: {}", answer.text);
        }
        let rest = ack(&path, r#"[{"outcome": "skipped"}]"#).await;
        assert_eq!((rest.status, &rest.json["state"]), (StatusCode::OK, &"queued".into()), "{}", rest.text);
        let late = ack(&path, r#"[{"outcome": "skipped"}]"#).await;
        assert_eq!((late.status, late.code()), (StatusCode::CONFLICT, "illegal-transition"));
    }
}
