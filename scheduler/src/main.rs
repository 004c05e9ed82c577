//! A Mesos scheduler that runs a job file: a DAG of tasks with volumes

fn main() {}
