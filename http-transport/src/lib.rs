//! HTTP requests over unix sockets, TCP and TLS.
//!
//! ureq speaks the protocol. This crate opens the connections, and keeps three rules that all of
//! its users need:
//!
//! * **A request is sent at most once.** Nothing is repeated, no redirect is followed, and every
//!   [`Failure`] states whether bytes of the request may have been sent.
//! * **A deadline covers everything.** Each operation of a socket gets the time that is left until
//!   the [`Limits`] of the request are reached, so a peer that sends one byte now and then gains
//!   no time.
//! * **TLS is verified**, by the authorities in a file or by those that this host trusts. The
//!   handshake is complete before the first byte of the request is sent.
//!
//! Requests do not go through the web proxy that the environment names, unless the [`Route`] says
//! so: masters, agents and volume drivers are not in the outside world.
#![forbid(unsafe_code)]

mod client;
mod connect;
mod connection;
mod failure;
mod progress;
mod request;
mod socket;
pub mod tls;
mod tls_connect;

pub use client::{Client, Reuse};
pub use connect::Route;
pub use connection::{Connection, Stopper};
pub use failure::{Cause, Failure};
pub use request::{CompleteResponse, Limits, Method, Request, Response};
