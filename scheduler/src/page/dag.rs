//! The tasks of a job as a drawing: each below what it runs after.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::run::word;
use crate::plan::Plan;
use crate::state::JobState;

/// More than these are a table's job.
const MOST: usize = 150;
const WIDTH: usize = 150;
const HEIGHT: usize = 40;
const GAP_X: usize = 24;
const GAP_Y: usize = 36;
const MARGIN: usize = 12;

/// `colours` says whether the state of a run is shown.
pub(super) fn drawing(plan: &Plan, state: &JobState, colours: bool) -> Markup {
    if plan.tasks.len() > MOST {
        return html! { p.faint { (plan.tasks.len()) " tasks are too many to draw." } };
    }
    let places = places(plan);
    let x = |(x, _): (usize, usize)| MARGIN + x;
    let y = |(_, row): (usize, usize)| MARGIN + row * (HEIGHT + GAP_Y);
    let rightmost = places.values().map(|(x, _)| x + WIDTH).max().unwrap_or(WIDTH);
    let deepest = places.values().map(|(_, row)| row + 1).max().unwrap_or(1);
    let width = 2 * MARGIN + rightmost;
    let height = 2 * MARGIN + deepest * (HEIGHT + GAP_Y) - GAP_Y;
    html! {
        div.drawing {
            svg width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) } role="img" aria-label="What runs after what" {
                @for task in &plan.tasks {
                    @let to = places[task.name()];
                    @for name in &task.task.after {
                        @let from = places[name.as_str()];
                        @let (x1, y1) = (x(from) + WIDTH / 2, y(from) + HEIGHT);
                        @let (x2, y2) = (x(to) + WIDTH / 2, y(to));
                        @let bend = GAP_Y / 2 + (y2 - y1 - GAP_Y) / 3;
                        path.edge d={ "M" (x1) " " (y1) " C" (x1) " " (y1 + bend) " " (x2) " " (y2 - bend) " " (x2) " " (y2) } {}
                    }
                }
                @for task in &plan.tasks {
                    @let place = places[task.name()];
                    @let standing = if colours { word(state.tasks[task.name()].standing()) } else { "waiting" };
                    @let volumes: Vec<&str> = task.volumes.iter().map(|volume| volume.name.as_str()).collect();
                    g {
                        title { (task.name()) " " (if colours { standing } else { "" }) " " (volumes.join(", ")) }
                        rect class={ "node s-" (standing) } x=(x(place)) y=(y(place)) width=(WIDTH) height=(HEIGHT) rx="7" {}
                        text x=(x(place) + WIDTH / 2) y=(y(place) + if volumes.is_empty() { 24 } else { 17 }) text-anchor="middle" {
                            (cut(task.name(), 20))
                        }
                        @if !volumes.is_empty() {
                            text.faint x=(x(place) + WIDTH / 2) y=(y(place) + 32) text-anchor="middle" font-size="10" {
                                (cut(&volumes.join(", "), 25))
                            }
                        }
                    }
                }
            }
        }
    }
}

/// At most so many characters.
pub(super) fn cut(text: &str, most: usize) -> String {
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
        // Stable: tasks with the same wish keep the order of the file.
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
