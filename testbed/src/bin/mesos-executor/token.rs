//! Keeping the executor's secret from its task.

#![allow(
    unsafe_code,
    reason = "the C library's environment can only be wiped through raw pointers"
)]

use std::ffi::CString;

use mesos_http::executor::TOKEN_VARIABLE;

/// Overwrites the secret where the kernel shows it, in `/proc/<pid>/environ`: a task of the same
/// user can read that, whatever its own environment is.
///
/// Must be called after the environment was read and before any thread is started.
pub(crate) fn wipe() {
    let Ok(name) = CString::new(TOKEN_VARIABLE) else {
        return;
    };
    // SAFETY: no other thread exists yet, so nobody reads or changes the environment meanwhile.
    // What `getenv` gives is a NUL-terminated text in writable memory of this process, of which
    // exactly the part before the NUL is overwritten.
    unsafe {
        let value = libc::getenv(name.as_ptr());
        if !value.is_null() {
            value.cast::<u8>().write_bytes(b'x', libc::strlen(value));
        }
        std::env::remove_var(TOKEN_VARIABLE);
    }
}
