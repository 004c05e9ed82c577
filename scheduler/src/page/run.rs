//! One run: its tasks as a drawing, a table and a timeline.

use maud::{Markup, html};

use super::dag;
use super::frame::{View, badge, facts, frame, span, standing_name, time};
use crate::plan::{Plan, PlannedTask};
use crate::run::Explanation;
use crate::service::{Cause, RunEntry, Service};
use crate::state::{End, JobState, Millis, Standing, TaskRecord};
use crate::timeline::of_run;

/// The largest number of rows that is drawn; the API has all of them.
const MOST_ROWS: usize = 300;

pub(super) fn status(run: &RunEntry) -> &'static str {
    match &run.state().end {
        None => "running",
        Some(end) if end.failures.is_empty() => "finished",
        Some(_) => "failed",
    }
}

/// The failures of a run in one line; `None` when nothing failed.
pub(super) fn failure(run: &RunEntry) -> Option<String> {
    let end = run.state().end.as_ref()?;
    let first = end.failures.first()?;
    let more = match end.failures.len() {
        1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    let blocked = match end.blocked.is_empty() {
        true => String::new(),
        false => format!("; not started: {}", end.blocked.join(", ")),
    };
    Some(format!("{first}{more}{blocked}"))
}

pub(super) fn took(run: &RunEntry, now: Millis) -> Millis {
    let state = run.state();
    let end = state.end.as_ref().map_or(now, |end| end.at_ms);
    end.saturating_sub(state.started_ms)
}

pub(super) fn one(view: View<'_>, id: &str) -> Option<Markup> {
    let (service, now) = (view.service, view.now);
    let run = service.runs().get(id)?;
    let (plan, state) = (run.plan(), run.state());
    let explanations = service.explain(id, now)?;
    let finished = state.tasks.keys().filter(|name| state.is_finished(name)).count();
    let content = html! {
        p.path { a href="/" { "Jobs" } " / " a href={ "/jobs/" (run.job()) } { (run.job()) } " / " }
        div.title {
            h1 { (id) " " (badge(status(run))) }
            @if state.end.is_none() {
                form method="post" action={ "/runs/" (id) "/cancel" } { button { "Cancel" } }
            }
        }
        (facts(vec![
            ("Started", html! { (time(state.started_ms)) }),
            (if state.end.is_some() { "Took" } else { "Runs for" }, html! { (span(took(run, now))) }),
            ("Tasks done", html! { (finished) " of " (state.tasks.len()) }),
            ("Started by", html! {
                @match run.cause() {
                    Cause::Request => { "a request" },
                    Cause::Schedule { due_ms } => { "the schedule, due " (time(due_ms)) },
                }
            }),
        ]))
        @if let Some(end) = state.end.as_ref().filter(|end| !end.failures.is_empty()) { (failures(id, end, state)) }
        h2 { "Order of the tasks" }
        (dag::of_run(plan, state))
        h2 { "Tasks" }
        table {
            thead { tr { th { "Task" } th { "State" } th { "Agent" } th { "Volumes" } th { "Launches" } th { "Reason" } } }
            tbody {
                @for (task, explanation) in plan.tasks.iter().zip(&explanations) { (row(view, id, task, explanation, state)) }
            }
        }
        h2 { "Timeline" }
        (timeline(id, plan, state, now))
    };
    Some(frame(view, "Jobs", id, state.end.is_none(), content))
}

/// Which tasks failed, why, and which tasks were not started because of that.
fn failures(id: &str, end: &End, state: &JobState) -> Markup {
    let failed = state
        .tasks
        .iter()
        .filter(|(_, record)| record.standing() == Standing::Failed);
    let failed: Vec<&String> = failed.map(|(name, _)| name).collect();
    html! {
        div.alarm role="status" {
            p {
                strong { "Failed" @if !failed.is_empty() { ": " (links(failed.iter().map(|name| name.as_str()))) } }
            }
            ul { @for failure in &end.failures { li { (failure) } } }
            @if !failed.is_empty() {
                p {
                    strong { "What they wrote: " }
                    @for (index, name) in failed.iter().enumerate() {
                        @if index > 0 { ", " }
                        a href={ "/runs/" (id) "/tasks/" (name) } { "log of " (name) }
                    }
                }
            }
            @if !end.blocked.is_empty() {
                p { strong { "Not started because of the failure: " } (links(end.blocked.iter().map(String::as_str))) }
            }
        }
    }
}

/// The tasks, as links to their rows.
fn links<'a>(names: impl Iterator<Item = &'a str>) -> Markup {
    html! {
        @for (index, name) in names.enumerate() {
            @if index > 0 { ", " }
            a href={ "#task-" (name) } { (name) }
        }
    }
}

/// A reason with the addresses of agents in place of their ids, and without the id of this
/// framework.
fn named(service: &Service, reason: &str) -> String {
    let own = service
        .record()
        .framework_id
        .as_ref()
        .map(|id| format!(" of framework {id}"));
    let agents = service.agents().iter();
    let without = own.map_or_else(|| reason.to_owned(), |own| reason.replace(&own, ""));
    agents.fold(without, |text, (id, agent)| text.replace(id.as_str(), &agent.address))
}

fn row(view: View<'_>, id: &str, task: &PlannedTask, explanation: &Explanation, state: &JobState) -> Markup {
    let record: &TaskRecord = &state.tasks[task.name()];
    let why = !explanation.why.is_empty() && explanation.standing != Standing::Active;
    html! {
        tr id={ "task-" (task.name()) } {
            td data-label="Task" { strong { (task.name()) } }
            td data-label="State" { (badge(standing_name(state, task.name()))) }
            td data-label="Agent" {
                @if let Some(attempt) = record.attempts.last() {
                    span {
                        (attempt.agent.hostname)
                        @if let Some(zone) = &attempt.agent.zone { " " span.nowrap { "in " (zone) } }
                        @if let Some(address) = &attempt.agent.address { div.faint { (address) } }
                        div { a href={ "/runs/" (id) "/tasks/" (task.name()) } { "Log" } }
                    }
                }
            }
            td data-label="Volumes" {
                @if !task.volumes.is_empty() {
                    span {
                        @for (index, volume) in task.volumes.iter().enumerate() {
                            @if index > 0 { ", " }
                            @match &volume.claim {
                                Some(claim) => {
                                    a href={ "/volumes/" (claim) } { (volume.name) }
                                    @if task.reads().contains(claim.as_str()) { " (reads)" }
                                },
                                None => { (volume.name) },
                            }
                        }
                    }
                }
            }
            td data-label="Launches" { @if !record.attempts.is_empty() { (record.attempts.len()) } }
            td data-label="Reason" {
                @if why {
                    @match explanation.why.as_slice() {
                        [only] => { span { (named(view.service, only)) } },
                        several => { ul { @for why in several { li { (named(view.service, why)) } } } },
                    }
                }
            }
        }
    }
}

fn timeline(id: &str, plan: &Plan, state: &JobState, now: Millis) -> Markup {
    let timeline = of_run(&format!("Timeline of run {id}"), plan, state, now);
    html! {
        @if timeline.rows() > MOST_ROWS {
            p.faint { (timeline.rows()) " rows are too many to draw; " a href={ "/v1/runs/" (id) } { "the run as JSON" } " has them all." }
        } @else {
            div.card { (timeline.markup("timeline")) }
        }
    }
}
