//! The id under which this host mounts a volume.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// The `ID` of Mount and Unmount: 64 lower-case hexadecimal digits, as Docker sends.
///
/// Drivers disagree on what an ID means: some count per ID, some refuse the same ID twice, some ignore it. One *constant* ID per
/// volume and host, with at most one Mount outstanding and the users counted by the client, is the
/// only use that all known drivers honour.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MountId(String);

impl MountId {
    /// The id for one volume of one driver on one host: SHA-256 over the three texts, each preceded by its length as
    /// eight bytes, big end first, so that no two different triples can give the same input.
    ///
    /// `host_id` must survive restarts of the caller, or a volume it left mounted cannot be adopted.
    pub fn derive(host_id: &str, driver: &str, volume: &str) -> MountId {
        let mut hash = Sha256::new();
        for text in [host_id, driver, volume] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        MountId(hex::encode(hash.finalize()))
    }

    /// The 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for MountId {
    type Err = InvalidMountId;

    fn from_str(text: &str) -> Result<MountId, InvalidMountId> {
        let digits = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        if text.len() == 64 && text.bytes().all(digits) {
            Ok(MountId(text.to_owned()))
        } else {
            Err(InvalidMountId)
        }
    }
}

/// The text is not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidMountId;

impl fmt::Display for InvalidMountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mount id is 64 lower-case hexadecimal digits")
    }
}

impl std::error::Error for InvalidMountId {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_volume_on_the_same_host_has_one_id() {
        let id = MountId::derive("host-1", "ebs", "vol-1");
        assert_eq!(id, MountId::derive("host-1", "ebs", "vol-1"));
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn moving_a_letter_between_the_parts_changes_the_id() {
        let id = MountId::derive("host", "ebs", "vol");
        for (host, driver, volume) in [("hos", "tebs", "vol"), ("host", "ebsv", "ol"), ("host", "eb", "svol")] {
            assert_ne!(id, MountId::derive(host, driver, volume));
        }
    }

    #[test]
    fn only_64_lower_case_digits_are_an_id() {
        let good = "0123456789abcdef".repeat(4);
        assert!(good.parse::<MountId>().is_ok());
        for bad in [&good[1..], &good.to_uppercase(), &good.replace('0', "g"), ""] {
            assert_eq!(bad.parse::<MountId>(), Err(InvalidMountId));
        }
    }
}
