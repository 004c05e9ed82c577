//! A disk that takes no more: what was being written is cut off, and nothing is written after it.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use label_mapper::Spelling;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use scheduler::clock::Clock;
use scheduler::framework::{Framework, RunError, subscribe};
use scheduler::ledger::file::{Journal, load};
use scheduler::ledger::{Entry, Ledger};
use scheduler::notification::Notifier;
use scheduler::run::Rules;
use scheduler::service::serve::Running;
use scheduler::service::storage::Storage;
use scheduler::service::{JobRecord, RequestError, RunId, RunRecord, Service, ServiceRecord, Settings};
use scheduler::store::StoreError;

/// A disk that is full as long as the test says so.
#[derive(Clone, Default)]
struct Disk {
    full: Arc<AtomicBool>,
    writes: Arc<AtomicUsize>,
    jobs: Arc<Mutex<BTreeSet<String>>>,
}

impl Disk {
    fn write(&self) -> Result<(), StoreError> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        match self.full.load(Ordering::SeqCst) {
            false => Ok(()),
            true => Err(StoreError::Write {
                path: "disk".into(),
                source: std::io::Error::other("no space left"),
            }),
        }
    }
}

impl Storage for Disk {
    fn save_service(&mut self, _: &ServiceRecord) -> Result<(), StoreError> {
        self.write()
    }

    fn save_job(&mut self, name: &str, _: Option<&JobRecord>) -> Result<(), StoreError> {
        self.write()?;
        self.jobs
            .lock()
            .expect("no thread has panicked with it")
            .insert(name.to_owned());
        Ok(())
    }

    fn save_claims(&mut self, _: &Ledger, _: &BTreeSet<String>) -> Result<(), StoreError> {
        self.write()
    }

    fn save_runs(&mut self, _: Vec<RunRecord>) -> Result<(), StoreError> {
        self.write()
    }

    fn remove_run(&mut self, _: &RunId) -> Result<(), StoreError> {
        self.write()
    }
}

fn job(name: &str) -> String {
    format!("version: 1\nname: {name}\ntasks:\n  a: {{command: x}}\n")
}

#[test]
fn after_a_failed_write_nothing_more_is_written_although_the_disk_has_room_again() {
    let framework = Framework {
        name: "scheduler".to_owned(),
        masters: "127.0.0.1:1".to_owned(),
        user: "root".to_owned(),
        credential: None,
        tls: None,
        rules: Rules::default(),
    };
    let settings = Settings {
        rules: Rules::default(),
        storage: false,
        source: "test".to_owned(),
        spelling: Spelling::Id,
        keep: 2,
        release_alarm: 300_000,
        commands: false,
    };
    let disk = Disk::default();
    let connection = subscribe(&framework, None).unwrap_or_else(|error| panic!("{error}"));
    let tell = Box::new(|_, _: Option<&RunId>, _: &_| {});
    let clock = Clock::start();
    let service = Service::new(
        settings,
        ServiceRecord::default(),
        Ledger::default(),
        Vec::new(),
        clock.now(),
    )
    .expect("nothing was kept");
    let notifier = Notifier::new(None);
    let running = Running::start(service, Box::new(disk.clone()), connection, &clock, notifier, tell);
    let shared = running.shared();
    let put = |name: &str| shared.change(|service, now| service.put(job(name), false, now));
    assert_eq!(put("before"), Ok("before".to_owned()));

    disk.full.store(true, Ordering::SeqCst);
    let refused = |name: &str| {
        let answer = put(name);
        assert!(matches!(answer, Err(RequestError::Unwritable(_))), "{name}: {answer:?}");
    };
    refused("during");
    disk.full.store(false, Ordering::SeqCst);
    let writes = disk.writes.load(Ordering::SeqCst);
    refused("after");
    let end = running.run();
    assert!(matches!(end, Err(RunError::Store(_))), "{end:?}");
    // The process is about to end, and another request arrives.
    refused("too-late");
    assert_eq!(disk.writes.load(Ordering::SeqCst), writes, "it was written again");
    let jobs = disk.jobs.lock().expect("no thread has panicked with it").clone();
    assert_eq!(jobs, BTreeSet::from(["before".to_owned()]));
}

/// The limit on the size of files stands for the end of the disk: a write is cut off where it is.
#[test]
fn what_is_half_written_to_the_log_of_claims_is_cut_off() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let mut ledger = Ledger::default();
    let (mut journal, _) = Journal::open(folder.path()).unwrap_or_else(|error| panic!("{error}"));
    let mut save = |journal: &mut Journal, volume: &str| {
        ledger.volumes.insert(volume.to_owned(), Entry::default());
        journal.save(&ledger, &BTreeSet::from([volume.to_owned()]))
    };
    save(&mut journal, "vol-1").unwrap_or_else(|error| panic!("{error}"));
    save(&mut journal, "vol-2").unwrap_or_else(|error| panic!("{error}"));
    let log = folder.path().join("claims.1.log");
    let length = fs::metadata(&log).expect("it is there").len();

    // Without a handler the signal would end the process.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
    let before = getrlimit(Resource::Fsize);
    let limit = Rlimit {
        current: Some(length + 10),
        ..before
    };
    setrlimit(Resource::Fsize, limit).expect("a limit can be lowered");
    let failed = save(&mut journal, "vol-3");
    setrlimit(Resource::Fsize, before).expect("it can be raised up to where it was");
    assert!(matches!(failed, Err(StoreError::Write { .. })), "{failed:?}");
    assert_eq!(
        fs::metadata(&log).expect("it is there").len(),
        length,
        "half a line stays"
    );
    let read = load(folder.path()).unwrap_or_else(|error| panic!("{error}"));
    let volumes: Vec<String> = read.expect("it is there").volumes.into_keys().collect();
    assert_eq!(volumes, ["vol-1", "vol-2"]);
}
