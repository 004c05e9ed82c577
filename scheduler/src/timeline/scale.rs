//! Lengths of time in words, and where they lie between two moments.

use crate::state::Millis;

/// A length of time, in two units at most.
pub(crate) fn span(millis: Millis) -> String {
    let seconds = millis / 1000;
    match seconds {
        _ if millis < 1000 => format!("{millis} ms"),
        0..=9 => format!("{:.1} s", millis as f64 / 1000.0),
        10..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min {} s", seconds / 60, seconds % 60),
        7200..=172_799 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

const SECOND: Millis = 1_000;
const MINUTE: Millis = 60 * SECOND;
const HOUR: Millis = 60 * MINUTE;
const DAY: Millis = 24 * HOUR;

const STEPS: [Millis; 27] = [
    1,
    2,
    5,
    10,
    20,
    50,
    100,
    200,
    500,
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
    20 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    20 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    4 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
];

/// Round times with their words, so few that the words have room on a phone.
pub(super) fn ticks(length: Millis) -> Vec<(Millis, String)> {
    let step = STEPS.into_iter().find(|step| length / step <= 5);
    let step = step.unwrap_or_else(|| (length / DAY).div_ceil(5) * DAY);
    let (unit, word) = match step {
        0..SECOND if length < SECOND => (1, "ms"),
        0..MINUTE => (SECOND, "s"),
        MINUTE..HOUR => (MINUTE, "min"),
        HOUR..DAY => (HOUR, "h"),
        _ => (DAY, "d"),
    };
    let words = |at: Millis| match (at, at % unit) {
        (0, _) => "0".to_owned(),
        (_, 0) => format!("{} {word}", at / unit),
        _ => format!("{:.1} {word}", at as f64 / unit as f64),
    };
    (0..=length / step)
        .map(|index| (index * step, words(index * step)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(length: Millis) -> Vec<String> {
        ticks(length).into_iter().map(|(_, word)| word).collect()
    }

    #[test]
    fn ticks_are_few_round_and_in_one_unit() {
        assert_eq!(words(1), ["0", "1 ms"]);
        assert_eq!(words(900), ["0", "200 ms", "400 ms", "600 ms", "800 ms"]);
        assert_eq!(words(2_100), ["0", "0.5 s", "1 s", "1.5 s", "2 s"]);
        assert_eq!(words(42_000), ["0", "10 s", "20 s", "30 s", "40 s"]);
        assert_eq!(words(149_000), ["0", "30 s", "60 s", "90 s", "120 s"]);
        assert_eq!(words(181_000), ["0", "1 min", "2 min", "3 min"]);
        assert_eq!(words(5 * HOUR), ["0", "1 h", "2 h", "3 h", "4 h", "5 h"]);
        assert_eq!(words(60 * DAY).len(), 6);
    }

    #[test]
    fn a_length_has_its_unit() {
        let spans = [0, 9, 1_234, 12_345, 125_000, 7_200_000, 200_000_000].map(span);
        assert_eq!(
            spans,
            ["0 ms", "9 ms", "1.2 s", "12 s", "2 min 5 s", "2 h 0 min", "2 d 7 h"]
        );
    }
}
