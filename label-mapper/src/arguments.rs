//! The arguments of the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use label_mapper::{Catalogue, Framework, Options, Spelling};
use volume_labels::Slot;

/// From a volume's human name to its EBS id, labels, claim and zone.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:\n\
\x20 label-mapper resolve orders --catalogue volumes.json\n\
\x20 label-mapper convert --from marathon --catalogue volumes.json app.json\n\
\x20 label-mapper name-map --catalogue volumes.json --output /etc/mesos/names.json\n\n\
Exit codes: 0 done; 1 a name, the catalogue or the definition is wrong; 2 wrong usage; 3 done, but a task's \
                  volumes cannot reach it (convert, migrate, explain), or no agent can run it (explain with --agents)."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Args)]
pub(crate) struct Source {
    /// What `aws ec2 describe-volumes` printed, or a catalogue file; `-` reads it from standard input. May be repeated
    #[arg(long, value_name = "FILE", env = "LABEL_MAPPER_CATALOGUE")]
    pub(crate) catalogue: Vec<PathBuf>,
    /// Run this command in a shell and use its output as a catalogue
    #[arg(long, value_name = "COMMAND")]
    pub(crate) catalogue_command: Option<String>,
}

/// The definition to work on.
#[derive(Args)]
pub(crate) struct Definition {
    /// The framework whose definition it is
    #[arg(long, value_enum)]
    pub(crate) from: Framework,
    /// The definition's file; `-` reads standard input
    #[arg(default_value = "-")]
    pub(crate) file: PathBuf,
}

/// The options of commands that look volumes up and write them.
#[derive(Args)]
pub(crate) struct Volumes {
    #[command(flatten)]
    pub(crate) source: Source,
    /// How labels spell a volume: `id`, or `name` for agents without a `name_map` file
    #[arg(long, value_enum, default_value_t)]
    spelling: Spelling,
    /// The agents' attribute with their zone; `@zone` for fault domains (Marathon, dcos-commons)
    #[arg(long, value_name = "NAME", default_value = "zone")]
    zone_attribute: String,
    /// The driver of volumes whose labels name none, where the agent's own default does not count
    #[arg(long, value_name = "NAME")]
    default_driver: Option<String>,
    /// The role that the agents' `ebsvolumes` is reserved for (task-info)
    #[arg(long, value_name = "ROLE")]
    claim_role: Option<String>,
    /// Give the task this volume: `data=orders`. May be repeated
    #[arg(long = "volume", value_name = "SLOT=NAME", value_parser = volume)]
    volumes: Vec<(String, String)>,
    /// Give the task this label: `volume.data.mode=ro`. May be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// Work on this task of the definition only
    #[arg(long, value_name = "NAME")]
    task: Option<String>,
}

impl Volumes {
    /// The message when no task has volumes of this kind.
    pub(crate) fn none(&self, kind: &str) -> String {
        match &self.task {
            Some(task) => format!("task '{task}' has no volumes{kind}"),
            None => format!("no task here has volumes{kind}"),
        }
    }

    /// The labels of both kinds of argument.
    pub(crate) fn given(&self) -> Vec<(String, String)> {
        self.volumes.iter().chain(&self.labels).cloned().collect()
    }

    /// The same for the library.
    pub(crate) fn options<'a>(
        &'a self,
        catalogue: Option<&'a Catalogue>,
        given: &'a [(String, String)],
    ) -> Options<'a> {
        Options {
            catalogue,
            spelling: self.spelling,
            zone_attribute: &self.zone_attribute,
            default_driver: self.default_driver.as_deref(),
            claim_role: self.claim_role.as_deref(),
            given,
            task: self.task.as_deref(),
        }
    }
}

