//! Webhooks for people.

use domain::webhook::Way;
use store::{Attempt, Delivery, Webhook};

use super::time::moment;
use super::{render, table};

pub fn list(webhooks: &[Webhook]) -> String {
    let mut table = table(&["name", "direction", "who", "what", "state"]);
    for webhook in webhooks {
        let (who, what) = ends(webhook);
        table.add_row([
            webhook.spec.name.to_string(),
            webhook.spec.direction().to_string(),
            who,
            what,
            webhook.state.to_string(),
        ]);
    }
    render(&table)
}

/// The other side, and what is between us.
fn ends(webhook: &Webhook) -> (String, String) {
    match &webhook.spec.way {
        Way::In { auth } => (format!("calls with {auth}"), "webhook-received".to_owned()),
        Way::Out { url, events } => {
            let events: Vec<_> = events.iter().map(ToString::to_string).collect();
            (url.clone(), events.join(", "))
        }
    }
}

pub fn text(webhook: &Webhook) -> String {
    let (who, what) = ends(webhook);
    let state = match &webhook.paused {
        Some(paused) => {
            let why = paused.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            format!("{} since {} by {}{why}", webhook.state, moment(Some(paused.at)), paused.by)
        }
        None => webhook.state.to_string(),
    };
    let mut lines = vec![
        ("webhook", webhook.spec.name.to_string()),
        ("description", webhook.spec.description.clone().unwrap_or_default()),
        ("direction", webhook.spec.direction().to_string()),
        ("who", who),
        ("what", what),
        ("state", state),
        ("created by", webhook.created_by.clone()),
    ];
    lines.retain(|(_, value)| !value.is_empty());
    let lines: Vec<_> = lines.into_iter().map(|(name, value)| format!("{name:<12} {value}")).collect();
    lines.join("\n")
}

pub fn deliveries(deliveries: &[Delivery]) -> String {
    let mut table = table(&["delivery", "event", "state", "attempts", "last answer", "next attempt"]);
    for delivery in deliveries {
        table.add_row([
            delivery.id.to_string(),
            delivery.event.kind.clone(),
            delivery.state.to_string(),
            delivery.attempts.len().to_string(),
            delivery.attempts.last().map(answer).unwrap_or_default(),
            moment(delivery.next_attempt),
        ]);
    }
    render(&table)
}

fn answer(attempt: &Attempt) -> String {
    let what = match (&attempt.status, &attempt.error) {
        (Some(status), _) => status.to_string(),
        (None, error) => error.clone().unwrap_or_default(),
    };
    format!("{what} after {} ms, {}", attempt.millis, moment(Some(attempt.at)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn record(fields: Value) -> Webhook {
        let mut document = json!({
            "id": "0199c0de-0000-7000-8000-000000000000", "name": "siem", "description": null, "state": "enabled",
            "paused": null, "createdBy": "ann", "createdAt": "2026-11-01T00:00:00Z", "updatedAt": "2026-11-01T00:00:00Z"
        });
        document.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        serde_json::from_value(document).expect("as the server writes it")
    }

    #[test]
    fn webhooks_read_like_this() {
        let out = record(json!({
            "direction": "out", "url": "https://siem.contoso.com/farmhand", "events": ["farmhand.event.*"],
            "state": "paused",
            "paused": {"at": "2026-11-27T08:00:00Z", "by": "farmhand", "reason": "the receiver answered 410 Gone"}
        }));
        let inward = record(json!({"name": "cmdb", "direction": "in", "auth": "hmac"}));
        insta::assert_snapshot!(text(&out));
        insta::assert_snapshot!(list(&[inward, out]));
    }

    #[test]
    fn deliveries_read_like_this() {
        let delivery = |state: &str, attempts: Value, next: Value| -> Delivery {
            serde_json::from_value(json!({
                "id": "0199c0de-0000-7000-8000-000000000000", "state": state, "attempts": attempts, "nextAttempt": next,
                "event": {"id": "7", "source": "farmhand", "type": "farmhand.event.verdict-changed.v1", "subject": null},
                "createdAt": "2026-11-27T08:00:00Z", "finishedAt": null
            }))
            .expect("as the server writes it")
        };
        let attempt = json!({"at": "2026-11-27T08:00:00Z", "status": 503, "millis": 12});
        let lost = json!({"at": "2026-11-27T08:01:00Z", "error": "timeout", "millis": 10_000});
        insta::assert_snapshot!(deliveries(&[
            delivery("pending", json!([attempt, lost]), json!("2026-11-27T08:02:00Z")),
            delivery("delivered", json!([attempt]), json!(null)),
        ]));
    }
}
