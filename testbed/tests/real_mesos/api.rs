//! The HTTP clients of `mesos-http` against a real master and agent.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use mesos_http::operator::{self, ClusterEvent, Watch};
use mesos_http::resources::{Demand, Resources};
use mesos_http::scheduler::{Accept, Call, Config, Connection, Event, Notice, Operation};
use mesos_http::types::{
    CommandInfo, FrameworkId, FrameworkInfo, Offer, Reason, Reservation, ReservationKind, TaskInfo, TaskState,
    TaskStatus,
};
use mesos_http::{Endpoint, Error};
use testbed::{Agent, AgentSpec, Cluster, Framework, Job, MasterSpec};

use crate::support::{LIMIT, cluster};

fn operator(cluster: &Cluster) -> operator::Master {
    operator::Master::new(cluster.master().url().parse().unwrap(), LIMIT)
}

fn operator_of(agent: &Agent) -> operator::Agent {
    operator::Agent::new(agent.url().parse().unwrap(), LIMIT)
}

fn subscribe(cluster: &Cluster, framework: FrameworkInfo) -> Connection {
    Connection::open(Config::new(&cluster.master().address(), framework).unwrap())
}

/// Takes notices until one is what is wanted.
#[track_caller]
fn wait_for<T>(connection: &Connection, mut wanted: impl FnMut(Notice) -> Option<T>) -> T {
    loop {
        let notice = connection.notices().recv_timeout(LIMIT).expect("no such notice came");
        let shown = format!("{notice:?}");
        match notice {
            Notice::Failed(error) => match wanted(Notice::Failed(error)) {
                Some(found) => return found,
                None => panic!("{shown}"),
            },
            notice => {
                if let Some(found) = wanted(notice) {
                    return found;
                }
            }
        }
    }
}

fn connected(connection: &Connection) -> FrameworkId {
    wait_for(connection, |notice| match notice {
        Notice::Connected(subscribed) => Some(subscribed.framework_id),
        _ => None,
    })
}

fn offer(connection: &Connection) -> Offer {
    wait_for(connection, |notice| match notice {
        Notice::Event(Event::Offers(mut offers)) => offers.pop(),
        _ => None,
    })
}

fn update(connection: &Connection) -> TaskStatus {
    wait_for(connection, |notice| match notice {
        Notice::Event(Event::Update(status)) => Some(status),
        _ => None,
    })
}

fn failure(connection: &Connection) -> Error {
    wait_for(connection, |notice| match notice {
        Notice::Failed(error) => Some(error),
        _ => None,
    })
}

#[track_caller]
fn watch_for<T>(watch: &Watch, mut wanted: impl FnMut(ClusterEvent) -> Option<T>) -> T {
    loop {
        let event = watch.events().recv_timeout(LIMIT).expect("no such event came");
        if let Some(found) = wanted(event) {
            return found;
        }
    }
}

