//! Paths that are odd, taken, or lead elsewhere: inside the container or refused with the reason, never on the host.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use mesos_http::types::{TaskState, Uri};
use testbed::{Image, Job};
use tests::{end, finished, module};

use crate::inside::{IMAGE, LOOK, Place};

/// What becomes of a path.
enum Outcome {
    /// The volume is there, as the container sees it; `~` is its sandbox.
    At(&'static str),
    /// Refused with these words.
    Refused(&'static str),
}
use Outcome::{At, Refused};

/// Without an image.
const ON_THE_HOST: &[(&str, Outcome)] = &[
    ("data", At("~/data")),
    ("./a//b/.", At("~/a/b")),
    ("a b/c\\d/é#", At("~/a b/c\\d/é#")),
    ("-n", At("~/-n")),
    ("proc/self/root", At("~/proc/self/root")),
    ("../data", Refused("'..'")),
    ("/proc/self/root/tmp", Refused("/proc/self/root/tmp")),
    ("/proc/self/cwd", Refused("/proc/self/cwd")),
    ("/proc/self/fd/1", Refused("/proc/self/fd/1")),
    ("/dev/null", Refused("allowed_host_paths")),
    ("/etc/hostname/x", Refused("allowed_host_paths")),
];

/// With an image that has, beside programs: `/link` to a program, `/inner` to a folder of the image, `/up` beyond its root,
/// `/host` to a folder that only the host has, `/magic` through `/proc`, `/sandbox` to where the sandbox is seen.
const IN_AN_IMAGE: &[(&str, Outcome)] = &[
    ("data", At("/mnt/mesos/sandbox/data")),
    ("a b/c\\d/é#", At("/mnt/mesos/sandbox/a b/c\\d/é#")),
    ("/srv/app", At("/srv/app")),
    ("/srv/a b/c\\d/é#", At("/srv/a b/c\\d/é#")),
    ("/inner/data", At("/real/data")),
    ("/up/data", At("/data")),
    ("/bin/sh", Refused("Not a directory")),
    ("/bin/sh/x", Refused("Not a directory")),
    ("/link", Refused("Not a directory")),
    ("/host/data", Refused("host/data")),
    ("/magic/data", Refused("magic/data")),
    ("/srv/../data", Refused("'..'")),
    ("/mnt/mesos/sandbox/data", At("/mnt/mesos/sandbox/data")),
    ("/sandbox/data", At("/mnt/mesos/sandbox/data")),
    ("/mnt/mesos/sandbox", Refused("hide the sandbox")),
    ("/mnt", Refused("hide the sandbox")),
    ("/sandbox", Refused("hide the sandbox")),
    ("/proc/self/root/tmp", Refused("'/proc'")),
    ("/proc", Refused("'/proc'")),
    ("/sys/fs", Refused("'/sys'")),
    ("/dev/shm/data", Refused("'/dev'")),
];

fn each_is_where_it_belongs(place: &Place, image: Option<&str>, rows: &[(&str, Outcome)]) {
    let volume = place.site.volume("v");
    let agent = place.site.agent(0);
    let jobs = rows.iter().map(|(path, _)| {
        let job = Job::shell(LOOK)
            .label("volume.data", &volume)
            .label("volume.data.path", *path);
        match image {
            Some(image) => job.image(image),
            None => job,
        }
    });
    let launched = place.tasks.launch_all(agent, jobs);
    for (task, (path, outcome)) in launched.iter().zip(rows) {
        let status = end(task);
        let message = status.message.unwrap_or_default();
        match outcome {
            At(expected) => {
                assert_eq!(status.state, TaskState::Finished, "{path}: {message}");
                let sandbox = place.sandbox(task.id().as_str());
                let seen: Vec<String> = place.seen(&sandbox).into_iter().map(|seen| seen.target).collect();
                assert_eq!(seen, [expected.replace('~', &sandbox.display().to_string())], "{path}");
                println!("| `{path}` | `{expected}` |");
            }
            Refused(words) => {
                assert_eq!(status.state, TaskState::Failed, "{path}: {message}");
                assert!(message.contains(words), "{path}: '{words}' is not in: {message}");
                println!("| `{path}` | {message} |");
            }
        }
    }
    place.host_has_only_the_drivers_mounts();
    place.site.wait_until_nothing_is_left();
}

#[test]
fn without_an_image_a_path_is_in_the_sandbox_or_refused() {
    each_is_where_it_belongs(&Place::start(), None, ON_THE_HOST);
}

#[test]
fn in_an_image_a_path_is_in_the_image_or_the_sandbox_or_refused() {
    let host = tempfile::tempdir().unwrap();
    let image = Image::shell()
        .folder("/real")
        .link("/inner", "/real")
        .link("/link", "/bin/sh")
        .link("/up", "../../../..")
        .link("/host", host.path())
        .link("/magic", "/proc/self/root/tmp")
        .link("/sandbox", "/mnt/mesos/sandbox");
    each_is_where_it_belongs(&Place::with(&image, module()), Some(IMAGE), IN_AN_IMAGE);
    assert_eq!(
        fs::read_dir(host.path()).unwrap().count(),
        0,
        "nothing is made on the host"
    );
    for made in ["/srv/app", "/real", "/srv/a b"] {
        assert!(!Path::new(made).exists(), "{made} is on the host");
    }
}

/// Mesos binds the sandbox in the image by path, and a symlink there leads it to the host, with or without a volume: it makes
/// the folder `sandbox` where the link leads, and the task fails without its sandbox. A volume must not go the same way.
#[test]
fn an_image_that_leads_its_sandbox_to_the_host_is_refused() {
    let host = tempfile::tempdir().unwrap();
    let place = Place::start();
    place.add_image("aside", &Image::shell().link("/mnt/mesos", host.path()));
    let volume = place.site.volume("v");
    let job = || Job::shell("true").image("aside").label("volume.data", &volume);
    let message = place.tasks.fail(place.site.agent(0), job());
    assert!(
        message.contains("the image has a symlink on the way to its sandbox"),
        "{message}"
    );
    let message = place.tasks.fail(
        place.site.agent(0),
        job().label("volume.data.path", "/mnt/mesos/sandbox/data"),
    );
    assert!(message.contains("mnt/mesos/sandbox/data"), "{message}");
    place.host_has_only_the_drivers_mounts();
    place.site.wait_until_nothing_is_left();
    assert!(!host.path().join("sandbox/data").exists(), "made on the host");
}

/// Who fills a volume decides what is in it, also a symlink where another volume's path leads through.
#[test]
fn a_symlink_in_one_volume_does_not_lead_another_volume_out_of_it() {
    let host = tempfile::tempdir().unwrap();
    let place = Place::start();
    let (outer, inner) = (place.site.volume("outer"), place.site.volume("inner"));
    let agent = place.site.agent(0);
    let link = format!("ln -s {} data/way && touch data/file", host.path().display());
    place.tasks.finish(agent, Job::shell(link).label("volume.data", &outer));
    for (path, image) in [
        ("outer/way", false),
        ("outer/way/deep", false),
        ("outer/file", false),
        ("outer/way", true),
    ] {
        let job = Job::shell(format!("{LOOK}; mkdir -p outer/way"))
            .label("volume.a", &outer)
            .label("volume.a.path", "outer")
            .label("volume.b", &inner)
            .label("volume.b.path", path);
        let task = place.tasks.launch(agent, if image { job.image(IMAGE) } else { job });
        let status = end(&task);
        let message = status.message.unwrap_or_default();
        println!("{path} image={image}: {message}");
        assert_eq!(status.state, TaskState::Failed, "{path}: {message}");
        assert!(
            message.contains("label 'volume.b'") && message.contains("inside the volume around it"),
            "{path}: {message}"
        );
        assert_eq!(
            fs::read_dir(host.path()).unwrap().count(),
            0,
            "{path}: made on the host"
        );
    }
    let good = Job::shell("echo one > outer/there/file && [ -e outer/file ]")
        .label("volume.a", &outer)
        .label("volume.a.path", "outer")
        .label("volume.b", &inner)
        .label("volume.b.path", "outer/there");
    let task = place.tasks.launch(agent, good);
    finished(&task);
    place
        .tasks
        .finish(agent, Job::shell("grep one data/file").label("volume.data", &inner));
    place.site.wait_until_nothing_is_left();
}

/// Mesos fetches into the sandbox, as the task's user, after the module has mounted there in the container's namespace. Outside of
/// it the folder is an empty one, and an archive can have a symlink of its name. The testbed has no fetcher; this one does just that.
#[test]
fn what_is_fetched_into_the_sandbox_does_not_lead_a_task_to_write_beside_its_volume() {
    let host = tempfile::tempdir().unwrap();
    let place = Place::start();
    let agent = place.site.agent(0);
    let fetcher = agent.launcher_dir().join("mesos-fetcher");
    let sandbox = r#"$(printf %s "$MESOS_FETCHER_INFO" | sed 's/\\//g; s/.*"sandbox_directory":"\([^"]*\)".*/\1/')"#;
    let fetch = format!(
        "#!/bin/sh\ncd {sandbox} && rmdir data && ln -s {} data\n",
        host.path().display()
    );
    fs::write(&fetcher, fetch).unwrap();
    fs::set_permissions(&fetcher, fs::Permissions::from_mode(0o755)).unwrap();
    let job = Job::shell(format!("{LOOK}; sleep 1000")).label("volume.data", place.site.volume("v"));
    let task = place.tasks.launch(
        agent,
        job.with(|task| {
            let command = task.command.as_mut().expect("it has a command");
            command.uris.push(Uri {
                value: "file:///etc/hostname".to_owned(),
                executable: false,
                extract: true,
                cache: false,
                output_file: None,
            });
        }),
    );
    let status = end(&task);
    let sandbox = place.sandbox(task.id().as_str());
    let said = fs::read_to_string(sandbox.join("stderr")).unwrap();
    assert_eq!(status.state, TaskState::Failed, "{said}");
    assert!(said.contains("Failed to prepare mounts"), "{said}");
    assert_eq!(fs::read_dir(host.path()).unwrap().count(), 0, "made on the host");
    place.site.wait_until_nothing_is_left();
}
