//! The storage takes its time.

use ebs_emulator::{Action, EventKind, FaultRule, Operation};

use super::Act;
use super::job::{audit, signing};
use super::scene::{Scene, attempts};
use crate::demonstration::DemoError;

const VOLUME: &str = "flights-dst";

/// How long the attachment takes: longer than anything else in the act.
const DELAY_MS: u64 = 6_000;

pub(super) struct SlowAttach;

impl Act for SlowAttach {
    fn name(&self) -> &'static str {
        "slow-attach"
    }

    fn what(&self) -> &'static str {
        "the storage takes seconds to attach a volume: the task starts when it is there, and is launched once"
    }

    fn play(&self, scene: &mut Scene) -> Result<(), DemoError> {
        let slow = FaultRule::new(Operation::Attach, Action::Delay { ms: DELAY_MS }).times(1);
        scene.stage().site().storage().fault(&slow)?;
        let run = scene.begin(&signing("unhurried", VOLUME, None, 0))?;
        let report = scene.finish(&run)?;
        let events = scene.stage().site().events()?;
        let attached = events.iter().find(|event| event.kind == EventKind::Attach);
        let took = attached.and_then(|event| event.took_ms).unwrap_or(0.0);
        scene.check(
            took >= DELAY_MS as f64,
            format!("the attachment took {:.1} s", took / 1e3),
        );
        scene.check(attempts(&report, "sign-unhurried") == 1, "the task was launched once");
        let audit = scene.begin(&audit(VOLUME))?;
        scene.finish(&audit)?;
        Ok(())
    }
}
