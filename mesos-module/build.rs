//! Compiles the C++ shim and sees to it that the module shows the agent one symbol only.

use std::env;
use std::error::Error;
use std::fs;

/// The Mesos that the module is for: the descriptor names it, and the shim compares it with the one that runs.
const MESOS_VERSION: &str = "1.11.0";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rustc-env=MESOS_VERSION={MESOS_VERSION}");

    let mut shim = cc::Build::new();
    shim.cpp(true)
        .std("c++17")
        .flag("-fvisibility=hidden")
        .define("MESOS_VERSION", format!("\"{MESOS_VERSION}\"").as_str())
        .include("abi")
        .include(env::var("DEP_EXTERNAL_VOLUMES_BRIDGE_INCLUDE")?)
        .include(env::var("DEP_EXTERNAL_VOLUMES_BRIDGE_CRATES")?);
    println!("cargo::rerun-if-changed=abi");
    println!("cargo::rerun-if-changed=src");
    let mut sources = Vec::new();
    for entry in fs::read_dir("src")? {
        sources.push(entry?.path());
    }
    sources.retain(|path| path.extension().is_some_and(|extension| extension == "cpp"));
    // The same order everywhere, whatever the file system's.
    sources.sort();
    shim.files(sources);
    shim.compile("external_volumes_shim");

    // rustc exports every `extern "C"` item of every crate in it, the glue of cxx among them. All of them but the
    // descriptor come from archives, and this makes them local. scripts/check-symbols proves it.
    println!("cargo::rustc-cdylib-link-arg=-Wl,--exclude-libs,ALL");
    Ok(())
}
