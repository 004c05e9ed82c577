//! YAML of dcos-commons that cannot be read as it stands: refused, with what to do.

use label_mapper::{Catalogue, Framework, Options, convert, job_file};

use crate::{has_note, one_line};

#[track_caller]
fn refused(text: &str, words: &str) {
    let converted = convert(Framework::DcosCommons, text, &Options::default()).expect_err("it is refused");
    let error = one_line(&converted.to_string());
    assert!(error.contains(words), "{error}");
    let error = one_line(
        &job_file(Framework::DcosCommons, text)
            .expect_err("it is refused")
            .to_string(),
    );
    assert!(error.contains(words) || error.contains("fill it in first"), "{error}");
}

#[test]
fn aliases_merge_keys_repeated_keys_and_second_documents_are_refused_with_their_line() {
    let pod = "name: s\npods:\n  p:\n    tasks:\n      t:\n        cmd: x\n";
    for (text, words) in [
        (
            format!("common: &l 'volume.d:orders'\n{pod}        labels: *l\n"),
            "an alias ('*name') is not followed here: write out what it stands for, in line 8",
        ),
        (
            format!("base: &b {{labels: 'volume.d:orders'}}\n{pod}        <<: *b\n"),
            "an alias",
        ),
        (
            format!("{pod}        <<: {{labels: 'volume.d:orders'}}\n"),
            "a merge key ('<<') is not followed here: write out what it stands for, in line 7",
        ),
        (
            format!("{pod}        labels: a:b\n        labels: 'volume.d:orders'\n"),
            "the key 'labels' stands twice in one object (line 8)",
        ),
        (
            format!("{pod}    external-volumes: {{}}\n    external-volumes: {{}}\n"),
            "the key 'external-volumes' stands twice",
        ),
        (format!("{pod}---\n{pod}"), "a second document begins"),
        (format!("---\n{pod}...\n---\nname: t\n"), "a second document begins"),
    ] {
        refused(&text, words);
    }
    // One document with its marks, and an anchor that nothing refers to, say what they say.
    let marked = format!("%YAML 1.2\n---\n{}...\n", pod.replace("t:\n", "t: &t\n"));
    convert(Framework::DcosCommons, &marked, &Options::default()).expect("it is read");
}

