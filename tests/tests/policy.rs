//! The operator's policy on a real agent: what it denies is said in the task's status with the rule, and a changed file counts
//! for the next container.

use std::fs;
use std::path::Path;

use mesos_http::types::{FrameworkInfo, TaskState};
use testbed::{AgentSpec, Framework, Job};
use tests::{Site, Tasks, end, module_with_policy, module_without_policy};

/// An agent under the policy in a file that the test may replace.
fn site_under(file: &Path) -> Site {
    Site::with_agents(1, &AgentSpec::default().module(module_with_policy(file)))
}

fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).expect("the test's own file system works");
    fs::rename(new, file).expect("the test's own file system works");
}

#[test]
fn a_denied_volume_fails_the_task_with_the_rule_until_the_policy_changes() {
    const DENY: &str = r#"{"version": 1, "default": "allow", "rules": [
        {"name": "payroll is for people", "effect": "deny", "volumes": ["payroll-*"], "roles": ["*"]}]}"#;
    const ALLOW: &str = r#"{"version": 1, "default": "allow"}"#;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.json");
    fs::write(&file, DENY).unwrap();
    let site = site_under(&file);
    site.volume("payroll-1");
    let tasks = Tasks::connect(site.cluster());
    let job = || Job::shell("touch data/file").label("volume.data", "payroll-1");

    let message = tasks.fail(site.agent(0), job());
    assert_eq!(
        message,
        "Failed to launch container: label 'volume.data' = 'payroll-1': [denied] volume 'payroll-1' (role '*') is denied by rule 1 \
         'payroll is for people' of this agent's policy; ask the operator for a policy that allows it"
    );
    assert_eq!(site.mounts(), [], "a denied volume is not mounted");

    replace(&file, "{\n  \"version\": 1,\n  \"default\": \"perhaps\"\n}");
    let message = tasks.fail(site.agent(0), job());
    assert!(
        message.contains("rule 1"),
        "a broken file keeps the last good policy: {message}"
    );
    let log = site.agent(0).log();
    let complaint = log
        .lines()
        .find(|line| line.contains("policy.json") && line.contains("field 'default'"));
    assert!(complaint.is_some_and(|line| line.contains("line 3")), "{complaint:?}");

    replace(&file, ALLOW);
    tasks.finish(site.agent(0), job());
    site.wait_until_nothing_is_left();
}

#[test]
fn every_kind_of_rule_and_limit_refuses_and_names_itself() {
    const POLICY: &str = r#"{"version": 1, "default": "allow",
        "limits": {"volumes": 2, "options": 2, "value_bytes": 20, "size_gib": 100},
        "rules": [
            {"name": "driver", "effect": "deny", "drivers": ["other*"]},
            {"name": "name", "effect": "deny", "volumes": ["payroll-*"]},
            {"name": "option", "effect": "deny", "options": ["type=local"]},
            {"name": "create", "effect": "deny", "create": true, "volumes": ["made-*"]},
            {"name": "path", "effect": "deny", "paths": ["secret", "secret/*"]},
            {"name": "user", "effect": "deny", "users": ["nobody"]},
            {"name": "owner", "effect": "deny", "owners": ["0:*", "root"]},
            {"name": "mode", "effect": "deny", "mode": "rw", "volumes": ["archive-*"]},
            {"name": "claim", "effect": "allow", "volumes": ["claimed-*"], "require_claim": true}]}"#;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.json");
    fs::write(&file, POLICY).unwrap();
    let site = site_under(&file);
    let tasks = Tasks::connect(site.cluster());
    let job = |labels: &[(&str, &str)]| {
        let job = Job::shell("true").size(0.1, 32.0);
        labels
            .iter()
            .fold(job, |job, (key, value)| job.label(format!("volume.{key}"), *value))
    };
    let refused = [
        (
            job(&[("a", "v"), ("a.driver", "OTHER/x")]),
            vec!["rule 1 'driver'", "driver 'OTHER/x'"],
        ),
        (job(&[("a", "PayRoll-1")]), vec!["rule 2 'name'", "volume 'PayRoll-1'"]),
        (
            job(&[("a", "v"), ("a.create", "if-missing"), ("a.options.type", "local")]),
            vec!["rule 3 'option'", "option 'type' = 'local'"],
        ),
        (
            job(&[("a", "made-1"), ("a.create", "if-missing")]),
            vec!["rule 4 'create'", "create"],
        ),
        (
            job(&[("a", "v"), ("a.path", "secret/x")]),
            vec!["rule 5 'path'", "path 'secret/x'"],
        ),
        (
            job(&[("a", "v")]).user("nobody"),
            vec!["rule 6 'user'", "user 'nobody'"],
        ),
        (
            job(&[("a", "v"), ("a.owner", "0:100")]),
            vec!["rule 7 'owner'", "owner '0:100'"],
        ),
        (job(&[("a", "archive-1")]), vec!["rule 8 'mode'", "mode 'rw'"]),
        (job(&[("a", "claimed-1")]), vec!["rule 9 'claim'", "add 'claimed-1'"]),
        (
            job(&[("a", "u"), ("b", "v"), ("c", "w")]),
            vec!["the limits", "'volumes' is 2", "asks for 3 volumes"],
        ),
        (
            job(&[
                ("a", "v"),
                ("a.create", "if-missing"),
                ("a.options.x", "1"),
                ("a.options.y", "2"),
                ("a.options.z", "3"),
            ]),
            vec!["the limits", "'options' is 2"],
        ),
        (
            job(&[
                ("a", "v"),
                ("a.create", "if-missing"),
                ("a.options.x", "123456789012345678901"),
            ]),
            vec!["'value_bytes' is 20", "'volume.a.options.x'"],
        ),
        (
            job(&[("a", "v"), ("a.create", "if-missing"), ("a.options.size", "1T")]),
            vec!["'size_gib' is 100", "'volume.a.options.size' = '1T'"],
        ),
    ];
    for (job, words) in refused {
        let message = tasks.fail(site.agent(0), job);
        for word in words.iter().chain(&["label 'volume.a", "of this agent's policy"]) {
            assert!(message.contains(word), "'{word}' is not in: {message}");
        }
        assert!(!message.contains('\n'), "{message}");
    }
    let done = site.events().into_iter().filter(|event| event.volume.is_some());
    assert_eq!(done.count(), 0, "the driver has made and mounted nothing");
}

