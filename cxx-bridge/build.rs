//! Generates the C++ side of the bridge and the Rust types of the wire messages, and tells the
//! build script of the module where the headers are.

use std::env;
use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let descriptors = protox::compile(["proto/mesos.proto"], ["proto"])?;
    prost_build::Config::new().compile_fds(descriptors)?;

    // Hidden: the module shows the agent one symbol and no more.
    cxx_build::bridge("src/lib.rs")
        .std("c++17")
        .flag("-fvisibility=hidden")
        .compile("external_volumes_bridge");

    let generated = PathBuf::from(env::var("OUT_DIR")?).join("cxxbridge");
    println!("cargo::metadata=include={}", generated.join("include").display());
    println!("cargo::metadata=crates={}", generated.join("crate").display());
    for input in ["src/lib.rs", "include/host.hpp", "proto/mesos.proto"] {
        println!("cargo::rerun-if-changed={input}");
    }
    Ok(())
}
