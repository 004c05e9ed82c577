//! dvdcli's command line: Go's flags, with both spellings that are in use.

use std::collections::BTreeMap;

/// A dvdcli command and what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Help,
    Version,
    List {
        driver: String,
    },
    On {
        call: Call,
        driver: String,
        volume: String,
        options: BTreeMap<String, String>,
        explicit_create: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Create,
    Get,
    Mount,
    Path,
    Remove,
    Unmount,
}

/// What `--help` prints.
pub(super) const USAGE: &str = "\
Usage: dvdcli COMMAND [FLAGS]

Commands:
  create    create a volume, unless it exists
  get       print a volume's name
  list      print the names of a driver's volumes
  mount     mount a volume and print its mountpoint; create it first when the driver does not know it
  path      print a volume's mountpoint
  remove    remove a volume and its data
  unmount   unmount a volume
  version   print the version

Flags:
  --volumedriver=NAME       the driver
  --volumename=NAME         the volume
  --volumeopts=KEY=VALUE    an option for create and mount; may be repeated, and may hold several, separated by
                            commas. A part without '=' belongs to the value before it, and so does what follows '\\,'
  --explicitcreate[=BOOL]   mount: do not create (also --explicitCreate)

Folders of drivers, addresses and profiles are taken from MESOS_VOLUMES_DRIVER_SOCKETS, MESOS_VOLUMES_DRIVER_SPECS,
MESOS_VOLUMES_DRIVERS and MESOS_VOLUMES_DRIVER_WAIT, as by 'mesos-volumes driver', and the host id of mounts from
MESOS_VOLUMES_HOST_ID [default: the machine-id]. What is mounted is noted in MESOS_VOLUMES_RUN_DIR
[default: /run/mesos-volumes].
";

impl Command {
    /// Reads a command line.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub(super) fn parse(words: &[String]) -> Result<Command, String> {
        let mut command = None;
        let mut flags = Flags::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if let Some(flag) = word.strip_prefix("--") {
                flags.read(flag, &mut || words.next().cloned())?;
            } else if word == "-h" {
                flags.help = true;
            } else if word.starts_with('-') {
                return Err(format!("unknown flag: {word}"));
            } else if command.is_none() {
                command = Some(word.as_str());
            } else {
                return Err(format!("unexpected word '{word}'"));
            }
        }
        if flags.help {
            return Ok(Command::Help);
        }
        let call = match command {
            None | Some("help") => return Ok(Command::Help),
            Some("version") => return Ok(Command::Version),
            Some("list") => {
                return Ok(Command::List {
                    driver: flags.driver()?,
                });
            }
            Some("create") => Call::Create,
            Some("get") => Call::Get,
            Some("mount") => Call::Mount,
            Some("path") => Call::Path,
            Some("remove") => Call::Remove,
            Some("unmount") => Call::Unmount,
            Some(other) => return Err(format!("unknown command '{other}'")),
        };
        Ok(Command::On {
            call,
            driver: flags.driver()?,
            volume: flags
                .volume
                .filter(|name| !name.is_empty())
                .ok_or("--volumename is missing")?,
            options: flags.options,
            explicit_create: flags.explicit_create,
        })
    }
}

#[derive(Default)]
struct Flags {
    help: bool,
    driver: Option<String>,
    volume: Option<String>,
    options: BTreeMap<String, String>,
    explicit_create: bool,
}

impl Flags {
    fn driver(&self) -> Result<String, String> {
        self.driver
            .clone()
            .filter(|name| !name.is_empty())
            .ok_or_else(|| "--volumedriver is missing".to_owned())
    }

    /// Reads one flag; its value stands after `=` or is the next word.
    fn read(&mut self, flag: &str, next: &mut dyn FnMut() -> Option<String>) -> Result<(), String> {
        let (name, inline) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag, None),
        };
        let mut value = || {
            inline
                .clone()
                .or_else(&mut *next)
                .ok_or_else(|| format!("flag needs a value: --{name}"))
        };
        match name {
            "help" => self.help = true,
            "volumedriver" => self.driver = Some(value()?),
            "volumename" => self.volume = Some(value()?),
            "volumeopts" => add_options(&mut self.options, &value()?)?,
            // The second is how dvdcli's own README and mesos-module-dvdi spell it, which dvdcli
            // does not understand.
            "explicitcreate" | "explicitCreate" => self.explicit_create = boolean(name, inline.as_deref())?,
            _ => return Err(format!("unknown flag: --{name}")),
        }
        Ok(())
    }
}

