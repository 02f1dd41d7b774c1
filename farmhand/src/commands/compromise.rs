//! `farmhand compromise-removal`, `recover`, `incident`, `quarantine`.

use reqwest::Method;
use serde_json::{Map, Value, json};
use store::{Page, Quarantined};

use super::Context;
use super::asking::given;
use super::farm::{parse, with_next};
use super::wait::EMBEDDED_NOTICE;
use crate::cli::{
    Ask, CompromiseRemoval, Incident, IncidentList, Quarantine, QuarantineList, QuarantineRelease,
    QuarantineShow, Recover,
};
use crate::client::follow::{self, Followed};
use crate::client::{query, segment};
use crate::failure::{Exit, Failure};
use crate::output::{incident, progress, quarantine, workflow};

pub async fn removal(cx: Context, args: CompromiseRemoval) -> Result<Exit, Failure> {
    let farms = Some(args.farm).filter(|farms| !farms.is_empty());
    let body = given([
        ("host", args.host.map(Value::from)),
        ("farms", farms.map(Value::from)),
        ("keepComputerEnabled", args.keep_computer_enabled.then_some(true.into())),
        ("force", args.force.map(Value::from)),
        ("kdsRootKey", args.kds_root_key.map(Value::from)),
        ("coolDown", args.cool_down.map(Value::from)),
        ("directory", args.ask.directory.map(Value::from)),
    ]);
    // The body says which directory.
    let ask = Ask { directory: None, ..args.ask };
    cx.ask(Method::POST, "/api/v1/compromises", body, ask).await
}

pub async fn recover(cx: Context, args: Recover) -> Result<Exit, Failure> {
    let mut farms = Map::new();
    for (farm, choice) in args.farms {
        if farms.insert(farm.clone(), choice.into()).is_some() {
            return Err(Failure::usage(format!("{farm} is there twice"), "choose once for each farm"));
        }
    }
    let plan = args.plan.then(|| "true".to_owned());
    let query = query(&[("plan", plan), ("reason", args.reason)]);
    let path = format!("/api/v1/compromises/{}/recovery{query}", args.id);
    let answer = cx.client.ask(Method::POST, &path, &json!({ "farms": farms }), None).await?;
    if answer.embedded {
        eprintln!("{EMBEDDED_NOTICE}");
    }
    let mut asked = Vec::new();
    for item in answer.document["items"].as_array().into_iter().flatten() {
        asked.push(follow::parse(item.clone())?);
    }
    if !args.wait && !args.plan {
        let next = format!("follow it with: farmhand incident show {}", args.id);
        let workflows: Vec<_> = asked.iter().map(|one| one.workflow.clone()).collect();
        cx.output.answer(&answer.document, || format!("{}\n{next}", workflow::list(&workflows)))?;
        return Ok(Exit::Done);
    }
    follow_all(&cx, asked).await
}

/// One after the other; they go on side by side. The worst end is the end.
async fn follow_all(cx: &Context, asked: Vec<Followed>) -> Result<Exit, Failure> {
    let mut ended = Vec::with_capacity(asked.len());
    for one in asked {
        let id = one.workflow.id;
        eprintln!("workflow {id}; it goes on even when this command is stopped");
        let mut progress = progress::for_stderr();
        ended.push(follow::follow(&cx.client, id, progress.as_mut()).await?);
    }
    let items: Vec<_> = ended.iter().map(|one| &one.document).collect();
    cx.output.answer(&json!({ "items": items, "next": null }), || {
        ended.iter().map(super::wait::text).collect::<Vec<_>>().join("\n\n")
    })?;
    Ok(worst(ended.iter().map(Followed::exit)))
}

/// Failed before awaited, awaited before done.
fn worst(exits: impl Iterator<Item = Exit>) -> Exit {
    let rank = |exit: &Exit| match exit {
        Exit::Done => 0,
        Exit::WaitingForPerson => 1,
        _ => 2,
    };
    exits.max_by_key(rank).unwrap_or(Exit::Done)
}

pub async fn incident(cx: Context, command: Incident) -> Result<Exit, Failure> {
    match command {
        Incident::List(args) => list_incidents(&cx, args).await,
        Incident::Show { id } => {
            let document = cx.client.get(&format!("/api/v1/compromises/{id}")).await?.document;
            let shown: incident::Incident = parse(&document)?;
            cx.output.answer(&document, || incident::text(&shown))?;
            Ok(Exit::Done)
        }
    }
}

async fn list_incidents(cx: &Context, args: IncidentList) -> Result<Exit, Failure> {
    let query = query(&[
        ("host", args.host),
        ("state", args.state.map(|state| state.to_string())),
        ("directory", args.directory),
        ("limit", Some(args.paging.limit.to_string())),
        ("cursor", args.paging.cursor),
    ]);
    let document = cx.client.get(&format!("/api/v1/compromises{query}")).await?.document;
    let page: Page<domain::Workflow> = parse(&document)?;
    cx.output.answer(&document, || with_next(incident::list(&page.items), page.next.as_deref()))?;
    Ok(Exit::Done)
}

pub async fn quarantine(cx: Context, command: Quarantine) -> Result<Exit, Failure> {
    match command {
        Quarantine::List(args) => list_quarantine(&cx, args).await,
        Quarantine::Show(args) => show_quarantine(&cx, args).await,
        Quarantine::Release(args) => release(&cx, args).await,
        Quarantine::Check(ask) => {
            let body = given([("directory", ask.directory.map(Value::from))]);
            let ask = Ask { directory: None, ..ask };
            cx.ask(Method::POST, "/api/v1/quarantine-checks", body, ask).await
        }
    }
}

async fn list_quarantine(cx: &Context, args: QuarantineList) -> Result<Exit, Failure> {
    let query = query(&[
        ("released", args.released.then(|| "true".to_owned())),
        ("directory", args.directory),
        ("limit", Some(args.paging.limit.to_string())),
        ("cursor", args.paging.cursor),
    ]);
    let document = cx.client.get(&format!("/api/v1/quarantine{query}")).await?.document;
    let page: Page<Quarantined> = parse(&document)?;
    cx.output.answer(&document, || with_next(quarantine::list(&page.items), page.next.as_deref()))?;
    Ok(Exit::Done)
}

async fn show_quarantine(cx: &Context, args: QuarantineShow) -> Result<Exit, Failure> {
    let path =
        format!("/api/v1/quarantine/{}{}", segment(&args.host), query(&[("directory", args.directory)]));
    let document = cx.client.get(&path).await?.document;
    let detail: quarantine::Detail = parse(&document)?;
    cx.output.answer(&document, || quarantine::detail(&detail))?;
    Ok(Exit::Done)
}

async fn release(cx: &Context, args: QuarantineRelease) -> Result<Exit, Failure> {
    let path = format!("/api/v1/quarantine/{}/release", segment(&args.host));
    let reason = args.ask.reason;
    let body = given([("reason", reason.map(Value::from)), ("force", args.force.map(Value::from))]);
    let ask = Ask { reason: None, ..args.ask };
    cx.ask(Method::POST, &path, body, ask).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_ends_the_worst_is_the_commands() {
        use Exit::{Done, Unsuccessful, WaitingForPerson};
        for (ends, expected) in [
            (vec![], Done),
            (vec![Done, Done], Done),
            (vec![WaitingForPerson, Done], WaitingForPerson),
            (vec![Unsuccessful, WaitingForPerson, Done], Unsuccessful),
        ] {
            assert_eq!(worst(ends.iter().copied()), expected, "{ends:?}");
        }
    }
}
