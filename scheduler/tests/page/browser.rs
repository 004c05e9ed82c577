//! A headless Chromium, driven by chromedriver's WebDriver protocol: JSON over HTTP.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Chromium starts slowly on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

const ARGUMENTS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
];

/// What stands in for a device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    pub(crate) name: &'static str,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) phone: bool,
}

pub(crate) const PHONE: Screen = Screen {
    name: "phone",
    width: 390,
    height: 844,
    phone: true,
};

pub(crate) const DESKTOP: Screen = Screen {
    name: "desktop",
    width: 1280,
    height: 900,
    phone: false,
};

/// A browser with one window and a profile of its own.
pub(crate) struct Browser {
    driver: Child,
    session: String,
    http: ureq::Agent,
    _profile: tempfile::TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser; its driver is ended in any case.
        let _ = self.http.delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Browser {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// With further arguments of Chromium's.
    pub(crate) fn start_with(further: &[String]) -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is installed (Debian package chromium-driver)");
        let output = driver.stdout.take().expect("it was asked for");
        let port = BufReader::new(output).lines().map_while(Result::ok).find_map(|line| {
            let port = line.split_once("on port ")?.1;
            port.trim_end_matches('.').parse::<u16>().ok().filter(|port| *port != 0)
        });
        let port = port.expect("chromedriver says which port it has");
        let http: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(LIMIT))
            .proxy(None)
            .build()
            .into();
        let profile = tempfile::tempdir().expect("there is room for a profile");
        let mut arguments: Vec<String> = ARGUMENTS.map(str::to_owned).to_vec();
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        arguments.extend_from_slice(further);
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let mut browser = Self {
            driver,
            session: format!("http://127.0.0.1:{port}/session"),
            http,
            _profile: profile,
        };
        let session = browser.post("", wanted);
        let id = session["sessionId"].as_str().expect("a session has an id");
        browser.session = format!("{}/{id}", browser.session);
        browser
    }

    fn post(&self, command: &str, body: Value) -> Value {
        let url = format!("{}{command}", self.session);
        let sent = self
            .http
            .post(&url)
            .content_type("application/json")
            .send(body.to_string());
        Self::value(command, sent)
    }

    fn value(command: &str, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Value {
        let mut answer = answer.unwrap_or_else(|error| panic!("{command}: {error}"));
        let body = answer.body_mut().with_config().limit(100 << 20);
        let text = body
            .read_to_string()
            .unwrap_or_else(|error| panic!("{command}: {error}"));
        let mut value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{command}: {error}: {text}"));
        let value = value["value"].take();
        assert!(value.get("error").is_none(), "{command}: {value}");
        value
    }

    fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post("/goog/cdp/execute", json!({"cmd": command, "params": parameters}))
    }

    pub(crate) fn screen(&self, screen: Screen) {
        let metrics = json!({"width": screen.width, "height": screen.height, "mobile": screen.phone,
            "deviceScaleFactor": if screen.phone { 2 } else { 1 }});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics);
    }

    pub(crate) fn dark(&self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": value}]});
        self.devtools("Emulation.setEmulatedMedia", features);
    }

    pub(crate) fn javascript(&self, on: bool) {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({"value": !on}));
    }

    pub(crate) fn open(&self, url: &str) {
        self.post("/url", json!({"url": url}));
    }

    /// What a function's body gives.
    pub(crate) fn run(&self, body: &str) -> Value {
        self.post("/execute/sync", json!({"script": body, "args": []}))
    }

    /// What a function's body hands to its last argument, a function, later on.
    pub(crate) fn run_until_told(&self, body: &str) -> Value {
        self.post("/execute/async", json!({"script": body, "args": []}))
    }

    fn element(&self, selector: &str) -> String {
        let found = self.post("/element", json!({"using": "css selector", "value": selector}));
        let id = found.as_object().and_then(|object| object.values().next()?.as_str());
        format!("/element/{}", id.expect("an element has an id"))
    }

    /// Clicks on the first element.
    pub(crate) fn click(&self, selector: &str) {
        self.post(&format!("{}/click", self.element(selector)), json!({}));
    }

    /// Types into the first element.
    pub(crate) fn fill_in(&self, selector: &str, text: &str) {
        self.post(&format!("{}/value", self.element(selector)), json!({"text": text}));
    }

    /// How many elements there are, and what assistive technology calls each.
    pub(crate) fn names(&self, selector: &str) -> Vec<String> {
        let found = self.post("/elements", json!({"using": "css selector", "value": selector}));
        let elements = found.as_array().cloned().unwrap_or_default();
        let names = elements.iter().map(|element| {
            let id = element.as_object().and_then(|object| object.values().next());
            let id = id.and_then(Value::as_str).expect("an element has an id");
            let command = format!("/element/{id}/computedlabel");
            let name = Self::value(&command, self.http.get(format!("{}{command}", self.session)).call());
            name.as_str().unwrap_or_default().to_owned()
        });
        names.collect()
    }

    pub(crate) fn press_tab(&self) {
        let keys = json!([{"type": "keyDown", "value": "\u{e004}"}, {"type": "keyUp", "value": "\u{e004}"}]);
        self.post(
            "/actions",
            json!({"actions": [{"type": "key", "id": "keys", "actions": keys}]}),
        );
    }

    /// What the console has said since the last call, and which addresses were asked for.
    pub(crate) fn logs(&self) -> (Vec<String>, Vec<String>) {
        let entries = |kind: &str| {
            let log = self.post("/se/log", json!({"type": kind}));
            log.as_array().cloned().unwrap_or_default()
        };
        let said = entries("browser");
        let said = said.iter().map(|entry| entry["message"].to_string()).collect();
        let asked = entries("performance").into_iter().filter_map(|entry| {
            let message: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let message = &message["message"];
            let asks = message["method"] == "Network.requestWillBeSent";
            let url = message["params"]["request"]["url"].as_str()?;
            asks.then(|| url.to_owned())
        });
        (said, asked.collect())
    }

    /// Writes a picture of the whole page.
    pub(crate) fn picture(&self, file: &Path) {
        let size = self.devtools("Page.getLayoutMetrics", json!({}));
        let size = &size["cssContentSize"];
        let clip = json!({"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1});
        let shot = self.devtools(
            "Page.captureScreenshot",
            json!({"format": "png", "captureBeyondViewport": true, "clip": clip}),
        );
        let data = shot["data"].as_str().expect("a picture has data");
        let png = STANDARD.decode(data).expect("it is in base64");
        fs::write(file, png).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}
