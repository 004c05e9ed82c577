//! Names of ephemeral volumes: those that are made for one container
//! (`volume.<slot>.lifetime=container`).
//!
//! A driver says neither who made a volume nor when, so the name does: `<label's name>-mev-<16
//! hexadecimal digits>`. The digits are a hash over this host's secret id and the container, so
//! that no other program can choose them, and no label may contain such a name. A volume that has
//! the name after a Create which was never answered is therefore the module's own, and may be
//! removed.

use sha2::{Digest, Sha256};
use volume_labels::Access;

use crate::types::{ContainerId, VolumeKey};

/// Stands between the label's name and the digits.
const MARK: &str = "-mev-";
const DIGITS: usize = 16;
const ADDED: usize = MARK.len() + DIGITS;
/// Bytes of a name: the limit of labels, and of EBS.
const LONGEST: usize = 255;

/// A label's name to which the mark and the digits cannot be added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a volume that is made for a container may have a name of {} bytes, since {} are added",
    LONGEST - ADDED,
    ADDED
)]
pub(crate) struct NameTooLong;

/// The name of the volume that is made for a container when its label spells `volume`.
///
/// The members of a pod share one volume that is made for the pod, so the outermost container
/// counts. With exclusive access each member gets a volume of its own.
///
/// # Errors
/// When the name would be too long.
pub(crate) fn name(
    volume: &VolumeKey,
    container: &ContainerId,
    access: Access,
    host_id: &str,
) -> Result<String, NameTooLong> {
    let container = match access {
        Access::Shared => container.path().get(..1).unwrap_or_default(),
        Access::Exclusive => container.path(),
    };
    let mut hash = Sha256::new();
    let fixed = ["volume made for a container", host_id, &volume.driver, &volume.name];
    for part in fixed.into_iter().chain(container.iter().map(String::as_str)) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digits = &hex::encode(hash.finalize())[..DIGITS];
    let name = format!("{}{MARK}{digits}", volume.name);
    if name.len() > LONGEST {
        return Err(NameTooLong);
    }
    Ok(name)
}

/// The label's name for a volume with this name; `None` when the module did not choose the name.
pub fn spelled(name: &str) -> Option<&str> {
    let digits = name.len().checked_sub(DIGITS)?;
    let (before, digits) = name.split_at_checked(digits)?;
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let spelled = before.strip_suffix(MARK)?;
    (digits.bytes().all(is_digit) && !spelled.is_empty()).then_some(spelled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch() -> VolumeKey {
        VolumeKey::new("ebs", "scratch")
    }

    #[test]
    fn a_made_up_name_tells_what_was_spelled_and_others_tell_nothing() {
        let name = name(&scratch(), &ContainerId::root("c"), Access::Shared, "host").unwrap();
        assert_eq!(spelled(&name), Some("scratch"));
        for other in [
            "scratch",
            "-mev-0123456789abcdef",
            "scratch-mev-0123456789abcdeF",
            "scratch-mev-0123456789abcde",
            "scratch_mev-0123456789abcdef",
            "ü-0123456789abcdef",
            "",
        ] {
            assert_eq!(spelled(other), None, "{other}");
        }
    }

    #[test]
    fn every_container_driver_and_host_has_a_name_of_its_own_and_the_members_of_a_pod_share_one() {
        let of = |volume: &VolumeKey, path: &[&str], host| {
            let path = path.iter().map(|part| (*part).to_owned()).collect();
            name(volume, &ContainerId::from_path(path).unwrap(), Access::Shared, host).unwrap()
        };
        let first = of(&scratch(), &["pod"], "host");
        assert_eq!(of(&scratch(), &["pod", "member"], "host"), first);
        assert_ne!(of(&scratch(), &["other"], "host"), first);
        assert_ne!(of(&scratch(), &["pod"], "another"), first);
        assert_ne!(of(&VolumeKey::new("nfs", "scratch"), &["pod"], "host"), first);
    }

    #[test]
    fn members_that_are_to_have_it_alone_have_one_each() {
        let of = |path: [&str; 2]| {
            let member = ContainerId::from_path(path.map(str::to_owned).to_vec()).unwrap();
            name(&scratch(), &member, Access::Exclusive, "host").unwrap()
        };
        assert_ne!(of(["pod", "a"]), of(["pod", "b"]));
        assert_ne!(of(["pod", "a"]), of(["other", "a"]));
    }

    #[test]
    fn a_name_that_would_be_too_long_is_refused() {
        let named = |length: usize| {
            let volume = VolumeKey::new("ebs", "v".repeat(length));
            name(&volume, &ContainerId::root("c"), Access::Shared, "host")
        };
        assert!(named(234).is_ok_and(|name| name.len() == 255));
        assert!(named(235).unwrap_err().to_string().contains("234 bytes"));
    }
}
