//! Sizes of volumes, as driver options write them.

const GIB: u128 = 1 << 30;

/// A size in bytes. Units are powers of 1024, the larger of their two readings; a number without a
/// unit is GiB, as REX-Ray, Portworx and others read it. A fraction is refused, as drivers refuse
/// it.
pub(super) fn bytes(text: &str) -> Option<u128> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: u128 = number.parse().ok()?;
    let unit = unit.trim().to_ascii_lowercase();
    let shift = match unit.trim_end_matches("ib").trim_end_matches('b') {
        "" if unit.is_empty() => return number.checked_mul(GIB),
        "" if unit == "b" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

/// Whether it is more than so many GiB.
pub(super) fn exceeds(bytes: u128, gib: u64) -> bool {
    bytes > u128::from(gib) * GIB
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_drivers_read_them() {
        for (text, expected) in [
            ("10", Some(10 * GIB)),
            (" 10 ", Some(10 * GIB)),
            ("10G", Some(10 * GIB)),
            ("10gb", Some(10 * GIB)),
            ("10 GiB", Some(10 * GIB)),
            ("1T", Some(1024 * GIB)),
            ("1024M", Some(GIB)),
            ("1073741824b", Some(GIB)),
            ("", None),
            ("G", None),
            ("-1", None),
            ("1.5G", None),
            ("1e3", None),
            ("10 bananas", None),
            ("ib", None),
            ("1ib", None),
            ("340282366920938463463374607431768211455T", None),
            ("99999999999999999999999999999999999999999999", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
        assert!(exceeds(GIB + 1, 1) && !exceeds(GIB, 1));
    }
}
