//! What holds for every definition.

use label_mapper::{Catalogue, Framework, Options, Volume, VolumeState, convert, migrate, migrate_back};
use proptest::prelude::*;
use serde_json::{Value, json};

fn catalogue() -> Catalogue {
    Catalogue::new(["a", "b", "c"].map(|name| Volume {
        id: format!("vol-{name}").parse().expect("an id"),
        name: Some(name.to_owned()),
        zone: "z1".to_owned(),
        state: VolumeState::Available,
        size_gib: 1,
        attachments: Vec::new(),
        multi_attach: false,
    }))
}

/// Any JSON, with text in it that would confuse a careless reader.
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        r#"[a-z"\\{}\[\],: ü]{0,8}"#.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(r#"[a-z"\\]{0,4}"#, inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

/// An app with volumes, whatever else it says, laid out in several ways.
fn app() -> impl Strategy<Value = (String, Value)> {
    let others = prop::collection::btree_map("x[a-z]{0,5}", json_value(), 0..5);
    let volumes = prop::collection::btree_map("[a-z]{1,4}", prop::sample::select(vec!["a", "b", "c", "vol-a"]), 1..4);
    (
        others,
        volumes,
        any::<bool>(),
        prop::option::of(Just(json!([["rack", "UNIQUE"]]))),
    )
        .prop_map(|(others, volumes, pretty, constraints)| {
            let mut app = json!(others);
            app["id"] = json!("/app");
            for (slot, name) in volumes {
                app["labels"][format!("volume.{slot}")] = json!(name);
            }
            if let Some(constraints) = constraints {
                app["constraints"] = constraints;
            }
            let text = if pretty {
                serde_json::to_string_pretty(&app)
            } else {
                serde_json::to_string(&app)
            };
            (text.expect("a value is JSON"), app)
        })
}

proptest! {
    #[test]
    fn nothing_but_labels_and_constraints_changes((text, before) in app()) {
        let catalogue = catalogue();
        let options = Options { catalogue: Some(&catalogue), ..Options::default() };
        let converted = convert(Framework::Marathon, &text, &options).unwrap();
        let mut after: Value = serde_json::from_str(&converted.definition).unwrap();
        let slots = before["labels"].as_object().unwrap();
        for (key, name) in slots {
            let name = name.as_str().unwrap();
            let id = if name.starts_with("vol-") { name.to_owned() } else { format!("vol-{name}") };
            prop_assert_eq!(&after["labels"][key], &json!(id));
        }
        prop_assert_eq!(after["labels"].as_object().unwrap().len(), slots.len());
        let rows = after["constraints"].as_array().unwrap();
        prop_assert_eq!(rows.last(), Some(&json!(["zone", "CLUSTER", "z1"])));
        for key in ["labels", "constraints"] {
            after[key] = before.get(key).cloned().unwrap_or_default();
        }
        let mut before = before;
        before["constraints"] = before.get("constraints").cloned().unwrap_or_default();
        prop_assert_eq!(after, before);

        let twice = convert(Framework::Marathon, &converted.definition, &options).unwrap();
        prop_assert_eq!(twice.definition, converted.definition);
    }

    #[test]
    fn a_definition_without_volumes_comes_back_byte_for_byte(value in json_value(), pretty in any::<bool>()) {
        let app = json!({"id": "/app", "x": value});
        let text = if pretty { serde_json::to_string_pretty(&app) } else { serde_json::to_string(&app) }.unwrap();
        let catalogue = catalogue();
        let options = Options { catalogue: Some(&catalogue), ..Options::default() };
        prop_assert_eq!(convert(Framework::Marathon, &text, &options).unwrap().definition, text.clone());
        prop_assert_eq!(migrate(Framework::Marathon, &text, &options).unwrap().definition, text);
    }

    #[test]
    fn own_words_to_labels_and_back_say_the_same(
        volumes in prop::collection::btree_map("[a-z]{1,6}", ("[a-z]{1,6}", any::<bool>(), prop::option::of(1u32..999)), 1..4)
    ) {
        let list: Vec<Value> = volumes
            .iter()
            .map(|(path, (name, read_only, size))| {
                let mut external = json!({"name": name, "provider": "dvdi", "options": {"dvdi/driver": "r", "dvdi/iops": "9"}});
                if let Some(size) = size {
                    external["size"] = json!(size);
                }
                json!({"containerPath": path, "mode": if *read_only { "RO" } else { "RW" }, "external": external})
            })
            .collect();
        let app = json!({"id": "/app", "container": {"type": "MESOS", "volumes": list}});
        let there = migrate(Framework::Marathon, &app.to_string(), &Options::default()).unwrap();
        let labels: Value = serde_json::from_str(&there.definition).unwrap();
        prop_assert_eq!(&labels["container"]["volumes"], &json!([]));
        let back = migrate_back(Framework::Marathon, &there.definition, &Options::default()).unwrap();
        let back: Value = serde_json::from_str(&back.definition).unwrap();
        prop_assert_eq!(&back["container"], &app["container"]);
        prop_assert_eq!(&back["labels"], &json!({}));
    }

    #[test]
    fn no_text_makes_it_panic(text in r#"[\x20-\x7e\n]{0,60}"#) {
        let catalogue = catalogue();
        let options = Options { catalogue: Some(&catalogue), ..Options::default() };
        for framework in [Framework::Marathon, Framework::DcosCommons, Framework::Spark, Framework::Cook] {
            let _ = convert(framework, &text, &options);
        }
    }

    #[test]
    fn no_properties_or_yaml_make_it_panic(text in r#"([a-z.]{0,6}[=: \\]{0,3}[a-zü{}:,#'"\\-]{0,8}\n){0,6}"#) {
        let catalogue = catalogue();
        let options = Options { catalogue: Some(&catalogue), ..Options::default() };
        for framework in [Framework::DcosCommons, Framework::Spark] {
            let labelled = format!("pods:\n  a:\n    tasks: {{}}\n{text}spark.mesos.task.labels volume.d:a\n");
            let _ = convert(framework, &labelled, &options);
        }
    }
}