/// The agents that `explain` looks at.
#[derive(Args)]
pub(crate) struct Cluster {
    /// The response of the master's /slaves: show which agents can run the task
    #[arg(long, value_name = "FILE")]
    pub(crate) agents: Option<PathBuf>,
    /// The agents' attribute with their instance id
    #[arg(long, value_name = "NAME", default_value = "instance_id")]
    pub(crate) instance_attribute: String,
    /// How many volumes an instance may have attached
    #[arg(long, value_name = "COUNT")]
    pub(crate) attach_limit: Option<usize>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Print the labels, the claim and the zone of a volume
    #[command(after_help = "Examples:\n\
\x20 label-mapper resolve orders --catalogue volumes.json\n\
\x20 label-mapper resolve orders --catalogue-command 'aws ec2 describe-volumes' --json")]
    Resolve {
        /// A volume's id, alias or Name tag
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
    #[command(after_help = "Examples:\n\
\x20 label-mapper name-map --catalogue volumes.json --output /etc/mesos/names.json")]
    NameMap {
        #[command(flatten)]
        source: Source,
        /// Replace this file atomically instead of printing
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Print one JSON object: the names, those that are doubtful, and the file that was written
        #[arg(long)]
        json: bool,
    },
    /// Print the volumes of the catalogue
    #[command(after_help = "Examples:\n\
\x20 label-mapper list --catalogue volumes.json")]
    List {
        #[command(flatten)]
        source: Source,
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Print a definition with its volumes looked up, and labels, claims and zone constraint written
    #[command(after_help = "Examples:\n\
\x20 label-mapper convert --from marathon --catalogue volumes.json app.json\n\
\x20 label-mapper convert --from marathon --catalogue volumes.json --volume data=orders app.json")]
    Convert {
        #[command(flatten)]
        definition: Definition,
        #[command(flatten)]
        volumes: Volumes,
        /// Print one JSON object: the definition's text and the result for each task
        #[arg(long)]
        json: bool,
    },
    /// Print a definition as a job file of the scheduler (marathon, dcos-commons)
    #[command(after_help = "Examples:\n\
\x20 label-mapper job-file --from marathon app.json > job.yml")]
    JobFile {
        #[command(flatten)]
        definition: Definition,
        /// Print one JSON object: the job file's text and the notes on what it leaves out
        #[arg(long)]
        json: bool,
    },
    /// Print a definition with its external volumes turned into labels
    #[command(after_help = "Examples:\n\
\x20 label-mapper migrate --from marathon --catalogue volumes.json app.json\n\
\x20 label-mapper migrate --back --from marathon --default-driver rexray app.json")]
    Migrate {
        #[command(flatten)]
        definition: Definition,
        /// Turn labels back into external volumes of the framework
        #[arg(long)]
        back: bool,
        #[command(flatten)]
        volumes: Volumes,
        /// Print one JSON object: the definition's text and the result for each task
        #[arg(long)]
        json: bool,
    },
    /// Explain what would happen with a volume or with a definition's volumes, and why
    #[command(after_help = "Examples:\n\
\x20 label-mapper explain orders --catalogue volumes.json --agents slaves.json\n\
\x20 label-mapper explain --from marathon --catalogue volumes.json app.json")]
    Explain {
        /// A volume's id, alias or Name tag; with --from the file of a definition (`-` reads standard input)
        what: String,
        /// The framework whose definition it is
        #[arg(long, value_enum)]
        from: Option<Framework>,
        #[command(flatten)]
        volumes: Volumes,
        #[command(flatten)]
        agents: Cluster,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| "there is no '='".to_owned())?;
    Ok((key.to_owned(), value.to_owned()))
}

fn volume(text: &str) -> Result<(String, String), String> {
    let (slot, name) = pair(text)?;
    let slot: Slot = slot
        .parse()
        .map_err(|error: volume_labels::LabelError| error.to_string())?;
    Ok((format!("volume.{slot}"), name))
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = pair(text)?;
    match key.starts_with("volume.") {
        true => Ok((key, value)),
        false => Err("only labels that begin with 'volume.' are written".to_owned()),
    }
}
