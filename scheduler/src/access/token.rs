//! The token that programs send and people give in the form at `/login`.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

/// The shortest token, in characters: what `openssl rand -base64 16` prints is longer.
const SHORTEST: usize = 16;
/// The largest file, in bytes.
const MAX_FILE: u64 = 4096;

/// Why a file holds no token.
#[derive(Debug, Error)]
pub enum TokenError {
    /// It cannot be read.
    #[error("cannot read the token file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// It is not a file that only its owner and a group can read.
    #[error("the token file {} {why}", path.display())]
    Unsafe {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// What it holds is no token.
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
    /// Reads a file with one token. Other users must not be able to read it.
    ///
    /// # Errors
    /// The file cannot be read, can be read by everybody, or holds no token.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let own = || path.to_owned();
        let failed = |source| TokenError::Read { path: own(), source };
        let refused = |why| TokenError::Unsafe { path: own(), why };
        // A FIFO in its place must not hold the start.
        let nonblocking = OFlags::NONBLOCK.bits() as i32;
        let file = File::options()
            .read(true)
            .custom_flags(nonblocking)
            .open(path)
            .map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(refused("is no regular file"));
        }
        if metadata.mode() & 0o007 != 0 {
            return Err(refused(
                "can be used by every user of this host; chmod 600 makes it its owner's",
            ));
        }
        let mut text = String::new();
        file.take(MAX_FILE).read_to_string(&mut text).map_err(failed)?;
        let token = text.trim_end_matches(['\r', '\n']);
        let is_token = token.len() >= SHORTEST && token.bytes().all(|byte| byte.is_ascii_graphic());
        match is_token {
            true => Ok(Self::new(token)),
            false => Err(TokenError::NoToken { path: own() }),
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
        fs::write(&file, text).expect("it is ours");
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("it is ours");
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
            assert!(matches!(read("0123456789abcdef", mode), Err(TokenError::Unsafe { .. })));
        }
    }

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let error = Token::read(Path::new("/dev/zero")).expect_err("it is a device");
        assert!(error.to_string().contains("is no regular file"), "{error}");
        assert!(matches!(
            Token::read(Path::new("/nowhere")),
            Err(TokenError::Read { .. })
        ));
    }
}
