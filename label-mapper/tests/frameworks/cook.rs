use label_mapper::{Channel, Framework};

use crate::{Case, catalogue, has_note};

const JOBS: &str = include_str!("definitions/cook.json");

#[test]
fn jobs_get_labels_or_docker_parameters() {
    let catalogue = catalogue();
    let mut case = Case::new(Framework::Cook, JOBS, &catalogue);
    case.options.default_driver = Some("rexray");
    let converted = case.converts(&[
        (r#""volume.stage" : "stage""#, r#""volume.stage" : "vol-0000000000000002a""#),
        (
            r#"[["instance_type", "EQUALS", "r3.8xlarge"]]"#,
            r#"[["instance_type", "EQUALS", "r3.8xlarge"], ["zone", "EQUALS", "us-east-1a"]]"#,
        ),
        (
            r#""value" : "A=b" }"#,
            r#""value" : "A=b" }, { "key": "volume-driver", "value": "rexray" }, { "key": "volume", "value": "orders:/d:rw" }"#,
        ),
        (
            r#""volume.d.path" : "/d" },"#,
            r#""volume.d.path" : "/d", "volume.d.claim": "vol-0000000000000001a" },"#,
        ),
        (
            "\"command\" : \"draw\"\n",
            "\"command\" : \"draw\",\n         \"constraints\": [[\"zone\", \"EQUALS\", \"us-east-1a\"]]\n",
        ),
    ]);
    let channels: Vec<Channel> = converted.tasks.iter().map(|task| task.channel).collect();
    assert_eq!(channels, [Channel::Labels, Channel::DockerEngine]);
}

#[test]
fn cooks_own_executor_carries_no_label() {
    let catalogue = catalogue();
    let text = JOBS.replace(r#""executor" : "mesos""#, r#""executor" : "cook""#);
    let mut case = Case::new(Framework::Cook, &text, &catalogue);
    case.options.task = Some("transform");
    let converted = label_mapper::convert(case.framework, case.text, &case.options).unwrap();
    assert_eq!(converted.tasks[0].channel, Channel::Nothing);
    has_note(&converted.tasks[0], "set 'executor' to 'mesos'");
}
