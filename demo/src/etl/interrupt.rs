//! SIGTERM and SIGINT: the database is told to stop at once, and the step ends by the error it then meets.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::EtlError;

/// How long a step may take to wind up after a signal.
const WIND_UP_LIMIT: Duration = Duration::from_secs(25);

/// The exit code after SIGTERM, as shells count it.
pub const EXIT_CODE: u8 = 128 + 15;

#[derive(Debug, Default)]
struct State {
    interrupted: bool,
    server: Option<Pid>,
}

fn state() -> &'static Mutex<State> {
    static STATE: OnceLock<Mutex<State>> = OnceLock::new();
    STATE.get_or_init(Mutex::default)
}

fn with_state<T>(act: impl FnOnce(&mut State) -> T) -> T {
    // The state is two plain fields: a panic elsewhere leaves it sound.
    act(&mut state().lock().unwrap_or_else(PoisonError::into_inner))
}

/// Starts to listen for signals. Once per process.
///
/// # Errors
/// [`EtlError::Io`] when the system refuses.
pub fn listen() -> Result<(), EtlError> {
    let mut signals =
        Signals::new([SIGTERM, SIGINT]).map_err(EtlError::io("listen for signals of", "this process".as_ref()))?;
    thread::spawn(move || {
        for _ in signals.forever() {
            let server = with_state(|state| {
                state.interrupted = true;
                state.server
            });
            match server {
                Some(pid) => stop_fast(pid),
                // Nothing to wind up: what is half written has no name yet.
                None => std::process::exit(EXIT_CODE.into()),
            }
            thread::spawn(|| {
                thread::sleep(WIND_UP_LIMIT);
                eprintln!("flights-etl: still not stopped {WIND_UP_LIMIT:?} after the signal, giving up");
                std::process::exit(EXIT_CODE.into())
            });
        }
    });
    Ok(())
}

/// True once a signal came.
pub fn interrupted() -> bool {
    with_state(|state| state.interrupted)
}

/// Names the database server to stop when a signal comes; none when it has ended.
///
/// # Errors
/// [`EtlError::Interrupted`] when a signal came before.
pub(crate) fn watch_over(server: Option<Pid>) -> Result<(), EtlError> {
    with_state(|state| {
        state.server = server;
        match (state.interrupted, server) {
            (true, Some(_)) => Err(EtlError::Interrupted),
            _ => Ok(()),
        }
    })
}

/// Asks PostgreSQL for its fast shutdown: it ends sessions, rolls back, and writes a checkpoint.
pub(crate) fn stop_fast(server: Pid) {
    // It may have ended by itself; then there is nothing to stop.
    let _ = rustix::process::kill_process(server, Signal::INT);
}
