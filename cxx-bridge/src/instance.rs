//! What the library's modules in one agent share: the isolator, with its ledger, records, policy
//! and drivers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use cxx::UniquePtr;
use isolator::{Config, Isolator};

use crate::module::ModuleError;
use crate::{decode, ffi, guard, log};

/// One isolator, for all modules of the library in a process.
pub(crate) struct Instance {
    pub(crate) isolator: Arc<Isolator>,
    /// Whether Mesos made the isolator module, and so will have it recover.
    has_isolator: AtomicBool,
}

/// Names and values of parameters, in order.
type Parameters = Vec<(String, String)>;

/// The instance of this process as long as a module has it, with the parameters that it was made
/// with.
static SHARED: Mutex<Option<(Parameters, Weak<Instance>)>> = Mutex::new(None);

/// The instance of this process; the first module makes it, with its parameters (a `Parameters`
/// message), and sends its log to `log`.
///
/// # Errors
/// When a parameter is not accepted, when the parameters are not those of the other module, or when
/// the isolator does not start. The log is installed all the same, unless it is the `log_level`
/// that is wrong.
pub(crate) fn shared(parameters: &[u8], log: UniquePtr<ffi::Log>) -> Result<Arc<Instance>, ModuleError> {
    let create = || {
        let mut parameters =
            decode::parameters(parameters).map_err(|error| ModuleError::Parameters(guard::one_line(&error)))?;
        let mut sorted = parameters.clone();
        sorted.sort();
        let level = log::take_level(&mut parameters)?;
        log::install(level, log);
        // It is replaced as a whole.
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let known = shared
            .as_ref()
            .and_then(|(known, instance)| Some((known, instance.upgrade()?)));
        match known {
            Some((known, instance)) if *known == sorted => Ok(instance),
            Some((known, _)) => Err(ModuleError::Differs(difference(known, &sorted))),
            None => {
                let instance = Arc::new(Instance::new(&parameters)?);
                *shared = Some((sorted, Arc::downgrade(&instance)));
                Ok(instance)
            }
        }
    };
    guard::contain("create", create).unwrap_or_else(|panic| Err(ModuleError::Panic(panic)))
}

/// The first parameter that one of the modules has and the other has not.
fn difference(first: &Parameters, second: &Parameters) -> String {
    let only = |these: &Parameters, others: &Parameters| {
        let found = these.iter().find(|parameter| !others.contains(parameter)).cloned();
        found.map(|(key, value)| format!("'{key}' = '{value}'"))
    };
    match (only(first, second), only(second, first)) {
        (Some(first), Some(second)) => format!("the one has {first}, the other {second}"),
        (Some(one), None) | (None, Some(one)) => format!("only one has {one}"),
        (None, None) => "one is given twice".to_owned(),
    }
}

impl Instance {
    /// With the parameters of the modules file, `log_level` taken out.
    ///
    /// # Errors
    /// When a parameter is not accepted or the isolator does not start.
    pub(crate) fn new(parameters: &[(String, String)]) -> Result<Self, ModuleError> {
        let config = Config {
            principal_of: crate::checkpoint::principal,
            ..Config::from_parameters(parameters)?
        };
        Ok(Self {
            isolator: Arc::new(Isolator::start(config)?),
            has_isolator: AtomicBool::new(false),
        })
    }

    /// Mesos made the isolator module.
    pub(crate) fn has_isolator(&self) {
        self.has_isolator.store(true, Ordering::Relaxed);
    }

    /// The agent starts, and its containerizers are there. On an agent without Mesos containers
    /// nobody else says so.
    pub(crate) fn agent_starts(&self) {
        if !self.has_isolator.load(Ordering::Relaxed) {
            self.isolator.recover_without_isolator();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_of_two_sets_of_parameters_is_named() {
        let parameters = |all: &[(&str, &str)]| {
            let owned = all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            owned.collect::<Parameters>()
        };
        let (a, b) = (
            parameters(&[("policy", "/a"), ("x", "1")]),
            parameters(&[("policy", "/b"), ("x", "1")]),
        );
        assert_eq!(
            difference(&a, &b),
            "the one has 'policy' = '/a', the other 'policy' = '/b'"
        );
        assert_eq!(
            difference(&a, &parameters(&[("x", "1")])),
            "only one has 'policy' = '/a'"
        );
    }
}
