//! Names that a framework makes for the driver: what is looked up, and what a job file says, is
//! what the driver is asked for.

use label_mapper::{Catalogue, Framework, Options, convert, explain, job_file, migrate};

use crate::{has_note, one_line};

/// A catalogue of volumes in one zone with these names.
fn named(names: &[&str]) -> Catalogue {
    let volumes: Vec<String> = names
        .iter()
        .enumerate()
        .map(|(index, name)| format!("- {{id: vol-{index}, zone: z, name: {name}}}\n"))
        .collect();
    Catalogue::from_texts([format!("volumes:\n{}", volumes.concat()).as_str()]).expect("the catalogue is good")
}

fn service(name: &str, pod: &str, volume: &str) -> String {
    format!(
        "name: {name}\npods:\n  {pod}:\n    count: 2\n    external-volumes:\n      v: {{type: DOCKER, container-path: hello-data, \
         volume-mode: RW, {volume}}}\n    tasks:\n      t: {{goal: FINISH, cmd: x, cpus: 1, memory: 1}}\n"
    )
}

/// The names that are looked up for the two pods.
#[track_caller]
fn looked_up(text: &str, names: &[&str]) {
    let catalogue = named(names);
    let options = Options {
        catalogue: Some(&catalogue),
        ..Options::default()
    };
    let explained = explain(
        Framework::DcosCommons,
        text,
        &options,
        &label_mapper::Cluster::default(),
    )
    .expect("the service is good");
    let found = explained[0].report.volumes.iter().flat_map(|asked| &asked.volumes);
    let found: Vec<&str> = found.filter_map(|volume| volume.name.as_deref()).collect();
    assert_eq!(found, names, "{:#?}", explained[0].report.notes);
}

