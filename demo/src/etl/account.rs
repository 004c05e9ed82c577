//! The account PostgreSQL runs as. It refuses root, so a task that runs as root steps down for it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::User;

use super::EtlError;

/// The account that Debian's PostgreSQL packages make.
const USER: &str = "postgres";

/// Whom PostgreSQL runs as, and how files are made its own.
#[derive(Debug, Clone, Copy)]
pub struct Account {
    /// The ids to step down to; none when the program does not run as root and PostgreSQL may run as it is.
    ids: Option<(u32, u32)>,
}

impl Account {
    /// The account to use: `postgres` for root, and itself for everybody else.
    ///
    /// # Errors
    /// [`EtlError::NoAccount`].
    pub fn find() -> Result<Account, EtlError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Account { ids: None });
        }
        match User::from_name(USER) {
            Ok(Some(user)) => Ok(Account {
                ids: Some((user.uid.as_raw(), user.gid.as_raw())),
            }),
            Ok(None) | Err(_) => Err(EtlError::NoAccount(USER)),
        }
    }

    /// A command that runs `program` as this account and gets SIGINT when this program dies.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        // For PostgreSQL SIGINT is the fast shutdown.
        command.arg("--pdeathsig=INT");
        if self.ids.is_some() {
            command.args([&format!("--reuid={USER}"), &format!("--regid={USER}"), "--init-groups"]);
        }
        command.arg("--").arg(program);
        command
    }

    /// Makes `path` belong to this account.
    ///
    /// # Errors
    /// [`EtlError::Io`].
    pub fn own(&self, path: &Path) -> Result<(), EtlError> {
        match self.ids {
            Some((user, group)) => {
                chown(path, Some(user), Some(group)).map_err(EtlError::io("change the owner of", path))
            }
            None => Ok(()),
        }
    }

    /// Makes sure that this account can reach `target`, which exists: every folder on the way to it must let it pass.
    ///
    /// Mesos makes a sandbox that only its own user may enter, and REX-Ray a data folder only root may. Folders from
    /// the working folder downwards belong to the task, so it opens these itself; above it, it only says what is wrong.
    ///
    /// # Errors
    /// [`EtlError::Unreachable`] with the folder in the way; [`EtlError::Io`].
    pub fn reach(&self, target: &Path) -> Result<(), EtlError> {
        let Some((user, group)) = self.ids else { return Ok(()) };
        let target = target.canonicalize().map_err(EtlError::io("resolve", target))?;
        let here = std::env::current_dir().map_err(EtlError::io("find", Path::new("the working folder")))?;
        let mut way: Vec<PathBuf> = target.ancestors().map(Path::to_owned).collect();
        way.reverse();
        for folder in way {
            let metadata = fs::metadata(&folder).map_err(EtlError::io("look at", &folder))?;
            let mode = metadata.permissions().mode();
            let pass = match (metadata.uid() == user, metadata.gid() == group) {
                (true, _) => 0o100,
                (false, true) => 0o010,
                (false, false) => 0o001,
            };
            if mode & pass != 0 {
                continue;
            }
            if !folder.starts_with(&here) {
                return Err(EtlError::Unreachable {
                    user: USER,
                    target,
                    at: folder,
                });
            }
            let opened = fs::Permissions::from_mode((mode | pass) & 0o7777);
            fs::set_permissions(&folder, opened).map_err(EtlError::io("open the way through", &folder))?;
        }
        Ok(())
    }
}
