//! The real records on a disk in memory, across the lives of an agent.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use fastrand::Rng;
use isolator::VolumeKey;
use isolator::ephemeral::spelled;
use isolator::records::{Change, Disk, Found, Host, Store};
use serde::Deserialize;

use crate::disk::{Fate, Fault, MemoryDisk};

const ROOT: &str = "/state";
const CONTAINERS: &str = "/state/containers";
const QUARANTINE: &str = "/state/quarantine";

#[derive(Debug)]
pub(crate) struct Records {
    disk: MemoryDisk,
    store: Store<MemoryDisk>,
    boots: u32,
    named: RefCell<Named>,
}

/// The volumes that records certain to survive name, as of so many operations on the disk; and
/// those of each file. A volume is a bit.
#[derive(Debug, Default)]
struct Named {
    operations: u64,
    certain: u8,
    by_file: BTreeMap<u64, u8>,
}

/// As much of a record as it takes to tell its volumes, read apart from the code that is tested.
#[derive(Deserialize)]
struct Volumes<'a> {
    #[serde(borrow)]
    volumes: Vec<Volume<'a>>,
}

#[derive(Deserialize)]
struct Volume<'a> {
    name: &'a str,
    lifetime: Option<&'a str>,
}

impl Default for Records {
    fn default() -> Self {
        let disk = MemoryDisk::new();
        let store = open(&disk, 0).expect("an empty disk in memory has no trouble");
        Self {
            disk,
            store,
            boots: 0,
            named: RefCell::default(),
        }
    }
}

impl Records {
    /// The agent starts and reads its records; what was written is never unreadable.
    pub(crate) fn start(&mut self) -> Result<Vec<Found>, String> {
        self.store = open(&self.disk, self.boots)?;
        let found = self.store.load().map_err(|error| error.to_string())?;
        match self.disk.list(Path::new(QUARANTINE)).unwrap_or_default().first() {
            Some(torn) => Err(format!("the record {} was torn", torn.display())),
            None => Ok(found),
        }
    }

    pub(crate) fn commit(&self, changes: &[Change]) -> Vec<Result<(), String>> {
        let results = self.store.commit(changes).into_iter();
        results
            .map(|result| result.map_err(|error| error.to_string()))
            .collect()
    }

    /// From the operation after the next few on, until repaired.
    pub(crate) fn fail(&self, fault: Fault, after: u8) {
        self.disk.fail(fault, after.into(), u64::MAX);
    }

    pub(crate) fn leave_out_syncs(&self, of_files: bool, of_folders: bool) {
        self.disk.leave_out_syncs(of_files, of_folders);
    }

    pub(crate) fn repair(&self) {
        self.disk.repair();
    }

    /// The power fails and the host boots.
    pub(crate) fn power_cut(&mut self, seed: u64) {
        self.boots += 1;
        self.disk.power_cut(&mut Rng::with_seed(seed));
    }

    /// Any record there is.
    pub(crate) fn any(&self) -> Option<OsString> {
        let names = self.disk.list(Path::new(CONTAINERS)).unwrap_or_default();
        names
            .into_iter()
            .find(|name| Path::new(name).extension().is_some_and(|extension| extension == "json"))
    }

    /// Whether there is a record that names the volume and does so after any power cut.
    pub(crate) fn names(&self, volume: &VolumeKey) -> bool {
        let mut named = self.named.borrow_mut();
        if named.operations != self.disk.operations() {
            named.operations = self.disk.operations();
            let fates = self.disk.fates(Path::new(CONTAINERS));
            named.certain = fates.iter().fold(0, |bits, fates| bits | named.by_all(fates));
        }
        named.certain & bit(&volume.name) != 0
    }
}

impl Named {
    /// The volumes that a file names whichever of its fates it meets.
    fn by_all(&mut self, fates: &[Fate]) -> u8 {
        let bits = |fate: &Fate| match fate {
            Fate::Whole(file, bytes) => *self.by_file.entry(*file).or_insert_with(|| bytes.with(volumes)),
            Fate::Gone | Fate::Torn => 0,
        };
        fates.iter().map(bits).fold(u8::MAX, |common, bits| common & bits)
    }
}

fn volumes(bytes: &[u8]) -> u8 {
    serde_json::from_slice(bytes).map_or(0, |Volumes { volumes }| {
        // A record that does not say that a made volume is to be removed is as good as none.
        let as_it_is = volumes
            .iter()
            .filter(|volume| spelled(volume.name).is_some() == (volume.lifetime == Some("container")));
        as_it_is.fold(0, |bits, volume| bits | bit(volume.name))
    })
}

/// Volumes are called v0, v1 and so on, and what is made for containers after one of them. Some
/// have another spelling.
fn bit(volume: &str) -> u8 {
    let name = spelled(volume).unwrap_or(volume);
    let number = name
        .trim_start_matches(|letter: char| !letter.is_ascii_digit())
        .parse()
        .ok();
    number.and_then(|number| 1_u8.checked_shl(number)).unwrap_or(0)
}

fn open(disk: &MemoryDisk, boots: u32) -> Result<Store<MemoryDisk>, String> {
    let host = Host {
        boot_id: boots.to_string(),
        fresh_id: "0".repeat(64),
    };
    Store::open_on(disk.clone(), Path::new(ROOT), host).map_err(|error| error.to_string())
}
