//! {relative, absolute} x {image, host's file system} x {every launch path}.

use std::fs;
use std::path::{Path, PathBuf};

use mesos_http::operator::ContainerLaunch;
use mesos_http::types::{CommandInfo, ContainerId, TaskState};
use testbed::{Image, Job, Pod, custom_executor};
use tests::{end, finished, module, running};

use crate::inside::{LOOK, Place, Seen, contained, member_container, nested};

/// How Mesos comes to launch a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Launch {
    /// A task with a command.
    Command,
    /// A task in an executor of the framework's, whose labels are the executor's.
    CustomExecutor,
    /// The default executor of a task group.
    PodExecutor,
    /// A task of a task group.
    Member,
    /// LAUNCH_NESTED_CONTAINER below a command task.
    Nested,
    /// LAUNCH_CONTAINER without a parent: no labels, whoever makes it.
    Standalone,
}

/// What becomes of the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Mounted,
    /// The container runs without it.
    Nothing,
    /// The master refuses such a task, with these words.
    Refused(&'static str),
}
use Outcome::{Mounted, Nothing, Refused};

/// Launch path, with an image or not, absolute or not, outcome.
const ROWS: &[(Launch, bool, bool, Outcome)] = &[
    (Launch::Command, false, false, Mounted),
    (Launch::Command, false, true, Mounted),
    (Launch::Command, true, false, Mounted),
    (Launch::Command, true, true, Mounted),
    (Launch::CustomExecutor, false, false, Mounted),
    (Launch::CustomExecutor, false, true, Mounted),
    (Launch::CustomExecutor, true, false, Mounted),
    (Launch::CustomExecutor, true, true, Mounted),
    (Launch::PodExecutor, false, false, Mounted),
    (Launch::PodExecutor, false, true, Mounted),
    (Launch::PodExecutor, true, false, Refused("image")),
    (Launch::PodExecutor, true, true, Refused("image")),
    (Launch::Member, false, false, Mounted),
    (Launch::Member, false, true, Mounted),
    (Launch::Member, true, false, Mounted),
    (Launch::Member, true, true, Mounted),
    (Launch::Nested, false, false, Mounted),
    (Launch::Nested, false, true, Mounted),
    (Launch::Nested, true, false, Mounted),
    (Launch::Nested, true, true, Mounted),
    (Launch::Standalone, false, false, Nothing),
    (Launch::Standalone, false, true, Nothing),
    (Launch::Standalone, true, false, Nothing),
    (Launch::Standalone, true, true, Nothing),
];

/// One row's container.
struct Row<'a> {
    place: &'a Place,
    volume: &'a str,
    number: usize,
    image: bool,
    path: String,
    program: &'a Path,
}

#[test]
fn each_launch_path_has_the_volume_where_its_label_says() {
    let program = testbed::built("mesos-default-executor", "testbed").unwrap();
    let image = Image::shell().program(&program);
    let place = Place::with(&image, module());
    let volume = place.site.volume("v");
    let mut wrote = Vec::new();
    for (number, &(launch, image, absolute, outcome)) in ROWS.iter().enumerate() {
        let path = match (image, absolute) {
            (_, false) => format!("data-{number}"),
            (true, true) => format!("/srv/data-{number}"),
            (false, true) => place.host_folder(&format!("data-{number}")).display().to_string(),
        };
        let (volume, program) = (volume.as_str(), program.as_path());
        let row = Row {
            place: &place,
            volume,
            number,
            image,
            path: path.clone(),
            program,
        };
        let shown = format!(
            "{launch:?} | {} | {}",
            if image { "image" } else { "host" },
            if absolute { "absolute" } else { "relative" }
        );
        if let Refused(words) = outcome {
            let message = row.refused();
            assert!(message.contains(words), "{shown}: {message}");
            println!("| {shown} | refused: {message} |");
            continue;
        }
        let (seen, sandbox) = row.seen(launch);
        let expected = match (image, absolute) {
            (_, true) => path,
            (true, false) => format!("/mnt/mesos/sandbox/{path}"),
            (false, false) => sandbox.join(path).display().to_string(),
        };
        match outcome {
            Nothing => assert_eq!(seen, [], "{shown}"),
            _ => {
                let [seen] = seen.as_slice() else {
                    panic!("{shown}: {seen:?}")
                };
                assert_eq!(
                    (seen.target.as_str(), seen.mode.as_str()),
                    (expected.as_str(), "rw"),
                    "{shown}"
                );
                wrote.push(number);
            }
        }
        place.host_has_only_the_drivers_mounts();
        let shown_as = |seen: &Seen| {
            let target = seen.target.replace(&sandbox.display().to_string(), "SANDBOX");
            format!("{} {} ({})", seen.device, target, seen.mode)
        };
        println!(
            "| {shown} | {} |",
            seen.iter().map(shown_as).collect::<Vec<_>>().join(", ")
        );
    }
    // Each that had it also wrote into it, and nowhere else.
    let files = wrote.iter().map(|number| format!("data/{number}"));
    let command = format!(
        "[ \"$(ls data | grep -vc lost)\" = {} ] && ls {}",
        wrote.len(),
        files.collect::<Vec<_>>().join(" ")
    );
    place
        .tasks
        .finish(place.site.agent(0), Job::shell(command).label("volume.data", &volume));
    for number in wrote {
        let folder = place.host_folder(&format!("data-{number}"));
        assert_eq!(
            fs::read_dir(&folder).unwrap().count(),
            0,
            "{} is the host's",
            folder.display()
        );
    }
    place.site.wait_until_nothing_is_left();
}

