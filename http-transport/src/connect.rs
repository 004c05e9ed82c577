//! How ureq gets its connections: which way leads to the peer, and the transport on a socket.

use std::io::{self, Read, Write};
use std::mem;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
};

use crate::progress::Progress;
use crate::socket::Socket;
use crate::tls::Tls;
use crate::tls_connect::TlsConnector;

/// Bytes of a response that are read at a time, and of a request that are sent at a time.
const BUFFER: usize = 32 * 1024;
/// Longest wait for a connection of a request that has no limits. [`crate::Limits`] always has one.
const NO_LIMIT: Duration = Duration::from_secs(60);

/// Which way leads to the peer.
#[derive(Debug, Clone, Default)]
pub struct Route {
    /// The unix socket to use instead of the host and port in the URL.
    pub socket: Option<PathBuf>,
    /// What to speak TLS with when the URL says `https`. `None`: the authorities that this host
    /// trusts are believed, and no certificate is shown.
    pub tls: Option<Tls>,
    /// Whether requests go through the web proxy that the environment names (`HTTPS_PROXY` and its
    /// relatives), for peers that may be in the outside world.
    pub through_proxy: bool,
}

impl Route {
    pub(crate) fn agent(&self, config: Config, progress: Progress) -> ureq::Agent {
        let resolver = HostResolver {
            is_unix: self.socket.is_some(),
            inner: DefaultResolver::default(),
        };
        let socket = SocketConnector {
            path: self.socket.clone(),
            progress: progress.clone(),
        };
        let connector =
            ().chain(ConnectProxyConnector::default())
                .chain(socket)
                .chain(TlsConnector(self.tls.clone()))
                .chain(ProgressConnector(progress));
        ureq::Agent::with_parts(config, connector, resolver)
    }
}

/// Resolves host names, except where a unix socket stands for the host.
#[derive(Debug)]
struct HostResolver {
    is_unix: bool,
    inner: DefaultResolver,
}

impl Resolver for HostResolver {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        if self.is_unix {
            let mut unused = self.empty();
            unused.push(([127, 0, 0, 1], 0).into());
            return Ok(unused);
        }
        // The standard library reports a name without an address as an I/O error of no kind.
        self.inner.resolve(uri, config, timeout).map_err(|error| match error {
            ureq::Error::Io(_) => ureq::Error::HostNotFound,
            other => other,
        })
    }
}

/// Opens the unix socket or a TCP connection, unless there is a connection through a proxy.
#[derive(Debug)]
struct SocketConnector {
    path: Option<PathBuf>,
    progress: Progress,
}

impl<In: Transport> Connector<In> for SocketConnector {
    type Out = Either<In, SocketTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Either<In, SocketTransport>>, ureq::Error> {
        if let Some(chained) = chained {
            return Ok(Some(Either::A(chained)));
        }
        self.progress.dialed();
        let limit = details.timeout.not_zero().map_or(NO_LIMIT, |limit| *limit);
        let socket = match &self.path {
            Some(path) => Socket::connect_unix(path, limit),
            None => Socket::connect_tcp(&details.addrs, limit),
        };
        let socket = socket.map_err(|error| timed_out(error, details.timeout))?;
        (details.register_shutdown)(socket.shutdown_handle())?;
        Ok(Some(Either::B(SocketTransport {
            socket,
            buffers: LazyBuffers::new(BUFFER, BUFFER),
            unsent: Vec::new(),
        })))
    }
}

/// A connection without TLS, or below TLS.
#[derive(Debug)]
struct SocketTransport {
    socket: Socket,
    buffers: LazyBuffers,
    /// What is sent before the next wait for a response. ureq hands over a request's head and its
    /// body one after the other. If they were sent one by one, the peer would wake up twice.
    unsent: Vec<u8>,
}

impl SocketTransport {
    fn send(&mut self, timeout: NextTimeout) -> Result<(), ureq::Error> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let timeout = timeout.for_write();
        self.socket.end = end(timeout);
        // What could not be sent is forgotten: a later read then finds what the peer has said
        // before it closed the connection.
        let unsent = mem::take(&mut self.unsent);
        self.socket
            .write_all(&unsent)
            .map_err(|error| timed_out(error, timeout))
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
        self.send(timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.send(timeout)?;
        let timeout = timeout.for_read();
        self.socket.end = end(timeout);
        loop {
            match self.socket.read(self.buffers.input_append_buf()) {
                Ok(amount) => {
                    self.buffers.input_appended(amount);
                    return Ok(amount > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(timed_out(error, timeout)),
            }
        }
    }

    fn is_open(&mut self) -> bool {
        self.socket.is_idle()
    }
}

/// When the limit is reached; `None`: never.
fn end(timeout: NextTimeout) -> Option<Instant> {
    if timeout.after.is_not_happening() {
        None
    } else {
        Instant::now().checked_add(*timeout.after)
    }
}

/// A socket's timeout becomes ureq's, which names the limit that was reached.
fn timed_out(error: io::Error, timeout: NextTimeout) -> ureq::Error {
    match error.kind() {
        // The words say more than the limit.
        io::ErrorKind::TimedOut if error.get_ref().is_some() => error.into(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ureq::Error::Timeout(timeout.reason),
        _ => error.into(),
    }
}

/// Notes when bytes of a request are about to be sent. The last connector of the chain: what is
/// written below it, such as the TLS handshake, is no part of the request.
#[derive(Debug)]
struct ProgressConnector(Progress);

impl<In: Transport> Connector<In> for ProgressConnector {
    type Out = ProgressTransport<In>;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<ProgressTransport<In>>, ureq::Error> {
        Ok(chained.map(|inner| ProgressTransport {
            inner,
            progress: self.0.clone(),
        }))
    }
}

#[derive(Debug)]
struct ProgressTransport<T> {
    inner: T,
    progress: Progress,
}

impl<T: Transport> Transport for ProgressTransport<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.progress.sent();
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}
