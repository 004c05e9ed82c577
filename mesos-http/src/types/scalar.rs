//! Scalars with three decimals, as Mesos counts them.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A scalar quantity in thousandths.
///
/// Mesos rounds every scalar to three decimals and adds and compares in integers; a client that
/// computes with floating point asks, sooner or later, for `0.1 + 0.2` of an offer's `0.3`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scalar(i64);

impl Scalar {
    /// The quantity 0.
    pub const ZERO: Scalar = Scalar(0);

    /// So many thousandths.
    pub const fn from_thousandths(thousandths: i64) -> Scalar {
        Scalar(thousandths)
    }

    /// The quantity in thousandths.
    pub const fn thousandths(self) -> i64 {
        self.0
    }

    /// The quantity as Mesos puts it on the wire.
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

impl From<f64> for Scalar {
    /// Rounds to the nearest thousandth, halves away from zero. What is not a number is zero.
    fn from(value: f64) -> Self {
        Scalar((value * 1000.0).round() as i64)
    }
}

impl FromStr for Scalar {
    type Err = std::num::ParseFloatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<f64>().map(Scalar::from)
    }
}

impl Add for Scalar {
    type Output = Scalar;

    fn add(self, other: Scalar) -> Scalar {
        Scalar(self.0.saturating_add(other.0))
    }
}

impl Sub for Scalar {
    type Output = Scalar;

    fn sub(self, other: Scalar) -> Scalar {
        Scalar(self.0.saturating_sub(other.0))
    }
}

impl AddAssign for Scalar {
    fn add_assign(&mut self, other: Scalar) {
        *self = *self + other;
    }
}

impl SubAssign for Scalar {
    fn sub_assign(&mut self, other: Scalar) {
        *self = *self - other;
    }
}

impl Sum for Scalar {
    fn sum<I: Iterator<Item = Scalar>>(scalars: I) -> Scalar {
        scalars.fold(Scalar::ZERO, Add::add)
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_f64().fmt(f)
    }
}

impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scalar({self})")
    }
}

#[derive(Serialize, Deserialize)]
struct Wrapped {
    value: f64,
}

impl Serialize for Scalar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Wrapped { value: self.to_f64() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Wrapped::deserialize(deserializer).map(|wrapped| Scalar::from(wrapped.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_exact_to_three_decimals() {
        assert_eq!(Scalar::from(0.1) + Scalar::from(0.2), Scalar::from(0.3));
        let tenths: Scalar = std::iter::repeat_n(Scalar::from(0.1), 10).sum();
        assert_eq!(tenths, Scalar::from(1.0));
        assert_eq!(Scalar::from(0.0005), Scalar::from_thousandths(1));
        assert_eq!(Scalar::from(f64::NAN), Scalar::ZERO);
        assert_eq!(Scalar::from(1.5).to_string(), "1.5");
    }

    #[test]
    fn the_wire_form_is_an_object_with_a_number() {
        let scalar: Scalar = serde_json::from_str(r#"{"value":2}"#).unwrap();
        assert_eq!(serde_json::to_string(&scalar).unwrap(), r#"{"value":2.0}"#);
    }
}
