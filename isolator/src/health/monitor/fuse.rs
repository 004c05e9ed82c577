//! A FUSE file system of one empty folder that answers as a test wants: the kernel's own errors,
//! from a real mount.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// What the server does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    Good,
    /// So many of 1000 blocks are left.
    Left(u64),
    Error(Errno),
    Hang,
    /// The server ends.
    Dead,
}

pub(super) struct Fuse {
    folder: tempfile::TempDir,
    behaviour: Arc<Mutex<Behaviour>>,
    server: Option<JoinHandle<()>>,
}

impl Fuse {
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let device = File::options()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .expect("the kernel has FUSE");
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0,allow_other",
            device.as_raw_fd()
        );
        let options = CString::new(options).expect("no zero byte");
        mount(
            "monitored",
            folder.path(),
            "fuse.test",
            MountFlags::empty(),
            options.as_c_str(),
        )
        .expect("root may mount");
        let behaviour = Arc::new(Mutex::new(Behaviour::Good));
        let told = Arc::clone(&behaviour);
        let server = thread::spawn(move || serve(device, &told));
        Self {
            folder,
            behaviour,
            server: Some(server),
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub(super) fn answer(&self, behaviour: Behaviour) {
        *self.behaviour.lock().expect("no test panics with it") = behaviour;
        if behaviour == Behaviour::Dead {
            // It sees so with its next question.
            drop(rustix::fs::statvfs(self.folder.path()));
        }
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        self.answer(Behaviour::Error(Errno::IO));
        unmount(self.folder.path() as &Path, UnmountFlags::DETACH).expect("it is mounted");
        if let Some(server) = self.server.take() {
            drop(server.join());
        }
    }
}

/// The protocol of `linux/fuse.h`, version 7.31, as far as a folder needs it.
fn serve(mut device: File, behaviour: &Mutex<Behaviour>) {
    const GETATTR: u32 = 3;
    const STATFS: u32 = 17;
    const INIT: u32 = 26;
    let silent = [2, 36, 42]; // FORGET, INTERRUPT, BATCH_FORGET
    let mut question = vec![0; 256 * 1024];
    // An error once it is unmounted.
    while let Ok(length) = device.read(&mut question) {
        let number = |at: usize| u32::from_le_bytes(question[at..at + 4].try_into().expect("four bytes"));
        assert!(length >= 40);
        let (operation, unique) = (number(4), &question[8..16]);
        if silent.contains(&operation) {
            continue;
        }
        while *behaviour.lock().expect("no test panics with it") == Behaviour::Hang {
            thread::sleep(Duration::from_millis(5));
        }
        let behaviour = *behaviour.lock().expect("no test panics with it");
        let left = match behaviour {
            Behaviour::Left(left) => left,
            Behaviour::Dead => return,
            _ => 500,
        };
        let body = match (operation, behaviour) {
            (INIT, _) => Ok(words(&[7, 31, 0, 0, 0, 4096, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
            (_, Behaviour::Error(error)) => Err(error),
            // No attribute is valid for any time; the folder has inode 1 and mode 0755.
            (GETATTR, _) => {
                let mut attributes = [0; 26];
                (attributes[4], attributes[19], attributes[20], attributes[24]) = (1, 0o040_755, 2, 4096);
                Ok(words(&attributes))
            }
            (STATFS, _) => {
                let counts = [1000, left, left, 0, 0].map(u64::to_le_bytes).concat();
                Ok([counts, words(&[4096, 255, 4096, 0, 0, 0, 0, 0, 0, 0])].concat())
            }
            _ => Err(Errno::NOSYS),
        };
        let (error, body) = match body {
            Ok(body) => (0, body),
            Err(error) => (-error.raw_os_error(), Vec::new()),
        };
        let length = u32::try_from(16 + body.len()).expect("an answer is short");
        let answer = [&length.to_le_bytes()[..], &error.to_le_bytes(), unique, &body].concat();
        // The process that asked may be gone.
        drop(device.write(&answer));
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
