//! Attacks on the API and the page of `scheduler serve`, and that its ordinary use goes on.

mod served;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use served::{JOB, LIMIT, Served, job_with_command, read, wait};

const TOKEN: &str = "a-token-of-the-tests-7d1e";

/// Requests for everything that is served, one of each kind.
const ASKED: [&str; 16] = [
    "GET /v1/jobs",
    "POST /v1/jobs",
    "GET /v1/jobs/plain",
    "PUT /v1/jobs/plain",
    "DELETE /v1/jobs/plain",
    "POST /v1/jobs/plain/run",
    "POST /v1/jobs/plain/pause",
    "POST /v1/jobs/plain/resume",
    "POST /v1/tasks/plain.1.a.1/declare-dead",
    "GET /v1/runs",
    "POST /v1/runs/plain.1/cancel",
    "GET /v1/claims",
    "GET /metrics",
    "GET /openapi.json",
    "GET /",
    "POST /jobs/plain/run",
];

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

fn with_token() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let file = folder.path().join("token");
    fs::write(&file, format!("{TOKEN}\n")).expect("the folder is ours");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("the file is ours");
    (folder, file.to_string_lossy().into_owned())
}

fn jobs(served: &Served) -> String {
    served.get("/v1/jobs", &[]).body
}

#[test]
fn attack_a_rebound_host_name_neither_reads_nor_changes_anything() {
    let served = Served::start(&[]);
    let rebound = format!("evil.example:{}", served.port());
    let origin = format!("http://{rebound}");
    let as_browsers_send = [
        ("Host", rebound.as_str()),
        ("Origin", origin.as_str()),
        ("Sec-Fetch-Site", "same-origin"),
    ];
    for request in ASKED
        .iter()
        .chain(&["GET /health", "GET /login", "GET /style.css", "GET /nothing"])
    {
        let answer = served.ask(request, &as_browsers_send, JOB);
        assert_eq!(answer.status, 421, "{request}: {answer:?}");
        assert!(
            answer.body.contains("evil.example") && !answer.body.contains('\n'),
            "{answer:?}"
        );
        let without_browser = served.ask(request, &as_browsers_send[..1], JOB);
        assert_eq!(without_browser.status, 421, "{request}");
    }
    // The name hides behind another one.
    let twice = [("Host", served.address.as_str()), ("Host", rebound.as_str())];
    assert_eq!(served.get("/v1/jobs", &twice).status, 400);
    let in_line = format!("GET http://{rebound}/v1/jobs");
    assert_eq!(served.ask(&in_line, &[], "").status, 421);
    assert_eq!(jobs(&served), r#"{"jobs":[]}"#);
}

#[test]
fn attack_a_page_of_another_site_changes_nothing() {
    let served = Served::start(&[]);
    let own = format!("http://{}", served.address);
    let same_port = format!("http://localhost.evil.example:{}", served.port());
    for headers in [
        &[("Origin", "http://evil.example")][..],
        &[("Origin", "null")],
        &[("Origin", same_port.as_str())],
        &[("Origin", own.as_str()), ("Sec-Fetch-Site", "cross-site")],
        &[("Sec-Fetch-Site", "same-site")],
        &[("Referer", "http://evil.example/")],
    ] {
        for request in ASKED.iter().filter(|request| !request.starts_with("GET")) {
            let answer = served.ask(request, headers, JOB);
            assert_eq!(answer.status, 403, "{request} {headers:?}: {answer:?}");
        }
    }
    let embedded = [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Mode", "no-cors"),
        ("Sec-Fetch-Dest", "image"),
    ];
    assert_eq!(served.get("/v1/runs/plain.1", &embedded).status, 403);
    assert_eq!(jobs(&served), r#"{"jobs":[]}"#);
}

#[test]
fn operators_go_on_with_curl_with_forms_and_by_links() {
    let served = Served::start(&[
        "--allow-host",
        "Scheduler.example.org",
        "--advertise",
        "jobs.example.org:80",
    ]);
    assert_eq!(served.post("/v1/jobs", &[], JOB).status, 201);
    let own = format!("localhost:{}", served.port());
    let origin = format!("http://{own}");
    let form = [
        ("Host", own.as_str()),
        ("Origin", origin.as_str()),
        ("Sec-Fetch-Site", "same-origin"),
    ];
    assert_eq!(served.post("/jobs/plain/run", &form, "").status, 303);
    let link = [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Dest", "document"),
    ];
    assert_eq!(served.get("/jobs/plain", &link).status, 200);
    // A tunnel on another port, a proxy with a name of its own.
    for host in [
        "localhost:9999",
        "[::1]:9999",
        "scheduler.example.org",
        "jobs.example.org",
    ] {
        let page = served.get("/", &[("Host", host)]);
        assert_eq!(page.status, 200, "{host}: {page:?}");
        assert!(page.head.contains("nosniff"), "{page:?}");
    }
}

#[test]
fn attack_a_job_with_a_command_is_refused_unless_commands_are_allowed() {
    let served = Served::start(&[]);
    let marker = served.path("marker");
    let job = job_with_command("evil", &format!("touch {}", marker.display()));
    for (request, expected) in [("POST /v1/jobs", 422), ("PUT /v1/jobs/evil", 422)] {
        let answer = served.ask(request, &[], &job);
        assert_eq!(answer.status, expected, "{answer:?}");
        assert!(
            answer.body.contains("--allow-commands") && !answer.body.contains("\\n"),
            "{answer:?}"
        );
    }
    assert_eq!(jobs(&served), r#"{"jobs":[]}"#);
}

/// The operator has taken back what was allowed while the job was given.
#[test]
fn attack_a_job_of_before_runs_no_command_once_commands_are_not_allowed_any_more() {
    let first = Served::start(&["--allow-commands"]);
    let marker = first.path("marker");
    fs::set_permissions(first.folder.path(), fs::Permissions::from_mode(0o777)).expect("the folder is ours");
    let job = job_with_command("evil", &format!("touch {}", marker.display()));
    assert_eq!(first.post("/v1/jobs", &[], &job).status, 201);
    let second = first.again(&[]);
    assert_eq!(second.post("/v1/jobs/evil/run", &[], "").status, 202);
    assert_eq!(second.post("/v1/runs/evil.1/cancel", &[], "").status, 202);
    wait("it is said", || second.errors().contains("--allow-commands"));
    assert!(!marker.exists());
}

#[test]
fn attack_a_command_is_nobody_and_sees_nothing_of_the_schedulers_environment() {
    if !is_root() {
        // Only root can run commands as another user; that it is refused otherwise is tested below.
        return;
    }
    let folder = tempfile::tempdir().expect("there is room for a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("the folder is ours");
    let secret = [("AWS_SECRET_ACCESS_KEY", "a-secret-of-the-scheduler")];
    let served = Served::start_in(folder, &["--allow-commands"], &secret);
    let trace = served.path("trace");
    let state = served.path("state");
    let look = format!(
        "(id -u; id -G; pwd; kill -9 $PPID && echo KILLED; ls {1} && echo READ; env; cat) > {0}.part; mv {0}.part {0}",
        trace.display(),
        state.display()
    );
    served.run_and_cancel("evil", &job_with_command("evil", &look));
    wait("the command has run", || trace.exists());
    let said = fs::read_to_string(&trace).expect("it was there just now");
    let nobody = id_of("nobody");
    let mut lines = said.lines();
    assert_eq!(lines.next(), Some(nobody.as_str()), "{said}");
    assert!(
        lines
            .next()
            .is_some_and(|groups| !groups.split(' ').any(|group| group == "0")),
        "{said}"
    );
    assert_eq!(lines.next(), Some("/"), "{said}");
    assert!(!said.contains("a-secret-of-the-scheduler"), "{said}");
    for done in ["KILLED", "READ"] {
        assert!(!said.contains(done), "it has {done} what is not its own: {said}");
    }
    assert!(
        said.contains("SCHEDULER_JOB=evil") && said.contains(r#""status":"failed""#),
        "{said}"
    );
}

fn id_of(user: &str) -> String {
    let output = Command::new("id").args(["-u", user]).output().expect("id is there");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn attack_an_address_that_others_reach_is_not_listened_on_without_a_token() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    for address in ["0.0.0.0:0", "[::]:0", "[::ffff:0.0.0.0]:0"] {
        let refused = Served::refused(folder.path(), &["--listen", address]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains("--token-file") && said.lines().count() == 1, "{said}");
    }
    let served = Served::start(&["--listen", "0.0.0.0:0", "--insecure-listen"]);
    assert!(
        served.errors().contains("warning: every client that reaches"),
        "{}",
        served.errors()
    );
}

#[test]
fn attack_nothing_is_answered_without_the_token() {
    let (folder, file) = with_token();
    let served = Served::start_in(folder, &["--token-file", &file], &[]);
    let bearer = format!("Bearer {TOKEN}");
    let (wrong, basic) = (format!("Bearer {TOKEN}x"), format!("Basic {TOKEN}"));
    for request in ASKED {
        for headers in [
            &[][..],
            &[("Authorization", wrong.as_str())],
            &[("Authorization", basic.as_str())],
            &[("Authorization", TOKEN)],
            &[("Cookie", "scheduler-session=1")],
        ] {
            let answer = served.ask(request, headers, JOB);
            assert_eq!(answer.status, 401, "{request} {headers:?}: {answer:?}");
        }
    }
    assert_eq!(served.get(&format!("/v1/jobs?token={TOKEN}"), &[]).status, 401);
    let given = [("Authorization", bearer.as_str())];
    assert_eq!(served.post("/v1/jobs", &given, JOB).status, 201);
    assert_eq!(served.get("/v1/jobs", &given).status, 200);
    // A program that monitors the service has no token.
    assert_eq!(served.get("/health", &[]).status, 503);
    assert!(!served.get("/health", &[]).body.contains("plain"));
    // Only its digest is kept, and no message contains it.
    assert!(!served.errors().contains(TOKEN));
}

#[test]
fn a_person_logs_in_with_the_token_and_out_again() {
    let (folder, file) = with_token();
    let served = Served::start_in(folder, &["--token-file", &file], &[]);
    let own = format!("http://{}", served.address);
    let form = [
        ("Origin", own.as_str()),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    let led = served.get("/jobs/plain", &[("Accept", "text/html,*/*")]);
    assert!(led.status == 303 && led.head.contains("location: /login"), "{led:?}");
    assert!(
        served
            .get("/login", &[])
            .body
            .contains("<form method=\"post\" action=\"/login\">")
    );
    let wrong = served.post("/login", &form, "token=not-the-token-at-all");
    assert!(wrong.status == 401 && !wrong.head.contains("set-cookie"), "{wrong:?}");
    let foreign = [("Origin", "http://evil.example"), form[1]];
    assert_eq!(served.post("/login", &foreign, &format!("token={TOKEN}")).status, 403);

    let logged_in = served.post("/login", &form, &format!("token={TOKEN}"));
    assert_eq!(logged_in.status, 303, "{logged_in:?}");
    let cookie = logged_in
        .head
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "));
    let cookie = cookie.expect("a session has a cookie");
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
        "{cookie}"
    );
    assert!(!cookie.contains(TOKEN), "{cookie}");
    let with = [("Cookie", cookie.split(';').next().expect("it has a first part"))];
    assert_eq!(served.get("/", &with).status, 200);
    // The cookie alone does not help a page of another site.
    let cross = [with[0], ("Origin", "http://evil.example")];
    assert_eq!(served.post("/v1/jobs", &cross, JOB).status, 403);
    let same = [with[0], ("Origin", own.as_str())];
    assert_eq!(served.post("/v1/jobs", &same, JOB).status, 201);
    assert_eq!(served.post("/logout", &same, "").status, 303);
    assert_eq!(served.get("/v1/jobs", &with).status, 401);
}

#[test]
fn attack_half_open_connections_and_endless_requests_end() {
    let served = Served::start(&[]);
    let begun = Instant::now();
    let head = format!(
        "POST /v1/jobs HTTP/1.1\r\nHost: {}\r\nContent-Length: 100\r\n",
        served.address
    );
    let endless = "X: ".to_owned() + &"x".repeat(1 << 20);
    let mut silent: Vec<(TcpStream, &str)> = ["", "GET / HT", &head, &format!("{head}\r\nversion: 1")]
        .iter()
        .map(|sent| {
            let mut stream = TcpStream::connect(&served.address).expect("it listens");
            stream.write_all(sent.as_bytes()).expect("it reads");
            (stream, "half a request")
        })
        .collect();
    let mut kept = TcpStream::connect(&served.address).expect("it listens");
    let whole = format!("GET /health HTTP/1.1\r\nHost: {}\r\n\r\n", served.address);
    kept.write_all(whole.as_bytes()).expect("it reads");
    silent.push((kept, "a connection that is kept open"));
    let mut long = TcpStream::connect(&served.address).expect("it listens");
    // It is cut off before it has been read.
    let _ = long.write_all(format!("GET / HTTP/1.1\r\n{endless}\r\n\r\n").as_bytes());
    silent.push((long, "an endless header"));
    for (mut stream, what) in silent {
        stream.set_read_timeout(Some(LIMIT)).expect("the limit is one");
        let answer = read(&mut stream);
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} is held: {answer:?}");
        assert!([0, 400, 408, 431, 503].contains(&answer.status), "{what}: {answer:?}");
    }
    let body = "x".repeat((2 << 20) + 1);
    assert_eq!(served.post("/v1/jobs", &[], &body).status, 413);
    assert_eq!(jobs(&served), r#"{"jobs":[]}"#);
}

#[test]
fn attack_unreadable_requests_and_odd_names_do_no_harm() {
    let served = Served::start(&[]);
    for request in [
        "GET /jobs/..%2f..%2fetc%2fpasswd",
        "GET /runs/%00",
        "GET /volumes/%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "GET //evil.example/",
        "DELETE /",
        "TRACE /v1/jobs",
        "CONNECT evil.example:80",
        "OPTIONS *",
    ] {
        let answer = served.ask(request, &[], "");
        assert!((400..500).contains(&answer.status), "{request}: {answer:?}");
        assert!(!answer.body.contains("<script>"), "{request}: {answer:?}");
    }
    let cross_origin = [
        ("Origin", "http://evil.example"),
        ("Access-Control-Request-Method", "POST"),
    ];
    let preflight = served.ask("OPTIONS /v1/jobs", &cross_origin, "");
    assert!(
        preflight.status == 403 && !preflight.head.to_lowercase().contains("access-control"),
        "{preflight:?}"
    );
    let smuggled = "0\r\n\r\nPOST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let both = served.post("/v1/jobs", &[("Transfer-Encoding", "chunked")], smuggled);
    assert!((400..500).contains(&both.status), "{both:?}");
    assert_eq!(jobs(&served), r#"{"jobs":[]}"#);
}

/// A job that tells of its end by these webhooks.
fn job_with_webhooks(name: &str, urls: &[String]) -> String {
    let targets: Vec<String> = urls.iter().map(|url| format!("{{webhook: '{url}'}}")).collect();
    let notify = format!("notify:\n  failure: [{}]\n", targets.join(", "));
    format!("version: 1\nname: {name}\n{notify}tasks:\n  a: {{command: 'true'}}\n")
}

/// A web server that answers everything so, and hands over the first line of each request.
fn web_server(answer: String) -> (String, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port left");
    let address = listener.local_addr().expect("it is bound").to_string();
    let (sender, asked) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let first = lines.next().unwrap_or_default();
            let _ = lines.find(String::is_empty);
            let _ = stream.write_all(format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n").as_bytes());
            // The test is over when the receiver is gone.
            let _ = sender.send(first);
        }
    });
    (address, asked)
}

/// The scheduler's own requests carry no token, and no redirect makes its host call another
/// address.
#[test]
fn attack_a_webhook_gives_the_scheduler_no_orders_and_is_not_led_elsewhere() {
    let (folder, file) = with_token();
    let served = Served::start_in(folder, &["--token-file", &file], &[]);
    let bearer = format!("Bearer {TOKEN}");
    let own = [("Authorization", bearer.as_str())];
    let (inner, inner_asked) = web_server("200 OK".to_owned());
    let (outer, outer_asked) = web_server(format!("307 Temporary Redirect\r\nLocation: http://{inner}/secret"));
    let urls = [
        format!("http://{}/v1/jobs/plain/run", served.address),
        format!("http://{outer}/hook"),
    ];
    assert_eq!(served.post("/v1/jobs", &own, JOB).status, 201);
    assert_eq!(
        served.post("/v1/jobs", &own, &job_with_webhooks("evil", &urls)).status,
        201
    );
    assert_eq!(served.post("/v1/jobs/evil/run", &own, "").status, 202);
    assert_eq!(served.post("/v1/runs/evil.1/cancel", &own, "").status, 202);
    let asked = outer_asked.recv_timeout(LIMIT).expect("the webhook is sent");
    assert_eq!(asked, "POST /hook HTTP/1.1");
    wait("both failures are reported", || {
        urls.iter()
            .all(|url| served.errors().contains(&format!("the notification by '{url}' failed")))
    });
    assert!(inner_asked.try_recv().is_err(), "the redirect was followed");
    let runs = served.get("/v1/runs", &own).body;
    assert!(!runs.contains("plain.1"), "{runs}");
}

/// Four runs whose receivers take connections and never answer.
#[test]
fn attack_receivers_that_hang_delay_no_other_run() {
    let served = Served::start(&["--keep", "0"]);
    let hanging = TcpListener::bind("127.0.0.1:0").expect("there is a port left");
    let slow = format!("http://{}/", hanging.local_addr().expect("it is bound"));
    for number in 0..4 {
        let name = format!("slow-{number}");
        served.run_and_cancel(&name, &job_with_webhooks(&name, &[slow.clone(), slow.clone()]));
    }
    let (address, asked) = web_server("200 OK".to_owned());
    let begun = Instant::now();
    served.run_and_cancel(
        "quick",
        &job_with_webhooks("quick", &[slow, format!("http://{address}/quick")]),
    );
    asked.recv_timeout(LIMIT).expect("the webhook is called");
    assert!(
        begun.elapsed() < Duration::from_secs(25),
        "the webhook was called after {:?}",
        begun.elapsed()
    );
}

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .output();
    let output = output.expect("openssl is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {said}");
}

/// `ca.pem`, and certificates for 127.0.0.1 and for a client that it has signed; `stranger.pem` is
/// signed by none of them.
fn certificates(folder: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    for authority in ["ca", "stranger"] {
        let extension = "-addext basicConstraints=critical,CA:TRUE";
        openssl(
            folder,
            &format!(
                "req -x509 {key} -days 2 -subj /CN={authority} {extension} -keyout {authority}.key -out {authority}.pem"
            ),
        );
    }
    fs::write(folder.join("ext"), "subjectAltName=IP:127.0.0.1").expect("the folder is ours");
    for name in ["server", "client"] {
        openssl(
            folder,
            &format!("req {key} -subj /CN={name} -keyout {name}.key -out {name}.csr"),
        );
        let sign = "-days 2 -CA ca.pem -CAkey ca.key -CAcreateserial -extfile ext";
        openssl(folder, &format!("x509 -req -in {name}.csr {sign} -out {name}.pem"));
    }
}

/// The status by curl, or its exit code as a negative number.
fn curl(served: &Served, arguments: &[&str]) -> i32 {
    let output = Command::new("curl")
        .args([
            "--silent",
            "--output",
            "answer",
            "--write-out",
            "%{http_code}",
            "--cacert",
            "ca.pem",
            "--noproxy",
            "*",
        ])
        .args(arguments)
        .arg(format!("https://{}/v1/jobs", served.address))
        .current_dir(served.folder.path())
        .output()
        .expect("curl is installed");
    match output.status.code() {
        Some(0) => String::from_utf8_lossy(&output.stdout)
            .parse()
            .expect("a status is a number"),
        code => -code.unwrap_or(1),
    }
}

#[test]
fn attack_strangers_without_a_certificate_or_a_token_are_kept_out_by_tls() {
    let (folder, file) = with_token();
    certificates(folder.path());
    let tls = [
        "--tls-cert",
        "server.pem",
        "--tls-key",
        "server.key",
        "--tls-client-ca",
        "ca.pem",
    ];
    let own = ["--cert", "client.pem", "--key", "client.key"];
    let strange = ["--cert", "stranger.pem", "--key", "stranger.key"];
    let served = Served::start_in(folder, &tls, &[]);
    assert_eq!(curl(&served, &own), 200);
    for arguments in [&[][..], &strange] {
        assert!(curl(&served, arguments) < 0, "{arguments:?}");
    }
    assert!(read(&mut plain(&served)).status != 200, "clear text is answered");

    let both = [&tls[..], &["--token-file", &file]].concat();
    let served = served.again(&both);
    assert_eq!(curl(&served, &own), 200);
    assert_eq!(curl(&served, &[]), 401);
    let bearer = format!("Authorization: Bearer {TOKEN}");
    assert_eq!(curl(&served, &["--header", &bearer]), 200);
    assert!(curl(&served, &strange) < 0);
}

fn plain(served: &Served) -> TcpStream {
    let mut stream = TcpStream::connect(&served.address).expect("it listens");
    stream.set_read_timeout(Some(LIMIT)).expect("the limit is one");
    let request = format!(
        "GET /v1/jobs HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        served.address
    );
    stream.write_all(request.as_bytes()).expect("it reads");
    stream
}
