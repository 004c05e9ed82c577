//! Only agents of the wrong zone offer anything.

use ebs_emulator::EventKind;

use super::Act;
use super::job::{audit, signing};
use super::scene::{LIMIT, Scene};
use crate::demonstration::DemoError;
use crate::demonstration::site::{OTHER_ZONE, Plan, ZONE};

const VOLUME: &str = "flights-dst";

pub(super) struct WrongZone;

impl Act for WrongZone {
    fn name(&self) -> &'static str {
        "wrong-zone"
    }

    fn what(&self) -> &'static str {
        "only an agent in another zone than the volume's offers anything: the task waits and says so, and nothing is tried"
    }

    fn plan(&self) -> Plan {
        Plan {
            idle: vec!["host-a", "host-b"],
            ..Plan::default()
        }
    }

    fn play(&self, scene: &mut Scene) -> Result<(), DemoError> {
        let run = scene.begin(&signing("zoned", VOLUME, None, 0))?;
        let why = scene.why(&run, "sign-zoned", &[OTHER_ZONE, ZONE])?;
        scene.see(format!("explain: {why}"));
        let tried = scene.stage().site().events()?;
        let tried = tried.iter().filter(|event| event.kind == EventKind::Request).count();
        scene.check(tried == 0, "the storage was not asked for anything");
        let agent = scene.agent("host-a")?;
        agent.start()?;
        agent.wait_registered(LIMIT)?;
        scene.mark("agent in the zone joins");
        scene.see(format!("an agent in {ZONE} has joined"));
        scene.finish(&run)?;
        let audit = scene.begin(&audit(VOLUME))?;
        scene.finish(&audit)?;
        Ok(())
    }
}
