//! An agent stops to answer while its task runs on.

use std::time::Duration;

use mesos_http::types::AgentId;
use testbed::Signal;

use super::Act;
use super::job::{HoldIn, VerifyOn, etl};
use super::scene::{Caught, LIMIT, Scene, attempts, find};
use crate::demonstration::DemoError;
use crate::demonstration::site::Plan;

/// The master gives an agent up after two pings a second each.
const PINGS: (Duration, u32) = (Duration::from_secs(1), 2);

/// How long is looked whether somebody is tempted. The scheduler decides within a second of any news.
const TEMPTATION: Duration = Duration::from_secs(4);

/// What extract works with.
const VOLUMES: [&str; 2] = ["flights-src", "flights-stage"];

pub(super) struct Partition;

impl Act for Partition {
    fn name(&self) -> &'static str {
        "agent-unreachable"
    }

    fn what(&self) -> &'static str {
        "an agent cannot be reached while its task runs on: nothing is launched in its place until an operator marks it gone \
         and the storage takes its volumes away"
    }

    fn plan(&self) -> Plan {
        Plan {
            pings: Some(PINGS),
            ..Plan::default()
        }
    }

    fn play(&self, scene: &mut Scene) -> Result<(), DemoError> {
        let go = scene.go();
        let hold = HoldIn {
            step: "extract",
            until: &go,
        };
        // One agent is left in the zone then.
        let run = scene.begin(&etl(VerifyOn::Any, Some(&hold)))?;
        let caught = scene.catch(&run, "extract")?;
        let agent = scene.agent(&caught.host)?;
        let id = agent.id()?;
        agent.signal(Signal::STOP)?;
        scene.mark("agent stops");
        scene.see(format!(
            "the agent on {} is stopped; {} runs on",
            caught.host, caught.task_id
        ));
        let why = scene.why(&run, "extract", &["TASK_UNREACHABLE"])?;
        scene.see(format!("explain: {why}"));
        still_alone(scene, &run, "the agent cannot be reached")?;

        scene
            .stage()
            .site()
            .operator()?
            .mark_agent_gone(&AgentId::from(id.as_str()))?;
        scene.mark("marked gone");
        scene.see("an operator has marked the agent gone");
        scene.until_claims_are(&VOLUMES, "FENCED")?;
        // The operator's word is believed for the task; the volumes are still attached.
        still_alone(scene, &run, "the agent is gone, its volumes are attached")?;

        for volume in VOLUMES {
            scene.stage().site().storage().force_detach(volume)?;
        }
        scene.mark("detached by force");
        scene.see("the storage has detached the volumes by force");
        scene.let_go()?;
        let first = caught.task_id.clone();
        scene
            .stage()
            .until("the first extract finds its volumes dead", LIMIT, |stage| {
                Ok(last_words(stage.follower().sandbox(&first)).map(drop))
            })?;
        let words = last_words(scene.stage().follower().sandbox(&caught.task_id)).unwrap_or_default();
        scene.see(format!(
            "{} was still there, and could write no more: {words}",
            caught.task_id
        ));
        let report = scene.finish(&run)?;
        let others = find(&report, "extract")
            .map(|task| &task.attempts[..])
            .unwrap_or_default();
        let elsewhere = others
            .last()
            .is_some_and(|attempt| attempt.agent.hostname != caught.host);
        scene.check(
            attempts(&report, "extract") == 2 && elsewhere,
            "extract was launched once more, on another host",
        );
        comes_back(scene, &caught)
    }
}

/// Nothing was launched in the task's place, though it could have been.
fn still_alone(scene: &mut Scene, run: &str, since: &str) -> Result<(), DemoError> {
    scene.stage().watch(TEMPTATION)?;
    let report = scene.stage().service().run(run)?;
    let text = format!(
        "{since}: nothing was launched in its place for {} s",
        TEMPTATION.as_secs()
    );
    scene.check(attempts(&report, "extract") == 1, text);
    Ok(())
}

/// What a step said of its failure.
fn last_words(sandbox: Option<&std::path::Path>) -> Option<String> {
    let text = std::fs::read_to_string(sandbox?.join("stderr")).ok()?;
    let line = text.lines().rev().find(|line| line.starts_with("flights-etl: "))?;
    Some(line.to_owned())
}

/// The agent goes on, hears that it is gone, and ends with all that ran on it.
fn comes_back(scene: &mut Scene, caught: &Caught) -> Result<(), DemoError> {
    scene.agent(&caught.host)?.signal(Signal::CONT)?;
    let host = caught.host.clone();
    scene
        .stage()
        .until("the agent that was gone has ended", LIMIT, |stage| {
            Ok(stage.site().agent(&host).and_then(|agent| agent.exit_status()))
        })?;
    scene.see("the agent came back, was told that it is gone, and ended");
    Ok(())
}
