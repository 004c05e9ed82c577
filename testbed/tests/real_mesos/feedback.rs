//! What a scheduler may ask for beyond launches: operations with feedback, offers kept back, maintenance told ahead; and the
//! executor API by a domain socket.

use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use mesos_http::Endpoint;
use mesos_http::operator::{self, ClusterEvent};
use mesos_http::resources::Demand;
use mesos_http::scheduler::{Accept, Call, Config, Connection, Event, Notice, Operation, OperationReference};
use mesos_http::types::{
    AgentConstraint, CommandInfo, FrameworkInfo, Offer, OfferConstraints, OperationState, OperationStatus, Reservation,
    ReservationKind, TaskInfo, TaskState,
};
use serde_json::json;
use testbed::{AgentSpec, Framework, Job};

use crate::support::{LIMIT, cluster, wait_until};

#[track_caller]
fn wait_for<T>(connection: &Connection, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
    loop {
        match connection.notices().recv_timeout(LIMIT).expect("no such event came") {
            Notice::Event(event) => {
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
            Notice::Failed(error) => panic!("{error}"),
            _ => {}
        }
    }
}

fn offer(connection: &Connection) -> Offer {
    wait_for(connection, |event| match event {
        Event::Offers(mut offers) => offers.pop(),
        _ => None,
    })
}

fn operation_update(connection: &Connection) -> OperationStatus {
    wait_for(connection, |event| match event {
        Event::OperationUpdate(status) => Some(status),
        _ => None,
    })
}

#[test]
fn a_reservation_with_an_id_tells_what_became_of_it() {
    let cluster = cluster()
        .agent(AgentSpec::default().volumes(["vol-1"]))
        .start()
        .unwrap();
    let framework = FrameworkInfo {
        principal: Some("etl".into()),
        ..FrameworkInfo::new("f", "root").with_roles(["etl"])
    };
    let connection = Connection::open(Config::new(&cluster.master().address(), framework).unwrap());
    let mut offered = offer(&connection);
    let item = offered
        .resources
        .take(&Demand::new().items("ebsvolumes", ["vol-1"]))
        .unwrap();
    let reservation = Reservation {
        kind: Some(ReservationKind::Dynamic),
        role: Some("etl".into()),
        principal: Some("etl".into()),
        labels: Default::default(),
    };
    let reserved = item.into_iter().map(|mut resource| {
        resource.reservations.push(reservation.clone());
        resource
    });
    let operation = Operation::WithFeedback {
        id: "reserve-1".into(),
        operation: Box::new(Operation::Reserve(reserved.collect())),
    };
    let accept = Accept {
        offer_ids: vec![offered.id],
        operations: vec![operation],
        filters: None,
    };
    connection.call(&Call::Accept(accept)).unwrap();

    let update = operation_update(&connection);
    assert_eq!(update.operation_id, Some("reserve-1".into()));
    assert_eq!(update.state, OperationState::Finished, "{update:?}");
    connection.call(&Call::acknowledge_operation(&update).unwrap()).unwrap();

    // One that nobody has asked for is unknown, and the answer is not to be acknowledged.
    let operations = vec![OperationReference {
        operation_id: "never-asked-for".into(),
        agent_id: Some(offered.agent_id),
        resource_provider_id: None,
    }];
    connection.call(&Call::ReconcileOperations { operations }).unwrap();
    let answer = operation_update(&connection);
    assert_eq!(answer.operation_id, Some("never-asked-for".into()));
    assert_eq!((answer.state, answer.uuid), (OperationState::Unknown, None));
    connection.call(&Call::Teardown).unwrap();
    cluster.tear_down().unwrap();
}

/// The testbed's agent has no domain socket of its own (the official library does not export what that takes), so socat
/// stands between one and the agent's port; the agent names it to its executors as one that serves it would.
#[test]
fn an_executor_uses_the_domain_socket_that_its_agent_names() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent.sock");
    let variables = json!({"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "MESOS_DOMAIN_SOCKET": socket});
    let spec = AgentSpec::default().flag("executor_environment_variables", variables.to_string());
    let cluster = cluster().agent(spec).start().unwrap();
    let mut relay = Command::new("socat")
        .arg(format!("UNIX-LISTEN:{},fork", socket.display()))
        .arg(format!("TCP:{}", cluster.agent(0).address()))
        .spawn()
        .expect("socat is installed");
    wait_until("the socket is there", || socket.exists());
    let framework = Framework::subscribe(&cluster.master().address()).unwrap();
    let task = framework.launch(Job::shell("sleep 1000"));
    task.wait_for_running(LIMIT).unwrap();

    // The far side of every connection bears the socket's path.
    let connections = fs::read_to_string("/proc/net/unix").unwrap();
    let of_socket: Vec<&str> = connections
        .lines()
        .filter(|line| line.ends_with(socket.to_str().unwrap()))
        .collect();
    let connected = of_socket
        .iter()
        .filter(|line| line.split_whitespace().nth(5) == Some("03"));
    assert!(connected.count() > 0, "{of_socket:?}");

    task.kill().unwrap();
    assert_eq!(task.wait_for_end(LIMIT).unwrap().state, TaskState::Killed);
    drop(framework);
    cluster.tear_down().unwrap();
    relay.kill().unwrap();
    relay.wait().unwrap();
}

fn first_offers(connection: &Connection) -> Vec<Offer> {
    wait_for(connection, |event| match event {
        Event::Offers(offers) => Some(offers),
        _ => None,
    })
}

#[test]
fn a_master_keeps_offers_back_that_are_constrained_away_or_lack_a_volume() {
    let cluster = cluster()
        .agent(AgentSpec::default().zone("a").volumes(["vol-1"]))
        .agent(AgentSpec::default().zone("b").volumes(["vol-2"]))
        .agent(AgentSpec::default().zone("b"))
        .start()
        .unwrap();
    let framework = FrameworkInfo::new("f", "root")
        .with_roles(["etl"])
        .with_least_offer("etl", &[("cpus", 0.1), ("ebsvolumes", 1.0)]);
    let mut config = Config::new(&cluster.master().address(), framework).unwrap();
    config.offer_constraints = Some(OfferConstraints::new().any_of("etl", [[AgentConstraint::zone("b")]]));
    let connection = Connection::open(config);

    let offers = first_offers(&connection);
    let [offer] = &offers[..] else { panic!("{offers:?}") };
    assert_eq!(offer.zone(), Some("b"));
    assert_eq!(offer.resources.items("ebsvolumes"), ["vol-2"].into());
    // The others are not late, but kept back: asked again, the master offers the same.
    connection.call(&Call::decline([offer.id.clone()], 3600.0)).unwrap();
    connection.call(&Call::Revive { roles: vec![] }).unwrap();
    let offers = first_offers(&connection);
    assert_eq!((offers.len(), offers[0].zone()), (1, Some("b")), "{offers:?}");
    connection.call(&Call::Teardown).unwrap();
    cluster.tear_down().unwrap();
}

#[test]
fn a_maintenance_comes_as_an_inverse_offer_and_is_answered() {
    let cluster = cluster().agent(AgentSpec::default()).start().unwrap();
    let connection =
        Connection::open(Config::new(&cluster.master().address(), FrameworkInfo::new("f", "root")).unwrap());
    let mut offered = offer(&connection);
    let share = offered
        .resources
        .take(&Demand::new().scalar("cpus", 0.1).scalar("mem", 32.0))
        .unwrap();
    let task = TaskInfo::command("t", offered.agent_id, CommandInfo::shell("sleep 1000"), share);
    connection.call(&Call::launch(offered.id, vec![task])).unwrap();

    let master = operator::Master::new(cluster.master().url().parse().unwrap(), LIMIT);
    let tomorrow = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 + 86_400_000_000_000;
    let window = json!({"machine_ids": [{"hostname": "localhost", "ip": "127.0.0.1"}],
        "unavailability": {"start": {"nanoseconds": tomorrow}}});
    let schedule = json!({"schedule": {"windows": [window]}});
    master.call("UPDATE_MAINTENANCE_SCHEDULE", Some(schedule)).unwrap();

    let inverse = wait_for(&connection, |event| match event {
        Event::InverseOffers(mut offers) => offers.pop(),
        _ => None,
    });
    assert_eq!(inverse.unavailability.start.nanoseconds, tomorrow as i64);
    let inverse_offer_ids = vec![inverse.id];
    connection
        .call(&Call::AcceptInverseOffers { inverse_offer_ids })
        .unwrap();
    wait_until("the master has the answer", || {
        let status = master.call("GET_MAINTENANCE_STATUS", None).unwrap();
        status.to_string().contains("ACCEPT")
    });
    connection.call(&Call::Teardown).unwrap();
    cluster.tear_down().unwrap();
}

#[test]
fn an_operator_finds_the_leader_among_masters_that_are_away() {
    let cluster = cluster().start().unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let masters = format!("{nobody},{}", cluster.master().address());
    let master = operator::Master::any_of(Endpoint::parse_list(&masters).unwrap(), LIMIT);
    assert!(master.is_healthy().unwrap());
    let watch = master.watch();
    let mut events = watch.events().iter();
    let found = events.find(|event| matches!(event, ClusterEvent::Snapshot(_)));
    assert!(found.is_some());
    cluster.tear_down().unwrap();
}
