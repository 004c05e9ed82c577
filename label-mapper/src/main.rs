//! The command line of label-mapper.
#![forbid(unsafe_code)]

mod arguments;
mod shown;

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command as Process, ExitCode, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use clap::Parser;
use label_mapper::{Agents, Catalogue, Cluster, Converted, NameMap, Options, Spelling, Volume};
use operator_files::Problem;

use arguments::{Cli, Command, Source, Volumes};

/// Longest catalogue, definition or list of agents that is read: a listing has about 1 KB for each volume.
const MAX_BYTES: u64 = 256 << 20;

const NO_CATALOGUE: &str = "give --catalogue FILE or --catalogue-command 'aws ec2 describe-volumes'";

/// The exit code of a command that succeeded for some tasks or volumes only; see `--help`.
const NOT_ALL: u8 = 3;

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("label-mapper: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    let text = match command {
        Command::Resolve {
            name,
            source,
            slot,
            spelling,
            json,
        } => {
            let catalogue = catalogue(&source)?;
            let volume = catalogue.resolve(&name)?;
            if spelling == Spelling::Name {
                catalogue.check_name(volume, None)?;
            }
            let mapped = label_mapper::mapped(volume, slot, spelling);
            if json {
                serde_json::to_string_pretty(&mapped)? + "\n"
            } else {
                shown::mapped(&mapped)
            }
        }
        Command::NameMap { source, output, json } => {
            let catalogue = catalogue(&source)?;
            let names = NameMap::from_catalogue(&catalogue);
            let volumes = names.doubtful().iter().map(ToString::to_string);
            let aliases = catalogue.doubtful_aliases().map(ToString::to_string);
            let doubtful: Vec<String> = volumes.chain(aliases).collect();
            if !json {
                for doubtful in &doubtful {
                    eprintln!("label-mapper: {doubtful}");
                }
            }
            if let Some(path) = &output {
                names.write(path)?;
            }
            match output {
                file if json => {
                    let names: serde_json::Value = serde_json::from_str(&names.to_json())?;
                    let object = serde_json::json!({ "file": file, "names": names, "doubtful": doubtful });
                    serde_json::to_string_pretty(&object)? + "\n"
                }
                Some(path) => {
                    format!(
                        "{}: {} {}\n",
                        path.display(),
                        names.len(),
                        if names.len() == 1 { "name" } else { "names" }
                    )
                }
                None => names.to_json(),
            }
        }
        Command::List { source, json } => {
            let catalogue = catalogue(&source)?;
            let volumes: Vec<&Volume> = catalogue.volumes().collect();
            if json {
                serde_json::to_string_pretty(&volumes)? + "\n"
            } else {
                volumes
                    .into_iter()
                    .map(|volume| shown::volume(volume, &catalogue))
                    .collect()
            }
        }
        Command::Convert {
            definition,
            volumes,
            json,
        } => {
            if !volumes.source.is_given() {
                bail!("names are looked up in a catalogue: {NO_CATALOGUE}");
            }
            let act = |text: &str, options: &Options<'_>| label_mapper::convert(definition.from, text, options);
            written(&definition.file, &volumes, json, "", &mut code, act)?
        }
        Command::JobFile { definition, json } => {
            let made = label_mapper::job_file(definition.from, &file(&definition.file, "the definition")?)?;
            if made.leaves_volumes_out {
                code = ExitCode::from(NOT_ALL);
            }
            if json {
                let object = serde_json::json!({
                    "job_file": made.text,
                    "notes": made.notes,
                    "leaves_volumes_out": made.leaves_volumes_out,
                });
                serde_json::to_string_pretty(&object)? + "\n"
            } else {
                for note in &made.notes {
                    eprintln!("label-mapper: {note}");
                }
                made.text
            }
        }
        Command::Migrate {
            definition,
            back,
            volumes,
            json,
        } => {
            let act = |text: &str, options: &Options<'_>| match back {
                true => label_mapper::migrate_back(definition.from, text, options),
                false => label_mapper::migrate(definition.from, text, options),
            };
            let kind = match back {
                true => " by label",
                false => " in the framework's own fields",
            };
            written(&definition.file, &volumes, json, kind, &mut code, act)?
        }
        Command::Explain {
            what,
            from,
            volumes,
            agents,
            json,
        } => {
            let catalogue = volumes.catalogue()?;
            let given = volumes.given();
            let options = volumes.options(catalogue.as_ref(), &given);
            let agents_file = agents
                .agents
                .as_deref()
                .map(|path| file(path, "the agents"))
                .transpose()?;
            let listed = agents_file
                .map(|text| Agents::from_slaves(&text, options.zone_attribute, &agents.instance_attribute))
                .transpose()
                .context("--agents")?;
            let cluster = Cluster {
                agents: listed.as_ref(),
                attach_limit: agents.attach_limit,
            };
            let no_agent_fits = |verdicts: &Option<Vec<label_mapper::Verdict>>| {
                verdicts
                    .as_ref()
                    .is_some_and(|all| !all.iter().any(|verdict| verdict.fits))
            };
            match from {
                Some(framework) => {
                    let text = file(Path::new(&what), "the definition")?;
                    let explained = label_mapper::explain(framework, &text, &options, &cluster)?;
                    let stuck =
                        |task: &label_mapper::Explained| task.report.has_no_way() || no_agent_fits(&task.agents);
                    if explained.iter().any(stuck) {
                        code = ExitCode::from(NOT_ALL);
                    }
                    if json {
                        serde_json::to_string_pretty(&explained)? + "\n"
                    } else {
                        shown::tasks(&explained, || volumes.none(""))
                    }
                }
                None => {
                    let catalogue = catalogue
                        .as_ref()
                        .with_context(|| format!("a volume is explained from a catalogue: {NO_CATALOGUE}"))?;
                    let explained = match label_mapper::explain_volume(&what, catalogue, &options, &cluster) {
                        Err(error) if Path::new(&what).is_file() => {
                            bail!("{error}; the file of that name is read when --from names its framework")
                        }
                        explained => explained?,
                    };
                    if no_agent_fits(&explained.agents) {
                        code = ExitCode::from(NOT_ALL);
                    }
                    if json {
                        serde_json::to_string_pretty(&explained)? + "\n"
                    } else {
                        shown::explained_volume(&explained, catalogue)
                    }
                }
            }
        }
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write to standard output")?;
    Ok(code)
}

