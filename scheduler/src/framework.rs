//! The masters, how a framework subscribes with them, and why a scheduler stops.

use std::sync::Arc;

use mesos_http::endpoint::EndpointError;
use mesos_http::scheduler::{Config, Connection};
use mesos_http::tls::Tls;
use mesos_http::types::FrameworkInfo;
use thiserror::Error;

use crate::run::Rules;
use crate::store::StoreError;

/// The masters, and how a scheduler registers with them.
#[derive(Clone, Debug)]
pub struct Framework {
    /// The name that the master shows.
    pub name: String,
    /// The masters, `host:port[,host:port...]`.
    pub masters: String,
    /// The user of tasks that name none.
    pub user: String,
    /// Principal and secret, when the master wants them.
    pub credential: Option<(String, String)>,
    /// For masters whose address begins with `https://`; `None`: the authorities this host trusts.
    pub tls: Option<Tls>,
    /// How often and how long to try.
    pub rules: Rules,
}

/// Why a scheduler stopped before its job was over. Its tasks, if any, go on, and a scheduler with
/// the same state folder takes them over.
#[derive(Debug, Error)]
pub enum RunError {
    /// The state cannot be written.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// An address of a master is wrong.
    #[error("--master: {0}")]
    Address(#[from] EndpointError),
    /// The master wants a framework to authenticate, and this one does not, or not as it should.
    #[error("{}", credentials(url, principal.as_deref()))]
    Credentials {
        /// What was called.
        url: String,
        /// The principal whose secret was sent, if one was.
        principal: Option<String>,
    },
    /// The master refuses this framework for good.
    #[error("{cause}{}", remedy(cause))]
    Master {
        /// The master's words, or the connection's.
        cause: mesos_http::Error,
    },
}

impl RunError {
    /// Tells what is wrong with the credentials of the framework, when they are.
    pub fn about(self, framework: &Framework) -> Self {
        match self {
            Self::Master {
                cause: mesos_http::Error::Unauthenticated { url, .. },
            } => Self::Credentials {
                url,
                principal: framework.credential.as_ref().map(|(principal, _)| principal.clone()),
            },
            other => other,
        }
    }
}

/// Why there is no subscription, with what to look at when this lasts.
pub(crate) fn outage(error: &mesos_http::Error) -> String {
    use mesos_http::Error::{HostNotFound, NotListening, NotReady};
    match error {
        HostNotFound { .. } | NotListening { .. } => {
            format!("{error}; if this lasts, check --master and that a master runs there")
        }
        NotReady { status: 404, .. } => {
            format!("{error}; if this lasts, check that --master names masters, usually at port 5050, and no agents")
        }
        _ => error.to_string(),
    }
}

impl From<StoreError> for RunError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

fn credentials(url: &str, principal: Option<&str>) -> String {
    match principal {
        None => format!("the master at {url} requires frameworks to authenticate: give --principal and --secret-file"),
        Some(principal) => format!(
            "the master at {url} rejects the principal '{principal}': correct the secret in the file of --secret-file, or add the \
             principal to the file of the master's --credentials"
        ),
    }
}

fn remedy(error: &mesos_http::Error) -> &'static str {
    match error {
        mesos_http::Error::FrameworkRemoved(_) => {
            "; its tasks are being killed: once they are gone, run the job again with another --state folder"
        }
        mesos_http::Error::TakenOver(_) => "; this scheduler ends",
        _ => "",
    }
}

/// Subscribes, as the framework with this id or as a new one. With an id this takes the framework
/// over: the master ends the subscription of its former scheduler.
///
/// # Errors
/// The masters' addresses are none.
pub fn subscribe(framework: &Framework, id: Option<String>) -> Result<Connection, RunError> {
    let mut info = FrameworkInfo::new(framework.name.clone(), framework.user.clone())
        .with_id(id.map(Into::into))
        .with_roles([framework.rules.role.clone()]);
    info.principal = framework.credential.as_ref().map(|(principal, _)| principal.clone());
    let mut config = Config::new(&framework.masters, info)?;
    config.credential = framework.credential.clone();
    config.tls = framework.tls.clone();
    Ok(Connection::open(config))
}
