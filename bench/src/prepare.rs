//! What one prepare costs by itself: the isolator alone, its records on disk, a driver that answers at once. Beside it the
//! same fsyncs in a bare loop, in the same folder, in turn with it; and both these and the same requests without a client, on
//! the way through threads that a prepare has to go.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::Effort;
use crate::bare::exchange;
use crate::facade::{Facade, elapsed, ready};
use crate::figures::{ByRound, Rounds};
use crate::plugin::Plugin;
use crate::relay::{Relay, Work};
use crate::report::Section;
use crate::scratch::Scratch;

const DRIVER: &str = "instant";
/// How many containers come at once.
const AT_ONCE: usize = 64;
/// A prepare is durable twice: the intent before Mount, the mountpoint after it.
const RECORDS: usize = 2;

pub(crate) fn run(effort: Effort) -> Result<Section> {
    let scratch = Scratch::new()?;
    let plugin = Plugin::start(&scratch.sockets(), DRIVER, scratch.volumes(), AT_ONCE)?;
    let many = format!(r#"{{"profiles":{{"{DRIVER}":{{"max_in_flight":{AT_ONCE}}}}}}}"#);
    let facade = Facade::start(
        &scratch.path().join("state"),
        &scratch.sockets(),
        &scratch.sandbox(),
        &[("drivers", &many)],
    )?;
    let mut section = Section::new(
        "prepare",
        "the isolator crate alone, records on disk, a driver in the same process that answers at once; the floor makes the \
         fsyncs of its records in the same folder in turn with it: file, rename, folder, twice a container (at once: one \
         fsync of the folder for all of them, twice); exchanges are the bytes of Get and Mount on a connection each, without a \
         client; threads are seven that hand a word on, by the ledger's each time, and do only these",
    );
    let sequential = one_after_the_other(&facade, &plugin, effort)?;
    let at_once = all_at_once(&facade, effort)?;
    section.rows_of("one after the other", &sequential);
    section.rows_of("64 at once, until the last is ready", &at_once);
    for (what, beside) in [("one after the other", &sequential), ("64 at once", &at_once)] {
        let ratio = beside.ratio().map(|ratio| ratio.median);
        section.target(format!("fsync_floor_ratio, {what}"), ratio, 1.5);
    }
    section.figures = json!({"sequential": sequential.json(), "at_once_64": at_once.json()});
    Ok(section)
}

/// A quantity beside its floor.
struct Beside {
    prepare: Rounds,
    floor: Rounds,
    /// The floor and the exchanges with the driver, from thread to thread, where that was measured.
    relay: Rounds,
}

impl Beside {
    fn ratio(&self) -> Option<ByRound> {
        self.prepare.against(&self.floor, |ours, floor| ours / floor)
    }

    fn relay_ratio(&self) -> Option<ByRound> {
        self.prepare.against(&self.relay, |ours, floor| ours / floor)
    }

    fn json(&self) -> Value {
        json!({
            "ms": self.prepare.summary(), "floor_ms": self.floor.summary(), "fsync_floor_ratio": self.ratio(),
            "relay_floor_ms": self.relay.summary(), "relay_floor_ratio": self.relay_ratio(),
        })
    }
}

impl Section {
    fn rows_of(&mut self, what: &str, beside: &Beside) {
        self.samples(what, "ms", &beside.prepare);
        self.samples(&format!("{what}: bare fsyncs"), "ms", &beside.floor);
        self.by_round(&format!("{what}: fsync_floor_ratio"), "x", beside.ratio());
        if beside.relay.len() > 0 {
            self.samples(&format!("{what}: bare, by threads"), "ms", &beside.relay);
            self.by_round(&format!("{what}: ratio to that"), "x", beside.relay_ratio());
        }
    }
}

fn one_after_the_other(facade: &Facade, plugin: &Plugin, effort: Effort) -> Result<Beside> {
    let (rounds, per_round) = effort.choose((4, 15), (10, 40));
    let mut beside = Beside {
        prepare: Rounds::default(),
        floor: Rounds::default(),
        relay: Rounds::default(),
    };
    // The first makes threads and code pages.
    let bytes = record_size(facade)?;
    let relay = Relay::start(&Work {
        records: facade.records().to_owned(),
        bytes,
        socket: plugin.socket().to_owned(),
        asked: asked(plugin)?,
    })?;
    for round in 0..rounds {
        let (mut ours, mut floor, mut relayed) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..per_round {
            let container = format!("c-{round}-{number}");
            let begin = Instant::now();
            facade.prepare(&container, DRIVER, &format!("volume-{number}"))?;
            ours.push(elapsed(begin));
            facade.cleanup(&[container])?;

            let begin = Instant::now();
            for _ in 0..RECORDS {
                write_durably(facade.records(), &["floor".to_owned()], bytes)?;
            }
            floor.push(elapsed(begin));
            remove(facade.records(), &["floor".to_owned()])?;

            let begin = Instant::now();
            relay.go()?;
            relayed.push(elapsed(begin));
            remove(facade.records(), &["relay".to_owned()])?;
        }
        beside.prepare.push(ours);
        beside.floor.push(floor);
        beside.relay.push(relayed);
    }
    Ok(beside)
}

/// The requests of the last prepare, with the lengths of their answers.
fn asked(plugin: &Plugin) -> Result<Vec<(Vec<u8>, usize)>> {
    let calls = ["VolumeDriver.Get", "VolumeDriver.Mount"];
    let asked = calls.map(|call| {
        let request = plugin.request(call).with_context(|| format!("no {call} came"))?;
        let answer = exchange(&mut UnixStream::connect(plugin.socket())?, &request, None)?;
        Ok((request, answer))
    });
    asked.into_iter().collect()
}

fn all_at_once(facade: &Facade, effort: Effort) -> Result<Beside> {
    let rounds = effort.choose(4, 12);
    let bytes = record_size(facade)?;
    let mut beside = Beside {
        prepare: Rounds::default(),
        floor: Rounds::default(),
        relay: Rounds::default(),
    };
    let floor_names: Vec<String> = (0..AT_ONCE).map(|number| format!("floor-{number}")).collect();
    for round in 0..rounds {
        let containers: Vec<String> = (0..AT_ONCE).map(|number| format!("all-{round}-{number}")).collect();
        let begin = Instant::now();
        let asked: Vec<_> = containers
            .iter()
            .map(|container| facade.ask(container, DRIVER, &format!("of-{container}")))
            .collect();
        asked.iter().try_for_each(ready)?;
        beside.prepare.push(vec![elapsed(begin)]);
        facade.cleanup(&containers)?;

        let begin = Instant::now();
        for _ in 0..RECORDS {
            write_durably(facade.records(), &floor_names, bytes)?;
        }
        beside.floor.push(vec![elapsed(begin)]);
        remove(facade.records(), &floor_names)?;
    }
    Ok(beside)
}

fn record_size(facade: &Facade) -> Result<usize> {
    facade.prepare("measured", DRIVER, "measured")?;
    let bytes = fs::read(facade.record("measured"))?.len();
    facade.cleanup(&["measured".to_owned()])?;
    Ok(bytes)
}

/// Replaces files durably: each written under another name, fsynced and renamed, then the folder fsynced.
pub(crate) fn write_durably(folder: &Path, names: &[String], bytes: usize) -> Result<()> {
    let content = vec![b'x'; bytes];
    for name in names {
        let temporary = folder.join(format!("{name}.tmp"));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(&content)?;
        file.sync_all()?;
        fs::rename(&temporary, folder.join(format!("{name}.json")))?;
    }
    File::open(folder)?.sync_all()?;
    Ok(())
}

fn remove(folder: &Path, names: &[String]) -> Result<()> {
    for name in names {
        fs::remove_file(folder.join(format!("{name}.json")))?;
    }
    File::open(folder)?.sync_all()?;
    Ok(())
}