/// Runs a conversion of volumes of this kind; its notes go to standard error, so that the definition alone is on standard
/// output.
fn written<E: std::error::Error + Send + Sync + 'static>(
    path: &Path,
    volumes: &Volumes,
    json: bool,
    kind: &str,
    code: &mut ExitCode,
    act: impl FnOnce(&str, &Options<'_>) -> Result<Converted, E>,
) -> Result<String> {
    if path == Path::new("-") && volumes.source.catalogue.iter().any(|other| other == path) {
        bail!("the definition and the catalogue cannot both come from standard input");
    }
    let catalogue = volumes.catalogue()?;
    let text = file(path, "the definition")?;
    let converted = act(&text, &volumes.options(catalogue.as_ref(), &volumes.given()))?;
    if !converted.all_mounted() {
        *code = ExitCode::from(NOT_ALL);
    }
    if json {
        return Ok(serde_json::to_string_pretty(&converted)? + "\n");
    }
    for task in &converted.tasks {
        for note in &task.notes {
            eprintln!("label-mapper: task '{}': {note}", task.task);
        }
    }
    if converted.tasks.is_empty() {
        eprintln!("label-mapper: {}, nothing is changed", volumes.none(kind));
    }
    Ok(converted.definition)
}

impl Source {
    fn is_given(&self) -> bool {
        !self.catalogue.is_empty() || self.catalogue_command.is_some()
    }
}

impl Volumes {
    fn catalogue(&self) -> Result<Option<Catalogue>> {
        self.source.is_given().then(|| catalogue(&self.source)).transpose()
    }
}

fn catalogue(source: &Source) -> Result<Catalogue> {
    let mut texts = Vec::new();
    for path in &source.catalogue {
        texts.push(catalogue_file(path)?);
    }
    if let Some(command) = &source.catalogue_command {
        texts.push(output_of(command)?);
    }
    if !source.is_given() {
        bail!("no catalogue: {NO_CATALOGUE}");
    }
    let names: Vec<String> = source
        .catalogue
        .iter()
        .map(|path| path.display().to_string())
        .chain(source.catalogue_command.iter().map(|command| format!("of '{command}'")))
        .collect();
    let named: Vec<String> = names.iter().map(|name| format!("catalogue {name}")).collect();
    let sources = named.iter().map(String::as_str).zip(texts.iter().map(String::as_str));
    Catalogue::from_sources(sources).with_context(|| format!("catalogue {}", names.join(", ")))
}

/// What the command prints. Its standard error is the standard error of this program.
fn output_of(command: &str) -> Result<String> {
    let output = Process::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run the catalogue command '{command}'"))?;
    if !output.status.success() {
        bail!("the catalogue command '{command}' failed: {}", output.status);
    }
    label_mapper::decoded(output.stdout).with_context(|| format!("the output of the catalogue command '{command}'"))
}

/// The text of a file, in whatever encoding a shell wrote it.
fn file(path: &Path, what: &str) -> Result<String> {
    if path == Path::new("-") {
        return standard_input(what);
    }
    let bytes =
        operator_files::read_given_bytes(path, MAX_BYTES).map_err(|error| anyhow!("cannot read {what} {error}"))?;
    label_mapper::decoded(bytes).with_context(|| format!("cannot read {what} {}", path.display()))
}

/// A catalogue decides which volume a name means, so only root and the caller may have written it.
fn catalogue_file(path: &Path) -> Result<String> {
    if path == Path::new("-") {
        return standard_input("the catalogue");
    }
    let bytes = operator_files::read_bytes(path, MAX_BYTES).map_err(|error| {
        let remedy = match error.problem {
            Problem::NotRegular(_) => " ('--catalogue -' reads the output of another program)",
            _ => "",
        };
        anyhow!("cannot read the catalogue {error}{remedy}")
    })?;
    label_mapper::decoded(bytes).with_context(|| format!("cannot read the catalogue {}", path.display()))
}

fn standard_input(what: &str) -> Result<String> {
    let cannot = || format!("cannot read {what} from standard input");
    let mut bytes = Vec::new();
    let mut input = std::io::stdin().take(MAX_BYTES + 1);
    input.read_to_end(&mut bytes).with_context(cannot)?;
    if bytes.len() as u64 > MAX_BYTES {
        bail!("cannot read {what} from standard input: it has more than {MAX_BYTES} bytes");
    }
    label_mapper::decoded(bytes).with_context(cannot)
}
