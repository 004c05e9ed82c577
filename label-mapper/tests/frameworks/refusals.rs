//! What keeps a definition from being converted, in one line that says what to do.

use label_mapper::{Framework, Options, Spelling, convert};

use crate::{Case, catalogue, one_line};

fn app(labels: &str, more: &str) -> String {
    format!(r#"{{"id": "/a", "labels": {{{labels}}}{more}}}"#)
}

#[test]
fn an_app_that_cannot_have_its_volumes_says_why() {
    let catalogue = catalogue();
    let cases: &[(&str, &str, &str)] = &[
        (
            r#""volume.d": "ordres""#,
            "",
            "'volume.d': no volume has the id or the Name tag 'ordres', did you mean 'orders'?",
        ),
        (r#""volume.d": "salse""#, "", "did you mean 'sales'?"),
        (
            r#""volume.d": "orders", "volume.d.mod": "ro""#,
            "",
            "did you mean 'volume.d.mode'?",
        ),
        (
            r#""volume.d": "orders", "volume.e": "reports""#,
            "",
            "its volumes are in different zones, and an agent is in one: 'orders' (vol-0000000000000001a) in us-east-1a, 'reports' \
             (vol-0000000000000003b) in us-east-1b",
        ),
        (
            r#""volume.d": "orders", "volume.d.claim": "vol-7bca078f""#,
            "",
            "'volume.d': the claim 'vol-7bca078f' is not the id of 'orders', vol-0000000000000001a: leave the claim to the catalogue",
        ),
        (
            r#""volume.d": "orders""#,
            r#", "constraints": [["zone", "CLUSTER", "us-east-1b"]]"#,
            "its constraint ties it to zone 'us-east-1b', and its volumes are in 'us-east-1a'",
        ),
        (
            r#""volume.d": "orders""#,
            r#", "constraints": "none""#,
            "'constraints' is a text, and a list belongs there",
        ),
        (
            r#""volume.d": "orders""#,
            r#", "container": {"type": "DOCKER"}"#,
            "add the label 'volume.d.driver' or give --default-driver",
        ),
        (
            r#""volume.d": "orders", "volume.d.driver": "r", "volume.d.access": "exclusive""#,
            r#", "container": {"type": "DOCKER"}"#,
            "'volume.d.access' has no equivalent in the framework's own fields",
        ),
        (
            r#""volume.d": "orders", "volume.d.driver": "r", "volume.d.subpath": "x""#,
            r#", "container": {"type": "DOCKER"}"#,
            "'volume.d.subpath' has no equivalent in the framework's own fields",
        ),
        (
            r#""volume.d": "orders", "volume.d.driver": "r", "volume.d.flags": "noexec""#,
            r#", "container": {"type": "DOCKER"}"#,
            "'volume.d.flags' has no equivalent in the framework's own fields",
        ),
        (
            r#""volume.d": "orders", "volume.d.driver": "r", "volume.e": "stage", "volume.e.driver": "s""#,
            r#", "container": {"type": "DOCKER"}"#,
            "its volumes have several drivers (r, s), and Docker takes one for a container",
        ),
        (
            r#""volume.d": "orders", "volume.d.driver": "r""#,
            r#", "container": {"type": "DOCKER", "volumes": [{"containerPath": "d", "hostPath": "/x", "mode": "RW"}]}"#,
            "'container.volumes' has another volume at 'd' already",
        ),
    ];
    for (labels, more, words) in cases {
        let text = app(labels, more);
        let error = Case::new(Framework::Marathon, &text, &catalogue).refuses();
        assert!(error.starts_with("marathon: task '/a': "), "{error}");
        assert!(error.contains(words), "'{words}' in {error}");
    }
}

#[test]
fn names_that_a_driver_takes_for_one_are_refused_when_the_driver_gets_the_name() {
    let catalogue = catalogue();
    let text = app(r#""volume.d": "twin""#, "");
    let mut case = Case::new(Framework::Marathon, &text, &catalogue);
    convert(case.framework, case.text, &case.options).expect("their ids distinguish them");
    case.options.spelling = Spelling::Name;
    assert!(
        case.refuses()
            .contains("vol-0000000000000004a, vol-0000000000000005a have but for upper and lower case")
    );
}

#[test]
fn a_text_of_another_kind_is_refused() {
    let catalogue = catalogue();
    for (framework, text, words) in [
        (Framework::Marathon, "{", "marathon: not JSON: EOF"),
        (Framework::Marathon, "{}", "the definition has no 'id'"),
        (
            Framework::Marathon,
            "3",
            "is a number or truth value, and an app, a pod or a group belongs there",
        ),
        (
            Framework::Marathon,
            r#"{"id": "/a", "id": "/b"}"#,
            "the key 'id' stands twice in one object (line 1); keep one",
        ),
        (Framework::Chronos, "{}", "is no Chronos job"),
        (Framework::Aurora, "{}", "is no Aurora job"),
        (Framework::Singularity, "{}", "no 'requestId'"),
        (
            Framework::Singularity,
            r#"{"id": "r", "requestType": "SERVICE"}"#,
            "this is a request alone",
        ),
        (Framework::Cook, r#"{"jobs": [{}]}"#, "jobs[0] has no 'command'"),
        (Framework::TaskInfo, "{}", "is no TaskInfo"),
    ] {
        let error = Case::new(framework, text, &catalogue).refuses();
        assert!(error.contains(words), "'{words}' in {error}");
    }
}

#[test]
fn a_volume_for_one_of_several_tasks_needs_its_name() {
    let catalogue = catalogue();
    let given = [("volume.d".to_owned(), "orders".to_owned())];
    let text = r#"[{"id": "/a"}, {"id": "/b"}]"#;
    let mut options = Options {
        catalogue: Some(&catalogue),
        given: &given,
        ..Options::default()
    };
    let error = convert(Framework::Marathon, text, &options).unwrap_err().to_string();
    assert_eq!(
        one_line(&error),
        "marathon: there are several tasks, say which gets the volume (--task): '/a', '/b'"
    );
    options.task = Some("/c");
    let error = convert(Framework::Marathon, text, &options).unwrap_err().to_string();
    assert_eq!(one_line(&error), "marathon: no task '/c' here; there are '/a', '/b'");
}

#[test]
fn fault_domains_are_refused_where_the_framework_has_none() {
    let catalogue = catalogue();
    for (framework, text) in [
        (Framework::Cook, r#"{"command": "x", "labels": {"volume.d": "orders"}}"#),
        (Framework::Spark, "spark.mesos.task.labels volume.d:orders\n"),
        (
            Framework::Aurora,
            r#"{"role": "r", "task": {}, "metadata": [{"key": "volume.d", "value": "orders"}]}"#,
        ),
    ] {
        let mut case = Case::new(framework, text, &catalogue);
        case.options.zone_attribute = "@zone";
        assert!(
            case.refuses().contains("has no constraint on fault domains ('@zone')"),
            "{}",
            case.refuses()
        );
    }
}
