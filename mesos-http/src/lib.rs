//! Clients for the Mesos v1 scheduler, executor and operator HTTP APIs
