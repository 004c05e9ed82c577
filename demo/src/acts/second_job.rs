//! Two jobs want the same volume.

use super::Act;
use super::job::{audit, signing};
use super::scene::Scene;
use crate::demonstration::DemoError;

const VOLUME: &str = "flights-dst";

pub(super) struct SecondJob;

impl Act for SecondJob {
    fn name(&self) -> &'static str {
        "second-job"
    }

    fn what(&self) -> &'static str {
        "a second job wants a volume that a task of the first one has: it waits, says for whom, and has its turn"
    }

    fn play(&self, scene: &mut Scene) -> Result<(), DemoError> {
        let go = scene.go();
        let first = scene.begin(&signing("first", VOLUME, Some(&go), 0))?;
        let caught = scene.catch(&first, "sign-first")?;
        let second = scene.begin(&signing("second", VOLUME, None, 0))?;
        let holder = format!("is IN_USE by task {}", caught.task_id);
        let why = scene.why(&second, "sign-second", &[&holder])?;
        scene.see(format!("explain: {why}"));
        scene.let_go()?;
        scene.mark("first is let go");
        for run in [first, second] {
            scene.finish(&run)?;
        }
        let audit = scene.begin(&audit(VOLUME))?;
        scene.finish(&audit)?;
        Ok(())
    }
}
