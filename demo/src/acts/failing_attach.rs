//! The storage fails.

use ebs_emulator::{Action, FaultRule, Operation};

use super::Act;
use super::job::{audit, signing};
use super::scene::{Scene, find};
use crate::demonstration::DemoError;

const VOLUME: &str = "flights-dst";
const TIMES: u32 = 2;
const WORDS: &str = "InternalError: An internal error has occurred";

pub(super) struct FailingAttach;

impl Act for FailingAttach {
    fn name(&self) -> &'static str {
        "failing-attach"
    }

    fn what(&self) -> &'static str {
        "the storage fails to attach a volume twice: each launch fails with the storage's words, and the third one runs"
    }

    fn play(&self, scene: &mut Scene) -> Result<(), DemoError> {
        let message = WORDS.to_owned();
        let failing = FaultRule::new(Operation::Attach, Action::Fail { message }).times(TIMES);
        scene.stage().site().storage().fault(&failing)?;
        let run = scene.begin(&signing("stubborn", VOLUME, None, TIMES))?;
        let report = scene.finish(&run)?;
        let attempts = find(&report, "sign-stubborn")
            .map(|task| &task.attempts[..])
            .unwrap_or_default();
        let words = attempts.iter().filter_map(|attempt| attempt.message.as_deref());
        let told = words.filter(|message| message.contains(WORDS)).count();
        scene.check(
            (attempts.len(), told) == (3, 2),
            format!(
                "{} launches, {told} of them failed with the storage's words",
                attempts.len()
            ),
        );
        if let Some(message) = attempts.first().and_then(|attempt| attempt.message.clone()) {
            scene.see(format!("said: {message}"));
        }
        let audit = scene.begin(&audit(VOLUME))?;
        scene.finish(&audit)?;
        Ok(())
    }
}
