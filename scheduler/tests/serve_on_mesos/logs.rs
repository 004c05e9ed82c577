//! What a task wrote can be read on the page, over the API and from the command line.

use std::process::Command;

use crate::{Service, cluster};

const JOB: &str = r#"
version: 1
name: broken
tasks:
  fails: {command: 'echo the table is done; echo "no such column: <b>price</b>" >&2; exit 3'}
  later: {command: 'true', after: [fails]}
"#;

#[test]
fn the_log_of_a_failed_task_is_on_the_page_and_at_the_command_line() {
    let (cluster, folder) = cluster(1);
    let service = Service::start(&cluster, folder.path(), "one", &[]);
    let run = service.begin("broken", JOB);
    service.wait_for(&run, "failed");

    let (status, text) = service.get(&format!("/v1/runs/{run}/tasks/fails/stderr"));
    assert_eq!(status, 200, "{text}");
    let text = text.as_str().expect("it is text");
    assert!(text.contains("no such column: <b>price</b>\n"), "{text}");

    // The failure leads to it, and what a task writes is text, not a part of the page.
    let (_, page) = service.get(&format!("/runs/{run}"));
    let link = format!("/runs/{run}/tasks/fails");
    assert!(
        page.as_str()
            .is_some_and(|page| page.contains(&format!("href=\"{link}\""))),
        "{page}"
    );
    let (status, page) = service.get(&link);
    let page = page.as_str().unwrap_or_default();
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("no such column: &lt;b&gt;price&lt;/b&gt;"), "{page}");
    assert!(page.contains("the table is done"), "{page}");

    let mut command = Command::new(env!("CARGO_BIN_EXE_scheduler"));
    command.args(["run", "logs", &run, "fails", "--file", "stdout"]);
    let output = command
        .env("SCHEDULER_URL", format!("http://{}", service.address))
        .output();
    let output = output.expect("the scheduler starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("the table is done\n"));

    let (status, answer) = service.get(&format!("/v1/runs/{run}/tasks/later/stderr"));
    assert_eq!(status, 409, "{answer}");
    assert!(
        answer["error"]
            .as_str()
            .is_some_and(|error| error.contains("it was not launched yet")),
        "{answer}"
    );
    assert_eq!(service.get(&format!("/v1/runs/{run}/tasks/none/stderr")).0, 404);
    assert_eq!(service.get(&format!("/v1/runs/{run}/tasks/fails/passwd")).0, 404);
}
