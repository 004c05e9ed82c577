//! All sources of one container's volumes, added up: nothing that a container asks for is dropped.

use volume_labels::{MAX_VOLUMES, cleaned};

use super::source::{Asked, Part};
use crate::config::Config;

/// The volumes of a second source, added to those of the sources before it. What two sources say in the same words counts once.
///
/// # Errors
/// Both want the same path for different volumes, or there are too many; one line that names what asked, in both sources.
pub(super) fn add(asked: &mut Vec<Asked>, more: Vec<Asked>, config: &Config) -> Result<(), String> {
    for next in more {
        match asked.iter().find(|first| first.labels.path == next.labels.path) {
            Some(first) if says_the_same(first, &next, config) => {}
            Some(first) => {
                return Err(format!(
                    "{}: {} mounts at '{}' as well, and they do not ask for the same there: give one of them another path ({} or \
                     {}), or remove one",
                    next.said(),
                    first.said(),
                    cleaned(&next.labels.path.to_string()),
                    next.part(Part::Path),
                    first.part(Part::Path)
                ));
            }
            None => asked.push(next),
        }
    }
    match (asked.first(), asked.last()) {
        (Some(first), Some(last)) if asked.len() > MAX_VOLUMES => Err(format!(
            "the container asks for {} volumes in all, from {} to {}; at most {MAX_VOLUMES} are accepted",
            asked.len(),
            first.said(),
            last.said()
        )),
        _ => Ok(()),
    }
}

/// Whether the second source adds nothing to what the first one says of the volume. Labels can say more than the other sources,
/// whose silence about that is no contradiction.
fn says_the_same(first: &Asked, next: &Asked, config: &Config) -> bool {
    let (a, b) = (&first.labels, &next.labels);
    a.name == b.name
        && first.driver(config) == next.driver(config)
        && a.mode == b.mode
        && a.lifetime == b.lifetime
        && a.subpath == b.subpath
        && (b.options.is_empty() || a.options == b.options)
}
