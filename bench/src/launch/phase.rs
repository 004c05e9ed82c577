//! How tasks come: one after the other, or many at once.

use std::time::{Duration, Instant};

use anyhow::Result;
use mesos_http::types::TaskState;
use testbed::LaunchedTask;

use super::site::{Contender, Site};
use crate::Effort;
use crate::figures::Rounds;

/// How many tasks come at once.
pub(super) const AT_ONCE: usize = 20;
/// A task that has not ended after this hangs.
const HANGS: Duration = Duration::from_secs(30);
/// One after the other: how many make a round.
const ROUND: usize = 10;
/// Keeps the tasks of a burst alive together.
const TOGETHER: &str = " && sleep 1";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Each waits until the container before it is gone.
    Sequential,
    /// Each comes as soon as the task before it has ended, as a scheduler launches them: the container before it is still
    /// being taken away.
    BackToBack,
    /// At once on one volume.
    OneVolume,
    /// At once, each on a volume of its own. Last: it may leave a driver in a deadlock.
    ManyVolumes,
}

/// What became of one contender's tasks.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// PREPARING to ISOLATING; a task that fails in between has none.
    pub(super) ms: Rounds,
    pub(super) finished: usize,
    pub(super) failed: usize,
    pub(super) hung: usize,
    /// Of the first that failed.
    pub(super) words: Option<String>,
}

impl Outcome {
    /// Tasks that failed or hung.
    pub(super) fn lost(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "a small number")]
        let lost = (self.failed + self.hung) as f64;
        lost
    }
}

/// What a phase found out.
#[derive(Debug, Default)]
pub(super) struct Taken {
    outcomes: [Outcome; 3],
    /// What no isolator can do without.
    pub(super) floor: Rounds,
}

impl Taken {
    pub(super) fn of(&self, contender: Contender) -> &Outcome {
        &self.outcomes[contender as usize]
    }
}

impl Phase {
    pub(super) const ALL: [Phase; 4] = [
        Phase::Sequential,
        Phase::BackToBack,
        Phase::OneVolume,
        Phase::ManyVolumes,
    ];

    /// Its name in the JSON.
    pub(super) fn key(self) -> &'static str {
        match self {
            Phase::Sequential => "sequential",
            Phase::BackToBack => "back_to_back",
            Phase::OneVolume => "at_once_20_one_volume",
            Phase::ManyVolumes => "at_once_20_volumes",
        }
    }

    /// Its name in the table.
    pub(super) fn what(self) -> &'static str {
        match self {
            Phase::Sequential => "one by one",
            Phase::BackToBack => "back to back",
            Phase::OneVolume => "20 at once, one volume",
            Phase::ManyVolumes => "20 at once, 20 volumes",
        }
    }

    /// What its floor consists of.
    pub(super) fn floor(self) -> &'static str {
        match self {
            Phase::Sequential => "Get and Mount called directly, and the fsyncs of two records",
            Phase::BackToBack => "",
            Phase::OneVolume => "one Get and Mount called directly, and the fsyncs of two records",
            Phase::ManyVolumes => "Get and Mount called directly, as many at once and as soon as the driver bears",
        }
    }

    pub(super) fn run(self, site: &Site, effort: Effort) -> Result<Taken> {
        let rounds = effort.choose(1, 5);
        let mut taken = Taken::default();
        for round in 0..rounds {
            match self {
                Phase::Sequential => sequential(site, &mut taken)?,
                _ => {
                    // Each is first, second and last in turn.
                    for turn in 0..Contender::ALL.len() {
                        let contender = Contender::ALL[(round + turn) % Contender::ALL.len()];
                        let outcome = &mut taken.outcomes[contender as usize];
                        match self {
                            Phase::BackToBack => back_to_back(site, contender, outcome)?,
                            _ => burst(site, contender, self == Phase::ManyVolumes, outcome)?,
                        }
                    }
                    match self {
                        Phase::BackToBack => {}
                        Phase::OneVolume => taken.floor.push(vec![site.storage().mount_durably(0)?]),
                        _ => taken.floor.push(site.storage().mount_all()?),
                    }
                }
            }
        }
        Ok(taken)
    }
}

/// One round: ten tasks of each, taking turns with each other and the floor.
fn sequential(site: &Site, taken: &mut Taken) -> Result<()> {
    let mut round: [Vec<f64>; 3] = Default::default();
    let mut floor = Vec::new();
    for number in 0..ROUND {
        for turn in 0..Contender::ALL.len() {
            let contender = Contender::ALL[(number + turn) % Contender::ALL.len()];
            let outcome = &mut taken.outcomes[contender as usize];
            if outcome.hung > 0 {
                continue;
            }
            let mark = site.agent(contender).log_mark();
            let task = site.framework().launch(site.job(contender, 0, "")?);
            settle(&[task], outcome);
            if outcome.hung == 0 {
                site.wait_until_no_container_is_left(contender, HANGS)?;
            }
            round[contender as usize].extend(site.prepared_since(contender, mark)?);
        }
        floor.push(site.storage().mount_durably(0)?);
    }
    for (outcome, round) in taken.outcomes.iter_mut().zip(round) {
        outcome.ms.push(round);
    }
    taken.floor.push(floor);
    Ok(())
}

fn back_to_back(site: &Site, contender: Contender, outcome: &mut Outcome) -> Result<()> {
    let mark = site.agent(contender).log_mark();
    for _ in 0..ROUND {
        if outcome.hung > 0 {
            break;
        }
        let task = site.framework().launch(site.job(contender, 0, "")?);
        settle(&[task], outcome);
    }
    if outcome.hung == 0 {
        site.wait_until_no_container_is_left(contender, HANGS)?;
    }
    outcome.ms.push(site.prepared_since(contender, mark)?);
    Ok(())
}

fn burst(site: &Site, contender: Contender, many_volumes: bool, outcome: &mut Outcome) -> Result<()> {
    let mut round = Vec::new();
    if outcome.hung == 0 {
        let mark = site.agent(contender).log_mark();
        let jobs = (0..AT_ONCE).map(|number| site.job(contender, if many_volumes { number } else { 0 }, TOGETHER));
        let tasks = site.framework().launch_all(jobs.collect::<Result<Vec<_>>>()?);
        settle(&tasks, outcome);
        if outcome.hung == 0 {
            site.wait_until_no_container_is_left(contender, HANGS)?;
        }
        round = site.prepared_since(contender, mark)?;
    }
    outcome.ms.push(round);
    Ok(())
}

/// Waits for the ends, and counts them.
fn settle(tasks: &[LaunchedTask], outcome: &mut Outcome) {
    let deadline = Instant::now() + HANGS;
    for task in tasks {
        match task.wait_for_end(deadline.saturating_duration_since(Instant::now())) {
            Ok(status) if status.state == TaskState::Finished => outcome.finished += 1,
            Ok(status) => {
                outcome.failed += 1;
                outcome.words.get_or_insert(status.message.unwrap_or_default());
            }
            Err(_) => outcome.hung += 1,
        }
    }
}
