//! An agent's host as the pages for operators describe it: paths below `/etc`, `/usr/lib/mesos`, `/var` and `/run` lead to a
//! folder of the test, and `systemctl` starts and stops the testbed's real agent, since this machine runs no systemd.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ebs_emulator::Manners;
use tempfile::TempDir;
use testbed::{Agent, AgentSpec, built};
use tests::{MODULE, Site, eventually};

use crate::blocks::{Fate, page, workspace};

/// Folders that the pages name, and that are the test's own. The state folder and the drivers' sockets are below them.
const FOLDERS: &[&str] = &[
    "/etc",
    "/usr/lib/mesos",
    "/usr/local/bin",
    "/var/lib",
    "/var/log",
    "/var/backups",
    "/run",
];

/// What the pages call the agent, the master and the volume that there are.
const AGENT: &str = "http://127.0.0.1:5051";
const MASTER: &str = "127.0.0.1:5050";
const VOLUME: &str = "vol-7bca078f";

/// Where the pages let an agent's metrics be relayed to.
const PORT: &str = "9151";

/// The volume's name, which the pages use too.
pub(crate) const NAME: &str = "orders";

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

/// An agent with a driver and one volume.
pub(crate) struct Host {
    site: Site,
    root: TempDir,
    volume: String,
    /// In the place of the port that the pages name.
    port: u16,
}

impl Host {
    /// An agent without the module.
    pub(crate) fn bare() -> Self {
        Self::new(&Manners::default())
    }

    /// An agent with the module, set up as the page on installing says. Its parameters are those of the page, and `more`.
    pub(crate) fn installed(manners: &Manners, more: &[(&str, &str)]) -> Self {
        let host = Self::new(manners);
        for folder in [
            "/run/mesos-external-volumes",
            "/var/log/mesos-external-volumes",
            "/etc/logrotate.d",
        ] {
            fs::create_dir_all(host.path(folder)).expect("the folder is ours");
        }
        let library = built("libmesos_external_volumes.so", "mesos-module").unwrap_or_else(|error| panic!("{error}"));
        fs::copy(library, host.path("/usr/lib/mesos/libmesos_external_volumes.so")).expect("the folder is ours");
        let modules = host.modules(more);
        fs::write(host.path("/etc/mesos/modules.json"), modules).expect("the folder is ours");
        let settings = host.local(&format!(
            "MESOS_MODULES=file:///etc/mesos/modules.json\nMESOS_ISOLATION=filesystem/linux,{MODULE}\n"
        ));
        fs::write(host.path("/etc/default/mesos-agent"), settings).expect("the folder is ours");
        host.start_or_stop("restart").unwrap_or_else(|error| panic!("{error}"));
        host
    }

    /// The module JSON.
    pub(crate) fn modules(&self, more: &[(&str, &str)]) -> String {
        let usual = [
            ("state_dir", "/var/lib/mesos-external-volumes"),
            ("default_driver", "ebs"),
            ("driver_sockets", "/run/docker/plugins"),
            ("driver_specs", "/etc/docker/plugins"),
            ("driver_locks", "/run/mesos-volumes/calls"),
        ];
        let parameters = usual.iter().chain(more).map(|(key, value)| {
            let value = self.local(value);
            serde_json::json!({"key": key, "value": value})
        });
        let modules = serde_json::json!({"libraries": [{
            "file": self.path("/usr/lib/mesos/libmesos_external_volumes.so"),
            "modules": [{"name": MODULE, "parameters": parameters.collect::<Vec<_>>()}],
        }]});
        modules.to_string()
    }

    fn new(manners: &Manners) -> Self {
        let root = tempfile::tempdir().expect("a temporary folder");
        let folders = [
            "/etc/mesos",
            "/etc/default",
            "/etc/docker/plugins",
            "/run/docker/plugins",
        ];
        for folder in FOLDERS.iter().chain(&folders) {
            fs::create_dir_all(root.path().join(&folder[1..])).expect("the folder is ours");
        }
        let spec = AgentSpec::default().drivers(root.path().join("run/docker/plugins"));
        let (site, volume) = Site::with_volume(NAME, manners, &spec);
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.expect("the kernel has a free port").port();
        Self {
            site,
            root,
            volume,
            port,
        }
    }

    /// The cluster and its storage.
    pub(crate) fn site(&self) -> &Site {
        &self.site
    }

    /// The agent.
    pub(crate) fn agent(&self) -> &Agent {
        self.site.agent(0)
    }

    /// The id of the volume that is there.
    pub(crate) fn volume(&self) -> &str {
        &self.volume
    }

    /// Where a path of the pages is.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    /// A text of the pages in the words of this host.
    pub(crate) fn local(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for folder in FOLDERS {
            text = with_prefix(&text, folder, &self.root.path().display().to_string());
        }
        let programs = programs();
        text.replace(AGENT, &self.agent().url())
            .replace(MASTER, &self.site.cluster().master().address())
            .replace(VOLUME, &self.volume)
            .replace(PORT, &self.port.to_string())
            .replace("target/release", &programs.display().to_string())
    }

