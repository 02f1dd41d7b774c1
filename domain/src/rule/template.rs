//! Conditions over an event, and values that are made of one, in the language of minijinja.
//!
//! Nothing that is written in an event is ever read as a template: only what a rule says is. An
//! evaluation has a budget that bounds its time and its memory, and no way to files, includes or
//! anything else than the event.

use std::fmt;
use std::sync::LazyLock;

use minijinja::value::{Serde, Value as Evaluated};
use minijinja::{Environment, Error, ErrorKind, Expression, UndefinedBehavior};
use serde_json::Value;

use super::RuleEvent;

/// About as many instructions, or 64 times as many bytes.
const FUEL: u64 = 20_000;
/// The most characters of a template, or of an expression.
pub(super) const MAX_SOURCE: usize = 4096;
/// Longer texts are no names.
const MAX_LIKE: usize = 1024;

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(64);
    environment.add_test("like", like);
    environment
});

/// Whether a name matches a pattern with `*` and `?`, whatever the case, as AD compares names.
fn like(text: &str, pattern: &str) -> bool {
    if text.len() > MAX_LIKE || pattern.len() > MAX_LIKE {
        return false;
    }
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    let (mut at, mut in_pattern) = (0, 0);
    // Where the last star stands, and how much it stands for so far.
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(in_pattern) {
            Some('*') => {
                star = Some((in_pattern, at));
                in_pattern += 1;
            }
            Some(c) if *c == '?' || *c == text[at] => (at, in_pattern) = (at + 1, in_pattern + 1),
            _ => {
                let Some((place, covered)) = star else { return false };
                star = Some((place, covered + 1));
                (at, in_pattern) = (covered + 1, place + 1);
            }
        }
    }
    pattern[in_pattern..].iter().all(|c| *c == '*')
}

/// Why a condition or a template does not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct TemplateError {
    /// Which field of the rule.
    pub place: String,
    pub message: String,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.place, self.message)
        }
    }
}

impl TemplateError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { place: String::new(), message: message.into() }
    }

    pub(super) fn at(self, place: &str) -> Self {
        Self { place: place.to_owned(), ..self }
    }
}

impl From<Error> for TemplateError {
    fn from(error: Error) -> Self {
        let what = match error.kind() {
            ErrorKind::OutOfFuel => "it takes too long, or makes too much".to_owned(),
            ErrorKind::UndefinedError => match error.detail() {
                Some(detail) => format!("the event does not have it: {detail}"),
                None => "the event does not have it".to_owned(),
            },
            kind => error.detail().map_or_else(|| kind.to_string(), |detail| format!("{kind}: {detail}")),
        };
        let line = error.line().unwrap_or(1);
        let place = match error.range() {
            Some(range) => {
                format!("line {line}, bytes {} to {}", range.start + 1, range.end.max(range.start + 1))
            }
            None => format!("line {line}"),
        };
        Self::new(format!("{what} ({place})"))
    }
}

/// A condition that can be asked of many events.
pub struct Condition(Expression<'static, 'static>);

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Condition")
    }
}

impl Condition {
    pub fn compile(source: &str) -> Result<Self, TemplateError> {
        let checked =
            length(source).and_then(|()| Ok(ENVIRONMENT.compile_expression_owned(source.to_owned())?));
        checked.map(Self).map_err(|error| error.at("when"))
    }

    /// Anything else than a yes or a no is an error: a typing error must not fire a rule.
    pub fn holds(&self, event: &RuleEvent) -> Result<bool, TemplateError> {
        let value = self.0.eval(context(event)).map_err(|error| TemplateError::from(error).at("when"))?;
        bool::try_from(value.clone()).map_err(|_| {
            let message =
                format!("a condition gives true or false, this gives something of type {}", value.kind());
            TemplateError::new(message).at("when")
        })
    }
}

fn length(source: &str) -> Result<(), TemplateError> {
    let length = source.chars().count();
    if length > MAX_SOURCE {
        return Err(TemplateError::new(format!("at most {MAX_SOURCE} characters, this has {length}")));
    }
    Ok(())
}

