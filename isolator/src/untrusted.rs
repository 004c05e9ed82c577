//! What holds for every launch, whatever its labels are: from the launch as Mesos describes it to
//! the directories that volumes are mounted at. For property tests and fuzzing; no part of the
//! module.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use volume_driver_client::{Code, Discovery, Drivers};

use crate::config::Config;
use crate::error::Refusal;
use crate::names::NameMap;
use crate::policy::{self, Policy};
use crate::request::targets;
use crate::request::{parse_request, resolve};
use crate::types::{ContainerId, ContainerLaunch};

/// A message longer than this is no line a person reads.
const LONGEST: usize = 8_000;

const POLICY: &str = r#"{"version": 1, "default": "allow", "limits": {"volumes": 32, "size_gib": 1000}, "rules": [
    {"name": "no root", "effect": "deny", "owners": ["root", "0:*", "*:0"]},
    {"name": "no system folders", "effect": "deny", "paths": ["/etc*", "/proc*"], "users": ["*"], "roles": ["*"]},
    {"name": "two drivers", "effect": "deny", "drivers": ["forbidden"], "options": ["a=*", "b"], "create": true}]}"#;

/// A sandbox and an image full of traps, and a place outside of them that must stay as it is.
pub struct Ground {
    folder: TempDir,
    config: Config,
    drivers: Drivers,
    policy: Policy,
    _socket: UnixListener,
}

impl Default for Ground {
    fn default() -> Self {
        Self::new()
    }
}

