//! Which texts are meant: one, or all with a beginning.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const MAX: usize = 256;

/// A text, or the beginning of one with a `*` behind it. Case counts, as in CloudEvents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TextPattern(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("1 to {MAX} visible characters, with a * at most at the end, this is {0:?}")]
pub struct PatternError(String);

impl TextPattern {
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let length = text.chars().count();
        let visible = text.chars().all(|c| !c.is_whitespace() && !c.is_control());
        let star_inside = text.strip_suffix('*').unwrap_or(text).contains('*');
        if !(1..=MAX).contains(&length) || !visible || star_inside {
            return Err(PatternError(text.chars().take(MAX).collect()));
        }
        Ok(Self(text.to_owned()))
    }

    pub fn matches(&self, text: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => text.starts_with(beginning),
            None => self.0 == text,
        }
    }

    /// It means this text and no other.
    pub fn names(&self, text: &str) -> bool {
        self.0 == text
    }
}

impl fmt::Display for TextPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl FromStr for TextPattern {
    type Err = PatternError;
    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::parse(text)
    }
}
impl TryFrom<String> for TextPattern {
    type Error = PatternError;
    fn try_from(text: String) -> Result<Self, PatternError> {
        Self::parse(&text)
    }
}
impl From<TextPattern> for String {
    fn from(pattern: TextPattern) -> String {
        pattern.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_at_the_end_stands_for_any_rest() {
        for (pattern, text, matches) in [
            ("*", "com.example.x", true),
            ("com.example.*", "com.example.x.y", true),
            ("com.example.*", "com.example.", true),
            ("com.example.*", "com.examples.x", false),
            ("com.example.x", "com.example.x", true),
            ("com.example.x", "com.example.X", false),
        ] {
            assert_eq!(
                TextPattern::parse(pattern).expect("valid").matches(text),
                matches,
                "{pattern} {text}"
            );
        }
        for bad in ["", "*x", "a*b", "a b", "a\n", &"x".repeat(257)] {
            assert!(TextPattern::parse(bad).is_err(), "{bad}");
        }
    }
}
