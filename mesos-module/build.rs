//! Compiles the C++ shim and sees to it that the library shows the agent its two descriptors only.

use std::env;
use std::error::Error;
use std::fs;

fn main() -> Result<(), Box<dyn Error>> {
    let mut shim = cc::Build::new();
    shim.cpp(true)
        .std("c++17")
        .flag("-fvisibility=hidden")
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

    // rustc exports every `extern "C"` item of every crate in it, the glue of cxx among them. All
    // of them but the descriptors come from archives, and this makes them local.
    // scripts/check-symbols proves it.
    println!("cargo::rustc-cdylib-link-arg=-Wl,--exclude-libs,ALL");
    Ok(())
}
