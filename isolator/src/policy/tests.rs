use std::collections::BTreeSet;

use crate::request::{parse_request, resolve};
use crate::types::{ContainerId, Workload};

use super::*;

/// A container that asks for volumes, under a policy.
#[derive(Clone)]
struct RequestedVolume {
    labels: Vec<(&'static str, &'static str)>,
    launch: ContainerLaunch,
    held: &'static [&'static str],
}

fn requested(labels: &[(&'static str, &'static str)]) -> RequestedVolume {
    RequestedVolume {
        labels: labels.to_vec(),
        launch: ContainerLaunch::default(),
        held: &[],
    }
}

impl RequestedVolume {
    fn role(mut self, role: &str) -> Self {
        self.launch.workload = Workload {
            role: Some(role.to_owned()),
            ..Workload::default()
        };
        self
    }

    /// By a framework with this principal.
    fn checkpointed(mut self, principal: &str) -> Self {
        self.launch.workload.framework_info = Some(principal.into());
        self
    }

    fn user(mut self, user: &str) -> Self {
        self.launch.user = Some(user.to_owned());
        self
    }

    fn holding(mut self, held: &'static [&'static str]) -> Self {
        self.held = held;
        self
    }

    fn under(self, policy: &str) -> Result<(), Denied> {
        self.forbidden_under(policy).map(drop)
    }

    /// What the mounts of its volumes forbid.
    fn forbidden_under(self, policy: &str) -> Result<Vec<MountFlags>, Denied> {
        let policy = Policy::parse(policy).unwrap();
        let config = Config {
            default_driver: Some("ebs".into()),
            principal_of: |file| match file.display().to_string() {
                broken if broken == "broken" => Err(crate::config::PrincipalError {
                    file: file.to_owned(),
                    cause: "it is cut off".to_owned(),
                }),
                name => Ok(Some(name)),
            },
            ..Config::default()
        };
        let owned = |text: &&str| (*text).to_owned();
        let items: BTreeSet<String> = self.held.iter().map(owned).collect();
        let launch = ContainerLaunch {
            task_labels: self
                .labels
                .iter()
                .map(|(key, value)| (owned(key), owned(value)))
                .collect(),
            set_resources: vec![("ebsvolumes".to_owned(), items)],
            ..self.launch
        };
        let folder = tempfile::tempdir().unwrap();
        let map = folder.path().join("names.json");
        std::fs::write(&map, r#"{"vol-1": "payroll"}"#).unwrap();
        let names = NameMap::read(Some(&map)).unwrap();
        let volumes = parse_request(&ContainerId::root("c"), &launch, &config).unwrap();
        let mut resolved = resolve(&ContainerId::root("c"), volumes, &launch, &config, &names, "host").unwrap();
        check(&policy, &mut resolved, &launch, &config, &names)
    }
}

