//! A connected socket with a deadline.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use ureq::unversioned::transport::ShutdownHandle;

/// A connected socket that gives up at `end`.
///
/// Every read and write gets the time that is left until `end`. A peer that sends or takes one byte
/// now and then therefore gains no time.
#[derive(Debug)]
pub(crate) struct Socket {
    /// Shared, weakly, with what ends the connection from another thread.
    stream: Arc<Stream>,
    /// `None`: no limit.
    pub(crate) end: Option<Instant>,
}

#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl ShutdownHandle for Stream {
    fn shutdown(&self) {
        // An error means that it is closed already.
        let _ = match self {
            Stream::Unix(stream) => stream.shutdown(Shutdown::Both),
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

impl Socket {
    /// Connects to a unix socket within the limit.
    ///
    /// A blocking connect waits without end once the listener's backlog is full, as it is when the
    /// peer hangs: Linux takes the limit of that wait from the send timeout (`unix(7)`,
    /// SO_SNDTIMEO).
    pub(crate) fn connect_unix(path: &Path, limit: Duration) -> io::Result<Socket> {
        let address = SocketAddrUnix::new(path)?;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(limit))?;
        loop {
            match rustix::net::connect(&socket, &address) {
                Ok(()) => return Ok(Socket::new(Stream::Unix(UnixStream::from(socket)))),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "it takes no connections: the queue of those that wait is full",
                    ));
                }
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Connects to the first address that takes the connection within the limit. Each address gets
    /// half of the time that is left, and the last one all of it.
    pub(crate) fn connect_tcp(addresses: &[SocketAddr], limit: Duration) -> io::Result<Socket> {
        let end = Instant::now() + limit;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
        for (index, address) in addresses.iter().enumerate() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let is_last = index + 1 == addresses.len();
            match TcpStream::connect_timeout(address, if is_last { left } else { left / 2 }) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(Socket::new(Stream::Tcp(stream)));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn new(stream: Stream) -> Socket {
        Socket {
            stream: Arc::new(stream),
            end: None,
        }
    }

    /// What ends the connection from another thread.
    pub(crate) fn shutdown_handle(&self) -> Weak<dyn ShutdownHandle> {
        Arc::downgrade(&self.stream) as Weak<dyn ShutdownHandle>
    }

    /// Whether there is neither something to read nor an end of file. The peer has closed an idle
    /// connection that has the one, and the other means that the response of an earlier request is
    /// still in it.
    pub(crate) fn is_idle(&mut self) -> bool {
        self.end = None;
        let probed = self.set_nonblocking(true).and_then(|()| self.read(&mut [0]));
        let is_idle = matches!(probed, Err(ref error) if error.kind() == io::ErrorKind::WouldBlock);
        is_idle && self.set_nonblocking(false).is_ok()
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        match &*self.stream {
            Stream::Unix(stream) => stream.set_nonblocking(nonblocking),
            Stream::Tcp(stream) => stream.set_nonblocking(nonblocking),
        }
    }

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
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left()?;
        match &*self.stream {
            Stream::Unix(stream) => stream.set_read_timeout(left).and_then(|()| (&*stream).read(buffer)),
            Stream::Tcp(stream) => stream.set_read_timeout(left).and_then(|()| (&*stream).read(buffer)),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.left()?;
        match &*self.stream {
            Stream::Unix(stream) => stream.set_write_timeout(left).and_then(|()| (&*stream).write(bytes)),
            Stream::Tcp(stream) => stream.set_write_timeout(left).and_then(|()| (&*stream).write(bytes)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
