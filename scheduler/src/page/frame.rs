//! What every page has, and how times and states are written.

use maud::{DOCTYPE, Markup, html};

use crate::service::Service;
use crate::state::Millis;

/// A whole page; one that shows something going on is loaded again every few seconds.
pub(super) fn frame(service: &Service, title: &str, now: Millis, live: bool, content: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                @if live { meta http-equiv="refresh" content="5"; }
                title { (title) " · scheduler" }
                link rel="stylesheet" href="/style.css";
            }
            body {
                header {
                    strong { "scheduler" }
                    nav { a href="/" { "Jobs" } a href="/volumes" { "Volumes" } a href="/agents" { "Agents" } }
                    span.link {
                        @match (service.is_connected(), &service.record().framework_id) {
                            (true, Some(id)) => { "subscribed as " (id) },
                            _ => { "not subscribed to a master" },
                        }
                    }
                }
                main { (content) }
                footer { p.faint { "As of " (time(now)) } }
            }
        }
    }
}

/// A time in UTC, to the second.
pub(super) fn time(at: Millis) -> String {
    let at = i64::try_from(at)
        .ok()
        .and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    at.map_or_else(|| "?".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// A length of time, in two units at most.
pub(super) fn span(millis: Millis) -> String {
    let seconds = millis / 1000;
    match seconds {
        0..=9 => format!("{:.1} s", millis as f64 / 1000.0),
        10..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min {} s", seconds / 60, seconds % 60),
        7200..=172_799 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A state in its colour.
pub(super) fn badge(state: &str) -> Markup {
    html! { span class={ "badge " (state) } { (state.replace('_', " ")) } }
}
