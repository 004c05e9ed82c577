//! Arithmetic on resources: what an offer holds, and taking exactly a task's share of it.

mod ranges;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::types::{Resource, Scalar, Value};
use ranges::{count, lowest, normalized, ranges_minus};

/// Resources of one agent, to be used by one role.
///
/// Alike resources (same name, allocation, reservations and everything else) are one entry, as
/// Mesos itself keeps them. What comes from an offer goes back with all it was offered with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Resources(Vec<Resource>);

/// What was asked for and is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Shortage {
    /// Too little of a quantity.
    #[error("{wanted} {name} asked for, {available} there")]
    Scalar {
        /// The resource.
        name: String,
        /// How much was asked for.
        wanted: Scalar,
        /// How much there is.
        available: Scalar,
    },
    /// An item of a set is missing.
    #[error("no item {item} in {name}")]
    Item {
        /// The resource.
        name: String,
        /// The item.
        item: String,
    },
    /// Too few numbers.
    #[error("{wanted} numbers of {name} asked for, {available} there")]
    Numbers {
        /// The resource.
        name: String,
        /// How many were asked for.
        wanted: u64,
        /// How many there are.
        available: u64,
    },
    /// A resource with just these properties is missing, or there is not enough of it.
    #[error("the resource '{name}' is not there with the same reservations and allocation")]
    Exact {
        /// The resource.
        name: String,
    },
}

/// What a task asks for, by name only: quantities, items of sets, and how many numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demand {
    scalars: Vec<(String, Scalar)>,
    items: Vec<(String, BTreeSet<String>)>,
    numbers: Vec<(String, u64)>,
}

impl Demand {
    /// A demand for no resources.
    pub fn new() -> Demand {
        Demand::default()
    }

    /// And so much of a quantity.
    pub fn scalar(mut self, name: impl Into<String>, quantity: impl Into<Scalar>) -> Demand {
        self.scalars.push((name.into(), quantity.into()));
        self
    }

    /// And exactly these items of a set.
    pub fn items<T: Into<String>>(mut self, name: impl Into<String>, items: impl IntoIterator<Item = T>) -> Demand {
        self.items
            .push((name.into(), items.into_iter().map(Into::into).collect()));
        self
    }

    /// And so many numbers of a resource with ranges, such as ports; the lowest that are free.
    pub fn numbers(mut self, name: impl Into<String>, count: u64) -> Demand {
        self.numbers.push((name.into(), count));
        self
    }
}

impl Resources {
    /// None.
    pub fn new() -> Resources {
        Resources::default()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each entry.
    pub fn iter(&self) -> std::slice::Iter<'_, Resource> {
        self.0.iter()
    }

    /// How much there is of a quantity. Only plain resources count: what is revocable, shared,
    /// on a disk of its own or from a resource provider is no capacity to take from.
    pub fn scalar(&self, name: &str) -> Scalar {
        self.plain(name).filter_map(|resource| resource.value.as_scalar()).sum()
    }

    /// The items of a set. Only plain resources count.
    pub fn items(&self, name: &str) -> BTreeSet<&str> {
        let sets = self.plain(name).filter_map(|resource| resource.value.as_set());
        sets.flatten().map(String::as_str).collect()
    }

    /// How many numbers there are in a resource with ranges. Only plain resources count.
    pub fn numbers(&self, name: &str) -> u64 {
        let ranges = self.plain(name).filter_map(|resource| resource.value.as_ranges());
        ranges.map(count).sum()
    }

    fn plain(&self, name: &str) -> impl Iterator<Item = &Resource> {
        self.0
            .iter()
            .filter(move |resource| resource.name == name && resource.is_plain())
    }

    /// Adds one resource to the entry it is alike with.
    pub fn add(&mut self, resource: Resource) {
        if is_nothing(&resource.value) {
            return;
        }
        match self.0.iter_mut().find(|mine| mine.is_alike(&resource)) {
            None => self.0.push(resource),
            Some(mine) => merge(&mut mine.value, resource.value),
        }
    }

    /// Removes resources with just these properties.
    ///
    /// # Errors
    /// [`Shortage::Exact`] if one is not there, or not enough of it; then nothing is removed.
    pub fn subtract(&mut self, other: &Resources) -> Result<(), Shortage> {
        let mut left = self.clone();
        for resource in &other.0 {
            let missing = || Shortage::Exact {
                name: resource.name.clone(),
            };
            let mine = left
                .0
                .iter_mut()
                .find(|mine| mine.is_alike(resource))
                .ok_or_else(missing)?;
            mine.value = minus(&mine.value, &resource.value).ok_or_else(missing)?;
        }
        left.0.retain(|resource| !is_nothing(&resource.value));
        *self = left;
        Ok(())
    }

