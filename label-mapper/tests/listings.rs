//! Catalogues as people have them: each is read, or refused with the one thing to do.

use std::fmt::Write;

use label_mapper::{
    Agents, Catalogue, CatalogueError, Cluster, Framework, NameMap, Options, Spelling, convert, decoded, explain,
    explain_volume, lists_volumes,
};

fn read(text: &str) -> Catalogue {
    Catalogue::from_texts([text]).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn refused(text: &str) -> String {
    let error = Catalogue::from_texts([text]).expect_err("it is refused").to_string();
    assert!(!error.contains('\n'), "not one line: {error}");
    error
}

const VOLUME: &str = r#"{"VolumeId": "vol-1", "AvailabilityZone": "z", "State": "available", "Tags": [{"Key": "Name", "Value": "orders"}]}"#;

#[test]
fn null_members_are_as_if_they_were_not_there() {
    let catalogue = read(
        r#"{"Volumes": [
            {"VolumeId": "vol-1", "AvailabilityZone": "z", "State": "in-use", "Size": null, "Tags": null, "Attachments": null, "MultiAttachEnabled": null},
            {"VolumeId": "vol-2", "AvailabilityZone": "z", "State": "in-use", "Tags": [{"Key": "Name", "Value": null}, {"Key": null, "Value": "x"}],
             "Attachments": [{"InstanceId": null, "Device": null, "State": null}]}
        ], "NextToken": null}"#,
    );
    let [first, second] = ["vol-1", "vol-2"].map(|id| catalogue.resolve(id).unwrap());
    assert_eq!((&first.name, first.size_gib), (&None, 0));
    // It is in use: that no host is named is no proof that none has it.
    assert!(!first.attachments[0].is_known());
    assert_eq!(second.name, None);
    // A host that is not named may be any, and has the volume as far as is known.
    assert_eq!(second.attachments[0].state, "attached");
    assert!(!second.attachments[0].is_known());
    let agents = Agents::from_slaves(
        r#"{"slaves": [{"hostname": "a", "attributes": {"instance_id": ""}}]}"#,
        "zone",
        "instance_id",
    );
    let cluster = Cluster {
        agents: Some(&agents.unwrap()),
        attach_limit: None,
    };
    let explained = explain_volume("vol-2", &catalogue, &Options::default(), &cluster).unwrap();
    assert!(
        explained.notes[0].contains("held by a host that the listing does not name"),
        "{:?}",
        explained.notes
    );
    let verdict = &explained.agents.unwrap()[0];
    assert!(
        !verdict
            .remarks
            .iter()
            .any(|remark| remark.contains("attached here already")),
        "{verdict:?}"
    );
}

