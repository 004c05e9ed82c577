//! When what ran, and who had which volume.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use mesos_http::types::TaskState;

use super::dag::cut;
use super::frame::span;
use crate::plan::Plan;
use crate::state::{Attempt, JobState, Millis, Verdict};

/// More rows than these are the report's job.
const MOST: usize = 300;
const LABELS: f64 = 150.0;
const BARS: f64 = 610.0;
const ROW: usize = 24;
const TOP: usize = 26;

/// A stretch of time in a row.
struct Bar {
    from: Millis,
    to: Millis,
    class: &'static str,
    text: String,
    /// For those who point at it.
    title: String,
}

struct Row {
    label: String,
    bars: Vec<Bar>,
}

pub(super) fn drawing(plan: &Plan, state: &JobState, now: Millis) -> Markup {
    let begin = state.started_ms;
    let end = state.end.as_ref().map_or(now, |end| end.at_ms).max(begin + 1);
    let mut rows = task_rows(plan, state, end);
    let tasks = rows.len();
    rows.extend(volume_rows(plan, state, end));
    if rows.len() > MOST {
        return html! { p.faint { (rows.len()) " rows are too many to draw." } };
    }
    let x = |at: Millis| {
        let part = at.clamp(begin, end) - begin;
        LABELS + BARS * part as f64 / (end - begin) as f64
    };
    let title = |index: usize| index == tasks && index > 0;
    let y = |index: usize| TOP + index * ROW + if index >= tasks { ROW } else { 0 };
    let height = y(rows.len()) + 8;
    let width = LABELS + BARS + 20.0;
    let ticks = ticks(end - begin);
    html! {
        p.legend {
            span { "waits for an agent" } span.l-launch { "being launched" } span.l-active { "runs" } span.l-finished { "has finished" }
            span.l-failed { "has failed" }
        }
        div.drawing {
            svg.wide viewBox={ "0 0 " (width) " " (height) } role="img" aria-label="When what ran" {
                @for tick in &ticks {
                    line.grid x1=(x(begin + tick)) x2=(x(begin + tick)) y1=(TOP - 6) y2=(height - 6) {}
                    text.faint x=(x(begin + tick)) y="14" text-anchor="middle" { (span(*tick)) }
                }
                @if rows.len() > tasks { text.faint x="8" y=(y(tasks) - 8) { "Volumes" } }
                @for (index, row) in rows.iter().enumerate() {
                    @if title(index) { line.grid x1="0" x2=(width) y1=(y(index) - ROW) y2=(y(index) - ROW) {} }
                    text x="8" y=(y(index) + 16) { (cut(&row.label, 20)) }
                    @for bar in &row.bars {
                        @let wide = (x(bar.to) - x(bar.from)).max(2.0);
                        g {
                            title { (bar.title) }
                            rect class=(bar.class) x=(format!("{:.1}", x(bar.from))) y=(y(index) + 4) width=(format!("{wide:.1}"))
                                height=(ROW - 8) rx="3" {}
                            @if wide > 6.2 * bar.text.chars().count() as f64 + 8.0 && !bar.text.is_empty() {
                                text.on-bar x=(format!("{:.1}", x(bar.from) + 5.0)) y=(y(index) + 16) font-size="11" { (bar.text) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Where the attempt ended, by its last word.
fn end_of(attempt: &Attempt, end: Millis) -> Millis {
    match attempt.verdict {
        Some(_) => attempt
            .changes
            .last()
            .map_or(attempt.intended_ms, |change| change.at_ms),
        None => end,
    }
}

fn running_since(attempt: &Attempt) -> Option<Millis> {
    let change = attempt
        .changes
        .iter()
        .find(|change| change.state == TaskState::Running)?;
    Some(change.at_ms)
}

fn task_rows(plan: &Plan, state: &JobState, end: Millis) -> Vec<Row> {
    let mut rows = Vec::new();
    for task in &plan.tasks {
        let record = &state.tasks[task.name()];
        let mut bars = Vec::new();
        let mut free_since = record.ready_ms;
        for attempt in &record.attempts {
            if let Some(from) = free_since {
                bars.push(queued(from, attempt.intended_ms));
            }
            let over = end_of(attempt, end);
            let running = running_since(attempt);
            let (class, what) = match attempt.verdict {
                None => ("f-active", "runs"),
                Some(Verdict::Finished) => ("f-finished", "finished"),
                Some(_) => ("f-failed", "failed"),
            };
            let launch_class = if running.is_none() && attempt.verdict.is_some() {
                class
            } else {
                "f-launch"
            };
            bars.push(Bar {
                from: attempt.intended_ms,
                to: running.unwrap_or(over),
                class: launch_class,
                text: String::new(),
                title: format!("{} launched on {}", attempt.task_id, attempt.agent),
            });
            if let Some(running) = running {
                bars.push(Bar {
                    from: running,
                    to: over,
                    class,
                    text: match &attempt.agent.zone {
                        Some(zone) => format!("{} {zone}", attempt.agent.hostname),
                        None => attempt.agent.hostname.clone(),
                    },
                    title: format!(
                        "{} {what} on {}, {}",
                        attempt.task_id,
                        attempt.agent,
                        span(over.saturating_sub(running))
                    ),
                });
            }
            free_since = Some(over);
        }
        if let (Some(from), true) = (free_since, record.standing() == crate::state::Standing::Ready) {
            bars.push(queued(from, end));
        }
        rows.push(Row {
            label: task.name().to_owned(),
            bars,
        });
    }
    rows
}

fn queued(from: Millis, to: Millis) -> Bar {
    Bar {
        from,
        to,
        class: "f-queue",
        text: String::new(),
        title: format!("waits for {}", span(to.saturating_sub(from))),
    }
}

fn volume_rows(plan: &Plan, state: &JobState, end: Millis) -> Vec<Row> {
    let mut names: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for volume in plan.tasks.iter().flat_map(|task| &task.volumes) {
        names.entry(&volume.claim).or_default().insert(&volume.name);
    }
    let mut rows = Vec::new();
    for (claim, names) in names {
        let mut bars = Vec::new();
        for (task, record) in &state.tasks {
            let attempts = record
                .attempts
                .iter()
                .filter(|attempt| attempt.claims.iter().any(|own| own == claim));
            bars.extend(attempts.map(|attempt| Bar {
                from: attempt.intended_ms,
                to: end_of(attempt, end),
                class: if attempt.verdict.is_none() {
                    "f-active"
                } else {
                    "f-finished"
                },
                text: task.clone(),
                title: format!("{task} on {}", attempt.agent),
            }));
        }
        let name = names.into_iter().next().unwrap_or(claim);
        let lanes = lanes(bars);
        rows.extend(lanes.into_iter().enumerate().map(|(lane, bars)| Row {
            label: if lane == 0 { name.to_owned() } else { String::new() },
            bars,
        }));
    }
    rows
}

/// Readers at the same time stand below each other; at least one lane.
fn lanes(mut bars: Vec<Bar>) -> Vec<Vec<Bar>> {
    bars.sort_by_key(|bar| bar.from);
    let mut lanes: Vec<Vec<Bar>> = vec![Vec::new()];
    for bar in bars {
        let free = |lane: &&mut Vec<Bar>| lane.last().is_none_or(|last| last.to <= bar.from);
        match lanes.iter_mut().find(free) {
            Some(lane) => lane.push(bar),
            None => lanes.push(vec![bar]),
        }
    }
    lanes
}

/// Round times, at most seven of them.
fn ticks(length: Millis) -> Vec<Millis> {
    const STEPS: [Millis; 20] = [
        100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_200_000,
        1_800_000, 3_600_000, 7_200_000, 14_400_000, 43_200_000, 86_400_000,
    ];
    let step = STEPS.into_iter().find(|step| length / step <= 6).unwrap_or(length / 6);
    (0..=length / step).map(|index| index * step).collect()
}
