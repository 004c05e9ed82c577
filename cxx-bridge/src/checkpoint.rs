//! What the agent itself keeps on disk of a framework that checkpoints. It holds what no message to
//! an isolator does: the framework's principal, which the master has held against the authenticated
//! one.
//!
//! ```text
//! <work_dir>/slaves/<agent>/frameworks/<framework>/executors/<executor>/runs/<container>   a sandbox
//! <work_dir>/meta/slaves/<agent>/frameworks/<framework>/framework.info                     length, then FrameworkInfo
//! ```
//!
//! The agent writes the file before it launches the framework's first executor.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use isolator::PrincipalError;
use prost::Message;

use crate::wire;

/// Where the agent keeps a framework, from the sandbox of one of its containers; `None` when that
/// is not the sandbox of one.
pub(crate) fn framework_info(sandbox: &Path, framework: &str) -> Option<PathBuf> {
    let parts: Vec<Component<'_>> = sandbox.components().collect();
    let is = |part: &Component<'_>, name: &str| part.as_os_str() == name;
    let at = parts.windows(5).position(|part| {
        is(&part[0], "slaves") && is(&part[2], "frameworks") && is(&part[3], framework) && is(&part[4], "executors")
    })?;
    let work_dir: PathBuf = parts[..at].iter().collect();
    let below: PathBuf = parts[at..at + 4].iter().collect();
    Some(work_dir.join("meta").join(below).join("framework.info"))
}

/// The principal in such a file. `None` when there is no file, as of a framework that does not
/// checkpoint, or no principal in it.
///
/// # Errors
/// When the file cannot be read, or is no checkpoint of a framework.
pub(crate) fn principal(file: &Path) -> Result<Option<String>, PrincipalError> {
    let failed = |cause: String| PrincipalError {
        file: file.to_owned(),
        cause,
    };
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error.to_string())),
    };
    // The length is in the byte order of the host.
    let message = bytes.split_first_chunk::<4>().and_then(|(length, rest)| {
        let length = usize::try_from(u32::from_ne_bytes(*length)).ok()?;
        rest.get(..length)
    });
    let message = message.ok_or_else(|| failed("it is cut off".to_owned()))?;
    let info = wire::FrameworkInfo::decode(message).map_err(|error| failed(error.to_string()))?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(info.principal.filter(|principal| !principal.is_empty()).map(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_found_from_the_sandbox_also_of_a_nested_container() {
        let expected = Some(PathBuf::from(
            "/var/lib/mesos/meta/slaves/S0/frameworks/F1/framework.info",
        ));
        let run = "/var/lib/mesos/slaves/S0/frameworks/F1/executors/e/runs/c";
        assert_eq!(framework_info(Path::new(run), "F1"), expected);
        let nested = format!("{run}/containers/n");
        assert_eq!(framework_info(Path::new(&nested), "F1"), expected);
        assert_eq!(
            framework_info(Path::new(run), "F2"),
            None,
            "another framework's sandbox"
        );
        assert_eq!(framework_info(Path::new("/var/lib/mesos/containers/c"), "F1"), None);
    }

    #[test]
    fn a_principal_is_read_and_what_is_cut_off_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("framework.info");
        assert_eq!(principal(&file), Ok(None));
        // user (1), name (2), principal (8).
        let message = b"\x0a\x01u\x12\x01n\x42\x03etl";
        let whole = [&u32::try_from(message.len()).unwrap().to_ne_bytes()[..], message].concat();
        fs::write(&file, &whole).unwrap();
        assert_eq!(principal(&file), Ok(Some("etl".to_owned())));
        for length in 0..whole.len() {
            fs::write(&file, &whole[..length]).unwrap();
            let problem = principal(&file).unwrap_err().to_string();
            assert!(problem.contains("framework.info"), "{length}: {problem}");
        }
    }
}