#[test]
fn what_no_rule_allows_is_refused_with_role_and_user() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.json");
    let policy = r#"{"version": 1, "default": "deny", "require_claim": true, "rules": [
        {"name": "etl only", "effect": "allow", "roles": ["etl"]},
        {"name": "anybody's data", "effect": "allow", "paths": ["data"]}]}"#;
    fs::write(&file, policy).unwrap();
    let site = site_under(&file);
    let tasks = Tasks::connect(site.cluster());
    let id = site.volume("v");
    let elsewhere = Job::shell("true").label("volume.logs", &id);
    let message = tasks.fail(site.agent(0), elsewhere);
    for words in [
        &format!("label 'volume.logs' = '{id}'"),
        "no rule",
        "path 'logs'",
        "role '*'",
        "driver 'ebs'",
    ] {
        assert!(message.contains(words), "'{words}' is not in: {message}");
    }
    let unclaimed = Job::shell("true").label("volume.data", &id);
    let message = tasks.fail(site.agent(0), unclaimed);
    for words in [&format!("add '{id}' to the task's resource"), "rule 2 'anybody's data'"] {
        assert!(message.contains(words), "'{words}' is not in: {message}");
    }
}

#[test]
fn a_framework_is_told_by_the_principal_in_the_agents_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.json");
    let policy = r#"{"version": 1, "default": "deny", "rules": [
        {"name": "ann's", "effect": "allow", "principals": ["ann"]}]}"#;
    fs::write(&file, policy).unwrap();
    let site = site_under(&file);
    let id = site.volume("v");
    let agent = site.agent(0).id().unwrap();
    let end_of = |principal: &str, checkpoint| {
        let info = FrameworkInfo {
            principal: Some(principal.to_owned()),
            checkpoint,
            ..FrameworkInfo::new("tests", "root")
        };
        let framework = Framework::subscribe_as(&site.cluster().master().address(), info).unwrap();
        let job = Job::shell("touch data/file")
            .label("volume.data", &id)
            .on(agent.as_str());
        end(&framework.launch(job))
    };
    assert_eq!(end_of("ann", true).state, TaskState::Finished);
    let refused = end_of("bob", true).message.unwrap_or_default();
    assert!(
        refused.contains("no rule") && refused.contains("principal 'bob'"),
        "{refused}"
    );
    let unknown = end_of("ann", false).message.unwrap_or_default();
    assert!(unknown.contains("principal ''"), "{unknown}");
    site.wait_until_nothing_is_left();
}

#[test]
fn without_a_policy_of_the_operator_what_exists_is_mounted_and_nothing_is_created() {
    let module = module_without_policy().parameter("dvdi_source", "true");
    let site = Site::with_agents(1, &AgentSpec::default().module(module));
    site.volume("there");
    let tasks = Tasks::connect(site.cluster());
    let job = |labels: &[(&str, &str)]| {
        let job = Job::shell("touch data/written").label("volume.data", "there");
        labels
            .iter()
            .fold(job, |job, (key, value)| job.label(format!("volume.data.{key}"), *value))
    };
    tasks.finish(site.agent(0), job(&[]));
    let uninvited = Job::shell("true").env("DVDI_VOLUME_NAME", "missing");
    for (job, rule) in [
        (
            job(&[("create", "if-missing"), ("options.type", "local")]),
            "rule 1 'nothing is created'",
        ),
        (job(&[("lifetime", "container")]), "rule 1 'nothing is created'"),
        (uninvited, "rule 1 'nothing is created'"),
        (job(&[("owner", "root")]), "rule 2 'root's volumes'"),
        (job(&[("path", "/etc")]), "rule 3 'system folders'"),
    ] {
        let message = tasks.fail(site.agent(0), job);
        assert!(
            message.contains(rule) && message.contains("built-in policy"),
            "{message}"
        );
    }
    site.wait_until_nothing_is_left();
    assert_eq!(site.volumes(), ["there"]);
}
