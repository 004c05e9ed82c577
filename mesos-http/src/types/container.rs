//! Containers: image and volumes.

use serde::{Deserialize, Serialize};

use super::wire::open_enum;

open_enum! {
    /// Which containerizer runs a container. Isolators, and so external volumes by label, exist
    /// only in the Mesos containerizer.
    ContainerKind {
        /// The Mesos containerizer.
        Mesos = "MESOS",
        /// The Docker containerizer.
        Docker = "DOCKER",
    }
}

/// How a task or executor is contained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerInfo {
    /// The containerizer.
    #[serde(rename = "type")]
    pub kind: ContainerKind,
    /// Volumes that Mesos itself mounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// The Mesos containerizer's part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesos: Option<MesosInfo>,
    /// The Docker containerizer's part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docker: Option<DockerInfo>,
    /// Everything else (networks, capabilities, limits, terminal), as it came.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

impl ContainerInfo {
    /// A container of the Mesos containerizer on the host's file system.
    pub fn mesos() -> ContainerInfo {
        let other = serde_json::Map::new();
        ContainerInfo {
            kind: ContainerKind::Mesos,
            volumes: Vec::new(),
            mesos: None,
            docker: None,
            other,
        }
    }

    /// A container of the Docker containerizer, with the host's network.
    pub fn docker(image: impl Into<String>) -> ContainerInfo {
        let other = serde_json::Map::from_iter([("network".to_owned(), "HOST".into())]);
        ContainerInfo {
            kind: ContainerKind::Docker,
            docker: Some(DockerInfo {
                image: image.into(),
                other,
            }),
            ..ContainerInfo::mesos()
        }
    }

    /// The same container with a Docker image as its file system.
    pub fn with_docker_image(mut self, name: impl Into<String>) -> ContainerInfo {
        self.mesos = Some(MesosInfo {
            image: Some(Image::docker(name)),
        });
        self
    }

    /// The same container with one more volume.
    pub fn with_volume(mut self, volume: Volume) -> ContainerInfo {
        self.volumes.push(volume);
        self
    }
}

/// What only the Mesos containerizer needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MesosInfo {
    /// The image; the host's file system when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
}

/// What only the Docker containerizer needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DockerInfo {
    /// The image's name.
    pub image: String,
    /// Everything else, as it came.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

open_enum! {
    /// The format of an image.
    ImageKind {
        /// Docker.
        Docker = "DOCKER",
        /// App Container.
        Appc = "APPC",
    }
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The format.
    #[serde(rename = "type")]
    pub kind: ImageKind,
    /// Its name, for a Docker image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docker: Option<ImageName>,
    /// Everything else, as it came.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

impl Image {
    /// A Docker image.
    pub fn docker(name: impl Into<String>) -> Image {
        let docker = Some(ImageName {
            name: name.into(),
            other: serde_json::Map::new(),
        });
        Image {
            kind: ImageKind::Docker,
            docker,
            other: serde_json::Map::new(),
        }
    }
}

/// The name of a Docker image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageName {
    /// The name, as `docker pull` takes it.
    pub name: String,
    /// Everything else, as it came.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

open_enum! {
    /// Whether a volume may be written.
    VolumeMode {
        /// Read and write.
        ReadWrite = "RW",
        /// Read only.
        ReadOnly = "RO",
    }
}

/// A volume in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Whether it may be written.
    pub mode: VolumeMode,
    /// Where it is seen; relative to the sandbox unless absolute.
    pub container_path: String,
    /// A file or directory of the host; the older way to say `HOST_PATH`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_path: Option<String>,
    /// An image as a volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<VolumeSource>,
}

impl Volume {
    /// A file or directory of the host.
    pub fn host_path(container_path: impl Into<String>, path: impl Into<String>, mode: VolumeMode) -> Volume {
        let host_path = Some(HostPath { path: path.into() });
        let source = VolumeSource {
            host_path,
            ..VolumeSource::of(VolumeSourceKind::HostPath)
        };
        Volume {
            source: Some(source),
            ..Volume::at(container_path, mode)
        }
    }

    /// A volume of a Docker volume driver.
    pub fn docker(container_path: impl Into<String>, volume: DockerVolume, mode: VolumeMode) -> Volume {
        let docker_volume = Some(volume);
        let source = VolumeSource {
            docker_volume,
            ..VolumeSource::of(VolumeSourceKind::DockerVolume)
        };
        Volume {
            source: Some(source),
            ..Volume::at(container_path, mode)
        }
    }

    fn at(container_path: impl Into<String>, mode: VolumeMode) -> Volume {
        Volume {
            mode,
            container_path: container_path.into(),
            host_path: None,
            image: None,
            source: None,
        }
    }
}

open_enum! {
    /// Where a volume comes from.
    VolumeSourceKind {
        /// A Docker volume driver.
        DockerVolume = "DOCKER_VOLUME",
        /// The host.
        HostPath = "HOST_PATH",
        /// The sandbox of this container or the one around it.
        SandboxPath = "SANDBOX_PATH",
        /// A secret.
        Secret = "SECRET",
        /// A CSI plugin.
        CsiVolume = "CSI_VOLUME",
    }
}

/// Where a volume comes from, with what that source needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSource {
    /// The kind; it says which field below counts.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<VolumeSourceKind>,
    /// Driver and name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docker_volume: Option<DockerVolume>,
    /// A path of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_path: Option<HostPath>,
    /// A path of a sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox_path: Option<SandboxPath>,
    /// Everything else, as it came.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

impl VolumeSource {
    fn of(kind: VolumeSourceKind) -> VolumeSource {
        let other = serde_json::Map::new();
        VolumeSource {
            kind: Some(kind),
            docker_volume: None,
            host_path: None,
            sandbox_path: None,
            other,
        }
    }
}

/// A volume of a Docker volume driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DockerVolume {
    /// The driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The volume's name, as the driver knows it.
    pub name: String,
    /// Options for the driver's Create.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver_options: Option<Parameters>,
}

/// Key-value pairs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// In order.
    #[serde(default)]
    pub parameter: Vec<Parameter>,
}

/// One key-value pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
}

/// A file or directory of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPath {
    /// The absolute path.
    pub path: String,
}

/// A path of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxPath {
    /// `SELF` or `PARENT`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The path, relative to that sandbox.
    pub path: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_crate_does_not_model_goes_back_unchanged() {
        let json = serde_json::json!({
            "type": "MESOS",
            "mesos": {"image": {"type": "DOCKER", "docker": {"name": "alpine"}, "cached": false}},
            "linux_info": {"share_pid_namespace": true},
            "volumes": [{"mode": "RO", "container_path": "p", "source": {"type": "DOCKER_VOLUME",
                "docker_volume": {"driver": "rexray", "name": "db",
                    "driver_options": {"parameter": [{"key": "size", "value": "8"}]}}}}],
        });
        let container: ContainerInfo = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(container.other.len(), 1);
        assert_eq!(serde_json::to_value(container).unwrap(), json);
    }

    #[test]
    fn an_image_is_two_words_to_ask_for() {
        let container = ContainerInfo::mesos().with_docker_image("alpine:3");
        let json = serde_json::json!(
            {"type": "MESOS", "mesos": {"image": {"type": "DOCKER", "docker": {"name": "alpine:3"}}}}
        );
        assert_eq!(serde_json::to_value(container).unwrap(), json);
    }
}