#[test]
fn an_operator_sees_agents_frameworks_tasks_and_containers() {
    let spec = AgentSpec::default()
        .volumes(["vol-1", "vol-2"])
        .attribute("rack", "r7")
        .zone("a");
    let cluster = cluster().agent(spec).start().unwrap();
    let framework = Framework::subscribe(&cluster.master().address()).unwrap();
    let job = Job::shell("sleep 1000")
        .label("volume.data", "vol-1")
        .items("ebsvolumes", ["vol-1"]);
    let task = framework.launch(job);
    task.wait_for_running(LIMIT).unwrap();

    let master = operator(&cluster);
    assert!(master.is_healthy().unwrap());
    assert_eq!(master.version().unwrap().version, cluster.install().version());
    let agents = master.agents().unwrap();
    let [agent] = &agents[..] else { panic!("{agents:?}") };
    assert!(agent.active);
    assert_eq!(agent.agent_info.id, task.agent_id());
    let ids = |resources: &[_]| {
        let resources: Resources = resources.iter().cloned().collect();
        resources
            .items("ebsvolumes")
            .into_iter()
            .map(str::to_owned)
            .collect::<BTreeSet<String>>()
    };
    assert_eq!(
        ids(&agent.total_resources),
        BTreeSet::from(["vol-1".into(), "vol-2".into()])
    );
    assert_eq!(ids(&agent.allocated_resources), BTreeSet::from(["vol-1".into()]));
    let frameworks = master.frameworks().unwrap();
    assert_eq!(frameworks[0].framework_info.id.as_ref(), Some(framework.id()));
    assert!(frameworks[0].connected && frameworks[0].active);
    let tasks = master.tasks().unwrap();
    let [known] = &tasks.tasks[..] else { panic!("{tasks:?}") };
    assert_eq!((&known.task_id, &known.state), (task.id(), &TaskState::Running));
    assert_eq!(known.labels.get("volume.data"), Some("vol-1"));
    assert_eq!(ids(&known.resources), BTreeSet::from(["vol-1".into()]));

    let agent = operator_of(cluster.agent(0));
    assert!(agent.is_healthy().unwrap());
    assert_eq!(agent.version().unwrap().version, cluster.install().version());
    let containers = agent.containers().unwrap().containers;
    let [container] = &containers[..] else {
        panic!("{containers:?}")
    };
    assert_eq!(
        container.executor_id.as_ref().map(|id| id.as_str()),
        Some(task.id().as_str())
    );
    drop(framework);
    cluster.tear_down().unwrap();
}

#[test]
fn a_watch_begins_with_a_snapshot_and_follows_every_task() {
    let cluster = cluster().agent(AgentSpec::default()).start().unwrap();
    let watch = operator(&cluster).watch();
    let snapshot = watch_for(&watch, |event| match event {
        ClusterEvent::Snapshot(snapshot) => Some(snapshot),
        _ => None,
    });
    assert_eq!((snapshot.agents.len(), snapshot.tasks.tasks.len()), (1, 0));

    let framework = Framework::subscribe(&cluster.master().address()).unwrap();
    let task = framework.launch(Job::shell("true").label("volume.data", "vol-1"));
    let added = watch_for(&watch, |event| match event {
        ClusterEvent::TaskAdded(task) => Some(task),
        _ => None,
    });
    assert_eq!((&added.task_id, &added.framework_id), (task.id(), framework.id()));
    assert_eq!(added.labels.get("volume.data"), Some("vol-1"));
    watch_for(&watch, |event| match event {
        ClusterEvent::TaskUpdated { state, .. } => (state == TaskState::Finished).then_some(()),
        _ => None,
    });
    let id = framework.id().clone();
    drop(framework);
    watch_for(&watch, |event| match event {
        ClusterEvent::FrameworkRemoved(removed) => (removed.id.as_ref() == Some(&id)).then_some(()),
        _ => None,
    });
    cluster.tear_down().unwrap();
}

#[test]
fn an_agent_marked_gone_takes_its_tasks_with_it() {
    let cluster = cluster().agents(2, &AgentSpec::default()).start().unwrap();
    let framework = Framework::subscribe(&cluster.master().address()).unwrap();
    let agent = cluster.agent(1);
    let task = framework.launch(Job::shell("sleep 1000").on(agent.id().unwrap()));
    task.wait_for_running(LIMIT).unwrap();
    let agent_id = task.agent_id().unwrap();
    agent.kill().unwrap();

    operator(&cluster).mark_agent_gone(&agent_id).unwrap();

    let end = task.wait_for_end(LIMIT).unwrap();
    assert_eq!(end.state, TaskState::GoneByOperator);
    assert_eq!(end.reason, Some(Reason::AgentRemovedByOperator));
    drop(framework);
    cluster.tear_down().unwrap();
}