    /// Executes the blocks of a page in one shell, and holds its samples of output against what the commands print.
    ///
    /// # Panics
    /// A command fails, does not end, or prints something else.
    pub(crate) fn execute(&self, name: &str) {
        let (script, samples) = commands(name);
        self.run(&script, &samples);
    }

    /// Executes commands in the words of the pages, and holds samples of output against what they print.
    ///
    /// # Panics
    /// A command fails, does not end, or prints something else.
    pub(crate) fn run(&self, script: &str, samples: &[(String, String)]) {
        let serve = || self.serve_systemctl();
        let variables = [
            ("MESOS_VOLUMES_STATE_DIR", self.path("/var/lib/mesos-external-volumes")),
            ("MESOS_VOLUMES_DRIVER_SOCKETS", self.path("/run/docker/plugins")),
            ("MESOS_VOLUMES_DRIVER_SPECS", self.path("/etc/docker/plugins")),
        ];
        self.write_systemctl();
        execute(
            self.root.path(),
            &workspace(),
            &variables,
            (script, samples),
            |text| self.local(text),
            serve,
        );
    }

    /// The storage's state folder.
    pub(crate) fn storage(&self) -> String {
        self.site.cluster().folder().join("ebs").display().to_string()
    }

    /// A program that the page's commands find.
    pub(crate) fn provide(&self, name: &str, script: &str) {
        let bin = self.root.path().join("bin");
        fs::create_dir_all(&bin).expect("the folder is ours");
        let program = bin.join(name);
        fs::write(&program, format!("#!/bin/bash\n{script}\n")).expect("the folder is ours");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("the file is ours");
    }

    fn write_systemctl(&self) {
        let asks = self.root.path().display();
        let script = format!(
            "[ \"$2\" = mesos-agent ] || {{ echo \"there is no unit $2 here\" >&2; exit 5; }}\n\
             echo \"$1\" > {asks}/asked.new && mv {asks}/asked.new {asks}/asked\n\
             until [ -e {asks}/answer ]; do sleep 0.05; done\n\
             answer=$(cat {asks}/answer); rm {asks}/answer\n\
             [ \"$answer\" = done ] || {{ echo \"$answer\" >&2; exit 1; }}"
        );
        self.provide("systemctl", &script);
    }

    /// Does what a `systemctl` of the page waits for.
    fn serve_systemctl(&self) {
        let asked = self.root.path().join("asked");
        let Ok(verb) = fs::read_to_string(&asked) else { return };
        fs::remove_file(&asked).expect("the file is ours");
        let answer = match self.start_or_stop(verb.trim()) {
            Ok(()) => "done".to_owned(),
            Err(error) => error,
        };
        let new = self.root.path().join("answer.new");
        fs::write(&new, answer).expect("the folder is ours");
        fs::rename(&new, self.root.path().join("answer")).expect("the folder is ours");
    }

    fn start_or_stop(&self, verb: &str) -> Result<(), String> {
        let agent = self.agent();
        if matches!(verb, "stop" | "restart") && agent.pid().is_some() {
            agent.terminate().map_err(|error| error.to_string())?;
        }
        match verb {
            "stop" => Ok(()),
            "start" | "restart" => {
                self.read_settings();
                agent.start().map_err(|error| error.to_string())?;
                agent
                    .wait_registered(Duration::from_secs(60))
                    .map_err(|error| error.to_string())
            }
            other => Err(format!("systemctl {other} is not known here")),
        }
    }

    /// What `EnvironmentFile=` of the unit does.
    fn read_settings(&self) {
        let text = fs::read_to_string(self.path("/etc/default/mesos-agent")).unwrap_or_default();
        for line in text.lines() {
            let setting = line.strip_prefix("MESOS_").and_then(|line| line.split_once('='));
            if let Some((flag, value)) = setting {
                self.agent()
                    .set_flag(flag.to_lowercase(), value.trim_matches(['\'', '"']));
            }
        }
    }
}

/// The folder of the programs that this workspace builds.
fn programs() -> PathBuf {
    let library = built("libmesos_external_volumes.so", "mesos-module").unwrap_or_else(|error| panic!("{error}"));
    for program in ["ebs-emulator", "label-mapper", "mesos-volumes", "scheduler", "testbed"] {
        built(program, program).unwrap_or_else(|error| panic!("{error}"));
    }
    library.parent().expect("it is in a folder").to_owned()
}

