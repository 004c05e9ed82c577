//! The ETL job on plain folders: the real data, a real PostgreSQL, no Mesos. Needs root and the package registry (once).
//!
//! * [`whole_job`]: all 336,776 flights through all steps.
//! * [`batches`]: the flights in several batches, loaded one after the other, and again.
//! * [`repeated_steps`]: steps run twice, cut short by SIGKILL and SIGTERM, given damaged input.

#[cfg(test)]
mod batches;
#[cfg(test)]
mod repeated_steps;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod whole_job;
