//! The frame of every page, and how times and states are written.

use maud::{DOCTYPE, Markup, html};

use crate::service::Service;
use crate::state::{JobState, Millis, Standing};
pub(super) use crate::timeline::span;

/// How often a page that shows something going on is loaded again, in seconds.
const REFRESH: u32 = 5;

const PARTS: [(&str, &str); 3] = [("/", "Jobs"), ("/volumes", "Volumes"), ("/agents", "Agents")];

/// The service that a page shows, and the time at which it is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub(super) service: &'a Service,
    pub(super) now: Millis,
    /// Whether the reader has asked for a page that is not reloaded.
    pub(super) still: bool,
}

/// A whole page; one that shows something going on (`live`) is loaded again every few seconds.
pub(super) fn frame(view: View<'_>, part: &str, title: &str, live: bool, content: Markup) -> Markup {
    let service = view.service;
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                (head(title))
                @if live && !view.still { meta http-equiv="refresh" content=(REFRESH); }
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                header {
                    div.wide {
                        a.home href="/" { "scheduler" }
                        nav aria-label="Parts" {
                            @for (place, name) in PARTS {
                                a href=(place) aria-current=[(name == part).then_some("true")] { (name) }
                            }
                        }
                    }
                }
                main #content.wide {
                    @if !service.is_connected() {
                        div.alarm role="status" {
                            strong { "Not subscribed to a master." }
                            " Running tasks go on. Nothing is launched and no updates arrive until a master answers."
                        }
                    }
                    @if let Some(reason) = service.operator_stream().error.as_ref().filter(|_| service.is_connected()) {
                        div.alarm role="status" {
                            strong { "The operator stream is not open." }
                            " Tasks that other frameworks launch are not seen until it is: " (reason)
                        }
                    }
                    (content)
                }
                footer.wide {
                    p { "As of " (time(view.now)) @if live {
                        @if view.still { ", not reloaded · " a href="?" { "reload every " (REFRESH) " s" } }
                        @else { ", reloaded every " (REFRESH) " s · " a href="?still" { "stop reloading" } }
                    } }
                    p {
                        @match &service.record().framework_id {
                            Some(id) => { "Framework " code { (id) } },
                            None => { "No framework id yet" },
                        }
                        " · " a href="/openapi.json" { "API" } " · " a href="/metrics" { "Metrics" }
                    }
                }
            }
        }
    }
}

fn head(title: &str) -> Markup {
    html! {
        meta charset="utf-8";
        meta name="viewport" content="width=device-width, initial-scale=1";
        meta name="color-scheme" content="light dark";
        title { (title) " · scheduler" }
        link rel="icon" href="/icon.svg";
        link rel="stylesheet" href="/style.css";
    }
}

/// A page that shows nothing of the service.
pub(super) fn bare(title: &str, content: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head { (head(title)) }
            body { main #content.wide { (content) } }
        }
    }
}

/// A time in UTC, to the second.
pub(super) fn time(at: Millis) -> Markup {
    let found = i64::try_from(at)
        .ok()
        .and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    html! {
        @match found {
            Some(at) => { time datetime=(at.strftime("%Y-%m-%dT%H:%M:%SZ")) { (at.strftime("%Y-%m-%d %H:%M:%S UTC")) } },
            None => { "?" },
        }
    }
}

/// How far away a time is, in words such as `in 5 min`.
pub(super) fn distance(at: Millis, now: Millis) -> Markup {
    let words = match at.cmp(&now) {
        std::cmp::Ordering::Greater => format!("in {}", span(at - now)),
        _ => format!("{} ago", span(now - at)),
    };
    html! { span.nowrap { (words) } }
}

/// A state in its colour.
pub(super) fn badge(state: &str) -> Markup {
    html! { span class={ "badge c-" (state) } { (state.replace('_', " ")) } }
}

/// The name of a task's standing, which is also the CSS class of its colour. A task that follows a
/// failed task is `blocked`: it will not be started.
pub(super) fn standing_name(state: &JobState, task: &str) -> &'static str {
    if state
        .end
        .as_ref()
        .is_some_and(|end| end.blocked.iter().any(|name| name == task))
    {
        return "blocked";
    }
    match state.tasks[task].standing() {
        Standing::Waiting => "waiting",
        Standing::Ready => "ready",
        Standing::Active => "active",
        Standing::Finished => "finished",
        Standing::Failed => "failed",
    }
}

/// Facts with their names.
pub(super) fn facts(facts: Vec<(&str, Markup)>) -> Markup {
    html! {
        dl.facts { @for (name, fact) in facts { div { dt { (name) } dd { (fact) } } } }
    }
}
