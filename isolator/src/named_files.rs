//! A check of the files that module parameters name and that the agent reads again when they
//! change.

use crate::config::Config;
use crate::names::NameMap;
use crate::policy::InForce;

impl Config {
    /// What is wrong with the policy and the name map as they are now, each in one line that names
    /// the file. Reads both as the agent will, and nothing else.
    pub fn file_problems(&self) -> Vec<String> {
        let policy = InForce::of(self.policy.as_deref()).err().map(|error| error.to_string());
        let names = NameMap::read(self.name_map.as_deref())
            .err()
            .map(|error| error.to_string());
        policy.into_iter().chain(names).collect()
    }
}
