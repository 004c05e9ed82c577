//! A master, three agents in two zones and `scheduler serve`, with a storage that lists three volumes.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::{AgentSpec, Cluster};

/// Nothing here takes half as long.
const LIMIT: Duration = Duration::from_secs(120);

pub(crate) struct Site {
    scheduler: Child,
    address: String,
    http: ureq::Agent,
    folder: tempfile::TempDir,
    cluster: Option<Cluster>,
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.scheduler.kill();
        let _ = self.scheduler.wait();
    }
}

pub(crate) fn wait(what: &str, mut until: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !until() {
        assert!(begin.elapsed() < LIMIT, "it does not come to this: {what}");
        sleep(Duration::from_millis(50));
    }
}

fn catalogue() -> Value {
    let volumes = [
        ("vol-1", "flights-raw"),
        ("vol-2", "flights-clean"),
        ("vol-3", "flights-db"),
    ];
    let volumes = volumes.map(|(id, name)| {
        json!({"VolumeId": id, "AvailabilityZone": "us-east-1a", "State": "available", "Attachments": [],
            "Tags": [{"Key": "Name", "Value": name}]})
    });
    json!({"Volumes": volumes})
}

impl Site {
    pub(crate) fn start() -> Self {
        let agent = |zone: &str| AgentSpec::default().volumes(["vol-1", "vol-2", "vol-3"]).zone(zone);
        let cluster = Cluster::builder()
            .agents(2, &agent("us-east-1a"))
            .agent(agent("us-east-1b"))
            .start()
            .unwrap_or_else(|error| panic!("{error}"));
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let listing = folder.path().join("volumes.json");
        fs::write(&listing, catalogue().to_string()).expect("the folder is ours");
        let file = folder.path().join("address");
        let scheduler = Command::new(env!("CARGO_BIN_EXE_scheduler"))
            .args([
                "serve",
                "--state",
                "state",
                "--listen",
                "127.0.0.1:0",
                "--address-file",
                "address",
            ])
            .args(["--master", &cluster.master().address()])
            .args(["--catalogue-command", "cat volumes.json", "--catalogue-every", "0.2"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the scheduler starts");
        wait("the page is served", || {
            fs::read_to_string(&file).is_ok_and(|text| text.contains(':'))
        });
        let http = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .build();
        let site = Self {
            scheduler,
            address: fs::read_to_string(&file).expect("it was there just now"),
            http: http.into(),
            folder,
            cluster: Some(cluster),
        };
        wait("it is subscribed", || site.get("/health").0 == 200);
        wait("it knows the agents", || {
            site.get("/agents").1.to_string().matches("us-east-1b").count() > 0
        });
        site
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The file that ends what holds a volume.
    pub(crate) fn go(&self) -> PathBuf {
        self.folder.path().join("go")
    }

    fn answer(mut response: ureq::http::Response<ureq::Body>) -> (u16, Value) {
        let text = response.body_mut().read_to_string().expect("the answer is text");
        let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        (response.status().as_u16(), value)
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        Self::answer(self.http.get(self.url(path)).call().expect("it answers"))
    }

    fn post(&self, path: &str, body: &str) -> (u16, Value) {
        Self::answer(self.http.post(self.url(path)).send(body).expect("it answers"))
    }

    /// Gives a job and begins a run.
    pub(crate) fn begin(&self, name: &str, text: &str) -> String {
        let (status, answer) = self.post("/v1/jobs", text);
        assert_eq!(status, 201, "{answer}");
        self.run(name)
    }

    pub(crate) fn run(&self, name: &str) -> String {
        let (status, answer) = self.post(&format!("/v1/jobs/{name}/run"), "");
        assert_eq!(status, 202, "{answer}");
        answer["run"].as_str().expect("it has an id").to_owned()
    }

    pub(crate) fn wait_for(&self, run: &str, status: &str) {
        wait(&format!("{run} is {status}"), || {
            self.get(&format!("/v1/runs/{run}")).1["status"] == status
        });
    }

    pub(crate) fn why(&self, run: &str) -> String {
        self.get(&format!("/v1/runs/{run}/explain")).1.to_string()
    }

    pub(crate) fn state_of(&self, volume: &str) -> String {
        let (_, claims) = self.get("/v1/claims");
        let volumes = claims["volumes"].as_array().cloned().unwrap_or_default();
        let found = volumes.iter().find(|one| one["volume"] == volume);
        found
            .and_then(|one| one["state"].as_str())
            .unwrap_or_default()
            .to_owned()
    }

    pub(crate) fn lose_the_master(&self) {
        let cluster = self.cluster.as_ref().expect("it is not torn down");
        cluster.master().kill().unwrap_or_else(|error| panic!("{error}"));
    }

    pub(crate) fn tear_down(mut self) {
        let _ = self.scheduler.kill();
        let _ = self.scheduler.wait();
        let cluster = self.cluster.take().expect("it is torn down once");
        cluster.tear_down().unwrap_or_else(|error| panic!("{error}"));
    }
}
