//! The volumes of several origins, added up: nothing that a container requests is dropped.

use volume_labels::MAX_VOLUMES;

use super::error::ParseError;
use super::requested_volume::RequestedVolume;
use crate::config::Config;

/// Adds the volumes of one more origin. A volume that two origins request in the same words counts
/// once.
///
/// # Errors
/// When two origins want the same path for different volumes, or when there are too many volumes.
pub(super) fn add(
    requested: &mut Vec<RequestedVolume>,
    more: Vec<RequestedVolume>,
    config: &Config,
) -> Result<(), ParseError> {
    for next in more {
        match requested.iter().find(|first| first.labels.path == next.labels.path) {
            Some(first) if says_the_same(first, &next, config) => {}
            Some(first) => {
                return Err(ParseError::SamePathInTwoOrigins {
                    first: Box::new(first.clone()),
                    second: Box::new(next),
                });
            }
            None => requested.push(next),
        }
    }
    match (requested.first(), requested.last()) {
        (Some(first), Some(last)) if requested.len() > MAX_VOLUMES => Err(ParseError::TooMany {
            count: requested.len(),
            first: first.display_origin(),
            last: last.display_origin(),
        }),
        _ => Ok(()),
    }
}

/// Whether the second origin adds nothing to what the first one says about the volume. Labels can
/// say more than the other origins, and silence does not contradict them.
fn says_the_same(first: &RequestedVolume, next: &RequestedVolume, config: &Config) -> bool {
    let (a, b) = (&first.labels, &next.labels);
    a.name == b.name
        && first.driver(config) == next.driver(config)
        && a.mode == b.mode
        && a.lifetime == b.lifetime
        && a.subpath == b.subpath
        && (b.options.is_empty() || a.options == b.options)
}
