//! x
fn main() {
    match testbed::package::MesosInstall::ensure("1.11.0") {
        Ok(i) => println!("{i:?}"),
        Err(e) => {
            eprintln!("{e}");
            std::process::exit(1)
        }
    }
}
