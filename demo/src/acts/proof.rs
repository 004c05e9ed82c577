//! That nothing is lost and no second writer ran, by the word of all who would know: the storage's history, the scheduler's
//! ledger, and the volumes themselves.

use std::collections::BTreeMap;

use ebs_emulator::{Event, EventKind};
use scheduler::ledger::{ClaimState, Entry, Ledger, file};

use super::scene::Scene;
use crate::demonstration::DemoError;

/// Looks at everything once an act is over.
///
/// # Errors
/// [`DemoError`] when somebody cannot be asked.
pub(super) fn look(scene: &mut Scene) -> Result<(), DemoError> {
    let left = scene.stage().wait_until_nothing_is_left()?;
    let nothing = left.mounts.is_empty() && left.attachments.is_empty();
    scene.check(
        nothing,
        match nothing {
            true => "nothing is left mounted or attached".to_owned(),
            false => format!("nothing is left, but {left:?}"),
        },
    );
    let events = scene.stage().site().events()?;
    let attached = events.iter().filter(|event| event.kind == EventKind::Attach).count();
    let found = storage(&events);
    tell(
        scene,
        found,
        format!("storage: {attached} attachments, never two of a volume at a time"),
    );

    let folder = scene.stage().service().state();
    let ledger = file::load(&folder).map_err(|error| DemoError::Refused(error.to_string()))?;
    // A scheduler that kept no ledger has proved nothing.
    let absent = || DemoError::Refused(format!("there is no claim ledger in {}", folder.display()));
    let ledger = ledger.ok_or_else(absent)?;
    let claims = claimed(&ledger);
    let found = two_writers(&ledger);
    tell(
        scene,
        found,
        format!("ledger: {claims} claims, never two of a volume at a time"),
    );
    written(scene)
}

fn tell(scene: &mut Scene, problems: Vec<String>, fine: String) {
    if problems.is_empty() {
        return scene.see(fine);
    }
    for problem in problems {
        scene.problem(problem);
    }
}

/// What the volumes and the tables on them say.
fn written(scene: &mut Scene) -> Result<(), DemoError> {
    let outcomes = |step: &str, scene: &mut Scene| -> Vec<crate::etl::Outcome> {
        let found = scene.stage().follower().outcomes(step);
        found.into_iter().cloned().collect()
    };
    for audited in outcomes("audit", scene) {
        let writers = audited.writers.unwrap_or(0);
        scene.see(format!("volumes: signed by {writers} writers, one after the other"));
    }
    let Some(verified) = outcomes("verify", scene).pop() else {
        return Ok(());
    };
    let rows = (verified.rows_extracted, verified.rows_loaded, verified.rejected);
    let expected = super::FLIGHTS as u64;
    let all = matches!(rows, (Some(extracted), Some(loaded), Some(rejected))
        if extracted == expected && loaded + rejected == expected);
    let figures = verified.figures_compared.unwrap_or(0);
    scene.check(
        all && verified.mismatches == Some(0),
        format!("data: {expected} flights, each once; {figures} figures as in the original files"),
    );
    Ok(())
}

/// Where a volume was attached while it was attached already, or mounted where it was not attached.
fn storage(events: &[Event]) -> Vec<String> {
    let mut holders: BTreeMap<&str, &str> = BTreeMap::new();
    let mut problems = Vec::new();
    for event in events {
        let (Some(volume), Some(host)) = (event.volume.as_deref(), event.host.as_deref()) else {
            continue;
        };
        let holder = holders.get(volume).copied();
        match event.kind {
            EventKind::Attach => {
                if let Some(holder) = holder {
                    problems.push(format!("storage: {volume} was attached to {host} and to {holder}"));
                }
                holders.insert(volume, host);
            }
            EventKind::Mount if holder != Some(host) => {
                problems.push(format!(
                    "storage: {volume} was mounted on {host}, attached to {holder:?}"
                ));
            }
            EventKind::Detach | EventKind::ForceDetach => {
                holders.remove(volume);
            }
            _ => {}
        }
    }
    problems
}

fn claimed(ledger: &Ledger) -> usize {
    let begun = |entry: &Entry| {
        entry
            .history
            .iter()
            .filter(|change| change.state == Some(ClaimState::Intent))
            .count()
    };
    ledger.volumes.values().map(begun).sum()
}

/// Where a task had a claim on a volume while another one that might still write had one.
fn two_writers(ledger: &Ledger) -> Vec<String> {
    let mut problems = Vec::new();
    for (volume, entry) in &ledger.volumes {
        let mut writing: Vec<&str> = Vec::new();
        for change in &entry.history {
            let task = change.holder.task.as_str();
            writing.retain(|writer| *writer != task);
            let may_write = !matches!(change.state, None | Some(ClaimState::Releasing | ClaimState::Fenced));
            if may_write {
                if let Some(other) = writing.first() {
                    problems.push(format!("ledger: {volume} was given to {task} while {other} had it"));
                }
                writing.push(task);
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use scheduler::ledger::{Change, Holder};

    use super::*;

    fn event(kind: &str, host: &str) -> Event {
        let text = format!(
            r#"{{"seq": 1, "time": "2026-01-01T00:00:00Z", "event": "{kind}", "host": "{host}", "volume": "vol-1"}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_volume_may_go_from_host_to_host_also_by_force() {
        let events = [
            event("attach", "a"),
            event("mount", "a"),
            event("detach", "a"),
            event("attach", "b"),
            event("mount", "b"),
            event("force-detach", "b"),
            event("attach", "a"),
        ];
        assert_eq!(storage(&events), Vec::<String>::new());
    }

    #[test]
    fn a_volume_on_two_hosts_is_found() {
        let problems = storage(&[event("attach", "a"), event("attach", "b")]);
        assert_eq!(problems, ["storage: vol-1 was attached to b and to a"]);
        let problems = storage(&[event("attach", "a"), event("detach", "a"), event("mount", "a")]);
        assert_eq!(problems.len(), 1, "{problems:?}");
    }

    fn ledger(changes: &[(&str, Option<ClaimState>)]) -> Ledger {
        let change = |(task, state): &(&str, Option<ClaimState>)| Change {
            at_ms: 0,
            holder: Holder {
                framework: "f".to_owned(),
                task: (*task).to_owned(),
            },
            agent: "a".to_owned(),
            state: *state,
        };
        let entry = Entry {
            history: changes.iter().map(change).collect(),
            ..Entry::default()
        };
        let mut ledger = Ledger::default();
        ledger.volumes.insert("vol-1".to_owned(), entry);
        ledger
    }

    #[test]
    fn the_next_task_may_come_once_the_one_before_is_known_not_to_run() {
        use ClaimState::{Fenced, InUse, Intent, Releasing, Suspect};
        for over in [Releasing, Fenced] {
            let changes = [
                ("one", Some(Intent)),
                ("one", Some(InUse)),
                ("one", Some(Suspect)),
                ("one", Some(over)),
                ("two", Some(Intent)),
                ("one", None),
                ("two", None),
            ];
            assert_eq!(two_writers(&ledger(&changes)), Vec::<String>::new());
        }
    }

    #[test]
    fn a_second_writer_beside_one_that_may_still_run_is_found() {
        use ClaimState::{InUse, Intent, Suspect};
        let changes = [("one", Some(InUse)), ("one", Some(Suspect)), ("two", Some(Intent))];
        let problems = two_writers(&ledger(&changes));
        assert_eq!(problems, ["ledger: vol-1 was given to two while one had it"]);
    }
}
