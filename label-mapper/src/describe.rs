//! The catalogue as `aws ec2 describe-volumes` prints it.

use std::collections::BTreeMap;

use serde::Deserialize;
use thiserror::Error;

use crate::catalogue::{AliasError, Attachment, Catalogue, Volume, VolumeId, VolumeState};

/// Why a text is no catalogue.
#[derive(Debug, Error)]
pub enum CatalogueError {
    /// Not the JSON that `aws ec2 describe-volumes` prints.
    #[error("not the JSON of 'aws ec2 describe-volumes': {0}")]
    Shape(#[from] serde_json::Error),
    /// One page of several: a name looked up in it could be unknown or seem unique for that reason alone.
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

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listing {
    volumes: Vec<Listed>,
    #[serde(default)]
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    volume_id: VolumeId,
    availability_zone: String,
    state: VolumeState,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default)]
    attachments: Vec<ListedAttachment>,
    #[serde(default)]
    multi_attach_enabled: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedAttachment {
    instance_id: Option<String>,
    /// Volumes of Fargate and other services of Amazon's name no instance.
    associated_resource: Option<String>,
    device: Option<String>,
    state: String,
}

impl Catalogue {
    /// From what `aws ec2 describe-volumes` prints; fields this product has no use for are passed over.
    ///
    /// # Errors
    /// Text of another shape, one page of several, or an id listed twice.
    pub fn from_describe_volumes(json: &str) -> Result<Self, CatalogueError> {
        Self::of_volumes(described(json)?)
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

/// The volumes of a listing.
pub(crate) fn described(json: &str) -> Result<Vec<Volume>, CatalogueError> {
    let listing: Listing = serde_json::from_str(json)?;
    if listing.next_token.is_some_and(|token| !token.is_empty()) {
        return Err(CatalogueError::OnePage);
    }
    Ok(listing.volumes.into_iter().map(Volume::from).collect())
}

impl From<Listed> for Volume {
    fn from(listed: Listed) -> Self {
        let name = listed
            .tags
            .into_iter()
            .find(|tag| tag.key == "Name")
            .map(|tag| tag.value);
        Self {
            id: listed.volume_id,
            name: name.filter(|name| !name.is_empty()),
            zone: listed.availability_zone,
            state: listed.state,
            size_gib: listed.size,
            attachments: listed
                .attachments
                .into_iter()
                .filter(|attachment| attachment.state != "detached")
                .map(|attachment| Attachment {
                    instance: attachment
                        .instance_id
                        .or(attachment.associated_resource)
                        .unwrap_or_default(),
                    device: attachment.device,
                    state: attachment.state,
                })
                .collect(),
            multi_attach: listed.multi_attach_enabled,
        }
    }
}
