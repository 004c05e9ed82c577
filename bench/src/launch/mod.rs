//! Tasks on real agents that differ only in isolation: none, Mesos' own docker/volume with dvdcli, and this module.

mod phase;
mod site;
mod storage;

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::Effort;
use crate::figures::ByRound;
use crate::report::Section;
use phase::{Phase, Taken};
use site::{Contender, Site};
use storage::Kind;

/// What the module's part of the added time may be.
const RATIO: f64 = 0.1;

pub(crate) fn run(effort: Effort) -> Result<Section> {
    let mut section = Section::new(
        "launch",
        "PREPARING to ISOLATING from the agents' logs; three agents of one master that differ only in isolation take turns: \
         filesystem/linux alone, with docker/volume and dvdcli, with this module. The last two have a driver process each, of \
         the same program. 'added' is beyond the agent without volumes in the same round",
    );
    section.note(
        "The peer runs this workspace's drop-in dvdcli, which is kinder to it than dvdcli 0.2: a constant Mount ID, which \
         rclone needs, and no more calls at once than the driver bears, by file locks.",
    );
    section.note(
        "The floor is what no isolator can do without. Sequential, and for one volume: Get and Mount called directly, and the \
         fsyncs of two records. For 20 volumes: Get and Mount called directly, as many at once and as soon after each other as \
         the driver bears.",
    );
    let mut figures = Map::new();
    for kind in [Kind::Rclone, Kind::Emulator] {
        let mut by_phase = Map::new();
        let site = Site::start(kind)?;
        for phase in Phase::ALL {
            let taken = phase.run(&site, effort)?;
            let (json, ratio) = tell(&mut section, kind, phase, &taken);
            by_phase.insert(phase.key().to_owned(), json);
            if kind == Kind::Rclone {
                let median = ratio.map(|ratio| ratio.median);
                section.target(format!("ratio_added, rclone, {}", phase.what()), median, RATIO);
                section.target(
                    format!("failed or hanging tasks of the module, rclone, {}", phase.what()),
                    Some(taken.of(Contender::Module).lost()),
                    0.0,
                );
            }
        }
        figures.insert(kind.key().to_owned(), Value::Object(by_phase));
    }
    section.figures = Value::Object(figures);
    Ok(section)
}

/// The rows and the JSON of one phase, and how the module's added time compares.
fn tell(section: &mut Section, kind: Kind, phase: Phase, taken: &Taken) -> (Value, Option<ByRound>) {
    let title = format!("{}, {}", kind.key(), phase.what());
    let none = &taken.of(Contender::NoVolume).ms;
    let mut json = Map::new();
    for contender in Contender::ALL {
        let outcome = taken.of(contender);
        section.samples(&format!("{title}: {}", contender.what()), "ms", &outcome.ms);
        let mut figures = json!({
            "ms": outcome.ms.summary(), "finished": outcome.finished, "failed": outcome.failed, "hung": outcome.hung,
        });
        if contender != Contender::NoVolume {
            let added = outcome.ms.against(none, |with, without| with - without);
            section.by_round(&format!("{title}: {} added", contender.what()), "ms", added.clone());
            figures["added_ms"] = json!(added);
        }
        if outcome.lost() > 0.0 {
            section.note(format!(
                "{title}: {}: of {} tasks {} failed, {} hung{}",
                contender.what(),
                outcome.finished + outcome.failed + outcome.hung,
                outcome.failed,
                outcome.hung,
                outcome
                    .words
                    .as_ref()
                    .map_or(String::new(), |words| format!(": {words}"))
            ));
        }
        json.insert(contender.key().to_owned(), figures);
    }
    if taken.floor.len() > 0 {
        section.samples(&format!("{title}: floor"), "ms", &taken.floor);
        json.insert("floor_ms".to_owned(), json!(taken.floor.summary()));
        json.insert("floor_is".to_owned(), json!(phase.floor()));
        let least = ratio_to_peer(taken, &taken.floor.medians());
        section.by_round(&format!("{title}: ratio_added of the floor"), "x", least.clone());
        json.insert("ratio_floor".to_owned(), json!(least));
    }
    let ratio = ratio_added(taken);
    section.by_round(&format!("{title}: ratio_added"), "x", ratio.clone());
    json.insert("ratio_added".to_owned(), json!(ratio));
    (Value::Object(json), ratio)
}

/// What the module adds over what the peer adds, round by round.
fn ratio_added(taken: &Taken) -> Option<ByRound> {
    let rounds = |contender| taken.of(contender).ms.medians();
    let both = rounds(Contender::NoVolume).into_iter().zip(rounds(Contender::Module));
    let added: Vec<Option<f64>> = both.map(|(none, module)| Some(module? - none?)).collect();
    ratio_to_peer(taken, &added)
}

/// Something that was added over what the peer adds, round by round.
fn ratio_to_peer(taken: &Taken, added: &[Option<f64>]) -> Option<ByRound> {
    let rounds = |contender| taken.of(contender).ms.medians();
    let both = rounds(Contender::NoVolume).into_iter().zip(rounds(Contender::Peer));
    let ratios = both
        .zip(added)
        .filter_map(|((none, peer), added)| Some((*added)? / (peer? - none?)));
    ByRound::of(ratios.collect())
}
