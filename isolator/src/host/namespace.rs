//! Words for the mount namespace that the agent lives in, so that ids of mounts are compared only
//! with those of the same one.

use std::fs;
use std::sync::OnceLock;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

/// `STATX_MNT_ID_UNIQUE` of Linux 6.8: an id that the kernel never gives twice between two boots.
const UNIQUE_ID: StatxFlags = StatxFlags::from_bits_retain(0x4000);

/// Words that no other mount namespace of this boot has; `None` when the kernel offers none.
pub(crate) fn words() -> Option<&'static str> {
    static WORDS: OnceLock<Option<String>> = OnceLock::new();
    WORDS.get_or_init(|| root_mount().or_else(first_namespace)).as_deref()
}

/// Each namespace has a root mount of its own, and its unique id is that of no other.
fn root_mount() -> Option<String> {
    let root = statx(CWD, "/", AtFlags::empty(), UNIQUE_ID).ok()?;
    let is_told = root.stx_mask & UNIQUE_ID.bits() != 0;
    is_told.then(|| format!("root mount {}", root.stx_mnt_id))
}

/// The number of the namespace, as long as it is that of the host's first process. That one is
/// never freed, while the number of another namespace may be given again.
fn first_namespace() -> Option<String> {
    let own = fs::read_link("/proc/self/ns/mnt").ok()?;
    let first = fs::read_link("/proc/1/ns/mnt").ok()?;
    (own == first).then(|| own.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_has_the_same_words_each_time() {
        assert_eq!(root_mount(), root_mount());
        assert_eq!(words(), words());
    }
}
