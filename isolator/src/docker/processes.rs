//! Processes of the host that have to do with a Docker container: its executor, and clients such as
//! `docker run`. Each has the container's name in its command line.

use std::collections::BTreeSet;
use std::fs;
use std::io;

/// What Mesos calls its Docker containers begins with this.
const PREFIX: &[u8] = b"mesos-";

/// The names of Docker containers of Mesos that are an argument, or the value of a flag, of a
/// process that lives.
///
/// # Errors
/// `/proc` cannot be read.
pub(crate) fn named_containers() -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let is_process = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit));
        if !is_process {
            continue;
        }
        // A process that has ended meanwhile, or ended and was not waited for, has no command line.
        let line = fs::read(path.join("cmdline")).unwrap_or_default();
        names.extend(names_in(&line));
    }
    Ok(names)
}

/// From a command line whose arguments each end with a null.
fn names_in(line: &[u8]) -> impl Iterator<Item = String> + '_ {
    let values = line
        .split(|byte| *byte == 0)
        .map(|argument| match argument.iter().position(|byte| *byte == b'=') {
            Some(equals) if argument.starts_with(b"--") => &argument[equals + 1..],
            _ => argument,
        });
    values
        .filter(|value| value.starts_with(PREFIX))
        .map(|value| String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_as_an_argument_and_as_the_value_of_a_flag() {
        let found = |line: &[u8]| names_in(line).collect::<Vec<_>>();
        let executor = b"/x/mesos-docker-executor\0--cgroups_enable_cfs=false\0--container=mesos-1\0";
        assert_eq!(found(executor), ["mesos-1"]);
        assert_eq!(found(b"docker\0run\0--name\0mesos-2\0busybox\0"), ["mesos-2"]);
        assert_eq!(
            found(b"docker\0stop\0-t\x005\0mesos-3.executor\0"),
            ["mesos-3.executor"]
        );
        assert_eq!(found(b"tail\0-f\0/var/log/mesos-4\0"), Vec::<String>::new());
        assert_eq!(found(b""), Vec::<String>::new());
    }
}
