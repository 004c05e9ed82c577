//! What would happen with a task's volumes, and why.

use serde::Serialize;

use crate::agents::{Agents, Demand, Verdict};
use crate::catalogue::Volume;
use crate::convert::{ConvertError, TaskReport, convert};
use crate::frameworks::{Channel, Framework};
use crate::mapping::{Mapped, Spelling, mapped};
use crate::options::Options;
use crate::placement::VolumeProblem;
use crate::task_placement;

/// How to look at agents.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cluster<'a> {
    /// The agents; without them none is judged.
    pub agents: Option<&'a Agents>,
    /// How many volumes a host may have attached.
    pub attach_limit: Option<usize>,
}

/// One task of a definition, explained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// What `convert` would write, with its notes.
    #[serde(flatten)]
    pub report: TaskReport,
    /// What each volume is and how it reaches the task, one line each.
    pub reasons: Vec<String>,
    /// Whether each agent can run it; none when no agents are known.
    pub agents: Option<Vec<Verdict>>,
}

/// One volume, explained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedVolume {
    /// Volume, labels, claim and zone.
    #[serde(flatten)]
    pub mapped: Mapped,
    /// Its aliases.
    pub aliases: Vec<String>,
    /// What keeps it from being used at once.
    pub notes: Vec<String>,
    /// Whether each agent can run a task that holds it; none when no agents are known.
    pub agents: Option<Vec<Verdict>>,
}

/// Explains every task with volumes of a definition. Nothing is written.
///
/// # Errors
/// As [`convert`].
pub fn explain(
    framework: Framework,
    text: &str,
    options: &Options<'_>,
    cluster: &Cluster<'_>,
) -> Result<Vec<Explained>, ConvertError> {
    let converted = convert(framework, text, options)?;
    let explained = converted.tasks.into_iter().map(|mut report| {
        let volumes: Vec<Volume> = report
            .volumes
            .iter()
            .flat_map(|requested| requested.volumes.clone())
            .collect();
        report.notes.extend(strangers(&volumes, cluster));
        Explained {
            reasons: reasons(&report),
            agents: verdicts(&volumes, framework == Framework::TaskInfo, options, cluster),
            report,
        }
    });
    Ok(explained.collect())
}

/// Explains one volume, by its name, at the slot `data`.
///
/// # Errors
/// As [`Catalogue::resolve`](crate::Catalogue::resolve), and a name that the driver cannot be given
/// where it is given the name.
pub fn explain_volume(
    name: &str,
    catalogue: &crate::Catalogue,
    options: &Options<'_>,
    cluster: &Cluster<'_>,
) -> Result<ExplainedVolume, VolumeProblem> {
    let volume = catalogue.resolve(name)?;
    if options.spelling == Spelling::Name {
        catalogue.check_name(volume, options.default_driver)?;
    }
    let slot = "data".parse().expect("the word is a slot");
    let options = Options {
        catalogue: Some(catalogue),
        ..*options
    };
    Ok(ExplainedVolume {
        mapped: mapped(volume, slot, options.spelling),
        aliases: catalogue.aliases(&volume.id).map(str::to_owned).collect(),
        notes: [
            task_placement::state(volume),
            strangers(std::slice::from_ref(volume), cluster),
        ]
        .concat(),
        agents: verdicts(std::slice::from_ref(volume), true, &options, cluster),
    })
}

fn strangers(volumes: &[Volume], cluster: &Cluster<'_>) -> Vec<String> {
    cluster
        .agents
        .map(|agents| agents.strangers(volumes))
        .unwrap_or_default()
}

fn verdicts(
    volumes: &[Volume],
    holds_claims: bool,
    options: &Options<'_>,
    cluster: &Cluster<'_>,
) -> Option<Vec<Verdict>> {
    let (agents, catalogue) = cluster.agents.zip(options.catalogue)?;
    Some(agents.verdicts(&Demand {
        volumes,
        holds_claims,
        catalogue,
        attach_limit: cluster.attach_limit,
    }))
}

fn reasons(report: &TaskReport) -> Vec<String> {
    let mut lines = Vec::new();
    for requested in &report.volumes {
        let labels = &requested.labels;
        let meant: Vec<String> = requested
            .volumes
            .iter()
            .map(|volume| format!("{} in {}", volume.id, volume.zone))
            .collect();
        // Each copy with its own volume has its own name.
        let made = match requested.volumes.as_slice() {
            [_, _, ..] => requested
                .volumes
                .iter()
                .filter_map(|volume| volume.name.as_deref())
                .collect::<Vec<_>>()
                .join(", "),
            _ => labels.name.clone(),
        };
        let meant = if meant.is_empty() {
            "a volume that is not known yet".to_owned()
        } else {
            meant.join(", ")
        };
        let by = match (&labels.driver, requested.channel) {
            (Some(driver), _) => format!("driver {driver}"),
            (None, Channel::DockerEngine) => {
                "the driver that the Docker engine knows it by, else Docker's own 'local'".to_owned()
            }
            (None, _) => "the agent's default driver".to_owned(),
        };
        let way = match requested.channel {
            Channel::Labels => "by label",
            Channel::DockerVolume => "as DOCKER_VOLUME",
            Channel::Environment => "by DVDI_VOLUME_* variables",
            Channel::DockerEngine => "by the Docker engine",
            Channel::Nothing => "by no way at all",
        };
        lines.push(format!(
            "'{}' is {meant}; it comes {way} as '{}' to {} ({}), through {by}",
            volume_labels::cleaned(&requested.name),
            volume_labels::cleaned(&made),
            labels.path,
            labels.mode,
        ));
    }
    lines
}
