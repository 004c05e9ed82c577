//! The report for a person: one line and one bar a task, the volumes' ways, the verdict.

use std::fmt::Write;

use super::report::{Report, TaskReport};

/// How many characters the longest bar has.
const WIDTH: f64 = 40.0;

/// The timeline and the verdict.
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    let end = report.tasks.iter().filter_map(|task| task.ended).fold(0.0, f64::max);
    if !report.tasks.is_empty() {
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "\n{:<12} {:<7} {:>8} {:>8}  {:<42} volumes (mount time)",
            "task", "agent", "start", "time", ""
        );
    }
    for task in &report.tasks {
        let start = task.launched.map_or("-".into(), |at| format!("{at:.1} s"));
        let time = task
            .launched
            .zip(task.ended)
            .map_or("-".into(), |(start, end)| format!("{:.1} s", end - start));
        let agent = task.agent.as_deref().unwrap_or("-");
        let _ = writeln!(
            text,
            "{:<12} {agent:<7} {start:>8} {time:>8}  {} {}",
            task.name,
            bar(task, end),
            volumes(task)
        );
    }
    if !report.volumes.is_empty() {
        text.push('\n');
    }
    for volume in &report.volumes {
        let way = if volume.hosts.is_empty() {
            "never attached".to_owned()
        } else {
            volume.hosts.join(" -> ")
        };
        let _ = writeln!(text, "{:<14} {}  {way}", volume.name, volume.id);
    }
    let _ = writeln!(
        text,
        "\n{} flights extracted, {} loaded, {} rejected, {} aggregates, {} figures verified",
        report.rows_extracted, report.rows_loaded, report.rejected, report.aggregates, report.figures_compared
    );
    let _ = writeln!(
        text,
        "{} moves of volumes, {} mounts left, {} attachments left",
        report.moves, report.mounts_left, report.attachments_left
    );
    for problem in &report.problems {
        let _ = writeln!(text, "problem: {problem}");
    }
    let _ = writeln!(text, "\n{} in {:.0} s", report.status, report.seconds);
    text
}

/// `.` from launch to running, where the volumes are mounted; `#` while it runs.
fn bar(task: &TaskReport, end: f64) -> String {
    let column = |at: f64| {
        if end > 0.0 {
            (at / end * WIDTH).round() as usize
        } else {
            0
        }
    };
    let (Some(launched), Some(ended)) = (task.launched, task.ended) else {
        return format!("|{:<40}|", "");
    };
    let running = task.running.unwrap_or(ended);
    let before = column(launched);
    let starting = column(running).saturating_sub(before);
    let runs = column(ended).saturating_sub(column(running)).max(1);
    let bar = format!("{}{}{}", " ".repeat(before), ".".repeat(starting), "#".repeat(runs));
    format!("|{bar:<40}|")
}

fn volumes(task: &TaskReport) -> String {
    let each = task.volumes.iter().map(|volume| match volume.mount_ms {
        Some(ms) => format!("{} ({ms:.0} ms)", volume.name),
        None if task.launched.is_none() => volume.name.clone(),
        None => format!("{} (still mounted)", volume.name),
    });
    each.collect::<Vec<_>>().join(", ")
}