#[test]
fn a_scheduler_that_comes_back_elsewhere_takes_the_framework_over() {
    let cluster = cluster().start().unwrap();
    let first = subscribe(&cluster, FrameworkInfo::new("f", "root"));
    let id = connected(&first);
    let second = subscribe(&cluster, FrameworkInfo::new("f", "root").with_id(Some(id.clone())));
    assert_eq!(connected(&second), id);
    let error = failure(&first);
    assert!(matches!(error, Error::TakenOver(_)), "{error}");
    second.call(&Call::Teardown).unwrap();
    cluster.tear_down().unwrap();
}

#[test]
fn a_framework_that_was_torn_down_can_never_come_back() {
    let cluster = cluster().start().unwrap();
    let connection = subscribe(&cluster, FrameworkInfo::new("f", "root"));
    let id = connected(&connection);
    operator(&cluster).teardown(&id).unwrap();
    let error = failure(&connection);
    assert!(matches!(error, Error::FrameworkRemoved(_)), "{error}");
    let again = subscribe(&cluster, FrameworkInfo::new("f", "root").with_id(Some(id)));
    let error = failure(&again);
    assert!(matches!(error, Error::FrameworkRemoved(_)), "{error}");
    cluster.tear_down().unwrap();
}

#[test]
fn a_subscription_the_master_refuses_fails_with_its_words() {
    let cluster = cluster().start().unwrap();
    let connection = subscribe(&cluster, FrameworkInfo::new("f", "root").with_roles(["-bad"]));
    let error = failure(&connection);
    assert!(error.to_string().contains("-bad"), "{error}");
    cluster.tear_down().unwrap();
}

#[test]
fn a_master_that_wants_credentials_gets_them() {
    let folder = tempfile::tempdir().unwrap();
    let credentials = folder.path().join("credentials");
    fs::write(
        &credentials,
        r#"{"credentials": [{"principal": "etl", "secret": "s3cret"}]}"#,
    )
    .unwrap();
    let master = MasterSpec::default()
        .flag("authenticate_http_frameworks", "true")
        .flag("http_framework_authenticators", "basic")
        .flag("credentials", credentials.to_str().unwrap());
    let cluster = cluster().master(master).start().unwrap();
    let framework = FrameworkInfo {
        principal: Some("etl".into()),
        ..FrameworkInfo::new("f", "root")
    };
    let config = Config::new(&cluster.master().address(), framework).unwrap();

    let refused = Connection::open(config.clone());
    assert!(matches!(failure(&refused), Error::Unauthenticated { .. }));
    let credential = Some(("etl".to_owned(), "s3cret".to_owned()));
    let accepted = Connection::open(Config { credential, ..config });
    connected(&accepted);
    accepted.call(&Call::Teardown).unwrap();
    cluster.tear_down().unwrap();
}

#[test]
fn an_offer_that_was_used_drops_the_next_task() {
    let cluster = cluster().agent(AgentSpec::default()).start().unwrap();
    let connection = subscribe(&cluster, FrameworkInfo::new("f", "root"));
    connected(&connection);
    let mut offer = offer(&connection);
    let share = offer
        .resources
        .take(&Demand::new().scalar("cpus", 0.1).scalar("mem", 32.0))
        .unwrap();
    connection.call(&Call::decline([offer.id.clone()], 3600.0)).unwrap();
    let task = TaskInfo::command("late", offer.agent_id, CommandInfo::shell("true"), share);
    connection.call(&Call::launch(offer.id, vec![task])).unwrap();
    let dropped = update(&connection);
    assert_eq!(
        (dropped.state, dropped.reason),
        (TaskState::Dropped, Some(Reason::InvalidOffers))
    );
    assert_eq!(dropped.uuid, None, "the master's own updates must not be acknowledged");
    connection.call(&Call::Teardown).unwrap();
    cluster.tear_down().unwrap();
}

