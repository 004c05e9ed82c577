//! One run: its tasks as a drawing, a table and a timeline.

use maud::{Markup, html};

use super::frame::{badge, frame, span, time};
use super::{dag, timeline};
use crate::service::{Cause, Run, Service};
use crate::state::{Millis, Standing};

pub(super) fn status(run: &Run) -> &'static str {
    match &run.machine().state().end {
        None => "running",
        Some(end) if end.failures.is_empty() => "finished",
        Some(_) => "failed",
    }
}

pub(super) fn took(run: &Run, now: Millis) -> Millis {
    let state = run.machine().state();
    state
        .end
        .as_ref()
        .map_or(now, |end| end.at_ms)
        .saturating_sub(state.started_ms)
}

/// A standing's name, which is also its colour's.
pub(super) fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Waiting => "waiting",
        Standing::Ready => "ready",
        Standing::Active => "active",
        Standing::Finished => "finished",
        Standing::Failed => "failed",
    }
}

pub(super) fn one(service: &Service, id: &str, now: Millis) -> Option<Markup> {
    let run = service.runs().get(id)?;
    let (plan, state) = (run.machine().plan(), run.machine().state());
    let explanations = service.explain(id, now)?;
    let content = html! {
        h1 { "Run " (id) " " (badge(status(run))) }
        p {
            "Of " a href={ "/jobs/" (run.job()) } { (run.job()) }
            @match run.cause() {
                Cause::Request => { ", on request" },
                Cause::Schedule { due_ms } => { ", due " (time(due_ms)) },
            }
            ", begun " (time(state.started_ms)) ", " (if state.end.is_some() { "took " } else { "for " }) (span(took(run, now))) ". "
            @if state.end.is_none() {
                form method="post" action={ "/runs/" (id) "/cancel" } { button { "Cancel" } }
            }
        }
        @if let Some(end) = &state.end {
            @if !end.failures.is_empty() { ul { @for failure in &end.failures { li { (failure) } } } }
            @if !end.blocked.is_empty() { p { "Not begun for that: " (end.blocked.join(", ")) } }
        }
        h2 { "Tasks" }
        (dag::drawing(plan, state, true))
        table {
            thead { tr { th { "Task" } th { "State" } th { "Agent" } th { "Volumes" } th { "Attempts" } th { "Why" } } }
            tbody {
                @for (task, explanation) in plan.tasks.iter().zip(&explanations) {
                    @let record = &state.tasks[task.name()];
                    tr {
                        td data-label="Task" { (task.name()) }
                        td data-label="State" { (badge(word(explanation.standing))) }
                        td data-label="Agent" {
                            @if let Some(attempt) = record.attempts.last() {
                                span { (attempt.agent.to_string()) " "
                                @if let Some(zone) = &attempt.agent.zone { span.whole { "in " (zone) } } }
                            }
                        }
                        td data-label="Volumes" {
                            @if !task.volumes.is_empty() {
                                span {
                                    @for (index, volume) in task.volumes.iter().enumerate() {
                                        @if index > 0 { ", " }
                                        a href={ "/volumes/" (volume.claim) } { (volume.name) }
                                        @if task.reads().contains(volume.claim.as_str()) { " (read)" }
                                    }
                                }
                            }
                        }
                        td data-label="Attempts" { @if !record.attempts.is_empty() { (record.attempts.len()) } }
                        td data-label="Why" {
                            @if !explanation.why.is_empty() && explanation.standing != Standing::Active {
                                ul { @for why in &explanation.why { li { (why) } } }
                            }
                        }
                    }
                }
            }
        }
        h2 { "Timeline" }
        (timeline::drawing(plan, state, now))
    };
    Some(frame(service, id, now, state.end.is_none(), content))
}
