//! `farmhand schedule`.

use domain::schedule::{ScheduleManifest, TargetManifest};
use reqwest::Method;
use serde_json::{Map, Value, json};
use store::{Fire, Page, Schedule as Record};

use super::Context;
use super::farm::{parse, with_next};
use crate::cli::{Schedule, ScheduleDefinition, ScheduleFires, ScheduleList, SchedulePreview};
use crate::client::{document, query, segment};
use crate::compose::clock;
use crate::failure::{Exit, Failure};
use crate::output::{Output, schedule};

const PATH: &str = "/api/v1/schedules";
/// Of a schedule on record, what its definition has too.
const DEFINED: [&str; 15] = [
    "name",
    "description",
    "kind",
    "target",
    "input",
    "plan",
    "reason",
    "cron",
    "timezone",
    "start",
    "end",
    "jitter",
    "overlap",
    "misfire",
    "lateness",
];
const SHOWN_FIRES: u32 = 10;

pub async fn run(cx: Context, command: Schedule) -> Result<Exit, Failure> {
    match command {
        Schedule::List(args) => list(&cx, args).await,
        Schedule::Show { name } => show(&cx, &name).await,
        Schedule::Create(args) => {
            let body = definition(args, Map::new())?;
            let document = cx.client.post(PATH, &body).await?.document;
            answer(&cx, document, "made")
        }
        Schedule::Update(args) => update(&cx, args).await,
        Schedule::Delete { name } => {
            cx.client.delete(&path(&name)).await?;
            cx.output.answer(&json!({ "name": name, "deleted": true }), || {
                format!("schedule {name} is deleted")
            })?;
            Ok(Exit::Done)
        }
        Schedule::Pause(args) => {
            let body = args.reason.map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
            let document = cx.client.post(&format!("{}/pause", path(&args.name)), &body).await?.document;
            answer(&cx, document, "paused")
        }
        Schedule::Resume { name } => {
            let document = cx.client.post(&format!("{}/resume", path(&name)), &json!({})).await?.document;
            answer(&cx, document, "resumed")
        }
        Schedule::Preview(args) => preview(&cx, args).await,
        Schedule::Fires(args) => fires(&cx, args).await,
    }
}

fn path(name: &str) -> String {
    format!("{PATH}/{}", segment(name))
}

fn answer(cx: &Context, document: Value, done: &str) -> Result<Exit, Failure> {
    let record: Record = parse(&document)?;
    cx.output.answer(&document, || format!("{done}\n{}", schedule::text(&record, &[])))?;
    Ok(Exit::Done)
}

async fn list(cx: &Context, args: ScheduleList) -> Result<Exit, Failure> {
    let query = query(&[
        ("state", args.state.map(|state| state.to_string())),
        ("limit", Some(args.paging.limit.to_string())),
        ("cursor", args.paging.cursor),
    ]);
    let document = cx.client.get(&format!("{PATH}{query}")).await?.document;
    let page: Page<Record> = parse(&document)?;
    cx.output.answer(&document, || with_next(schedule::list(&page.items), page.next.as_deref()))?;
    Ok(Exit::Done)
}

async fn show(cx: &Context, name: &str) -> Result<Exit, Failure> {
    let document = cx.client.get(&path(name)).await?.document;
    let record: Record = parse(&document)?;
    let fires = cx.client.get(&format!("{}/fires?limit={SHOWN_FIRES}", path(name))).await?.document;
    let fires: Page<Fire> = parse(&fires)?;
    cx.output.answer(&document, || schedule::text(&record, &fires.items))?;
    Ok(Exit::Done)
}

async fn update(cx: &Context, args: ScheduleDefinition) -> Result<Exit, Failure> {
    let (name, body) = if args.file.is_some() {
        let body = definition(args, Map::new())?;
        (body["name"].as_str().unwrap_or_default().to_owned(), body)
    } else {
        let name = args.name.clone().unwrap_or_default();
        let mut now = cx.client.get(&path(&name)).await?.document;
        let fields = now.as_object_mut().map(std::mem::take).unwrap_or_default();
        let known = |(key, value): &(String, Value)| DEFINED.contains(&key.as_str()) && !value.is_null();
        let args = ScheduleDefinition { name: None, ..args };
        (name, definition(args, fields.into_iter().filter(known).collect())?)
    };
    let document = cx.client.ask(Method::PUT, &path(&name), &body, None).await?.document;
    answer(cx, document, "changed")
}

