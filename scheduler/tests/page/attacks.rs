//! A real browser that opens a hostile page while its user is logged in.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::thread;

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::served::{JOB, Served, job_with_command, wait};

/// Whatever a script may try against `base`: reading jobs, giving one that runs a command, running it, by every way a
/// browser has. It hands over a list of what came of it.
fn tries(base: &str, job: &str) -> String {
    let (base, job) = (json!(base), json!(job));
    format!(
        "const tell = arguments[arguments.length - 1], base = {base}, job = {job}, seen = [];
         const ask = async (what, path, options) => {{
           try {{
             const answer = await fetch(base + path, options);
             seen.push([what, answer.status, await answer.text()]);
           }} catch (error) {{ seen.push([what, 0, String(error)]); }}
         }};
         (async () => {{
           await ask('read', '/v1/jobs', {{}});
           await ask('give', '/v1/jobs', {{method: 'POST', body: job}});
           await ask('give, unread', '/v1/jobs', {{method: 'POST', body: job, mode: 'no-cors'}});
           await ask('replace', '/v1/jobs/evil', {{method: 'PUT', body: job}});
           await ask('run', '/v1/jobs/plain/run', {{method: 'POST'}});
           await ask('run by the page', '/jobs/plain/run', {{method: 'POST', mode: 'no-cors'}});
           navigator.sendBeacon(base + '/v1/jobs', job);
           const frame = Object.assign(document.createElement('iframe'), {{name: 'hidden'}});
           document.body.append(frame);
           const form = Object.assign(document.createElement('form'),
             {{method: 'post', action: base + '/jobs/plain/run', target: 'hidden'}});
           document.body.append(form);
           form.submit();
           const image = await new Promise(done => {{
             const image = new Image();
             image.onload = () => done('loaded');
             image.onerror = () => done('refused');
             image.src = base + '/icon.svg';
           }});
           seen.push(['embed', image === 'loaded' ? 200 : 0, image]);
           setTimeout(() => tell(seen), 1500);
         }})();"
    )
}

/// What came of each try, where something came of it.
fn successes(seen: &Value) -> Vec<String> {
    let seen = seen.as_array().expect("it is a list").iter();
    let worked = seen.filter(|one| one[1].as_u64().is_some_and(|status| (200..400).contains(&status)));
    worked.map(ToString::to_string).collect()
}

fn nothing_has_happened(served: &Served) {
    let jobs: Value = serde_json::from_str(&served.get("/v1/jobs", &[]).body).expect("it is JSON");
    let jobs = jobs["jobs"].as_array().expect("it is a list");
    assert!(jobs.len() == 1 && jobs[0]["name"] == "plain", "{jobs:?}");
    assert_eq!(served.get("/v1/runs", &[]).body, r#"{"runs":[]}"#);
}

/// A hostile site: one empty page, on a port of its own.
fn foreign_site() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port left");
    let port = listener.local_addr().expect("it is bound").port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // A browser opens connections that it does not use.
            thread::spawn(move || {
                let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                let _ = lines.find(String::is_empty);
                let page = "<!doctype html><title>x</title><body>";
                let length = page.len();
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close";
                let _ = stream.write_all(format!("{head}\r\nContent-Length: {length}\r\n\r\n{page}").as_bytes());
            });
        }
    });
    port
}

fn rebinding_browser() -> Browser {
    Browser::start_with(&["--host-resolver-rules=MAP *.example 127.0.0.1".to_owned()])
}

/// The page of evil.example has been loaded, and now the name leads to the scheduler: to the browser both are one site.
#[test]
fn attack_a_browser_that_is_led_to_a_rebound_name_gives_no_job_and_reads_nothing() {
    let served = Served::start(&["--allow-commands"]);
    assert_eq!(served.post("/v1/jobs", &[], JOB).status, 201);
    let browser = rebinding_browser();
    let base = format!("http://evil.example:{}", served.port());
    browser.open(&format!("{base}/"));
    let page = browser.run("return document.documentElement.textContent");
    assert!(!page.to_string().contains("plain"), "the page is shown: {page}");
    let job = job_with_command("evil", "touch marker");
    let seen = browser.run_until_told(&tries(&base, &job));
    assert!(successes(&seen).is_empty(), "{:#?}", successes(&seen));
    nothing_has_happened(&served);
}

#[test]
fn attack_a_page_of_another_site_gives_no_job_and_reads_nothing() {
    let served = Served::start(&["--allow-commands"]);
    assert_eq!(served.post("/v1/jobs", &[], JOB).status, 201);
    let browser = rebinding_browser();
    let foreign = foreign_site();
    let job = job_with_command("evil", "touch marker");
    // Another site, and a page of another port of the same host, which shares its cookies.
    for site in ["evil.example", "localhost"] {
        browser.open(&format!("http://{site}:{foreign}/"));
        let seen = browser.run_until_told(&tries(&format!("http://localhost:{}", served.port()), &job));
        let worked: Vec<String> = successes(&seen);
        assert!(worked.is_empty(), "{site}: {worked:#?}");
        nothing_has_happened(&served);
    }
}

#[test]
fn a_person_logs_in_and_begins_a_run_without_javascript() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let file = folder.path().join("token");
    fs::write(&file, "a-token-of-the-tests-7d1e").expect("the folder is ours");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("the file is ours");
    let served = Served::start_in(folder, &["--token-file", "token"], &[]);
    let bearer = [("Authorization", "Bearer a-token-of-the-tests-7d1e")];
    assert_eq!(served.post("/v1/jobs", &bearer, JOB).status, 201);
    let browser = Browser::start();
    browser.javascript(false);
    browser.open(&format!("http://localhost:{}/jobs/plain", served.port()));
    browser.fill_in("#token", "a-token-of-the-tests-7d1e");
    browser.click("form button");
    wait("the jobs are shown", || browser.names("table tbody tr").len() == 1);
    browser.click("td.act button");
    wait("a run is begun", || {
        served.get("/v1/runs", &bearer).body.contains("plain.1")
    });
    let (said, _) = browser.logs();
    assert!(said.is_empty(), "the console says: {}", said.join("\n"));
}
