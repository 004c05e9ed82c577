//! A label is wrong.

use ebs_emulator::EventKind;
use testbed::{Framework, Job};

use super::Act;
use super::job::{audit, signing};
use super::scene::{LIMIT, Scene};
use crate::demonstration::DemoError;

const VOLUME: &str = "flights-dst";

pub(super) struct BadLabel;

impl Act for BadLabel {
    fn name(&self) -> &'static str {
        "bad-label"
    }

    fn what(&self) -> &'static str {
        "a volume's mode is misspelled: the scheduler refuses the job with the line, and a framework that does not look \
         has its task refused by the agent, with the label named; the storage is never asked"
    }

    fn play(&self, scene: &mut Scene) -> Result<(), DemoError> {
        let good = signing("careless", VOLUME, None, 0);
        let bad = good.replace(
            &format!("{{data: {VOLUME}}}"),
            &format!("{{data: {{volume: {VOLUME}, mode: rx}}}}"),
        );
        match scene.begin(&bad) {
            Ok(run) => scene.problem(format!("the scheduler has taken the job and begun {run}")),
            Err(DemoError::Refused(words)) => {
                scene.check(words.contains("rx"), format!("the scheduler refuses the job: {words}"));
            }
            Err(error) => return Err(error),
        }
        let id = scene.volume(VOLUME)?;
        let framework = Framework::subscribe(&scene.stage().site().cluster().master().address())?;
        let task = framework.launch(
            Job::shell("true")
                .label("volume.data", id.as_str())
                .label("volume.data.mode", "rx")
                .items("ebsvolumes", [id.as_str()]),
        );
        let end = task.wait_for_end(LIMIT)?;
        let words = end.message.unwrap_or_default();
        let named = words.contains("volume.data.mode") && words.contains("rx");
        scene.check(named, format!("the agent refuses the task, {}: {words}", end.state));
        drop(framework);
        let events = scene.stage().site().events()?;
        let mounts = events.iter().filter(|event| event.kind == EventKind::Request).count();
        scene.check(mounts == 0, "the storage was not asked for anything");
        // Spelled right, it runs.
        let run = scene.begin(&good)?;
        scene.finish(&run)?;
        let audit = scene.begin(&audit(VOLUME))?;
        scene.finish(&audit)?;
        Ok(())
    }
}
