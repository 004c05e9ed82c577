//! The drivers behind the agents: the same program for every contender, a process of its own for each, so that one that is
//! driven into a deadlock stops nobody else.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use ::tests::Rclone;
use anyhow::Result;
use ebs_emulator::{Emulator, EmulatorOptions, HostSpec};
use tempfile::TempDir;
use volume_driver_client::{Driver, Endpoint, MountId, Profiles};

use super::phase::AT_ONCE;
use super::site::Contender;
use crate::facade::elapsed;
use crate::prepare::write_durably;

/// Bytes of a record with one volume, about.
const RECORD: usize = 800;

/// Which driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Debian's rclone: real FUSE mounts.
    Rclone,
    /// The workspace's EBS: loop devices attached and ext4 mounted.
    Emulator,
}

/// Whose driver: an agent's, or that of the direct calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum User {
    Agent(Contender),
    Direct,
}

/// The drivers, with all volumes made and mounted once before.
pub(super) struct Storage {
    kind: Kind,
    // Dropped before the folder they work in.
    _rclones: Vec<Rclone>,
    _emulator: Option<Emulator>,
    folder: TempDir,
}

impl Kind {
    /// Its name, here and for the agents.
    pub(super) fn key(self) -> &'static str {
        match self {
            Kind::Rclone => "rclone",
            Kind::Emulator => "emulator",
        }
    }

    /// The name of the driver.
    pub(super) fn driver(self) -> &'static str {
        match self {
            Kind::Rclone => "rclone",
            Kind::Emulator => "ebs",
        }
    }
}

impl User {
    const ALL: [User; 3] = [
        User::Agent(Contender::Peer),
        User::Agent(Contender::Module),
        User::Direct,
    ];

    fn key(self) -> &'static str {
        match self {
            User::Agent(contender) => contender.key(),
            User::Direct => "direct",
        }
    }
}

impl Storage {
    pub(super) fn start(kind: Kind) -> Result<Storage> {
        let folder = tempfile::Builder::new().prefix("mev-bench-").tempdir()?;
        for user in User::ALL {
            fs::create_dir(folder.path().join(user.key()))?;
        }
        fs::create_dir(folder.path().join(Contender::NoVolume.key()))?;
        let mut storage = Storage {
            kind,
            _rclones: Vec::new(),
            _emulator: None,
            folder,
        };
        match kind {
            Kind::Rclone => storage.start_rclones()?,
            Kind::Emulator => storage.start_emulator()?,
        }
        for user in User::ALL {
            for number in 0..AT_ONCE {
                storage.mount(user, number)?;
                storage.unmount(user, number)?;
            }
        }
        Ok(storage)
    }

    fn start_rclones(&mut self) -> Result<()> {
        for user in User::ALL {
            let folder = self.folder.path().join(format!("rclone-{}", user.key()));
            let rclone = Rclone::start(&folder, &self.sockets(user));
            let driver = self.driver(user);
            for number in 0..AT_ONCE {
                let volume = self.volume(user, number);
                let path = rclone.data(&volume).display().to_string();
                let options = [("type".to_owned(), "local".to_owned()), ("path".to_owned(), path)];
                driver.create(&volume, &BTreeMap::from(options))?;
            }
            self._rclones.push(rclone);
        }
        Ok(())
    }

    fn start_emulator(&mut self) -> Result<()> {
        let hosts = User::ALL.map(|user| {
            let spec = HostSpec::new(user.key(), "zone-a").shared();
            HostSpec {
                limit: Some(64),
                ..spec.socket(self.socket(user))
            }
        });
        let emulator = Emulator::start(EmulatorOptions {
            program: None,
            state: self.folder.path().join("emulator"),
            hosts: hosts.to_vec(),
        })?;
        for user in User::ALL {
            for number in 0..AT_ONCE {
                emulator.client().create(&self.volume(user, number), 1, "zone-a")?;
            }
        }
        self._emulator = Some(emulator);
        Ok(())
    }

    /// The folder of a user's driver socket.
    pub(super) fn sockets(&self, user: User) -> PathBuf {
        self.folder.path().join(user.key())
    }

    fn socket(&self, user: User) -> PathBuf {
        self.sockets(user).join(format!("{}.sock", self.kind.driver()))
    }

    /// The folder of it all, with room for more.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// The name of a user's volume.
    pub(super) fn volume(&self, user: User, number: usize) -> String {
        format!("{}-{number}", user.key())
    }

    /// How long Get and Mount of a volume take that are called directly, and two records that are made durable, in ms.
    pub(super) fn mount_durably(&self, number: usize) -> Result<f64> {
        let begin = Instant::now();
        write_durably(self.folder(), &["floor".to_owned()], RECORD)?;
        self.mount(User::Direct, number)?;
        write_durably(self.folder(), &["floor".to_owned()], RECORD)?;
        let took = elapsed(begin);
        self.unmount(User::Direct, number)?;
        Ok(took)
    }

    /// When each of all volumes is mounted, in ms from the beginning, with callers that keep to what the driver bears.
    pub(super) fn mount_all(&self) -> Result<Vec<f64>> {
        // One driver for all callers: they take turns.
        let driver = self.driver(User::Direct);
        let begin = Instant::now();
        let mounted: Vec<Result<f64>> = thread::scope(|scope| {
            let callers: Vec<_> = (0..AT_ONCE)
                .map(|number| {
                    let driver = driver.clone();
                    scope.spawn(move || {
                        self.mount_on(&driver, User::Direct, number)?;
                        Ok(elapsed(begin))
                    })
                })
                .collect();
            callers
                .into_iter()
                .map(|caller| caller.join().expect("a caller does not panic"))
                .collect()
        });
        for number in 0..AT_ONCE {
            let volume = self.volume(User::Direct, number);
            driver.unmount(&volume, &self.id(&volume))?;
        }
        mounted.into_iter().collect()
    }

    fn mount(&self, user: User, number: usize) -> Result<()> {
        self.mount_on(&self.driver(user), user, number)
    }

    fn mount_on(&self, driver: &Driver, user: User, number: usize) -> Result<()> {
        let volume = self.volume(user, number);
        driver.get(&volume)?;
        driver.mount(&volume, &self.id(&volume))?;
        Ok(())
    }

    fn unmount(&self, user: User, number: usize) -> Result<()> {
        let volume = self.volume(user, number);
        self.driver(user).unmount(&volume, &self.id(&volume))?;
        Ok(())
    }

    fn id(&self, volume: &str) -> MountId {
        MountId::derive("direct", self.kind.driver(), volume)
    }

    fn driver(&self, user: User) -> Driver {
        let name = self.kind.driver();
        Driver::at(
            name,
            Endpoint::Unix(self.socket(user)),
            Profiles::builtin().for_driver(name),
        )
    }
}
