//! Patterns over names, as the policy file writes them.

use serde::Deserialize;

/// The longest pattern accepted: longer than any name or path that a label may carry.
const MAX_BYTES: usize = 4096;

/// A text in which `*` stands for any characters, none included, and `?` for one. Both match `/`
/// too, since names of volumes may hold one. The whole of a text has to match.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Pattern(Vec<char>);

/// Why a text is no pattern.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PatternError {
    #[error("a pattern has at most {MAX_BYTES} bytes, this one {0}")]
    TooLong(usize),
    #[error("a pattern has no control characters")]
    ControlCharacter,
}

impl TryFrom<String> for Pattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        if text.len() > MAX_BYTES {
            return Err(PatternError::TooLong(text.len()));
        }
        if text.chars().any(char::is_control) {
            return Err(PatternError::ControlCharacter);
        }
        Ok(Self(text.chars().collect()))
    }
}

/// How upper and lower case compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    /// As different letters: what allows must say exactly what.
    Exact,
    /// As the same: some drivers take either spelling, so what denies denies both. Programs differ
    /// in how far they go (is `ſ` an `s`, is `ß` an `ss`?), so all spellings that any of them takes
    /// for one are the same here.
    Ignored,
}

/// What a character becomes when case is ignored. Both ways through upper case are taken, as `ſ`
/// has no lower case but `s`'s upper one, and `ẞ` becomes `SS` by way of its lower one.
fn folded(c: char) -> impl Iterator<Item = char> {
    // Of `İ`, whose lower case is an `i` with a dot that combines, some programs take the `i`
    // alone.
    let lower = c.to_lowercase().filter(move |&lower| c != 'İ' || lower != '\u{307}');
    lower.flat_map(char::to_uppercase).flat_map(char::to_lowercase)
}

fn all_folded(text: &[char]) -> Vec<char> {
    text.iter().copied().flat_map(folded).collect()
}

impl Pattern {
    /// Whether all of `text` matches. Takes time in proportion to the product of the lengths,
    /// whatever the pattern.
    pub(super) fn matches(&self, text: &str, case: Case) -> bool {
        let text: Vec<char> = text.chars().collect();
        match case {
            Case::Exact => matches(&self.0, &text, |a, b| a == b),
            // A character that becomes two is one for '?', and two for letters.
            Case::Ignored => {
                matches(&self.0, &text, |a, b| a == b || folded(a).eq(folded(b)))
                    || matches(&all_folded(&self.0), &all_folded(&text), |a, b| a == b)
            }
        }
    }
}

fn matches(pattern: &[char], text: &[char], same: impl Fn(char, char) -> bool) -> bool {
    let (mut at, mut read) = (0, 0);
    // Where to go on when the text after the last star turns out not to match: one character
    // further.
    let mut last_star: Option<(usize, usize)> = None;
    while read < text.len() {
        match pattern.get(at) {
            Some('*') => {
                last_star = Some((at, read));
                at += 1;
            }
            Some(&c) if c == '?' || same(c, text[read]) => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((star, taken)) = last_star else { return false };
                last_star = Some((star, taken + 1));
                at = star + 1;
                read = taken + 1;
            }
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

/// At least one pattern.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<Pattern>")]
pub(super) struct Patterns(Vec<Pattern>);

impl TryFrom<Vec<Pattern>> for Patterns {
    type Error = &'static str;

    fn try_from(patterns: Vec<Pattern>) -> Result<Self, &'static str> {
        if patterns.is_empty() {
            return Err("an empty list matches nothing: leave the field out, which matches anything");
        }
        Ok(Self(patterns))
    }
}

impl Patterns {
    /// Whether one of them matches.
    pub(super) fn any(&self, text: &str, case: Case) -> bool {
        self.0.iter().any(|pattern| pattern.matches(text, case))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_matched(pattern: &str, text: &str) -> bool {
        Pattern::try_from(pattern.to_owned())
            .unwrap()
            .matches(text, Case::Exact)
    }

    #[test]
    fn a_star_stands_for_any_text_and_a_question_mark_for_one_character() {
        for (pattern, text, expected) in [
            ("vol-*", "vol-1", true),
            ("vol-*", "vol-", true),
            ("vol-*", "xvol-1", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("?", "", false),
            ("v?l", "vol", true),
            ("v?l", "vool", false),
            ("*-*-?", "a-b-c-d", true),
            ("*ab", "aab", true),
            ("a*b*c", "a-b-b-d", false),
            ("/data/*", "/data/a/b", true),
            ("vol-1", "vol-10", false),
            ("é?", "éè", true),
        ] {
            assert_eq!(is_matched(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn case_counts_unless_it_is_ignored() {
        let pattern = Pattern::try_from("Pay*".to_owned()).unwrap();
        assert!(!pattern.matches("PAYROLL", Case::Exact));
        assert!(pattern.matches("PAYROLL", Case::Ignored));
    }

    #[test]
    fn a_hostile_text_costs_no_more_than_its_length_times_the_patterns() {
        let text = "a".repeat(4096);
        let pattern = format!("{}b", "*a".repeat(1000));
        assert!(!is_matched(&pattern, &text));
    }

    #[test]
    fn attack_no_other_spelling_of_a_letter_passes_a_pattern_that_ignores_case() {
        for (pattern, text) in [
            ("secret-*", "\u{17f}ecret-1"),
            ("kafka*", "\u{212a}afka"),
            ("\u{212a}afka", "KAFKA"),
            ("ångström", "\u{212b}NGSTRÖM"),
            ("strasse", "stra\u{df}e"),
            ("stra\u{df}e", "STRASSE"),
            ("stra\u{df}e", "stra\u{1e9e}e"),
            ("stra?e", "stra\u{df}e"),
            ("data\u{3c3}", "DATA\u{3c2}"),
            ("admin", "adm\u{130}n"),
            ("admin", "adm\u{131}n"),
            ("\u{1c4}x", "\u{1c5}X"),
            ("office", "o\u{fb03}ce"),
        ] {
            let pattern = Pattern::try_from(pattern.to_owned()).unwrap();
            assert!(pattern.matches(text, Case::Ignored), "{pattern:?} {text}");
        }
    }

    #[test]
    fn every_letter_of_unicode_is_the_same_as_its_upper_and_lower_case() {
        let same = |a: char, b: char| folded(a).eq(folded(b));
        for c in (0..=0x10_ffff).filter_map(char::from_u32) {
            let mut upper = c.to_uppercase();
            if let (Some(only), None) = (upper.next(), upper.next()) {
                assert!(same(c, only), "{c:?} {only:?}");
            }
            let mut lower = c.to_lowercase();
            if let (Some(only), None) = (lower.next(), lower.next()) {
                assert!(same(c, only), "{c:?} {only:?}");
            }
        }
    }
}
