//! Volumes in a framework's own fields, of every kind that its source code knows: each is read, or
//! told as not read. "No task here has volumes" is said when that is true.

use label_mapper::{Channel, Cluster, Converted, Explained, Framework, Options, convert, explain, job_file, migrate};
use serde_json::{Value, json};

use crate::{catalogue, has_note, one_line};

/// Explains the one task with volumes, whose zone comes out as the first of the catalogue's.
#[track_caller]
fn explained(framework: Framework, text: &str) -> Explained {
    let catalogue = catalogue();
    let options = Options {
        catalogue: Some(&catalogue),
        ..Options::default()
    };
    let mut all =
        explain(framework, text, &options, &Cluster::default()).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(all.len(), 1, "one task has volumes in {text}");
    all.remove(0)
}

#[track_caller]
fn converted(framework: Framework, text: &str) -> Converted {
    let catalogue = catalogue();
    let options = Options {
        catalogue: Some(&catalogue),
        ..Options::default()
    };
    convert(framework, text, &options).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[track_caller]
fn refused(framework: Framework, text: &str) -> String {
    let catalogue = catalogue();
    let options = Options {
        catalogue: Some(&catalogue),
        ..Options::default()
    };
    one_line(
        &convert(framework, text, &options)
            .expect_err("it is refused")
            .to_string(),
    )
}

/// A volume `orders` that is looked up, in this way.
#[track_caller]
fn is_looked_up(framework: Framework, text: &str, channel: Channel) -> Explained {
    let task = explained(framework, text);
    assert_eq!(task.report.claims, ["vol-0000000000000001a"], "{text}");
    assert_eq!(task.report.zone.as_deref(), Some("us-east-1a"));
    assert_eq!(task.report.volumes[0].channel, channel, "{text}");
    task
}

/// Not a volume of a driver: there is a note, and nothing is edited.
#[track_caller]
fn is_told(framework: Framework, text: &str, words: &str) {
    let task = explained(framework, text);
    assert!(task.report.volumes.is_empty(), "{:?}", task.report.volumes);
    has_note(&task.report, words);
    let converted = converted(framework, text);
    assert_eq!(converted.definition, text);
    has_note(&converted.tasks[0], words);
    assert!(converted.all_mounted());
    let migrated = migrate(framework, text, &Options::default()).expect("the definition is good");
    assert_eq!(migrated.definition, text);
    has_note(&migrated.tasks[0], words);
}

/// Chronos, `JobDeserializer.deserialize` and `MesosTaskBuilder.createContainerInfo`.
#[test]
fn the_provider_of_a_chronos_volume_is_its_driver() {
    let job = |kind: &str| {
        format!(
            r#"{{"name": "j", "command": "x", "container": {{"type": "{kind}", "image": "mysql", "volumes": [{{"containerPath": "/var/lib/mysql",
              "mode": "RW", "external": {{"name": "orders", "provider": "rexray", "options": [{{"key": "size", "value": "5"}}]}}}}]}}}}"#
        )
    };
    let task = is_looked_up(Framework::Chronos, &job("MESOS"), Channel::DockerVolume);
    assert_eq!(task.report.channel, Channel::DockerVolume);
    let labels = &task.report.volumes[0].labels;
    assert_eq!(labels.driver.as_deref(), Some("rexray"));
    assert_eq!(labels.options["size"], "5");
    has_note(&task.report, "come as DOCKER_VOLUME");
    let text = converted(Framework::Chronos, &job("MESOS")).definition;
    assert!(text.contains(r#"["zone", "EQUALS", "us-east-1a"]"#), "{text}");
    is_looked_up(Framework::Chronos, &job("DOCKER"), Channel::DockerEngine);
}

#[test]
fn what_chronos_does_not_take_for_a_volume_is_told() {
    let with = |container: &str| format!(r#"{{"name": "j", "command": "x", "container": {container}}}"#);
    for (container, words) in [
        (
            r#"{"type": "MESOS", "volumes": [{"containerPath": "/d", "external": {"name": "orders", "provider": "rexray"}}]}"#,
            "Chronos takes no notice of a container without an 'image'",
        ),
        (
            r#"{"image": "i", "volumes": [{"containerPath": "/d", "external": {"name": "orders"}}]}"#,
            "needs a 'name' and a 'provider'",
        ),
        (
            r#"{"image": "i", "volumes": [{"containerPath": "/d", "hostPath": "/srv", "mode": "RW"}]}"#,
            "it is the folder '/srv' of the agent's host",
        ),
        (
            r#"{"image": "i", "volumes": {"containerPath": "/d"}}"#,
            "a list of volumes belongs there",
        ),
        (
            r#"{"image": "i", "parameters": [{"key": "volumes-from", "value": "db"}]}"#,
            "takes the volumes of the container 'db'",
        ),
    ] {
        is_told(Framework::Chronos, &with(container), words);
    }
}

const DVDI: &str = r#""DVDI_VOLUME_NAME": "orders", "DVDI_VOLUME_DRIVER": "rexray", "DVDI_VOLUME_OPTS": "size=5,iops=150", "DVDI_VOLUME_CONTAINERPATH": "/tmp/o", "DVDI_VOLUME_NAME1": "stage""#;

/// mesos-module-dvdi, `DockerVolumeDriverIsolator::prepare` reads the environment of the executor's
/// command.
#[test]
fn variables_of_mesos_module_dvdi_name_volumes_in_every_framework_that_hands_them_on() {
    let list: Vec<Value> = serde_json::from_str::<serde_json::Map<String, Value>>(&format!("{{{DVDI}}}"))
        .unwrap()
        .into_iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    let list = Value::from(list).to_string();
    let spark: String = DVDI
        .split(", \"")
        .map(|pair| {
            let (name, value) = pair.split_once(": ").unwrap();
            format!(
                "spark.executorEnv.{}={}\n",
                name.trim_matches('"'),
                value.trim_matches('"')
            )
        })
        .collect();
    let yaml = DVDI.replace(", \"", ",\n          \"").replace("\": ", "\" : ");
    for (framework, text) in [
        (
            Framework::Marathon,
            format!(r#"{{"id": "/a", "cmd": "x", "env": {{{DVDI}}}}}"#),
        ),
        (
            Framework::Marathon,
            format!(r#"{{"id": "/p", "environment": {{{DVDI}}}, "containers": [{{"name": "c"}}]}}"#),
        ),
        (
            Framework::Marathon,
            format!(r#"{{"id": "/p", "containers": [{{"name": "c", "environment": {{{DVDI}}}}}]}}"#),
        ),
        (
            Framework::Marathon,
            format!(r#"{{"app": {{"id": "/a", "env": {{{DVDI}}}}}}}"#),
        ),
        (
            Framework::TaskInfo,
            format!(r#"{{"task_id": {{"value": "t"}}, "command": {{"environment": {{"variables": {list}}}}}}}"#),
        ),
        (
            Framework::TaskInfo,
            format!(
                r#"{{"task_id": {{"value": "t"}}, "executor": {{"command": {{"environment": {{"variables": {list}}}}}}}}}"#
            ),
        ),
        (
            Framework::Singularity,
            format!(r#"{{"requestId": "r", "id": "1", "env": {{{DVDI}}}}}"#),
        ),
        (
            Framework::Singularity,
            format!(r#"{{"requestId": "r", "id": "1", "taskEnv": {{"1": {{{DVDI}}}}}}}"#),
        ),
        (Framework::Cook, format!(r#"{{"command": "x", "env": {{{DVDI}}}}}"#)),
        (
            Framework::Chronos,
            format!(r#"{{"name": "j", "environmentVariables": {list}}}"#),
        ),
        (Framework::Spark, spark),
        (
            Framework::DcosCommons,
            format!("name: s\npods:\n  p:\n    tasks:\n      t:\n        cmd: x\n        env: {{{yaml}}}\n"),
        ),
    ] {
        let task = explained(framework, &text);
        assert_eq!(
            task.report.claims,
            ["vol-0000000000000001a", "vol-0000000000000002a"],
            "{text}"
        );
        let first = &task.report.volumes[0];
        assert_eq!(first.channel, Channel::Environment, "{text}");
        assert_eq!(first.labels.slot.as_str(), "dvdi");
        assert_eq!(first.labels.path.to_string(), "/tmp/o");
        assert_eq!(first.labels.options["iops"], "150");
        has_note(&task.report, "come by DVDI_VOLUME_* variables");
        let zones = text.replace("stage", "reports");
        assert!(refused(framework, &zones).contains("in different zones"), "{zones}");
    }
}

#[test]
fn variables_become_labels_and_volumes_of_a_job() {
    let text = format!("{{\n  \"id\": \"/a\",\n  \"cmd\": \"x\",\n  \"env\": {{\"A\": \"b\", {DVDI}}}\n}}\n");
    let catalogue = catalogue();
    let options = Options {
        catalogue: Some(&catalogue),
        ..Options::default()
    };
    let migrated = migrate(Framework::Marathon, &text, &options).unwrap();
    let app: Value = serde_json::from_str(&migrated.definition).unwrap();
    assert_eq!(app["env"], json!({"A": "b"}));
    assert_eq!(
        app["labels"],
        json!({"volume.dvdi": "vol-0000000000000001a", "volume.dvdi.driver": "rexray", "volume.dvdi.path": "/tmp/o",
               "volume.dvdi1": "vol-0000000000000002a"})
    );
    assert_eq!(app["constraints"], json!([["zone", "CLUSTER", "us-east-1a"]]));

    let variables = r#"[{"name": "A", "value": "b"}, {"name": "DVDI_VOLUME_NAME", "value": "orders"}, {"name": "B", "value": "c"}, {"name": "DVDI_VOLUME_EXPLICITCREATE", "value": " TRUE"}]"#;
    let task =
        format!(r#"{{"task_id": {{"value": "t"}}, "command": {{"environment": {{"variables": {variables}}}}}}}"#);
    let migrated = migrate(Framework::TaskInfo, &task, &Options::default()).unwrap();
    let task: Value = serde_json::from_str(&migrated.definition).unwrap();
    let left = &task["command"]["environment"]["variables"];
    assert_eq!(*left, json!([{"name": "A", "value": "b"}, {"name": "B", "value": "c"}]));
    assert_eq!(
        task["labels"]["labels"],
        json!([{"key": "volume.dvdi", "value": "orders"}])
    );

    let properties = "a=b\nspark.executorEnv.DVDI_VOLUME_NAME=orders\nspark.executorEnv.B=c\n";
    let migrated = migrate(Framework::Spark, properties, &Options::default()).unwrap();
    assert_eq!(
        migrated.definition,
        "a=b\nspark.executorEnv.B=c\nspark.mesos.task.labels=volume.dvdi:orders,volume.dvdi.create:if-missing\n"
    );

    let made = job_file(Framework::Marathon, &text).unwrap();
    assert!(
        made.text
            .contains(r#""dvdi": {"create":"if-missing","driver":"rexray""#),
        "{}",
        made.text
    );
    assert!(made.text.contains(r#""volume":"stage""#), "{}", made.text);
    assert!(!made.text.contains("DVDI"), "{}", made.text);
    assert!(!made.leaves_volumes_out);
}

#[test]
fn variables_that_name_no_volume_are_told() {
    for (variables, words) in [
        (
            r#""DVDI_VOLUME_NAME10": "orders""#,
            "the variable 'DVDI_VOLUME_NAME10' was not read",
        ),
        (
            r#""DVDI_VOLUME_SIZE": "orders""#,
            "the variable 'DVDI_VOLUME_SIZE' was not read",
        ),
        (r#""DVDI_VOLUME_NAME": {"secret": "s"}"#, "its value is no text"),
    ] {
        is_told(
            Framework::Marathon,
            &format!(r#"{{"id": "/a", "env": {{{variables}}}}}"#),
            words,
        );
    }
    is_told(
        Framework::Marathon,
        &format!(r#"{{"id": "/a", "container": {{"type": "DOCKER"}}, "env": {{{DVDI}}}}}"#),
        "count under the Mesos containerizer alone",
    );
    is_told(
        Framework::Chronos,
        r#"{"name": "j", "environmentVariables": [{"name": "DVDI_VOLUME_NAMEX", "value": "orders"}]}"#,
        "the variable 'DVDI_VOLUME_NAMEX' was not read",
    );
}

/// Mesos, `Docker::run` in `docker.cpp`: each parameter becomes `--KEY=VALUE`.
#[test]
fn parameters_of_docker_run_name_volumes_in_every_framework_that_has_them() {
    let parameters = |name: &str| {
        format!(
            r#"[{{"{name}": "volume-driver", "value": "rexray"}}, {{"{name}": "env", "value": "A=b"}}, {{"{name}": "volume", "value": "orders:/data/www:ro,z"}}]"#
        )
    };
    let key = parameters("key");
    let cases = [
        (
            Framework::Marathon,
            format!(r#"{{"id": "/a", "container": {{"type": "DOCKER", "docker": {{"image": "i", "parameters": {key}}}}}}}"#),
        ),
        (
            Framework::Chronos,
            format!(r#"{{"name": "j", "container": {{"image": "i", "parameters": {key}}}}}"#),
        ),
        (
            Framework::Cook,
            format!(r#"{{"command": "x", "container": {{"type": "docker", "docker": {{"image": "i", "parameters": {key}}}}}}}"#),
        ),
        (
            Framework::Singularity,
            format!(
                r#"{{"requestId": "r", "id": "1", "containerInfo": {{"type": "DOCKER", "docker": {{"image": "i", "dockerParameters": {key}}}}}}}"#
            ),
        ),
        (
            Framework::Singularity,
            r#"{"requestId": "r", "id": "1", "containerInfo": {"type": "DOCKER", "docker": {"image": "i", "parameters": {"volume": "orders:/data/www:ro", "volume-driver": "rexray"}}}}"#.to_owned(),
        ),
        (
            Framework::Aurora,
            format!(
                r#"{{"role": "r", "task": {{}}, "container": {{"docker": {{"image": "i", "parameters": {}}}}}}}"#,
                parameters("name")
            ),
        ),
        (
            Framework::TaskInfo,
            format!(r#"{{"task_id": {{"value": "t"}}, "container": {{"type": "DOCKER", "docker": {{"image": "i", "parameters": {key}}}}}}}"#),
        ),
        (
            Framework::Spark,
            "spark.mesos.executor.docker.image=i\nspark.mesos.executor.docker.parameters=volume-driver=rexray, env=A=b, volume=orders:/data/www:ro\n".to_owned(),
        ),
    ];
    for (framework, text) in cases {
        let task = is_looked_up(framework, &text, Channel::DockerEngine);
        let labels = &task.report.volumes[0].labels;
        assert_eq!(labels.driver.as_deref(), Some("rexray"), "{text}");
        assert_eq!(labels.path.to_string(), "/data/www");
        assert_eq!(labels.mode.to_string(), "ro");
        assert!(task.reasons[0].contains("by the Docker engine"), "{:?}", task.reasons);
    }
}

#[test]
fn other_parameters_that_mount_something_are_read_or_told() {
    let app = |parameter: &str| {
        format!(
            r#"{{"id": "/a", "container": {{"type": "DOCKER", "docker": {{"image": "i", "parameters": [{parameter}]}}}}}}"#
        )
    };
    let task = is_looked_up(
        Framework::Marathon,
        &app(
            r#"{"key": "mount", "value": "type=volume,source=orders,target=/d,readonly,volume-driver=rexray,volume-opt=size=5"}"#,
        ),
        Channel::DockerEngine,
    );
    let labels = &task.report.volumes[0].labels;
    assert_eq!(
        (
            labels.driver.as_deref(),
            labels.mode.to_string().as_str(),
            labels.options["size"].as_str()
        ),
        (Some("rexray"), "ro", "5")
    );
    for (parameter, words) in [
        (
            r#"{"key": "volume", "value": "/srv:/d"}"#,
            "it is the folder '/srv' of the agent's host",
        ),
        (
            r#"{"key": "volume", "value": "/d"}"#,
            "Docker makes a new one for each container",
        ),
        (
            r#"{"key": "mount", "value": "type=bind,src=/srv,dst=/d"}"#,
            "it is the folder '/srv'",
        ),
        (r#"{"key": "tmpfs", "value": "/d:size=1g"}"#, "it is memory (tmpfs)"),
        (r#"{"key": "v", "value": "orders:/d"}"#, "its key is 'volume'"),
    ] {
        is_told(Framework::Marathon, &app(parameter), words);
    }
    let unused = app(r#"{"key": "volume", "value": "orders:/d"}"#).replace("DOCKER", "MESOS");
    is_told(
        Framework::Marathon,
        &unused,
        "counts for the Docker containerizer alone",
    );
}

#[test]
fn two_volumes_at_one_path_are_refused_whatever_words_describe_them() {
    let app = |labels: &str, volumes: &str| {
        format!(
            r#"{{"id": "/a", "labels": {{{labels}}}, "container": {{"type": "DOCKER", "volumes": [{volumes}], "docker": {{"image": "i",
              "parameters": [{{"key": "volume-driver", "value": "rexray"}}, {{"key": "volume", "value": "stage:/data"}}]}}}}}}"#
        )
    };
    let by_label = app(
        r#""volume.d": "orders", "volume.d.path": "/data/", "volume.d.driver": "rexray""#,
        "",
    );
    assert!(
        refused(Framework::Marathon, &by_label)
            .contains("'container.docker.parameters' has another volume at '/data' already"),
        "{}",
        refused(Framework::Marathon, &by_label)
    );
    let external = app(
        "",
        r#"{"containerPath": "/data", "mode": "RW", "external": {"name": "orders", "provider": "dvdi", "options": {"dvdi/driver": "rexray"}}}"#,
    );
    assert!(refused(Framework::Marathon, &external).contains("both mount at '/data'"));
    let mesos = r#"{"id": "/a", "labels": {"volume.d": "orders", "volume.d.path": "/data"}, "container": {"type": "MESOS",
        "volumes": [{"containerPath": "/data", "mode": "RW", "persistent": {"size": 10}}]}}"#;
    assert!(refused(Framework::Marathon, mesos).contains("'container.volumes' has another volume at '/data' already"));
    // The same volume in both words is asked for once.
    let same = app(
        r#""volume.d": "stage", "volume.d.path": "/data", "volume.d.driver": "rexray""#,
        "",
    );
    let task = explained(Framework::Marathon, &same);
    assert_eq!(task.report.volumes.len(), 1, "{:?}", task.report.volumes);
}

/// Marathon, `CSIProvider` and `VolumeConversion.volumeReads`.
#[test]
fn volumes_of_marathon_that_are_none_of_a_driver_are_told_by_every_command() {
    let app = |volume: &str| {
        format!(r#"{{"id": "/a", "cmd": "x", "container": {{"type": "MESOS", "volumes": [{volume}]}}}}"#)
    };
    for (volume, words) in [
        (
            r#"{"containerPath": "d", "mode": "RW", "external": {"name": "vol-1", "provider": "csi", "options": {"pluginName": "ebs"}}}"#,
            "the volume at 'd' is left as it is: its provider is 'csi', not a Docker volume driver",
        ),
        (
            r#"{"containerPath": "d", "persistent": {"size": 5}, "mode": "RW"}"#,
            "it is a persistent volume of Mesos",
        ),
        (
            r#"{"containerPath": "d", "hostPath": "/srv", "mode": "RO"}"#,
            "it is the folder '/srv' of the agent's host",
        ),
        (r#"{"containerPath": "d", "secret": "s"}"#, "it is a secret"),
        (
            r#"{"containerPath": "d", "mode": "RW"}"#,
            "of a kind that is not known here",
        ),
        (
            r#"{"containerPath": "d", "external": {"provider": "dvdi"}}"#,
            "its 'external' has no 'name'",
        ),
        (r#""d""#, "'container.volumes[0]' is a text and was not read"),
    ] {
        is_told(Framework::Marathon, &app(volume), words);
        let made = job_file(Framework::Marathon, &app(volume)).unwrap();
        assert!(
            made.leaves_volumes_out && made.notes.iter().any(|note| note.contains("runs without a volume")),
            "{:?}",
            made.notes
        );
    }
    for (volume, words) in [
        (r#"{"name": "v"}"#, "a folder of the pod's sandbox"),
        (
            r#"{"name": "v", "host": "/srv"}"#,
            "the folder '/srv' of the agent's host",
        ),
        (r#"{"name": "v", "secret": "s"}"#, "a secret"),
        (
            r#"{"name": "v", "persistent": {"size": 5}}"#,
            "a persistent volume of Mesos",
        ),
    ] {
        let pod = format!(
            r#"{{"id": "/p", "volumes": [{volume}], "containers": [{{"name": "c", "volumeMounts": [{{"name": "v", "mountPath": "m"}}]}}]}}"#
        );
        is_told(
            Framework::Marathon,
            &pod,
            &format!("mounted at m) is left as it is: it is {words}"),
        );
    }
}

/// Mesos, `Volume.Source.Type` in `mesos.proto`, and `Docker::RunOptions::create` in `docker.cpp`.
#[test]
fn volumes_of_a_task_info_are_read_or_told() {
    let task = |kind: &str, volume: &str| {
        format!(
            r#"{{"task_id": {{"value": "t"}}, "container": {{"type": "{kind}", "docker": {{"image": "i", "volume_driver": "rexray"}}, "volumes": [{volume}]}}}}"#
        )
    };
    for (volume, words) in [
        (
            r#"{"container_path": "d", "mode": "RW", "source": {"type": "CSI_VOLUME", "csi_volume": {"plugin_name": "p"}}}"#,
            "it is a CSI volume",
        ),
        (
            r#"{"container_path": "d", "mode": "RW", "source": {"type": "SECRET", "secret": {}}}"#,
            "it is a secret",
        ),
        (
            r#"{"container_path": "d", "mode": "RW", "source": {"type": "HOST_PATH", "host_path": {"path": "/srv"}}}"#,
            "the folder '/srv'",
        ),
        (
            r#"{"container_path": "d", "mode": "RW", "source": {"type": "SANDBOX_PATH", "sandbox_path": {"type": "SELF", "path": "x"}}}"#,
            "a folder of a sandbox",
        ),
        (
            r#"{"container_path": "d", "mode": "RO", "image": {"type": "DOCKER", "docker": {"name": "i"}}}"#,
            "it is an image",
        ),
        (
            r#"{"container_path": "d", "mode": "RW", "host_path": "/srv"}"#,
            "the folder '/srv'",
        ),
        (r#"{"container_path": "d", "mode": "RW"}"#, "it has no source"),
        (
            r#"{"container_path": "d", "mode": "RW", "source": {"type": "DOCKER_VOLUME", "docker_volume": {"driver": "r"}}}"#,
            "has no 'name'",
        ),
    ] {
        is_told(Framework::TaskInfo, &task("MESOS", volume), words);
    }
    is_looked_up(
        Framework::TaskInfo,
        &task(
            "DOCKER",
            r#"{"container_path": "/d", "mode": "RW", "host_path": "orders"}"#,
        ),
        Channel::DockerEngine,
    );
    is_told(
        Framework::TaskInfo,
        r#"{"task_id": {"value": "t"}, "resources": [{"name": "disk", "disk": {"persistence": {"id": "p"}, "volume": {"container_path": "d", "mode": "RW"}}}]}"#,
        "it is a persistent volume of Mesos",
    );
}

/// Cook, `Volume` in `rest/api.clj`; Aurora, `Volume` in `config/schema/base.py`; Spark,
/// `MesosSchedulerBackendUtil.parseVolumesSpec`.
#[test]
fn folders_of_the_host_are_told() {
    is_told(
        Framework::Cook,
        r#"{"command": "x", "container": {"type": "mesos", "mesos": {"image": "i"}, "volumes": [{"host-path": "/srv"}]}}"#,
        "the volume at '/srv' is left as it is: it is the folder '/srv'",
    );
    is_told(
        Framework::Aurora,
        r#"{"role": "r", "task": {}, "container": {"image": {"name": "i", "tag": "1"}, "volumes": [{"container_path": "/d", "host_path": "/srv", "mode": "RW"}]}}"#,
        "it is the folder '/srv'",
    );
    is_told(
        Framework::Spark,
        "spark.mesos.executor.docker.image=i\nspark.mesos.executor.docker.volumes=/srv:/d:ro\n",
        "it is the folder '/srv'",
    );
    is_told(
        Framework::Spark,
        "spark.mesos.executor.docker.volumes=/srv:/d:ro\n",
        "Spark uses it with 'spark.mesos.executor.docker.image' alone",
    );
    is_told(
        Framework::Spark,
        "spark.mesos.dispatcher.driverDefault.spark.mesos.driver.labels=volume.d:orders\n",
        "write it without 'spark.mesos.dispatcher.driverDefault.'",
    );
    is_told(
        Framework::Singularity,
        r#"{"requestId": "r", "id": "1", "containerInfo": {"type": "MESOS", "volumes": [{"containerPath": "/d", "hostPath": "/srv", "mode": "RW"}]}}"#,
        "it is the folder '/srv'",
    );
}

#[test]
fn a_definition_without_volumes_has_no_task_to_tell_of() {
    for (framework, text) in [
        (
            Framework::Marathon,
            r#"{"id": "/a", "env": {"A": "b"}, "container": {"type": "DOCKER", "docker": {"image": "i", "parameters": [{"key": "env", "value": "A=b"}]}}}"#,
        ),
        (
            Framework::Chronos,
            r#"{"name": "j", "container": {"image": "i", "volumes": []}}"#,
        ),
        (Framework::Spark, "spark.master mesos://m\n"),
        (
            Framework::DcosCommons,
            "name: s\npods:\n  p:\n    count: 1\n    tasks:\n      t: {cmd: x}\n",
        ),
    ] {
        assert!(converted(framework, text).tasks.is_empty(), "{text}");
        assert!(
            migrate(framework, text, &Options::default()).unwrap().tasks.is_empty(),
            "{text}"
        );
    }
}

/// Mesos, `ExecutorInfo.Type.DEFAULT`: each task of a group is a nested container with its own
/// volumes.
#[test]
fn a_task_of_the_default_executor_has_volumes_of_its_own() {
    let task = |kind: &str| {
        format!(
            r#"{{"task_id": {{"value": "t"}}, "executor": {{"type": "{kind}"}}, "container": {{"type": "MESOS", "volumes": [{{"container_path": "d", "mode": "RW",
              "source": {{"type": "DOCKER_VOLUME", "docker_volume": {{"driver": "rexray", "name": "orders"}}}}}}]}}}}"#
        )
    };
    let text = task("DEFAULT");
    is_looked_up(Framework::TaskInfo, &text, Channel::DockerVolume);
    let migrated = migrate(Framework::TaskInfo, &text, &Options::default()).expect("the task is good");
    assert_eq!(migrated.definition, text);
    has_note(&migrated.tasks[0], "it belongs to one task of the executor");
    is_told(
        Framework::TaskInfo,
        &task("CUSTOM"),
        "its executor's are what the agent mounts",
    );
}

/// Portworx' pages on DC/OS: the specification of a volume stands inline, in the place of its name.
#[test]
fn an_inline_specification_of_portworx_is_read_for_the_name_in_it() {
    let parameters = |value: &str| {
        format!(
            r#"{{"id": "/a", "cmd": "x", "container": {{"type": "DOCKER", "docker": {{"image": "i", "parameters": [
              {{"key": "volume-driver", "value": "pxd"}}, {{"key": "volume", "value": "{value}"}}]}}}}}}"#
        )
    };
    let spec = "size=100G,repl=3,snap_schedule=daily=10:30#2,name=orders";
    let text = parameters(&format!("{spec}:/var/lib/mysql"));
    let task = is_looked_up(Framework::Marathon, &text, Channel::DockerEngine);
    let labels = &task.report.volumes[0].labels;
    assert_eq!(
        (labels.name.as_str(), labels.path.to_string().as_str()),
        ("orders", "/var/lib/mysql")
    );
    assert_eq!(labels.options["repl"], "3");
    assert_eq!(labels.options["snap_schedule"], "daily=10:30#2");
    let made = job_file(Framework::Marathon, &text).expect("the app is good");
    assert!(made.text.contains(r#""volume":"orders""#), "{}", made.text);

    let external = format!(
        r#"{{"id": "/a", "container": {{"type": "MESOS", "volumes": [{{"containerPath": "d", "mode": "RW",
          "external": {{"name": "{spec}", "provider": "dvdi", "options": {{"dvdi/driver": "pxd"}}}}}}]}}}}"#
    );
    is_looked_up(Framework::Marathon, &external, Channel::DockerVolume);
    // Another driver's name is what it is.
    let other = parameters("name=orders:/d").replace("pxd", "rexray");
    assert!(explained(Framework::Marathon, &other).report.claims.is_empty());
}

#[test]
fn labels_that_no_isolator_sees_are_told_though_the_task_has_no_other() {
    for (framework, text, words) in [
        (
            Framework::Marathon,
            r#"{"id": "/p", "containers": [{"name": "c", "labels": {"volume.d": "orders"}}]}"#,
            "the container 'c' has volume labels of its own, which no isolator sees",
        ),
        (
            Framework::TaskInfo,
            r#"{"task_id": {"value": "t"}, "executor": {"executor_id": {"value": "e"}}, "labels": {"labels": [{"key": "volume.d", "value": "orders"}]}}"#,
            "the task's own volume labels are not seen by the isolator",
        ),
        (
            Framework::Singularity,
            r#"{"requestId": "r", "id": "1", "mesosTaskLabels": {"1": [{"key": "volume.d", "value": "orders"}]}}"#,
            "the labels of instance 1 (mesosTaskLabels) are left as they are",
        ),
        (
            Framework::Singularity,
            r#"{"requestId": "r", "id": "1", "taskLabels": {"2": {"volume.d": "orders"}}}"#,
            "the labels of instance 2 (taskLabels) are left as they are",
        ),
    ] {
        is_told(framework, text, words);
    }
}

/// Spark, `ConfigReader.substitute`; Aurora, references of pystachio.
#[test]
fn names_that_are_filled_in_later_are_told() {
    is_told(
        Framework::Spark,
        "spark.mesos.executor.docker.image=i\nspark.mesos.executor.docker.parameters=volume=${env:VOLUME}:/d\n",
        "the volume '${env:VOLUME}' was not looked up: Spark fills it in",
    );
    is_told(
        Framework::Aurora,
        r#"{"role": "r", "task": {}, "container": {"docker": {"image": "i", "parameters": [{"name": "volume", "value": "data-{{mesos.instance}}:/d"}]}}}"#,
        "the volume 'data-{{mesos.instance}}' was not looked up: it is a template",
    );
}
