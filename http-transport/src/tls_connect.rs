//! TLS on a connection.

use std::fmt;
use std::io::{self, Read, Write};

use rustls::{ClientConnection, StreamOwned};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

use crate::failure::HandshakeFailed;
use crate::tls::{Tls, explained, server_name};

/// Completes the TLS handshake on the connection of the connectors before it, when the URL says
/// `https`. So a server that is refused, or refuses, got nothing of the request.
#[derive(Debug)]
pub(crate) struct TlsConnector(pub(crate) Option<Tls>);

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
        let failed = |reason: String| ureq::Error::Other(Box::new(HandshakeFailed(reason)));
        let tls = match &self.0 {
            Some(tls) => tls.clone(),
            None => Tls::of_host().map_err(|error| failed(error.to_string()))?,
        };
        let host = details.uri.host().unwrap_or_default();
        let server = server_name(host).map_err(|error| failed(error.to_string()))?;
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
pub(crate) struct TlsTransport<T: Transport> {
    stream: StreamOwned<ClientConnection, TransportAdapter<T>>,
    buffers: LazyBuffers,
}

impl<T: Transport> TlsTransport<T> {
    /// When the connection cannot be written to any more: what the peer said before it closed it.
    /// With TLS 1.3 a client certificate is refused after the handshake, and the refusal may be
    /// here, unread.
    fn refusal_or(&mut self, error: io::Error) -> io::Error {
        let is_closed = matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset);
        if !is_closed || self.stream.conn.read_tls(&mut self.stream.sock).is_err() {
            return error;
        }
        match self.stream.conn.process_new_packets() {
            Ok(_) => error,
            Err(refusal) => io::Error::new(io::ErrorKind::InvalidData, refusal),
        }
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
            Err(error) => Err(self.refusal_or(error).into()),
        }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        match self.stream.read(self.buffers.input_append_buf()) {
            Ok(amount) => {
                self.buffers.input_appended(amount);
                Ok(amount > 0)
            }
            Err(error) => Err(self.refusal_or(error).into()),
        }
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}