/// One rule, and what happens without it.
fn policy(default: &str, rule: &str) -> String {
    format!(r#"{{"version": 1, "default": "{default}", "rules": [{{"name": "the rule", {rule}}}]}}"#)
}

fn denies(rule: &str) -> String {
    policy("allow", &format!(r#""effect": "deny", {rule}"#))
}

fn allows(rule: &str) -> String {
    policy("deny", &format!(r#""effect": "allow", {rule}"#))
}

#[test]
fn each_condition_decides_by_itself() {
    let data = ("volume.data", "v");
    let with = |key, value| requested(&[data, (key, value)]);
    for (rule, meets, does_not) in [
        (
            r#""drivers": ["rex*"]"#,
            with("volume.data.driver", "rexray"),
            requested(&[data]),
        ),
        (
            r#""volumes": ["v"]"#,
            requested(&[data]),
            requested(&[("volume.data", "w")]),
        ),
        (
            r#""options": ["type=io*"]"#,
            with("volume.data.options.type", "io2"),
            with("volume.data.options.type", "gp3"),
        ),
        (
            r#""create": true"#,
            with("volume.data.create", "if-missing"),
            requested(&[data]),
        ),
        (
            r#""create": true"#,
            with("volume.data.lifetime", "container"),
            requested(&[data]),
        ),
        (
            r#""volumes": ["v"]"#,
            with("volume.data.lifetime", "container"),
            requested(&[("volume.data", "v-mev"), ("volume.data.lifetime", "container")]),
        ),
        (
            r#""paths": ["/srv/*"]"#,
            with("volume.data.path", "/srv/x"),
            requested(&[data]),
        ),
        (r#""mode": "ro""#, with("volume.data.mode", "ro"), requested(&[data])),
        (
            r#""owners": ["0:*"]"#,
            with("volume.data.owner", "0:0"),
            with("volume.data.owner", "10:0"),
        ),
        (
            r#""users": ["root", ""]"#,
            requested(&[data]),
            requested(&[data]).user("etl"),
        ),
        (
            r#""principals": ["ann"]"#,
            requested(&[data]).checkpointed("ann"),
            requested(&[data]).checkpointed("bob"),
        ),
        (
            r#""roles": ["etl/*"]"#,
            requested(&[data]).role("etl/a"),
            requested(&[data]).role("web"),
        ),
    ] {
        assert!(meets.clone().under(&allows(rule)).is_ok(), "{rule}");
        assert!(does_not.clone().under(&allows(rule)).is_err(), "{rule}");
        let denied = meets.under(&denies(rule)).unwrap_err();
        assert_eq!(denied.by, "rule 1 'the rule'");
        assert!(
            denied.message.starts_with("label 'volume.data' = 'v': ")
                && denied
                    .message
                    .contains(" is denied by rule 1 'the rule' of this agent's policy; "),
            "{}",
            denied.message
        );
        assert!(does_not.under(&denies(rule)).is_ok(), "{rule}");
    }
}

#[test]
fn a_denial_names_the_value_the_rule_and_the_remedy() {
    let message = |requested: RequestedVolume, policy: &str| requested.under(policy).unwrap_err().message;
    let data = ("volume.data", "v");
    assert_eq!(
        message(
            requested(&[data, ("volume.data.path", "/etc/passwd")]),
            &denies(r#""paths": ["/etc/*"]"#)
        ),
        "label 'volume.data' = 'v': path '/etc/passwd' is denied by rule 1 'the rule' of this agent's policy; choose another path, \
         or ask the operator for a policy that allows it"
    );
    assert_eq!(
        message(
            requested(&[data, ("volume.data.create", "if-missing")]).role("etl"),
            &denies(r#""roles": ["etl"], "create": true"#)
        ),
        "label 'volume.data' = 'v': role 'etl' (creating the volume) is denied by rule 1 'the rule' of this agent's policy; ask the \
         operator for a policy that allows it"
    );
}

#[test]
fn the_first_rule_that_matches_decides() {
    let rules = |first: &str, second: &str| {
        format!(
            r#"{{"version": 1, "default": "deny", "rules": [
                {{"name": "one", "effect": "{first}", "volumes": ["vol-*"]}},
                {{"name": "two", "effect": "{second}", "volumes": ["*"]}}]}}"#
        )
    };
    let volume = || requested(&[("volume.data", "vol-7")]);
    assert!(volume().under(&rules("allow", "deny")).is_ok());
    let denied = volume().under(&rules("deny", "allow")).unwrap_err();
    assert!(
        denied.message.contains("rule 1 'one'") && denied.message.contains("volume 'vol-7'"),
        "{denied:?}"
    );
    let other = requested(&[("volume.data", "x")]).under(&rules("allow", "deny"));
    assert!(other.unwrap_err().message.contains("rule 2 'two'"));
}

#[test]
fn without_a_rule_the_message_tells_what_a_rule_would_have_to_say() {
    let requested = requested(&[("volume.data", "v"), ("volume.data.options.size", "1")]);
    let message = requested
        .role("etl")
        .user("ann")
        .under(r#"{"version": 1, "default": "deny"}"#)
        .unwrap_err()
        .message;
    for words in [
        "label 'volume.data' = 'v'",
        "no rule",
        "driver 'ebs'",
        "role 'etl'",
        "user 'ann'",
        "option 'size'",
    ] {
        assert!(message.contains(words), "{words}: {message}");
    }
}

#[test]
fn a_volume_cannot_be_had_under_another_of_its_names() {
    for name in ["payroll", "vol-1", "PAYROLL"] {
        for pattern in ["payroll", "vol-1"] {
            let by_name_map = name != "PAYROLL" || pattern == "payroll";
            let denied = requested(&[("volume.data", name)]).under(&denies(&format!(r#""volumes": ["{pattern}"]"#)));
            assert_eq!(denied.is_err(), by_name_map, "{name} {pattern}");
        }
    }
    let shouted = requested(&[("volume.data", "PAYROLL")]).under(&allows(r#""volumes": ["payroll"]"#));
    assert!(shouted.is_err(), "what allows tells upper from lower case");
}

#[test]
fn a_path_into_the_sandbox_is_the_relative_one_too() {
    let absolute = requested(&[("volume.data", "v"), ("volume.data.path", "/mnt/mesos/sandbox/secret")]);
    assert!(absolute.under(&denies(r#""paths": ["secret"]"#)).is_err());
}

#[test]
fn a_principal_that_cannot_be_read_refuses_where_a_rule_is_about_principals() {
    let broken = || requested(&[("volume.data", "v")]).checkpointed("broken");
    let denied = broken().under(&denies(r#""principals": ["x"]"#)).unwrap_err();
    assert!(
        denied.message.contains("'volume.data' = 'v'") && denied.message.contains("cut off"),
        "{}",
        denied.message
    );
    assert!(broken().under(&denies(r#""roles": ["x"]"#)).is_ok());
    let unknown = requested(&[("volume.data", "v")])
        .under(&allows(r#""principals": ["ann"]"#))
        .unwrap_err();
    assert!(unknown.message.contains("principal ''"), "{}", unknown.message);
}

#[test]
fn every_option_of_an_allowed_volume_must_be_allowed() {
    let one = requested(&[("volume.data", "v"), ("volume.data.options.size", "1")]);
    assert!(one.under(&allows(r#""options": ["size"]"#)).is_ok());
    let two = requested(&[
        ("volume.data", "v"),
        ("volume.data.options.size", "1"),
        ("volume.data.options.snapshot", "snap-1"),
    ]);
    assert!(two.under(&allows(r#""options": ["size"]"#)).is_err());
}

#[test]
fn every_volume_of_a_container_is_judged() {
    let two = requested(&[("volume.a", "ok"), ("volume.b", "other")]);
    let denied = two.under(&allows(r#""volumes": ["ok"]"#)).unwrap_err();
    assert!(denied.message.contains("'volume.b' = 'other'"), "{}", denied.message);
}

#[test]
fn limits_name_the_label_the_value_and_where_they_stand() {
    let limited = |limits: &str| format!(r#"{{"version": 1, "default": "allow", "limits": {limits}}}"#);
    let sized = |size| requested(&[("volume.data", "v"), ("volume.data.options.Size", size)]);
    assert!(sized("100").under(&limited(r#"{"size_gib": 100}"#)).is_ok());
    for size in ["101", "1T", "huge"] {
        let denied = sized(size).under(&limited(r#"{"size_gib": 100}"#)).unwrap_err();
        let label = format!("'volume.data.options.Size' = '{size}'");
        assert!(
            denied.message.contains(&label) && denied.message.contains("'size_gib' is 100"),
            "{denied:?}"
        );
    }
    assert!(
        sized("101")
            .under(&limited(r#"{"size_gib": 100, "size_options": ["capacity"]}"#))
            .is_ok()
    );
    assert!(sized("1").under(&limited(r#"{"options": 0}"#)).is_err());
    assert!(sized("12345").under(&limited(r#"{"value_bytes": 4}"#)).is_err());
    let two = requested(&[("volume.a", "v"), ("volume.b", "w")]);
    let denied = two.under(&limited(r#"{"volumes": 1}"#)).unwrap_err();
    assert!(denied.message.contains("2 volumes"), "{}", denied.message);
}

#[test]
fn the_limit_of_a_rule_replaces_the_policys() {
    let policy = r#"{"version": 1, "default": "deny", "limits": {"size_gib": 1}, "rules": [
        {"name": "big", "effect": "allow", "limits": {"size_gib": 50}}]}"#;
    let sized = |size| requested(&[("volume.data", "v"), ("volume.data.options.size", size)]);
    assert!(sized("50").under(policy).is_ok());
    let denied = sized("51").under(policy).unwrap_err();
    assert!(denied.message.contains("rule 1 'big'"), "{}", denied.message);
}

#[test]
fn a_claim_is_demanded_where_the_policy_says_so() {
    let policy = r#"{"version": 1, "default": "deny", "require_claim": true, "rules": [
        {"name": "scratch", "effect": "allow", "volumes": ["scratch-*"], "require_claim": false},
        {"name": "rest", "effect": "allow"}]}"#;
    assert!(requested(&[("volume.data", "scratch-1")]).under(policy).is_ok());
    let denied = requested(&[("volume.data", "vol-7")]).under(policy).unwrap_err();
    assert!(
        denied.message.contains("add 'vol-7' to the task's resource"),
        "{}",
        denied.message
    );
    assert!(denied.message.contains("rule 2 'rest'"), "{}", denied.message);
    assert!(
        requested(&[("volume.data", "vol-7")])
            .holding(&["vol-7"])
            .under(policy)
            .is_ok()
    );
    assert!(
        requested(&[("volume.data", "payroll"), ("volume.data.claim", "vol-1")])
            .holding(&["vol-1"])
            .under(policy)
            .is_ok()
    );
}

#[test]
fn no_agent_starts_without_the_policy_it_is_told_to_keep() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.json");
    let start = || {
        let config = Config {
            state_dir: folder.path().join("state"),
            policy: Some(policy.clone()),
            ..Config::default()
        };
        crate::Isolator::start(config)
            .map(drop)
            .map_err(|error| error.to_string())
    };
    assert!(start().unwrap_err().contains("policy.json"));
    std::fs::write(&policy, "{}").unwrap();
    assert!(start().unwrap_err().contains("missing field `version`"));
    std::fs::write(&policy, r#"{"version": 1, "default": "deny"}"#).unwrap();
    assert_eq!(start(), Ok(()));
}

#[test]
fn the_policy_in_the_documentation_does_what_is_said_there() {
    let page = include_str!("../../../docs/policy.md");
    let (_, after) = page.split_once("## The file\n\n```json\n").unwrap();
    let (policy, _) = after.split_once("```").unwrap();
    let denied = requested(&[("volume.data", "payroll-1")]).under(policy).unwrap_err();
    let told = crate::error::Refusal::new(volume_driver_client::Code::Denied, denied.message).to_string();
    assert!(page.contains(&told), "{told}");
    let scratch = |kind| {
        requested(&[
            ("volume.data", "scratch-1"),
            ("volume.data.create", "if-missing"),
            ("volume.data.options.type", kind),
        ])
        .role("etl")
    };
    assert!(scratch("gp3").under(policy).is_ok());
    assert!(scratch("io2").under(policy).is_err());
    assert!(
        requested(&[("volume.data", "vol-7")])
            .holding(&["vol-7"])
            .under(policy)
            .is_ok()
    );
}

#[test]
fn the_example_lets_a_claimed_volume_in_and_nothing_else() {
    let example = include_str!("../../../docs/policy.example.json");
    let refused = |requested: RequestedVolume, words: &str| {
        let message = requested.under(example).unwrap_err().message;
        assert!(message.contains(words), "{words}: {message}");
    };
    let volume = |more: &[(&'static str, &'static str)]| {
        requested(&[&[("volume.data", "vol-7")], more].concat()).holding(&["vol-7"])
    };
    assert!(volume(&[]).under(example).is_ok());
    assert!(
        volume(&[("volume.data.mode", "ro"), ("volume.data.path", "/data/x")])
            .under(example)
            .is_ok()
    );
    refused(
        requested(&[("volume.data", "vol-7")]),
        "add 'vol-7' to the task's resource",
    );
    refused(volume(&[("volume.data.create", "if-missing")]), "'no creation'");
    refused(volume(&[("volume.data.options.size", "1")]), "no rule");
    refused(volume(&[("volume.data.driver", "local")]), "no rule");
    refused(volume(&[("volume.data.owner", "0:0")]), "'root's volumes'");
    for path in ["/etc", "/etc/cron.d", "/usr/bin", "/lib64", "/proc/self"] {
        refused(volume(&[("volume.data.path", path)]), "'system folders'");
    }
}

#[test]
fn the_documentation_shows_the_built_in_policy_word_for_word() {
    let page = include_str!("../../../docs/policy.md");
    assert!(page.contains(include_str!("builtin.json").trim()));
    assert_eq!(Policy::builtin().rules.len(), 3);
}

#[test]
fn an_owner_is_who_the_host_knows_by_its_numbers_whatever_the_label_calls_it() {
    let owner = |owner| requested(&[("volume.data", "v"), ("volume.data.owner", owner)]);
    for (rule, spelled) in [
        (r#""owners": ["0:*"]"#, "root"),
        (r#""owners": ["*:0"]"#, "root"),
        (r#""owners": ["root"]"#, "0:5"),
        (r#""owners": ["1:*"]"#, "daemon"),
        (r#""owners": ["daemon"]"#, "1:1000"),
    ] {
        let denied = owner(spelled).under(&denies(rule)).unwrap_err();
        assert!(
            denied.message.contains("owner '"),
            "{rule} {spelled}: {}",
            denied.message
        );
    }
    assert!(
        owner("daemon")
            .under(&denies(r#""owners": ["root", "0:*", "*:0"]"#))
            .is_ok()
    );
    assert!(owner("daemon").under(&allows(r#""owners": ["1:1"]"#)).is_ok());
    assert!(owner("daemon").under(&allows(r#""owners": ["daemon"]"#)).is_ok());
    assert!(
        owner("1:0").under(&allows(r#""owners": ["daemon"]"#)).is_err(),
        "the user's number with another group is not that user"
    );
}

#[test]
fn mounts_forbid_what_the_policy_says_and_what_the_label_adds() {
    let flags = |words: &[&str]| MountFlags::from_words(words.iter().copied()).unwrap();
    let plain = requested(&[("volume.data", "v")]);
    let tight = requested(&[("volume.data", "v"), ("volume.data.flags", "noexec")]);
    let file = |flags: &str| format!(r#"{{"version": 1, "default": "allow"{flags}}}"#);
    let forbidden = |requested: &RequestedVolume, policy: &str| requested.clone().forbidden_under(policy).unwrap();
    assert_eq!(forbidden(&plain, &file("")), [flags(&["nosuid", "nodev"])]);
    assert_eq!(forbidden(&tight, &file("")), [flags(&["nosuid", "nodev", "noexec"])]);
    assert_eq!(forbidden(&plain, &file(r#", "mount_flags": []"#)), [flags(&[])]);
    assert_eq!(
        forbidden(&tight, &file(r#", "mount_flags": ["nodev"]"#)),
        [flags(&["nodev", "noexec"])]
    );
    let rule = allows(r#""volumes": ["v"], "mount_flags": ["nosuid"]"#);
    assert_eq!(forbidden(&plain, &rule), [flags(&["nosuid"])]);
}

/// What becomes of a Docker volume under a policy: how it is created, and why it is not.
fn of_docker_volume(policy: &Policy) -> Result<(bool, Option<String>), Denied> {
    let launch = ContainerLaunch {
        docker_volumes: vec![crate::types::DockerVolume {
            driver: Some("ebs".to_owned()),
            name: "v".to_owned(),
            path: "data".to_owned(),
            ..crate::types::DockerVolume::default()
        }],
        ..ContainerLaunch::default()
    };
    let config = Config {
        docker_volume_source: true,
        ..Config::default()
    };
    let (id, names) = (ContainerId::root("c"), NameMap::default());
    let volumes = parse_request(&id, &launch, &config).unwrap();
    let mut resolved = resolve(&id, volumes, &launch, &config, &names, "host").unwrap();
    check(policy, &mut resolved, &launch, &config, &names)?;
    let spec = resolved.remove(0).spec;
    Ok((spec.create.is_some(), spec.creation_denied))
}

#[test]
fn where_creation_alone_is_denied_a_volume_of_another_source_is_used_if_it_exists() {
    let (creates, reason) = of_docker_volume(&Policy::builtin()).unwrap();
    assert!(!creates);
    let reason = reason.unwrap();
    assert!(
        reason.contains("rule 1 'nothing is created' of this agent's built-in policy")
            && reason.contains("denies that it is created"),
        "{reason}"
    );
    let open = Policy::parse(r#"{"version": 1, "default": "allow"}"#).unwrap();
    assert_eq!(of_docker_volume(&open).unwrap(), (true, None));
    let shut = Policy::parse(r#"{"version": 1, "default": "deny"}"#).unwrap();
    assert!(of_docker_volume(&shut).unwrap_err().message.contains("no rule of"));
    let rule = r#"{"name": "existing", "effect": "allow", "create": false}"#;
    let existing = Policy::parse(&format!(r#"{{"version": 1, "default": "deny", "rules": [{rule}]}}"#)).unwrap();
    assert!(!of_docker_volume(&existing).unwrap().0);
}