fn context(event: &RuleEvent) -> Evaluated {
    minijinja::context! { event => Evaluated::from(Serde(event)) }
}

/// Whether a text is more than itself.
pub(super) fn is_template(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark))
}

/// The expression, where the text is one and nothing else. Its value stays what it is (a list, a
/// number), where a template is always a text.
fn lone_expression(text: &str) -> Option<Expression<'_, '_>> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    // Whitespace control is a template's, and would be read as a sign.
    if inner.starts_with(['-', '+']) || inner.ends_with(['-', '+']) {
        return None;
    }
    ENVIRONMENT.compile_expression(inner).ok()
}

pub(super) fn check(text: &str) -> Result<(), TemplateError> {
    length(text)?;
    if lone_expression(text).is_none() {
        ENVIRONMENT.template_from_str(text)?;
    }
    Ok(())
}

fn evaluate(text: &str, event: &RuleEvent) -> Result<Value, TemplateError> {
    if !is_template(text) {
        return Ok(Value::String(text.to_owned()));
    }
    let Some(expression) = lone_expression(text) else {
        return Ok(Value::String(ENVIRONMENT.template_from_str(text)?.render(context(event))?));
    };
    let value = expression.eval(context(event))?;
    if value.is_undefined() {
        return Err(TemplateError::new(format!("the event does not have it: {}", text.trim())));
    }
    serde_json::to_value(&value).map_err(|error| TemplateError::new(error.to_string()))
}

/// What a template gives, as a text.
pub(super) fn text(template: &str, event: &RuleEvent) -> Result<String, TemplateError> {
    Ok(match evaluate(template, event)? {
        Value::String(text) => text,
        other => other.to_string(),
    })
}

/// As [`text`]; what gives null is left out.
pub(super) fn text_or_null(template: &str, event: &RuleEvent) -> Result<Option<String>, TemplateError> {
    match evaluate(template, event)? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        _ => Err(TemplateError::new("a text is wanted here")),
    }
}

/// A document with every template in it filled in. `place`: how the document is called.
pub(super) fn fill(document: &Value, event: &RuleEvent, place: &str) -> Result<Value, TemplateError> {
    Ok(match document {
        Value::String(text) => evaluate(text, event).map_err(|error| error.at(place))?,
        Value::Array(items) => {
            let fill = |(at, item)| fill(item, event, &format!("{place}[{at}]"));
            Value::Array(items.iter().enumerate().map(fill).collect::<Result<_, _>>()?)
        }
        Value::Object(fields) => {
            let fill = |(key, item): (&String, &Value)| {
                Ok((key.clone(), fill(item, event, &format!("{place}.{key}"))?))
            };
            Value::Object(fields.iter().map(fill).collect::<Result<_, TemplateError>>()?)
        }
        other => other.clone(),
    })
}

/// Shows each template in a document, with its path.
pub(super) fn templates_of(document: &Value, place: &str, show: &mut impl FnMut(&str, &str)) {
    match document {
        Value::String(text) if is_template(text) => show(place, text),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                templates_of(item, &format!("{place}[{at}]"), show);
            }
        }
        Value::Object(fields) => {
            for (key, item) in fields {
                let dot = if place.is_empty() { "" } else { "." };
                templates_of(item, &format!("{place}{dot}{key}"), show);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::like;

    #[test]
    fn a_name_is_like_a_pattern_whatever_its_case() {
        for (text, pattern, is) in [
            ("WEB-01", "web-*", true),
            ("WEB-01", "web-??", true),
            ("WEB-1", "web-??", false),
            ("DB-WEB-01", "web-*", false),
            ("DB-WEB-01", "*web*", true),
            ("", "*", true),
            ("", "?", false),
            ("aaab", "a*ab", true),
            ("aaa", "a*ab", false),
        ] {
            assert_eq!(like(text, pattern), is, "{text} {pattern}");
        }
        let long = "a".repeat(1000);
        assert!(!like(&long, &format!("{}b", "a*".repeat(400))));
    }
}
