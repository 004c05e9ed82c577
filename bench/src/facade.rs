//! The isolator crate as an agent uses it, with calls that wait for their answer.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use isolator::{BindMount, Config, ContainerId, ContainerLaunch, Isolator, PrepareError};

/// How long any call may take.
const LIMIT: Duration = Duration::from_secs(120);

/// The answer to a prepare, when it comes.
pub(crate) type Prepared = Receiver<Result<Option<Vec<BindMount>>, PrepareError>>;

/// An isolator with nothing to recover.
pub(crate) struct Facade {
    isolator: Isolator,
    records: PathBuf,
    sandbox: PathBuf,
}

impl Facade {
    /// With its state in `state` and drivers in `sockets`; `more` module parameters as an operator writes them.
    pub(crate) fn start(state: &Path, sockets: &Path, sandbox: &Path, more: &[(&str, &str)]) -> Result<Facade> {
        let text = |path: &Path| path.display().to_string();
        let mut parameters = vec![
            ("state_dir".to_owned(), text(state)),
            ("driver_sockets".to_owned(), text(sockets)),
            ("driver_specs".to_owned(), text(sockets)),
            ("driver_locks".to_owned(), text(&sockets.join("locks"))),
        ];
        parameters.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let isolator = Isolator::start(Config::from_parameters(&parameters)?)?;
        let (answer, answered) = channel();
        isolator.recover(Vec::new(), Vec::new(), tell(answer));
        answered.recv_timeout(LIMIT).context("no answer to recover")?;
        Ok(Facade {
            isolator,
            records: state.join("containers"),
            sandbox: sandbox.to_owned(),
        })
    }

    /// The folder of the records.
    pub(crate) fn records(&self) -> &Path {
        &self.records
    }

    /// Asks for one volume for a container, without waiting.
    pub(crate) fn ask(&self, container: &str, driver: &str, volume: &str) -> Prepared {
        let (answer, answered) = channel();
        let launch = ContainerLaunch {
            directory: self.sandbox.clone(),
            task_labels: vec![
                ("volume.data".to_owned(), volume.to_owned()),
                ("volume.data.driver".to_owned(), driver.to_owned()),
            ],
            ..ContainerLaunch::default()
        };
        // Nobody waits any more only after an error here.
        self.isolator
            .prepare(ContainerId::root(container), launch, move |result| {
                drop(answer.send(result));
            });
        answered
    }

    /// Waits until a container has its volume.
    pub(crate) fn prepare(&self, container: &str, driver: &str, volume: &str) -> Result<()> {
        ready(&self.ask(container, driver, volume))
    }

    /// Lets the containers go and waits until nothing of them is on disk, nor on its way there.
    pub(crate) fn cleanup(&self, containers: &[String]) -> Result<()> {
        let (answer, answered) = channel();
        for container in containers {
            self.isolator
                .cleanup(ContainerId::root(container), tell(answer.clone()));
        }
        for _ in containers {
            answered.recv_timeout(LIMIT).context("no answer to cleanup")?;
        }
        let deadline = Instant::now() + LIMIT;
        while containers.iter().any(|container| self.record(container).exists()) {
            if Instant::now() > deadline {
                bail!("a record is still there after {LIMIT:?}");
            }
            thread::sleep(Duration::from_millis(1));
        }
        // Comes back when the file system is through with the removals as well.
        std::fs::File::open(&self.records)?.sync_all()?;
        Ok(())
    }

    /// The file of a container's record.
    pub(crate) fn record(&self, container: &str) -> PathBuf {
        self.records.join(format!("{container}.json"))
    }
}

/// An answer that tells the one who waits. When nobody does any more, there was an error.
pub(crate) fn tell(answer: Sender<()>) -> impl FnOnce() + Send + 'static {
    move || {
        let _ = answer.send(());
    }
}

/// Waits until a container has its volume.
pub(crate) fn ready(prepared: &Prepared) -> Result<()> {
    match prepared.recv_timeout(LIMIT).context("no answer to prepare")? {
        Ok(Some(mounts)) if mounts.len() == 1 => Ok(()),
        Ok(other) => bail!("one mount was expected, not {other:?}"),
        Err(error) => Err(error.into()),
    }
}

/// Milliseconds since `begin`.
pub(crate) fn elapsed(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1e3
}
