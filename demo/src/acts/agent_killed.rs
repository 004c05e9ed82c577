//! An agent dies in the middle of an extract, and comes back.

use super::Act;
use super::job::{HoldIn, VerifyOn, etl};
use super::scene::{LIMIT, Scene, attempts};
use crate::demonstration::DemoError;

pub(super) struct AgentKilled;

impl Act for AgentKilled {
    fn name(&self) -> &'static str {
        "agent-killed"
    }

    fn what(&self) -> &'static str {
        "an agent is killed in the middle of extract and started again: the task goes on, its volumes stay mounted"
    }

    fn play(&self, scene: &mut Scene) -> Result<(), DemoError> {
        let go = scene.go();
        let hold = HoldIn {
            step: "extract",
            until: &go,
        };
        let run = scene.begin(&etl(VerifyOn::Another, Some(&hold)))?;
        let caught = scene.catch(&run, "extract")?;
        scene.agent(&caught.host)?.kill()?;
        scene.mark("agent killed");
        scene.see(format!(
            "the agent on {} was killed while {} ran",
            caught.host, caught.task_id
        ));
        // It finishes while there is no agent to tell.
        scene.let_go()?;
        let agent = scene.agent(&caught.host)?;
        agent.start()?;
        agent.wait_registered(LIMIT)?;
        scene.mark("agent is back");
        let report = scene.finish(&run)?;
        scene.check(attempts(&report, "extract") == 1, "extract was launched once");
        Ok(())
    }
}
