//! The grammar of volume labels on Mesos tasks, shared by the agent and the scheduler
