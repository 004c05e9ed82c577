//! From times to lanes: the same attempts seen by task, by agent and by volume.

use std::collections::{BTreeMap, BTreeSet};

use super::{AttemptTimes, Bar, Fill, Lane, Outcome, Place, TaskTimes, span};
use crate::state::Millis;

/// The agents in the order they were first used, which chooses their colours.
type Tones<'a> = BTreeMap<&'a Place, usize>;

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.zone {
            Some(zone) => write!(f, "{} in {zone}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl AttemptTimes {
    /// Until when it holds what it holds.
    fn over(&self, end: Millis) -> Millis {
        self.ended_ms.unwrap_or(end).max(self.launched_ms)
    }
}

fn bar(from: Millis, to: Millis, fill: Fill, text: &str, detail: String) -> Bar {
    Bar {
        from,
        to: to.max(from),
        fill,
        text: text.to_owned(),
        detail,
        moved_from: None,
    }
}

/// A lane for each task: waiting, being launched, running.
pub(super) fn of_tasks(tasks: &[TaskTimes], end: Millis) -> Vec<Lane> {
    tasks.iter().map(|task| of_task(task, end)).collect()
}

fn of_task(task: &TaskTimes, end: Millis) -> Lane {
    let mut bars = Vec::new();
    let mut free_since = task.ready_ms;
    for attempt in &task.attempts {
        let launched = attempt.launched_ms;
        bars.extend(free_since.map(|from| waits(from, launched)));
        let over = attempt.over(end);
        let (fill, what) = match attempt.outcome {
            Outcome::Active => (Fill::Runs, "runs"),
            Outcome::Finished => (Fill::Finished, "finished"),
            Outcome::Failed => (Fill::Failed, "failed"),
        };
        let before = attempt.running_ms.unwrap_or(over).clamp(launched, over);
        let never_ran = attempt.running_ms.is_none() && attempt.outcome != Outcome::Active;
        let (launch_fill, launch_what) = if never_ran {
            (fill, what.to_owned())
        } else {
            (
                Fill::Launches,
                format!("was being launched for {}", span(before - launched)),
            )
        };
        let detail = format!("{} {launch_what} on {}", attempt.name, attempt.agent);
        bars.push(bar(launched, before, launch_fill, "", detail));
        if attempt.running_ms.is_some() {
            let detail = format!(
                "{} {what} on {} for {}",
                attempt.name,
                attempt.agent,
                span(over - before)
            );
            bars.push(bar(before, over, fill, &attempt.agent.name, detail));
        }
        free_since = Some(over);
    }
    if let (Some(from), true) = (free_since, task.waits) {
        bars.push(waits(from, end));
    }
    let (note, more) = match task.attempts.as_slice() {
        [] if task.waits => ("waits".to_owned(), String::new()),
        [] => ("not begun".to_owned(), String::new()),
        [.., last] => {
            let took = span(last.over(end) - last.launched_ms);
            let attempts = match task.attempts.len() {
                1 => String::new(),
                count => format!(", attempt {count}"),
            };
            (format!("{took}{attempts}"), format!("on {}", last.agent))
        }
    };
    Lane {
        label: task.task.clone(),
        note,
        more,
        tone: None,
        rows: vec![bars],
    }
}

fn waits(from: Millis, to: Millis) -> Bar {
    let detail = format!("waits for {}", span(to.saturating_sub(from)));
    bar(from, to, Fill::Waits, "", detail)
}

fn attempts(tasks: &[TaskTimes]) -> impl Iterator<Item = (&TaskTimes, &AttemptTimes)> {
    tasks
        .iter()
        .flat_map(|task| task.attempts.iter().map(move |attempt| (task, attempt)))
}

/// A lane for each agent: what was on it.
pub(super) fn of_agents(tasks: &[TaskTimes], end: Millis, tones: &Tones<'_>) -> Vec<Lane> {
    let mut lanes: Vec<(&Place, Lane)> = Vec::new();
    for (place, tone) in tones {
        let bars = attempts(tasks)
            .filter(|(_, attempt)| attempt.agent == **place)
            .map(|(task, attempt)| {
                let detail = format!(
                    "{} on {place} for {}",
                    attempt.name,
                    span(attempt.over(end) - attempt.launched_ms)
                );
                bar(
                    attempt.launched_ms,
                    attempt.over(end),
                    Fill::Agent(*tone),
                    &task.task,
                    detail,
                )
            });
        let bars: Vec<Bar> = bars.collect();
        let launches = match bars.len() {
            1 => "1 launch".to_owned(),
            count => format!("{count} launches"),
        };
        let lane = Lane {
            label: place.name.clone(),
            note: launches,
            more: place.zone.iter().map(|zone| format!("in {zone}")).collect(),
            tone: Some(*tone),
            rows: side_by_side(bars),
        };
        lanes.push((place, lane));
    }
    // Agents of one zone stand together.
    lanes.sort_by_key(|(place, _)| (place.zone.as_deref().unwrap_or_default(), place.name.as_str()));
    lanes.into_iter().map(|(_, lane)| lane).collect()
}

/// A lane for each volume: who had it, in the colour of the agent it was on.
pub(super) fn of_volumes(tasks: &[TaskTimes], end: Millis, tones: &Tones<'_>) -> Vec<Lane> {
    // In the order the tasks name them.
    let mut names: Vec<&str> = Vec::new();
    for volume in attempts(tasks).flat_map(|(_, attempt)| &attempt.volumes) {
        if !names.contains(&volume.as_str()) {
            names.push(volume);
        }
    }
    let of_volume = |name: &str| {
        let mut stays: Vec<(&TaskTimes, &AttemptTimes)> = attempts(tasks)
            .filter(|(_, attempt)| attempt.volumes.iter().any(|own| own == name))
            .collect();
        stays.sort_by_key(|(_, attempt)| attempt.launched_ms);
        let mut bars = Vec::new();
        let mut last: Option<&Place> = None;
        let mut moves = 0;
        for (task, attempt) in &stays {
            let held = span(attempt.over(end) - attempt.launched_ms);
            let detail = format!("{} had {name} on {} for {held}", attempt.name, attempt.agent);
            let tone = Fill::Agent(tones[&attempt.agent]);
            let mut bar = bar(attempt.launched_ms, attempt.over(end), tone, &task.task, detail);
            if let Some(last) = last.filter(|last| **last != attempt.agent) {
                bar.moved_from = Some(last.name.clone());
                moves += 1;
            }
            last = Some(&attempt.agent);
            bars.push(bar);
        }
        let hosts: BTreeSet<&Place> = stays.iter().map(|(_, attempt)| &attempt.agent).collect();
        let (note, more) = match (moves, last) {
            (0, Some(only)) => ("no move".to_owned(), format!("on {only}")),
            (1, _) => ("1 move".to_owned(), format!("between {} agents", hosts.len())),
            _ => (format!("{moves} moves"), format!("between {} agents", hosts.len())),
        };
        Lane {
            label: name.to_owned(),
            note,
            more,
            tone: None,
            rows: side_by_side(bars),
        }
    };
    names.into_iter().map(of_volume).collect()
}

/// What is at the same time stands below each other, in as few rows as that takes.
fn side_by_side(mut bars: Vec<Bar>) -> Vec<Vec<Bar>> {
    bars.sort_by_key(|bar| bar.from);
    let mut rows: Vec<Vec<Bar>> = vec![Vec::new()];
    for bar in bars {
        let free = |row: &&mut Vec<Bar>| row.last().is_none_or(|last| last.to <= bar.from);
        match rows.iter_mut().find(free) {
            Some(row) => row.push(bar),
            None => rows.push(vec![bar]),
        }
    }
    rows
}
