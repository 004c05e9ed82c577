//! One resource: a name, a value, and to whom it belongs.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::wire::open_enum;
use super::{Labels, Scalar};

/// The value of a resource or attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// A quantity: cpus, mem, disk.
    Scalar(Scalar),
    /// Numbers, such as ports.
    Ranges(Vec<Range>),
    /// Distinct items, such as the EBS volumes an agent may use. An item is indivisible.
    Set(BTreeSet<String>),
    /// Text; attributes only.
    Text(String),
}

impl Value {
    /// The quantity, if this is a scalar.
    pub fn as_scalar(&self) -> Option<Scalar> {
        if let Value::Scalar(scalar) = self {
            Some(*scalar)
        } else {
            None
        }
    }

    /// The items, if this is a set.
    pub fn as_set(&self) -> Option<&BTreeSet<String>> {
        if let Value::Set(items) = self {
            Some(items)
        } else {
            None
        }
    }

    /// The ranges, if this has some.
    pub fn as_ranges(&self) -> Option<&[Range]> {
        if let Value::Ranges(ranges) = self {
            Some(ranges)
        } else {
            None
        }
    }

    /// The text, if this is one.
    pub fn as_text(&self) -> Option<&str> {
        if let Value::Text(text) = self { Some(text) } else { None }
    }
}

/// Numbers from `begin` to `end`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Range {
    /// The first number.
    pub begin: u64,
    /// The last number.
    pub end: u64,
}

/// How a value travels: the kind as text and one field of that name.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct WireValue {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scalar: Option<Scalar>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ranges: Option<WireRanges>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    set: Option<WireSet>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<WireText>,
}

#[derive(Default, Serialize, Deserialize)]
struct WireRanges {
    #[serde(default)]
    range: Vec<Range>,
}

#[derive(Default, Serialize, Deserialize)]
struct WireSet {
    #[serde(default)]
    item: BTreeSet<String>,
}

#[derive(Default, Serialize, Deserialize)]
struct WireText {
    value: String,
}

impl From<&Value> for WireValue {
    fn from(value: &Value) -> Self {
        let wire = WireValue::default();
        match value {
            Value::Scalar(s) => WireValue {
                kind: "SCALAR".into(),
                scalar: Some(*s),
                ..wire
            },
            Value::Ranges(ranges) => {
                let ranges = Some(WireRanges { range: ranges.clone() });
                WireValue {
                    kind: "RANGES".into(),
                    ranges,
                    ..wire
                }
            }
            Value::Set(items) => WireValue {
                kind: "SET".into(),
                set: Some(WireSet { item: items.clone() }),
                ..wire
            },
            Value::Text(text) => WireValue {
                kind: "TEXT".into(),
                text: Some(WireText { value: text.clone() }),
                ..wire
            },
        }
    }
}

impl TryFrom<WireValue> for Value {
    type Error = String;