/// The file's definition, or `known` with what flags say in its place.
fn definition(args: ScheduleDefinition, known: Map<String, Value>) -> Result<Value, Failure> {
    if let Some(file) = &args.file {
        let mut manifest: ScheduleManifest =
            document::read(file, "invalid-request", "see docs/schedules.md")?;
        if let Some(name) = args.name {
            manifest.name = name;
        }
        return serde_json::to_value(manifest).map_err(|e| Failure::internal(e.to_string()));
    }
    let mut body = known;
    let mut target = body.get("target").and_then(Value::as_object).cloned().unwrap_or_default();
    for (key, text) in [("farm", args.farm), ("directory", args.directory)] {
        target.extend(text.map(|text| (key.to_owned(), Value::from(text))));
    }
    target.retain(|_, value| !value.is_null());
    body.insert("target".to_owned(), Value::Object(target));
    if let Some(text) = args.input {
        let input = serde_json::from_str(&text).map_err(|e| {
            Failure::usage(format!("--input is no JSON: {e}"), "e.g. --input '{\"hosts\": [\"Host1\"]}'")
        })?;
        body.insert("input".to_owned(), input);
    }
    if args.plan {
        body.insert("plan".to_owned(), Value::Bool(true));
    }
    for (key, text) in [
        ("name", args.name),
        ("kind", args.kind),
        ("cron", args.cron),
        ("timezone", args.timezone),
        ("start", args.start),
        ("end", args.end),
        ("jitter", args.jitter),
        ("overlap", args.overlap.map(|policy| policy.to_string())),
        ("misfire", args.misfire.map(|policy| policy.to_string())),
        ("lateness", args.lateness),
        ("description", args.description),
        ("reason", args.reason),
    ] {
        body.extend(text.map(|text| (key.to_owned(), Value::from(text))));
    }
    Ok(Value::Object(body))
}

async fn preview(cx: &Context, args: SchedulePreview) -> Result<Exit, Failure> {
    let Some(name) = &args.name else { return preview_alone(cx.output, args) };
    let query = query(&[
        ("count", Some(args.count.to_string())),
        ("from", args.from.map(|time| time.to_rfc3339())),
        ("aroundChange", args.around_change.then(|| "true".to_owned())),
    ]);
    let document = cx.client.get(&format!("{}/preview{query}", path(name))).await?.document;
    cx.output.answer(&document, || schedule::preview(&document))?;
    Ok(Exit::Done)
}

/// Of an expression that is no schedule yet.
fn preview_alone(output: Output, args: SchedulePreview) -> Result<Exit, Failure> {
    let manifest = ScheduleManifest {
        cron: args.cron.unwrap_or_default(),
        timezone: args.timezone,
        target: TargetManifest::default(),
        ..ScheduleManifest::default()
    };
    let from = args.from.map_or_else(|| clock().now(), |time| time.to_utc());
    let timing = manifest.timing_alone(from).map_err(|problem| {
        Failure::refused(problem.code.as_str(), problem.message, "see docs/schedules.md")
    })?;
    let due: Vec<_> = match args.around_change {
        true => timing.around_change(from, args.count.into()),
        false => timing.upcoming(from).take(args.count.into()).collect(),
    };
    let items: Vec<_> = due
        .into_iter()
        .map(|due| {
            let local =
                due.with_timezone(&timing.timezone).to_rfc3339_opts(chrono::SecondsFormat::Secs, false);
            json!({ "due": due, "local": local, "fireAt": due, "remark": timing.remark(due) })
        })
        .collect();
    let document = json!({ "items": items, "next": null });
    output.answer(&document, || schedule::preview(&document))?;
    Ok(Exit::Done)
}

async fn fires(cx: &Context, args: ScheduleFires) -> Result<Exit, Failure> {
    let query = query(&[
        ("outcome", args.outcome.map(|outcome| outcome.to_string())),
        ("limit", Some(args.paging.limit.to_string())),
        ("cursor", args.paging.cursor),
    ]);
    let document = cx.client.get(&format!("{}/fires{query}", path(&args.name))).await?.document;
    let page: Page<Fire> = parse(&document)?;
    cx.output.answer(&document, || with_next(schedule::fires(&page.items), page.next.as_deref()))?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_change_what_they_name_and_leave_the_rest() {
        let known = json!({
            "name": "Nightly", "cron": "0 2 * * *", "target": {"farm": "ITFarm1", "directory": null}, "jitter": "10m"
        });
        let args = ScheduleDefinition {
            cron: Some("0 4 * * *".to_owned()),
            input: Some(r#"{"hosts": ["Host1"]}"#.to_owned()),
            ..ScheduleDefinition::default()
        };
        let known = known.as_object().cloned().expect("an object");
        assert_eq!(
            definition(args, known).expect("valid"),
            json!({
                "name": "Nightly", "cron": "0 4 * * *", "target": {"farm": "ITFarm1"}, "jitter": "10m",
                "input": {"hosts": ["Host1"]}
            })
        );
        let args = ScheduleDefinition { input: Some("{".to_owned()), ..ScheduleDefinition::default() };
        assert_eq!(definition(args, Map::new()).expect_err("broken").exit, Exit::Usage);
    }

    #[test]
    fn every_sample_is_a_valid_schedule() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/samples/schedules");
        let now = chrono::DateTime::from_timestamp(1_790_000_000, 0).expect("a time");
        let mut seen = 0;
        for file in std::fs::read_dir(folder).expect("samples") {
            let path = file.expect("a file").path();
            let manifest: ScheduleManifest =
                document::read(&path, "invalid-request", "").expect("a schedule");
            manifest.validate(now).unwrap_or_else(|problem| panic!("{}: {problem}", path.display()));
            seen += 1;
        }
        assert!(seen > 0);
    }
}