/// The shape of dcos-commons' own `frameworks/cassandra/src/main/dist/svc.yml`: sections give one
/// key twice.
const TWICE: &str = "name: {{NAME}}
pods:
  node:
    count: {{NODES}}
    {{#SECURE}}
    secrets:
      key: {secret: {{KEY}}, file: k}
    {{/SECURE}}
    {{^SECURE}}
    secrets:
      other: {secret: {{KEY}}, file: k}
    {{/SECURE}}
    {{#EXTERNAL}}
    external-volumes:
      v:
        type: DOCKER
        container-path: data
        driver-name: {{DRIVER}}
    {{/EXTERNAL}}
    tasks:
      server: {goal: RUNNING, cmd: x}
";

/// The shape of dcos-commons' own `frameworks/helloworld/src/main/dist/external-volumes.yml`: a
/// section's lines are indented more.
const INDENTED: &str = "name: {{NAME}}
pods:
  world:
      count: {{COUNT}}
      external-volumes:
        v:
          type: DOCKER
          container-path: data
          driver-options: {{OPTIONS}}
          {{#VOLUME}}
            volume-name: {{VOLUME}}
          {{/VOLUME}}
      tasks:
        server: {goal: RUNNING, cmd: x}
";

#[test]
fn a_template_that_is_no_yaml_before_it_is_filled_in_is_refused() {
    refused(TWICE, "it is a template that cannot be read before it is filled in");
    refused(INDENTED, "it is a template that cannot be read before it is filled in");
    let hidden = "name: s\npods:\n  p:\n    tasks:\n      t:\n        cmd: |\n          x\n          {{#A}}\n          external-volumes:\n          {{/A}}\n";
    refused(hidden, "fill it in first");
}

#[test]
fn what_a_template_hides_of_its_volumes_is_told() {
    let catalogue = Catalogue::from_texts(["volumes: [{id: vol-1, zone: z, name: ext_0}]"]).unwrap();
    let options = Options {
        catalogue: Some(&catalogue),
        ..Options::default()
    };
    let service = |volume: &str| {
        format!(
            "name: {{{{NAME}}}}\npods:\n  p:\n    count: 1\n    external-volumes:\n      v:\n        container-path: d\n{volume}    tasks:\n      t: {{cmd: x}}\n"
        )
    };
    for (volume, words) in [
        (
            "        volume-name: {{V}}\n",
            "its volume-name is known once the template is filled in",
        ),
        (
            "        driver-name: rexray\n",
            "its name, which begins with the service's, is known once",
        ),
        (
            "        driver-name: rexray\n        {{#V}}\n        volume-name: ext\n        {{/V}}\n",
            "its volume-name is known once the template is filled in",
        ),
        (
            "        driver-name: pxd\n        driver-options: '{{{OPTIONS}}}'\n        volume-name: ext\n",
            "its driver-options, on which its name depends, is known once",
        ),
    ] {
        let converted = convert(Framework::DcosCommons, &service(volume), &options).unwrap();
        let task = &converted.tasks[0];
        assert!(task.volumes.is_empty(), "{:?}", task.volumes);
        has_note(task, words);
    }
    let converted = convert(
        Framework::DcosCommons,
        &service("        driver-name: {{D}}\n        volume-name: ext\n"),
        &options,
    )
    .unwrap();
    assert_eq!(converted.tasks[0].claims, ["vol-1"]);
    has_note(&converted.tasks[0], "its name is made as for any driver but pxd");
    let whole = "name: s\npods:\n  p:\n    external-volumes: {{{VOLUMES}}}\n    tasks:\n      t: {cmd: x}\n";
    let converted = convert(Framework::DcosCommons, whole, &options).unwrap();
    has_note(
        &converted.tasks[0],
        "'pods.p.external-volumes' was not read: it is a template",
    );
}

/// dcos-commons, `RawPod`, `RawTask`, `RawResourceSet`: every place of a volume.
#[test]
fn volumes_that_are_none_of_a_driver_are_told() {
    let service = |pod: &str, task: &str| {
        format!("name: s\npods:\n  p:\n    count: 1\n{pod}    tasks:\n      t:\n        cmd: x\n{task}")
    };
    let persistent = "it is a persistent volume of Mesos";
    for (pod, task, words) in [
        ("    volume: {path: d, type: ROOT, size: 1}\n", "", persistent),
        (
            "    volumes:\n      v: {path: d, type: MOUNT, size: 1}\n",
            "",
            persistent,
        ),
        ("", "        volume: {path: d, type: ROOT, size: 1}\n", persistent),
        (
            "",
            "        volumes: {v: {path: d, type: MOUNT, size: 1}}\n",
            persistent,
        ),
        (
            "    resource-sets:\n      r: {volume: {path: d, type: ROOT, size: 1}}\n",
            "",
            persistent,
        ),
        (
            "    resource-sets:\n      r: {volumes: {v: {path: d, type: ROOT, size: 1}}}\n",
            "",
            persistent,
        ),
        (
            "    host-volumes:\n      v: {host-path: /srv, container-path: d, mode: RW}\n",
            "",
            "the folder '/srv'",
        ),
        ("    secrets:\n      s: {secret: x, file: d}\n", "", "it is a secret"),
        (
            "    secrets:\n      s: {secret: path/d}\n",
            "",
            "the volume at 'path/d' is left as it is: it is a secret",
        ),
        (
            "    external-volumes:\n      v: {type: CSI, container-path: d}\n",
            "",
            "its type is 'CSI'",
        ),
        (
            "",
            "        external-volumes: {v: {type: DOCKER, volume-name: a}}\n",
            "dcos-commons has it at the pod",
        ),
    ] {
        let text = service(pod, task);
        let converted = convert(Framework::DcosCommons, &text, &Options::default()).unwrap();
        assert_eq!(converted.definition, text);
        assert_eq!(converted.tasks.len(), 1, "{text}");
        has_note(&converted.tasks[0], words);
        assert!(job_file(Framework::DcosCommons, &text).unwrap().leaves_volumes_out);
    }
}