    /// Whether all of `other` is here, with just the same properties.
    pub fn contains(&self, other: &Resources) -> bool {
        self.clone().subtract(other).is_ok()
    }

    /// Takes what is asked for, and nothing else of any set: what is reserved for the role goes
    /// first, so that what others could use is left for them.
    ///
    /// # Errors
    /// The first [`Shortage`] found; then nothing is taken.
    pub fn take(&mut self, demand: &Demand) -> Result<Resources, Shortage> {
        let mut left = self.clone();
        left.0.sort_by_key(|resource| resource.reservations.is_empty());
        let mut taken = Resources::new();
        for (name, quantity) in &demand.scalars {
            left.take_scalar(name, *quantity, &mut taken)?;
        }
        for (name, items) in &demand.items {
            left.take_items(name, items, &mut taken)?;
        }
        for (name, wanted) in &demand.numbers {
            left.take_numbers(name, *wanted, &mut taken)?;
        }
        left.0.retain(|resource| !is_nothing(&resource.value));
        *self = left;
        Ok(taken)
    }

    fn take_scalar(&mut self, name: &str, wanted: Scalar, taken: &mut Resources) -> Result<(), Shortage> {
        let available = self.scalar(name);
        if available < wanted {
            return Err(Shortage::Scalar {
                name: name.to_string(),
                wanted,
                available,
            });
        }
        let mut missing = wanted;
        for resource in self.plain_mut(name) {
            let Value::Scalar(have) = &mut resource.value else {
                continue;
            };
            let part = missing.min(*have);
            *have -= part;
            missing -= part;
            taken.add(resource.with_value(Value::Scalar(part)));
        }
        Ok(())
    }

    fn take_items(&mut self, name: &str, wanted: &BTreeSet<String>, taken: &mut Resources) -> Result<(), Shortage> {
        let mut missing = wanted.clone();
        for resource in self.plain_mut(name) {
            let Value::Set(have) = &mut resource.value else {
                continue;
            };
            let part: BTreeSet<String> = missing.intersection(have).cloned().collect();
            have.retain(|item| !part.contains(item));
            missing.retain(|item| !part.contains(item));
            taken.add(resource.with_value(Value::Set(part)));
        }
        match missing.pop_first() {
            Some(item) => Err(Shortage::Item {
                name: name.to_string(),
                item,
            }),
            None => Ok(()),
        }
    }

    fn take_numbers(&mut self, name: &str, wanted: u64, taken: &mut Resources) -> Result<(), Shortage> {
        let available = self.numbers(name);
        if available < wanted {
            return Err(Shortage::Numbers {
                name: name.to_string(),
                wanted,
                available,
            });
        }
        let mut missing = wanted;
        for resource in self.plain_mut(name) {
            let Value::Ranges(have) = &resource.value else { continue };
            let part = lowest(have, missing);
            missing -= count(&part);
            let rest = ranges_minus(have, &part).unwrap_or_default();
            let part = resource.with_value(Value::Ranges(part));
            resource.value = Value::Ranges(rest);
            taken.add(part);
        }
        Ok(())
    }

    fn plain_mut(&mut self, name: &str) -> impl Iterator<Item = &mut Resource> {
        self.0
            .iter_mut()
            .filter(move |resource| resource.name == name && resource.is_plain())
    }
}

impl Extend<Resource> for Resources {
    fn extend<I: IntoIterator<Item = Resource>>(&mut self, resources: I) {
        resources.into_iter().for_each(|resource| self.add(resource));
    }
}

impl FromIterator<Resource> for Resources {
    fn from_iter<I: IntoIterator<Item = Resource>>(resources: I) -> Self {
        let mut all = Resources::new();
        all.extend(resources);
        all
    }
}

impl IntoIterator for Resources {
    type Item = Resource;
    type IntoIter = std::vec::IntoIter<Resource>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Resources {
    type Item = &'a Resource;
    type IntoIter = std::slice::Iter<'a, Resource>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Scalar(quantity) => *quantity <= Scalar::ZERO,
        Value::Ranges(ranges) => count(ranges) == 0,
        Value::Set(items) => items.is_empty(),
        Value::Text(_) => false,
    }
}

/// Both are of one kind: [`Resource::is_alike`] says so.
fn merge(mine: &mut Value, other: Value) {
    match (mine, other) {
        (Value::Scalar(mine), Value::Scalar(other)) => *mine += other,
        (Value::Set(mine), Value::Set(other)) => mine.extend(other),
        (Value::Ranges(mine), Value::Ranges(other)) => {
            mine.extend(other);
            *mine = normalized(mine);
        }
        _ => {}
    }
}

