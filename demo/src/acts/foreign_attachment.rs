//! Somebody outside the cluster has the volume.

use super::Act;
use super::job::{audit, signing};
use super::scene::Scene;
use crate::demonstration::DemoError;

const VOLUME: &str = "flights-dst";
const STRANGER: &str = "i-0f0f0f0f0f0f0f0f0";

pub(super) struct ForeignAttachment;

impl Act for ForeignAttachment {
    fn name(&self) -> &'static str {
        "foreign-attachment"
    }

    fn what(&self) -> &'static str {
        "an instance outside the cluster has the volume attached: the task waits, says who has it, and has its turn"
    }

    fn play(&self, scene: &mut Scene) -> Result<(), DemoError> {
        scene.stage().site().storage().attach_foreign(VOLUME, STRANGER)?;
        scene.until_claims_are(&[VOLUME], "ATTACHED")?;
        let run = scene.begin(&signing("patient", VOLUME, None, 0))?;
        let why = scene.why(&run, "sign-patient", &["is attached to", STRANGER])?;
        scene.see(format!("explain: {why}"));
        scene.stage().site().storage().detach(VOLUME)?;
        scene.mark("stranger lets go");
        scene.see(format!("{STRANGER} has let go"));
        scene.finish(&run)?;
        let audit = scene.begin(&audit(VOLUME))?;
        scene.finish(&audit)?;
        Ok(())
    }
}