/// Puts `before` in front of the paths below `folder`, also in `file:///...`.
fn with_prefix(text: &str, folder: &str, before: &str) -> String {
    let mut written = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(folder) {
        let (head, tail) = rest.split_at(at);
        let behind = tail[folder.len()..].chars().next();
        let begins = head.ends_with("file://")
            || !head
                .ends_with(|letter: char| letter.is_alphanumeric() || matches!(letter, '/' | '.' | '-' | '_' | '}'));
        let ends = !behind.is_some_and(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.'));
        written += head;
        if begins && ends {
            written += before;
        }
        written += folder;
        rest = &tail[folder.len()..];
    }
    written + rest
}

/// The commands of a page, and samples of what they print, each with its place.
fn commands(name: &str) -> (String, Vec<(String, String)>) {
    let (mut script, mut samples) = (String::new(), Vec::new());
    for block in page(name).blocks() {
        let place = format!("{name}:{}", block.line);
        match block.fate() {
            Ok(Fate::Executed) => {
                script += &format!("echo '--- {place}'\n");
                script += &block.text;
            }
            Ok(Fate::Output) => samples.extend(block.text.lines().map(|line| (place.clone(), line.to_owned()))),
            _ => {}
        }
    }
    assert!(!script.is_empty(), "{name} has commands to execute");
    (script, samples)
}

/// Executes a page that needs no host: it starts what it needs itself, and names the programs by `target/debug`. `files` are in the
/// folder that its commands run in; without files they run in the workspace.
///
/// # Panics
/// As [`Host::execute`].
pub(crate) fn execute_alone(name: &str, files: &[(&str, &str)]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let programs = programs().display().to_string();
    for (file, text) in files {
        fs::write(folder.path().join(file), text).expect("the folder is ours");
    }
    let (script, samples) = commands(name);
    let local = |text: &str| text.replace("target/debug", &programs);
    let workspace = workspace();
    let within = if files.is_empty() { &workspace } else { folder.path() };
    execute(folder.path(), within, &[], (&script, &samples), local, || {});
}

fn execute(
    folder: &Path,
    within: &Path,
    variables: &[(&str, PathBuf)],
    (script, samples): (&str, &[(String, String)]),
    local: impl Fn(&str) -> String,
    mut meanwhile: impl FnMut(),
) {
    let printed = folder.join("printed");
    let output = File::create(&printed).expect("the folder is ours");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("bash");
    shell
        .args(["-eu", "-o", "pipefail", "-c", &local(script)])
        .current_dir(within)
        .env("TMPDIR", folder)
        .env(
            "PATH",
            format!("{}:{}:{path}", folder.join("bin").display(), programs().display()),
        )
        .envs(variables.iter().map(|(key, value)| (*key, value)))
        .stdin(Stdio::null())
        .stderr(output.try_clone().expect("a second descriptor"))
        .stdout(output)
        .process_group(0);
    let mut shell = Shell(shell.spawn().expect("bash is installed"));
    let status = eventually("the commands come to their end", || {
        meanwhile();
        let ended = shell.0.try_wait().map_err(|error| error.to_string())?;
        ended.ok_or_else(|| fs::read_to_string(&printed).unwrap_or_default())
    });
    let printed = fs::read_to_string(&printed).expect("it was written");
    assert!(status.success(), "{status:?}: {printed}");
    for (place, sample) in samples {
        let sample = local(sample);
        assert!(
            printed.lines().any(|found| fits(found.trim_end(), sample.trim_end())),
            "{place}: no line of the output is '{sample}':\n{printed}"
        );
    }
}

/// Whether a line is the sample, in which `…` stands for any text.
fn fits(line: &str, sample: &str) -> bool {
    let mut parts = sample.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else {
        return false;
    };
    let mut ends_open = false;
    let mut any = false;
    for part in parts {
        any = true;
        ends_open = part.is_empty();
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    if any {
        ends_open || rest.is_empty() || line.ends_with(sample.rsplit('…').next().unwrap_or_default())
    } else {
        rest.is_empty()
    }
}

#[test]
fn paths_of_the_pages_become_paths_of_the_test_and_nothing_else_does() {
    let prefixed = |text| with_prefix(text, "/etc", "/t");
    assert_eq!(prefixed("cp /etc/mesos \"/etc\""), "cp /t/etc/mesos \"/t/etc\"");
    assert_eq!(prefixed("file:///etc/mesos=/etc/a"), "file:///t/etc/mesos=/t/etc/a");
    assert_eq!(
        prefixed("/usr/etc $dir/etc /etcetera ./etc"),
        "/usr/etc $dir/etc /etcetera ./etc"
    );
}

#[test]
fn a_sample_of_output_fits_with_any_text_in_place_of_the_dots() {
    for (line, sample) in [
        ("ok  kernel  6.1", "ok  kernel  …"),
        ("20 checks: 0 failed, 1 with a warning", "… checks: 0 failed…"),
        ("a b c", "a … c"),
        ("a", "a"),
    ] {
        assert!(fits(line, sample), "{line} {sample}");
    }
    for (line, sample) in [("fail  kernel", "ok  kernel…"), ("a b", "a"), ("a b d", "a … c")] {
        assert!(!fits(line, sample), "{line} {sample}");
    }
}