#[track_caller]
fn in_job_file(text: &str, name: &str) {
    let made = job_file(Framework::DcosCommons, text).expect("the service is good");
    assert!(
        made.text.contains(&format!(r#""volume":"{name}""#)),
        "no '{name}' in {}",
        made.text
    );
}

/// dcos-commons, `ExternalVolumeProviderFactory` and `PortworxVolumeProvider`.
#[test]
fn portworx_volumes_of_dcos_commons_have_a_dash_before_the_pods_index() {
    let text = service("hello-world", "hello", "driver-name: pxd, volume-name: ext");
    looked_up(&text, &["ext-0", "ext-1"]);
    in_job_file(&text, "ext-{i}");
    let unnamed = service("hello-world", "hello", "driver-name: pxd");
    looked_up(&unnamed, &["hello-world-hello-0", "hello-world-hello-1"]);
    in_job_file(&unnamed, "hello-world-hello-{i}");
    in_job_file(&unnamed.replace("count: 2", "count: 1"), "hello-world-hello-0");
}

/// dcos-commons, `PortworxVolumeProvider`: only `shared` equal to `true` counts.
#[test]
fn a_shared_portworx_volume_of_dcos_commons_has_no_index() {
    let text = service(
        "hello-world",
        "hello",
        r#"driver-name: pxd, volume-name: ext, driver-options: "shared=true;size=10""#,
    );
    looked_up(&text, &["ext"]);
    in_job_file(&text, "ext");
    in_job_file(&text.replace("shared=true", "shared=false"), "ext-{i}");
    in_job_file(&text.replace("shared=true", "sharedv4=true"), "ext-{i}");
    // Another driver's option of that name means nothing to dcos-commons.
    in_job_file(&text.replace("pxd", "rexray"), "ext_{i}");
}

/// dcos-commons, `GenericDockerVolumeProvider`: the container's path is no part of the name.
#[test]
fn a_volume_of_dcos_commons_without_a_name_is_called_after_service_and_pod() {
    let text = service("hello-world", "hello", "driver-name: rexray");
    looked_up(&text, &["hello-world_hello_0", "hello-world_hello_1"]);
    in_job_file(&text, "hello-world_hello_{i}");
}

/// dcos-commons, `SchedulerUtils.withEscapedSlashes`.
#[test]
fn slashes_in_names_of_dcos_commons_become_two_underscores() {
    in_job_file(
        &service("/dept/hello-world", "hello", "driver-name: rexray"),
        "dept__hello-world_hello_{i}",
    );
    in_job_file(
        &service("dept/a/b", "hello", "driver-name: pxd"),
        "dept__a__b-hello-{i}",
    );
    in_job_file(
        &service("s", "hello", "driver-name: rexray, volume-name: /team/orders"),
        "team__orders_{i}",
    );
    let refused = job_file(
        Framework::DcosCommons,
        &service("s", "hello", "driver-name: rexray, volume-name: a__b"),
    );
    let error = one_line(&refused.unwrap_err().to_string());
    assert!(error.contains("dcos-commons refuses the name 'a__b'"), "{error}");
}

/// What `convert` writes as `volume-name` is turned into the driver's name by the same rules.
#[test]
fn labels_of_dcos_commons_are_looked_up_under_the_name_that_their_driver_gets() {
    let text = "name: s\npods:\n  p:\n    count: 2\n    tasks:\n      t: {cmd: x, labels: 'volume.d:ext,volume.d.driver:pxd'}\n";
    let catalogue = named(&["ext-0", "ext-1"]);
    let mut options = Options {
        catalogue: Some(&catalogue),
        ..Options::default()
    };
    assert_eq!(
        convert(Framework::DcosCommons, text, &options).unwrap().tasks[0].claims,
        ["vol-0", "vol-1"]
    );
    let by_default = text.replace(",volume.d.driver:pxd", "");
    options.default_driver = Some("pxd");
    assert_eq!(
        convert(Framework::DcosCommons, &by_default, &options).unwrap().tasks[0].claims,
        ["vol-0", "vol-1"]
    );
    options.default_driver = Some("rexray");
    let error = convert(Framework::DcosCommons, &by_default, &options).unwrap_err();
    assert!(error.to_string().contains("'ext_0'"), "{error}");
}

#[test]
fn driver_options_that_dcos_commons_refuses_are_refused() {
    for (options, words) in [
        ("size", "'size' of its driver-options is no KEY=VALUE"),
        ("a=b=c", "'a=b=c' of its driver-options is no KEY=VALUE"),
        ("name=x", "write it as volume-name"),
    ] {
        let text = service("s", "p", &format!("driver-name: pxd, driver-options: '{options}'"));
        let error = job_file(Framework::DcosCommons, &text).unwrap_err().to_string();
        assert!(one_line(&error).contains(words), "{error}");
    }
}

const DEPLOY: &str = r#"{"request": {"id": "r", "requestType": "SERVICE", "instances": 3},
 "deploy": {"requestId": "r", "id": "1", "command": "x", "containerInfo": {"type": "MESOS", "volumes": [
  {"containerPath": "/data", "mode": "RW", "source": {"type": "DOCKER_VOLUME", "dockerVolume": {"driver": "rexray", "name": "data-%i"}}}]}}}"#;

/// Singularity, `SingularityMesosTaskBuilder.prepareContainerInfo`: `%i` is
/// `taskId.getInstanceNo()`, which counts from 1.
#[test]
fn each_instance_of_singularity_has_its_own_volume_and_labels_cannot_say_so() {
    let catalogue = named(&["data-1", "data-2", "data-3"]);
    let options = Options {
        catalogue: Some(&catalogue),
        ..Options::default()
    };
    let migrated = migrate(Framework::Singularity, DEPLOY, &options).unwrap();
    assert_eq!(migrated.definition, DEPLOY, "it is left as it is");
    let task = &migrated.tasks[0];
    assert_eq!(task.claims, ["vol-0", "vol-1", "vol-2"]);
    has_note(
        task,
        "the volume at '/data' is left as it is: Singularity puts the instance's number in the place of '%i'",
    );
    let converted = convert(Framework::Singularity, DEPLOY, &options).unwrap();
    assert!(
        converted.definition.contains(r#""zone": "z""#),
        "{}",
        converted.definition
    );

    // The number may stand anywhere, and more than once.
    let twice = DEPLOY.replace("data-%i", "%i-data-%i");
    let catalogue = named(&["1-data-1", "2-data-2", "3-data-3"]);
    let options = Options {
        catalogue: Some(&catalogue),
        ..options
    };
    let converted = convert(Framework::Singularity, &twice, &options).unwrap();
    assert_eq!(converted.tasks[0].claims, ["vol-0", "vol-1", "vol-2"]);
}

#[test]
fn volumes_of_two_instances_in_two_zones_are_refused() {
    let text = "volumes:\n- {id: vol-1, zone: a, name: data-1}\n- {id: vol-2, zone: b, name: data-2}\n";
    let catalogue = Catalogue::from_texts([text]).unwrap();
    let options = Options {
        catalogue: Some(&catalogue),
        ..Options::default()
    };
    let error = convert(Framework::Singularity, DEPLOY, &options)
        .unwrap_err()
        .to_string();
    assert!(one_line(&error).contains("different zones"), "{error}");
}

/// Singularity, `SingularityMesosTaskBuilder.fillInTaskIdValues`, which is applied to the path.
#[test]
fn a_path_that_singularity_fills_in_for_each_task_is_not_migrated() {
    let text = DEPLOY
        .replace("data-%i", "data")
        .replace("/data", "/data/${TASK_INSTANCE_NO}");
    let migrated = migrate(Framework::Singularity, &text, &Options::default()).unwrap();
    assert_eq!(migrated.definition, text);
    has_note(&migrated.tasks[0], "Singularity fills in '${TASK_..}'");
}

/// Singularity, `SingularityMesosTaskBuilder.prepareContainerInfo`: `Volume.Mode.RO` without a
/// mode.
#[test]
fn a_volume_of_singularity_without_a_mode_is_read_only() {
    let text = DEPLOY.replace("data-%i", "data").replace(r#""mode": "RW", "#, "");
    let migrated = migrate(Framework::Singularity, &text, &Options::default()).unwrap();
    assert!(
        migrated.definition.contains(r#""volume.data.mode", "value": "ro""#),
        "{}",
        migrated.definition
    );
}
