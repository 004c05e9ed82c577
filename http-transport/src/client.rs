//! Requests whose response is read as a whole, on connections that are kept between them.

use std::sync::{Arc, Mutex, PoisonError};

use crate::connect::Route;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::request::{CompleteResponse, Limits, Request};

/// Most idle connections that a client keeps.
const MAX_IDLE: usize = 2;

/// Whether a request may use an idle connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// A connection is opened for this request alone. For requests that change something: between
    /// the check that an idle connection is open and the write to it the peer may close it, and
    /// then nobody knows whether the request was carried out.
    Never,
    /// An idle connection is used if there is one.
    Idle,
}

/// Sends requests to the peer, or the peers, of one route. Clones share their idle connections.
#[derive(Debug, Clone)]
pub struct Client {
    route: Route,
    user_agent: &'static str,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Client {
    /// Opens no connection yet. Requests have `user_agent` in the header of this name.
    pub fn new(route: Route, user_agent: &'static str) -> Client {
        Client {
            route,
            user_agent,
            idle: Arc::default(),
        }
    }

    /// Sends the request, once, and reads the response, up to `max` bytes of body.
    ///
    /// # Errors
    /// [`Failure`] says whether the peer can have seen the request. A status other than 2xx is not
    /// an error here.
    pub fn call(
        &self,
        request: &Request<'_>,
        limits: &Limits,
        max: usize,
        reuse: Reuse,
    ) -> Result<CompleteResponse, Failure> {
        if reuse == Reuse::Never {
            return Connection::new(&self.route, self.user_agent)
                .send(request, limits)?
                .complete(max);
        }
        let idle = self.idle().pop();
        let mut connection = idle.unwrap_or_else(|| Connection::kept(&self.route, self.user_agent));
        let response = connection.send(request, limits)?.complete(max)?;
        let mut idle = self.idle();
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
        Ok(response)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        // A push or a pop that panics leaves the list as it was.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
