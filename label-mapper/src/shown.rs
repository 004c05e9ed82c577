//! Output for people.

use label_mapper::{Catalogue, Channel, Explained, ExplainedVolume, Mapped, Verdict, Volume};

pub(crate) fn mapped(mapped: &Mapped) -> String {
    format!("volume     {}\n", described(&mapped.volume)) + &labels_claim_zone(mapped)
}

fn labels_claim_zone(mapped: &Mapped) -> String {
    let mut text = String::new();
    for (key, value) in &mapped.labels {
        text += &format!("label      {key}={value}\n");
    }
    text + &format!("resource   {}\nzone       {}\n", mapped.claim, mapped.zone)
}

/// One line of a listing.
pub(crate) fn volume(volume: &Volume, catalogue: &Catalogue) -> String {
    let aliases: Vec<String> = catalogue.aliases(&volume.id).map(volume_labels::cleaned).collect();
    let also = if aliases.is_empty() {
        String::new()
    } else {
        format!("  also {}", aliases.join(", "))
    };
    format!("{}{also}\n", described(volume))
}

fn described(volume: &Volume) -> String {
    let held_by: Vec<String> = volume
        .attachments
        .iter()
        .map(|a| format!("{} ({})", a.instance, a.state))
        .collect();
    format!(
        "{}  {}  {}  {} GiB  {}{}{}",
        volume.id,
        volume_labels::cleaned(volume.name.as_deref().unwrap_or("-")),
        volume.zone,
        volume.size_gib,
        volume.state,
        if volume.multi_attach { "  multi-attach" } else { "" },
        if held_by.is_empty() {
            String::new()
        } else {
            format!("  held by {}", held_by.join(", "))
        },
    )
}

pub(crate) fn explained_volume(explained: &ExplainedVolume, catalogue: &Catalogue) -> String {
    let mut text =
        format!("volume     {}", volume(&explained.mapped.volume, catalogue)) + &labels_claim_zone(&explained.mapped);
    for note in &explained.notes {
        text += &format!("note       {note}\n");
    }
    text + &agents(explained.agents.as_deref(), "")
}

/// The tasks; the text of `none` when there are none.
pub(crate) fn tasks(tasks: &[Explained], none: impl FnOnce() -> String) -> String {
    if tasks.is_empty() {
        return none() + "\n";
    }
    let blocks: Vec<String> = tasks.iter().map(task).collect();
    blocks.join("\n")
}

fn task(task: &Explained) -> String {
    let report = &task.report;
    let mut text = format!("task '{}'\n", report.task);
    if !report.volumes.is_empty() {
        text += &format!("  channel    {}\n  labels in  {}\n", report.channel, report.labels_in);
    }
    for reason in &task.reasons {
        text += &format!("  volume     {reason}\n");
    }
    let by_label = report
        .volumes
        .iter()
        .filter(|requested| requested.channel == Channel::Labels);
    for (key, value) in by_label.flat_map(|requested| requested.labels.to_labels()) {
        text += &format!("  label      {key}={value}\n");
    }
    if !report.claims.is_empty() {
        text += &format!(
            "  resource   {}:{{{}}}\n",
            label_mapper::EBS_VOLUMES,
            report.claims.join(",")
        );
    }
    if let Some(zone) = &report.zone {
        text += &format!("  zone       {zone}\n");
    }
    for note in &report.notes {
        text += &format!("  note       {note}\n");
    }
    text + &agents(task.agents.as_deref(), "  ")
}

fn agents(verdicts: Option<&[Verdict]>, indent: &str) -> String {
    let Some(verdicts) = verdicts else { return String::new() };
    let line = |verdict: &Verdict| {
        let word = if verdict.fits { "yes" } else { "no" };
        let why: Vec<&str> = verdict
            .against
            .iter()
            .chain(&verdict.remarks)
            .map(String::as_str)
            .collect();
        let why = if why.is_empty() {
            String::new()
        } else {
            format!(": {}", why.join("; "))
        };
        format!("{indent}agent      {}  {word}{why}\n", verdict.agent)
    };
    let fitting = verdicts.iter().filter(|verdict| verdict.fits).count();
    let lines: String = verdicts.iter().map(line).collect();
    format!("{lines}{indent}agents     {fitting} of {} can run it\n", verdicts.len())
}
