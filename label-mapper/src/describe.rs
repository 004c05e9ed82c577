//! Volumes as EC2 describes them: what `aws ec2 describe-volumes` prints, in JSON or YAML, and what
//! PowerShell's `Get-EC2Volume` does.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use thiserror::Error;

use crate::catalogue::{AliasError, Attachment, Catalogue, Volume, VolumeId, VolumeState};

/// Why a text is no catalogue.
#[derive(Debug, Error)]
pub enum CatalogueError {
    /// Not the JSON or YAML that `aws ec2 describe-volumes` prints.
    #[error("not the JSON of 'aws ec2 describe-volumes': {0}")]
    Shape(String),
    /// Something else that people have in the place of it.
    #[error("this is {0}: write the catalogue with 'aws ec2 describe-volumes --output json'")]
    Foreign(&'static str),
    /// One page of several: a name looked up in it could be unknown or seem unique for that reason
    /// alone.
    #[error("the list of volumes is one page of several (it has a NextToken); write all of them, without --max-items")]
    OnePage,
    /// A volume listed twice.
    #[error("volume {0} is listed twice")]
    Repeated(VolumeId),
    /// Neither that JSON nor a catalogue file of this product.
    #[error("no catalogue file: {0}")]
    File(String),
    /// An alias of the catalogue file.
    #[error(transparent)]
    Alias(#[from] AliasError),
}

/// One answer of EC2. Every member may be missing or null, since a `--query` leaves out what it
/// does not name.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Page {
    volumes: Option<Vec<Listed>>,
    #[serde(alias = "nextToken")]
    next_token: Option<String>,
}

/// One volume of an answer.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Listed {
    volume_id: Option<String>,
    availability_zone: Option<String>,
    state: Option<Word>,
    size: Option<u64>,
    tags: Option<Vec<Tag>>,
    attachments: Option<Vec<ListedAttachment>>,
    multi_attach_enabled: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Tag {
    #[serde(deserialize_with = "or_empty")]
    key: String,
    #[serde(deserialize_with = "or_empty")]
    value: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ListedAttachment {
    instance_id: Option<String>,
    /// Volumes of Fargate and other services of Amazon's name no instance.
    associated_resource: Option<String>,
    device: Option<String>,
    state: Option<Word>,
}

/// A state, which PowerShell writes as an object.
#[derive(Deserialize)]
#[serde(untagged)]
enum Word {
    Plain(String),
    Object {
        #[serde(rename = "Value")]
        value: String,
    },
}

impl Word {
    fn text(self) -> String {
        match self {
            Self::Plain(text) | Self::Object { value: text } => text,
        }
    }
}

fn or_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Catalogue {
    /// From what `aws ec2 describe-volumes` prints; fields this product has no use for are passed
    /// over.
    ///
    /// # Errors
    /// Text of another shape, one page of several, or an id listed twice.
    pub fn from_describe_volumes(text: &str) -> Result<Self, CatalogueError> {
        match crate::listing::read(text)? {
            crate::listing::Text::Listing(volumes) => Self::of_volumes(volumes),
            crate::listing::Text::File(_) => Err(CatalogueError::Shape("it is a catalogue file".to_owned())),
        }
    }

    pub(crate) fn of_volumes(listed: impl IntoIterator<Item = Volume>) -> Result<Self, CatalogueError> {
        let mut volumes = BTreeMap::new();
        for volume in listed {
            if let Some(first) = volumes.insert(volume.id.clone(), volume) {
                return Err(CatalogueError::Repeated(first.id));
            }
        }
        Ok(Self::new(volumes.into_values()))
    }
}

/// The volumes of these pages. A token on a page says that another follows, so only the last one
/// must have none.
pub(crate) fn volumes_of(pages: Vec<Page>) -> Result<Vec<Volume>, CatalogueError> {
    let open = |page: &Page| page.next_token.as_deref().is_some_and(|token| !token.is_empty());
    if pages.last().is_some_and(open) {
        return Err(CatalogueError::OnePage);
    }
    let mut volumes = Vec::new();
    for page in pages {
        let Some(listed) = page.volumes else {
            return Err(CatalogueError::Shape("its 'Volumes' is null".to_owned()));
        };
        for volume in listed {
            volumes.push(volume.checked().map_err(CatalogueError::Shape)?);
        }
    }
    Ok(volumes)
}

impl Page {
    /// A page of these volumes alone, as `--query 'Volumes[]'` prints it.
    pub(crate) fn of(volumes: Vec<Listed>) -> Self {
        Self {
            volumes: Some(volumes),
            next_token: None,
        }
    }
}

impl Listed {
    /// # Errors
    /// One line on what is missing.
    fn checked(self) -> Result<Volume, String> {
        const WHOLE: &str = "the listing is cut by a --query: write it without";
        let Some(id) = self.volume_id else {
            return Err(format!("a volume has no 'VolumeId'; {WHOLE}"));
        };
        let id: VolumeId = id.parse()?;
        let missing = |what: &str| format!("volume {id} has no '{what}'; {WHOLE}");
        let zone = self.availability_zone.ok_or_else(|| missing("AvailabilityZone"))?;
        let state = self.state.ok_or_else(|| missing("State"))?.text();
        let state: VolumeState =
            serde_json::from_value(state.into()).map_err(|error| format!("the state of volume {id}: {error}"))?;
        let tags = self.tags.unwrap_or_default().into_iter();
        let name = tags.filter(|tag| tag.key == "Name").map(|tag| tag.value).next();
        let attachments = self.attachments.unwrap_or_default().into_iter();
        let attachments = attachments.map(|attachment| Attachment {
            instance: attachment
                .instance_id
                .or(attachment.associated_resource)
                .unwrap_or_default(),
            device: attachment.device,
            // What has no state may hold the volume.
            state: attachment.state.map_or_else(|| "attached".to_owned(), Word::text),
        });
        Ok(Volume {
            name: name.filter(|name| !name.is_empty()),
            zone,
            state,
            size_gib: self.size.unwrap_or_default(),
            attachments: attachments
                .filter(|attachment| attachment.state != "detached")
                .collect(),
            multi_attach: self.multi_attach_enabled.unwrap_or_default(),
            id,
        }
        .with_unknown_host())
    }
}
