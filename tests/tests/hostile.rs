//! Labels from somebody who means harm, on a real agent: each is refused in a message of one line, and nothing is made, mounted
//! or run outside.

use mesos_http::types::TaskState;
use testbed::{AgentSpec, Job};
use tests::{Site, Tasks, end, module};

/// The labels, and words that the refusal must have.
type Case = (Vec<(String, String)>, &'static str);

fn case(labels: &[(&str, &str)], words: &'static str) -> Case {
    (
        labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        words,
    )
}

/// A good volume whose other label is the hostile one.
fn with(volume: &str, key: &str, value: &str, words: &'static str) -> Case {
    case(&[("volume.data", volume), (key, value)], words)
}

fn cases(volume: &str) -> Vec<Case> {
    let long = "x".repeat(5000);
    let mut cases = vec![
        // Paths.
        with(volume, "volume.data.path", "../outside", "'..'"),
        with(volume, "volume.data.path", "a/../../outside", "'..'"),
        with(volume, "volume.data.path", "/../outside", "'..'"),
        with(volume, "volume.data.path", "/etc", "allowed_host_paths"),
        with(volume, "volume.data.path", "/", "volume.data.path"),
        with(volume, "volume.data.path", ".", "volume.data.path"),
        with(volume, "volume.data.path", "", "volume.data.path"),
        with(volume, "volume.data.path", "/proc/self/root/tmp", "/proc/self/root/tmp"),
        with(volume, "volume.data.path", "/proc/1/root", "/proc/1/root"),
        with(volume, "volume.data.path", "/proc/self/cwd", "/proc/self/cwd"),
        with(
            volume,
            "volume.data.path",
            "/nonexistent/host/path",
            "allowed_host_paths",
        ),
        with(volume, "volume.data.path", "a\nb", "volume.data.path"),
        with(volume, "volume.data.path", "a\u{1b}[31mb", "volume.data.path"),
        with(volume, "volume.data.path", &long, "volume.data.path"),
        case(
            &[("volume.a", volume), ("volume.b", volume), ("volume.b.path", "./a")],
            "volume.",
        ),
        case(
            &[("volume.a", volume), ("volume.b", volume), ("volume.b.path", "a//")],
            "volume.",
        ),
        // Names that the driver's profile says it cannot handle: they are not sent.
        case(&[("volume.data", "../../etc/passwd")], "the name has '/'"),
        case(&[("volume.data", "/etc/shadow")], "the name has '/'"),
        case(
            &[("volume.data", "v; touch /tmp/external-volumes-pwned")],
            "the name has a space",
        ),
        case(
            &[("volume.data", "$(touch /tmp/external-volumes-pwned)")],
            "the name has a space",
        ),
        case(&[("volume.data", "\" } , { \"Name\": \"v")], "the name has a space"),
        case(&[("volume.data", "%s%n%x")], "the name has '%'"),
        // Other names: opaque, so they reach the driver as they are, and nothing else.
        case(
            &[("volume.data", "v;touch${IFS}external-volumes-pwned")],
            "does not exist",
        ),
        case(&[("volume.data", "$(reboot)")], "does not exist"),
        case(&[("volume.data", "`reboot`")], "does not exist"),
        case(&[("volume.data", "\"},{\"Name\":\"v")], "does not exist"),
        case(&[("volume.data", "v\r\nX-Header: 1")], "control characters"),
        case(&[("volume.data", "")], "volume.data"),
        case(&[("volume.data", &long)], "volume.data"),
        // Drivers: looked up, never used as paths.
        with(volume, "volume.data.driver", "../ebs", "volume.data"),
        with(volume, "volume.data.driver", "/etc/passwd", "volume.data"),
        with(volume, "volume.data.driver", "ebs/../ebs", "volume.data"),
        with(volume, "volume.data.driver", "", "volume.data.driver"),
        with(volume, "volume.data.driver", "ebs\n", "volume.data.driver"),
        with(volume, "volume.data.driver", &long, "volume.data.driver"),
        // Words.
        with(volume, "volume.data.mode", "rw,suid", "volume.data.mode"),
        with(volume, "volume.data.mode", "RW", "volume.data.mode"),
        with(volume, "volume.data.access", "all", "volume.data.access"),
        with(volume, "volume.data.lifetime", "forever", "volume.data.lifetime"),
        with(volume, "volume.data.create", "always", "volume.data.create"),
        with(volume, "volume.data.owner", "root;id", "volume.data.owner"),
        with(volume, "volume.data.owner", "4294967295:0", "volume.data.owner"),
        with(volume, "volume.data.owner", "-1:-1", "volume.data.owner"),
        with(volume, "volume.data.owner", "nosuchuser", "nosuchuser"),
        // Keys.
        with(volume, "volume.data.dvdcli", "/bin/sh", "volume.data.dvdcli"),
        with(volume, "volume.Data", "v", "volume.Data"),
        with(volume, "volume.-x", "v", "volume.-x"),
        with(volume, "volume.", "v", "volume."),
        with(volume, "volume.other.mode", "ro", "volume.other"),
        with(volume, "volume.data.options.", "v", "volume.data.options"),
        with(
            volume,
            &format!("volume.data.options.{long}"),
            "v",
            "volume.data.options",
        ),
        with(volume, "volume.data.options.k", &long, "volume.data.options.k"),
        case(&[("volume.data", volume), ("volume.data", "another")], "volume.data"),
    ];
    let many = (0..65).map(|n| (format!("volume.v{n}"), volume.to_owned())).collect();
    cases.push((many, "64"));
    let options = (0..65).map(|n| (format!("volume.data.options.k{n}"), "v".to_owned()));
    cases.push((
        [("volume.data".to_owned(), volume.to_owned())]
            .into_iter()
            .chain(options)
            .collect(),
        "64",
    ));
    cases
}

#[test]
fn every_hostile_label_is_refused_in_one_line_and_nothing_is_made_outside() {
    let site = Site::with_agents(
        1,
        &AgentSpec::default()
            .resources("cpus:32;mem:16384;disk:4096")
            .module(module()),
    );
    let volume = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    let cases = cases(&volume);
    assert!(cases.len() >= 50);
    let job = |(labels, _): &Case| {
        labels
            .iter()
            .fold(Job::shell("touch /tmp/external-volumes-ran"), |job, (key, value)| {
                job.label(key, value)
            })
    };
    let launched = tasks.launch_all(site.agent(0), cases.iter().map(job));
    for (task, (labels, words)) in launched.iter().zip(&cases) {
        let shown: String = format!("{labels:?}").chars().take(200).collect();
        let status = end(task);
        let message = status.message.unwrap_or_default();
        assert_eq!(status.state, TaskState::Failed, "{shown}: {message}");
        assert!(message.contains(words), "{shown}: '{words}' is not in: {message}");
        assert!(!message.chars().any(char::is_control), "{shown}: {message:?}");
        assert!(message.len() < 2000, "{shown}: {} bytes", message.len());
    }
    for outside in [
        "/tmp/external-volumes-pwned",
        "/tmp/external-volumes-ran",
        "/nonexistent",
    ] {
        assert!(!std::path::Path::new(outside).exists(), "{outside}");
    }
    tasks.finish(
        site.agent(0),
        Job::shell("touch data/file").label("volume.data", &volume),
    );
    site.wait_until_nothing_is_left();
}
