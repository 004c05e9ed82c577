//! A custom executor with several tasks, which are processes in its own container.

use testbed::{Job, custom_executor};
use tests::{finished, running};

use crate::inside::{LOOK, Place, contained};

/// Mesos asks the isolators once, when it makes the executor's container, and tells them the executor's labels. Of a task that
/// is given to the running executor they hear only which resources the container holds from then on.
#[test]
fn the_executors_labels_count_and_those_of_its_tasks_first_or_later_do_nothing() {
    let place = Place::start();
    let agent = place.site.agent(0);
    let volumes = ["executor", "first", "later"].map(|name| place.site.volume(name));
    let mut executor = custom_executor(&agent.launcher_dir().join("mesos-default-executor"));
    executor.container = Some(contained(false));
    executor.labels.push("volume.data", &volumes[0]);
    let id = executor.executor_id.clone();

    let command = "until [ -e data/stop ]; do sleep 0.05; done; [ ! -e first ]";
    let first = Job::shell(command).label("volume.first", &volumes[1]);
    let first = place.tasks.launch(agent, first.executor(executor.clone()));
    running(&first);
    let later = Job::shell(format!("{LOOK} && [ ! -e later ] && touch data/stop"))
        .label("volume.later", &volumes[2])
        .items("ebsvolumes", ["vol-b"]);
    let later = place.tasks.launch(agent, later.executor(executor));
    finished(&later);
    finished(&first);

    let sandbox = place.sandbox(id.as_str());
    let seen: Vec<String> = place.seen(&sandbox).into_iter().map(|seen| seen.target).collect();
    assert_eq!(seen, [sandbox.join("data").display().to_string()]);
    place.site.wait_until_nothing_is_left();
    assert_eq!(place.site.steps(&volumes[0]).len(), 4);
    assert_eq!(place.site.steps(&volumes[1]), [""; 0]);
    assert_eq!(place.site.steps(&volumes[2]), [""; 0]);
    let log = agent.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("no label names")).collect();
    let [line] = told.as_slice() else {
        panic!("{told:?}\n{log}")
    };
    assert!(line.contains("vol-b") && line.contains("executor"), "{line}");
}

#[test]
fn an_executor_that_is_launched_with_a_claim_and_no_label_runs_without_a_volume_and_the_log_says_so() {
    let place = Place::start();
    let agent = place.site.agent(0);
    let executor = custom_executor(&agent.launcher_dir().join("mesos-default-executor"));
    let job = Job::shell("[ ! -e data ]").label("volume.data", place.site.volume("v"));
    let task = place
        .tasks
        .launch(agent, job.items("ebsvolumes", ["vol-a"]).executor(executor));
    finished(&task);
    let log = agent.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("no label names")).collect();
    let [line] = told.as_slice() else {
        panic!("{told:?}\n{log}")
    };
    assert!(line.contains("vol-a"), "{line}");
}
