//! The command line: `label-mapper resolve`, `label-mapper name-map`, `label-mapper list`.
#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use label_mapper::{Catalogue, Mapped, NameMap, Spelling, Volume};
use volume_labels::Slot;

/// From a volume's human name to its EBS id, labels, claim and zone.
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 done, 1 a name or the catalogue is wrong, 2 wrong usage."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Args)]
struct Source {
    /// What `aws ec2 describe-volumes` printed; `-` reads it from standard input
    #[arg(long, value_name = "FILE", env = "LABEL_MAPPER_CATALOGUE")]
    catalogue: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Print the labels, the claim and the zone of a volume
    Resolve {
        /// A volume's id or Name tag
        name: String,
        #[command(flatten)]
        source: Source,
        /// What the container calls the volume
        #[arg(long, default_value = "data")]
        slot: Slot,
        /// How the labels spell the volume: `id`, or `name` for agents without a `name_map` file
        #[arg(long, value_enum, default_value_t)]
        spelling: Spelling,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Print the agents' `name_map` file: id to the name that the driver knows
    NameMap {
        #[command(flatten)]
        source: Source,
        /// Replace this file, at once, instead of printing
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Print the volumes of the catalogue
    List {
        #[command(flatten)]
        source: Source,
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("label-mapper: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    let text = match command {
        Command::Resolve {
            name,
            source,
            slot,
            spelling,
            json,
        } => {
            let catalogue = read(&source.catalogue)?;
            let mapped = label_mapper::mapped(catalogue.resolve(&name)?, slot, spelling);
            if json {
                serde_json::to_string_pretty(&mapped)? + "\n"
            } else {
                for_people(&mapped)
            }
        }
        Command::NameMap { source, output } => {
            let names = NameMap::from_catalogue(&read(&source.catalogue)?)?;
            match output {
                Some(path) => {
                    names.write(&path)?;
                    format!("{}: {} names\n", path.display(), names.len())
                }
                None => names.to_json(),
            }
        }
        Command::List { source, json } => {
            let catalogue = read(&source.catalogue)?;
            let volumes: Vec<&Volume> = catalogue.volumes().collect();
            if json {
                serde_json::to_string_pretty(&volumes)? + "\n"
            } else {
                volumes.into_iter().map(line).collect()
            }
        }
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write to standard output")
}

fn read(path: &Path) -> Result<Catalogue> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("cannot read the catalogue from standard input")?;
        text
    } else {
        std::fs::read_to_string(path).with_context(|| format!("cannot read the catalogue {}", path.display()))?
    };
    Catalogue::from_describe_volumes(&text).with_context(|| format!("catalogue {}", path.display()))
}

fn for_people(mapped: &Mapped) -> String {
    let mut text = format!("volume     {}", line(&mapped.volume));
    for (key, value) in &mapped.labels {
        text += &format!("label      {key}={value}\n");
    }
    text + &format!("resource   {}\nzone       {}\n", mapped.claim, mapped.zone)
}

fn line(volume: &Volume) -> String {
    let held_by: Vec<String> = volume
        .attachments
        .iter()
        .map(|a| format!("{} ({})", a.instance, a.state))
        .collect();
    format!(
        "{}  {}  {}  {} GiB  {}{}{}\n",
        volume.id,
        volume_labels::cleaned(volume.name.as_deref().unwrap_or("-")),
        volume.zone,
        volume.size_gib,
        volume.state,
        if volume.multi_attach { "  multi-attach" } else { "" },
        if held_by.is_empty() {
            String::new()
        } else {
            format!("  held by {}", held_by.join(", "))
        },
    )
}
