//! The forms in which catalogues come: JSON and YAML of the AWS CLI, whole, in pages or cut out by
//! a `--query`, our own files, in any of the encodings of a Windows shell; and forms that are
//! refused with the one thing to do.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use crate::catalogue::Volume;
use crate::catalogue_file::File;
use crate::describe::{CatalogueError, Listed, Page, volumes_of};

/// What a text turns out to be.
pub(crate) enum Text {
    /// Volumes as the storage lists them.
    Listing(Vec<Volume>),
    /// A catalogue file of ours.
    File(File),
}

/// A text that is in no known encoding.
#[derive(Debug, thiserror::Error)]
#[error("it is neither UTF-8 nor UTF-16; save it as UTF-8")]
pub struct EncodingError;

/// The text of a file: UTF-8, with or without a byte order mark, or UTF-16, which PowerShell's `>`
/// writes.
///
/// # Errors
/// The bytes are none of these.
pub fn decoded(bytes: Vec<u8>) -> Result<String, EncodingError> {
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, rest) = bytes.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(EncodingError);
        }
        let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
        String::from_utf16(&units).map_err(|_| EncodingError)
    };
    match bytes.as_slice() {
        [0xFF, 0xFE, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => wide(rest, u16::from_be_bytes),
        // Without the mark: what is read here begins with a character of ASCII.
        [1..=0x7F, 0, ..] => wide(&bytes, u16::from_le_bytes),
        [0, 1..=0x7F, ..] => wide(&bytes, u16::from_be_bytes),
        [0xEF, 0xBB, 0xBF, rest @ ..] => String::from_utf8(rest.to_vec()).map_err(|_| EncodingError),
        _ => String::from_utf8(bytes).map_err(|_| EncodingError),
    }
}

/// Reads a text of any of the forms.
pub(crate) fn read(text: &str) -> Result<Text, CatalogueError> {
    let text = text.trim_start_matches('\u{feff}');
    if let Some(form) = foreign(text) {
        return Err(CatalogueError::Foreign(form));
    }
    if text.trim_start().starts_with(['{', '[']) {
        if let Some(problem) = operator_files::repeated_key(text) {
            return Err(CatalogueError::File(problem));
        }
        return match json_keys(text) {
            Some(keys) if is_ours(&keys) => Ok(Text::File(yaml(text).map_err(CatalogueError::File)?)),
            _ => Ok(Text::Listing(volumes_of(json_pages(text)?)?)),
        };
    }
    if text.trim() == "null" {
        return Err(CatalogueError::Shape(
            "it is null; write the whole of it, without --query".to_owned(),
        ));
    }
    if text.trim().is_empty() {
        return Err(CatalogueError::Shape(
            "the text is empty; see whether the command that wrote it failed".to_owned(),
        ));
    }
    if let Ok(keys) = yaml::<BTreeMap<String, IgnoredAny>>(text) {
        if keys.contains_key("Volumes") {
            let page: Page = yaml(text).map_err(CatalogueError::Shape)?;
            return Ok(Text::Listing(volumes_of(vec![page])?));
        }
    } else if let Ok(elements) = yaml::<Vec<BTreeMap<String, IgnoredAny>>>(text) {
        if elements.iter().any(|element| element.contains_key("volumeid")) {
            return Err(CatalogueError::Foreign("what 'rexray volume' prints"));
        }
        // `--output yaml-stream` is a list of pages, and a --query prints a list of volumes.
        let pages = match elements.iter().all(|element| element.contains_key("Volumes")) {
            true => yaml(text).map_err(CatalogueError::Shape)?,
            false => vec![Page::of(yaml(text).map_err(CatalogueError::Shape)?)],
        };
        return Ok(Text::Listing(volumes_of(pages)?));
    }
    Ok(Text::File(yaml(text).map_err(CatalogueError::File)?))
}

/// What people have instead of a catalogue, recognised by its first characters.
fn foreign(text: &str) -> Option<&'static str> {
    let text = text.trim_start();
    let first = text.lines().next().unwrap_or_default();
    let words: Vec<&str> = first.split('\t').collect();
    let is_table = first.starts_with('|') || (first.starts_with("-----") && text.contains('|'));
    if matches!(words.as_slice(), ["VOLUMES" | "ATTACHMENTS" | "TAGS", ..])
        || (words.len() > 1 && first.starts_with("vol-"))
    {
        Some("the text output of the AWS CLI")
    } else if is_table {
        Some("the table output of the AWS CLI")
    } else if text.starts_with('<') {
        Some("XML or a web page")
    } else if ["An error occurred", "Unable to locate", "usage: aws", "aws: error"]
        .iter()
        .any(|begin| first.starts_with(begin))
    {
        Some("an error message of the AWS CLI")
    } else {
        None
    }
}

fn json_keys(text: &str) -> Option<Vec<String>> {
    let keys = serde_json::from_str::<BTreeMap<String, IgnoredAny>>(text).ok()?;
    Some(keys.into_keys().collect())
}

fn is_ours(keys: &[String]) -> bool {
    keys.iter().any(|key| key == "volumes" || key == "aliases")
}

/// Pages or volumes, one after the other or in lists.
fn json_pages(text: &str) -> Result<Vec<Page>, CatalogueError> {
    let mut pages = Vec::new();
    let mut alone = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        let value = value.map_err(|error| {
            let cut = if error.is_eof() { "; the text is cut off" } else { "" };
            CatalogueError::Shape(format!("{error}{cut}"))
        })?;
        let values = match value {
            Value::Array(values) => values,
            value => vec![value],
        };
        for value in values {
            let has = |key: &str| value.get(key).is_some();
            if has("Volumes") {
                pages.push(of_value::<Page>(value)?);
            } else if has("VolumeId") {
                alone.push(of_value::<Listed>(value)?);
            } else {
                return Err(CatalogueError::Shape(
                    "it has no 'Volumes' and is no list of volumes; write the whole of it, without --query".to_owned(),
                ));
            }
        }
    }
    // An empty list is what a --query prints when there are no volumes.
    if !alone.is_empty() || pages.is_empty() {
        pages.insert(0, Page::of(alone));
    }
    Ok(pages)
}

fn of_value<T: DeserializeOwned>(value: Value) -> Result<T, CatalogueError> {
    let id = value
        .get("VolumeId")
        .and_then(Value::as_str)
        .map(volume_labels::cleaned);
    serde_json::from_value(value).map_err(|error| {
        CatalogueError::Shape(match id {
            Some(id) => format!("volume {id}: {error}"),
            None => error.to_string(),
        })
    })
}

/// YAML of a size that a listing may have: some 40 nodes a volume.
fn yaml<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let budget = serde_saphyr::budget! {
        max_events: 40_000_000,
        max_nodes: 10_000_000,
        max_total_scalar_bytes: 256 * 1024 * 1024,
    };
    serde_saphyr::from_str_with_options(text, serde_saphyr::options! { budget: budget })
        // The parser draws the place of an error on lines of its own.
        .map_err(|error| volume_labels::cleaned(error.to_string().lines().next().unwrap_or_default()))
}
