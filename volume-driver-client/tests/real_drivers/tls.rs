//! TLS: socat with certificates in front of rclone.

use std::fs;
use std::net::TcpStream;
use std::process::Command;

use serde_json::{Value, json};
use volume_driver_client::{Discovery, Driver, Drivers, ErrorKind, Profiles};

use crate::fixture::{Certificates, Listens, Program, Rclone, Scratch, free_port, require, wait_until};
use crate::fixture::{rclone_id as id, rclone_is_mounted as is_mounted};

/// A driver that is spoken to in TLS, and wants a certificate of its clients.
struct Secured {
    certificates: Certificates,
    port: u16,
    socat: Program,
    rclone: Rclone,
    scratch: Scratch,
}

impl Secured {
    fn start() -> Secured {
        Secured::showing("server")
    }

    /// With this certificate.
    fn showing(certificate: &str) -> Secured {
        require("socat", "socat");
        let rclone = Rclone::start(Listens::Tcp);
        let certificates = Certificates::make();
        let (scratch, port) = (Scratch::new(), free_port());
        let file = |name: &str| certificates.path(name).display().to_string();
        let listen = format!(
            "OPENSSL-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,cert={},key={},cafile={},verify=1",
            file(&format!("{certificate}.pem")),
            file(&format!("{certificate}.key")),
            file("ca.pem")
        );
        let mut command = Command::new("socat");
        command.args([listen, format!("TCP:localhost:{}", rclone.port)]);
        let socat = Program::start(&mut command, &scratch.path("socat.log"));
        wait_until("socat listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Secured {
            certificates,
            port,
            socat,
            rclone,
            scratch,
        }
    }

    fn file(&self, name: &str) -> Value {
        self.certificates.path(name).display().to_string().into()
    }

    /// Looks the driver up by a JSON spec with this address and these TLS settings.
    fn driver(&self, host: &str, tls: Value) -> Driver {
        self.driver_at(&format!("https://{host}:{}", self.port), tls)
    }

    fn driver_at(&self, address: &str, tls: Value) -> Driver {
        let folder = self.scratch.folder("etc");
        let spec = json!({ "Name": "rclone", "Addr": address, "TLSConfig": tls });
        fs::write(folder.join("rclone.json"), spec.to_string()).unwrap();
        let discovery = Discovery {
            socket_dirs: vec![],
            spec_dirs: vec![folder],
            ..Discovery::default()
        };
        Drivers::new(discovery, Profiles::builtin()).driver("rclone").unwrap()
    }

    /// The settings that work.
    fn good(&self) -> Value {
        json!({
            "CAFile": self.file("ca.pem"),
            "CertFile": self.file("client.pem"),
            "KeyFile": self.file("client.key"),
        })
    }
}

#[test]
fn a_volume_lives_its_life_over_tls_with_certificates_on_both_sides() {
    let secured = Secured::start();
    for host in ["127.0.0.1", "localhost"] {
        let driver = secured.driver(host, secured.good());
        driver.create("v1", &secured.rclone.options("data")).unwrap();
        let path = driver.mount("v1", &id("v1")).unwrap();
        assert!(is_mounted(&path));
        driver.unmount("v1", &id("v1")).unwrap();
        driver.remove("v1").unwrap();
        assert_eq!(driver.get("v1").unwrap_err().kind(), ErrorKind::NotFound);
    }
}

#[test]
fn a_server_that_cannot_be_verified_gets_nothing() {
    let secured = Secured::start();
    let mut without_ca = secured.good();
    without_ca.as_object_mut().unwrap().remove("CAFile");
    let mut wrong_ca = secured.good();
    wrong_ca["CAFile"] = secured.file("stranger.pem");
    for (what, tls) in [("the host's own roots", without_ca), ("another authority", wrong_ca)] {
        let error = secured
            .driver("127.0.0.1", tls)
            .create("v1", &Default::default())
            .unwrap_err();
        // Nothing was sent, so a changing call is not uncertain.
        let expected = [ErrorKind::Unreachable, ErrorKind::Misconfigured];
        assert!(expected.contains(&error.kind()), "{what}: {error}");
        assert!(error.to_string().contains("certificate"), "{what}: {error}");
    }
    assert!(!secured.rclone.log().contains("Create"), "{}", secured.rclone.log());
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let secured = Secured::showing("elsewhere");
    let driver = secured.driver("127.0.0.1", secured.good());
    let error = driver.create("v1", &Default::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(error.to_string().contains("not valid for name"), "{error}");
}

#[test]
fn verification_can_be_switched_off_and_only_explicitly() {
    let secured = Secured::start();
    let mut tls = secured.good();
    tls["CAFile"] = secured.file("stranger.pem");
    tls["InsecureSkipVerify"] = json!(true);
    assert_eq!(secured.driver("127.0.0.1", tls).list().unwrap(), []);
}

#[test]
fn a_client_without_the_right_certificate_is_turned_away() {
    let secured = Secured::start();
    let mut stranger = secured.good();
    stranger["CertFile"] = secured.file("stranger.pem");
    stranger["KeyFile"] = secured.file("stranger.key");
    for (what, tls) in [
        ("none", json!({ "CAFile": secured.file("ca.pem") })),
        ("a stranger's", stranger),
    ] {
        let error = secured.driver("127.0.0.1", tls).list().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{what}: {error}");
    }
}

#[test]
fn a_key_that_does_not_fit_is_the_operators_mistake() {
    let secured = Secured::start();
    for (key, value) in [
        ("KeyFile", secured.file("stranger.key")),
        ("KeyFile", secured.file("client.pem")),
        ("CertFile", secured.file("client.key")),
        ("CAFile", secured.file("client.csr")),
        ("CAFile", secured.file("nowhere.pem")),
    ] {
        let mut tls = secured.good();
        tls[key] = value.clone();
        let error = secured.driver("127.0.0.1", tls).list().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{key} {value}: {error}");
        assert!(
            error.to_string().contains(value.as_str().unwrap()),
            "{key} {value}: {error}"
        );
    }
}

#[test]
fn plain_text_to_a_tls_server_is_no_answer_and_tls_to_a_plain_server_is_not_sent() {
    let mut secured = Secured::start();
    let plain = secured.driver_at(&format!("tcp://127.0.0.1:{}", secured.port), Value::Null);
    let error = plain.list().unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::Protocol),
        "{error}"
    );
    assert_eq!(
        plain.create("v1", &Default::default()).unwrap_err().kind(),
        ErrorKind::Uncertain
    );

    let address = format!("https://127.0.0.1:{}", secured.rclone.port);
    let error = secured
        .driver_at(&address, secured.good())
        .create("v1", &Default::default())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(secured.socat.runs());
}
