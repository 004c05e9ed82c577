//! Agents by zone.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::frame::{View, badge, frame};
use super::volumes::holder;
use crate::ledger::Claim;
use crate::service::agents::SeenAgent;

pub(super) fn all(view: View<'_>) -> Markup {
    let service = view.service;
    let mut zones: BTreeMap<&str, Vec<(&String, &SeenAgent)>> = BTreeMap::new();
    for (id, agent) in service.agents().iter() {
        zones
            .entry(agent.zone.as_deref().unwrap_or_default())
            .or_default()
            .push((id, agent));
    }
    for agents in zones.values_mut() {
        agents.sort_by_key(|(_, agent)| &agent.address);
    }
    let content = html! {
        h1 { "Agents" }
        @if zones.is_empty() {
            div.empty {
                p { strong { "No agent is known yet." } }
                p { "An agent appears as soon as it has registered with the master." }
            }
        }
        @for (zone, agents) in &zones {
            h2 {
                @if zone.is_empty() { "No zone" } @else { "Zone " (zone) }
                " " span.faint { "(" (agents.len()) @if agents.len() == 1 { " agent)" } @else { " agents)" } }
            }
            table.even {
                thead { tr { th { "Agent" } th { "CPUs" } th { "Memory" } th { "Volumes it offers" } th { "Volumes in use" } } }
                tbody { @for (id, agent) in agents { (row(view, id, agent)) } }
            }
        }
    };
    frame(view, "Agents", "Agents", true, content)
}

fn row(view: View<'_>, id: &str, agent: &SeenAgent) -> Markup {
    let service = view.service;
    let used: Vec<(&str, &Claim)> = service
        .ledger()
        .claims()
        .filter(|(_, claim)| claim.agent == id)
        .collect();
    html! {
        tr {
            td data-label="Agent" {
                span {
                    strong { (agent.address) } " "
                    @if agent.reachable { (badge("reachable")) } @else { (badge("unreachable")) }
                    div.faint { (id) }
                }
            }
            td data-label="CPUs" { (agent.cpus) }
            td data-label="Memory" { span.nowrap { (memory(&agent.mem)) } }
            td data-label="Offers" {
                @if agent.volumes.is_empty() { span.faint { "none" } } @else {
                    span {
                        @for (index, volume) in agent.volumes.iter().enumerate() {
                            @if index > 0 { ", " }
                            @if service.ledger().volumes.contains_key(volume) { a href={ "/volumes/" (volume) } { (name(view, volume)) } }
                            @else { (volume) }
                        }
                    }
                }
            }
            td data-label="In use" {
                @if used.is_empty() { span.faint { "none" } } @else {
                    span {
                        @for (volume, claim) in &used {
                            div { a href={ "/volumes/" (volume) } { (name(view, volume)) } " " (badge(&claim.state.to_string())) " by "
                                (holder(service, &claim.holder)) }
                        }
                    }
                }
            }
        }
    }
}

/// The volume's Name tag; its id when the listing has no Name tag.
fn name<'a>(view: View<'a>, volume: &'a str) -> &'a str {
    let stored = view
        .service
        .ledger()
        .volumes
        .get(volume)
        .and_then(|entry| entry.stored.as_ref());
    stored.and_then(|stored| stored.name.as_deref()).unwrap_or(volume)
}

/// Mesos' megabytes (of 1024 × 1024 bytes), in gigabytes where there are many.
fn memory(megabytes: &str) -> String {
    match megabytes.parse::<f64>() {
        Ok(mb) if mb >= 1024.0 => format!("{:.1} GB", mb / 1024.0),
        _ => format!("{megabytes} MB"),
    }
}