fn minus(mine: &Value, other: &Value) -> Option<Value> {
    match (mine, other) {
        (Value::Scalar(mine), Value::Scalar(other)) if mine >= other => Some(Value::Scalar(*mine - *other)),
        (Value::Set(mine), Value::Set(other)) if mine.is_superset(other) => Some(Value::Set(mine - other)),
        (Value::Ranges(mine), Value::Ranges(other)) => ranges_minus(mine, other).map(Value::Ranges),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Range, Reservation, ReservationKind};

    fn offer() -> Resources {
        let mut reserved = Resource::scalar("cpus", 1.0);
        reserved.reservations = vec![Reservation {
            kind: Some(ReservationKind::Static),
            role: Some("etl".into()),
            principal: None,
            labels: Default::default(),
        }];
        Resources::from_iter([
            Resource::scalar("cpus", 2.0),
            reserved,
            Resource::scalar("mem", 1024.0),
            Resource::set("ebsvolumes", ["vol-1", "vol-2", "vol-3"]),
            Resource::ranges("ports", [Range { begin: 10, end: 12 }, Range { begin: 20, end: 29 }]),
        ])
    }

    #[test]
    fn a_task_gets_exactly_its_share_and_the_rest_stays() {
        let mut left = offer();
        let demand = Demand::new()
            .scalar("cpus", 0.5)
            .scalar("mem", 256.0)
            .items("ebsvolumes", ["vol-2"])
            .numbers("ports", 4);
        let taken = left.take(&demand).unwrap();
        assert_eq!(taken.items("ebsvolumes"), BTreeSet::from(["vol-2"]));
        assert_eq!(left.items("ebsvolumes"), BTreeSet::from(["vol-1", "vol-3"]));
        assert_eq!((taken.scalar("cpus"), left.scalar("cpus")), (0.5.into(), 2.5.into()));
        assert_eq!((taken.numbers("ports"), left.numbers("ports")), (4, 9));
        let mut all = taken;
        all.extend(left);
        assert!(all.contains(&offer()) && offer().contains(&all));
    }

    #[test]
    fn what_is_reserved_goes_first_and_keeps_its_reservation() {
        let mut left = offer();
        let taken = left.take(&Demand::new().scalar("cpus", 1.25)).unwrap();
        let parts: Vec<(bool, Scalar)> = taken
            .iter()
            .map(|part| (part.reservations.is_empty(), part.value.as_scalar().unwrap()))
            .collect();
        assert_eq!(parts, [(false, 1.0.into()), (true, 0.25.into())]);
    }

    #[test]
    fn a_shortage_names_what_is_missing_and_takes_nothing() {
        let mut left = offer();
        let cases = [
            (Demand::new().scalar("cpus", 3.001), "3.001 cpus asked for, 3 there"),
            (
                Demand::new().items("ebsvolumes", ["vol-1", "vol-9"]),
                "no item vol-9 in ebsvolumes",
            ),
            (
                Demand::new().numbers("ports", 14),
                "14 numbers of ports asked for, 13 there",
            ),
            (
                Demand::new().scalar("cpus", 1.0).scalar("gpus", 1.0),
                "1 gpus asked for, 0 there",
            ),
        ];
        for (demand, message) in cases {
            assert_eq!(left.take(&demand).unwrap_err().to_string(), message);
            assert_eq!(left, offer());
        }
    }

    #[test]
    fn ten_tenths_of_a_cpu_are_one_cpu() {
        let mut left = Resources::from_iter([Resource::scalar("cpus", 1.0)]);
        for _ in 0..10 {
            left.take(&Demand::new().scalar("cpus", 0.1)).unwrap();
        }
        assert!(left.is_empty());
    }

    #[test]
    fn one_item_is_not_taken_twice() {
        let mut left = offer();
        let demand = Demand::new().items("ebsvolumes", ["vol-1"]);
        left.take(&demand).unwrap();
        assert!(matches!(left.take(&demand), Err(Shortage::Item { .. })));
    }

    #[test]
    fn revocable_cpus_are_no_capacity() {
        let mut revocable = Resource::scalar("cpus", 8.0);
        revocable.other.insert("revocable".into(), serde_json::json!({}));
        let mut resources = Resources::from_iter([revocable]);
        assert!(resources.take(&Demand::new().scalar("cpus", 1.0)).is_err());
    }
}
