//! Random histories in which the clocks of two hosts are wrong, are set, and stand still while a
//! host is suspended, and in which the service moves from one host to the other. What it takes for
//! the time decides when schedules are due and which listings of the storage prove that a volume is
//! detached.

use fastrand::Rng;
use mesos_http::types::TaskState;
use scheduler::clock::Steady;
use scheduler::job::Schedule;
use scheduler::service::Event;
use scheduler::service::Settings;

use crate::world::{World, job, settings, volume};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
/// A clock that is set back by less has told times that do not come again.
const SAME_CLOCK: u64 = 3 * HOUR;
const EVERY_HOUR: &str = "0 * * * *";
const VOLUME: &str = "vol-1";

/// Faults that are planted between the clocks and the service, to show that the histories would
/// notice them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Planted {
    Nothing,
    /// The host's clock is looked at once, and the time that has passed since is added to it.
    ClockIsReadOnce,
    /// The time is what the host's clock shows, also when that was set back.
    TimeGoesBackwards,
    /// Schedules go by the time that never goes backwards, and not by the host's clock.
    SchedulesIgnoreTheHostsClock,
    /// A listing is taken for as old as its reading, not as its writing.
    ListingsCountFromTheirReading,
    /// Listings that were written before the service started prove something to it.
    ListingsFromBeforeTheStartCount,
}

/// One host, with a clock that may be wrong and a file that lists the storage's volumes. A program
/// writes the file now and then, and soon after the clock was set.
struct Host {
    /// By how many milliseconds its clock is ahead of the real time.
    ahead: i64,
    /// What its clock showed when the file was written, and whether the volume was attached then.
    listing: (u64, bool),
}

struct History {
    world: World,
    planted: Planted,
    schedule: Schedule,
    hosts: [Host; 2],
    /// The host on which the service runs.
    here: usize,
    /// The real time, in milliseconds since the epoch.
    real: u64,
    /// For how long hosts were suspended since the service started; the time that has passed does
    /// not count that.
    suspended: u64,
    steady: Steady,
    /// What the host's clock showed when the service started, and when it started in real time.
    started: (u64, u64),
    attached: bool,
    running: Option<String>,
    /// The latest time of the schedule that has come; none once the clock was set back by so much
    /// that times count again.
    last_due: Option<u64>,
    /// The same as the service has it.
    told_due: Option<u64>,
    due: usize,
    freed: usize,
}

impl History {
    fn new(planted: Planted, rng: &mut Rng) -> Self {
        let world = World::with(Settings {
            storage: true,
            keep: 50,
            ..settings()
        });
        let real = world.now;
        let mut history = Self {
            world,
            planted,
            schedule: Schedule::parse(EVERY_HOUR).expect("it is a schedule"),
            hosts: [0, 1].map(|_| Host {
                ahead: rng.i64(-10..=10) * MINUTE.cast_signed(),
                listing: (0, false),
            }),
            here: 0,
            real,
            suspended: 0,
            steady: Steady::new(0, 0),
            started: (0, 0),
            attached: false,
            running: None,
            last_due: None,
            told_due: None,
            due: 0,
            freed: 0,
        };
        history.start();
        history.world.give(&format!(
            "schedule: '{EVERY_HOUR}'\n{}",
            job("j", &format!(", volumes: {{v: {VOLUME}}}"))
        ));
        history
    }

    /// What the clock of the service's host shows.
    fn wall(&self) -> u64 {
        self.real.saturating_add_signed(self.hosts[self.here].ahead)
    }

    fn passed(&self) -> u64 {
        self.real - self.started.1 - self.suspended
    }

    fn start(&mut self) {
        self.suspended = 0;
        self.started = (self.wall(), self.real);
        self.steady = Steady::new(self.wall(), 0);
        self.world.now = self.wall();
        self.world.restart();
    }

    /// Lets the service look at the clock at once, and again eleven seconds later, when a second has
    /// passed for it even if its time is ahead of the host's clock and goes at a tenth of the speed.
    fn look(&mut self) {
        self.look_once();
        self.real += 11_000;
        self.look_once();
    }

    fn look_once(&mut self) {
        let wall = self.wall();
        self.last_due = self.last_due.filter(|came| *came < wall + SAME_CLOCK);
        let steady = self.steady.look(wall, self.passed());
        let (now, lead) = match self.planted {
            Planted::ClockIsReadOnce => (self.started.0 + self.passed(), 0),
            Planted::TimeGoesBackwards => (wall, 0),
            Planted::SchedulesIgnoreTheHostsClock => (steady, 0),
            _ => (steady, steady - wall),
        };
        self.world.now = now;
        self.world.service.set_lead(lead, now);
        self.world.event(Event::Tick);
    }

