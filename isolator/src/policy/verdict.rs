//! What a policy says of one volume of one container.

use std::collections::BTreeMap;

use volume_labels::{Mode, MountFlags, cleaned, counted};

use super::file::{Effect, Limits, Policy, Rule};
use super::pattern::{Case, Patterns};
use super::size;
use crate::request::RequestedVolume;

/// What there is to know of a volume that a container asks for.
#[derive(Clone, Debug)]
pub(super) struct Facts<'a> {
    /// For messages.
    pub(super) requested: &'a RequestedVolume,
    pub(super) driver: &'a str,
    /// The spelling requested first, then the driver's, then every id that the operator ties to it.
    pub(super) names: Vec<&'a str>,
    pub(super) options: &'a BTreeMap<String, String>,
    pub(super) create: bool,
    /// The spelling requested first; an absolute path into the sandbox has its relative one as
    /// well.
    pub(super) paths: Vec<String>,
    pub(super) mode: Mode,
    pub(super) owner: Option<OwnerSpellings>,
    pub(super) user: &'a str,
    pub(super) role: &'a str,
    /// Known when a rule asks for it.
    pub(super) principal: Option<&'a str>,
    /// Volumes of the container.
    pub(super) count: usize,
}

/// The owner that a volume is given to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnerSpellings {
    /// As the label has it.
    pub(super) written: String,
    /// `uid:gid`, as this host knows them.
    pub(super) numbers: String,
    /// The name that this host has for the uid.
    pub(super) known: Option<String>,
}

/// Why a volume is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Denied {
    /// The rule that decided, or the part of the policy that did.
    pub(crate) by: String,
    /// One line for the framework.
    pub(crate) message: String,
}

/// What is left to check of a volume that is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Allowed {
    /// Who allows it.
    pub(super) by: String,
    pub(super) require_claim: bool,
    /// What its mount forbids.
    pub(super) forbidden: MountFlags,
}

impl Policy {
    /// # Errors
    /// When it is denied, or beyond a limit.
    pub(super) fn judge(&self, facts: &Facts<'_>) -> Result<Allowed, Denied> {
        for (index, rule) in self.rules.iter().enumerate() {
            let Some(matched) = rule.matched(facts) else { continue };
            let by = format!("rule {} '{}'", index + 1, rule.name);
            if rule.effect == Effect::Deny {
                return Err(facts.denied(
                    format!(
                        "{} is denied by {by} of {}; {}",
                        subject(&matched),
                        self.whose,
                        remedy(&matched)
                    ),
                    by,
                ));
            }
            self.within_limits(facts, &rule.limits, &by)?;
            let require_claim = rule.require_claim.unwrap_or(self.require_claim);
            let forbidden = rule.mount_flags.unwrap_or(self.mount_flags);
            return Ok(Allowed {
                by,
                require_claim,
                forbidden,
            });
        }
        let by = "the default".to_owned();
        if self.default == Effect::Deny {
            let problem = format!(
                "no rule of {} allows it ({}); ask the operator for a rule that does",
                self.whose,
                facts.described().join(", ")
            );
            return Err(facts.denied(problem, by));
        }
        self.within_limits(facts, &Limits::default(), &by)?;
        Ok(Allowed {
            by,
            require_claim: self.require_claim,
            forbidden: self.mount_flags,
        })
    }

    fn within_limits(&self, facts: &Facts<'_>, own: &Limits, by: &str) -> Result<(), Denied> {
        let all = &self.limits;
        let source = |own: bool| if own { by } else { "the limits" };
        let beyond = |name: &str, own: bool, limit: u128, problem: String| {
            let source = source(own);
            facts.denied(
                format!("{problem}; {source} of {}: '{name}' is {limit}", self.whose),
                format!("{name} of {source}"),
            )
        };
        if let Some(limit) = own.volumes.or(all.volumes)
            && facts.count > limit
        {
            let problem = format!("the container asks for {}", counted(facts.count, "volume"));
            return Err(beyond("volumes", own.volumes.is_some(), limit as u128, problem));
        }
        if let Some(limit) = own.options.or(all.options)
            && facts.options.len() > limit
        {
            let problem = format!("it has {}", counted(facts.options.len(), "driver option"));
            return Err(beyond("options", own.options.is_some(), limit as u128, problem));
        }
        for (key, value) in facts.options {
            let said = facts.requested.display_option(key, value);
            if let Some(limit) = own.value_bytes.or(all.value_bytes)
                && value.len() > limit
            {
                let problem = format!("{said} has {} bytes", value.len());
                return Err(beyond("value_bytes", own.value_bytes.is_some(), limit as u128, problem));
            }
            let Some(limit) = own.size_gib.or(all.size_gib) else {
                continue;
            };
            let is_size = match own.size_options.as_ref().or(all.size_options.as_ref()) {
                Some(keys) => keys.iter().any(|size| size.eq_ignore_ascii_case(key)),
                None => key.eq_ignore_ascii_case("size"),
            };
            if is_size {
                let problem = match size::bytes(value) {
                    Some(bytes) if !size::exceeds(bytes, limit) => continue,
                    Some(_) => format!("{said} is more than {limit} GiB"),
                    None => format!("{said} is no size, as '10' and '10GiB' are"),
                };
                return Err(beyond("size_gib", own.size_gib.is_some(), limit.into(), problem));
            }
        }
        Ok(())
    }
}

