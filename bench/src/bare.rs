//! The same bytes over the same socket, without a client: what no caller of a driver can do without.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Result, ensure};

/// One exchange on a connection of its own.
pub(crate) fn once(socket: &Path, request: &[u8], answer: usize) -> Result<()> {
    exchange(&mut UnixStream::connect(socket)?, request, Some(answer)).map(drop)
}

/// Writes a request and reads the answer, whose length is returned; when it is known, nothing is parsed.
pub(crate) fn exchange(stream: &mut UnixStream, request: &[u8], known: Option<usize>) -> Result<usize> {
    stream.write_all(request)?;
    let mut buffer = [0; 4096];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..])?;
        ensure!(read > 0, "the driver closed the connection");
        filled += read;
        let length = known.or_else(|| length_of(&buffer[..filled]));
        if length.is_some_and(|length| filled >= length) {
            return Ok(filled);
        }
    }
}

/// The length of an answer whose head is complete.
fn length_of(answer: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(answer).ok()?;
    let head = text.find("\r\n\r\n")? + 4;
    let body: usize = text.split("Content-Length: ").nth(1)?.lines().next()?.parse().ok()?;
    Some(head + body)
}
