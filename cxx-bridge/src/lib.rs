//! The bridge between the C++ shim of the Mesos module and the isolator.
//!
//! The shim hands over Mesos' messages as wire bytes, together with an [`ffi::Answer`]; this crate
//! decodes them, calls the isolator, and encodes what it answers. It decides nothing about volumes.
//! Nothing here blocks the calling thread, and no panic leaves it: cxx would turn one into the
//! abort of the whole agent.

mod answer;
mod checkpoint;
mod decode;
mod encode;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod hook;
mod instance;
mod log;
mod module;
mod roots;

pub use hook::HookModule;
use hook::start_hook;
use module::start;
pub use module::{Module, ModuleError};

/// The Rust types generated from `proto/mesos.proto`.
mod wire {
    #![allow(
        missing_docs,
        unreachable_pub,
        reason = "generated; the fields are described in proto/mesos.proto"
    )]
    include!(concat!(env!("OUT_DIR"), "/mesos.rs"));
}

/// The functions and types that both languages see.
#[cxx::bridge(namespace = "external_volumes")]
#[allow(
    missing_docs,
    unsafe_code,
    reason = "the glue is generated; each item is described where it is implemented"
)]
pub mod ffi {
    // What the shim gives to Rust.
    unsafe extern "C++" {
        include!("cxx-bridge/include/host.hpp");

        type Answer;
        fn ready(self: &Answer, message: &[u8]);
        fn fail(self: &Answer, reason: &str);

        type Log;
        fn write(self: &Log, severity: i32, file: &str, line: u32, text: &str);
    }

    // What the shim calls. Bytes are one Mesos message each; names say which.
    extern "Rust" {
        type Module;

        fn start(parameters: &[u8], log: UniquePtr<Log>) -> Result<Box<Module>>;

        fn recover(
            self: &Module,
            container_states: &CxxVector<CxxString>,
            orphan_ids: &CxxVector<CxxString>,
            answer: UniquePtr<Answer>,
        );
        fn prepare(self: &Module, container_id: &[u8], config: &[u8], answer: UniquePtr<Answer>);
        fn isolate(self: &Module, container_id: &[u8], pid: i32, answer: UniquePtr<Answer>);
        fn update(self: &Module, container_id: &[u8], resources: &CxxVector<CxxString>, answer: UniquePtr<Answer>);
        fn watch(self: &Module, container_id: &[u8], answer: UniquePtr<Answer>);
        fn cleanup(self: &Module, container_id: &[u8], answer: UniquePtr<Answer>);

        type HookModule;

        fn start_hook(parameters: &[u8], mesos: &CxxString, log: UniquePtr<Log>) -> Result<Box<HookModule>>;

        fn agent_starts(self: &HookModule);
        fn task_arrives(self: &HookModule, task: &[u8], executor: &[u8]);
        fn prelaunch(
            self: &HookModule,
            task: &[u8],
            executor: &[u8],
            name: &[u8],
            sandbox: &[u8],
            mapped: &[u8],
            answer: UniquePtr<Answer>,
        );
        fn task_status(self: &HookModule, framework_id: &[u8], status: &[u8]);
        fn executor_removed(self: &HookModule, executor: &[u8]);
    }

    // Rust moves answers between threads.
    impl UniquePtr<Answer> {}
    impl UniquePtr<Log> {}
}
