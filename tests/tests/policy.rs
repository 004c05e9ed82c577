//! The operator's policy on a real agent: what it denies is said in the task's status with the rule, and a changed file counts
//! for the next container.

use std::fs;
use std::path::Path;

use mesos_http::types::{FrameworkInfo, TaskState};
use testbed::{AgentSpec, Framework, Job};
use tests::{Site, Tasks, end, module};

/// An agent under the policy in a file that the test may replace.
fn site_under(file: &Path) -> Site {
    let module = module().parameter("policy", file.display().to_string());
    Site::with_agents(1, &AgentSpec::default().module(module))
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
        "Failed to launch container: label 'volume.data' = 'payroll-1': rule 1 'payroll is for people' of this agent's policy \
         denies it (volume 'payroll-1', role '*')"
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
    for words in [&format!("does not hold '{id}'"), "rule 2 'anybody's data'"] {
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
