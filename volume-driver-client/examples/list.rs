//! Lists the drivers of this host and the volumes of each.
//!
//! ```text
//! cargo run -p volume-driver-client --example list
//! ```

use volume_driver_client::{Discovery, Drivers, Profiles};

fn main() {
    let drivers = Drivers::new(Discovery::default(), Profiles::builtin());
    let candidates = drivers.list();
    if candidates.is_empty() {
        println!("no drivers in {:?}", drivers.discovery().socket_dirs);
    }
    for candidate in candidates {
        if let Err(why) = &candidate.outcome {
            println!("{}: skipped: {why}", candidate.name);
            continue;
        }
        match drivers.driver(&candidate.name).and_then(|driver| driver.list()) {
            Ok(volumes) => {
                println!("{}: {} volumes", candidate.name, volumes.len());
                for volume in volumes {
                    println!("    {}", volume.name);
                }
            }
            Err(error) => println!("{error}"),
        }
    }
}
