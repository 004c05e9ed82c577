//! Values: the words and numbers that attributes take.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{MAX_NAME_BYTES, MAX_VALUE_BYTES};

/// Whether a text can be the name of a volume or of a driver, or a claim: of 1 to [`MAX_NAME_BYTES`] bytes, not blank, without
/// control characters.
///
/// # Errors
/// What is wrong, in a few words that can follow the text and a colon.
pub fn check_name(text: &str) -> Result<(), &'static str> {
    if text.trim().is_empty() {
        return Err("the value is empty");
    }
    if text.len() > MAX_NAME_BYTES {
        return Err("the value is longer than 255 bytes");
    }
    if has_control(text) {
        return Err("the value has control characters");
    }
    Ok(())
}

/// Whether a key and a value can be a driver option: the key as [`check_name`] has it, the value of at most
/// [`MAX_VALUE_BYTES`] bytes without control characters.
///
/// # Errors
/// What is wrong, in a few words that can follow the option and a colon.
pub fn check_option(key: &str, value: &str) -> Result<(), &'static str> {
    if key.trim().is_empty() {
        return Err("the key is empty");
    }
    if key.len() > MAX_NAME_BYTES {
        return Err("the key is longer than 255 bytes");
    }
    if has_control(key) {
        return Err("the key has control characters");
    }
    if value.len() > MAX_VALUE_BYTES {
        return Err("the value is too long");
    }
    if has_control(value) {
        return Err("the value has control characters");
    }
    Ok(())
}

/// Whether a text has a character that ends a line or that a terminal obeys.
pub(crate) fn has_control(text: &str) -> bool {
    // U+2028 and U+2029 end a line for many readers, though Unicode does not count them as control
    // characters.
    text.chars()
        .any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))
}

/// An attribute whose values are a few words. They are listed once, for parsing, printing and
/// messages.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// The words an author may write, the default first.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// From the word an author writes; `None` for any other.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word),+ })
            }
        }
    };
}

words! {
    /// Whether the container may write (`volume.<slot>.mode`).
    Mode {
        /// It may.
        #[default]
        ReadWrite = "rw",
        /// It may not, submounts included.
        ReadOnly = "ro",
    }
}

words! {
    /// Who else may use the volume on this agent (`volume.<slot>.access`).
    Access {
        /// Any container.
        #[default]
        Shared = "shared",
        /// No other container, as long as this one lives.
        Exclusive = "exclusive",
    }
}

words! {
    /// How long the volume lives (`volume.<slot>.lifetime`).
    Lifetime {
        /// It outlives the container.
        #[default]
        Persistent = "persistent",
        /// It is created for the container and removed after it.
        Container = "container",
    }
}

words! {
    /// Whether a volume that the driver does not know is created (`volume.<slot>.create`).
    Create {
        /// The task fails.
        #[default]
        Never = "never",
        /// It is created, with the options of the labels.
        IfMissing = "if-missing",
    }
}

/// What the container's mount of a volume forbids (`volume.<slot>.flags`), beyond what the operator forbids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct MountFlags {
    /// Programs run as who starts them, whatever their set-user-id and set-group-id bits say.
    pub nosuid: bool,
    /// Device nodes are not devices.
    pub nodev: bool,
    /// Programs cannot be run from the volume.
    pub noexec: bool,
}

impl MountFlags {
    /// The words an author may write.
    pub const WORDS: &'static [&'static str] = &["nosuid", "nodev", "noexec"];

    /// From these words; `None` when one is unknown.
    pub fn from_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut flags = Self::default();
        for word in words {
            match word {
                "nosuid" => flags.nosuid = true,
                "nodev" => flags.nodev = true,
                "noexec" => flags.noexec = true,
                _ => return None,
            }
        }
        Some(flags)
    }

    /// The words of what is forbidden, in one order.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        let set = [self.nosuid, self.nodev, self.noexec];
        Self::WORDS
            .iter()
            .zip(set)
            .filter(|(_, set)| *set)
            .map(|(word, _)| *word)
    }

    /// What either forbids.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            nosuid: self.nosuid || other.nosuid,
            nodev: self.nodev || other.nodev,
            noexec: self.noexec || other.noexec,
        }
    }
}

impl fmt::Display for MountFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().collect::<Vec<_>>().join(","))
    }
}

impl TryFrom<Vec<String>> for MountFlags {
    type Error = String;

    fn try_from(words: Vec<String>) -> Result<Self, String> {
        Self::from_words(words.iter().map(String::as_str))
            .ok_or_else(|| format!("not mount flags; accepted are {}", Self::WORDS.join(", ")))
    }
}

impl From<MountFlags> for Vec<String> {
    fn from(flags: MountFlags) -> Self {
        flags.words().map(str::to_owned).collect()
    }
}

/// Who owns the volume's root directory once it is mounted (`volume.<slot>.owner`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Owner {
    /// By number. Neither is `u32::MAX`, which `chown` takes for "leave as it is".
    Ids {
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
    },
    /// A user's name, to be looked up on the agent, with that user's group.
    User(String),
}

impl Owner {
    /// The accepted form, for messages.
    pub const ACCEPTED: &'static str = "'uid:gid' in numbers, as in '1000:1000', or a user's name";

    /// From `uid:gid` or a user's name; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            Some((uid, gid)) => Some(Self::Ids {
                uid: id(uid)?,
                gid: id(gid)?,
            }),
            None => is_user_name(text).then(|| Self::User(text.to_owned())),
        }
    }
}

fn id(text: &str) -> Option<u32> {
    // `str::parse` would take a sign.
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|id| *id != u32::MAX)
}

/// Debian's `useradd` bounds a name at 32 bytes. The first character tells a name from a number.
fn is_user_name(text: &str) -> bool {
    let letters = text.strip_suffix('$').unwrap_or(text);
    text.len() <= 32
        && letters
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && letters
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ids { uid, gid } => write!(f, "{uid}:{gid}"),
            Self::User(name) => f.write_str(name),
        }
    }
}

impl TryFrom<String> for Owner {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("not an owner; accepted is {}", Self::ACCEPTED))
    }
}

impl From<Owner> for String {
    fn from(owner: Owner) -> Self {
        owner.to_string()
    }
}
