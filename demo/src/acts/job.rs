//! The job files of the acts.

use std::path::Path;

/// Which step of the ETL job holds half way, until which file is there.
pub(super) struct HoldIn<'a> {
    pub(super) step: &'static str,
    pub(super) until: &'a Path,
}

/// On which agent verify runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum VerifyOn {
    /// Not on that of load: the volume moves once more.
    Another,
    /// Whichever is left.
    Any,
}

/// The ETL job in one batch. Every step may be run again twice, since each can be.
pub(super) fn etl(verify_on: VerifyOn, hold: Option<&HoldIn<'_>>) -> String {
    let held = |step: &str| match hold {
        Some(hold) if hold.step == step => format!(" --hold-until '{}'", hold.until.display()),
        _ => String::new(),
    };
    let verify_on = match verify_on {
        VerifyOn::Another => "\n    agent: {not-same-as: load}",
        VerifyOn::Any => "",
    };
    let (in_extract, in_load) = (held("extract"), held("load"));
    format!(
        "version: 1
name: flights
defaults: {{cpus: 0.5, mem: 512, retries: 2, retry-pause: 500ms}}
tasks:
  seed:
    command: exec flights-etl seed --src ./src
    volumes: {{src: flights-src}}
  extract:
    after: seed
    command: exec flights-etl extract --src ./src --stage ./stage{in_extract}
    volumes: {{src: flights-src, stage: flights-stage}}
  transform:
    after: extract
    command: exec flights-etl transform --stage ./stage
    volumes: {{stage: flights-stage}}
  load:
    after: transform
    command: exec flights-etl load --stage ./stage --dst ./dst{in_load}
    volumes: {{stage: {{volume: flights-stage, mode: ro}}, dst: flights-dst}}
  verify:
    after: load{verify_on}
    command: exec flights-etl verify --dst ./dst
    volumes: {{dst: flights-dst}}
  audit:
    after: verify
    command: exec flights-etl audit ./src ./stage ./dst
    volumes:
      src: {{volume: flights-src, mode: ro}}
      stage: {{volume: flights-stage, mode: ro}}
      dst: {{volume: flights-dst, mode: ro}}
"
    )
}

/// A job `name` of one task `sign-NAME` that signs a volume and does nothing else; with `hold` it holds in between.
pub(super) fn signing(name: &str, volume: &str, hold: Option<&Path>, retries: u32) -> String {
    let hold = hold.map_or(String::new(), |file| format!(" --hold-until '{}'", file.display()));
    format!(
        "version: 1
name: {name}
defaults: {{retries: {retries}, retry-pause: 500ms}}
tasks:
  sign-{name}:
    command: exec flights-etl sign ./data{hold}
    volumes: {{data: {volume}}}
"
    )
}

/// A job that says who signed a volume, and fails if two wrote at the same time.
pub(super) fn audit(volume: &str) -> String {
    format!(
        "version: 1
name: audit
tasks:
  audit:
    command: exec flights-etl audit ./data
    volumes: {{data: {{volume: {volume}, mode: ro}}}}
"
    )
}
