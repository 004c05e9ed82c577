//! Which spellings are one volume, as far as it is known before anything is mounted: those that
//! share the driver's address and the name as the driver compares names.

use std::collections::{BTreeMap, BTreeSet};

use volume_driver_client::{Driver, Drivers, Endpoint};

use crate::ledger::{Record, VolumeRequest};
use crate::origin::Origin;
use crate::types::{Identity, VolumeKey};

/// The identities of a volume whose driver is at `endpoint`, or whose driver is not to be found
/// now.
pub(crate) fn identities(volume: &VolumeKey, endpoint: Option<&Endpoint>, drivers: &Drivers) -> BTreeSet<Identity> {
    let address = endpoint.map(Endpoint::listener);
    let name = if ignores_case(volume, endpoint, drivers) {
        volume.name.to_lowercase()
    } else {
        volume.name.clone()
    };
    let driver = format!("driver {}", volume.driver);
    let places = [Some(driver), address].into_iter().flatten();
    places.map(|place| Identity::new(place, &*name)).collect()
}

/// A container requests one volume under two names, and says different things about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{first} and {second} name the same volume, as {first_volume} and {second_volume}, with different create, options or owner: make \
     them agree"
)]
pub(crate) struct SpellingsDisagree {
    first: Origin,
    first_volume: VolumeKey,
    second: Origin,
    second_volume: VolumeKey,
}

/// The identities of the volumes that one container requests. It may request one volume under two
/// names, and must then say the same about it both times.
///
/// # Errors
/// When it does not.
pub(crate) fn of_requests(
    requests: &[VolumeRequest],
    drivers: &Drivers,
) -> Result<Vec<(VolumeKey, BTreeSet<Identity>)>, Box<SpellingsDisagree>> {
    let mut identified: Vec<(VolumeKey, BTreeSet<Identity>)> = Vec::new();
    for (index, request) in requests.iter().enumerate() {
        let driver = drivers.driver(&request.volume.driver).ok();
        let own = identities(&request.volume, driver.as_ref().map(Driver::endpoint), drivers);
        for (other, known) in requests[..index].iter().zip(&identified) {
            if other.spec != request.spec && !known.1.is_disjoint(&own) {
                return Err(Box::new(SpellingsDisagree {
                    first: other.origin.clone(),
                    first_volume: other.volume.clone(),
                    second: request.origin.clone(),
                    second_volume: request.volume.clone(),
                }));
            }
        }
        identified.push((request.volume.clone(), own));
    }
    Ok(identified)
}

/// The identities of every volume that the records name. A driver that is not there is not waited
/// for.
pub(crate) fn of_records<'a>(
    records: impl Iterator<Item = &'a Record>,
    drivers: &Drivers,
) -> Vec<(VolumeKey, BTreeSet<Identity>)> {
    let volumes: BTreeSet<&VolumeKey> = records
        .flat_map(|record| &record.volumes)
        .map(|recorded| &recorded.request.volume)
        .collect();
    if volumes.is_empty() {
        return Vec::new();
    }
    let mut endpoints: BTreeMap<String, Endpoint> = BTreeMap::new();
    for candidate in drivers.list() {
        if let Ok(endpoint) = candidate.outcome {
            endpoints.entry(candidate.name).or_insert(endpoint);
        }
    }
    let identified = volumes.into_iter().map(|volume| {
        let identities = identities(volume, endpoints.get(&volume.driver), drivers);
        (volume.clone(), identities)
    });
    identified.collect()
}

/// Whether the driver takes names that differ in case for one. An operator can give a driver any
/// name, so the profiles of all names that lead to the address count, that of its socket's file
/// too.
fn ignores_case(volume: &VolumeKey, endpoint: Option<&Endpoint>, drivers: &Drivers) -> bool {
    let ignores = |name: &str| drivers.profiles().for_driver(name).names_ignore_case;
    if ignores(&volume.driver) {
        return true;
    }
    let Some(endpoint) = endpoint else {
        return false;
    };
    let wanted = endpoint.listener();
    let of_socket = match endpoint {
        Endpoint::Unix(path) => path.file_stem().and_then(|stem| stem.to_str()),
        _ => None,
    };
    let given = drivers.discovery().explicit.iter();
    let aliases = given.filter_map(|(name, driver)| {
        let endpoint = Endpoint::parse(&driver.address, driver.tls.clone()).ok()?;
        (endpoint.listener() == wanted).then_some(name.as_str())
    });
    of_socket.into_iter().chain(aliases).any(ignores)
}

#[cfg(test)]
mod tests {
    use volume_driver_client::{Discovery, ExplicitDriver, Profiles};

    use super::*;

    fn drivers() -> Drivers {
        let mut discovery = Discovery::default();
        for (name, address) in [
            ("ebs", "/run/nowhere/rexray.sock"),
            ("fast", "unix:///run/nowhere/rexray.sock"),
            ("files", "/run/nowhere/files.sock"),
        ] {
            let driver = ExplicitDriver {
                address: address.into(),
                ..ExplicitDriver::default()
            };
            discovery.explicit.insert(name.into(), driver);
        }
        Drivers::new(discovery, Profiles::builtin())
    }

    fn are_one(a: (&str, &str), b: (&str, &str)) -> bool {
        let drivers = drivers();
        let of = |(driver, name): (&str, &str)| {
            let found = drivers.driver(driver).expect("its address is given");
            identities(&VolumeKey::new(driver, name), Some(found.endpoint()), &drivers)
        };
        !of(a).is_disjoint(&of(b))
    }

    #[test]
    fn two_driver_names_with_one_socket_lead_to_one_volume() {
        assert!(are_one(("ebs", "w2"), ("fast", "w2")));
        assert!(!are_one(("ebs", "w2"), ("fast", "w3")));
        assert!(!are_one(("ebs", "w2"), ("files", "w2")));
    }

    #[test]
    fn letter_case_counts_unless_the_driver_ignores_it() {
        assert!(are_one(("ebs", "w2"), ("ebs", "W2")));
        assert!(are_one(("ebs", "W2"), ("fast", "w2")), "whatever the operator calls it");
        assert!(!are_one(("files", "w2"), ("files", "W2")));
    }

    #[test]
    fn a_driver_that_is_not_there_is_known_by_its_name() {
        let drivers = drivers();
        let of = |name: &str| identities(&VolumeKey::new("ebs", name), None, &drivers);
        let there = drivers.driver("ebs").expect("its address is given");
        let known = identities(&VolumeKey::new("ebs", "w2"), Some(there.endpoint()), &drivers);
        assert!(!of("W2").is_disjoint(&known));
    }
}