    fn try_from(wire: WireValue) -> Result<Self, String> {
        // An empty list of ranges or items is legal, and then the field may be left out.
        match wire.kind.as_str() {
            "SCALAR" => wire
                .scalar
                .map(Value::Scalar)
                .ok_or_else(|| "SCALAR without scalar".to_string()),
            "RANGES" => Ok(Value::Ranges(wire.ranges.unwrap_or_default().range)),
            "SET" => Ok(Value::Set(wire.set.unwrap_or_default().item)),
            "TEXT" => Ok(Value::Text(wire.text.unwrap_or_default().value)),
            other => Err(format!("unknown kind of value '{other}'")),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        WireValue::from(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::try_from(WireValue::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// To which role a resource is offered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocationInfo {
    /// The role; one of the framework's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

open_enum! {
    /// How a reservation came about.
    ReservationKind {
        /// By the agent's `--resources`.
        Static = "STATIC",
        /// By a RESERVE operation.
        Dynamic = "DYNAMIC",
    }
}

/// One reservation in the stack of a resource's reservations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Static or dynamic.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ReservationKind>,
    /// The role it is reserved for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Who reserved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// Labels given with the reservation.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
}

/// A resource, as an agent has it, an offer names it or a task asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// The name: `cpus`, `mem`, `ebsvolumes`.
    pub name: String,
    /// How much, or which.
    pub value: Value,
    /// To which role it is offered. The master fills it in when a single-role framework omits it.
    pub allocation_info: Option<AllocationInfo>,
    /// For whom it is reserved; empty when it is free for every role.
    pub reservations: Vec<Reservation>,
    /// Everything else Mesos says about it (disk source, provider, revocable, shared, the old
    /// `role`), kept as it came: a resource has to go back exactly as it was offered.
    pub other: serde_json::Map<String, serde_json::Value>,
}

impl Resource {
    /// A quantity.
    pub fn scalar(name: impl Into<String>, quantity: impl Into<Scalar>) -> Resource {
        Resource::new(name, Value::Scalar(quantity.into()))
    }

    /// A set of items.
    pub fn set<T: Into<String>>(name: impl Into<String>, items: impl IntoIterator<Item = T>) -> Resource {
        Resource::new(name, Value::Set(items.into_iter().map(Into::into).collect()))
    }

    /// Ranges of numbers.
    pub fn ranges(name: impl Into<String>, ranges: impl IntoIterator<Item = Range>) -> Resource {
        Resource::new(name, Value::Ranges(ranges.into_iter().collect()))
    }

    fn new(name: impl Into<String>, value: Value) -> Resource {
        let other = serde_json::Map::new();
        Resource {
            name: name.into(),
            value,
            allocation_info: None,
            reservations: Vec::new(),
            other,
        }
    }

    /// The same resource, allocated to `role`.
    pub fn allocated_to(mut self, role: impl Into<String>) -> Resource {
        self.allocation_info = Some(AllocationInfo {
            role: Some(role.into()),
        });
        self
    }

    /// The same resource with another value: for a part of an offered one.
    pub fn with_value(&self, value: Value) -> Resource {
        Resource { value, ..self.clone() }
    }

    /// Whether this is plain capacity: not revocable, not shared, no volume or disk of its own,
    /// not from a resource provider. Only such resources may be taken by quantity.
    pub fn is_plain(&self) -> bool {
        ["revocable", "shared", "disk", "provider_id"]
            .iter()
            .all(|field| !self.other.contains_key(*field))
    }

    /// Whether both are the same kind of thing, so that their values may be added up.
    pub fn is_alike(&self, other: &Resource) -> bool {
        self.name == other.name
            && std::mem::discriminant(&self.value) == std::mem::discriminant(&other.value)
            && self.allocation_info == other.allocation_info
            && self.reservations == other.reservations
            && self.other == other.other
    }
}

#[derive(Serialize, Deserialize)]
struct WireResource {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scalar: Option<Scalar>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ranges: Option<WireRanges>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    set: Option<WireSet>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    allocation_info: Option<AllocationInfo>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reservations: Vec<Reservation>,
    #[serde(flatten)]
    other: serde_json::Map<String, serde_json::Value>,
}

impl Serialize for Resource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let WireValue {
            kind,
            scalar,
            ranges,
            set,
            text: _,
        } = WireValue::from(&self.value);
        WireResource {
            name: self.name.clone(),
            kind,
            scalar,
            ranges,
            set,
            allocation_info: self.allocation_info.clone(),
            reservations: self.reservations.clone(),
            other: self.other.clone(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Resource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = WireResource::deserialize(deserializer)?;
        let WireResource {
            name,
            kind,
            scalar,
            ranges,
            set,
            allocation_info,
            reservations,
            other,
        } = wire;
        let value = WireValue {
            kind,
            scalar,
            ranges,
            set,
            text: None,
        };
        let value = Value::try_from(value)
            .map_err(|reason| serde::de::Error::custom(format!("resource '{name}': {reason}")))?;
        Ok(Resource {
            name,
            value,
            allocation_info,
            reservations,
            other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_offer_says_goes_back_unchanged() {
        let json = serde_json::json!({
            "name": "ebsvolumes", "type": "SET", "set": {"item": ["vol-1", "vol-2"]}, "role": "*",
            "allocation_info": {"role": "etl"},
            "reservations": [{"type": "STATIC", "role": "etl"}],
            "provider_id": {"value": "p"}, "disk": {"source": {"type": "RAW"}},
        });
        let resource: Resource = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(resource.value.as_set().unwrap().len(), 2);
        assert!(!resource.is_plain());
        assert_eq!(serde_json::to_value(&resource).unwrap(), json);
    }

    #[test]
    fn ranges_and_scalars_have_their_own_fields() {
        let ports = Resource::ranges("ports", [Range { begin: 1, end: 3 }]);
        let json = r#"{"name":"ports","type":"RANGES","ranges":{"range":[{"begin":1,"end":3}]}}"#;
        assert_eq!(serde_json::to_string(&ports).unwrap(), json);
        let cpus: Resource = serde_json::from_str(r#"{"name":"cpus","type":"SCALAR","scalar":{"value":0.1}}"#).unwrap();
        assert_eq!(cpus, Resource::scalar("cpus", 0.1));
    }

    #[test]
    fn a_resource_that_contradicts_itself_is_named() {
        let error = serde_json::from_str::<Resource>(r#"{"name":"cpus","type":"SCALAR"}"#).unwrap_err();
        assert!(
            error.to_string().contains("resource 'cpus': SCALAR without scalar"),
            "{error}"
        );
    }
}
