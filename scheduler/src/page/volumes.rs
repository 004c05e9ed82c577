//! Volumes with their holders and their history.

use maud::{Markup, html};

use super::frame::{View, badge, facts, frame, span, time};
use crate::ledger::{Change, Claim, Holder, Mode};
use crate::service::Service;
use crate::state::Millis;

fn attached(instances: Option<&[String]>) -> Markup {
    html! {
        @match instances {
            None => { span.faint { "not asked" } },
            Some([]) => { span.faint { "no host" } },
            Some(instances) => { (instances.join(", ")) },
        }
    }
}

/// The task, with a link to its run when that is one of ours.
pub(super) fn holder(service: &Service, holder: &Holder) -> Markup {
    let own = service.record().framework_id.as_ref() == Some(&holder.framework);
    let run: Vec<&str> = holder.task.splitn(3, '.').take(2).collect();
    let run = run.join(".");
    html! {
        @if own && service.runs().contains_key(&run) {
            a href={ "/runs/" (run) } { (holder.task) }
        } @else if own { (holder.task) } @else { (holder.task) " " span.faint { "of framework " (holder.framework) } }
    }
}

fn mode(claim: &Claim) -> &'static str {
    match claim.mode {
        Mode::Read => "reads",
        Mode::Write => "writes",
    }
}

pub(super) fn all(view: View<'_>) -> Markup {
    let (service, now) = (view.service, view.now);
    let views = service.ledger().view();
    let live = views.iter().any(|one| !one.claims.is_empty());
    let content = html! {
        h1 { "Volumes" }
        @if views.is_empty() {
            div.empty {
                p { strong { "No volume is known yet." } }
                p { "One appears as soon as a task claims it, or the storage lists it (" code { "--catalogue" } ")." }
            }
        } @else {
            table {
                thead { tr { th { "Volume" } th { "Zone" } th { "State" } th { "Holder" } th { "On agent" } th { "Attached to" } } }
                tbody {
                    @for one in &views {
                        tr {
                            td data-label="Volume" {
                                span {
                                    a.main-link href={ "/volumes/" (one.volume) } { (one.name.unwrap_or(one.volume)) }
                                    @if one.name.is_some() { div.faint { (one.volume) } }
                                }
                            }
                            td data-label="Zone" { @if let Some(zone) = one.zone { (zone) } }
                            td data-label="State" {
                                span {
                                    (badge(&one.state))
                                    @if let Some(claim) = one.claims.first() {
                                        " " span.faint.nowrap { "for " (span(now.saturating_sub(claim.since_ms))) }
                                    }
                                }
                            }
                            td data-label="Holder" {
                                @if !one.claims.is_empty() {
                                    span { @for claim in one.claims { div { (holder(service, &claim.holder)) " " (mode(claim)) } } }
                                }
                            }
                            td data-label="On agent" {
                                @if !one.claims.is_empty() {
                                    span { @for claim in one.claims { div { (service.agents().name(&claim.agent)) } } }
                                }
                            }
                            td data-label="Attached to" { (attached(one.attached)) }
                        }
                    }
                }
            }
        }
    };
    frame(view, "Volumes", "Volumes", live, content)
}

pub(super) fn one(view: View<'_>, id: &str) -> Option<Markup> {
    let (service, now) = (view.service, view.now);
    let entry = service.ledger().volumes.get(id)?;
    let stored = entry.stored.as_ref();
    let name = stored.and_then(|stored| stored.name.as_deref());
    let stays = stays(&entry.history);
    let content = html! {
        p.path { a href="/volumes" { "Volumes" } " / " }
        div.title { h1 { (name.unwrap_or(id)) " " (badge(&entry.word())) } }
        (facts(vec![
            ("Id", html! { code { (id) } }),
            ("Zone", html! { @match stored.and_then(|stored| stored.zone.as_ref()) { Some(zone) => { (zone) }, None => { span.faint { "not known" } } } }),
            ("Attached to", attached(stored.map(|stored| stored.instances.as_slice()))),
            ("Attachable to", html! { @if stored.is_some_and(|stored| stored.multi_attach) { "several hosts at once" } @else { "one host at a time" } }),
        ]))
        h2 { "Holder" }
        @if entry.claims.is_empty() { p.faint { "No task holds it, so any task may claim it." } }
        @for claim in &entry.claims {
            p { (badge(&claim.state.to_string())) " " (holder(service, &claim.holder)) " " (mode(claim)) " on " (service.agents().name(&claim.agent))
                ", for " (span(now.saturating_sub(claim.since_ms))) " in this state." }
            p.faint { (meaning(&claim.state.to_string())) }
        }
        h2 { "History" }
        @if stays.is_empty() { p.faint { "No task has used it yet." } } @else {
            table {
                thead { tr { th { "Task" } th { "Agent" } th { "Claimed" } th { "Held for" } th { "States, each with how long it lasted" } } }
                tbody { @for stay in stays.iter().rev() { (row(service, stay, now)) } }
            }
        }
    };
    Some(frame(
        view,
        "Volumes",
        name.unwrap_or(id),
        !entry.claims.is_empty(),
        content,
    ))
}

/// What a claim's state means for a reader who waits for the volume.
fn meaning(state: &str) -> &'static str {
    match state {
        "INTENT" => "The launch of the task is decided; the master may not know it yet.",
        "LAUNCHED" => "The master has the request to launch the task.",
        "IN_USE" => "The task runs with the volume.",
        "RELEASING" => "The task has ended; its agent unmounts the volume.",
        "SUSPECT" => "It is not known whether the task still runs; no other task gets the volume until that is proven.",
        "FENCED" => "The task is proven not to run; the volume may still be attached.",
        _ => "",
    }
}

/// The changes of each use of the volume by one task, until the volume is free again.
fn stays(history: &[Change]) -> Vec<Vec<&Change>> {
    let mut stays: Vec<Vec<&Change>> = Vec::new();
    for change in history {
        let open = stays.iter_mut().rev().find(|stay| {
            let last = stay.last();
            last.is_some_and(|last| last.holder == change.holder && last.agent == change.agent && last.state.is_some())
        });
        match open {
            Some(stay) => stay.push(change),
            None => stays.push(vec![change]),
        }
    }
    stays
}

fn row(service: &Service, stay: &[&Change], now: Millis) -> Markup {
    let (Some(first), Some(last)) = (stay.first(), stay.last()) else {
        return html! {};
    };
    let over = if last.state.is_none() { last.at_ms } else { now };
    let until = |index: usize| stay.get(index + 1).map_or(over, |next| next.at_ms);
    html! {
        tr {
            td data-label="Task" { span { (holder(service, &first.holder)) } }
            td data-label="Agent" { span { (service.agents().name(&first.agent)) } }
            td data-label="Claimed" { (time(first.at_ms)) }
            td data-label="Held for" { span.nowrap { (span(over.saturating_sub(first.at_ms))) @if last.state.is_some() { " so far" } } }
            td data-label="States" {
                span.steps {
                    @for (index, change) in stay.iter().enumerate() {
                        span.nowrap {
                            @match change.state {
                                Some(state) => { (badge(&state.to_string())) " " (span(until(index).saturating_sub(change.at_ms))) },
                                None => { (badge("FREE")) },
                            }
                        }
                        " "
                    }
                }
            }
        }
    }
}
