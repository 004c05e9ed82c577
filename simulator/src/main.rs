//! `simulate`: random histories with crashes against the isolator's ledger.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use simulator::{Action, run, shrink};

/// For `--help`.
const EXAMPLES: &str = "\
Examples:
  simulate                              run the ten thousand histories of the seeds 1 to 10000
  simulate --histories 1000000          run more
  simulate --seed 4711 --histories 1    run one again, and see it shrunk when it breaks a promise";

/// Runs random histories with crashes against the isolator's ledger and checks its promises after
/// every step.
///
/// Exit code 0 when no promise was broken, 1 when one was; the history is then shrunk and printed
/// as a test.
#[derive(Parser)]
#[command(name = "simulate", version, after_help = EXAMPLES)]
struct Arguments {
    /// How many histories to run.
    #[arg(long, default_value_t = 10_000)]
    histories: u64,
    /// The first history's seed; the others follow.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let begun = Instant::now();
    let (mut granted, mut crashes, mut violations) = (0_u64, 0_u64, 0_u64);
    for seed in arguments.seed..arguments.seed.saturating_add(arguments.histories) {
        let actions = Action::history(seed);
        match run(&actions) {
            Ok(outcome) => {
                granted += u64::from(outcome.granted);
                crashes += u64::from(outcome.crashes);
            }
            Err(violation) => {
                violations += 1;
                if violations > 1 {
                    eprintln!("seed {seed}, after step {}: {}", violation.step, violation.what);
                } else {
                    let (actions, violation) = shrink(actions, &violation);
                    eprintln!("seed {seed}, after step {}: {}", violation.step, violation.what);
                    eprintln!("#[test]\nfn history_{seed}() {{\n    use simulator::{{Action::*, Work::*}};");
                    eprintln!("    simulator::run(&{actions:?}).unwrap();\n}}");
                }
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = arguments.histories as f64 / seconds;
    if arguments.json {
        println!(
            "{}",
            serde_json::json!({ "histories": arguments.histories, "violations": violations, "granted": granted,
                "crashes": crashes, "histories_per_second": rate })
        );
    } else {
        println!("histories {} violations {violations}", arguments.histories);
        println!("containers granted {granted}, crashes and reboots {crashes}, {rate:.0} histories per second");
    }
    if violations == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