/// What a rule denies: the first condition, with the others in brackets.
fn subject(matched: &[String]) -> String {
    match matched {
        [one] => one.clone(),
        [first, others @ ..] => format!("{first} ({})", others.join(", ")),
        [] => String::new(),
    }
}

/// What the author of the labels can do about a rule that denies.
fn remedy(matched: &[String]) -> &'static str {
    if matched.iter().any(|condition| condition.starts_with("path '")) {
        "choose another path, or ask the operator for a policy that allows it"
    } else {
        "ask the operator for a policy that allows it"
    }
}

impl Rule {
    /// The conditions with the values that meet them; none when one is not met.
    fn matched(&self, facts: &Facts<'_>) -> Option<Vec<String>> {
        let case = match self.effect {
            Effect::Allow => Case::Exact,
            Effect::Deny => Case::Ignored,
        };
        let mut matched = Vec::new();
        let mut meets = |patterns: &Option<Patterns>, what: &str, values: &[&str]| {
            let Some(patterns) = patterns else { return Some(()) };
            let value = values.iter().find(|value| patterns.any(value, case))?;
            matched.push(format!("{what} '{}'", cleaned(value)));
            Some(())
        };
        meets(&self.drivers, "driver", &[facts.driver])?;
        meets(&self.volumes, "volume", &facts.names)?;
        let paths: Vec<&str> = facts.paths.iter().map(String::as_str).collect();
        meets(&self.paths, "path", &paths)?;
        meets(&self.users, "user", &[facts.user])?;
        meets(&self.roles, "role", &[facts.role])?;
        meets(&self.principals, "principal", facts.principal.as_slice())?;
        match (self.effect, &facts.owner) {
            (Effect::Allow, None) => {}
            (Effect::Deny, None) => meets(&self.owners, "owner", &[])?,
            // Two users of one number are one user. What is allowed to one name is not allowed to
            // the same user with another group.
            (Effect::Allow, Some(owner)) => meets(&self.owners, "owner", &[&owner.written, &owner.numbers])?,
            (
                Effect::Deny,
                Some(OwnerSpellings {
                    written,
                    numbers,
                    known,
                }),
            ) => {
                let known = known.as_deref().unwrap_or(written);
                meets(&self.owners, "owner", &[written, numbers, known])?;
            }
        }
        if let Some(patterns) = &self.options {
            matched.extend(self.matched_options(patterns, facts, case)?);
        }
        if let Some(create) = self.create {
            (create == facts.create).then_some(())?;
            matched.push(
                if create {
                    "creating the volume"
                } else {
                    "using a volume without creating it"
                }
                .to_owned(),
            );
        }
        if let Some(mode) = self.mode {
            (mode == facts.mode).then_some(())?;
            matched.push(format!("mode '{mode}'"));
        }
        if matched.is_empty() {
            matched.push("every volume".to_owned());
        }
        Some(matched)
    }

    fn matched_options(&self, patterns: &Patterns, facts: &Facts<'_>, case: Case) -> Option<Vec<String>> {
        let met = |(key, value): &(&String, &String)| {
            patterns.any(key, case) || patterns.any(&format!("{key}={value}"), case)
        };
        match self.effect {
            Effect::Allow => facts.options.iter().all(|option| met(&option)).then(Vec::new),
            Effect::Deny => {
                let (key, value) = facts.options.iter().find(met)?;
                Some(vec![format!("option '{}' = '{}'", cleaned(key), cleaned(value))])
            }
        }
    }
}

impl Facts<'_> {
    fn denied(&self, problem: String, by: String) -> Denied {
        Denied {
            by,
            message: format!("{}: {problem}", self.requested.display_origin()),
        }
    }

    /// Everything that a rule can be about, for the operator who has to write one.
    fn described(&self) -> Vec<String> {
        let mut described = vec![
            format!("driver '{}'", cleaned(self.driver)),
            format!("path '{}'", cleaned(&self.paths[0])),
            format!("mode '{}'", self.mode),
            format!("user '{}'", cleaned(self.user)),
            format!("role '{}'", cleaned(self.role)),
        ];
        let principal = self.principal.iter();
        described.extend(principal.map(|principal| format!("principal '{}'", cleaned(principal))));
        described.extend(self.create.then(|| "create".to_owned()));
        described.extend(
            self.owner
                .iter()
                .map(|owner| format!("owner '{}'", cleaned(&owner.written))),
        );
        let options = self.options.keys().map(|key| format!("option '{}'", cleaned(key)));
        described.extend(options);
        described
    }
}
