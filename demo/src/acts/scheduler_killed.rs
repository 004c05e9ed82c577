//! The scheduler dies around the moment in which it launches a task.

use mesos_http::operator::Tasks;

use super::Act;
use super::job::{VerifyOn, etl};
use super::scene::{LIMIT, Scene, attempts};
use crate::demonstration::DemoError;

/// Killed when the launch is on disk and the master has not heard of it.
pub(super) const BEFORE_ACCEPT: SchedulerKilled = SchedulerKilled {
    name: "scheduler-killed-before-accept",
    what: "the scheduler is killed when a launch is on its disk and not yet with the master: it is made once, later",
    point: "accept-begin:2",
    reached_master: false,
};

/// Killed when the master has the launch, and the scheduler has heard nothing of it.
pub(super) const AFTER_ACCEPT: SchedulerKilled = SchedulerKilled {
    name: "scheduler-killed-after-accept",
    what: "the scheduler is killed when the master has a launch and it has not heard of it: the task is taken over",
    point: "accept-end:2",
    reached_master: true,
};

pub(super) struct SchedulerKilled {
    name: &'static str,
    what: &'static str,
    /// The second launch of all: that of extract.
    point: &'static str,
    reached_master: bool,
}

impl Act for SchedulerKilled {
    fn name(&self) -> &'static str {
        self.name
    }

    fn what(&self) -> &'static str {
        self.what
    }

    fn crash_at(&self) -> Option<&'static str> {
        Some(self.point)
    }

    fn play(&self, scene: &mut Scene) -> Result<(), DemoError> {
        let run = scene.begin(&etl(VerifyOn::Another, None))?;
        scene.stage().restart_service(LIMIT)?;
        scene.mark("scheduler is back");
        let before = scene.stage().service().run(&run)?;
        scene.check(
            attempts(&before, "extract") == 1,
            "the launch of extract was on disk when the scheduler came back",
        );
        let report = scene.finish(&run)?;
        let launches: Vec<String> = launched(&scene.stage().site().operator()?.tasks()?);
        let of_extract = launches.iter().filter(|id| id.contains(".extract.")).count();
        scene.check(of_extract == 1, "the master has launched extract once");
        let expected = if self.reached_master { 1 } else { 2 };
        scene.check(
            attempts(&report, "extract") == expected,
            match self.reached_master {
                true => "the scheduler has it as its first attempt",
                false => "the scheduler has it as its second attempt, the first one never began",
            },
        );
        let mut once = launches.clone();
        once.sort_unstable();
        once.dedup();
        scene.check(
            once.len() == launches.len(),
            format!("{} tasks, each launched once", launches.len()),
        );
        Ok(())
    }
}

fn launched(tasks: &Tasks) -> Vec<String> {
    let all = tasks.tasks.iter().chain(&tasks.completed_tasks);
    all.map(|task| task.task_id.0.clone()).collect()
}
