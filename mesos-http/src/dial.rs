//! How a connection comes about: TCP or a unix socket under ureq, TLS on top.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, ShutdownHandle, TcpConnector, Transport,
    TransportAdapter,
};

use crate::tls::{Tls, explained};

/// How to reach peers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dial {
    /// For `https://`; `None`: as this host does.
    pub(crate) tls: Option<Tls>,
    /// The unix socket to use instead of the address in the URL.
    pub(crate) socket: Option<PathBuf>,
}

impl Dial {
    pub(crate) fn agent(self, config: ureq::config::Config) -> ureq::Agent {
        let resolver = SocketResolver {
            is_unix: self.socket.is_some(),
            inner: DefaultResolver::default(),
        };
        let connector =
            ().chain(UnixConnector(self.socket))
                .chain(TcpConnector::default())
                .chain(TlsConnector(self.tls));
        ureq::Agent::with_parts(config, connector, resolver)
    }
}

/// Resolves host names, except where a unix socket stands for the host.
#[derive(Debug)]
struct SocketResolver {
    is_unix: bool,
    inner: DefaultResolver,
}

impl Resolver for SocketResolver {
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
        // The standard library reports a name without an address as an I/O error of no kind, which would look like a connection that
        // broke after something was sent.
        self.inner.resolve(uri, config, timeout).map_err(|error| match error {
            ureq::Error::Io(_) => ureq::Error::HostNotFound,
            other => other,
        })
    }
}

/// Opens the unix socket, if there is one; otherwise the next connector opens TCP.
#[derive(Debug)]
struct UnixConnector(Option<PathBuf>);

impl<In: Transport> Connector<In> for UnixConnector {
    type Out = Either<In, UnixTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Either<In, UnixTransport>>, ureq::Error> {
        let Some(path) = &self.0 else {
            return Ok(chained.map(Either::A));
        };
        let stream = Arc::new(Socket(UnixStream::connect(path)?));
        (details.register_shutdown)(Arc::downgrade(&stream) as Weak<dyn ShutdownHandle>)?;
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(Either::B(UnixTransport { stream, buffers })))
    }
}

#[derive(Debug)]
struct Socket(UnixStream);

impl ShutdownHandle for Socket {
    fn shutdown(&self) {
        // An error means that it is closed already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// A connection by a unix socket.
struct UnixTransport {
    /// Shared, weakly, with what ends the connection from another thread.
    stream: Arc<Socket>,
    buffers: LazyBuffers,
}

impl fmt::Debug for UnixTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stream.fmt(f)
    }
}

impl Transport for UnixTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let timeout = timeout.for_write();
        self.stream.0.set_write_timeout(timeout.not_zero().map(|left| *left))?;
        let mut stream = &self.stream.0;
        stream
            .write_all(&self.buffers.output()[..amount])
            .map_err(|error| timed_out(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let timeout = timeout.for_read();
        self.stream.0.set_read_timeout(timeout.not_zero().map(|left| *left))?;
        let mut stream = &self.stream.0;
        loop {
            match stream.read(self.buffers.input_append_buf()) {
                Ok(amount) => {
                    self.buffers.input_appended(amount);
                    return Ok(amount > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(timed_out(error, timeout)),
            }
        }
    }

    /// Nothing to read and no end of file: an idle connection that has either is of no use any more.
    fn is_open(&mut self) -> bool {
        let mut stream = &self.stream.0;
        let probed = stream.set_nonblocking(true).and_then(|()| stream.read(&mut [0]));
        let idle = matches!(probed, Err(ref error) if error.kind() == io::ErrorKind::WouldBlock);
        idle && stream.set_nonblocking(false).is_ok()
    }
}

/// A socket's timeout becomes ureq's, which names the phase.
fn timed_out(error: io::Error, timeout: NextTimeout) -> ureq::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ureq::Error::Timeout(timeout.reason),
        _ => error.into(),
    }
}

/// No TLS connection came about, so that nothing was asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct HandshakeFailed(pub(crate) String);

/// Completes the TLS handshake on the connection of the connectors before it, when the URL says `https`.
#[derive(Debug)]
struct TlsConnector(Option<Tls>);

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport<In>>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Either<In, TlsTransport<In>>>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let failed = |why: String| ureq::Error::Other(Box::new(HandshakeFailed(why)));
        let tls = match &self.0 {
            Some(tls) => tls.clone(),
            None => Tls::of_host().map_err(|error| failed(error.to_string()))?,
        };
        let host = details.uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let server = ServerName::try_from(host.to_owned())
            .map_err(|_| failed(format!("'{host}' is no name that a certificate can be for")))?;
        let mut connection = ClientConnection::new(tls.config(), server).map_err(|error| failed(explained(&error)))?;
        let mut socket = TransportAdapter::new(transport, details.current_time.clone());
        socket.set_timeout(details.timeout);
        while connection.is_handshaking() {
            connection.complete_io(&mut socket).map_err(|error| {
                let inner = error.get_ref();
                match inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                    Some(tls) => failed(explained(tls)),
                    None if inner.is_some_and(|inner| inner.is::<ureq::Error>()) => error.into(),
                    None => failed(format!("no TLS handshake came about: {error}")),
                }
            })?;
        }
        let config = details.config;
        Ok(Some(Either::B(TlsTransport {
            stream: StreamOwned::new(connection, socket),
            buffers: LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size()),
        })))
    }
}

/// A connection with TLS on it.
struct TlsTransport<T: Transport> {
    stream: StreamOwned<ClientConnection, TransportAdapter<T>>,
    buffers: LazyBuffers,
}

impl<T: Transport> TlsTransport<T> {
    /// What the peer said before it closed the connection that cannot be written to any more: with TLS 1.3 a client
    /// certificate is refused after the handshake, and the refusal may be here, unread.
    fn last_words(&mut self) -> Option<io::Error> {
        self.stream.conn.read_tls(&mut self.stream.sock).ok()?;
        let said = self.stream.conn.process_new_packets().err()?;
        Some(io::Error::new(io::ErrorKind::InvalidData, said))
    }
}

impl<T: Transport> fmt::Debug for TlsTransport<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsTransport({:?})", self.stream.sock.inner())
    }
}

impl<T: Transport> Transport for TlsTransport<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        let output = &self.buffers.output()[..amount];
        match self.stream.write_all(output).and_then(|()| self.stream.flush()) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.last_words().unwrap_or(error).into()),
        }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}
