//! `POST /workflows/{id}/...`: what a person asks of a workflow.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::{ErrorCode, Role, WorkflowId, WorkflowState};
use store::{ActOutcome, Action, StoreError};

use super::auth::Caller;
use super::errors::ApiError;
use super::extract::InPath;
use super::{Api, schema, submit, workflows};

/// Cancels a workflow; a running one stops at its next step boundary. Role: operator.
#[utoipa::path(
    post, path = "/workflows/{id}/cancel", tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id")),
    responses(
        (status = 200, description = "Cancelled", body = schema::Workflow),
        (status = 202, description = "Asked for: a worker obeys at the next step boundary", body = schema::Workflow),
    ),
)]
pub(crate) async fn cancel(
    api: State<Arc<Api>>,
    caller: Caller,
    id: InPath<WorkflowId>,
) -> Result<Response, ApiError> {
    act(api, caller, id, Action::Cancel).await
}

/// Pauses a workflow; a running one stops at its next step boundary. Role: operator.
#[utoipa::path(
    post, path = "/workflows/{id}/pause", tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id")),
    responses(
        (status = 200, description = "Paused", body = schema::Workflow),
        (status = 202, description = "Asked for: a worker obeys at the next step boundary", body = schema::Workflow),
    ),
)]
pub(crate) async fn pause(
    api: State<Arc<Api>>,
    caller: Caller,
    id: InPath<WorkflowId>,
) -> Result<Response, ApiError> {
    act(api, caller, id, Action::Pause).await
}

/// Goes on with a workflow that is paused or waits for an operator. Role: operator.
#[utoipa::path(
    post, path = "/workflows/{id}/resume", tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id")),
    responses((status = 200, description = "Queued again", body = schema::Workflow)),
)]
pub(crate) async fn resume(
    api: State<Arc<Api>>,
    caller: Caller,
    id: InPath<WorkflowId>,
) -> Result<Response, ApiError> {
    act(api, caller, id, Action::Resume).await
}

/// Tries a failed workflow again from its failed step. Role: operator.
#[utoipa::path(
    post, path = "/workflows/{id}/retry", tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id")),
    responses((status = 200, description = "Queued again", body = schema::Workflow)),
)]
pub(crate) async fn retry(
    api: State<Arc<Api>>,
    caller: Caller,
    id: InPath<WorkflowId>,
) -> Result<Response, ApiError> {
    act(api, caller, id, Action::Retry).await
}

async fn act(
    State(api): State<Arc<Api>>,
    caller: Caller,
    InPath(id): InPath<WorkflowId>,
    action: Action,
) -> Result<Response, ApiError> {
    caller.require(Role::Operator)?;
    let outcome = api.store.act(id, action, &caller.principal.name, api.clock.now()).await;
    match outcome {
        Ok(ActOutcome::Done(workflow)) => Ok(Json(workflow).into_response()),
        Ok(ActOutcome::Asked(workflow)) => Ok(submit::accepted(&workflow)),
        Ok(ActOutcome::NotFound) => Err(workflows::no_such_workflow(id)),
        Err(StoreError::IllegalTransition(illegal)) => Err(refused(action, illegal.from)),
        Err(StoreError::Preempted(by)) => Err(preempted(by)),
        Err(error) => Err(error.into()),
    }
}

fn preempted(by: WorkflowId) -> ApiError {
    ApiError::new(
        ErrorCode::Preempted,
        format!("workflow {by} cuts a compromised host off, and has stopped this one for it"),
        format!(
            "nothing to do: it goes on by itself, planned anew, when that one is over; to let it go on sooner, end \
             {by}, or cancel this one and ask anew"
        ),
    )
}

fn refused(action: Action, state: WorkflowState) -> ApiError {
    let (done, needs) = match action {
        Action::Cancel => ("cancelled", "only one that is not finished can be"),
        Action::Pause => ("paused", "only one that is queued, running or waiting can be"),
        Action::Resume => ("resumed", "only one that is paused or waits for an operator can be"),
        Action::Retry => ("retried", "only one that failed can be; ask anew otherwise"),
    };
    ApiError::new(
        ErrorCode::IllegalTransition,
        format!("a workflow that is {state} cannot be {done}"),
        format!("{needs}; look at the workflow as it stands now"),
    )
}

