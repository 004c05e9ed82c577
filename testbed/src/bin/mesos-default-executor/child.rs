//! A task of a plain LAUNCH: a child process in the executor's own container, which sees what that has mounted.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

use mesos_http::types::TaskInfo;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::running::{Happened, Told, ended, not_started};

/// Starts the shell command in the task's `data`. Gives how to kill it.
pub(crate) fn start(task: TaskInfo, told: Told) -> Box<dyn Fn() + Send> {
    let command = String::from_utf8(task.data.unwrap_or_default().0).unwrap_or_default();
    let child = Command::new("/bin/sh").args(["-c", &command]).process_group(0).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            let update = not_started(task.task_id, format!("cannot run /bin/sh: {error}"));
            tell(&told, Happened::Ended(Box::new(update)));
            return Box::new(|| {});
        }
    };
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    tell(&told, Happened::Started(task.task_id.clone()));
    thread::spawn(move || {
        let update = match child.wait() {
            Ok(status) => ended(task.task_id, status),
            Err(error) => not_started(task.task_id, format!("its exit status is lost: {error}")),
        };
        tell(&told, Happened::Ended(Box::new(update)));
    });
    Box::new(move || {
        if let Some(pid) = pid {
            // Gone is good as well.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    })
}

fn tell(told: &Told, happened: Happened) {
    // The executor listens as long as it lives.
    let _ = told.send(happened);
}
