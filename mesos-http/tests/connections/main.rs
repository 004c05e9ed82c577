//! The connections against a peer that answers byte by byte what a test wants it to. What a real
//! master and agent do is tested with the testbed.

#![expect(clippy::unwrap_used, reason = "a step that fails is the test's failure")]

mod executor;
mod operator;
mod peer;
mod scheduler;
