//! When what ran, where, and who had which volume: as a drawing.
//!
//! ```text
//! TaskTimes ──Timeline::new──> groups of lanes of bars ──markup──> in a page, styled by `STYLE`
//!  (tasks, agents, volumes)                            └─to_svg──> a file that stands on its own
//! ```
//!
//! Nothing here asks for more than times and names, so a program that has only a report can draw it too:
//!
//! ```
//! use scheduler::timeline::{AttemptTimes, Mark, Outcome, Place, TaskTimes, Timeline};
//!
//! let extract = TaskTimes {
//!     task: "extract".into(),
//!     ready_ms: Some(0),
//!     waits: false,
//!     attempts: vec![AttemptTimes {
//!         name: "etl.extract.1".into(),
//!         agent: Place { name: "agent1".into(), zone: Some("us-east-1a".into()) },
//!         launched_ms: 400,
//!         running_ms: Some(2_100),
//!         ended_ms: Some(9_000),
//!         outcome: Outcome::Finished,
//!         volumes: vec!["raw".into()],
//!     }],
//! };
//! let marks = vec![Mark { at_ms: 5_000, text: "agent1 is killed".into() }];
//! let svg = Timeline::new("Extract", 0, 10_000, &[extract], marks).to_svg();
//! assert!(svg.starts_with("<svg ") && svg.contains("agent1 is killed"));
//! ```

mod draw;
mod lanes;
mod run;
mod scale;

use std::collections::BTreeMap;

use crate::state::Millis;
pub use run::of_run;
pub(crate) use scale::span;

/// What the drawing's classes look like, for the page that has it; a file has it within.
pub const STYLE: &str = include_str!("style.css");

/// How many colours there are for agents; further ones begin again.
const TONES: usize = 8;

/// A task, by its times. All times count from the same moment, whichever it is.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskTimes {
    /// The task's name, as its lane is called.
    pub task: String,
    /// Since when it could have been launched.
    pub ready_ms: Option<Millis>,
    /// Whether it still waits to be launched, for the first time or again.
    pub waits: bool,
    /// Its launches, the first one first.
    pub attempts: Vec<AttemptTimes>,
}

/// One launch of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptTimes {
    /// What distinguishes it from the task's other launches.
    pub name: String,
    /// Where it was launched.
    pub agent: Place,
    /// When it was launched.
    pub launched_ms: Millis,
    /// When its command began to run; its volumes are mounted between the two.
    pub running_ms: Option<Millis>,
    /// When it ended; `None` as long as it may run.
    pub ended_ms: Option<Millis>,
    /// How it stands.
    pub outcome: Outcome,
    /// The volumes it held from its launch to its end.
    pub volumes: Vec<String>,
}

/// An agent, by what people call it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Its name; two agents of one host have to have two.
    pub name: String,
    /// Its availability zone; `None` when it is not known.
    pub zone: Option<String>,
}

/// How an attempt stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It may still run.
    Active,
    /// It has done its work.
    Finished,
    /// It has not.
    Failed,
}

/// Something that happened to the whole, such as an agent that was killed.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// In milliseconds since the epoch.
    pub at_ms: Millis,
    /// What, in a few words.
    pub text: String,
}

/// A timeline, ready to be drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeline {
    title: String,
    begin: Millis,
    end: Millis,
    groups: Vec<Group>,
    marks: Vec<Mark>,
}

#[derive(Clone, Debug, PartialEq)]
struct Group {
    title: &'static str,
    lanes: Vec<Lane>,
}

/// A label with the bars below it; bars that overlap stand in rows below each other.
#[derive(Clone, Debug, PartialEq)]
struct Lane {
    label: String,
    note: String,
    /// What is left out where there is no room for it.
    more: String,
    /// The colour of the agent it is about.
    tone: Option<usize>,
    rows: Vec<Vec<Bar>>,
}

/// A stretch of time.
#[derive(Clone, Debug, PartialEq)]
struct Bar {
    from: Millis,
    to: Millis,
    fill: Fill,
    text: String,
    /// For those who point at it.
    detail: String,
    /// Where the volume was before, if that was elsewhere.
    moved_from: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fill {
    Waits,
    Launches,
    Runs,
    Finished,
    Failed,
    Agent(usize),
}

impl Timeline {
    /// The timeline of `tasks` between two moments, with a lane for each task, agent and volume. What is not over lasts
    /// until `end_ms`; what lies outside is cut off.
    pub fn new(title: &str, begin_ms: Millis, end_ms: Millis, tasks: &[TaskTimes], marks: Vec<Mark>) -> Self {
        let end = end_ms.max(begin_ms + 1);
        let mut tones: BTreeMap<&Place, usize> = BTreeMap::new();
        for attempt in tasks.iter().flat_map(|task| &task.attempts) {
            let next = tones.len();
            tones.entry(&attempt.agent).or_insert(next);
        }
        let groups = [
            ("Tasks", lanes::of_tasks(tasks, end)),
            ("Agents", lanes::of_agents(tasks, end, &tones)),
            ("Volumes", lanes::of_volumes(tasks, end, &tones)),
        ];
        let some = groups.into_iter().filter(|(_, lanes)| !lanes.is_empty());
        Self {
            title: title.to_owned(),
            begin: begin_ms,
            end,
            groups: some.map(|(title, lanes)| Group { title, lanes }).collect(),
            marks,
        }
    }

    /// How many rows of bars it has: what decides whether it can still be looked at.
    pub fn rows(&self) -> usize {
        let lanes = self.groups.iter().flat_map(|group| &group.lanes);
        lanes.map(|lane| lane.rows.len()).sum()
    }

    /// It in a sentence, for those who do not see it.
    fn description(&self) -> String {
        let counted = self.groups.iter().map(|group| {
            let word = group.title.to_lowercase();
            match group.lanes.len() {
                1 => format!("1 {}", word.trim_end_matches('s')),
                count => format!("{count} {word}"),
            }
        });
        let counted: Vec<String> = counted.collect();
        format!("{} over {}", counted.join(", "), span(self.end - self.begin))
    }
}
