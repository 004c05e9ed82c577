//! The policy file: its fields, as `docs/policy.schema.json` publishes them.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer};
use volume_labels::{Mode, MountFlags};

use super::pattern::Patterns;

/// The only version of this layout there is.
const VERSION: u32 = 1;

/// What the operator of an agent lets containers have. The first rule whose conditions all hold
/// decides about a volume; without one, `default` does.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    /// Where this schema is; for editors.
    #[serde(rename = "$schema", default)]
    _schema: Option<String>,
    /// The version of this layout.
    #[serde(deserialize_with = "version")]
    #[cfg_attr(test, schemars(extend("const" = 1)))]
    version: u32,
    /// What happens to a volume that no rule speaks of.
    pub(super) default: Effect,
    /// Whether a container must hold the ids of its volumes in the agent's SET resource; a rule may
    /// say otherwise.
    #[serde(default)]
    pub(super) require_claim: bool,
    /// What mounts of volumes forbid: `nosuid`, `nodev`, `noexec`. The first two when left out; a
    /// rule that allows may say otherwise.
    #[serde(default = "safe_flags")]
    #[cfg_attr(test, schemars(with = "Vec<String>", extend("items" = {"enum": ["nosuid", "nodev", "noexec"], "type": "string"})))]
    pub(super) mount_flags: MountFlags,
    /// Limits for every volume; a rule that allows may set its own.
    #[serde(default)]
    pub(super) limits: Limits,
    /// In the order in which they are tried.
    #[serde(default, deserialize_with = "rules")]
    pub(super) rules: Vec<Rule>,
    /// Whose it is, for messages.
    #[serde(skip, default = "operators")]
    pub(super) whose: &'static str,
}

/// What holds while the operator has written none.
const BUILTIN: &str = include_str!("builtin.json");

/// A program that root left on a volume does not run as root for others, and no device of the host
/// is reached through one.
fn safe_flags() -> MountFlags {
    MountFlags {
        nosuid: true,
        nodev: true,
        noexec: false,
    }
}

fn operators() -> &'static str {
    "this agent's policy"
}

/// Why a text is no policy. The cause has the line and the column.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ParseError {
    #[error("field '{field}': {cause}")]
    Field { field: String, cause: serde_json::Error },
    #[error("{0}")]
    File(serde_json::Error),
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(super) enum Effect {
    /// The container gets the volume, within the limits.
    Allow,
    /// The task fails.
    Deny,
}

/// One rule. A condition that is left out holds for anything. In patterns `*` stands for any text,
/// `?` for one character; a rule that allows tells upper from lower case, a rule that denies does
/// not.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    /// What messages call it.
    #[serde(deserialize_with = "name")]
    #[cfg_attr(test, schemars(length(min = 1, max = 200)))]
    pub(super) name: String,
    /// What it does.
    pub(super) effect: Effect,
    /// The volume's driver.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<Vec<String>>", length(min = 1)))]
    pub(super) drivers: Option<Patterns>,
    /// The volume's name: as the label spells it, as the driver does, or an id that the name map
    /// ties to it.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<Vec<String>>", length(min = 1)))]
    pub(super) volumes: Option<Patterns>,
    /// Driver options, as `key` or `key=value`. A rule that allows wants every option of the volume
    /// to match one of these, a rule that denies wants one of them to.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<Vec<String>>", length(min = 1)))]
    pub(super) options: Option<Patterns>,
    /// Whether the labels let the volume be created.
    #[serde(default)]
    pub(super) create: Option<bool>,
    /// The path in the container, as its label has it; relative ones are below the sandbox.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<Vec<String>>", length(min = 1)))]
    pub(super) paths: Option<Patterns>,
    /// `rw` or `ro`.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<String>", extend("enum" = ["rw", "ro", null])))]
    pub(super) mode: Option<Mode>,
    /// The owner that labels give the volume, `uid:gid` or a name. A volume whose labels name none
    /// matches a rule that allows and no rule that denies.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<Vec<String>>", length(min = 1)))]
    pub(super) owners: Option<Patterns>,
    /// The user that the container runs as; empty when Mesos does not say.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<Vec<String>>", length(min = 1)))]
    pub(super) users: Option<Patterns>,
    /// The role that the container's resources are allocated to; empty when Mesos does not say.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<Vec<String>>", length(min = 1)))]
    pub(super) roles: Option<Patterns>,
    /// The framework's principal; empty of a framework that does not checkpoint, or has none.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<Vec<String>>", length(min = 1)))]
    pub(super) principals: Option<Patterns>,
    /// Instead of the policy's own `require_claim`. Only in a rule that allows.
    #[serde(default)]
    pub(super) require_claim: Option<bool>,
    /// Instead of the policy's own `mount_flags`. Only in a rule that allows.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<Vec<String>>", extend("items" = {"enum": ["nosuid", "nodev", "noexec"], "type": "string"})))]
    pub(super) mount_flags: Option<MountFlags>,
    /// Instead of the policy's own limits, one by one. Only in a rule that allows.
    #[serde(default)]
    pub(super) limits: Limits,
}

