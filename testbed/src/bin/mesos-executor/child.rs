//! Waiting for the task's end.

use std::process::{Child, ExitStatus};
use std::thread;

use crossbeam_channel::{Receiver, Sender};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// The task's first process.
#[derive(Debug)]
pub(crate) struct TaskProcess {
    child: Child,
    ended: Receiver<()>,
}

impl TaskProcess {
    /// Watches a child.
    pub(crate) fn new(child: Child) -> TaskProcess {
        let (sender, ended) = crossbeam_channel::bounded(1);
        let pid = pid_of(&child);
        thread::Builder::new()
            .name("task-end".to_string())
            .spawn(move || wait(pid, &sender))
            .expect("the system has no thread left to wait for the task");
        TaskProcess { child, ended }
    }

    /// Its process id. It stays its own until [`reap`](TaskProcess::reap).
    pub(crate) fn pid(&self) -> i32 {
        pid_of(&self.child).as_raw_nonzero().get()
    }

    /// Tells, once, that it has ended.
    pub(crate) fn ended(&self) -> &Receiver<()> {
        &self.ended
    }

    /// How it ended; waits for it.
    pub(crate) fn reap(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait()
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Waits without reaping: until the process is reaped its id is not given to another one, so no
/// signal can reach a stranger.
fn wait(pid: Pid, ended: &Sender<()>) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), options) {}
    // Nobody listens any more when this program is about to end.
    let _ = ended.send(());
}
