//! The token that programs send and people give in the form at `/login`.

use std::fmt;
use std::path::{Path, PathBuf};

use operator_files::{FileError, Problem};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

/// The shortest token, in characters: what `openssl rand -base64 16` prints is longer.
const SHORTEST: usize = 16;
/// The largest file, in bytes.
const MAX_FILE: u64 = 4096;

/// Why a file cannot be used as the token file.
#[derive(Debug, Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read the token file {0}")]
    Read(FileError),
    /// The file is not a regular file, or other users can read, write or replace it.
    #[error("the token file {0}")]
    Unsafe(FileError),
    /// The content of the file is not a token.
    #[error(
        "the token file {} has to hold one line of {SHORTEST} to {MAX_FILE} printable characters without spaces, such as \
         `openssl rand -hex 32` prints",
        path.display()
    )]
    NoToken {
        /// The file.
        path: PathBuf,
    },
}

/// A token; only its digest is kept in memory.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// Reads a file with one token. The file and the folders on the way to it must be in the hands
    /// of root and of this process's user, and other users must not be able to read it; a group
    /// may.
    ///
    /// # Errors
    /// The file cannot be read, other users can use it, or its content is not a token.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let no_token = || TokenError::NoToken { path: path.to_owned() };
        let text = operator_files::read_secret(path, MAX_FILE).map_err(|error| match error.problem {
            Problem::System(_) => TokenError::Read(error),
            Problem::TooLong(_) | Problem::NotText => no_token(),
            _ => TokenError::Unsafe(error),
        })?;
        let token = text.trim_end_matches(['\r', '\n']);
        let is_token = token.len() >= SHORTEST && token.bytes().all(|byte| byte.is_ascii_graphic());
        match is_token {
            true => Ok(Self::new(token)),
            false => Err(no_token()),
        }
    }

    fn new(token: &str) -> Self {
        Self(digest(token))
    }

    /// Whether this is the token. How long it takes says nothing about the token.
    pub fn is(&self, given: &str) -> bool {
        self.0.ct_eq(&digest(given)).into()
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn read(text: &str, mode: u32) -> Result<Token, TokenError> {
        let file = tempfile::NamedTempFile::new().expect("there is room for a file");
        fs::write(&file, text).expect("the file is ours");
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("the file is ours");
        Token::read(file.path())
    }

    #[test]
    fn a_token_is_one_long_line_that_not_everybody_can_read() {
        let token = read("0123456789abcdef\n", 0o640).expect("it is good");
        assert!(token.is("0123456789abcdef"));
        for wrong in ["0123456789abcdeF", "", "0123456789abcdef\n", "0123456789abcdef0"] {
            assert!(!token.is(wrong), "{wrong:?}");
        }
        for text in [
            "",
            "short",
            "with spaces in it, and long",
            "0123456789abcdef\n0123456789abcdef\n",
        ] {
            assert!(matches!(read(text, 0o600), Err(TokenError::NoToken { .. })), "{text:?}");
        }
        for mode in [0o604, 0o602] {
            assert!(matches!(read("0123456789abcdef", mode), Err(TokenError::Unsafe(_))));
        }
    }

    #[test]
    fn a_device_and_a_fifo_are_refused_at_once_and_a_missing_file_cannot_be_read() {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let fifo = folder.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .expect("the folder is ours");
        for (path, what) in [(Path::new("/dev/zero"), "a device"), (&fifo, "a FIFO")] {
            let error = Token::read(path).expect_err(what);
            assert!(matches!(error, TokenError::Unsafe(_)), "{error}");
            assert!(error.to_string().contains(what), "{error}");
        }
        assert!(matches!(Token::read(Path::new("/nowhere")), Err(TokenError::Read(_))));
    }

    #[test]
    fn a_token_file_that_another_user_can_replace_is_refused_with_the_folder() {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let file = folder.path().join("token");
        fs::write(&file, "0123456789abcdef").expect("the folder is ours");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("the file is ours");
        assert!(Token::read(&file).is_ok());
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("the folder is ours");
        let error = Token::read(&file).expect_err("others can replace the file");
        assert!(matches!(error, TokenError::Unsafe(_)), "{error}");
        assert!(
            error.to_string().contains(&folder.path().display().to_string()),
            "{error}"
        );
    }

    #[test]
    fn a_token_file_that_is_longer_than_any_token_holds_no_token() {
        assert!(matches!(
            read(&"x".repeat(5000), 0o600),
            Err(TokenError::NoToken { .. })
        ));
    }
}
