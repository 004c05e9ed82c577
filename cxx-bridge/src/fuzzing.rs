//! What holds of any bytes in place of Mesos' messages. For property tests and fuzzing; no part of
//! the module.

use isolator::{ContainerId, ContainerLaunch};

use crate::decode::{self, DecodeError};
use crate::guard;

/// Reads `input` as one of the messages, chosen by its first byte. Returns what `prepare()` would
/// go on with, when it was readable as that.
///
/// # Panics
/// When something does not hold.
#[must_use]
pub fn read(input: &[u8]) -> Option<(ContainerId, ContainerLaunch)> {
    let (choice, bytes) = input.split_first()?;
    match choice % 8 {
        0 => checked_message(decode::container_id(bytes)).map(drop)?,
        1 => checked_message(decode::recovered(bytes)).map(drop)?,
        2 => checked_message(decode::set_resources(bytes.split(|byte| *byte == 0xff))).map(drop)?,
        3 => checked_message(decode::parameters(bytes)).map(drop)?,
        // Two messages: the length of the first in a byte of its own.
        choice => {
            let (length, rest) = bytes.split_first()?;
            let (id, config) = rest.split_at_checked(usize::from(*length))?;
            let id = checked_message(decode::container_id(id)).unwrap_or_else(|| ContainerId::root("c"));
            let launch = checked_message(decode::launch(config, None))?;
            assert_eq!(
                Some(&launch),
                checked_message(decode::launch(config, None)).as_ref(),
                "read twice, it says the same"
            );
            // No label is lost, none is made up: what the policy and the grammar see is what was
            // sent.
            let texts = launch.task_labels.iter().chain(&launch.executor_labels);
            // A byte that is not UTF-8 becomes three.
            let length: usize = texts.map(|(key, value)| key.len() + value.len()).sum();
            assert!(length <= 3 * config.len(), "{length} bytes from {}", config.len());
            let nested = choice % 2 == 1;
            let id = match id.path() {
                [one] if nested => ContainerId::from_path(vec!["pod".to_owned(), one.clone()])?,
                _ => id,
            };
            return Some((id, launch));
        }
    }
    None
}

/// An error is one line of bounded length.
fn checked_message<T>(result: Result<T, DecodeError>) -> Option<T> {
    result
        .inspect_err(|error| {
            let line = guard::one_line(error);
            assert!(!line.chars().any(char::is_control), "{line:?}");
            assert!(
                line.starts_with("cannot read Mesos' ") || line.starts_with("Mesos' "),
                "{line}"
            );
            assert!(line.len() < 500, "{line}");
        })
        .ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::wire;

    fn labels(labels: Vec<(Vec<u8>, Vec<u8>)>) -> wire::Labels {
        let labels = labels.into_iter().map(|(key, value)| wire::Label {
            key: Some(key),
            value: Some(value),
        });
        wire::Labels {
            labels: labels.collect(),
        }
    }

    fn wild() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
        proptest::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>()), 0..5)
    }

    prop_compose! {
        fn config()(
            task in wild(),
            executor in wild(),
            directory in any::<Vec<u8>>(),
            container_class in proptest::option::of(any::<i32>()),
            items in proptest::collection::vec(any::<Vec<u8>>(), 0..4),
        ) -> wire::ContainerConfig {
            wire::ContainerConfig {
                directory: Some(directory),
                container_class,
                task_info: Some(wire::TaskInfo { labels: Some(labels(task)), ..Default::default() }),
                executor_info: Some(wire::ExecutorInfo { labels: Some(labels(executor)), ..Default::default() }),
                resources: vec![wire::Resource {
                    name: Some(b"ebsvolumes".to_vec()),
                    set: Some(wire::Set { item: items }),
                    ..Default::default()
                }],
                ..Default::default()
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_an_error_in_one_line(input in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&input);
        }

        #[test]
        fn a_message_that_was_damaged_on_its_way_is_read_or_refused(
            config in config(),
            choice in any::<u8>(),
            damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let id = wire::ContainerId { value: Some(b"c".to_vec()), parent: None }.encode_to_vec();
            let length = u8::try_from(id.len()).unwrap();
            let mut input = [vec![choice, length], id, config.encode_to_vec()].concat();
            for (place, byte) in damage {
                let place = place.index(input.len());
                input[place] = byte;
            }
            let _ = read(&input);
        }

        #[test]
        fn every_label_of_a_message_arrives(config in config()) {
            let count = |labels: &Option<wire::Labels>| labels.as_ref().map_or(0, |labels| labels.labels.len());
            let task = count(&config.task_info.clone().unwrap_or_default().labels);
            let launch = decode::launch(&config.encode_to_vec(), None).unwrap();
            prop_assert_eq!(launch.task_labels.len(), task);
        }
    }
}
