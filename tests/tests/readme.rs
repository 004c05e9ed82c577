//! The commands that README.md shows for a first cluster, executed as they stand there.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use testbed::built;
use tests::eventually;

/// The sentence in front of the block.
const HEADING: &str = "A cluster to play with";

/// A shell with all that it has started.
struct Shell(Child);

impl Drop for Shell {
    fn drop(&mut self) {
        // Nothing is left of the group when the commands have come to their end.
        let group = format!("-{}", self.0.id());
        let killed = Command::new("kill")
            .args(["-TERM", "--", &group])
            .stderr(Stdio::null())
            .status();
        drop((killed, self.0.wait()));
    }
}

fn commands() -> String {
    let readme = include_str!("../../README.md");
    let (_, behind) = readme.split_once(HEADING).expect("README has a cluster to play with");
    let (_, block) = behind.split_once("```bash\n").expect("a block of commands follows");
    let (block, _) = block.split_once("\n```").expect("the block ends");
    block.to_owned()
}

#[test]
fn the_first_cluster_of_the_readme_mounts_a_volume() {
    for program in ["ebs-emulator", "testbed", "mesos-volumes", "scheduler"] {
        built(program, program).unwrap_or_else(|error| panic!("{error}"));
    }
    let library = built("libmesos_external_volumes.so", "mesos-module").unwrap_or_else(|error| panic!("{error}"));
    let programs: PathBuf = library.parent().expect("it is in a folder").to_owned();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let written = folder.path().join("said");
    let output = File::create(&written).expect("the folder is ours");
    // What is built is that of this workspace; the README names the folder of an ordinary build.
    let commands = commands().replace("target/debug", &programs.display().to_string());
    let mut shell = Command::new("bash");
    shell
        .args(["-eu", "-c", &commands])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .env("TMPDIR", folder.path())
        .stdin(Stdio::null())
        .stderr(output.try_clone().expect("a second descriptor"))
        .stdout(output)
        .process_group(0);
    let mut shell = Shell(shell.spawn().expect("bash is installed"));
    let mut status = None;
    eventually("the commands come to their end", || {
        status = shell.0.try_wait().map_err(|error| error.to_string())?;
        match status {
            Some(_) => Ok(()),
            None => Err(std::fs::read_to_string(&written).unwrap_or_default()),
        }
    });
    let said = std::fs::read_to_string(&written).expect("it was written");
    assert!(status.is_some_and(|status| status.success()), "{status:?}: {said}");
    for words in [
        "checks: 0 failed",
        "write: TASK_FINISHED",
        "read: TASK_FINISHED",
        "the job is done",
    ] {
        assert!(said.contains(words), "'{words}' is not in:\n{said}");
    }
}
