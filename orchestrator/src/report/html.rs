//! A report as a page to print. Self-contained: no script, nothing from elsewhere; `maud` escapes
//! every value.

use chrono::{DateTime, SecondsFormat, Utc};
use maud::{DOCTYPE, Markup, html};

use super::writes::{ReportedAttribute, ReportedValue};
use super::{Report, ReportedWrite};

const STYLE: &str = "\
body { font: 10pt/1.4 sans-serif; color: #111; margin: 2em auto; max-width: 72em; padding: 0 1em; }
h1 { font-size: 16pt; margin-bottom: 0; } h2 { font-size: 12pt; margin: 1.6em 0 .4em; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .2em .6em .2em 0; border-bottom: 1px solid #ddd; }
th { font-weight: 600; border-bottom-color: #888; } td.n { white-space: nowrap; }
code { font: 8.5pt monospace; overflow-wrap: anywhere; } pre { font: 8.5pt monospace; white-space: pre-wrap;
overflow-wrap: anywhere; } .raw { color: #555; } .write { break-inside: avoid; margin: 0 0 1em; }
.note { border: 1px solid #a00; padding: .4em .8em; } p { margin: .3em 0; }
@media print { body { margin: 0; max-width: none; } }";

pub(crate) fn page(report: &Report) -> String {
    let subject = &report.workflow;
    let title = format!("{} {}", subject.kind, subject.id);
    let body = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { "Farmhand report: " (title) }
                style { (STYLE) }
            }
            body {
                h1 { "Report of " (title) }
                p { "made at " (moment(report.generated_at)) " by Farmhand " (report.farmhand) ". All times are UTC." }
                @if report.embedded_directory {
                    p.note { "Made on Farmhand's embedded directory: nothing here happened to a real domain." }
                }
                (head(report))
                (list("What was not done", &report.not_done))
                (list("Warnings", &report.warnings))
                (timeline(report))
                (writes(report))
                (approvals(report))
                (hosts(report))
                (children(report))
                (steps(report))
                (result(report))
            }
        }
    };
    body.into_string()
}

/// To the millisecond.
fn moment(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn optional(at: Option<DateTime<Utc>>) -> String {
    at.map(moment).unwrap_or_default()
}

fn head(report: &Report) -> Markup {
    let subject = &report.workflow;
    let summary = report.result.as_ref().and_then(|result| result["summary"].as_str());
    html! {
        table {
            (row("state", &subject.state.to_string()))
            @if let Some(summary) = summary { (row("summary", summary)) }
            (row("asked by", &subject.requested_by))
            @if let Some(reason) = &subject.reason { (row("reason", reason)) }
            (row("directory", subject.directory.as_str()))
            @if let Some(farm) = &subject.farm { (row("farm", farm.as_str())) }
            @if !subject.hosts.is_empty() { (row("hosts", &subject.hosts.join(", "))) }
            (row("mode", match subject.mode {
                domain::Mode::Apply => "apply",
                domain::Mode::Plan => "plan: a dry run, nothing was written",
            }))
            (row("asked at", &moment(subject.created_at)))
            (row("taken by a worker at", &optional(subject.started_at)))
            (row("ended at", &optional(subject.finished_at)))
            @if let Some(parent) = subject.parent { (row("asked for by workflow", &parent.to_string())) }
            @if let Some(error) = &report.error {
                (row("error", &format!("{}: {}", error.code, error.message)))
                (row("to do", &error.hint))
            }
        }
    }
}

fn row(name: &str, value: &str) -> Markup {
    html! { tr { th { (name) } td { (value) } } }
}

fn list(title: &str, lines: &[String]) -> Markup {
    html! {
        @if !lines.is_empty() {
            h2 { (title) }
            ul { @for line in lines { li { (line) } } }
        }
    }
}

fn timeline(report: &Report) -> Markup {
    html! {
        h2 { "Timeline" }
        table {
            thead { tr { th { "time" } th { "after" } th { "what" } th { "" } th { "by" } } }
            @for event in &report.timeline {
                tr {
                    td.n { (moment(event.at)) }
                    td.n { (event.after_ms) " ms" }
                    td.n { (event.what.as_str()) }
                    td { (event.text) }
                    td { (event.by.as_deref().unwrap_or_default()) }
                }
            }
        }
    }
}

fn writes(report: &Report) -> Markup {
    html! {
        h2 { "Writes to the directory (" (report.writes.len()) ")" }
        @if report.writes.is_empty() { p { "Nothing was written." } }
        @for write in &report.writes { (one_write(write)) }
    }
}

fn one_write(write: &ReportedWrite) -> Markup {
    let kind = format!("{:?}", write.kind).to_lowercase();
    html! {
        div.write {
            p {
                b { (write.number) ". " (kind) " " (write.dn) }
                @if write.undone { " (taken back afterwards)" }
            }
            p {
                "on " (write.dc) " at " (moment(write.at)) " (" (write.after_ms) " ms after the request), step "
                (write.step)
                @if let Some(usn) = write.usn { ", uSNChanged " (usn) }
                @if let Some(guid) = &write.object_guid { ", objectGUID " (guid) }
            }
            @if !write.attributes.is_empty() {
                table {
                    thead { tr { th { "attribute" } th { "before" } th { "after" } } }
                    @for attribute in &write.attributes { (one_attribute(attribute)) }
                }
            }
        }
    }
}

fn one_attribute(attribute: &ReportedAttribute) -> Markup {
    let single = attribute.op == "values";
    html! {
        tr {
            td.n { (attribute.attribute) @if single { br; "(single values)" } }
            td { (values(&attribute.before)) }
            td { (values(&attribute.after)) }
        }
    }
}

fn values(values: &[ReportedValue]) -> Markup {
    html! {
        @if values.is_empty() { "(none)" }
        @for value in values {
            p { (value.words) }
            @if value.encoding == "base64" { p.raw { "base64: " code { (value.raw) } } }
        }
    }
}

fn approvals(report: &Report) -> Markup {
    html! {
        @if !report.approvals.is_empty() {
            h2 { "Approvals" }
            table {
                thead { tr { th { "plan" } th { "asked" } th { "decision" } th { "by" } th { "at" } th { "reason" } } }
                @for approval in &report.approvals {
                    tr {
                        td { code { (approval.plan_hash) } }
                        td.n { (optional(approval.requested_at)) }
                        td {
                            (match approval.approved {
                                Some(true) => "approved",
                                Some(false) => "rejected",
                                None => "none",
                            })
                            @if let Some(void) = approval.void_since { ", void since " (moment(void)) }
                        }
                        td { (approval.by.as_deref().unwrap_or_default()) }
                        td.n { (optional(approval.at)) }
                        td { (approval.reason.as_deref().unwrap_or_default()) }
                    }
                }
            }
        }
    }
}

fn hosts(report: &Report) -> Markup {
    html! {
        @if !report.host_actions.is_empty() {
            h2 { "Work on hosts" }
            table {
                thead { tr { th { "host" } th { "step" } th { "what" } th { "state" } th { "at" } th { "said" } th { "by" } } }
                @for host in &report.host_actions {
                    tr {
                        td { (host.task.work.host.name) }
                        td { (host.step) }
                        td { @for line in &host.task.powershell { code { (line) } br; } }
                        td { (format!("{:?}", host.task.state).to_lowercase()) }
                        td.n { (optional(host.task.at)) }
                        td { (host.task.detail.as_deref().unwrap_or_default()) }
                        td { (host.task.by.as_deref().unwrap_or_default()) }
                    }
                }
            }
        }
    }
}

fn children(report: &Report) -> Markup {
    html! {
        @if !report.children.is_empty() {
            h2 { "Workflows that came of it" }
            table {
                thead { tr { th { "workflow" } th { "kind" } th { "farm" } th { "state" } th { "asked by" } th { "asked" } th { "ended" } } }
                @for child in &report.children {
                    tr {
                        td { code { (child.id) } }
                        td { (child.kind) @if child.mode == domain::Mode::Plan { " (dry run)" } }
                        td { (child.farm.as_ref().map(ToString::to_string).unwrap_or_default()) }
                        td { (child.state) }
                        td { (child.requested_by) }
                        td.n { (moment(child.created_at)) }
                        td.n { (optional(child.finished_at)) }
                    }
                }
            }
        }
    }
}

fn steps(report: &Report) -> Markup {
    html! {
        h2 { "Steps" }
        table {
            thead { tr { th { "#" } th { "step" } th { "state" } th { "begun" } th { "ended" } th { "attempts" } th { "detail" } } }
            @for step in &report.steps {
                tr {
                    td { (step.number) }
                    td.n { (step.name) }
                    td { (step.state) }
                    td.n { (optional(step.started_at)) }
                    td.n { (optional(step.finished_at)) }
                    td { (step.attempts) }
                    td {
                        (step.detail.as_deref().unwrap_or_default())
                        @if let Some(error) = &step.error { p { (error.code) ": " (error.message) } }
                    }
                }
            }
        }
    }
}

/// Whole, so that nothing depends on what this page knows of a kind.
fn result(report: &Report) -> Markup {
    html! {
        @if let Some(result) = &report.result {
            h2 { "Result" }
            pre { (format!("{result:#}")) }
        }
    }
}
