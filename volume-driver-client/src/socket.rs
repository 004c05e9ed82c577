//! A connected socket with a deadline, which both plain connections and TLS read and write.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// A connected socket that gives up at `end`.
///
/// Every read and write gets the time that is left until `end`. A peer that sends or takes one byte
/// now and then therefore gains no time, even when TLS reads several times for one record.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) kind: Kind,
    /// `None`: no limit.
    pub(crate) end: Option<Instant>,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Socket {
    /// The time until `end`.
    ///
    /// # Errors
    /// `TimedOut` when none is left.
    fn left(&self) -> io::Result<Option<Duration>> {
        match self.end.map(|end| end.saturating_duration_since(Instant::now())) {
            Some(left) if left.is_zero() => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(left),
        }
    }

    pub(crate) fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        match &self.kind {
            Kind::Unix(stream) => stream.set_nonblocking(nonblocking),
            Kind::Tcp(stream) => stream.set_nonblocking(nonblocking),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left()?;
        match &mut self.kind {
            Kind::Unix(stream) => stream.set_read_timeout(left).and_then(|()| stream.read(buffer)),
            Kind::Tcp(stream) => stream.set_read_timeout(left).and_then(|()| stream.read(buffer)),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.left()?;
        match &mut self.kind {
            Kind::Unix(stream) => stream.set_write_timeout(left).and_then(|()| stream.write(bytes)),
            Kind::Tcp(stream) => stream.set_write_timeout(left).and_then(|()| stream.write(bytes)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
