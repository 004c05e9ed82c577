//! How long records take on this disk: `cargo run --release -p isolator --example records_speed
//! [FOLDER]`.
//!
//! Prints, for 100, 1,000 and 10,000 containers of two volumes each, the time to write all records
//! in one commit, to open the state folder and read them at a start, and to remove them in one
//! commit; then what one commit of one record takes.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use isolator::ledger::{MountSpec, Record, RecordedState, RecordedVolume, VolumeRequest};
use isolator::records::{Change, Store};
use isolator::{ContainerId, Containerizer, VolumeKey};
use volume_driver_client::MountId;
use volume_labels::Access;

fn volume(name: String) -> RecordedVolume {
    let mountpoint = format!("/var/lib/rexray/volumes/{name}/data").into();
    RecordedVolume {
        request: VolumeRequest {
            origin: "data".into(),
            mount_id: MountId::derive("host", "rexray", &name),
            volume: VolumeKey::new("rexray", name),
            target: "/var/lib/mesos/slaves/S0/frameworks/F0/executors/e/runs/latest/data".into(),
            read_only: false,
            access: Access::Shared,
            spec: MountSpec::default(),
        },
        state: RecordedState::Mounted(mountpoint),
    }
}

fn record(number: usize) -> Record {
    Record {
        container: ContainerId::root(format!("4f0e8a6c-7c1e-4c5e-9b0f-{number:012}")),
        containerizer: Containerizer::Mesos,
        released: false,
        volumes: vec![volume(format!("vol-{number:017x}")), volume("vol-shared".into())],
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begun = Instant::now();
    let result = work();
    (begun.elapsed(), result)
}

fn commit(store: &Store, changes: &[Change]) -> Result<Duration, String> {
    let (time, results) = timed(|| store.commit(changes));
    let committed = results.into_iter().collect::<Result<(), _>>();
    committed.map(|()| time).map_err(|error| error.to_string())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let within = std::env::args_os()
        .nth(1)
        .map_or_else(std::env::temp_dir, PathBuf::from);
    println!("{:>8} {:>12} {:>12} {:>12}", "records", "write", "start", "remove");
    for count in [100, 1_000, 10_000] {
        let folder = tempfile::tempdir_in(&within)?;
        let writes: Vec<Change> = (0..count).map(|number| Change::Write(record(number))).collect();
        let removals: Vec<Change> = (0..count)
            .map(|number| Change::Remove(record(number).container))
            .collect();
        let write = commit(&Store::open(folder.path())?, &writes)?;
        let (start, started) = timed(|| {
            let store = Store::open(folder.path())?;
            let found = store.load()?;
            Ok::<_, isolator::records::StoreError>((store, found.len()))
        });
        let (store, found) = started?;
        assert_eq!(found, count, "every record is found again");
        let remove = commit(&store, &removals)?;
        println!("{count:>8} {write:>12.1?} {start:>12.1?} {remove:>12.1?}");
    }
    let folder = tempfile::tempdir_in(&within)?;
    let store = Store::open(folder.path())?;
    let mut times = (0..200)
        .map(|number| commit(&store, &[Change::Write(record(number))]))
        .collect::<Result<Vec<_>, _>>()?;
    times.sort_unstable();
    println!(
        "one record, one commit: median {:.1?}, 99th of 100 {:.1?}",
        times[100], times[198]
    );
    Ok(())
}
