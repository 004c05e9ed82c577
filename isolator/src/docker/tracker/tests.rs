//! The end of a container, from what is seen at several moments.

use super::*;

const LAUNCH: Duration = Duration::from_secs(600);
const GRACE: Duration = Duration::from_secs(30);

struct Agent {
    tracker: Tracker,
    now: Instant,
    sight: Sight,
}

fn id() -> ContainerId {
    ContainerId::root("c")
}

fn agent_with(containerizer: Containerizer) -> Agent {
    let now = Instant::now();
    let mut tracker = Tracker::new(LAUNCH, Some(GRACE));
    let (framework, executor) = (Some("F".to_owned()), Some("e".to_owned()));
    let container = Followed::launching("mesos-c", containerizer, framework, executor, now);
    tracker.follow(id(), container);
    tracker.begin_binding(&id(), vec!["/s/data".into()]);
    tracker.bound(&id(), now);
    Agent {
        tracker,
        now,
        sight: Sight::default(),
    }
}

impl Agent {
    fn container(&mut self, state: Option<State>) {
        self.sight.containers = state.into_iter().map(|state| ("mesos-c".to_owned(), state)).collect();
    }

    fn process(&mut self, is_there: bool) {
        self.sight.processes = is_there.then(|| "mesos-c".to_owned()).into_iter().collect();
    }

    fn after(&mut self, seconds: u64) -> Vec<Verdict> {
        self.now += Duration::from_secs(seconds);
        self.tracker.judge(&self.sight, self.now)
    }

    fn ended(&self) -> Vec<Verdict> {
        vec![Verdict::Ended(id(), vec!["/s/data".into()])]
    }
}

#[test]
fn a_container_has_ended_when_docker_says_so_and_its_executor_is_gone() {
    let mut agent = agent_with(Containerizer::Docker);
    agent.process(true);
    assert_eq!(agent.after(1), []);
    agent.container(Some(State::Running));
    assert_eq!(agent.after(1), []);
    agent.container(Some(State::Ended));
    assert_eq!(agent.after(1), [], "its executor could start it again");
    assert!(agent.tracker.is_waiting());
    agent.process(false);
    assert_eq!(agent.after(0), agent.ended());
    assert!(agent.tracker.is_empty());
}

#[test]
fn while_mesos_fetches_and_pulls_nothing_is_seen_and_nothing_has_ended() {
    let mut agent = agent_with(Containerizer::Docker);
    for _ in 0..10 {
        assert_eq!(agent.after(30), []);
    }
    agent.tracker.task_ended("F", "another");
    agent.tracker.task_ended("G", "e");
    assert_eq!(agent.after(30), []);
    agent.tracker.task_ended("F", "e");
    assert_eq!(agent.after(1), []);
    assert_eq!(agent.after(2), agent.ended());
}

#[test]
fn a_launch_of_which_mesos_never_tells_the_end_is_over_after_the_time_that_it_may_take() {
    let mut agent = agent_with(Containerizer::DockerExecutor);
    assert_eq!(agent.after(600), []);
    assert_eq!(agent.after(1), []);
    assert_eq!(agent.after(2), agent.ended());
}

#[test]
fn the_end_of_one_task_is_not_the_end_of_an_executor_in_docker() {
    let mut agent = agent_with(Containerizer::DockerExecutor);
    agent.tracker.task_ended("F", "e");
    for _ in 0..5 {
        assert_eq!(agent.after(5), []);
    }
    agent.tracker.executor_ended("F", "e");
    assert_eq!(agent.after(0), []);
    assert_eq!(agent.after(2), agent.ended());
}

#[test]
fn what_mesos_says_does_not_end_a_container_that_runs() {
    let mut agent = agent_with(Containerizer::Docker);
    agent.container(Some(State::Running));
    agent.process(true);
    agent.tracker.task_ended("F", "e");
    agent.tracker.executor_ended("F", "e");
    for _ in 0..5 {
        assert_eq!(agent.after(600), []);
    }
}

#[test]
fn a_container_without_its_executor_is_stopped_after_the_grace_period_and_keeps_its_volumes_until_it_has_ended() {
    let mut agent = agent_with(Containerizer::Docker);
    agent.container(Some(State::Running));
    agent.process(true);
    assert_eq!(agent.after(1), []);
    agent.process(false);
    assert_eq!(agent.after(1), []);
    assert_eq!(agent.after(29), []);
    let stop = [Verdict::Stop("mesos-c".into())];
    assert_eq!(agent.after(1), stop);
    assert_eq!(agent.after(29), [], "docker stop takes a while");
    assert_eq!(agent.after(1), stop, "it is asked again");
    agent.container(Some(State::Ended));
    assert_eq!(agent.after(0), agent.ended());
}

#[test]
fn an_executor_inside_its_container_is_no_orphan() {
    let mut agent = agent_with(Containerizer::DockerExecutor);
    agent.container(Some(State::Running));
    for _ in 0..5 {
        assert_eq!(agent.after(600), []);
    }
    agent.tracker.executor_ended("F", "e");
    assert_eq!(agent.after(1), []);
    assert_eq!(agent.after(30), [Verdict::Stop("mesos-c".into())]);
}

#[test]
fn a_recorded_container_that_is_gone_is_looked_at_twice() {
    let mut tracker = Tracker::new(LAUNCH, None);
    let now = Instant::now();
    let target: PathBuf = "/w/slaves/S/frameworks/F/executors/e/runs/c/data".into();
    tracker.follow(
        id(),
        Followed::recorded(&id(), Containerizer::Docker, vec![target.clone()], now),
    );
    let nothing = Sight::default();
    assert_eq!(tracker.judge(&nothing, now), []);
    assert!(tracker.is_waiting());
    let later = now + SECOND_LOOK;
    assert_eq!(tracker.judge(&nothing, later), [Verdict::Ended(id(), vec![target])]);
}

#[test]
fn without_a_grace_period_a_container_without_its_executor_runs_for_ever() {
    let mut agent = agent_with(Containerizer::Docker);
    agent.tracker.orphan_grace = None;
    agent.container(Some(State::Running));
    for _ in 0..5 {
        assert_eq!(agent.after(100_000), []);
    }
}

#[test]
fn nothing_ends_while_volumes_are_being_bound() {
    let mut agent = agent_with(Containerizer::Docker);
    agent.tracker.begin_binding(&id(), vec!["/s/data".into()]);
    agent.tracker.executor_ended("F", "e");
    assert_eq!(agent.after(5), []);
    assert_eq!(agent.after(5), []);
    agent.tracker.bound(&id(), agent.now);
    assert_eq!(agent.after(0), []);
    assert_eq!(agent.after(2), agent.ended());
    assert!(
        !agent.tracker.begin_binding(&id(), Vec::new()),
        "it is not followed any more"
    );
}

#[test]
fn a_container_that_lost_a_volume_is_stopped_at_once() {
    let mut agent = agent_with(Containerizer::DockerExecutor);
    agent.container(Some(State::Running));
    assert_eq!(agent.after(1), []);
    agent.tracker.condemn(&id());
    assert_eq!(agent.after(0), [Verdict::Stop("mesos-c".into())]);
    assert_eq!(agent.after(0), []);
}
