//! `mesos-http` with TLS: socat stands before a real master, with certificates made for the test.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;

use mesos_http::operator;
use mesos_http::scheduler::{Call, Config, Connection, Notice};
use mesos_http::tls::{Tls, TlsFiles};
use mesos_http::types::FrameworkInfo;
use mesos_http::{Action, Error};
use testbed::Cluster;

use crate::support::{LIMIT, cluster, wait_until};

/// Certificates in PEM: `ca`; signed by it `server` (for 127.0.0.1), `elsewhere` (for another host), `old` (expired) and
/// `client`; and `stranger`, which signed itself.
struct Certificates(tempfile::TempDir);

impl Certificates {
    fn make() -> Certificates {
        let made = Certificates(tempfile::tempdir().unwrap());
        for authority in ["ca", "stranger"] {
            made.openssl(&format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={authority} \
                 -addext basicConstraints=critical,CA:TRUE -keyout {authority}.key -out {authority}.pem"
            ));
        }
        for (name, days, extensions) in [
            ("server", 2, "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth"),
            (
                "elsewhere",
                2,
                "subjectAltName=DNS:elsewhere\nextendedKeyUsage=serverAuth",
            ),
            ("old", -1, "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth"),
            ("client", 2, "extendedKeyUsage=clientAuth"),
        ] {
            fs::write(made.path(&format!("{name}.ext")), extensions).unwrap();
            made.openssl(&format!(
                "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"
            ));
            made.openssl(&format!(
                "x509 -req -days {days} -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile {name}.ext \
                 -out {name}.pem"
            ));
        }
        made
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn openssl(&self, arguments: &str) {
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(self.0.path())
            .output()
            .expect("openssl is installed");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments}: {said}");
    }

    /// Believes `ca`, and shows nothing.
    fn believing(&self, ca: &str) -> TlsFiles {
        TlsFiles {
            ca_file: Some(self.path(ca)),
            ..TlsFiles::default()
        }
    }
}

/// socat, which speaks TLS on one side and forwards to the other.
struct Front {
    socat: Child,
    port: u16,
}

impl Front {
    fn start(certificates: &Certificates, certificate: &str, options: &str, behind: &str) -> Front {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (cert, key) = (
            certificates.path(certificate),
            certificates.path(certificate).with_extension("key"),
        );
        let listen = format!(
            "OPENSSL-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,cert={},key={},{options}",
            cert.display(),
            key.display()
        );
        let socat = Command::new("socat")
            .args([listen, format!("TCP:{behind}")])
            .stderr(Stdio::null())
            .spawn()
            .expect("socat is installed");
        wait_until("socat listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Front { socat, port }
    }

    fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.socat.kill();
        let _ = self.socat.wait();
    }
}

fn operator(url: &str, files: &TlsFiles) -> operator::Master {
    operator::Master::new(url.parse().unwrap(), LIMIT).with_tls(Tls::load(files).unwrap())
}

/// Why the master's version cannot be asked for: a line.
fn refusal(url: &str, files: &TlsFiles) -> String {
    let error = operator(url, files).version().unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    assert_eq!(error.action(), Action::Retry);
    let text = error.to_string();
    assert!(!text.contains('\n') && text.contains(url), "{text}");
    text
}

fn one_master() -> (Cluster, Certificates) {
    (cluster().start().unwrap(), Certificates::make())
}

#[test]
fn a_framework_subscribes_and_calls_by_tls_with_a_client_certificate() {
    let (cluster, certificates) = one_master();
    let mutual = format!("verify=1,cafile={}", certificates.path("ca.pem").display());
    let front = Front::start(&certificates, "server.pem", &mutual, &cluster.master().address());
    let files = TlsFiles {
        cert_file: Some(certificates.path("client.pem")),
        key_file: Some(certificates.path("client.key")),
        ..certificates.believing("ca.pem")
    };
    let master = operator(&front.url(), &files);
    assert_eq!(master.version().unwrap().version, cluster.install().version());

    let mut config = Config::new(&front.url(), FrameworkInfo::new("f", "root")).unwrap();
    config.tls = Some(Tls::load(&files).unwrap());
    let connection = Connection::open(config);
    let notice = connection.notices().recv_timeout(LIMIT).unwrap();
    assert!(matches!(notice, Notice::Connected(_)), "{notice:?}");
    connection.call(&Call::Suppress { roles: vec![] }).unwrap();
    connection.call(&Call::Teardown).unwrap();

    // Without the certificate nothing is asked, whether the refusal comes before, while or after the request is written.
    for _ in 0..10 {
        let text = refusal(&front.url(), &certificates.believing("ca.pem"));
        assert!(text.contains("client certificate"), "{text}");
    }
    cluster.tear_down().unwrap();
}

#[test]
fn a_master_that_cannot_prove_who_it_is_is_refused_in_one_line_that_says_why() {
    let (cluster, certificates) = one_master();
    let address = cluster.master().address();
    let believing = certificates.believing("ca.pem");
    let good = Front::start(&certificates, "server.pem", "verify=0", &address);
    assert!(operator(&good.url(), &believing).is_healthy().unwrap());

    let stranger = refusal(&good.url(), &certificates.believing("stranger.pem"));
    assert!(stranger.contains("no authority that is believed here"), "{stranger}");
    let elsewhere = Front::start(&certificates, "elsewhere.pem", "verify=0", &address);
    let elsewhere = refusal(&elsewhere.url(), &believing);
    assert!(elsewhere.contains("for another host"), "{elsewhere}");
    let old = Front::start(&certificates, "old.pem", "verify=0", &address);
    let old = refusal(&old.url(), &believing);
    assert!(old.contains("has expired"), "{old}");
    let plain = refusal(&format!("https://{address}"), &believing);
    assert!(plain.contains("TLS"), "{plain}");
    cluster.tear_down().unwrap();
}

#[test]
fn a_redirect_to_the_leader_stays_on_tls() {
    let (cluster, certificates) = one_master();
    let leader = Front::start(&certificates, "server.pem", "verify=0", &cluster.master().address());
    // What a master that does not lead answers to everything.
    let follower = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = follower.local_addr().unwrap().to_string();
    let location = format!("//127.0.0.1:{}/api/v1", leader.port);
    thread::spawn(move || {
        for stream in follower.incoming().flatten() {
            redirect(stream, &location);
        }
    });
    let front = Front::start(&certificates, "server.pem", "verify=0", &address);
    let files = certificates.believing("ca.pem");
    assert!(operator(&front.url(), &files).is_healthy().unwrap());

    let mut config = Config::new(&front.url(), FrameworkInfo::new("f", "root")).unwrap();
    config.tls = Some(Tls::load(&files).unwrap());
    let connection = Connection::open(config);
    let notice = connection.notices().recv_timeout(LIMIT).unwrap();
    assert!(matches!(notice, Notice::Connected(_)), "{notice:?}");
    connection.call(&Call::Teardown).unwrap();
    cluster.tear_down().unwrap();
}

fn redirect(mut stream: TcpStream, location: &str) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let answer = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    // A client that has gone away has no use for it.
    let _ = stream.write_all(answer.as_bytes());
}
