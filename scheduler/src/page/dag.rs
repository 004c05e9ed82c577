//! The tasks of a job as a drawing: each below what it runs after.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::frame::standing_name;
use crate::plan::{Plan, PlannedTask};
use crate::state::JobState;

/// The largest number of tasks that is drawn.
const MOST: usize = 150;
const WIDTH: usize = 152;
const HEIGHT: usize = 46;
const GAP_X: usize = 20;
const GAP_Y: usize = 38;
const MARGIN: usize = 14;

/// The tasks of a job file.
pub(super) fn of_job(plan: &Plan) -> Markup {
    drawing(plan, None)
}

/// The tasks of a run, each as it stands, with a link to its row.
pub(super) fn of_run(plan: &Plan, state: &JobState) -> Markup {
    drawing(plan, Some(state))
}

fn drawing(plan: &Plan, state: Option<&JobState>) -> Markup {
    if plan.tasks.len() > MOST {
        return html! { p.faint { (plan.tasks.len()) " tasks are too many to draw." } };
    }
    let places = places(plan);
    let x = |(x, _): (usize, usize)| MARGIN + x;
    let y = |(_, row): (usize, usize)| MARGIN + row * (HEIGHT + GAP_Y);
    let leftmost = places.values().map(|(x, _)| *x).min().unwrap_or(0);
    let rightmost = places.values().map(|(x, _)| x + WIDTH).max().unwrap_or(WIDTH);
    let deepest = places.values().map(|(_, row)| row + 1).max().unwrap_or(1);
    let width = 2 * MARGIN + rightmost - leftmost;
    let height = 2 * MARGIN + deepest * (HEIGHT + GAP_Y) - GAP_Y;
    let standing = |task: &str| state.map(|state| standing_name(state, task));
    html! {
        div.card.drawing tabindex="0" role="region" aria-label="Drawing of the tasks" {
            svg.dag width=(width) height=(height) viewBox={ (leftmost) " 0 " (width) " " (height) } role="group"
                aria-labelledby="dag-title dag-description" {
                title id="dag-title" { "Order of the tasks" }
                desc id="dag-description" { (description(plan)) }
                defs {
                    marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto" {
                        path.head d="M0 0.5 L8 4 L0 7.5 Z" {}
                    }
                }
                @for task in &plan.tasks {
                    @let to = places[task.name()];
                    @for name in &task.task.after {
                        @let from = places[name.as_str()];
                        @let (x1, y1) = (x(from) + WIDTH / 2, y(from) + HEIGHT);
                        @let (x2, y2) = (x(to) + WIDTH / 2, y(to) - 2);
                        @let bend = GAP_Y / 2 + (y2 - y1).saturating_sub(GAP_Y) / 3;
                        @let blocked = standing(task.name()) == Some("blocked");
                        path class={ "edge" @if blocked { " cut" } } marker-end="url(#arrow)"
                            d={ "M" (x1) " " (y1) " C" (x1) " " (y1 + bend) " " (x2) " " (y2 - bend) " " (x2) " " (y2) } {}
                    }
                }
                @for task in &plan.tasks {
                    @let place = places[task.name()];
                    @match standing(task.name()) {
                        Some(standing) => {
                            a href={ "#task-" (task.name()) } aria-label={ (task.name()) ", " (standing) } {
                                (node(task, Some(standing), x(place), y(place)))
                            }
                        },
                        None => { g { (node(task, None, x(place), y(place))) } },
                    }
                }
            }
        }
    }
}

