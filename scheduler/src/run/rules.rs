//! The numbers that a scheduler goes by: retries, pauses and limits.

use crate::state::Millis;

/// How often and how long a scheduler tries, waits and asks. Times are milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Role the offers are for.
    pub role: String,
    /// How often in a row a task is launched again because another host still held a volume. A
    /// volume's next task may go to another agent before the first agent has unmounted the volume:
    /// the master frees the claim when the task ends, and the agent unmounts after that.
    pub volume_retries: u32,
    /// How often in a row a task that never began is launched again, because its offer or its agent
    /// was gone.
    pub launch_retries: u32,
    /// How often in a row a task is launched again because its agent was drained.
    pub drain_retries: u32,
    /// How long the agent that had a volume gets to unmount it before the volume's next task is
    /// launched on another one. It saves most of those retries where the storage is quick, and
    /// costs this much where it is not.
    pub let_go: Millis,
    /// The first pause before such a launch; each further one is twice as long.
    pub pause: Millis,
    /// The longest pause.
    pub longest_pause: Millis,
    /// The first pause before a task that failed is run again, unless the job file says another;
    /// each further one is twice as long.
    pub retry_pause: Millis,
    /// The longest such pause.
    pub longest_retry_pause: Millis,
    /// How long the master does not offer resources again that no waiting task can use, in seconds.
    pub refuse_seconds: f64,
    /// How long a launch may stay unconfirmed before the master is asked about it.
    pub confirm_within: Millis,
    /// How often the master is asked about all that may run.
    pub reconcile_every: Millis,
    /// How often the reasons are reported while a task waits, in milliseconds.
    pub explain_every: Millis,
    /// How many volumes may be attached to an agent's host, where its attribute `attach_limit` says
    /// nothing. `None`: there is no limit.
    pub attach_limit: Option<u32>,
}

impl Default for Rules {
    /// Fifteen retries with pauses up to 30 s are about 4.5 minutes, in which EC2 detaches a
    /// volume.
    fn default() -> Self {
        Self {
            role: "*".to_owned(),
            volume_retries: 15,
            launch_retries: 5,
            drain_retries: 20,
            let_go: 500,
            pause: 250,
            longest_pause: 30_000,
            retry_pause: 1_000,
            longest_retry_pause: 600_000,
            refuse_seconds: 5.0,
            confirm_within: 60_000,
            reconcile_every: 600_000,
            explain_every: 15_000,
            attach_limit: None,
        }
    }
}
