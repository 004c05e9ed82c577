//! Volumes with holders and history, and agents by zone.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::frame::{badge, frame, span, time};
use crate::ledger::{Claim, Holder, Mode};
use crate::service::Service;
use crate::state::Millis;

fn attached(instances: Option<&[String]>) -> String {
    match instances {
        None => "not asked".to_owned(),
        Some([]) => "nobody".to_owned(),
        Some(instances) => instances.join(", "),
    }
}

/// The task, with a link to its run when that is one of ours.
fn holder(service: &Service, holder: &Holder) -> Markup {
    let own = service.record().framework_id.as_ref() == Some(&holder.framework);
    let run: Vec<&str> = holder.task.splitn(3, '.').take(2).collect();
    let run = run.join(".");
    html! {
        @if own && service.runs().contains_key(&run) {
            a href={ "/runs/" (run) } { (holder.task) }
        } @else if own { (holder.task) } @else { (holder.task) " of framework " (holder.framework) }
    }
}

fn mode(claim: &Claim) -> &'static str {
    match claim.mode {
        Mode::Read => "reads",
        Mode::Write => "writes",
    }
}

pub(super) fn all(service: &Service, now: Millis) -> Markup {
    let views = service.ledger().view();
    let live = views.iter().any(|view| !view.claims.is_empty());
    let content = html! {
        h1 { "Volumes" }
        @if views.is_empty() { p { "No task has claimed one yet, and no storage has listed any." } } @else {
            table {
                thead { tr { th { "Volume" } th { "Name" } th { "Zone" } th { "State" } th { "Holder" } th { "Agent" } th { "Attached to" } } }
                tbody {
                    @for view in &views {
                        tr {
                            td data-label="Volume" { a href={ "/volumes/" (view.volume) } { (view.volume) } }
                            td data-label="Name" { @if let Some(name) = view.name { (name) } }
                            td data-label="Zone" { @if let Some(zone) = view.zone { (zone) } }
                            td data-label="State" {
                                span {
                                    (badge(&view.state)) " "
                                    @if let Some(claim) = view.claims.first() { span.faint { (span(now.saturating_sub(claim.since_ms))) } }
                                }
                            }
                            td data-label="Holder" {
                                @if !view.claims.is_empty() {
                                    span { @for claim in view.claims { div { (holder(service, &claim.holder)) " " (mode(claim)) } } }
                                }
                            }
                            td data-label="Agent" {
                                @if !view.claims.is_empty() {
                                    span { @for claim in view.claims { div { (service.agents().name(&claim.agent)) } } }
                                }
                            }
                            td data-label="Attached to" { (attached(view.attached)) }
                        }
                    }
                }
            }
        }
    };
    frame(service, "Volumes", now, live, content)
}

pub(super) fn one(service: &Service, id: &str, now: Millis) -> Option<Markup> {
    let entry = service.ledger().volumes.get(id)?;
    let stored = entry.stored.as_ref();
    let content = html! {
        h1 {
            "Volume " (id) " " (badge(&entry.word()))
        }
        p {
            @if let Some(name) = stored.and_then(|stored| stored.name.as_ref()) { "Named " (name) ". " }
            @if let Some(zone) = stored.and_then(|stored| stored.zone.as_ref()) { "In zone " (zone) ". " }
            @if stored.is_some_and(|stored| stored.multi_attach) { "Several hosts may attach it. " }
            "Attached to " (attached(stored.map(|stored| stored.instances.as_slice()))) "."
        }
        @for claim in &entry.claims {
            p { (holder(service, &claim.holder)) " " (mode(claim)) " on " (service.agents().name(&claim.agent)) ": "
                (claim.state.to_string()) " since " (time(claim.since_ms)) "." }
        }
        h2 { "History" }
        @if entry.history.is_empty() { p.faint { "Nobody has had it yet." } } @else {
            table {
                thead { tr { th { "When" } th { "State" } th { "Task" } th { "Agent" } } }
                tbody {
                    @for change in entry.history.iter().rev() {
                        tr {
                            td data-label="When" { (time(change.at_ms)) }
                            td data-label="State" { (badge(&change.state.map_or_else(|| "FREE".to_owned(), |state| state.to_string()))) }
                            td data-label="Task" { span { (holder(service, &change.holder)) } }
                            td data-label="Agent" { (service.agents().name(&change.agent)) }
                        }
                    }
                }
            }
        }
    };
    Some(frame(service, id, now, !entry.claims.is_empty(), content))
}

pub(super) fn agents(service: &Service, now: Millis) -> Markup {
    let mut zones: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for (id, agent) in service.agents().iter() {
        zones
            .entry(agent.zone.as_deref().unwrap_or_default())
            .or_default()
            .push((id, agent));
    }
    let used = |id: &str| -> Vec<(&str, &Claim)> {
        service
            .ledger()
            .claims()
            .filter(|(_, claim)| claim.agent == id)
            .collect()
    };
    let content = html! {
        h1 { "Agents" }
        @if zones.is_empty() { p { "The master has told of none." } }
        @for (zone, agents) in &zones {
            h2 { @if zone.is_empty() { "No zone" } @else { "Zone " (zone) } }
            table {
                thead { tr { th { "Agent" } th { "CPUs" } th { "Memory" } th { "May have" } th { "Has" } } }
                tbody {
                    @for (id, agent) in agents {
                        @let used = used(id);
                        tr {
                            td data-label="Agent" {
                                span { (agent.address) " " @if !agent.reachable { (badge("unreachable")) } div.faint { (id) } }
                            }
                            td data-label="CPUs" { (agent.cpus) }
                            td data-label="Memory" { (agent.mem) " MB" }
                            td data-label="May have" { (agent.volumes.join(", ")) }
                            td data-label="Has" {
                                @if !used.is_empty() {
                                    span {
                                        @for (volume, claim) in &used {
                                            div { a href={ "/volumes/" (volume) } { (volume) } " " (badge(&claim.state.to_string())) " "
                                                (holder(service, &claim.holder)) }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    };
    frame(service, "Agents", now, true, content)
}
