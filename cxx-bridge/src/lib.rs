//! The bridge between the C++ shim and the isolator: Mesos wire messages to Rust types