impl Ground {
    /// Below the folder for temporary files; removed with it.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        for name in ["drivers", "outside/secret", "allowed/inside"] {
            fs::create_dir_all(path.join(name)).expect("a folder");
        }
        symlink(path.join("outside"), path.join("allowed/link")).expect("a link");
        let socket = UnixListener::bind(path.join("drivers/ebs.sock")).expect("a socket");
        let discovery = Discovery {
            socket_dirs: vec![path.join("drivers")],
            spec_dirs: vec![],
            ..Discovery::default()
        };
        let config = Config {
            default_driver: Some("ebs".into()),
            allowed_host_paths: vec![path.join("allowed")],
            discovery: discovery.clone(),
            docker_volume_source: true,
            dvdi_source: true,
            ..Config::default()
        };
        Self {
            drivers: Drivers::new(discovery, config.profiles.clone()),
            policy: Policy::parse(POLICY).expect("it is a policy"),
            config,
            folder,
            _socket: socket,
        }
    }

    /// Takes a launch as far as `prepare` does before it calls a driver. Its folders are replaced
    /// by those here: Mesos makes them, the rest is anybody's.
    ///
    /// # Panics
    /// When something does not hold.
    pub fn check(&self, id: &ContainerId, launch: ContainerLaunch) {
        let launch = ContainerLaunch {
            directory: self.path("sandbox"),
            rootfs: launch.rootfs.map(|_| self.path("image")),
            ..launch
        };
        for folder in ["sandbox", "image"] {
            self.set_traps(&self.path(folder));
        }
        let before = listing(self.folder.path(), &["sandbox", "image"]);
        if let Err(refusal) = self.taken(id, &launch) {
            let problem = refusal.to_string();
            assert!(!problem.is_empty() && problem.len() < LONGEST, "{problem:?}");
            assert!(!problem.chars().any(char::is_control), "{problem:?}");
        }
        let after = listing(self.folder.path(), &["sandbox", "image"]);
        assert_eq!(before, after, "something outside of the container has changed");
    }

    fn taken(&self, id: &ContainerId, launch: &ContainerLaunch) -> Result<(), Refusal> {
        let requested = parse_request(id, launch, &self.config)?;
        assert_eq!(
            Ok(&requested),
            parse_request(id, launch, &self.config).as_ref(),
            "read twice, it says the same"
        );
        assert!(requested.len() <= volume_labels::MAX_VOLUMES);
        let names = NameMap::read(None).expect("no file is read");
        let mut resolved = resolve(id, requested, launch, &self.config, &names, "host")?;
        let judged = policy::check(&self.policy, &mut resolved, launch, &self.config, &names);
        let forbidden = judged.map_err(|denied| Refusal::new(Code::Denied, denied.message))?;
        let (requests, places) = targets(&resolved, &forbidden, launch, &self.config, &self.drivers)?;
        assert_eq!((requests.len(), places.len()), (resolved.len(), resolved.len()));
        for (index, request) in requests.iter().enumerate() {
            let target = &request.target;
            let inside = match &launch.rootfs {
                Some(image) => target.starts_with(image) || target.starts_with(&launch.directory),
                None => target.starts_with(&launch.directory) || target.starts_with(self.path("allowed")),
            };
            assert!(inside, "{} is outside", target.display());
            assert!(
                !target.components().any(|part| part.as_os_str() == ".."),
                "{}",
                target.display()
            );
            if launch.rootfs.is_none() {
                let real = target.canonicalize().expect("it was made, or it is there");
                assert_eq!(real, *target, "a link is left in it");
            }
            assert!(
                requests[..index].iter().all(|other| other.target != *target),
                "two at {}",
                target.display()
            );
            assert!(!request.volume.name.is_empty() && !request.volume.driver.is_empty());
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What an image or an earlier task may have left.
    fn set_traps(&self, folder: &Path) {
        if folder.exists() {
            fs::remove_dir_all(folder).expect("it is ours");
        }
        fs::create_dir_all(folder.join("d/e")).expect("a folder");
        fs::write(folder.join("file"), "").expect("a file");
        let outside = self.path("outside");
        for (name, target) in [
            ("link", outside.as_path()),
            ("up", Path::new("../..")),
            ("root", Path::new("/")),
            ("proc", Path::new("/proc/self/root")),
            ("round", Path::new("round")),
            ("nowhere", Path::new("../outside/new")),
            ("d/in", Path::new("..")),
        ] {
            symlink(target, folder.join(name)).expect("a link");
        }
    }
}

/// Every path below a folder but those below the folders `without`.
fn listing(folder: &Path, without: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("it is ours").flatten() {
            let path = entry.path();
            let passed_over = next == folder && without.iter().any(|name| path.ends_with(name));
            if !passed_over && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path.clone());
            }
            found.push(path);
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::types::{ContainerClass, DockerVolume};

    fn label() -> impl Strategy<Value = (String, String)> {
        let key = prop_oneof![
            4 => "volume\\.[a-c]",
            4 => "volume\\.[a-c]\\.(driver|path|mode|access|lifetime|create|owner|flags|subpath|claim|options\\.[a-c]{1,3})",
            1 => any::<String>().prop_map(|rest| format!("volume.{rest}")),
            1 => any::<String>(),
        ];
        let path = "/?((d|e|in|link|up|root|proc|round|nowhere|file|\\.|\\.\\.|etc|mnt|new|allowed)/{1,2}){0,3}(d|in|link|new|up|é)";
        let value = prop_oneof![
            3 => path,
            2 => "(rw|ro|shared|exclusive|persistent|container|never|if-missing|ebs|[0-9]{1,11}:[0-9]{1,3}|root)",
            1 => any::<String>(),
            1 => "\\PC{200,600}",
        ];
        (key, value)
    }

    prop_compose! {
        fn docker_volume()(
            index in 0_usize..5,
            driver in proptest::option::of("(ebs|forbidden|)"),
            name in "(v|[a-c]{1,3}|\\PC{0,300})",
            options in proptest::collection::vec(("[a-c]{0,2}", any::<String>()), 0..3),
            (_, path) in label(),
            read_only in any::<bool>(),
        ) -> DockerVolume {
            DockerVolume { index, driver, name, options, path, read_only }
        }
    }

    fn dvdi_variable() -> impl Strategy<Value = (String, String)> {
        let name = "DVDI_VOLUME_(NAME|DRIVER|OPTS|CONTAINERPATH|[A-Z]{0,9})[0-9]?";
        (
            name,
            prop_oneof!["[a-c=,/;$` ]{0,20}", label().prop_map(|(_, value)| value)],
        )
    }

    prop_compose! {
        fn launch()(
            task_labels in proptest::collection::vec(label(), 0..6),
            executor_labels in proptest::collection::vec(label(), 0..6),
            image in any::<bool>(),
            debug in proptest::bool::weighted(0.05),
            held in proptest::collection::btree_set("[a-c]{1,2}", 0..3),
            user in proptest::option::of(any::<String>()),
            docker_volumes in proptest::collection::vec(docker_volume(), 0..3),
            dvdi_variables in proptest::collection::vec(dvdi_variable(), 0..5),
            labelled in any::<bool>(),
        ) -> ContainerLaunch {
            let held: BTreeSet<String> = held;
            ContainerLaunch {
                class: if debug { ContainerClass::Debug } else { ContainerClass::Default },
                rootfs: image.then(PathBuf::new),
                user,
                // Labels at random are refused more often than not, and then no other source is
                // looked at.
                task_labels: if labelled { task_labels } else { Vec::new() },
                executor_labels: if labelled { executor_labels } else { Vec::new() },
                docker_volumes,
                dvdi_variables,
                set_resources: vec![("ebsvolumes".to_owned(), held)],
                ..ContainerLaunch::default()
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_labels_say_stays_in_the_container_or_is_refused_in_one_line(
            launches in proptest::collection::vec((launch(), any::<bool>()), 1..8),
        ) {
            let ground = Ground::new();
            for (launch, nested) in launches {
                let id = ContainerId::root("c");
                let id = if nested { ContainerId::from_path(vec!["p".into(), "c".into()]).unwrap() } else { id };
                ground.check(&id, launch);
            }
        }
    }
}
