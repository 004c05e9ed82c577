//! Connections: a unix or TCP socket under ureq, with a deadline on every step.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

/// Bytes of answer read at a time; also bounds what a header may occupy.
const BUFFER: usize = 32 * 1024;

/// Opens the driver's socket.
#[derive(Debug)]
pub(crate) struct Dial {
    /// The unix socket; none: TCP to the address that the resolver found.
    pub(crate) socket: Option<PathBuf>,
}

impl Connector<()> for Dial {
    type Out = SocketTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _chained: Option<()>,
    ) -> Result<Option<SocketTransport>, ureq::Error> {
        let limit = *details
            .timeout
            .not_zero()
            .unwrap_or(ureq::unversioned::transport::time::Duration::from_secs(60));
        let stream = match &self.socket {
            Some(path) => Stream::Unix(connect_unix(path, limit)?),
            None => Stream::Tcp(connect_tcp(details, limit)?),
        };
        Ok(Some(SocketTransport {
            stream,
            buffers: LazyBuffers::new(BUFFER, BUFFER),
        }))
    }
}

/// Connects to a unix socket within the limit.
///
/// A blocking connect waits without end once the listener's backlog is full, as it is when a driver hangs: Linux takes the
/// limit of that wait from the send timeout (`unix(7)`, SO_SNDTIMEO).
fn connect_unix(path: &Path, limit: Duration) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path)?;
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(limit))?;
    loop {
        match rustix::net::connect(&socket, &address) {
            Ok(()) => return Ok(UnixStream::from(socket)),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the driver accepts no connections: its queue of waiting callers is full",
                ));
            }
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Connects to the first address that answers, all within the limit.
fn connect_tcp(details: &ConnectionDetails<'_>, limit: Duration) -> io::Result<TcpStream> {
    let end = Instant::now() + limit;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
    for address in details.addrs.iter() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(address, left) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Notes that a connection, TLS included, was made: from here on bytes of a request may have been sent.
#[derive(Debug)]
pub(crate) struct NoteConnected(pub(crate) Arc<AtomicBool>);

impl<In: Transport> Connector<In> for NoteConnected {
    type Out = In;

    fn connect(
        &self,
        _details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<In>, ureq::Error> {
        self.0.store(true, Ordering::SeqCst);
        Ok(chained)
    }
}

/// Resolves host names, except for unix sockets, whose URL has a host for the header's sake only.
#[derive(Debug, Default)]
pub(crate) struct HostResolver {
    pub(crate) is_unix: bool,
    pub(crate) inner: DefaultResolver,
}

impl Resolver for HostResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        if self.is_unix {
            let mut unused = self.empty();
            unused.push(([127, 0, 0, 1], 0).into());
            return Ok(unused);
        }
        self.inner.resolve(uri, config, timeout)
    }
}

#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// One connected socket.
pub(crate) struct SocketTransport {
    stream: Stream,
    buffers: LazyBuffers,
}

impl fmt::Debug for SocketTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stream.fmt(f)
    }
}

impl Transport for SocketTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let end = deadline(timeout);
        let output = &self.buffers.output()[..amount];
        let mut written = 0;
        // The time left is set anew before every write: a peer that takes a byte now and then gains nothing by it.
        while written < amount {
            self.stream.set_write_timeout(left(end, timeout)?)?;
            match self.stream.write(&output[written..]) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(n) => written += n,
                Err(error) => retryable(error, timeout)?,
            }
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let end = deadline(timeout);
        loop {
            self.stream.set_read_timeout(left(end, timeout)?)?;
            match self.stream.read(self.buffers.input_append_buf()) {
                Ok(amount) => {
                    self.buffers.input_appended(amount);
                    return Ok(amount > 0);
                }
                Err(error) => retryable(error, timeout)?,
            }
        }
    }

    /// Nothing to read and no end of file: an idle connection that has either was left by the driver or is out of step.
    fn is_open(&mut self) -> bool {
        let mut byte = [0];
        let probed = self
            .stream
            .set_nonblocking(true)
            .and_then(|()| self.stream.read(&mut byte));
        let idle = matches!(probed, Err(ref error) if error.kind() == io::ErrorKind::WouldBlock);
        idle && self.stream.set_nonblocking(false).is_ok()
    }
}

fn deadline(timeout: NextTimeout) -> Option<Instant> {
    if timeout.after.is_not_happening() {
        None
    } else {
        Instant::now().checked_add(*timeout.after)
    }
}

fn left(end: Option<Instant>, timeout: NextTimeout) -> Result<Option<Duration>, ureq::Error> {
    match end.map(|end| end.saturating_duration_since(Instant::now())) {
        Some(left) if left.is_zero() => Err(ureq::Error::Timeout(timeout.reason)),
        left => Ok(left),
    }
}

/// Swallows an interruption; a socket timeout becomes ureq's.
fn retryable(error: io::Error, timeout: NextTimeout) -> Result<(), ureq::Error> {
    match error.kind() {
        io::ErrorKind::Interrupted => Ok(()),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            Err(ureq::Error::Timeout(timeout.reason))
        }
        _ => Err(error.into()),
    }
}

impl Stream {
    fn set_read_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        match self {
            Stream::Unix(stream) => stream.set_read_timeout(limit),
            Stream::Tcp(stream) => stream.set_read_timeout(limit),
        }
    }

    fn set_write_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        match self {
            Stream::Unix(stream) => stream.set_write_timeout(limit),
            Stream::Tcp(stream) => stream.set_write_timeout(limit),
        }
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        match self {
            Stream::Unix(stream) => stream.set_nonblocking(nonblocking),
            Stream::Tcp(stream) => stream.set_nonblocking(nonblocking),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.read(buffer),
            Stream::Tcp(stream) => stream.read(buffer),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.write(bytes),
            Stream::Tcp(stream) => stream.write(bytes),
        }
    }
}
