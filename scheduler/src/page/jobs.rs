//! All jobs, and one.

use maud::{Markup, html};

use super::frame::{badge, frame, span, time};
use super::{dag, run};
use crate::job::Job;
use crate::plan::Plan;
use crate::service::{Run, RunId, Service};
use crate::state::{JobState, Millis};

/// The runs of a job, the latest first.
fn runs<'a>(service: &'a Service, job: &str) -> Vec<(&'a RunId, &'a Run)> {
    let mut runs: Vec<_> = service.runs().iter().filter(|(_, run)| run.job() == job).collect();
    runs.sort_by_key(|(_, run)| std::cmp::Reverse(run.number()));
    runs
}

pub(super) fn all(service: &Service, now: Millis) -> Markup {
    let jobs = service.jobs();
    let live = service.runs().values().any(|run| run.machine().state().end.is_none());
    let content = html! {
        h1 { "Jobs" }
        @if jobs.is_empty() {
            p { "There are none yet. Give one: " code { "curl --data-binary @job.yml http://…/v1/jobs" } }
        } @else {
            table {
                thead { tr { th { "Job" } th { "Last run" } th { "Tasks" } th { "Took" } th { "Next" } th { "" } } }
                tbody {
                    @for (name, job) in jobs {
                        @let last = runs(service, name).into_iter().next();
                        tr {
                            td data-label="Job" { a href={ "/jobs/" (name) } { (name) } }
                            td data-label="Last run" {
                                @match last {
                                    Some((id, one)) => { span { (badge(run::status(one))) " " a href={ "/runs/" (id) } { (id) } } },
                                    None => { span.faint { "never" } },
                                }
                            }
                            td data-label="Tasks" { @if let Some((_, one)) = last { (progress(one)) } }
                            td data-label="Took" { @if let Some((_, one)) = last { (span(run::took(one, now))) } }
                            td data-label="Next" { @if let Some(next) = job.next_ms { (time(next)) } }
                            td data-label="" {
                                @if service.active_run(name).is_none() {
                                    form method="post" action={ "/jobs/" (name) "/run" } { button { "Run now" } }
                                }
                            }
                        }
                    }
                }
            }
        }
    };
    frame(service, "Jobs", now, live, content)
}

fn progress(run: &Run) -> String {
    let state = run.machine().state();
    let finished = state.tasks.keys().filter(|name| state.is_finished(name)).count();
    format!("{finished} of {}", state.tasks.len())
}

pub(super) fn one(service: &Service, name: &str, now: Millis) -> Option<Markup> {
    let job = service.jobs().get(name)?;
    let runs = runs(service, name);
    // The drawing is of the file as it is now, which the last run need not have had.
    let parsed = Job::parse(&job.text).ok()?;
    let schedule = parsed.schedule.clone();
    let plan = Plan::new(parsed, None).ok()?;
    let state = JobState::new(&plan, now);
    let content = html! {
        h1 { "Job " (name) }
        p {
            @match (&schedule, job.next_ms) {
                (Some(schedule), Some(next)) => { "Runs at " code { (schedule.text()) } ", next on " (time(next)) ". " },
                (Some(schedule), None) => { "Runs at " code { (schedule.text()) } ", which never comes. " },
                _ => { "Runs on request. " },
            }
            @match service.active_run(name) {
                Some(id) => { a href={ "/runs/" (id) } { (id) } " is running." },
                None => { form method="post" action={ "/jobs/" (name) "/run" } { button { "Run now" } } },
            }
        }
        h2 { "Tasks" }
        (dag::drawing(&plan, &state, false))
        h2 { "Runs" }
        @if runs.is_empty() { p.faint { "None yet." } } @else {
            table {
                thead { tr { th { "Run" } th { "Status" } th { "Tasks" } th { "Begun" } th { "Took" } } }
                tbody {
                    @for (id, one) in &runs {
                        tr {
                            td data-label="Run" { a href={ "/runs/" (id) } { (id) } }
                            td data-label="Status" { (badge(run::status(one))) }
                            td data-label="Tasks" { (progress(one)) }
                            td data-label="Begun" { (time(one.machine().state().started_ms)) }
                            td data-label="Took" { (span(run::took(one, now))) }
                        }
                    }
                }
            }
        }
        h2 { "Job file" }
        pre { (job.text) }
    };
    Some(frame(service, name, now, service.active_run(name).is_some(), content))
}
