//! Which volume a name means, on a listing in the shape of `aws ec2 describe-volumes`.

use label_mapper::{Catalogue, CatalogueError, NameMap, Spelling, VolumeId, VolumeState, mapped};

const LISTING: &str = include_str!("volumes.json");

fn catalogue() -> Catalogue {
    Catalogue::from_describe_volumes(LISTING).expect("the listing is a catalogue")
}

/// A listing of volumes that only have an id and a Name tag.
fn named(volumes: &[(&str, &str)]) -> Catalogue {
    let volumes: Vec<_> = volumes
        .iter()
        .map(|(id, name)| {
            serde_json::json!({"VolumeId": id, "AvailabilityZone": "z", "State": "available",
                "Tags": [{"Key": "Name", "Value": name}]})
        })
        .collect();
    Catalogue::from_describe_volumes(&serde_json::json!({ "Volumes": volumes }).to_string())
        .expect("the listing is a catalogue")
}

#[test]
fn every_field_of_the_listing_is_read() {
    let catalogue = catalogue();
    assert_eq!(catalogue.volumes().count(), 7);
    let orders = catalogue.resolve("vol-0aaaaaaaaaaaaaaa1").unwrap();
    assert_eq!(orders.name.as_deref(), Some("orders"));
    assert_eq!(orders.zone, "us-east-1a");
    assert_eq!(orders.state, VolumeState::InUse);
    assert_eq!(orders.size_gib, 16);
    assert_eq!(orders.attachments[0].instance, "i-0a11b22c33d44e55f");
    assert_eq!(orders.attachments[0].device.as_deref(), Some("/dev/xvdf"));
    assert!(!orders.multi_attach);
    assert!(catalogue.resolve("reports").unwrap().multi_attach);
    assert_eq!(catalogue.resolve("vol-7bca078f").unwrap().name, None);
}

#[test]
fn names_mean_one_volume_or_the_error_says_why() {
    let catalogue = catalogue();
    let cases: &[(&str, Result<&str, &str>)] = &[
        ("orders", Ok("vol-0aaaaaaaaaaaaaaa1")),
        ("reports", Ok("vol-0aaaaaaaaaaaaaaa2")),
        ("vol-0aaaaaaaaaaaaaaa3", Ok("vol-0aaaaaaaaaaaaaaa3")),
        ("vol-7bca078f", Ok("vol-7bca078f")),
        (
            "twin",
            Err(
                "2 volumes have the Name tag 'twin': vol-0aaaaaaaaaaaaaaa3, vol-0aaaaaaaaaaaaaaa4; give one of these ids",
            ),
        ),
        (
            "ordres",
            Err("no volume has the id or the Name tag 'ordres', did you mean 'orders'?"),
        ),
        ("Orders", Err("did you mean 'orders'?")),
        ("los", Err("(the catalogue has 7 volumes)")),
        (
            "lost",
            Err("volume vol-0aaaaaaaaaaaaaaa6 ('lost') is in state 'error' and cannot be used"),
        ),
        ("vol-0aaaaaaaaaaaaaaa5", Err("is in state 'deleting'")),
        (
            "vol-7bca078e",
            Err("no volume has the id or the Name tag 'vol-7bca078e' (the catalogue"),
        ),
        ("", Err("no volume")),
        ("a\nb", Err(r"'a\nb'")),
    ];
    for (name, expected) in cases {
        match (catalogue.resolve(name), expected) {
            (Ok(volume), Ok(id)) => assert_eq!(volume.id.as_str(), *id, "{name}"),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{name}: {error}"),
            (got, _) => panic!("{name}: {got:?}"),
        }
    }
}

#[test]
fn an_id_wins_over_a_name_that_looks_like_it() {
    let catalogue = named(&[("vol-1", "vol-2"), ("vol-2", "x")]);
    assert_eq!(catalogue.resolve("vol-2").unwrap().id.as_str(), "vol-2");
}

