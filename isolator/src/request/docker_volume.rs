//! `ContainerInfo.volumes` with a `DOCKER_VOLUME` source, as Mesos' built-in isolator docker/volume
//! takes them.

use volume_labels::{Create, Mode};

use super::error::ParseError;
use super::requested_volume::RequestedVolume;
use super::unchecked::{self, UncheckedVolume};
use crate::origin::Origin;
use crate::types::DockerVolume;

/// The volumes, in their order. docker/volume has dvdcli create what is missing, so these are to be
/// created too.
///
/// # Errors
/// When labels could not request the volume either.
pub(super) fn requested(volumes: &[DockerVolume]) -> Result<Vec<RequestedVolume>, ParseError> {
    let unchecked = volumes.iter().map(|volume| UncheckedVolume {
        origin: Origin::DockerVolume(volume.index),
        slot: format!("volumes-{}", volume.index),
        name: &volume.name,
        driver: volume.driver.as_deref(),
        path: Some(&volume.path),
        mode: if volume.read_only {
            Mode::ReadOnly
        } else {
            Mode::ReadWrite
        },
        create: Create::IfMissing,
        options: pairs(&volume.options),
    });
    unchecked::check(unchecked.collect())
}

fn pairs(options: &[(String, String)]) -> Vec<(&str, &str)> {
    options
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

#[cfg(test)]
mod tests {
    use volume_labels::ContainerPath;

    use super::*;

    fn volume(name: &str) -> DockerVolume {
        DockerVolume {
            index: 2,
            driver: Some("rexray".to_owned()),
            name: name.to_owned(),
            options: Vec::new(),
            path: "data".to_owned(),
            read_only: false,
        }
    }

    fn options(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    fn problem(volume: DockerVolume) -> String {
        let problem = requested(&[volume]).unwrap_err().to_string();
        assert!(
            !problem.chars().any(char::is_control) && problem.len() < 1000,
            "{problem}"
        );
        problem
    }

    #[test]
    fn everything_that_is_said_of_a_volume_is_requested() {
        let said = DockerVolume {
            options: options(&[("size", "10"), ("iops", "a=b,c d;$(x)")]),
            path: "/var/lib//app/".to_owned(),
            read_only: true,
            ..volume("flights")
        };
        let requested = requested(&[said]).unwrap().remove(0);
        assert_eq!(requested.display_origin(), "ContainerInfo.volumes[2] = 'flights'");
        assert_eq!(requested.origin.recorded(), "ContainerInfo.volumes[2]");
        let labels = requested.labels;
        assert_eq!(labels.driver.as_deref(), Some("rexray"));
        assert_eq!(labels.path, ContainerPath::Absolute("/var/lib/app".into()));
        assert_eq!(labels.mode, Mode::ReadOnly);
        assert_eq!(labels.create, Create::IfMissing);
        let kept: Vec<(&str, &str)> = labels.options.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(kept, [("iops", "a=b,c d;$(x)"), ("size", "10")]);
        assert_eq!((labels.owner, labels.claim), (None, None));
    }

    #[test]
    fn what_no_label_may_say_is_refused_by_its_place() {
        let long = "x".repeat(5000);
        for (said, words) in [
            (volume(""), "ContainerInfo.volumes[2] = '': the value is empty"),
            (volume("a\nb"), "ContainerInfo.volumes[2] = 'a\\nb'"),
            (volume(&long), "longer than 255 bytes"),
            (
                DockerVolume {
                    driver: Some(String::new()),
                    ..volume("v")
                },
                "ContainerInfo.volumes[2].source.docker_volume.driver = ''",
            ),
            (
                DockerVolume {
                    path: "../out".to_owned(),
                    ..volume("v")
                },
                "ContainerInfo.volumes[2].container_path = '../out': the path has a '..'",
            ),
            (
                DockerVolume {
                    path: String::new(),
                    ..volume("v")
                },
                "the path is empty",
            ),
            (
                DockerVolume {
                    options: options(&[("k", &long)]),
                    ..volume("v")
                },
                "driver_options 'k' = 'xxx",
            ),
            (
                DockerVolume {
                    options: options(&[("", "v")]),
                    ..volume("v")
                },
                "the key is empty",
            ),
            (
                DockerVolume {
                    options: options(&[("size", "1"), ("size", "2")]),
                    ..volume("v")
                },
                "'size' = '2': it is given twice, the other time as '1'",
            ),
        ] {
            let problem = problem(said);
            assert!(problem.contains(words), "'{words}' is not in: {problem}");
        }
    }

    #[test]
    fn two_at_one_path_and_too_many_are_refused() {
        let at = |index: usize, path: &str| DockerVolume {
            index,
            path: path.to_owned(),
            ..volume("v")
        };
        let problem = requested(&[at(0, "data"), at(3, "./data/")]).unwrap_err().to_string();
        assert!(
            problem.contains("ContainerInfo.volumes[0] and ContainerInfo.volumes[3] both mount at 'data'"),
            "{problem}"
        );
        assert!(
            requested(&[at(0, "data"), at(1, "again")]).is_ok(),
            "one volume at two paths"
        );
        let many: Vec<DockerVolume> = (0..65).map(|index| at(index, &format!("d{index}"))).collect();
        let problem = requested(&many).unwrap_err().to_string();
        assert!(problem.contains("at most 64"), "{problem}");
        let options = (0..65).map(|number| (format!("k{number}"), "v".to_owned())).collect();
        let crowded = DockerVolume { options, ..volume("v") };
        let problem = requested(&[crowded]).unwrap_err().to_string();
        assert!(problem.contains("more than 64 driver options"), "{problem}");
    }
}
