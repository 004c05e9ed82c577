//! The way of one prepare through threads, with nothing done on it but what cannot be left out: the fsyncs and the requests.
//!
//! No call of an isolator may wait for a disk or a driver, and a driver that hangs may hold nobody else up. So a prepare goes from
//! the caller to the thread that reads labels, and then by way of the ledger's thread to the records, the driver, the records again
//! and the one that answers. Here are threads that do the same in turn and know nothing.

use std::path::PathBuf;
use std::thread;

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::bare::once;
use crate::prepare::write_durably;

/// What the threads do.
#[derive(Clone)]
pub(crate) struct Work {
    /// The folder of the records.
    pub(crate) records: PathBuf,
    /// The size of a record.
    pub(crate) bytes: usize,
    /// The driver's socket.
    pub(crate) socket: PathBuf,
    /// The requests, and the lengths of their answers.
    pub(crate) asked: Vec<(Vec<u8>, usize)>,
}

impl Work {
    fn write(&self) -> Result<()> {
        write_durably(&self.records, &["relay".to_owned()], self.bytes)
    }

    fn ask(&self) -> Result<()> {
        let mut asked = self.asked.iter();
        asked.try_for_each(|(request, answer)| once(&self.socket, request, *answer))
    }
}

/// What is handed on.
struct Token {
    /// How many stations are behind it, the ledger's thread between them not counted.
    passed: usize,
    outcome: Result<()>,
}

/// The threads; they end when it is dropped.
pub(crate) struct Relay {
    begin: Sender<Token>,
    end: Receiver<Token>,
}

impl Relay {
    /// Starts the threads.
    pub(crate) fn start(work: &Work) -> Result<Relay> {
        let (to_ledger, ledger) = unbounded::<Token>();
        let (begin, labels) = unbounded();
        let (to_records, records) = unbounded();
        let (to_driver, driver) = unbounded();
        let (to_answers, answers) = unbounded();
        let (answer, end) = unbounded();
        station("labels", labels, to_ledger.clone(), || Ok(()))?;
        let written = work.clone();
        station("records", records, to_ledger.clone(), move || written.write())?;
        let asked = work.clone();
        station("driver", driver, to_ledger, move || asked.ask())?;
        station("answers", answers, answer, || Ok(()))?;
        thread::Builder::new().name("relay-ledger".to_owned()).spawn(move || {
            for token in ledger {
                let next = match token.passed {
                    1 | 3 => &to_records,
                    2 => &to_driver,
                    _ => &to_answers,
                };
                if next.send(token).is_err() {
                    return;
                }
            }
        })?;
        Ok(Relay { begin, end })
    }

    /// Goes the way once.
    pub(crate) fn go(&self) -> Result<()> {
        let token = Token {
            passed: 0,
            outcome: Ok(()),
        };
        self.begin.send(token).ok().context("the relay has ended")?;
        self.end.recv().context("the relay has ended")?.outcome
    }
}

fn station(
    name: &str,
    inbox: Receiver<Token>,
    outbox: Sender<Token>,
    work: impl Fn() -> Result<()> + Send + 'static,
) -> Result<()> {
    thread::Builder::new().name(format!("relay-{name}")).spawn(move || {
        for token in inbox {
            let token = Token {
                passed: token.passed + 1,
                outcome: token.outcome.and_then(|()| work()),
            };
            if outbox.send(token).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}
