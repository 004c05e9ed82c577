//! The scheduler with a thousand jobs at once, on the real master: how fast they go through, and what the scheduler weighs.
//!
//! Agents have no isolator module and tasks are `true`: what is measured is the scheduler, the master, and how fast Mesos' agents
//! launch containers, which on a small machine is what bounds the throughput. So the processors' time of each is told apart.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::json;
use testbed::{AgentSpec, Cluster, built};

use crate::Effort;
use crate::figures::{ByRound, Rounds};
use crate::footprint::memory_of;
use crate::report::Section;

const TASKS: usize = 3;
const AGENTS: usize = 2;
/// So many tasks run at once on an agent: more would only wait for the processors.
const AT_ONCE: usize = 8;
/// The throughput is told for so many parts of the run, the first of which has all jobs before it and the last none.
const PARTS: usize = 10;
/// How often the scheduler is asked how far it is.
const EVERY: Duration = Duration::from_millis(200);
/// Without a run that ends for so long something is wrong.
const STUCK: Duration = Duration::from_secs(60);

pub(crate) fn run(effort: Effort) -> Result<Section> {
    let jobs = effort.choose(200, 1000);
    let spec = AgentSpec::default()
        .resources(format!("cpus:{AT_ONCE};mem:65536;disk:65536"))
        .volumes((0..jobs).map(volume));
    let cluster = Cluster::builder().agents(AGENTS, &spec).start()?;
    let folder = tempfile::Builder::new().prefix("mev-bench-").tempdir()?;
    let service = Service::start(folder.path(), &cluster.master().address())?;

    let given = service.each(jobs, |number| ("/v1/jobs".to_owned(), job(number)))?;
    let begin = Instant::now();
    // The first runs end while the last ones are begun.
    let (begun, ends) = thread::scope(|scope| {
        let ends = scope.spawn(|| service.ends(jobs));
        let begun = service.each(jobs, |number| (format!("/v1/jobs/job-{number}/run"), String::new()));
        (begun, ends.join())
    });
    let (begun, ends) = (begun?, ends.map_err(|_| anyhow!("the watch of the runs has ended"))??);
    let seconds = ends.last().context("there are no jobs")?.duration_since(begin);
    let spent = Spent::of(&service, &cluster)?;
    let (_, explained) = service.timed_get("/v1/runs/job-0.1")?;
    let memory = memory_of(&service.child.id().to_string(), "VmHWM:")?;
    let metrics = service.get("/metrics")?;
    ensure!(
        metrics.contains(&format!("\nscheduler_launches_total {}\n", jobs * TASKS)),
        "not every task was launched exactly once"
    );

    let mut section = Section::new(
        "jobs",
        "1,000 jobs (200 with --quick) of 3 tasks in a row, each job on a volume of its own (claims only), begun at once \
         on 2 real agents of 8 tasks at a time; tasks are 'true'",
    );
    #[allow(clippy::cast_precision_loss, reason = "some thousand")]
    let count = |number: usize| number as f64;
    let total = count(jobs * TASKS) / seconds.as_secs_f64();
    let parts = parts(&ends, begin)
        .into_iter()
        .map(|jobs| jobs * count(TASKS))
        .collect();
    let parts = ByRound::of(parts);
    section.value("throughput, from the first begin to the last end", "tasks/s", total);
    section.by_round("the same in each tenth of the jobs", "tasks/s", parts.clone());
    section.samples("POST /v1/jobs", "ms", &given);
    section.samples("POST /v1/jobs/NAME/run", "ms", &begun);
    section.value("GET /v1/runs/ID afterwards", "ms", explained);
    section.value("scheduler: most memory", "MiB", mib(memory));
    section.value(
        "scheduler: processor time a task",
        "ms",
        spent.scheduler / count(jobs * TASKS),
    );
    section.value(
        "master: processor time a task",
        "ms",
        spent.master / count(jobs * TASKS),
    );
    section.value(
        "agents themselves: processor time a task",
        "ms",
        spent.agents / count(jobs * TASKS),
    );
    section.note(format!(
        "{jobs} jobs, {:.0} s; the scheduler had a processor for {:.1}% of that time",
        seconds.as_secs_f64(),
        spent.scheduler / seconds.as_secs_f64() / 10.0
    ));
    section.figures = json!({
        "jobs": jobs, "tasks": jobs * TASKS, "seconds": seconds.as_secs_f64(), "tasks_per_second": total,
        "tasks_per_second_by_tenth": parts, "create": given.summary(), "begin": begun.summary(),
        "scheduler_peak_bytes": memory, "processor_ms": {
            "scheduler": spent.scheduler, "master": spent.master, "agents": spent.agents,
        },
    });
    Ok(section)
}

fn volume(number: usize) -> String {
    format!("vol-{number:04}")
}

fn job(number: usize) -> String {
    let volumes = format!("cpus: 1, mem: 32, volumes: {{v: {}}}", volume(number));
    format!(
        "version: 1\nname: job-{number}\ntasks:\n  a: {{command: 'true', {volumes}}}\n  b: {{command: 'true', after: a, {volumes}}}\n  \
         c: {{command: 'true', after: b, {volumes}}}\n"
    )
}

/// Jobs a second in each part of the run.
fn parts(ends: &[Instant], begin: Instant) -> Vec<f64> {
    let size = ends.len().div_ceil(PARTS).max(1);
    let mut from = begin;
    let mut rates = Vec::new();
    for part in ends.chunks(size) {
        let Some(to) = part.last() else { continue };
        #[allow(clippy::cast_precision_loss, reason = "a hundred")]
        rates.push(part.len() as f64 / to.duration_since(from).as_secs_f64().max(1e-3));
        from = *to;
    }
    rates
}

