//! What a conversion is asked to do.

use crate::catalogue::Catalogue;
use crate::mapping::Spelling;

/// What a conversion, a migration or an explanation is asked to do.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Where names are looked up. Without a catalogue the names stay as they are, and neither zone
    /// nor claim is known.
    pub catalogue: Option<&'a Catalogue>,
    /// How labels spell a volume. Other channels always have the driver's own name.
    pub spelling: Spelling,
    /// The agents' attribute with their zone; `@zone` for their fault domain, where the framework
    /// supports it.
    pub zone_attribute: &'a str,
    /// The driver of volumes whose labels name none, on channels other than labels. The isolator
    /// has its own default.
    pub default_driver: Option<&'a str>,
    /// The role that the agents' `ebsvolumes` is reserved for.
    pub claim_role: Option<&'a str>,
    /// Labels to add to the task.
    pub given: &'a [(String, String)],
    /// The only task to convert, by its name in the definition. `None`: all of them.
    pub task: Option<&'a str>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            catalogue: None,
            spelling: Spelling::Id,
            zone_attribute: "zone",
            default_driver: None,
            claim_role: None,
            given: &[],
            task: None,
        }
    }
}