#[test]
fn a_listing_that_a_query_has_cut_is_refused_with_what_it_lacks() {
    for (text, words) in [
        (
            r#"{"Volumes": [{"VolumeId": "vol-1", "State": "available"}]}"#,
            "volume vol-1 has no 'AvailabilityZone'; the listing is cut by a --query",
        ),
        (
            r#"{"Volumes": [{"VolumeId": "vol-1", "AvailabilityZone": null, "State": "available"}]}"#,
            "volume vol-1 has no 'AvailabilityZone'",
        ),
        (
            r#"[{"VolumeId": "vol-1", "AvailabilityZone": "z"}]"#,
            "volume vol-1 has no 'State'",
        ),
        (r#"[{"ID": "vol-1", "AZ": "z"}]"#, "without --query"),
        (r#"[["vol-1", "z"]]"#, "without --query"),
        (r#"{"Volumes": null}"#, "its 'Volumes' is null"),
        ("null\n", "it is null; write the whole of it, without --query"),
    ] {
        assert!(refused(text).contains(words), "{}", refused(text));
    }
}

#[test]
fn a_query_for_whole_volumes_pages_and_lists_of_them_are_read() {
    let second = VOLUME.replace("vol-1", "vol-2").replace("orders", "stage");
    for text in [
        format!("[{VOLUME}, {second}]"),
        format!("{VOLUME}\n{second}\n"),
        format!(r#"{{"Volumes": [{VOLUME}], "NextToken": "t"}} {{"Volumes": [{second}]}}"#),
        format!(r#"[{{"Volumes": [{VOLUME}], "NextToken": "t"}}, {{"Volumes": [{second}]}}]"#),
        format!("- VolumeId: vol-1\n  AvailabilityZone: z\n  State: available\n- {second}\n"),
        format!("- Volumes:\n  - {VOLUME}\n  NextToken: t\n- Volumes:\n  - {second}\n"),
    ] {
        assert_eq!(read(&text).resolve("stage").unwrap().id.as_str(), "vol-2");
        assert!(lists_volumes(&text).unwrap());
    }
    assert_eq!(read(VOLUME).volumes().count(), 1);
    assert_eq!(read("[]").volumes().count(), 0);
}

#[test]
fn a_list_that_goes_on_is_refused() {
    for text in [
        format!(r#"{{"Volumes": [{VOLUME}], "NextToken": "eyJ"}}"#),
        format!(r#"{{"Volumes": [{VOLUME}], "nextToken": "eyJ"}}"#),
        format!(r#"{{"Volumes": []}} {{"Volumes": [{VOLUME}], "NextToken": "eyJ"}}"#),
        format!("Volumes:\n- {VOLUME}\nNextToken: eyJ\n"),
        format!("- Volumes:\n  - {VOLUME}\n  NextToken: eyJ\n"),
    ] {
        assert!(
            matches!(Catalogue::from_texts([text.as_str()]), Err(CatalogueError::OnePage)),
            "{text}"
        );
    }
    let cut = refused(&format!(r#"{{"Volumes": [{VOLUME}, {{"VolumeId""#));
    assert!(cut.contains("the text is cut off"), "{cut}");
}

/// `output = yaml` in the AWS CLI's configuration: keys in order, quotes where YAML would read something else.
#[test]
fn yaml_of_the_aws_cli_is_read() {
    let catalogue = read(
        "Volumes:\n- Attachments:\n  - AttachTime: '2024-05-02T09:30:11+00:00'\n    DeleteOnTermination: false\n    Device: /dev/xvdf\n    \
         InstanceId: i-1\n    State: attached\n    VolumeId: vol-1\n  AvailabilityZone: us-east-1a\n  CreateTime: '2024-05-02T09:30:11.123000+00:00'\n  \
         Encrypted: false\n  Iops: 100\n  MultiAttachEnabled: false\n  Size: 8\n  SnapshotId: ''\n  State: in-use\n  Tags:\n  - Key: Name\n    Value: '0123'\n  \
         VolumeId: vol-1\n  VolumeType: gp2\n",
    );
    let volume = catalogue.resolve("0123").unwrap();
    assert_eq!((volume.zone.as_str(), volume.size_gib), ("us-east-1a", 8));
    assert_eq!(volume.attachments[0].instance, "i-1");
}

/// `Get-EC2Volume | ConvertTo-Json` of AWS' tools for PowerShell: states are objects, a single volume is no list.
#[test]
fn json_of_powershell_is_read() {
    let catalogue = read(
        r#"{"Attachments": [{"Device": "/dev/xvdf", "InstanceId": "i-1", "State": {"Value": "attached"}, "VolumeId": "vol-1"}],
            "AvailabilityZone": "z", "Size": 8, "State": {"Value": "in-use"}, "Tags": [{"Key": "Name", "Value": "orders"}], "VolumeId": "vol-1"}"#,
    );
    assert_eq!(catalogue.resolve("orders").unwrap().attachments[0].state, "attached");
}

#[test]
fn other_output_is_refused_with_the_option_that_helps() {
    for (text, words) in [
        (
            "VOLUMES\tus-east-1a\t2024-05-02\tFalse\t8\t\tavailable\tvol-1\tgp2\nTAGS\tName\torders\n",
            "the text output of the AWS CLI",
        ),
        ("vol-1\tus-east-1a\tavailable\n", "the text output of the AWS CLI"),
        (
            "-----------------\n|DescribeVolumes|\n+---------------+\n",
            "the table output of the AWS CLI",
        ),
        (
            "- name: orders\n  volumeid: vol-1\n  availabilityzone: us-west-2a\n  status: available\n  attachments: []\n",
            "what 'rexray volume' prints",
        ),
        (
            "<?xml version=\"1.0\"?>\n<DescribeVolumesResponse/>\n",
            "XML or a web page",
        ),
        (
            "An error occurred (UnauthorizedOperation) when calling the DescribeVolumes operation: no\n",
            "an error message of the AWS CLI",
        ),
    ] {
        let error = refused(text);
        assert!(error.contains(words) && error.contains("--output json"), "{error}");
    }
    assert!(refused(" \n").contains("the text is empty"), "{}", refused(""));
}

#[test]
fn byte_order_marks_and_utf_16_are_read() {
    let text = format!(r#"{{"Volumes": [{}]}}"#, VOLUME.replace("orders", "größe"));
    let wide = |unit: fn(u16) -> [u8; 2], text: &str| text.encode_utf16().flat_map(unit).collect::<Vec<u8>>();
    let marked = format!("\u{feff}{text}");
    for bytes in [
        text.clone().into_bytes(),
        marked.clone().into_bytes(),
        wide(u16::to_le_bytes, &marked),
        wide(u16::to_be_bytes, &marked),
        wide(u16::to_le_bytes, &text),
        wide(u16::to_be_bytes, &text),
    ] {
        assert_eq!(decoded(bytes).unwrap(), text);
    }
    // A scheduler may have read the file itself, mark and all.
    assert!(read(&marked).resolve("größe").is_ok());
    assert!(read("\u{feff}volumes: [{id: vol-1, zone: z}]").resolve("vol-1").is_ok());
    for bytes in [&b"{\"\xe4\xf6\"}"[..], b"\xff\xfe{\0\"", b"\xfe\xff\xd8\x00"] {
        let error = decoded(bytes.to_vec()).unwrap_err().to_string();
        assert!(error.contains("save it as UTF-8"), "{error}");
    }
}

fn many(extra: &str) -> String {
    let mut text = "Volumes:\n".to_owned();
    for number in 0..6_000 {
        // One Name tag on every disk of a scaling group, and one of its own on every other.
        let name = if number % 10 == 0 {
            "group".to_owned()
        } else {
            format!("v{number}")
        };
        let _ = write!(
            text,
            "- Attachments:\n  - {{AttachTime: '2024', DeleteOnTermination: false, Device: /dev/xvdf, InstanceId: i-{number}, State: attached}}\n  \
             AvailabilityZone: z\n  Encrypted: false\n  Iops: 100\n  Size: 8\n  State: in-use\n  Tags:\n  - {{Key: Name, Value: {name}}}\n  - {{Key: team, Value: x}}\n  \
             VolumeId: vol-{number:04}\n"
        );
    }
    text + extra
}

/// Terraform, issue 3531: `volume_tags` names every disk of an instance alike.
#[test]
fn names_that_several_volumes_have_trouble_only_whoever_asks_for_them() {
    let twin = "- {VolumeId: vol-x, AvailabilityZone: z, State: available, Tags: [{Key: Name, Value: V11}]}\n";
    let catalogue = read(&many(twin));
    let names = NameMap::from_catalogue(&catalogue);
    assert_eq!(names.len(), 5_400 - 1);
    assert_eq!(names.get(&"vol-0012".parse().unwrap()), Some("v12"));
    assert_eq!(
        names.get(&"vol-0011".parse().unwrap()),
        None,
        "its name differs from another one's in case alone"
    );
    let lines: Vec<String> = names.doubtful().iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), 2);
    assert!(
        lines[0].starts_with("volumes vol-0000, vol-0010, vol-0020, vol-0030, vol-0040 and 595 more have Name tags"),
        "{}",
        lines[0]
    );
    assert!(
        lines[1].starts_with("volumes vol-0011, vol-x have Name tags that differ at most in case"),
        "{}",
        lines[1]
    );
    assert!(catalogue.resolve("v12").is_ok());
    assert!(
        catalogue
            .resolve("group")
            .unwrap_err()
            .to_string()
            .contains("600 volumes have the Name tag 'group'")
    );
}

/// EC2: a detachment that waits for the host is `busy` (kubernetes 53692).
#[test]
fn a_volume_that_is_leaving_its_host_is_waited_for() {
    for state in ["busy", "detaching"] {
        for several in ["false", "true"] {
            let catalogue = read(&format!(
                r#"{{"Volumes": [{{"VolumeId": "vol-1", "AvailabilityZone": "z", "State": "in-use", "MultiAttachEnabled": {several},
                    "Attachments": [{{"InstanceId": "i-1", "State": "{state}"}}]}}]}}"#
            ));
            let slaves = r#"{"slaves": [{"hostname": "a", "attributes": {"zone": "z", "instance_id": "i-1"}, "resources": {"ebsvolumes": "{vol-1}"}}]}"#;
            let agents = Agents::from_slaves(slaves, "zone", "instance_id").unwrap();
            let cluster = Cluster {
                agents: Some(&agents),
                attach_limit: None,
            };
            let explained = explain_volume("vol-1", &catalogue, &Options::default(), &cluster).unwrap();
            let verdict = &explained.agents.unwrap()[0];
            assert!(!verdict.fits);
            assert_eq!(
                verdict.against,
                [format!(
                    "vol-1 is being detached from here ({state}): wait until the storage lists it as detached"
                )]
            );
            assert!(
                explained.notes[0].contains("is being detached from i-1"),
                "{:?}",
                explained.notes
            );
        }
    }
}

#[test]
fn names_that_differ_in_case_alone_are_refused_wherever_the_driver_is_given_the_name() {
    let catalogue = read("volumes: [{id: vol-1, zone: z, name: RC1}, {id: vol-2, zone: z, name: rc1}]");
    let volume = catalogue.resolve("rc1").unwrap();
    let words = "which vol-1, vol-2 have but for upper and lower case: rename all but one";
    assert!(
        catalogue
            .check_name(volume, None)
            .unwrap_err()
            .to_string()
            .contains(words)
    );
    let options = Options {
        catalogue: Some(&catalogue),
        spelling: Spelling::Name,
        ..Options::default()
    };
    let app = r#"{"id": "/a", "labels": {"volume.d": "rc1"}}"#;
    let explained = explain_volume("rc1", &catalogue, &options, &Cluster::default());
    assert!(explained.unwrap_err().to_string().contains(words));
    let error = convert(Framework::Marathon, app, &options).unwrap_err().to_string();
    assert!(error.contains(words), "{error}");
    let labels = volume_labels::parse([("volume.d", "rc1")]).unwrap();
    let error = label_mapper::placement(&labels, Some(&catalogue), Spelling::Name).unwrap_err();
    assert!(error.to_string().contains(words), "{error}");
    label_mapper::placement(&labels, Some(&catalogue), Spelling::Id).expect("their ids distinguish them");
}

#[test]
fn a_volume_that_lives_as_long_as_its_container_is_not_looked_up() {
    let catalogue = read("volumes: [{id: vol-1, zone: z, name: scratch}, {id: vol-2, zone: y, name: orders}]");
    let options = Options {
        catalogue: Some(&catalogue),
        ..Options::default()
    };
    let app = r#"{"id": "/a", "labels": {"volume.d": "scratch", "volume.d.lifetime": "container", "volume.e": "unknown", "volume.e.lifetime": "container", "volume.f": "orders"}}"#;
    let converted = convert(Framework::Marathon, app, &options).unwrap();
    let task = &converted.tasks[0];
    assert_eq!(
        (task.claims.as_slice(), task.zone.as_deref()),
        (&["vol-2".to_owned()][..], Some("y"))
    );
    assert!(
        converted.definition.contains(r#""volume.d": "scratch""#),
        "{}",
        converted.definition
    );
    let missing = r#"{"id": "/a", "labels": {"volume.d": "new", "volume.d.create": "if-missing"}}"#;
    let converted = convert(Framework::Marathon, missing, &options).unwrap();
    assert!(converted.tasks[0].claims.is_empty() && converted.tasks[0].zone.is_none());
}

#[test]
fn a_host_that_is_none_of_the_agents_is_told() {
    let catalogue = read(
        "volumes:\n- {id: vol-1, zone: z, attachments: [{instance: i-gone, state: attached}]}\n- {id: vol-2, zone: z, state: in-use}\n",
    );
    let explanation = |slaves: &str, name: &str| {
        let agents = Agents::from_slaves(slaves, "zone", "instance_id").unwrap();
        let cluster = Cluster {
            agents: Some(&agents),
            attach_limit: None,
        };
        let explained = explain_volume(name, &catalogue, &Options::default(), &cluster).unwrap();
        let of_task = explain(
            Framework::Marathon,
            &format!(r#"{{"id": "/a", "labels": {{"volume.d": "{name}"}}}}"#),
            &Options {
                catalogue: Some(&catalogue),
                ..Options::default()
            },
            &cluster,
        );
        let notes = of_task.unwrap().remove(0).report.notes;
        for note in explained
            .notes
            .iter()
            .filter(|note| note.starts_with("none of these agents"))
        {
            assert!(notes.contains(note), "{notes:?}");
        }
        explained.notes
    };
    let all = r#"{"slaves": [{"hostname": "a", "attributes": {"instance_id": "i-1"}}, {"hostname": "b", "attributes": {"instance_id": "i-2"}}]}"#;
    let line =
        "none of these agents is i-gone, which holds vol-1: if that host is gone, detach the volume in the storage";
    assert!(
        explanation(all, "vol-1").contains(&line.to_owned()),
        "{:?}",
        explanation(all, "vol-1")
    );
    // An agent that does not tell which host it is may be that one.
    let silent = all.replace(r#"{"instance_id": "i-2"}"#, "{}");
    assert!(!explanation(&silent, "vol-1").contains(&line.to_owned()));
    assert_eq!(
        explanation(all, "vol-2"),
        [
            "vol-2 is held by a host that the listing does not name (attached): until it is detached there, no task on another host gets it"
        ]
    );
}

/// The profile of REX-Ray: such names mount and never unmount, or are created and never found.
#[test]
fn names_that_the_driver_cannot_handle_are_refused_where_it_is_given_the_name() {
    let catalogue = read(
        "volumes: [{id: vol-1, zone: z, name: my data}, {id: vol-2, zone: z, name: a/b}, {id: vol-3, zone: z, name: ok}, {id: remote, zone: z, name: 'bucket/path'}]",
    );
    let place = |name: &str, driver: Option<&str>, spelling| {
        let mut pairs = vec![("volume.d", name)];
        pairs.extend(driver.map(|driver| ("volume.d.driver", driver)));
        label_mapper::placement(&volume_labels::parse(pairs).unwrap(), Some(&catalogue), spelling)
    };
    for (name, words) in [
        ("my data", "'my data': the name has a space"),
        ("a/b", "'a/b': the name has '/'"),
    ] {
        for driver in [None, Some("rexray"), Some("rexray/ebs:latest")] {
            let error = place(name, driver, Spelling::Name).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        place(name, None, Spelling::Id).expect("the driver is not given the name");
        place(name, Some("pxd"), Spelling::Name).expect("this driver handles it");
    }
    place("ok", None, Spelling::Name).expect("the name is good");
    // Not of EBS, and the driver is the agent's: nothing is known of it.
    place("bucket/path", None, Spelling::Name).expect("an unknown driver may handle it");

    let names = NameMap::from_catalogue(&catalogue);
    let lines: Vec<String> = names.doubtful().iter().map(ToString::to_string).collect();
    assert_eq!(names.len(), 1);
    assert_eq!(lines.len(), 3);
    assert!(
        lines[2].starts_with("volume vol-1 has the Name tag 'my data' and is not in the map: the name has a space"),
        "{}",
        lines[2]
    );

    // A name of the framework's own fields goes to the driver as it stands.
    let app = r#"{"id": "/a", "container": {"type": "DOCKER", "docker": {"image": "i", "parameters": [{"key": "volume-driver", "value": "rexray"}, {"key": "volume", "value": "my data:/d"}]}}}"#;
    let error = convert(Framework::Marathon, app, &Options::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("'my data': the name has a space"), "{error}");
}

#[test]
fn one_volume_is_called_one_volume() {
    for (listing, words) in [
        ("volumes: []", "(the catalogue has 0 volumes)"),
        ("volumes: [{id: vol-1, zone: z}]", "(the catalogue has 1 volume)"),
        (
            "volumes: [{id: vol-1, zone: z}, {id: vol-2, zone: z}]",
            "(the catalogue has 2 volumes)",
        ),
    ] {
        let error = read(listing).resolve("orders").unwrap_err().to_string();
        assert!(error.ends_with(words), "{error}");
    }
}