fn mib(bytes: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "bytes of one process")]
    let bytes = bytes as f64;
    bytes / 1_048_576.0
}

/// Processor time of processes without their children, in milliseconds.
struct Spent {
    scheduler: f64,
    master: f64,
    agents: f64,
}

impl Spent {
    fn of(service: &Service, cluster: &Cluster) -> Result<Spent> {
        let agents = cluster
            .agents()
            .iter()
            .map(|agent| agent.pid().map_or(Ok(0.0), processor_ms));
        Ok(Spent {
            scheduler: processor_ms(service.child.id())?,
            master: cluster.master().pid().map_or(Ok(0.0), processor_ms)?,
            agents: agents.sum::<Result<f64>>()?,
        })
    }
}

fn processor_ms(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may hold spaces.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let field = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok());
    let ticks = field(11).zip(field(12)).map(|(user, system)| user + system);
    #[allow(clippy::cast_precision_loss, reason = "100")]
    let a_second = rustix::param::clock_ticks_per_second() as f64;
    ticks
        .map(|ticks| ticks * 1000.0 / a_second)
        .with_context(|| format!("the times of process {pid} are not understood"))
}

/// `scheduler serve`, killed when dropped.
struct Service {
    child: Child,
    url: String,
    http: ureq::Agent,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Service {
    fn start(folder: &Path, master: &str) -> Result<Service> {
        let file = folder.join("address");
        let log = |name: &str| fs::File::create(folder.join(name));
        let child = Command::new(built("scheduler", "scheduler")?)
            .args(["serve", "--listen", "127.0.0.1:0", "--master", master, "--state"])
            .arg(folder.join("state"))
            .arg("--address-file")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log("out")?)
            .stderr(log("err")?)
            .spawn()
            .context("start the scheduler")?;
        let mut service = Service {
            child,
            url: String::new(),
            http: ureq::Agent::config_builder().http_status_as_error(false).build().into(),
        };
        let begin = Instant::now();
        loop {
            if let Some(status) = service.child.try_wait()? {
                let said = fs::read_to_string(folder.join("err")).unwrap_or_default();
                bail!("the scheduler has ended ({status}): {said}");
            }
            match fs::read_to_string(&file) {
                Ok(address) if address.contains(':') => {
                    service.url = format!("http://{address}");
                    if service.get("/health").is_ok() {
                        return Ok(service);
                    }
                }
                _ => {}
            }
            ensure!(begin.elapsed() < STUCK, "the scheduler does not subscribe");
            sleep(EVERY);
        }
    }

    fn get(&self, path: &str) -> Result<String> {
        let mut answer = self.http.get(format!("{}{path}", self.url)).call()?;
        let text = answer.body_mut().read_to_string()?;
        ensure!(answer.status().is_success(), "GET {path}: {}: {text}", answer.status());
        Ok(text)
    }

    fn timed_get(&self, path: &str) -> Result<(String, f64)> {
        let begin = Instant::now();
        let text = self.get(path)?;
        Ok((text, begin.elapsed().as_secs_f64() * 1000.0))
    }

    /// A POST for each job; how long each took, in ms, by tenths.
    fn each(&self, jobs: usize, request: impl Fn(usize) -> (String, String)) -> Result<Rounds> {
        let mut took = Vec::new();
        for number in 0..jobs {
            let (path, body) = request(number);
            let begin = Instant::now();
            let mut answer = self.http.post(format!("{}{path}", self.url)).send(&body)?;
            took.push(begin.elapsed().as_secs_f64() * 1000.0);
            let text = answer.body_mut().read_to_string()?;
            ensure!(answer.status().is_success(), "POST {path}: {}: {text}", answer.status());
        }
        let mut rounds = Rounds::default();
        for part in took.chunks(jobs.div_ceil(PARTS).max(1)) {
            rounds.push(part.to_vec());
        }
        Ok(rounds)
    }

    /// When each run was seen to have ended.
    fn ends(&self, jobs: usize) -> Result<Vec<Instant>> {
        let mut ends: Vec<Instant> = Vec::new();
        let mut last = Instant::now();
        while ends.len() < jobs {
            let metrics = self.get("/metrics")?;
            let number = |name: &str| {
                let line = metrics
                    .lines()
                    .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
                line.and_then(|number| number.parse::<usize>().ok())
            };
            let failed = number("scheduler_runs_failed_total").context("there is no count of failures")?;
            ensure!(failed == 0, "{failed} runs have failed");
            let finished = number("scheduler_runs_finished_total").context("there is no count of ends")?;
            let now = Instant::now();
            if finished > ends.len() {
                ends.resize(finished, now);
                last = now;
            }
            ensure!(
                last.elapsed() < STUCK,
                "after {finished} of {jobs} runs none has ended for {} s",
                STUCK.as_secs()
            );
            sleep(EVERY);
        }
        Ok(ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::quantile;

    #[test]
    fn rates_are_of_each_part() {
        let begin = Instant::now();
        let ends: Vec<Instant> = (1..=20).map(|n| begin + Duration::from_secs(n)).collect();
        let rates = parts(&ends, begin);
        assert_eq!(rates.len(), PARTS);
        assert!(rates.iter().all(|rate| (rate - 1.0).abs() < 1e-6), "{rates:?}");
        assert_eq!(quantile(&rates, 0.5).map(f64::round), Some(1.0));
    }
}
