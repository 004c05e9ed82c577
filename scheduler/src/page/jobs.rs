//! All jobs, and one.

use maud::{Markup, html};

use super::frame::{View, badge, distance, facts, frame, span, time};
use super::{dag, run};
use crate::plan::Plan;
use crate::service::{RunEntry, RunId, Service};

/// The number of runs that the list of jobs shows for each job.
const RECENT: usize = 10;

/// The runs of a job, the latest first.
fn runs<'a>(service: &'a Service, job: &str) -> Vec<(&'a RunId, &'a RunEntry)> {
    let mut runs: Vec<_> = service.runs().iter().filter(|(_, run)| run.job() == job).collect();
    runs.sort_by_key(|(_, run)| std::cmp::Reverse(run.number()));
    runs
}

pub(super) fn all(view: View<'_>) -> Markup {
    let (service, now) = (view.service, view.now);
    let jobs = service.jobs();
    let live = service.runs().values().any(|run| run.state().end.is_none());
    let content = html! {
        h1 { "Jobs" }
        @if jobs.is_empty() {
            div.empty {
                p { strong { "There is no job yet." } }
                p { "This command adds one:" }
                pre { "curl --data-binary @job.yml http://THIS-ADDRESS/v1/jobs" }
            }
        } @else {
            table {
                thead { tr { th { "Job" } th { "Last run" } th { "Tasks done" } th { "Took" } th { "Earlier runs" } th { "Next run" } th { span.unseen { "Start" } } } }
                tbody {
                    @for (name, job) in jobs {
                        @let runs = runs(service, name);
                        @let last = runs.first();
                        tr {
                            td data-label="Job" { a.main-link href={ "/jobs/" (name) } { (name) } }
                            td data-label="Last run" {
                                @match last {
                                    Some((id, one)) => { span {
                                        (badge(run::status(one))) " " a href={ "/runs/" (id) } { (id) }
                                        @if let Some(why) = run::failure(one) { div.why { (why) } }
                                    } },
                                    None => { span.faint { "never" } },
                                }
                            }
                            td data-label="Tasks done" { @if let Some((_, one)) = last { (progress(one)) } }
                            td data-label="Took" { @if let Some((_, one)) = last { span.nowrap { (span(run::took(one, now))) } } }
                            td data-label="Earlier runs" { @if runs.len() > 1 { (strip(&runs[1..])) } }
                            td data-label="Next run" {
                                @match job.next_ms {
                                    Some(next) => { span { (time(next)) " " span.faint { "(" (distance(next, now)) ")" } } },
                                    None if job.paused => { span.faint { "paused" } },
                                    None if service.file(name).is_some_and(|file| file.schedule.is_none()) => {
                                        span.faint { "on request" }
                                    },
                                    None => { span.faint { "never" } },
                                }
                            }
                            td.act data-label="" {
                                @if service.active_run(name).is_none() {
                                    form method="post" action={ "/jobs/" (name) "/run" } { button aria-label={ "Run " (name) " now" } { "Run now" } }
                                }
                            }
                        }
                    }
                }
            }
        }
    };
    frame(view, "Jobs", "Jobs", live, content)
}

/// Earlier runs as small coloured marks, the oldest first; each is a link.
fn strip(runs: &[(&RunId, &RunEntry)]) -> Markup {
    html! {
        span.strip {
            @for (id, one) in runs.iter().take(RECENT).rev() {
                @let status = run::status(one);
                a class={ "pip c-" (status) } href={ "/runs/" (id) } title={ (id) " " (status) } aria-label={ (id) " " (status) } {
                    (match status { "finished" => "✓", "failed" => "✕", _ => "●" })
                }
            }
        }
    }
}

fn progress(run: &RunEntry) -> String {
    let state = run.state();
    let finished = state.tasks.keys().filter(|name| state.is_finished(name)).count();
    format!("{finished} of {}", state.tasks.len())
}

pub(super) fn one(view: View<'_>, name: &str) -> Option<Markup> {
    let (service, now) = (view.service, view.now);
    let job = service.jobs().get(name)?;
    let runs = runs(service, name);
    let active = service.active_run(name);
    // The drawing is of the file as it is now, which the last run need not have had.
    let file = service.file(name)?;
    let schedule = &file.schedule;
    let plan = Plan::new(file.clone(), None).ok()?;
    let content = html! {
        p.path { a href="/" { "Jobs" } " / " }
        div.title {
            h1 { (name) }
            @match active {
                Some(id) => { a.button href={ "/runs/" (id) } { "Look at " (id) ", which is running" } },
                None => { form method="post" action={ "/jobs/" (name) "/run" } { button.primary { "Run now" } } },
            }
        }
        (facts(vec![
            ("Runs", html! { @match schedule { Some(schedule) => { "at " code { (schedule.text()) } }, None => { "on request" } } }),
            ("Next", html! {
                @match (schedule, job.next_ms) {
                    (_, Some(next)) => { (time(next)) " " span.faint { "(" (distance(next, now)) ")" } },
                    (Some(_), None) if job.paused => { "paused" },
                    (Some(_), None) => { "never: its schedule has no time left" },
                    (None, None) => { "–" },
                }
            }),
            ("Tasks", html! { (plan.tasks.len()) }),
            ("Runs so far", html! { (job.runs) @if job.runs == 1 { " run" } @else { " runs" } }),
        ]))
        h2 { "Tasks" }
        (dag::of_job(&plan))
        h2 { "Runs" }
        @if runs.is_empty() { p.faint { "None yet." } } @else {
            table {
                thead { tr { th { "Run" } th { "Status" } th { "Tasks done" } th { "Started" } th { "Took" } th { "What went wrong" } } }
                tbody {
                    @for (id, one) in &runs {
                        tr {
                            td data-label="Run" { a.main-link href={ "/runs/" (id) } { (id) } }
                            td data-label="Status" { (badge(run::status(one))) }
                            td data-label="Tasks done" { (progress(one)) }
                            td data-label="Started" { (time(one.state().started_ms)) }
                            td data-label="Took" { span.nowrap { (span(run::took(one, now))) } }
                            td data-label="Wrong" { @if let Some(why) = run::failure(one) { span.why { (why) } } }
                        }
                    }
                }
            }
        }
        h2 { "Job file" }
        pre tabindex="0" { (job.text) }
    };
    Some(frame(view, "Jobs", name, active.is_some(), content))
}