    fn act(&mut self, rng: &mut Rng) -> Result<(), String> {
        match rng.u8(0..16) {
            0..=5 => self.real += rng.u64(1_000..40 * MINUTE),
            6 => {
                let asleep = rng.u64(MINUTE..5 * HOUR);
                self.real += asleep;
                self.suspended += asleep;
            }
            7 => {
                // The service looks every second, so it sees the clock before and after.
                self.look();
                self.check()?;
                let limit = if rng.u8(0..8) == 0 { 48 * HOUR } else { 2 * HOUR };
                let by = rng.i64(-limit.cast_signed()..limit.cast_signed());
                self.hosts[self.here].ahead += by;
                self.write_listing(self.here);
            }
            8 => {
                if rng.bool() {
                    self.here = 1 - self.here;
                }
                self.start();
            }
            9 => {
                let launched = self.world.offer("s1", 4.0, &[VOLUME]);
                if let Some(task) = launched.into_iter().next() {
                    self.attached = true;
                    self.running = Some(task.clone());
                    self.world.update(&task, TaskState::Running);
                }
            }
            10 | 11 => match self.running.take() {
                Some(task) => self.world.update(&task, TaskState::Finished),
                None => self.attached = false,
            },
            12 | 13 => self.write_listing(rng.usize(0..2)),
            _ => self.read_listing(),
        }
        self.look();
        self.check()
    }

    fn write_listing(&mut self, host: usize) {
        let written = self.real.saturating_add_signed(self.hosts[host].ahead);
        self.hosts[host].listing = (written, self.attached);
    }

    fn read_listing(&mut self) {
        let (written, attached) = self.hosts[self.here].listing;
        let now = self.world.now;
        let asked = match self.planted {
            Planted::ListingsCountFromTheirReading => now,
            Planted::ListingsFromBeforeTheStartCount => now.min(written.max(self.started.0)),
            _ => now.min(written),
        };
        let on: &[&str] = if attached { &["i-1"] } else { &[] };
        let listing = serde_json::json!({"Volumes": [volume(VOLUME, false, on)]}).to_string();
        let catalogue = label_mapper::Catalogue::from_describe_volumes(&listing).expect("it is a listing");
        let claims = self.world.service.ledger().claims().count();
        let effects = self.world.service.listed(catalogue, asked, now);
        self.world.take(effects);
        self.freed += claims.saturating_sub(self.world.service.ledger().claims().count());
    }

    fn check(&mut self) -> Result<(), String> {
        if self.attached && self.world.service.ledger().claims().next().is_none() {
            return Err("the volume is attached and nobody has a claim on it".to_owned());
        }
        let wall = self.wall();
        let job = &self.world.service.jobs()["j"];
        if job.last_due_ms != self.told_due {
            let came = job.last_due_ms.ok_or("what has come is forgotten")?;
            if came > wall {
                return Err(format!("the time {came} has come at {wall}"));
            }
            if let Some(before) = self.last_due.filter(|before| came <= *before) {
                return Err(format!("the time {came} comes after {before}"));
            }
            (self.last_due, self.told_due) = (Some(came), Some(came));
            self.due += 1;
        }
        let came = self.last_due.unwrap_or(wall);
        let expected = self.schedule.next(came.max(wall));
        match job.next_ms == expected {
            true => Ok(()),
            false => Err(format!(
                "at {wall} the next time is {:?} and not {expected:?}",
                job.next_ms
            )),
        }
    }

    /// How often a time has come and a claim was freed in a history.
    fn run(seed: u64, planted: Planted) -> Result<(usize, usize), String> {
        let mut rng = Rng::with_seed(seed);
        let mut history = Self::new(planted, &mut rng);
        (0..rng.usize(50..250)).try_for_each(|_| history.act(&mut rng))?;
        Ok((history.due, history.freed))
    }
}

const HISTORIES: u64 = 300;

#[test]
fn no_history_of_wrong_clocks_lets_a_time_come_early_twice_or_never_or_frees_a_volume_that_is_attached() {
    let (mut due, mut freed) = (0, 0);
    for seed in 0..HISTORIES {
        let counts = History::run(seed, Planted::Nothing).unwrap_or_else(|what| panic!("history {seed}: {what}"));
        due += counts.0;
        freed += counts.1;
    }
    println!("{due} times have come, {freed} claims were freed");
    assert!(
        due > 1_000 && freed > 100,
        "histories in which nothing happens prove nothing: {due}, {freed}"
    );
}

#[test]
fn every_fault_that_is_planted_between_the_clocks_and_the_service_is_noticed() {
    for planted in [
        Planted::ClockIsReadOnce,
        Planted::TimeGoesBackwards,
        Planted::SchedulesIgnoreTheHostsClock,
        Planted::ListingsCountFromTheirReading,
        Planted::ListingsFromBeforeTheStartCount,
    ] {
        let noticed = (0..HISTORIES).find_map(|seed| Some((seed, History::run(seed, planted).err()?)));
        println!("{planted:?}: {noticed:?}");
        assert!(noticed.is_some(), "{planted:?} is not noticed");
    }
}