fn node(task: &PlannedTask, standing: Option<&str>, x: usize, y: usize) -> Markup {
    let volumes: Vec<&str> = task.volumes.iter().map(|volume| volume.name.as_str()).collect();
    let volumes = volumes.join(", ");
    let middle = x + WIDTH / 2;
    let name = cut(task.name(), if standing.is_some() { 16 } else { 18 });
    html! {
        title { (task.name()) @if let Some(standing) = standing { ", " (standing) } @if !volumes.is_empty() { ", with " (volumes) } }
        rect class={ "node c-" (standing.unwrap_or("plain")) } x=(x) y=(y) width=(WIDTH) height=(HEIGHT) rx="8" {}
        text.name x=(middle) y=(y + if volumes.is_empty() { 28 } else { 20 }) text-anchor="middle" {
            @if let Some(standing) = standing { tspan class={ "sign c-" (standing) } { (sign(standing)) " " } }
            (name)
        }
        @if !volumes.is_empty() {
            text.faint x=(middle) y=(y + 36) text-anchor="middle" { (cut(&volumes, 23)) }
        }
    }
}

/// A standing without its colour.
fn sign(standing: &str) -> &'static str {
    match standing {
        "finished" => "✓",
        "failed" => "✕",
        "active" => "▶",
        "ready" => "◷",
        "blocked" => "⊘",
        _ => "○",
    }
}

/// The drawing in words, for those who do not see it.
fn description(plan: &Plan) -> String {
    let each = plan.tasks.iter().map(|task| match task.task.after.is_empty() {
        true => format!("{} runs at once.", task.name()),
        false => {
            let after: Vec<&str> = task.task.after.iter().map(String::as_str).collect();
            format!("{} runs after {}.", task.name(), after.join(", "))
        }
    });
    each.collect::<Vec<_>>().join(" ")
}

/// At most so many characters.
fn cut(text: &str, most: usize) -> String {
    match text.chars().count() > most {
        true => text.chars().take(most - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}
/// Left edge and row of each task: a row below the lowest it runs after, and as near below those as there is room.
fn places(plan: &Plan) -> BTreeMap<&str, (usize, usize)> {
    let rows = &rows(plan);
    let deepest = rows.values().copied().max().unwrap_or(0);
    let of_row = |row: usize| plan.tasks.iter().filter(move |task| rows[task.name()] == row);
    let widest = (0..=deepest).map(|row| of_row(row).count()).max().unwrap_or(1);
    let whole = widest * (WIDTH + GAP_X) - GAP_X;
    let mut places: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for row in 0..=deepest {
        let count = of_row(row).count();
        let centred = (whole + GAP_X - count * (WIDTH + GAP_X)) / 2;
        let mut tasks: Vec<(usize, &str)> = of_row(row)
            .enumerate()
            .map(|(index, task)| {
                let above: Vec<usize> = task
                    .task
                    .after
                    .iter()
                    .filter_map(|name| places.get(name.as_str()).map(|(x, _)| *x))
                    .collect();
                let wished = above.iter().sum::<usize>().checked_div(above.len());
                (wished.unwrap_or(centred + index * (WIDTH + GAP_X)), task.name())
            })
            .collect();
        // Stable: tasks with the same request keep the order of the file.
        tasks.sort_by_key(|(wished, _)| *wished);
        // From the right each is pushed as far left as the others need, from the left as far right.
        let mut limit = whole + GAP_X;
        for (wished, _) in tasks.iter_mut().rev() {
            *wished = (*wished).min(limit.saturating_sub(WIDTH + GAP_X));
            limit = *wished;
        }
        let mut free = 0;
        for (wished, name) in tasks {
            let x = wished.max(free);
            places.insert(name, (x, row));
            free = x + WIDTH + GAP_X;
        }
    }
    places
}

fn rows(plan: &Plan) -> BTreeMap<&str, usize> {
    let mut rows: BTreeMap<&str, usize> = BTreeMap::new();
    while rows.len() < plan.tasks.len() {
        let before = rows.len();
        for task in &plan.tasks {
            let after: Option<Vec<usize>> = task
                .task
                .after
                .iter()
                .map(|name| rows.get(name.as_str()).copied())
                .collect();
            if let Some(after) = after {
                rows.insert(task.name(), after.into_iter().max().map_or(0, |row| row + 1));
            }
        }
        if rows.len() == before {
            // A plan has no cycle; if one had, its tasks stand in a row of their own.
            plan.tasks.iter().for_each(|task| {
                rows.entry(task.name()).or_insert(0);
            });
        }
    }
    rows
}