impl Row<'_> {
    /// What the container sees, and its sandbox on the host.
    fn seen(&self, launch: Launch) -> (Vec<Seen>, PathBuf) {
        let sandbox = match launch {
            Launch::Command => self.command(),
            Launch::CustomExecutor => self.custom_executor(),
            Launch::PodExecutor => self.pod_executor(),
            Launch::Member => self.member(),
            Launch::Nested => self.nested(),
            Launch::Standalone => self.standalone(),
        };
        (self.place.seen(&sandbox), sandbox)
    }

    /// Looks around and writes into the volume.
    fn look(&self) -> String {
        format!("{LOOK} && echo row > {}/{}", self.path, self.number)
    }

    fn labels(&self) -> [(&'static str, &str); 2] {
        [("volume.data", self.volume), ("volume.data.path", &self.path)]
    }

    fn labelled(&self, job: Job) -> Job {
        self.labels()
            .into_iter()
            .fold(job, |job, (key, value)| job.label(key, value))
    }

    fn command(&self) -> PathBuf {
        let job = self
            .labelled(Job::shell(self.look()))
            .with(|task| task.container = Some(contained(self.image)));
        let task = self.place.tasks.launch(self.place.site.agent(0), job);
        finished(&task);
        self.place.sandbox(task.id().as_str())
    }

    fn custom_executor(&self) -> PathBuf {
        let mut executor = custom_executor(&if self.image {
            self.program.to_owned()
        } else {
            self.place.site.agent(0).launcher_dir().join("mesos-default-executor")
        });
        executor.container = Some(contained(self.image));
        for (key, value) in self.labels() {
            executor.labels.push(key, value);
        }
        let id = executor.executor_id.clone();
        let job = Job::shell(self.look()).executor(executor);
        finished(&self.place.tasks.launch(self.place.site.agent(0), job));
        self.place.sandbox(id.as_str())
    }

    fn pod(&self, member: &str) -> Pod {
        let member = Job::shell(member).with(|task| task.container = Some(contained(self.image)));
        self.labels()
            .into_iter()
            .fold(Pod::of([member]), |pod, (key, value)| pod.label(key, value))
    }

    /// As the executor itself runs nothing that tells, a session in its container looks around.
    fn pod_executor(&self) -> PathBuf {
        let pod = self.pod("sleep 1000");
        let executor = pod.executor_id().to_owned();
        let members = self.place.tasks.launch_pod(self.place.site.agent(0), pod);
        running(&members[0]);
        let sandbox = self.place.sandbox(&executor);
        let command = format!("cd {} && {}", sandbox.display(), self.look());
        let status = self.place.session(self.place.container_of(&executor), "look", &command);
        assert_eq!(status, Some(0));
        members[0].kill().expect("the master takes KILL");
        end(&members[0]);
        sandbox
    }

    fn member(&self) -> PathBuf {
        let pod = self.pod(&self.look());
        let executor = pod.executor_id().to_owned();
        let members = self.place.tasks.launch_pod(self.place.site.agent(0), pod);
        member_container(&members[0]);
        finished(&members[0]);
        self.place.member_sandbox(&executor, &members[0])
    }

    /// Below a task that has the same labels; what a nested container shows is its own.
    fn nested(&self) -> PathBuf {
        let job = self
            .labelled(Job::shell("sleep 1000"))
            .with(|task| task.container = Some(contained(self.image)));
        let task = self.place.tasks.launch(self.place.site.agent(0), job);
        running(&task);
        let parent = self.place.container_of(task.id().as_str());
        let sandbox = self.place.sandbox(task.id().as_str()).join("containers/inner");
        let status = self.place.run(&self.container(nested(parent, "inner")));
        assert_eq!(status.exit_status, Some(0), "{status:?}");
        task.kill().expect("the master takes KILL");
        end(&task);
        sandbox
    }

    fn standalone(&self) -> PathBuf {
        let value = format!("standalone-{}", self.number);
        let sandbox = self.place.site.agent(0).work_dir().join("containers").join(&value);
        let mut launch = self.container(ContainerId { value, parent: None });
        launch.command = Some(CommandInfo::shell(LOOK));
        launch.resources = mesos_http::resources::Resources::from_iter([
            mesos_http::types::Resource::scalar("cpus", 0.1),
            mesos_http::types::Resource::scalar("mem", 32.0),
        ]);
        let status = self.place.run(&launch);
        assert_eq!(status.exit_status, Some(0), "{status:?}");
        sandbox
    }

    fn container(&self, id: ContainerId) -> ContainerLaunch {
        let mut launch = ContainerLaunch::new(id, CommandInfo::shell(self.look()));
        launch.container = Some(contained(self.image));
        launch
    }

    /// The master's words about a pod whose executor is to have an image.
    fn refused(&self) -> String {
        let pod = self
            .pod(&self.look())
            .with(|executor| executor.container = Some(contained(self.image)));
        let members = self.place.tasks.launch_pod(self.place.site.agent(0), pod);
        let status = end(&members[0]);
        assert_eq!(status.state, TaskState::Error, "{status:?}");
        status.message.unwrap_or_default()
    }
}