/// As Go reads booleans; a flag alone is true.
fn boolean(name: &str, value: Option<&str>) -> Result<bool, String> {
    match value {
        None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(other) => Err(format!("--{name}: '{other}' is neither true nor false")),
    }
}

/// `a=1,b=2` are two options, `a=1,2` is one, and so is `a=1\,b=2`.
fn add_options(options: &mut BTreeMap<String, String>, text: &str) -> Result<(), String> {
    let mut last: Option<String> = None;
    for part in parts(text) {
        match (part.split_once('='), &last) {
            (Some((key, value)), _) if !key.is_empty() => {
                options.insert(key.to_owned(), value.to_owned());
                last = Some(key.to_owned());
            }
            (None, Some(key)) => {
                let value = options.entry(key.clone()).or_default();
                value.push(',');
                value.push_str(&part);
            }
            _ => return Err(format!("--volumeopts: '{part}' is not KEY=VALUE")),
        }
    }
    Ok(())
}

/// Split at commas, except where a backslash stands before one.
fn parts(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let last = parts.last_mut().expect("there is always one");
        match c {
            '\\' if chars.peek() == Some(&',') => {
                last.push(',');
                chars.next();
            }
            ',' => parts.push(String::new()),
            _ => last.push(c),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Command, String> {
        Command::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    fn options(text: &[&str]) -> Vec<(String, String)> {
        let mut words = vec!["mount", "--volumedriver=d", "--volumename=v"];
        let flags: Vec<String> = text.iter().map(|text| format!("--volumeopts={text}")).collect();
        words.extend(flags.iter().map(String::as_str));
        match parse(&words) {
            Ok(Command::On { options, .. }) => options.into_iter().collect(),
            other => panic!("{text:?}: {other:?}"),
        }
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn the_command_line_of_mesos_is_read() {
        let command = parse(&[
            "mount",
            "--volumedriver=rexray",
            "--volumename=db-1",
            "--volumeopts=size=5",
        ]);
        let expected = Command::On {
            call: Call::Mount,
            driver: "rexray".to_owned(),
            volume: "db-1".to_owned(),
            options: [("size".to_owned(), "5".to_owned())].into(),
            explicit_create: false,
        };
        assert_eq!(command, Ok(expected));
        assert!(parse(&["unmount", "--volumedriver", "rexray", "--volumename", "db-1"]).is_ok());
    }

    #[test]
    fn values_may_hold_equal_signs_and_commas() {
        assert_eq!(options(&["mountopts=x=y"]), pairs(&[("mountopts", "x=y")]));
        assert_eq!(options(&["a=1,b=2", "c="]), pairs(&[("a", "1"), ("b", "2"), ("c", "")]));
        assert_eq!(
            options(&["mountopts=rw,noatime,b=2"]),
            pairs(&[("b", "2"), ("mountopts", "rw,noatime")])
        );
        assert_eq!(
            options(&["mountopts=uid=1\\,gid=2"]),
            pairs(&[("mountopts", "uid=1,gid=2")])
        );
    }

    #[test]
    fn both_spellings_of_explicit_create_work_with_and_without_a_value() {
        for (flag, expected) in [
            ("--explicitcreate", true),
            ("--explicitcreate=true", true),
            ("--explicitCreate=true", true),
            ("--explicitCreate=false", false),
        ] {
            match parse(&["mount", "--volumedriver=d", "--volumename=v", flag]) {
                Ok(Command::On { explicit_create, .. }) => assert_eq!(explicit_create, expected, "{flag}"),
                other => panic!("{flag}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_mistake_is_an_error() {
        for (words, said) in [
            (vec!["mount", "--volumename=v"], "--volumedriver is missing"),
            (vec!["mount", "--volumedriver=d"], "--volumename is missing"),
            (
                vec!["mount", "--volumedriver=d", "--volumename="],
                "--volumename is missing",
            ),
            (vec!["list"], "--volumedriver is missing"),
            (
                vec!["mont", "--volumedriver=d", "--volumename=v"],
                "unknown command 'mont'",
            ),
            (vec!["mount", "--volumdriver=d"], "unknown flag: --volumdriver"),
            (vec!["mount", "v"], "unexpected word 'v'"),
            (vec!["mount", "--volumedriver"], "needs a value"),
            (vec!["mount", "--volumeopts=size"], "'size' is not KEY=VALUE"),
            (vec!["mount", "--explicitcreate=maybe"], "neither true nor false"),
        ] {
            let message = parse(&words).unwrap_err();
            assert!(message.contains(said), "{words:?}: {message}");
        }
    }
}
