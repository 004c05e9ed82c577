//! The operator's command line for external volumes on a Mesos agent

fn main() {}
