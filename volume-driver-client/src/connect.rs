//! Connections for ureq: a unix or TCP socket, with TLS on top where it is configured, and a
//! deadline for every step.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use rustls::{ClientConnection, StreamOwned};
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport};

use crate::socket::{Kind, Socket};
use crate::tls::TlsClient;

/// Bytes of answer read at a time; also bounds what a header may occupy.
const BUFFER: usize = 32 * 1024;
/// Longest wait for a connection when the call has no deadline. All calls of this crate have one.
const NO_DEADLINE: Duration = Duration::from_secs(60);

/// Opens the driver's socket and, for `https://`, completes the TLS handshake on it.
#[derive(Debug, Clone)]
pub(crate) struct Dial {
    /// The unix socket; none: TCP to the address that the resolver found.
    pub(crate) socket: Option<PathBuf>,
    /// What to speak TLS with.
    pub(crate) tls: Option<TlsClient>,
}

impl Connector<()> for Dial {
    type Out = SocketTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _chained: Option<()>,
    ) -> Result<Option<SocketTransport>, ureq::Error> {
        Progress::set(Progress::Dialing);
        let limit = details.timeout.not_zero().map_or(NO_DEADLINE, |limit| *limit);
        let end = Instant::now() + limit;
        let kind = match &self.socket {
            Some(path) => Kind::Unix(connect_unix(path, limit)?),
            None => Kind::Tcp(connect_tcp(details, end)?),
        };
        let socket = Socket { kind, end: Some(end) };
        let stream = match &self.tls {
            None => Stream::Plain(socket),
            Some(tls) => Stream::Tls(Box::new(tls.handshake(socket)?)),
        };
        Progress::set(Progress::Connected);
        Ok(Some(SocketTransport {
            stream,
            buffers: LazyBuffers::new(BUFFER, BUFFER),
            unsent: Vec::new(),
        }))
    }
}

/// How far the call of this thread has come. ureq dials on the thread that makes the call, and a call does not leave its thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// No connection was opened for this call: it may use an idle one.
    Idle,
    /// Connecting, or failed to.
    Dialing,
    /// Connected, TLS included: bytes of the request may have been sent.
    Connected,
}

thread_local! {
    static PROGRESS: Cell<Progress> = const { Cell::new(Progress::Idle) };
}

impl Progress {
    fn set(progress: Progress) {
        PROGRESS.set(progress);
    }

    /// A new call begins.
    pub(crate) fn reset() {
        PROGRESS.set(Progress::Idle);
    }

    /// How far the call that was made last on this thread has come.
    pub(crate) fn get() -> Progress {
        PROGRESS.get()
    }
}

/// Connects to a unix socket within the limit.
///
/// A blocking connect waits without end once the listener's backlog is full, as it is when a driver hangs: Linux takes the
/// limit of that wait from the send timeout (`unix(7)`, SO_SNDTIMEO).
fn connect_unix(path: &Path, limit: Duration) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path)?;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
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

/// Connects to the first address that answers before `end`.
fn connect_tcp(details: &ConnectionDetails<'_>, end: Instant) -> io::Result<TcpStream> {
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
    Plain(Socket),
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

impl Stream {
    fn socket(&mut self) -> &mut Socket {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => &mut stream.sock,
        }
    }

    fn as_io(&mut self) -> &mut dyn ReadWrite {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => stream.as_mut(),
        }
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

/// One connection as ureq uses it.
pub(crate) struct SocketTransport {
    stream: Stream,
    buffers: LazyBuffers,
    /// What is sent before the next wait for an answer. ureq hands over a request's head and its
    /// body one after the other. If they were sent one by one, the driver would wake up twice.
    unsent: Vec<u8>,
}

impl fmt::Debug for SocketTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stream.fmt(f)
    }
}

impl SocketTransport {
    fn set_deadline(&mut self, timeout: NextTimeout) {
        self.stream.socket().end = if timeout.after.is_not_happening() {
            None
        } else {
            Instant::now().checked_add(*timeout.after)
        };
    }
}

impl SocketTransport {
    fn send(&mut self) -> io::Result<()> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let stream = self.stream.as_io();
        stream.write_all(&self.unsent).and_then(|()| stream.flush())?;
        self.unsent.clear();
        Ok(())
    }
}

impl Transport for SocketTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.unsent.extend_from_slice(&self.buffers.output()[..amount]);
        if self.unsent.len() < BUFFER {
            return Ok(());
        }
        self.set_deadline(timeout);
        self.send().map_err(|error| timed_out(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.set_deadline(timeout);
        self.send().map_err(|error| timed_out(error, timeout))?;
        loop {
            match self.stream.as_io().read(self.buffers.input_append_buf()) {
                Ok(amount) => {
                    self.buffers.input_appended(amount);
                    return Ok(amount > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(timed_out(error, timeout)),
            }
        }
    }

    /// Whether there is neither something to read nor an end of file. The driver has closed an idle
    /// connection that has the one, and the other means that an answer of an earlier call is still
    /// in it.
    fn is_open(&mut self) -> bool {
        let socket = self.stream.socket();
        socket.end = None;
        let probed = socket.set_nonblocking(true).and_then(|()| socket.read(&mut [0]));
        let idle = matches!(probed, Err(ref error) if error.kind() == io::ErrorKind::WouldBlock);
        idle && socket.set_nonblocking(false).is_ok()
    }

    fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }
}

/// A socket's timeout becomes ureq's, which names the phase.
fn timed_out(error: io::Error, timeout: NextTimeout) -> ureq::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ureq::Error::Timeout(timeout.reason),
        _ => error.into(),
    }
}
