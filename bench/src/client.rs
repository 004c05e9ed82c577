//! The driver client beside a bare exchange of the same bytes on the same socket, and beside one process per call.

use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use volume_driver_client::{Discovery, Driver, Drivers, Endpoint, MountId, Profiles};

use crate::Effort;
use crate::bare::{exchange, once};
use crate::figures::Rounds;
use crate::plugin::Plugin;
use crate::report::Section;
use crate::scratch::Scratch;

const DRIVER: &str = "instant";
const VOLUME: &str = "volume-1";
/// Callers at once, for throughput: as many as the default profile lets a driver have.
const CALLERS: usize = 4;

pub(crate) fn run(effort: Effort) -> Result<Section> {
    let scratch = Scratch::new()?;
    let plugin = Plugin::start(&scratch.sockets(), DRIVER, scratch.volumes(), 2 * CALLERS + 4)?;
    let mut section = Section::new(
        "client",
        "volume-driver-client against a driver in the same process that answers at once; the floor writes the same request \
         bytes to the same socket and reads the same answer, without parsing either; dvdcli is this workspace's drop-in, one \
         process a call",
    );
    let (rounds, per_round, execs) = effort.choose((5, 200, 10), (15, 500, 30));
    let drivers = Drivers::new(
        Discovery {
            socket_dirs: vec![scratch.sockets()],
            spec_dirs: Vec::new(),
            ..Discovery::default()
        },
        Profiles::builtin(),
    );
    let id = MountId::derive("bench", DRIVER, VOLUME);
    let kept = Driver::at(
        DRIVER,
        Endpoint::Unix(plugin.socket().to_owned()),
        Profiles::builtin().for_driver(DRIVER),
    );
    // The requests are on the driver's record afterwards.
    kept.get(VOLUME)?;
    kept.mount(VOLUME, &id)?;
    let request = |call: &str| plugin.request(call).with_context(|| format!("no {call} came"));
    let (get, mount) = (request("VolumeDriver.Get")?, request("VolumeDriver.Mount")?);
    let mut line = UnixStream::connect(plugin.socket())?;
    let get_answer = exchange(&mut line, &get, None)?;
    let mount_answer = exchange(&mut UnixStream::connect(plugin.socket())?, &mount, None)?;

    let mut sides: [Rounds; 7] = Default::default();
    for _ in 0..rounds {
        let taken = [
            sample(per_round, || kept.get(VOLUME).map(drop).map_err(Into::into))?,
            sample(per_round, || exchange(&mut line, &get, Some(get_answer)).map(drop))?,
            sample(per_round, || kept.mount(VOLUME, &id).map(drop).map_err(Into::into))?,
            sample(per_round, || once(plugin.socket(), &mount, mount_answer))?,
            sample(per_round, || {
                let driver = drivers.driver(DRIVER)?;
                driver.get(VOLUME)?;
                driver.mount(VOLUME, &id)?;
                Ok(())
            })?,
            sample(per_round, || {
                once(plugin.socket(), &get, get_answer)?;
                once(plugin.socket(), &mount, mount_answer)
            })?,
            sample(execs, || dvdcli(&scratch))?,
        ];
        for (side, round) in sides.iter_mut().zip(taken) {
            side.push(round);
        }
    }
    let [
        client_get,
        bare_get,
        client_mount,
        bare_mount,
        client_both,
        bare_both,
        exec,
    ] = &sides;
    let mut figures = serde_json::Map::new();
    for (key, what, client, bare) in [
        ("get", "Get, connection kept", client_get, bare_get),
        ("mount", "Mount, a connection each", client_mount, bare_mount),
        (
            "get_and_mount",
            "lookup, Get, Mount, as for a container",
            client_both,
            bare_both,
        ),
    ] {
        figures.insert(key.to_owned(), beside(&mut section, what, client, bare));
    }
    let per_exec = exec.against(client_both, |exec, client| exec / client);
    section.samples("dvdcli mount, a process each", "us", exec);
    section.by_round("dvdcli mount / client's lookup, Get, Mount", "x", per_exec.clone());
    let (ours, floor) = (
        throughput(per_round, || {
            let driver = drivers.driver(DRIVER)?;
            Ok(move || driver.get(VOLUME).map(drop).map_err(Into::into))
        })?,
        throughput(per_round, || {
            let mut line = UnixStream::connect(plugin.socket())?;
            let get = get.clone();
            Ok(move || exchange(&mut line, &get, Some(get_answer)).map(drop))
        })?,
    );
    section.value("Get, 4 callers at once", "1/s", ours);
    section.value("Get, 4 callers at once: bare", "1/s", floor);
    figures.insert("exec_us".to_owned(), json!(exec.summary()));
    figures.insert("exec_ratio".to_owned(), json!(per_exec));
    figures.insert(
        "at_once_4".to_owned(),
        json!({"requests_per_second": ours, "bare_requests_per_second": floor}),
    );
    section.figures = Value::Object(figures);
    Ok(section)
}

fn beside(section: &mut Section, what: &str, client: &Rounds, bare: &Rounds) -> Value {
    let ratio = client.against(bare, |client, bare| client / bare);
    section.samples(what, "us", client);
    section.samples(&format!("{what}: bare"), "us", bare);
    section.by_round(&format!("{what}: client / bare"), "x", ratio.clone());
    json!({
        "client_us": client.summary(), "bare_us": bare.summary(), "ratio": ratio,
        "requests_per_second": per_second(client), "bare_requests_per_second": per_second(bare),
    })
}

/// What one caller gets through.
fn per_second(samples: &Rounds) -> f64 {
    let all = samples.all();
    #[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let count = all.len() as f64;
    count * 1e6 / all.iter().sum::<f64>()
}

/// Microseconds of each of `count` calls.
fn sample(count: usize, mut call: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    (0..count)
        .map(|_| {
            let begin = Instant::now();
            call()?;
            Ok(begin.elapsed().as_secs_f64() * 1e6)
        })
        .collect()
}

/// Calls per second with several callers at once, each with what `make` makes for it.
fn throughput<C>(per_caller: usize, make: impl Fn() -> Result<C>) -> Result<f64>
where
    C: FnMut() -> Result<()> + Send,
{
    let callers: Vec<C> = (0..CALLERS).map(|_| make()).collect::<Result<_>>()?;
    let begin = Instant::now();
    thread::scope(|scope| {
        let threads: Vec<_> = callers
            .into_iter()
            .map(|mut call| scope.spawn(move || (0..per_caller).try_for_each(|_| call())))
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("a caller does not panic"))
    })?;
    #[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let calls = (CALLERS * per_caller) as f64;
    Ok(calls / begin.elapsed().as_secs_f64())
}

fn dvdcli(scratch: &Scratch) -> Result<()> {
    let program = testbed::built("mesos-volumes", "mesos-volumes")?;
    let output = Command::new(program)
        .args(["dvdcli", "mount", "--volumedriver", DRIVER, "--volumename", VOLUME])
        .env("MESOS_VOLUMES_DRIVER_SOCKETS", scratch.sockets())
        .stdin(Stdio::null())
        .output()?;
    ensure!(
        output.status.success(),
        "dvdcli: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