#[cfg(test)]
mod tests {
    use axum::http::{Method, StatusCode};
    use domain::{Clock, DirectoryName, Lane, Mode, SystemRng, WorkflowId, WorkflowKind};
    use serde_json::json;
    use store::{NewWorkflow, Preemption};

    use crate::http::testing::{MANIFEST, World};

    #[tokio::test]
    async fn a_queued_workflow_is_paused_resumed_and_cancelled() {
        let world = World::new().await;
        let id = world.deploy("operator", "", MANIFEST).await.json["id"].as_str().expect("an id").to_owned();
        for (action, state) in [("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")] {
            let answer =
                world.send_as("operator", Method::POST, &format!("/api/v1/workflows/{id}/{action}")).await;
            assert_eq!(
                (answer.status, answer.json["state"].as_str()),
                (StatusCode::OK, Some(state)),
                "{}",
                answer.text
            );
        }
        for action in ["pause", "resume", "cancel", "retry"] {
            let answer =
                world.send_as("operator", Method::POST, &format!("/api/v1/workflows/{id}/{action}")).await;
            assert_eq!(
                (answer.status, answer.code()),
                (StatusCode::CONFLICT, "illegal-transition"),
                "{action}"
            );
            assert!(answer.json["detail"].as_str().is_some_and(|text| text.contains("cancelled")));
        }
    }

    #[tokio::test]
    async fn a_running_workflow_is_asked_and_answers_202() {
        let world = World::new().await;
        let id = world.deploy("operator", "", MANIFEST).await.json["id"].as_str().expect("an id").to_owned();
        world.claim(&id).await;
        let answer = world.send_as("operator", Method::POST, &format!("/api/v1/workflows/{id}/cancel")).await;
        assert_eq!((answer.status, answer.json["state"].as_str()), (StatusCode::ACCEPTED, Some("running")));
    }

    #[tokio::test]
    async fn what_a_containment_holds_is_not_resumed_before_that_is_over() {
        let world = World::new().await;
        let id = world.deploy("operator", "", MANIFEST).await.json["id"].as_str().expect("an id").to_owned();
        let now = world.clock.now();
        let containment = NewWorkflow {
            id: WorkflowId::new(now, &SystemRng),
            kind: WorkflowKind::COMPROMISE_REMOVAL,
            directory: DirectoryName::default(),
            farm: None,
            hosts: vec!["Host1".to_owned()],
            lane: Lane::Urgent,
            mode: Mode::Apply,
            requested_by: "responder".to_owned(),
            reason: None,
            input: json!({}),
            traceparent: None,
            parent: None,
            farm_spec: None,
            now,
        };
        let by = containment.id;
        world.store.submit(containment, None).await.expect("submitted");
        let fence = Preemption {
            by,
            directory: DirectoryName::default(),
            farms: Vec::new(),
            hosts: vec!["HOST1$".to_owned()],
        };
        assert_eq!(world.store.preempt(&fence, now).await.expect("raised").len(), 1);
        let act = async |id: &str, action: &str| {
            world.send_as("operator", Method::POST, &format!("/api/v1/workflows/{id}/{action}")).await
        };
        let refused = act(&id, "resume").await;
        assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "preempted"), "{}", refused.text);
        let shown = world.get_as("operator", &format!("/api/v1/workflows/{id}")).await.json;
        assert_eq!(
            (shown["state"].as_str(), shown["preemptedBy"].as_str()),
            (Some("paused"), Some(by.to_string().as_str()))
        );
        assert_eq!(act(&by.to_string(), "cancel").await.status, StatusCode::OK);
        let shown = world.get_as("operator", &format!("/api/v1/workflows/{id}")).await.json;
        assert_eq!((shown["state"].as_str(), shown.get("preemptedBy")), (Some("queued"), None));
    }

    #[tokio::test]
    async fn an_unknown_workflow_is_not_found() {
        let world = World::new().await;
        let path = "/api/v1/workflows/01890000-0000-7000-8000-000000000000/cancel";
        let answer = world.send_as("operator", Method::POST, path).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, "not-found"));
    }
}