#[test]
fn reconciling_tells_the_state_of_known_and_unknown_tasks() {
    let cluster = cluster().agent(AgentSpec::default()).start().unwrap();
    let framework = Framework::subscribe(&cluster.master().address()).unwrap();
    let task = framework.launch(Job::shell("sleep 1000"));
    task.wait_for_running(LIMIT).unwrap();
    let unknown = framework.task("never-launched");

    task.reconcile().unwrap();
    unknown.reconcile().unwrap();

    let is_answer = |status: &TaskStatus| status.reason == Some(Reason::Reconciliation);
    let answer = task.wait_for("be reconciled", LIMIT, is_answer).unwrap();
    assert_eq!((answer.state, answer.uuid), (TaskState::Running, None));
    let answer = unknown.wait_for("be reconciled", LIMIT, is_answer).unwrap();
    assert_eq!((answer.state, answer.uuid), (TaskState::Unknown, None));
    drop(framework);
    cluster.tear_down().unwrap();
}

#[test]
fn a_reserved_item_is_offered_with_its_reservation_and_taken_first() {
    let cluster = cluster()
        .agent(AgentSpec::default().volumes(["vol-1", "vol-2"]))
        .start()
        .unwrap();
    let framework = FrameworkInfo {
        principal: Some("etl".into()),
        ..FrameworkInfo::new("f", "root").with_roles(["etl"])
    };
    let connection = subscribe(&cluster, framework);
    connected(&connection);
    let mut offered = offer(&connection);
    let item = offered
        .resources
        .take(&Demand::new().items("ebsvolumes", ["vol-1"]))
        .unwrap();
    let reservation = Reservation {
        kind: Some(ReservationKind::Dynamic),
        role: Some("etl".into()),
        principal: Some("etl".into()),
        labels: [("owner", "p1")].into_iter().collect(),
    };
    let reserved = item.into_iter().map(|mut resource| {
        resource.reservations.push(reservation.clone());
        resource
    });
    let accept = Accept {
        offer_ids: vec![offered.id],
        operations: vec![Operation::Reserve(reserved.collect())],
        filters: None,
    };
    connection.call(&Call::Accept(accept)).unwrap();
    connection.call(&Call::Revive { roles: vec![] }).unwrap();
    let mut offered = wait_for(&connection, |notice| match notice {
        Notice::Event(Event::Offers(offers)) => offers
            .into_iter()
            .find(|offer| offer.resources.iter().any(|r| !r.reservations.is_empty())),
        _ => None,
    });
    let both = Demand::new().items("ebsvolumes", ["vol-1", "vol-2"]);
    let taken = offered.resources.take(&both).unwrap();
    let by_reservation: Vec<(Vec<Reservation>, Vec<String>)> = taken
        .into_iter()
        .map(|r| {
            (
                r.reservations.clone(),
                r.value.as_set().unwrap().iter().cloned().collect(),
            )
        })
        .collect();
    assert_eq!(
        by_reservation,
        [
            (vec![reservation], vec!["vol-1".to_owned()]),
            (vec![], vec!["vol-2".to_owned()])
        ]
    );
    connection.call(&Call::Teardown).unwrap();
    cluster.tear_down().unwrap();
}

#[test]
fn a_dead_master_is_found_again_by_its_list_of_addresses() {
    let cluster = cluster().start().unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let masters = format!("{nobody},{}", cluster.master().address());
    let connection = Connection::open(Config::new(&masters, FrameworkInfo::new("f", "root")).unwrap());
    let id = connected(&connection);
    cluster.master().restart().unwrap();
    assert_eq!(connected(&connection), id);
    connection.call(&Call::Teardown).unwrap();
    cluster.tear_down().unwrap();
}

#[test]
fn a_call_to_an_address_without_a_master_says_so() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let endpoint: Endpoint = nobody.to_string().parse().unwrap();
    let error = operator::Master::new(endpoint, Duration::from_secs(5))
        .version()
        .unwrap_err();
    assert!(matches!(&error, Error::NotListening { .. }), "{error}");
    assert_eq!(error.to_string(), format!("nothing listens on {nobody}"));
}
