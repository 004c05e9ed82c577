//! The Mesos isolator module: libmesos_external_volumes.so
