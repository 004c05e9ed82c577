//! Patterns over names, as the policy file writes them.

use serde::Deserialize;

/// The longest pattern accepted: longer than any name or path that a label may carry.
const MAX_BYTES: usize = 4096;

/// A text in which `*` stands for any characters, none included, and `?` for one. Both match `/` too, since names of
/// volumes may hold one. The whole of a text has to match.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Pattern(Vec<char>);

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!(
                "a pattern has at most {MAX_BYTES} bytes, this one {}",
                text.len()
            ));
        }
        if text.chars().any(char::is_control) {
            return Err("a pattern has no control characters".to_owned());
        }
        Ok(Self(text.chars().collect()))
    }
}

/// How upper and lower case compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    /// As different letters: what allows must say exactly what.
    Exact,
    /// As the same: some drivers take either spelling, so what denies denies both.
    Ignored,
}

impl Pattern {
    /// Whether all of `text` matches. Takes time in proportion to the product of the lengths, whatever the pattern.
    pub(super) fn matches(&self, text: &str, case: Case) -> bool {
        let text: Vec<char> = text.chars().collect();
        let same = |a: char, b: char| match case {
            Case::Exact => a == b,
            Case::Ignored => a == b || a.to_lowercase().eq(b.to_lowercase()),
        };
        let (mut at, mut read) = (0, 0);
        // Where to go on when the text after the last star turns out not to match: one character further.
        let mut last_star: Option<(usize, usize)> = None;
        while read < text.len() {
            match self.0.get(at) {
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
        self.0[at..].iter().all(|c| *c == '*')
    }
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

    fn matches(pattern: &str, text: &str) -> bool {
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
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
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
        assert!(!matches(&pattern, &text));
    }
}
