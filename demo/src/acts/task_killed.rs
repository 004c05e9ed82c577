//! A task dies in the middle of a load.

use rustix::process::{Pid, Signal, kill_process};

use super::Act;
use super::job::{HoldIn, VerifyOn, etl};
use super::scene::{Scene, attempts};
use crate::demonstration::DemoError;

pub(super) struct TaskKilled;

impl Act for TaskKilled {
    fn name(&self) -> &'static str {
        "task-killed"
    }

    fn what(&self) -> &'static str {
        "a task is killed in the middle of load: it is run again, and what it had begun is not there twice"
    }

    fn play(&self, scene: &mut Scene) -> Result<(), DemoError> {
        let go = scene.go();
        let hold = HoldIn {
            step: "load",
            until: &go,
        };
        let run = scene.begin(&etl(VerifyOn::Another, Some(&hold)))?;
        let caught = scene.catch(&run, "load")?;
        let pid = process_of(scene, &caught.host)?;
        kill_process(pid, Signal::KILL).map_err(|errno| DemoError::io("kill", "load")(errno.into()))?;
        scene.mark("load killed");
        scene.see(format!(
            "{} was killed on {} with its transaction open",
            caught.task_id, caught.host
        ));
        scene.let_go()?;
        let report = scene.finish(&run)?;
        scene.check(attempts(&report, "load") == 2, "load was run again, once");
        Ok(())
    }
}

/// The program of the step, among the processes of its agent.
fn process_of(scene: &Scene, host: &str) -> Result<Pid, DemoError> {
    let is_load = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.starts_with(b"flights-etl\0load\0")
    };
    let found = scene.agent(host)?.container_processes().into_iter().find(is_load);
    let pid = found.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    pid.ok_or_else(|| DemoError::Refused(format!("no load runs on {host}")))
}
