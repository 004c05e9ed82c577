//! The Mesos modules of `libmesos_external_volumes.so`: an isolator and a hook, which share
//! everything behind them.
//!
//! An agent loads the library with `--modules`, finds the two symbols it exports,
//! [`mesos_external_volumes`] and [`mesos_external_volumes_hook`], and calls the factories in them,
//! which are the shim's (`module.cpp`). The shim turns Mesos' messages into bytes; all the rest is
//! Rust: `cxx_bridge` decodes, `isolator` decides.
//!
//! The descriptors are Rust items because a Rust `cdylib` hides every global of its C++ parts.

use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

// The bridge's functions are called from C++ only; this links them.
use cxx_bridge as _;

/// What Mesos' module manager reads: eight pointers (`Module<Isolator>` and `Module<Hook>` of the
/// module interface, version 2).
#[repr(C)]
pub struct Descriptor {
    /// The version of the module interface.
    module_api_version: *const c_char,
    /// The Mesos that the module is for. For an isolator or a hook it has to equal the agent's; the
    /// manager refuses any other. One library serves many releases, so this is filled in when it is
    /// loaded, from what it finds running.
    mesos_version: AtomicPtr<c_char>,
    /// What `create` makes.
    kind: *const c_char,
    author_name: *const c_char,
    author_email: *const c_char,
    description: *const c_char,
    /// Asked by the manager when there: none, since the version decides.
    compatible: Option<unsafe extern "C" fn() -> bool>,
    /// Makes the isolator or the hook from the module's parameters. Null when it cannot be made,
    /// after a line in the agent's log.
    create: Create,
}

#[allow(unsafe_code, reason = "raw pointers are not Sync by themselves")]
// SAFETY: every pointer is to constant data of this library, which the agent never unloads; the one
// that changes is atomic.
unsafe impl Sync for Descriptor {}

#[allow(unsafe_code, reason = "the shim's factories")]
unsafe extern "C" {
    fn external_volumes_create(parameters: *const c_void) -> *mut c_void;
    fn external_volumes_create_hook(parameters: *const c_void) -> *mut c_void;
    fn external_volumes_mesos_version() -> *const c_char;
}

const fn text(text: &'static CStr) -> *const c_char {
    text.as_ptr()
}

type Create = unsafe extern "C" fn(parameters: *const c_void) -> *mut c_void;

const fn descriptor(kind: &'static CStr, description: &'static CStr, create: Create) -> Descriptor {
    Descriptor {
        module_api_version: text(c"2"),
        mesos_version: AtomicPtr::new(ptr::null_mut()),
        kind: text(kind),
        author_name: text(c"The external volumes project"),
        author_email: text(c""),
        description: text(description),
        compatible: None,
        create,
    }
}

/// The isolator, by the name that an operator gives in `--modules` and `--isolation`.
#[allow(unsafe_code, reason = "the name is looked up with dlsym")]
#[allow(non_upper_case_globals, reason = "it is the module's name")]
#[unsafe(no_mangle)]
pub static mesos_external_volumes: Descriptor = descriptor(
    c"Isolator",
    c"Mounts the external volumes that a task's labels name",
    external_volumes_create,
);

/// The hook, by the name that an operator gives in `--modules` and `--hooks`.
#[allow(unsafe_code, reason = "the name is looked up with dlsym")]
#[allow(non_upper_case_globals, reason = "it is the module's name")]
#[unsafe(no_mangle)]
pub static mesos_external_volumes_hook: Descriptor = descriptor(
    c"Hook",
    c"Mounts the external volumes that the labels of Docker tasks and of tasks in executors of their own name",
    external_volumes_create_hook,
);

/// Runs when the library is loaded: behind the relocations, before Mesos asks for the descriptor.
#[used]
#[allow(unsafe_code, reason = "the loader calls what stands in this section")]
#[unsafe(link_section = ".init_array")]
static AT_LOAD: extern "C" fn() = name_the_running_release;

extern "C" fn name_the_running_release() {
    #[allow(unsafe_code, reason = "the shim's function")]
    // SAFETY: it takes nothing, throws nothing, and answers with constant text.
    let version = unsafe { external_volumes_mesos_version() };
    for module in [&mesos_external_volumes, &mesos_external_volumes_hook] {
        module.mesos_version.store(version.cast_mut(), Ordering::Release);
    }
}
