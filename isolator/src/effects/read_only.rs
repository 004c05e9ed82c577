//! What a container gets read-only stays so.

use super::mount_table::MountTable;
use crate::error::PrepareError;
use crate::types::BindMount;

/// Sees to it that what is asked for read-only will be: with the restrictions of the volume's own mount, and without mounts
/// inside that would stay writable.
pub(super) fn for_good(mut mounts: Vec<BindMount>) -> Result<Vec<BindMount>, PrepareError> {
    if mounts.iter().all(|mount| !mount.read_only) {
        return Ok(mounts);
    }
    let table =
        MountTable::read().map_err(|error| PrepareError::Request(format!("cannot read the mount table: {error}")))?;
    for mount in mounts.iter_mut().filter(|mount| mount.read_only) {
        if let Some(inside) = table.inside(&mount.source) {
            return Err(PrepareError::Request(format!(
                "the volume at {} has a mount inside, {}, which would stay writable in a read-only container",
                mount.source.display(),
                inside.display()
            )));
        }
        mount.restrictions = table.restrictions(&mount.source);
    }
    Ok(mounts)
}
