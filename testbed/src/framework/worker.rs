//! The thread of a framework: offers against jobs, and updates into what is known.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, never, select, tick, unbounded};
use mesos_http::scheduler::{Accept, Call, Connection, Event, Notice, Operation};
use mesos_http::types::{Filters, Offer, TaskStatus};

use super::{Launch, Shared};

/// How often offers are asked for again while something waits: REVIVE makes the master offer at once.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// How long an offer that is of no use is not to come back; REVIVE ends that too.
const REFUSE_SECONDS: f64 = 3600.0;

/// Starts the thread. It ends with the connection.
pub(super) fn start(connection: Connection, shared: Arc<Shared>) -> Sender<Vec<Launch>> {
    let (sender, jobs) = unbounded();
    let worker = Worker {
        connection,
        shared,
        waiting: Vec::new(),
    };
    thread::Builder::new()
        .name("testbed-framework".to_string())
        .spawn(move || worker.run(&jobs))
        .expect("the system has no thread left for a framework");
    sender
}

struct Worker {
    connection: Connection,
    shared: Arc<Shared>,
    waiting: Vec<Launch>,
}

impl Worker {
    fn run(mut self, jobs: &Receiver<Vec<Launch>>) {
        let notices = self.connection.notices().clone();
        let mut ask_again = never();
        loop {
            let wanted = !self.waiting.is_empty();
            select! {
                recv(notices) -> notice => match notice {
                    Ok(notice) => self.noticed(notice),
                    Err(_) => return,
                },
                recv(jobs) -> job => match job {
                    Ok(jobs) => {
                        self.waiting.extend(jobs);
                        self.call(&Call::Revive { roles: vec![] });
                    }
                    // The framework was dropped.
                    Err(_) => return,
                },
                recv(ask_again) -> _ => self.call(&Call::Revive { roles: vec![] }),
            }
            match (wanted, self.waiting.is_empty()) {
                (true, true) => ask_again = never(),
                (false, false) => ask_again = tick(ASK_AGAIN),
                _ => {}
            }
        }
    }

    fn noticed(&mut self, notice: Notice) {
        match notice {
            Notice::Connected(_) => {
                self.shared.change(|known| known.subscriptions += 1);
                if !self.waiting.is_empty() {
                    self.call(&Call::Revive { roles: vec![] });
                }
            }
            Notice::Event(Event::Offers(offers)) => {
                offers.into_iter().for_each(|offer| self.offered(offer));
                if self.waiting.is_empty() {
                    self.call(&Call::Suppress { roles: vec![] });
                }
            }
            Notice::Event(Event::Update(status)) => self.updated(status),
            Notice::Event(Event::Failure(failure)) => self.shared.change(|known| known.failures.push(failure)),
            Notice::Event(Event::InverseOffers(offers)) => {
                let inverse_offer_ids = offers.into_iter().map(|offer| offer.id).collect();
                self.call(&Call::AcceptInverseOffers { inverse_offer_ids });
            }
            Notice::Failed(error) => self.shared.change(|known| known.failed = Some(error)),
            _ => {}
        }
    }

    /// Launches every job that fits.
    fn offered(&mut self, mut offer: Offer) {
        let mut tasks = Vec::new();
        let mut operations = Vec::new();
        let mut shortage = None;
        self.waiting.retain(|launch| {
            if launch.agent().is_some_and(|agent| *agent != offer.agent_id) {
                return true;
            }
            let placed = match launch {
                Launch::Task(job) => job.placed(&mut offer).map(|task| tasks.push(task)),
                Launch::Pod(pod) => pod.placed(&mut offer).map(|group| operations.push(group)),
            };
            match placed {
                Ok(()) => false,
                Err(reason) => {
                    shortage = Some(format!("the last offer did not fit: {reason}"));
                    true
                }
            }
        });
        if shortage.is_some() {
            self.shared.change(|known| known.shortage = shortage);
        }
        if !tasks.is_empty() {
            operations.push(Operation::Launch(tasks));
        }
        if operations.is_empty() {
            return self.call(&Call::decline([offer.id], REFUSE_SECONDS));
        }
        self.call(&Call::Accept(Accept {
            offer_ids: vec![offer.id],
            operations,
            filters: Some(Filters::refuse_for(REFUSE_SECONDS)),
        }));
    }

    fn updated(&mut self, status: TaskStatus) {
        let acknowledge = Call::acknowledge(&status);
        self.shared.change(|known| {
            let updates = known.updates.entry(status.task_id.clone()).or_default();
            if status.uuid.is_none() || updates.iter().all(|known| known.uuid != status.uuid) {
                updates.push(status);
            }
        });
        if let Some(acknowledge) = acknowledge {
            self.call(&acknowledge);
        }
    }

    /// A call that fails because the master is away is made again later: offers come anew, and updates are sent until
    /// they are acknowledged.
    fn call(&self, call: &Call) {
        if let Err(error) = self.connection.call(call) {
            eprintln!("the testbed's framework: {} failed: {error}", call.kind());
        }
    }
}
