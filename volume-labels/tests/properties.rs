//! What holds for every input.

use std::collections::BTreeMap;

use proptest::prelude::*;
use volume_labels::{Access, ContainerPath, Create, Lifetime, Mode, MountFlags, Owner, Slot, VolumeLabels, parse};

fn slot() -> impl Strategy<Value = Slot> {
    "[a-z0-9][a-z0-9_-]{0,20}".prop_filter_map("not a slot", |slot| slot.parse().ok())
}

/// Printable text with the characters that other systems trip over.
fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9/:,=.%'\"\\\\ é漢-]{0,40}[a-zA-Z0-9]"
}

fn path() -> impl Strategy<Value = ContainerPath> {
    "/?([a-z.]{1,8}/{1,2}){0,4}[a-z]{1,8}/?".prop_filter_map("has a '..'", |path| ContainerPath::parse(&path).ok())
}

fn owner() -> impl Strategy<Value = Owner> {
    prop_oneof![
        (0..u32::MAX, 0..u32::MAX).prop_map(|(uid, gid)| Owner::Ids { uid, gid }),
        "[a-z_][a-z0-9_.-]{0,20}".prop_map(Owner::User),
    ]
}

prop_compose! {
    fn volume()(
        slot in slot(),
        name in name(),
        driver in proptest::option::of(name()),
        path in path(),
        mode in prop_oneof![Just(Mode::ReadWrite), Just(Mode::ReadOnly)],
        access in prop_oneof![Just(Access::Shared), Just(Access::Exclusive)],
        lifetime in prop_oneof![Just(Lifetime::Persistent), Just(Lifetime::Container)],
        create in prop_oneof![Just(Create::Never), Just(Create::IfMissing)],
        options in proptest::collection::btree_map("[a-zA-Z0-9._-]{1,12}", "[ -~]{0,40}", 0..4),
        owner in proptest::option::of(owner()),
        (nosuid, nodev, noexec) in any::<(bool, bool, bool)>(),
        subpath in proptest::option::of("[a-z]{1,8}(/[a-z]{1,8}){0,3}"),
        claim in proptest::option::of(name()),
    ) -> VolumeLabels {
        let flags = MountFlags { nosuid, nodev, noexec };
        let subpath = subpath.map(Into::into);
        VolumeLabels { slot, name, driver, path, mode, access, lifetime, create, options, owner, flags, subpath, claim }
    }
}

/// A container's volumes: slots differ and so do paths, in the order of slots.
fn volumes() -> impl Strategy<Value = Vec<VolumeLabels>> {
    proptest::collection::vec(volume(), 0..6).prop_map(|volumes| {
        let by_path: BTreeMap<_, _> = volumes.into_iter().map(|v| (v.path.clone(), v)).collect();
        let by_slot: BTreeMap<_, _> = by_path.into_values().map(|v| (v.slot.clone(), v)).collect();
        by_slot.into_values().collect()
    })
}

proptest! {
    #[test]
    fn labels_of_volumes_parse_back_to_them(volumes in volumes(), seed in any::<u64>()) {
        let mut labels: Vec<_> = volumes.iter().flat_map(|volume| volume.to_labels()).collect();
        // The order of labels is the framework's, not ours.
        let turns = if labels.is_empty() { 0 } else { seed as usize % labels.len() };
        labels.rotate_left(turns);
        if seed.is_multiple_of(2) {
            labels.reverse();
        }
        prop_assert_eq!(parse(labels_ref(&labels)).unwrap(), volumes.clone());

        let json = serde_json::to_string(&volumes).unwrap();
        prop_assert_eq!(serde_json::from_str::<Vec<VolumeLabels>>(&json).unwrap(), volumes);
    }

    #[test]
    fn arbitrary_labels_give_volumes_or_one_line(labels in proptest::collection::vec(wild_label(), 0..8)) {
        match parse(labels_ref(&labels)) {
            Ok(volumes) => {
                let back: Vec<_> = volumes.iter().flat_map(|volume| volume.to_labels()).collect();
                prop_assert_eq!(parse(labels_ref(&back)).unwrap(), volumes);
            }
            Err(error) => {
                let message = error.to_string();
                prop_assert!(!message.chars().any(char::is_control), "{:?}", message);
                prop_assert!(message.len() < 2_000, "{} bytes", message.len());
                prop_assert!(message.contains("volume."), "{}", message);
            }
        }
    }

    #[test]
    fn parsed_paths_stay_where_they_are_put(text in "[/.a-c\\PC]{0,30}") {
        let Ok(path) = ContainerPath::parse(&text) else { return Ok(()) };
        let absolute = matches!(path, ContainerPath::Absolute(_));
        prop_assert_eq!(path.as_path().is_absolute(), absolute);
        let names = path
            .as_path()
            .components()
            .filter(|c| matches!(c, std::path::Component::Normal(_)))
            .count();
        prop_assert!(names > 0);
        prop_assert_eq!(path.as_path().components().count(), names + usize::from(absolute));
        prop_assert_eq!(ContainerPath::parse(&path.to_string()).unwrap(), path);
    }
}

fn labels_ref(labels: &[(String, String)]) -> Vec<(&str, &str)> {
    labels
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

fn wild_label() -> impl Strategy<Value = (String, String)> {
    let key = prop_oneof![
        any::<String>(),
        any::<String>().prop_map(|rest| format!("volume.{rest}")),
        "volume\\.[a-b]{1}",
        "volume\\.[a-b]{1}\\.(driver|path|mode|access|lifetime|create|owner|claim|options\\.[a-c.]{0,3}|[a-z.]{0,9})",
        "org\\.apache\\.aurora\\.metadata\\.volume\\.[a-b.]{1,4}",
    ];
    let value = prop_oneof![
        any::<String>(),
        "(rw|ro|shared|exclusive|persistent|container|never|if-missing|[0-9]{1,11}:[0-9]{1,3}|[a-c/.]{1,9})",
        "\\PC{200,600}",
    ];
    (key, value)
}
