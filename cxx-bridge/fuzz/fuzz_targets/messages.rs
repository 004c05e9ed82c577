//! Any bytes as Mesos' messages. What is read as a launch is taken as far as `prepare()` does
//! before it calls a driver; see the target `labels`. The first byte of the input chooses the
//! message: `cxx-bridge/src/fuzzing.rs`. Run from `cxx-bridge`, as root:
//!
//! ```text
//! TMPDIR=/dev/shm RUSTC_BOOTSTRAP=1 cargo fuzz run messages fuzz/corpus/messages fuzz/seeds/messages -- -dict=fuzz/labels.dict \
//!     -malloc_limit_mb=64 -max_len=65536 -max_total_time=60
//! ```
#![no_main]

use isolator::untrusted::Ground;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Some((id, launch)) = cxx_bridge::fuzzing::read(input) {
        // One a thread: libFuzzer has one.
        thread_local!(static GROUND: Ground = Ground::new());
        GROUND.with(|ground| ground.check(&id, launch));
    }
});
