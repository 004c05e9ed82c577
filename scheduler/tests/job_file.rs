//! Job files: what is understood, and what is said of those that are wrong.

use scheduler::job::{Command, Job};

/// What stands after `tasks:` in a job file with two good tasks `a` and `b`, `b` after `a`.
fn with_tasks(tasks: &str) -> String {
    format!("version: 1\nname: etl\ntasks:\n{tasks}")
}

#[test]
fn every_field_is_read() {
    let job = Job::parse(
        "version: 1
name: flights
defaults:
  user: etl
  mem: 64
  driver: ebs
  environment: {PGDATA: src/pg, LEVEL: info}
tasks:
  seed:
    command: initdb -D src/pg
    user: postgres
    cpus: 0.5
    volumes:
      src: flights-src
  transform:
    command: [python3, -c, \"print(1)\", 2]
    mem: 256
    environment: {LEVEL: debug, VERSION: 1.10, ON: yes}
    after: seed
    volumes:
      stage:
        volume: flights-stage
        path: /stage
        mode: ro
        access: exclusive
        lifetime: container
        create: if-missing
        options: {size: 16, fs: ext4}
        owner: 1000:1000
        flags: nosuid,noexec
        subpath: pg/data
        driver: other
        claim: vol-1
    agent:
      hostname: h1
      attributes: {rack: r1}
      not-same-as: [seed]
  load:
    command: 'true'
    after: [seed, transform]
    agent: {same-as: transform}
",
    )
    .unwrap();
    assert_eq!(job.name, "flights");
    let names: Vec<_> = job.tasks.iter().map(|task| (task.name.as_str(), task.line)).collect();
    assert_eq!(names, [("seed", 9), ("transform", 15), ("load", 38)]);

    let seed = job.task("seed").unwrap();
    assert_eq!(seed.command, Command::Shell("initdb -D src/pg".into()));
    assert_eq!(seed.user.as_deref(), Some("postgres"));
    assert_eq!((seed.cpus, seed.mem), (0.5, 64.0));
    assert_eq!(seed.environment["PGDATA"], "src/pg");
    assert_eq!(seed.volumes[0].to_labels().len(), 2);
    assert_eq!(seed.volumes[0].driver.as_deref(), Some("ebs"));

    let transform = job.task("transform").unwrap();
    let argv = ["python3", "-c", "print(1)", "2"].map(String::from).to_vec();
    assert_eq!(transform.command, Command::Argv(argv));
    assert_eq!(transform.user.as_deref(), Some("etl"));
    assert_eq!((transform.cpus, transform.mem), (0.1, 256.0));
    let environment: Vec<_> = transform.environment.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(environment, ["LEVEL=debug", "ON=yes", "PGDATA=src/pg", "VERSION=1.10"]);
    let labels: Vec<_> = transform.volumes[0]
        .to_labels()
        .into_iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    assert_eq!(
        labels,
        [
            "volume.stage=flights-stage",
            "volume.stage.driver=other",
            "volume.stage.path=/stage",
            "volume.stage.mode=ro",
            "volume.stage.access=exclusive",
            "volume.stage.lifetime=container",
            "volume.stage.create=if-missing",
            "volume.stage.options.fs=ext4",
            "volume.stage.options.size=16",
            "volume.stage.owner=1000:1000",
            "volume.stage.flags=nosuid,noexec",
            "volume.stage.subpath=pg/data",
            "volume.stage.claim=vol-1",
        ]
    );
    assert_eq!(transform.after, ["seed".to_owned()].into());
    assert_eq!(transform.agent.hostname.as_deref(), Some("h1"));
    assert_eq!(transform.agent.attributes["rack"], "r1");
    assert_eq!(transform.agent.not_same_as, ["seed".to_owned()].into());
    assert_eq!(job.task("load").unwrap().agent.same_as, ["transform".to_owned()].into());
    assert_eq!(
        job.blocked_by("seed").into_iter().collect::<Vec<_>>(),
        ["load", "transform"]
    );
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let cases: &[(&str, &str)] = &[
        // No job file at all.
        ("", "1:1: the job file has no 'version: 1'"),
        ("name: x\n", "1:1: the job file has no 'version: 1'"),
        (
            "version: 2\nnews: [1]\n",
            "1:10: version 2 of the job file is not known here; accepted is 1",
        ),
        ("version: one\n", "version \"one\" of the job file"),
        ("version: 1\nname: [\n", "2:7: unclosed bracket"),
        ("version: 1\nname: x\n", "missing field `tasks`"),
        ("version: 1\nname: x\ntasks: {}\n", "2:7: the job has no tasks"),
        (
            "version: 1\nname: x y\ntasks: {a: {command: 'true'}}\n",
            "2:7: 'x y' is no name for a job",
        ),
        // Fields.
        (
            &with_tasks("  a: {command: 'true', cpu: 1}\n"),
            "4:24: unknown field 'cpu'; did you mean 'cpus'?",
        ),
        (&with_tasks("  a: {}\n"), "missing field `command`"),
        (&with_tasks("  a: {command: ''}\n"), "4:16: the command is empty"),
        (&with_tasks("  a: {command: []}\n"), "4:16: the command is empty"),
        (&with_tasks("  a: {command: {x: y}}\n"), "a shell command, or a list"),
        (
            &with_tasks("  a/b: {command: 'true'}\n"),
            "4:3: 'a/b' is no name for a task",
        ),
        (
            &with_tasks("  a: {command: 'true'}\n  a: {command: 'true'}\n"),
            "5:3: duplicate",
        ),
        (
            &with_tasks("  a: {command: 'true', cpus: 0}\n"),
            "4:30: cpus is 0; accepted is 0.001 and more",
        ),
        (
            &with_tasks("  a: {command: 'true', mem: .inf}\n"),
            "4:29: non-finite float",
        ),
        (
            &with_tasks("  a: {command: 'true', mem: much}\n"),
            "4:29: mem is 'much'; accepted is a number of MB, as in 1024",
        ),
        (
            &with_tasks("  a: {command: 'true', environment: {'A=B': c}}\n"),
            "4:38: 'A=B' is no environment variable",
        ),
        // Volumes, in the words of the labels.
        (
            &with_tasks("  a:\n    command: 'true'\n    volumes:\n      Data: x\n"),
            "7:7: label 'volume.Data': bad slot 'Data'",
        ),
        (
            &with_tasks("  a:\n    command: 'true'\n    volumes:\n      d: {volume: x, mode: r}\n"),
            "7:28: label 'volume.d.mode=r'",
        ),
        (
            &with_tasks(
                "  a:\n    command: 'true'\n    volumes:\n      d:\n        volume: x\n        lifetime: forever\n",
            ),
            "9:19: label 'volume.d.lifetime=forever'",
        ),
        (
            &with_tasks(
                "  a:\n    command: 'true'\n    volumes:\n      d:\n        lifetime: container\n        volume: ''\n",
            ),
            "9:17: label 'volume.d=': the value is empty",
        ),
        (
            &with_tasks("  a:\n    command: 'true'\n    volumes:\n      d:\n        volume: x\n        claim: '{i}'\n"),
            "9:16: '{i}' has '{i}', but the task has no 'instances'",
        ),
        (
            &with_tasks(
                "  a:\n    command: 'true'\n    volumes:\n      d:\n        volume: x\n        options:\n          size: \"a\\0\"\n",
            ),
            "10:17: label 'volume.d.options.size=",
        ),
        (
            &with_tasks("  a:\n    command: 'true'\n    volumes:\n      d: {volume: x, mod: r}\n"),
            "7:22: unknown field 'mod'; did you mean 'mode'?",
        ),
        (
            &with_tasks("  a:\n    command: 'true'\n    volumes:\n      d: {mode: ro}\n"),
            "missing field `volume`",
        ),
        (
            &with_tasks("  a:\n    command: 'true'\n    volumes:\n      d: ''\n"),
            "7:7: label 'volume.d='",
        ),
        (
            &with_tasks("  a:\n    command: 'true'\n    volumes:\n      d: x\n      e: {volume: y, path: d}\n"),
            "4:3: labels 'volume.d' and 'volume.e' both mount at 'd'",
        ),
        // Other tasks.
        (
            &with_tasks("  seed: {command: 'true'}\n  b: {command: 'true', after: sed}\n"),
            "5:31: 'after' of task 'b' names no task of this job: 'sed', did you mean 'seed'?",
        ),
        (
            &with_tasks("  a: {command: 'true', after: [zzz]}\n"),
            "4:32: 'after' of task 'a' names no task",
        ),
        (
            &with_tasks("  a: {command: 'true', after: a}\n"),
            "4:3: tasks wait for each other: a after a",
        ),
        (
            &with_tasks(
                "  z: {command: 'true', after: c}\n  a: {command: 'true', after: [z, c]}\n  b: {command: 'true', after: a}\n  c: {command: 'true', after: b}\n",
            ),
            "tasks wait for each other: a after c after b after a",
        ),
        (
            &with_tasks("  a: {command: 'true'}\n  b: {command: 'true', agent: {same-as: a}}\n"),
            "5:41: 'agent.same-as' of task 'b' names 'a', but 'b' does not run after it; add 'after: a'",
        ),
        (
            &with_tasks("  a: {command: 'true', agent: {not-same-as: [a]}}\n"),
            "does not run after it",
        ),
    ];
    let mut wrong = Vec::new();
    for (text, expected) in cases {
        let error = Job::parse(text).expect_err(text).to_string();
        if !error.contains(expected) || error.lines().count() != 1 || error.contains(" at line ") {
            wrong.push(format!("{text}\n  gives    {error}\n  without  {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let text = with_tasks(
        "  a: {command: '', cpus: -1}\n  b!: {command: 'true', after: q}\n  c: {command: 'true', volumes: {x: ''}}\n",
    );
    let error = Job::parse(&text).unwrap_err();
    let lines: Vec<u64> = error.problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [4, 4, 5, 5, 6], "{error}");
}

#[test]
fn instances_are_tasks_of_their_own_with_their_own_volumes() {
    let job = Job::parse(
        "version: 1
name: shards
defaults: {retries: 2, retry-pause: 5s, timeout: 1h 30m, priority: -1}
notify:
  success: {command: [mail, ops]}
  failure: [{webhook: 'https://example.org/x'}, {command: page}]
tasks:
  load: {command: x, instances: 2, volumes: {v: '{job}-{i}'}, retries: 0, timeout: 500ms, priority: 7}
  check: {command: x, instances: 2, after: load, agent: {same-as: load}, volumes: {v: {volume: 'c', claim: '{task}.{i}'}}}
  sum: {command: x, after: check, agent: {not-same-as: load}}
",
    )
    .unwrap();
    let names: Vec<_> = job.tasks.iter().map(|task| task.name.as_str()).collect();
    assert_eq!(names, ["load-0", "load-1", "check-0", "check-1", "sum"]);
    let load = job.task("load-1").unwrap();
    assert_eq!((load.instance, load.volumes[0].name.as_str()), (Some(1), "shards-1"));
    assert_eq!((load.retries, load.timeout_ms, load.priority), (0, Some(500), 7));
    let check = job.task("check-1").unwrap();
    assert_eq!(check.volumes[0].claim_id(), "check.1");
    assert!(check.after.iter().eq(["load-0", "load-1"]));
    assert!(check.agent.same_as.iter().eq(["load-1"]));
    assert_eq!(
        (check.retries, check.retry_pause_ms, check.timeout_ms),
        (2, Some(5_000), Some(5_400_000))
    );
    assert!(
        job.task("sum")
            .unwrap()
            .agent
            .not_same_as
            .iter()
            .eq(["load-0", "load-1"])
    );
    assert_eq!(
        job.notify.failure[0],
        scheduler::job::Target::Webhook("https://example.org/x".into())
    );
    assert_eq!((job.notify.success.len(), job.notify.failure.len()), (1, 2));
}

#[test]
fn what_is_wrong_with_instances_times_and_notifications_is_said_with_its_place() {
    let cases = [
        (
            "a: {command: x, volumes: {v: 'x-{i}'}}",
            "'{i}', but the task has no 'instances'",
        ),
        (
            "a: {command: x, volumes: {v: '{name}'}}",
            "accepted is {job}, {task} and {i}",
        ),
        ("a: {command: x, instances: 0}", "instances is 0; accepted is 1 to 1000"),
        (
            "a: {command: x, timeout: soon}",
            "timeout is 'soon'; accepted is a time such as",
        ),
        ("a: {command: x, timeout: 0s}", "timeout is '0s'"),
        (
            "a: {command: x, instances: 2}\n  a-1: {command: x}",
            "an instance of task 'a' has the name of this task",
        ),
        (
            "a: {command: x, instances: 2}\n  b: {command: x, after: a, agent: {same-as: a}}",
            "names 'a', which has instances",
        ),
    ];
    for (tasks, message) in cases {
        let error = Job::parse(&with_tasks(&format!("  {tasks}\n"))).unwrap_err();
        assert_eq!(error.problems.len(), 1, "{tasks}: {error}");
        assert!(
            error.problems[0].line > 0 && error.to_string().contains(message),
            "{tasks}: {error}"
        );
    }
    let error = Job::parse(&format!(
        "notify: {{failure: [{{webhook: here}}, {{}}]}}\n{}",
        with_tasks("  a: {command: x}\n")
    ))
    .unwrap_err();
    assert_eq!(error.problems.len(), 2, "{error}");
    assert!(
        error.to_string().starts_with("1:20: the webhook 'here' is no URL"),
        "{error}"
    );
}

#[test]
fn overlap_and_start_within_are_said_of_a_schedule_and_in_known_words() {
    let with = |lines: &str| format!("version: 1\nname: j\n{lines}tasks:\n  a: {{command: x}}\n");
    let good =
        Job::parse(&with("schedule: '@daily'\nstart-within: 1h 30m\noverlap: replace\n")).expect("the file is good");
    assert_eq!(good.start_within_ms, Some(5_400_000));
    assert_eq!(good.overlap, scheduler::job::Overlap::Replace);
    for (lines, expected) in [
        (
            "schedule: '@daily'\noverlap: kill\n",
            "4:10: overlap is 'kill'; accepted is 'skip'",
        ),
        (
            "schedule: '@daily'\nstart-within: soon\n",
            "4:15: start-within is 'soon'",
        ),
        (
            "overlap: skip\n",
            "3:10: 'overlap' is about runs by schedule, and the job has no 'schedule'",
        ),
        (
            "schedule: '61 * * * *'\n",
            "3:11: '61 * * * *' is no schedule: MINUTE is '61': 61 is not between 0 and 59",
        ),
    ] {
        let error = Job::parse(&with(lines)).expect_err(lines).to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn every_unknown_field_and_every_wrong_number_is_shown_at_once() {
    let text = "version: 1
name: x
defaults: {retires: 2}
shedule: '0 3 * * *'
tasks:
  a:
    command: 'true'
    mem: 1G
    retries: 1.5
    volumes: {d: {volume: v, mod: ro}}
  b:
    command: 'true'
    cpus: two
    agent: {zone: z1}
";
    assert_eq!(
        Job::parse(text).unwrap_err().to_string(),
        "3:12: unknown field 'retires'; did you mean 'retries'?
4:1: unknown field 'shedule'; did you mean 'schedule'?
8:10: mem is '1G'; accepted is a number of MB, as in 1024
9:14: retries is '1.5'; accepted is a whole number, as in 3
10:30: unknown field 'mod'; did you mean 'mode'?
13:11: cpus is 'two'; accepted is a number, as in 0.5
14:13: unknown field 'zone'; accepted: hostname, attributes, same-as, not-same-as"
    );
}
