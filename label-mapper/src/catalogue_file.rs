//! Catalogues from several files: listings of `aws ec2 describe-volumes`, and files of our own with
//! volumes and aliases.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::catalogue::{Attachment, Catalogue, Volume, VolumeId, VolumeState};
use crate::describe::CatalogueError;
use crate::listing::{self, Text};

/// A catalogue file, YAML or JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    #[serde(default)]
    volumes: Vec<Entry>,
    /// Word to id or Name tag.
    #[serde(default)]
    aliases: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: VolumeId,
    #[serde(default)]
    name: Option<String>,
    zone: String,
    #[serde(default = "available")]
    state: VolumeState,
    #[serde(default)]
    size_gib: u64,
    #[serde(default)]
    attachments: Vec<Attachment>,
    #[serde(default)]
    multi_attach: bool,
    #[serde(default)]
    aliases: Vec<String>,
}

fn available() -> VolumeState {
    VolumeState::Available
}

impl Catalogue {
    /// The same as [`from_sources`](Self::from_sources), of texts that have no names.
    ///
    /// # Errors
    /// As there.
    pub fn from_texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, CatalogueError> {
        Self::from_sources(texts.into_iter().map(|text| ("the catalogue", text)))
    }

    /// From texts that are each what `aws ec2 describe-volumes` prints or a catalogue file, each
    /// with the name that messages call it by: volumes of all of them, and then the aliases, which
    /// may speak of any of the volumes. An alias that means no volume or several is an error of the
    /// look-up that asks for it ([`resolve`](Self::resolve)).
    ///
    /// # Errors
    /// A text of another shape, one page of several, an id listed twice, or an alias that is given
    /// twice for two volumes.
    pub fn from_sources<'a>(sources: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, CatalogueError> {
        let mut volumes = Vec::new();
        let mut aliases = Vec::new();
        for (source_name, text) in sources {
            let file = match listing::read(text)? {
                Text::Listing(listed) => {
                    volumes.extend(listed);
                    continue;
                }
                Text::File(file) => file,
            };
            aliases.extend(file.aliases.into_iter().map(|(alias, of)| (source_name, alias, of)));
            for entry in file.volumes {
                let of_entry = |alias: &String| (source_name, alias.clone(), entry.id.to_string());
                aliases.extend(entry.aliases.iter().map(of_entry));
                let volume = Volume {
                    id: entry.id,
                    name: entry.name.filter(|name| !name.is_empty()),
                    zone: entry.zone,
                    state: entry.state,
                    size_gib: entry.size_gib,
                    attachments: entry.attachments,
                    multi_attach: entry.multi_attach,
                };
                volumes.push(volume.with_unknown_host());
            }
        }
        let mut catalogue = Self::of_volumes(volumes)?;
        for (source_name, alias, of) in aliases {
            catalogue.add_alias_of(source_name, &alias, &of)?;
        }
        Ok(catalogue)
    }
}

/// Whether this text says of volumes where they are attached: a listing, or a catalogue file with
/// volumes. One that has only aliases does not grow old.
///
/// # Errors
/// It is a text of another shape.
pub fn lists_volumes(text: &str) -> Result<bool, CatalogueError> {
    match listing::read(text)? {
        Text::Listing(_) => Ok(true),
        Text::File(file) => Ok(!file.volumes.is_empty()),
    }
}
