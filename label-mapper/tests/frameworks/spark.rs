use label_mapper::{Channel, Framework};

use crate::{Case, catalogue, has_note, only};

const DEFAULTS: &str = include_str!("definitions/spark.conf");

#[test]
fn executors_get_labels_and_constraint() {
    let catalogue = catalogue();
    let converted = Case::new(Framework::Spark, DEFAULTS, &catalogue).converts(&[
        ("volume.ref:reports", "volume.ref:vol-0000000000000003b"),
        ("os:debian12", "os:debian12;zone:us-east-1b"),
    ]);
    let task = only(&converted, Channel::Labels);
    assert_eq!(task.task, "executors");
    has_note(task, "every executor asks for the same volume");
}

#[test]
fn a_driver_gets_properties_of_its_own() {
    let catalogue = catalogue();
    let given = [
        ("volume.state".to_owned(), "orders".to_owned()),
        ("volume.state.options.a".to_owned(), "x:y,z".to_owned()),
    ];
    let mut case = Case::new(Framework::Spark, DEFAULTS, &catalogue);
    case.options.given = &given;
    case.options.task = Some("driver");
    let end = "-Dlog=a:b\n";
    case.converts(&[(
        end,
        "-Dlog=a:b\nspark.mesos.driver.labels volume.state:vol-0000000000000001a,volume.state.options.a:x\\\\:y\\\\,z\n\
         spark.mesos.driver.constraints zone:us-east-1a\n",
    )]);
}

#[test]
fn an_image_means_the_docker_containerizer_unless_told_otherwise() {
    let catalogue = catalogue();
    let image = format!("{DEFAULTS}spark.mesos.executor.docker.image spark:3\n");
    let mut case = Case::new(Framework::Spark, &image, &catalogue);
    case.options.default_driver = Some("rexray");
    let converted = case.converts(&[
        (
            "volume.ref.mode:ro",
            "volume.ref.mode:ro,volume.ref.claim:vol-0000000000000003b",
        ),
        ("os:debian12", "os:debian12;zone:us-east-1b"),
        (
            "docker.image spark:3\n",
            "docker.image spark:3\nspark.mesos.executor.docker.parameters \
             volume-driver=rexray,volume=reports:/mnt/mesos/sandbox/ref:ro\n",
        ),
    ]);
    has_note(
        only(&converted, Channel::DockerEngine),
        "spark.mesos.containerizer=mesos",
    );

    let unified = format!("{image}spark.mesos.containerizer mesos\n");
    let converted = Case::new(Framework::Spark, &unified, &catalogue).converts(&[
        ("volume.ref:reports", "volume.ref:vol-0000000000000003b"),
        ("os:debian12", "os:debian12;zone:us-east-1b"),
    ]);
    only(&converted, Channel::Labels);
}

#[test]
fn a_list_that_spark_refuses_is_refused_here() {
    let catalogue = catalogue();
    let error = Case::new(Framework::Spark, "spark.mesos.task.labels=a:b,c\n", &catalogue).refuses();
    assert_eq!(
        error,
        "spark: spark.mesos.task.labels: 'c' is no KEY:VALUE, and Spark refuses the whole list"
    );
}