/// Sizes and counts. A limit that is left out is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    /// Volumes of one container.
    #[serde(default)]
    pub(super) volumes: Option<usize>,
    /// Driver options of one volume.
    #[serde(default)]
    pub(super) options: Option<usize>,
    /// Bytes of one driver option's value.
    #[serde(default)]
    pub(super) value_bytes: Option<usize>,
    /// The size that a volume may be created with, in GiB.
    #[serde(default)]
    pub(super) size_gib: Option<u64>,
    /// The driver options that name a size; `size` when left out.
    #[serde(default)]
    pub(super) size_options: Option<BTreeSet<String>>,
}

fn version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        VERSION => Ok(VERSION),
        other => Err(serde::de::Error::custom(format!(
            "version {other} is not known to this module, which reads version {VERSION}"
        ))),
    }
}

fn rules<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Rule>, D::Error> {
    /// In a type of its own, so that an error names the rule.
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Checked(#[serde(deserialize_with = "rule")] Rule);

    let rules = Vec::<Checked>::deserialize(deserializer)?;
    Ok(rules.into_iter().map(|Checked(rule)| rule).collect())
}

fn rule<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Rule, D::Error> {
    let rule = Rule::deserialize(deserializer)?;
    let for_allowed = rule.require_claim.is_some() || rule.mount_flags.is_some() || rule.limits != Limits::default();
    if rule.effect == Effect::Deny && for_allowed {
        return Err(serde::de::Error::custom(
            "a rule that denies has no require_claim, mount_flags or limits: they are for what is allowed",
        ));
    }
    Ok(rule)
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    if name.is_empty() || name.chars().count() > 200 || name.chars().any(char::is_control) {
        return Err(serde::de::Error::custom(
            "a rule's name has 1 to 200 characters, none of them a control character",
        ));
    }
    Ok(name)
}

impl Policy {
    /// The policy of an agent whose operator has written none: what a label can do harm with on a
    /// cluster that strangers share is refused, and whatever exists may be used.
    ///
    /// # Panics
    /// Never: a test reads it.
    pub(crate) fn builtin() -> Policy {
        let policy = Policy::parse(BUILTIN).expect("the built-in policy is a policy");
        Policy {
            whose: "this agent's built-in policy",
            ..policy
        }
    }

    /// Whether any rule is about principals, which cost a look at a file.
    pub(super) fn asks_for_principal(&self) -> bool {
        self.rules.iter().any(|rule| rule.principals.is_some())
    }

    /// From the text of a file.
    ///
    /// # Errors
    /// When a field is wrong, or something follows the policy.
    pub(crate) fn parse(text: &str) -> Result<Self, ParseError> {
        let mut json = serde_json::Deserializer::from_str(text);
        let policy: Self = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let field = error.path().to_string();
            let cause = error.into_inner();
            // A fault of the file as a whole has no field.
            match field.as_str() {
                "." => ParseError::File(cause),
                _ => ParseError::Field { field, cause },
            }
        })?;
        json.end().map_err(ParseError::File)?;
        Ok(policy)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};

    use super::*;

    const PUBLISHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/policy.schema.json");

    fn whole() -> Value {
        json!({
            "version": 1,
            "default": "deny",
            "require_claim": true,
            "mount_flags": [],
            "limits": {"volumes": 8},
            "rules": [{
                "name": "etl",
                "effect": "allow",
                "drivers": ["ebs"],
                "volumes": ["vol-*"],
                "options": ["size"],
                "create": false,
                "paths": ["data"],
                "mode": "ro",
                "owners": ["1000:*"],
                "users": ["etl"],
                "roles": ["etl"],
                "principals": ["etl"],
                "require_claim": false,
                "mount_flags": ["noexec"],
                "limits": {"options": 1, "value_bytes": 64, "size_gib": 100, "size_options": ["size"]}
            }]
        })
    }

    #[test]
    fn an_error_names_the_field_the_line_and_what_is_accepted() {
        let text = "{\n  \"version\": 1,\n  \"default\": \"deny\",\n  \"rules\": [\n    {\"name\": \"a\", \"effect\": \"alow\"}\n  ]\n}";
        let problem = Policy::parse(text).unwrap_err().to_string();
        for words in ["rules[0].effect", "`alow`", "`allow`", "line 5"] {
            assert!(problem.contains(words), "{words}: {problem}");
        }
        assert!(!problem.contains('\n'), "{problem}");
    }

    #[test]
    fn what_the_file_does_not_have_is_refused_by_its_place() {
        for (place, value, named) in [
            ("/version", json!(2), "version 2"),
            ("/default", json!(null), "default"),
            ("/rules/0/name", json!(""), "1 to 200"),
            ("/rules/0/hosts", json!(["h"]), "hosts"),
            ("/rules/0/volumes", json!([]), "rules[0].volumes"),
            ("/rules/0/volumes", json!("vol-*"), "rules[0].volumes"),
            ("/rules/0/volumes/0", json!("a\nb"), "rules[0].volumes"),
            ("/rules/0/mode", json!("write"), "rules[0].mode"),
            ("/rules/0/mount_flags", json!(["suid"]), "rules[0].mount_flags"),
            ("/mount_flags", json!("nosuid"), "mount_flags"),
            ("/rules/0/limits/size_gib", json!(-1), "rules[0].limits.size_gib"),
            ("/rules/0/effect", json!("deny"), "field 'rules[0]'"),
            ("/limit", json!({}), "limit"),
        ] {
            let mut file = whole();
            match file.pointer_mut(place) {
                Some(found) => *found = value,
                None => {
                    let (object, field) = place.rsplit_once('/').unwrap();
                    file.pointer_mut(object).unwrap()[field] = value;
                }
            }
            let text = serde_json::to_string_pretty(&file).unwrap();
            let problem = Policy::parse(&text).unwrap_err().to_string();
            assert!(
                problem.contains(named) && problem.contains("line "),
                "{place}: {problem}"
            );
        }
    }

    #[test]
    fn a_second_value_or_a_torn_file_is_refused() {
        let whole = whole().to_string();
        assert!(Policy::parse(&whole).is_ok());
        let problem = Policy::parse(&format!("{whole} {{}}")).unwrap_err().to_string();
        assert!(problem.contains("line 1"), "{problem}");
        for length in 0..whole.len() {
            assert!(Policy::parse(&whole[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn the_published_schema_is_that_of_the_code() {
        let mut schema = serde_json::to_value(schemars::schema_for!(Policy)).unwrap();
        schema["$id"] = json!("policy.schema.json");
        schema["title"] = json!("Policy of an agent's external volumes");
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            fs::write(PUBLISHED, &text).unwrap();
        }
        assert_eq!(
            fs::read_to_string(PUBLISHED).unwrap_or_default(),
            text,
            "{PUBLISHED} is stale: UPDATE_SCHEMAS=1 cargo test -p isolator --lib schema"
        );
        let fields = |place: &str| -> Vec<String> {
            let object = schema.pointer(place).unwrap().as_object().unwrap();
            object.keys().cloned().collect()
        };
        let whole = whole();
        let rule = whole["rules"][0].as_object().unwrap();
        let mut used: Vec<String> = rule.keys().cloned().collect();
        used.sort();
        let mut published = fields("/$defs/Rule/properties");
        published.sort();
        assert_eq!(used, published, "every field of a rule is accepted");
    }
}
