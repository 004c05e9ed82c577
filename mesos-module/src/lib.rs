//! The Mesos isolator module `libmesos_external_volumes.so`.
//!
//! An agent loads it with `--modules`, finds the one symbol it exports, [`mesos_external_volumes`],
//! and calls the factory in it, which is the shim's (`module.cpp`). The shim turns Mesos' messages
//! into bytes; all the rest is Rust: `cxx_bridge` decodes, `isolator` decides.
//!
//! The descriptor is a Rust item because a Rust `cdylib` hides every global of its C++ parts.

use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

// The bridge's functions are called from C++ only; this links them.
use cxx_bridge as _;

/// What Mesos' module manager reads: eight pointers (`Module<Isolator>` of the module interface,
/// version 2).
#[repr(C)]
pub struct Descriptor {
    /// The version of the module interface.
    module_api_version: *const c_char,
    /// The Mesos that the module is for. For an isolator it has to equal the agent's; the manager
    /// refuses any other. One library serves many releases, so this is filled in when it is loaded,
    /// from what it finds running.
    mesos_version: AtomicPtr<c_char>,
    /// What `create` makes.
    kind: *const c_char,
    author_name: *const c_char,
    author_email: *const c_char,
    description: *const c_char,
    /// Asked by the manager when there: none, since the version decides.
    compatible: Option<unsafe extern "C" fn() -> bool>,
    /// Makes the isolator from the module's parameters. Null when it cannot be made, after a line
    /// in the agent's log.
    create: unsafe extern "C" fn(parameters: *const c_void) -> *mut c_void,
}

#[allow(unsafe_code, reason = "raw pointers are not Sync by themselves")]
// SAFETY: every pointer is to constant data of this library, which the agent never unloads; the one
// that changes is atomic.
unsafe impl Sync for Descriptor {}

#[allow(unsafe_code, reason = "the shim's factory")]
unsafe extern "C" {
    fn external_volumes_create(parameters: *const c_void) -> *mut c_void;
    fn external_volumes_mesos_version() -> *const c_char;
}

const fn text(text: &'static CStr) -> *const c_char {
    text.as_ptr()
}

/// The module, by the name that an operator gives in `--modules` and `--isolation`.
#[allow(unsafe_code, reason = "the name is looked up with dlsym")]
#[allow(non_upper_case_globals, reason = "it is the module's name")]
#[unsafe(no_mangle)]
pub static mesos_external_volumes: Descriptor = Descriptor {
    module_api_version: text(c"2"),
    mesos_version: AtomicPtr::new(ptr::null_mut()),
    kind: text(c"Isolator"),
    author_name: text(c"The external volumes project"),
    author_email: text(c""),
    description: text(c"Mounts the external volumes that a task's labels name"),
    compatible: None,
    create: external_volumes_create,
};

/// Runs when the library is loaded: behind the relocations, before Mesos asks for the descriptor.
#[used]
#[allow(unsafe_code, reason = "the loader calls what stands in this section")]
#[unsafe(link_section = ".init_array")]
static AT_LOAD: extern "C" fn() = name_the_running_release;

extern "C" fn name_the_running_release() {
    #[allow(unsafe_code, reason = "the shim's function")]
    // SAFETY: it takes nothing, throws nothing, and answers with constant text.
    let version = unsafe { external_volumes_mesos_version() };
    mesos_external_volumes
        .mesos_version
        .store(version.cast_mut(), Ordering::Release);
}
