//! A healthy driver's prepares while another driver hangs with 200 calls, beside the same without.

use std::fs::File;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::json;

use crate::Effort;
use crate::facade::{Facade, elapsed};
use crate::figures::Rounds;
use crate::plugin::Plugin;
use crate::report::Section;
use crate::scratch::Scratch;

const HEALTHY: &str = "healthy";
const HUNG: &str = "hung";
/// Calls that hang, all of them in the driver.
const CALLS: usize = 200;
const LIMIT: Duration = Duration::from_secs(60);
/// The status file is written once a second, and after a change only.
const SETTLING: Duration = Duration::from_millis(1200);

pub(crate) fn run(effort: Effort) -> Result<Section> {
    let (rounds, per_round) = effort.choose((4, 50), (15, 100));
    let scratch = Scratch::new()?;
    let _healthy = Plugin::start(&scratch.sockets(), HEALTHY, scratch.volumes(), 8)?;
    let hung = Plugin::start(&scratch.sockets(), HUNG, scratch.volumes(), CALLS + 8)?;
    let many = format!(r#"{{"profiles":{{"{HUNG}":{{"max_in_flight":{CALLS}}}}}}}"#);
    let facade = Facade::start(
        &scratch.path().join("state"),
        &scratch.sockets(),
        &scratch.sandbox(),
        &[("drivers", &many), ("prepare_timeout", "10mins")],
    )?;
    let (mut quiet, mut beside_hung) = (Rounds::default(), Rounds::default());
    let measured = || {
        settle(&facade)?;
        round(&facade, per_round)
    };
    measured()?;
    for number in 0..rounds {
        // Each goes first in every other round.
        if number % 2 == 0 {
            quiet.push(measured()?);
        }
        beside_hung.push(while_hanging(&facade, &hung, measured)?);
        if number % 2 == 1 {
            quiet.push(measured()?);
        }
    }
    // Of each round, so that one that was disturbed from outside does not stand for all.
    let p99 = beside_hung.against_at(&quiet, 0.99, |hung, quiet| hung / quiet);
    let medians = beside_hung.against(&quiet, |hung, quiet| hung / quiet);
    let mut section = Section::new(
        "hung_driver",
        "prepare of a healthy driver one after the other, records on disk, while 200 Mounts hang in another driver (200 \
         calls in flight), beside the same without; the two take turns, and ratios are of each pair of rounds, each begun when the \
         disk is through with what came before",
    );
    section.samples("quiet", "ms", &quiet);
    section.samples("200 calls hang", "ms", &beside_hung);
    section.by_round("medians, hung / quiet", "x", medians.clone());
    section.by_round("p99 of a round, hung / quiet", "x", p99.clone());
    section.target("p99_ratio", p99.as_ref().map(|ratio| ratio.median), 1.1);
    section.figures = json!({
        "calls": CALLS,
        "quiet_ms": quiet.summary(),
        "hung_ms": beside_hung.summary(),
        "p99_ratio": p99,
        "median_ratio": medians,
    });
    Ok(section)
}

/// Waits until the disk is through with what came before: the records of 200 containers, or their removal, are not what is
/// measured here.
fn settle(facade: &Facade) -> Result<()> {
    rustix::fs::syncfs(File::open(facade.records())?)?;
    thread::sleep(SETTLING);
    Ok(())
}

fn round(facade: &Facade, count: usize) -> Result<Vec<f64>> {
    let mut samples = Vec::new();
    for number in 0..count {
        let container = format!("healthy-{number}");
        let begin = Instant::now();
        facade.prepare(&container, HEALTHY, &format!("volume-{number}"))?;
        samples.push(elapsed(begin));
        facade.cleanup(&[container])?;
    }
    Ok(samples)
}

fn while_hanging<T>(facade: &Facade, hung: &Plugin, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let containers: Vec<String> = (0..CALLS).map(|number| format!("hung-{number}")).collect();
    hung.hang();
    let asked: Vec<_> = containers
        .iter()
        .map(|container| facade.ask(container, HUNG, &format!("of-{container}")))
        .collect();
    if let Err(error) = hung.wait_until_hanging(CALLS, LIMIT) {
        // Those that were answered have the reason.
        let refused = asked.iter().find_map(|answer| answer.try_recv().ok()?.err());
        let reason = refused.map_or_else(|| "none was answered".to_owned(), |error| error.to_string());
        bail!("{error}: {reason}");
    }
    let result = work();
    hung.release();
    for answer in &asked {
        if answer.recv_timeout(LIMIT)?.is_ok() {
            bail!("a hung Mount succeeded");
        }
    }
    facade.cleanup(&containers)?;
    result
}
