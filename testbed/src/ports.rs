//! Ports that clusters on this machine do not take from each other.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::process;

use rustix::fs::{FlockOperation, flock};

use crate::error::ClusterError;
use crate::teardown::registry_folder;

/// Below the ports that the kernel hands out by itself (from 32768 on) and those a Mesos agent offers (from 31000 on).
const FIRST: u16 = 12_000;
const LAST: u16 = 30_999;

/// A port on 127.0.0.1 that no other cluster gets while this value lives: also not while the process that listens on
/// it is being restarted. Something that is no cluster may still take it; then the start fails and says so.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _locked: File,
}

impl Port {
    /// A port nobody listens on now.
    pub(crate) fn reserve() -> Result<Port, ClusterError> {
        let folder = registry_folder()?.join("ports");
        fs::create_dir_all(&folder).map_err(ClusterError::io("create", &folder))?;
        // Processes start looking at different places, only to be quicker.
        let count = u32::from(LAST - FIRST) + 1;
        let start = process::id().wrapping_mul(7919) % count;
        for step in 0..count {
            let number = FIRST + u16::try_from((start + step) % count).expect("less than the number of ports");
            let path = folder.join(number.to_string());
            let file = File::create(&path).map_err(ClusterError::io("create", &path))?;
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
                && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok()
            {
                return Ok(Port { number, _locked: file });
            }
        }
        Err(ClusterError::NoPort {
            first: FIRST,
            last: LAST,
        })
    }

    /// Its number.
    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_port_is_not_given_again() {
        let ports: Vec<Port> = (0..20).map(|_| Port::reserve().unwrap()).collect();
        let mut numbers: Vec<u16> = ports.iter().map(Port::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 20);
    }
}
