//! End-to-end tests on real Mesos and real volume drivers
