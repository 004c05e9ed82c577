//! Any labels, as far as `prepare()` takes them before it calls a driver: read, judged by a policy,
//! and the directories made that volumes are to be mounted at, in a sandbox and an image full of
//! traps. Each ends inside of the container or in one line.
//!
//! The first byte of the input says whether the container has an image (1) and is nested (2); each
//! line after it is a label, `key=value`, of the task; behind a `+` one of the executor; behind a
//! `$` a variable `DVDI_VOLUME_key`. Run from `cxx-bridge`, as root:
//!
//! ```text
//! TMPDIR=/dev/shm RUSTC_BOOTSTRAP=1 cargo fuzz run labels fuzz/corpus/labels fuzz/seeds/labels -- -dict=fuzz/labels.dict \
//!     -max_total_time=60
//! ```
#![no_main]

use std::path::PathBuf;

use isolator::untrusted::Ground;
use isolator::{ContainerId, ContainerLaunch, DVDI_PREFIX};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&how, lines)) = input.split_first() else {
        return;
    };
    let mut launch = ContainerLaunch {
        rootfs: (how & 1 != 0).then(PathBuf::new),
        ..ContainerLaunch::default()
    };
    for line in String::from_utf8_lossy(lines).split('\n') {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        let (pairs, key) = match (key.strip_prefix('+'), key.strip_prefix('$')) {
            (Some(key), _) => (&mut launch.executor_labels, key.to_owned()),
            (_, Some(key)) => (&mut launch.dvdi_variables, format!("{DVDI_PREFIX}{key}")),
            _ => (&mut launch.task_labels, key.to_owned()),
        };
        pairs.push((key, value.to_owned()));
    }
    let path = if how & 2 != 0 {
        vec!["pod".to_owned(), "c".to_owned()]
    } else {
        vec!["c".to_owned()]
    };
    let id = ContainerId::from_path(path).expect("no part is empty");
    // One a thread: libFuzzer has one.
    thread_local!(static GROUND: Ground = Ground::new());
    GROUND.with(|ground| ground.check(&id, launch));
});