#[test]
fn labels_claim_and_zone_follow_the_volume() {
    let catalogue = catalogue();
    let orders = catalogue.resolve("orders").unwrap();

    let by_id = mapped(orders, "src".parse().unwrap(), Spelling::Id);
    assert_eq!(
        by_id.labels.into_iter().collect::<Vec<_>>(),
        [pair("volume.src", "vol-0aaaaaaaaaaaaaaa1")]
    );
    assert_eq!(by_id.claim.to_string(), "ebsvolumes:{vol-0aaaaaaaaaaaaaaa1}");
    assert_eq!(by_id.zone, "us-east-1a");

    let by_name = mapped(orders, "src".parse().unwrap(), Spelling::Name);
    let labels: Vec<_> = by_name.labels.into_iter().collect();
    assert_eq!(
        labels,
        [
            pair("volume.src", "orders"),
            pair("volume.src.claim", "vol-0aaaaaaaaaaaaaaa1")
        ]
    );
    assert_eq!(
        volume_labels::parse(labels).unwrap()[0].claim_id(),
        "vol-0aaaaaaaaaaaaaaa1"
    );

    let nameless = mapped(
        catalogue.resolve("vol-7bca078f").unwrap(),
        "src".parse().unwrap(),
        Spelling::Name,
    );
    assert_eq!(
        nameless.labels.into_iter().collect::<Vec<_>>(),
        [pair("volume.src", "vol-7bca078f")]
    );
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[test]
fn a_name_map_needs_names_that_differ_without_case() {
    let names = NameMap::from_catalogue(&named(&[("vol-1", "a"), ("vol-2", "b\"x\"")]));
    assert_eq!(
        names.to_json(),
        "{\n  \"vol-1\": \"a\",\n  \"vol-2\": \"b\\\"x\\\"\"\n}\n"
    );
    let id: VolumeId = "vol-2".parse().unwrap();
    assert_eq!(names.get(&id), Some("b\"x\""));
    assert_eq!(NameMap::default().to_json(), "{}\n");

    let names = NameMap::from_catalogue(&named(&[("vol-1", "Orders"), ("vol-2", "x"), ("vol-3", "orders")]));
    assert_eq!(names.to_json(), "{\n  \"vol-2\": \"x\"\n}\n");
    let line = names.doubtful()[0].to_string();
    assert!(line.contains("volumes vol-1, vol-3 have Name tags"), "{line}");
}

#[test]
fn a_name_map_file_is_replaced_whole_and_readable() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("names.json");
    std::fs::write(&path, "old").unwrap();
    NameMap::from_catalogue(&named(&[("vol-1", "a")])).write(&path).unwrap();
    let read: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(read, serde_json::json!({"vol-1": "a"}));
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(
        folder.path().read_dir().unwrap().count(),
        1,
        "no temporary file is left"
    );

    let missing = folder.path().join("missing/names.json");
    let error = NameMap::default().write(&missing).unwrap_err().to_string();
    assert!(error.contains("missing/names.json"), "{error}");
}

#[test]
fn text_that_is_no_catalogue_is_refused() {
    let refused = |text: &str| Catalogue::from_describe_volumes(text).unwrap_err();
    assert!(matches!(refused(""), CatalogueError::Shape(_)));
    assert!(matches!(refused("{}"), CatalogueError::Shape(_)));
    assert!(matches!(
        refused(r#"{"Volumes": [], "NextToken": "x"}"#),
        CatalogueError::OnePage
    ));
    let twice = r#"{"VolumeId": "vol-1", "AvailabilityZone": "z", "State": "available"}"#;
    let error = refused(&format!(r#"{{"Volumes": [{twice}, {twice}]}}"#)).to_string();
    assert_eq!(error, "volume vol-1 is listed twice");
    let error = refused(r#"{"Volumes": [{"VolumeId": "v{1}", "AvailabilityZone": "z", "State": "available"}]}"#);
    assert!(error.to_string().contains("'v{1}' is no volume id"), "{error}");
    assert!(
        Catalogue::from_describe_volumes(r#"{"Volumes": []}"#)
            .unwrap()
            .resolve("x")
            .is_err()
    );
}
