//! Distinguished names (RFC 4514), compared as AD compares them: without regard to case.

use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

/// A distinguished name. Kept as written, compared by attribute and value without
/// regard to case, spacing around separators or the form of escapes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Dn {
    text: String,
    rdns: Vec<Rdn>,
    key: String,
}

/// One level of a DN. AD has no multi-valued RDNs, so neither has this type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rdn {
    pub attribute: String,
    /// Unescaped.
    pub value: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DnError {
    #[error("it is empty")]
    Empty,
    #[error("the part {0:?} is not of the form NAME=value")]
    NotAPair(String),
    #[error("the escape at the end of {0:?} is not complete")]
    Escape(String),
    #[error("{0:?} holds an unescaped {1:?}")]
    Unescaped(String, char),
}

impl Dn {
    pub fn parse(text: &str) -> Result<Self, DnError> {
        if text.trim().is_empty() {
            return Err(DnError::Empty);
        }
        let rdns = split(text)?.into_iter().map(|part| parse_rdn(&part)).collect::<Result<_, _>>()?;
        Ok(Self::from_rdns_with_text(rdns, text.trim().to_owned()))
    }

    fn from_rdns_with_text(rdns: Vec<Rdn>, text: String) -> Self {
        let key = rdns.iter().map(rdn_text).collect::<Vec<_>>().join(",").to_lowercase();
        Self { text, rdns, key }
    }

    /// `attribute=value` below this DN, the value escaped.
    pub fn child(&self, attribute: &str, value: &str) -> Self {
        let rdn = Rdn { attribute: attribute.to_owned(), value: value.to_owned() };
        let text = format!("{},{}", rdn_text(&rdn), self.text);
        let rdns = std::iter::once(rdn).chain(self.rdns.iter().cloned()).collect();
        Self::from_rdns_with_text(rdns, text)
    }

    /// The same place under another RDN value (unescaped); `None` where there is no parent.
    pub fn renamed(&self, value: &str) -> Option<Self> {
        Some(self.parent()?.child(&self.rdn().attribute, value))
    }

    pub fn parent(&self) -> Option<Self> {
        let rdns: Vec<_> = self.rdns.get(1..).filter(|rest| !rest.is_empty())?.to_vec();
        let text = rdns.iter().map(rdn_text).collect::<Vec<_>>().join(",");
        Some(Self::from_rdns_with_text(rdns, text))
    }

    pub fn rdn(&self) -> &Rdn {
        &self.rdns[0]
    }

    pub fn rdns(&self) -> &[Rdn] {
        &self.rdns
    }

    /// The lower-case canonical form: what two spellings of one DN share.
    pub fn key(&self) -> &str {
        &self.key
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether `self` is `ancestor` or lies below it.
    pub fn is_within(&self, ancestor: &Dn) -> bool {
        let (mine, theirs) = (self.key(), ancestor.key());
        mine == theirs || mine.strip_suffix(theirs).is_some_and(|rest| rest.ends_with(','))
    }

    /// The DNS name that the `DC=` parts spell, e.g. `contoso.com`.
    pub fn domain(&self) -> String {
        let parts = self.rdns.iter().filter(|rdn| rdn.attribute.eq_ignore_ascii_case("dc"));
        parts.map(|rdn| rdn.value.as_str()).collect::<Vec<_>>().join(".")
    }
}

impl fmt::Display for Rdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&rdn_text(self))
    }
}

fn rdn_text(rdn: &Rdn) -> String {
    format!("{}={}", rdn.attribute.to_uppercase(), escape(&rdn.value))
}

/// RFC 4514, 2.4. AD also wants `=` escaped when it stands in a value it returns; it accepts both.
fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        match c {
            '\0' => out.push_str("\\00"),
            '\n' => out.push_str("\\0A"),
            '\r' => out.push_str("\\0D"),
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=' => out.extend(['\\', c]),
            '#' if at == 0 => out.push_str("\\#"),
            ' ' if at == 0 || at == last => out.push_str("\\ "),
            c => out.push(c),
        }
    }
    out
}

/// Splits at unescaped commas (and semicolons, as RFC 2253 writers still send them).
fn split(text: &str) -> Result<Vec<String>, DnError> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        let part = parts.last_mut().ok_or(DnError::Empty)?;
        match c {
            _ if escaped => {
                part.push(c);
                escaped = false;
            }
            '\\' => {
                part.push(c);
                escaped = true;
            }
            ',' | ';' => parts.push(String::new()),
            c => part.push(c),
        }
    }
    if escaped {
        return Err(DnError::Escape(text.to_owned()));
    }
    Ok(parts)
}

fn parse_rdn(part: &str) -> Result<Rdn, DnError> {
    let (attribute, value) = part.split_once('=').ok_or_else(|| DnError::NotAPair(part.to_owned()))?;
    let attribute = attribute.trim();
    let named = attribute.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'));
    if attribute.is_empty() || !named {
        return Err(DnError::NotAPair(part.to_owned()));
    }
    let value = unescape(part, trim_unescaped(value))?;
    if value.is_empty() {
        return Err(DnError::NotAPair(part.to_owned()));
    }
    Ok(Rdn { attribute: attribute.to_owned(), value })
}

/// Spaces around a value do not count, unless the last one is escaped.
fn trim_unescaped(value: &str) -> &str {
    let value = value.trim_start_matches(' ');
    let trimmed = value.trim_end_matches(' ');
    let backslashes = trimmed.len() - trimmed.trim_end_matches('\\').len();
    match backslashes % 2 {
        1 if trimmed.len() < value.len() => &value[..=trimmed.len()],
        _ => trimmed,
    }
}

fn unescape(part: &str, value: &str) -> Result<String, DnError> {
    let bad = || DnError::Escape(part.to_owned());
    let mut bytes = Vec::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        let plain = match c {
            '"' | '<' | '>' => return Err(DnError::Unescaped(part.to_owned(), c)),
            '\\' => match chars.next().ok_or_else(bad)? {
                first if first.is_ascii_hexdigit() => {
                    let second = chars.next().ok_or_else(bad)?;
                    let pair = format!("{first}{second}");
                    bytes.push(u8::from_str_radix(&pair, 16).map_err(|_| bad())?);
                    continue;
                }
                escaped => escaped,
            },
            c => c,
        };
        bytes.extend(plain.to_string().as_bytes());
    }
    String::from_utf8(bytes).map_err(|_| bad())
}

impl PartialEq for Dn {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}
impl Eq for Dn {}
impl Hash for Dn {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}
impl PartialOrd for Dn {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Dn {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}
impl fmt::Display for Dn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
impl TryFrom<String> for Dn {
    type Error = DnError;
    fn try_from(text: String) -> Result<Self, DnError> {
        Self::parse(&text)
    }
}
impl From<Dn> for String {
    fn from(dn: Dn) -> String {
        dn.text
    }
}
impl std::str::FromStr for Dn {
    type Err = DnError;
    fn from_str(text: &str) -> Result<Self, DnError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dn(text: &str) -> Dn {
        Dn::parse(text).expect("a valid DN")
    }

    #[test]
    fn spelling_does_not_make_two_names() {
        assert_eq!(dn("CN=Host1,OU=Servers,DC=contoso,DC=com"), dn("cn=host1, ou=servers,dc=CONTOSO,dc=com"));
        assert_eq!(dn(r"CN=a\2cb,DC=x"), dn(r"CN=a\,b,DC=x"));
        assert_ne!(dn("CN=a,DC=x"), dn("CN=b,DC=x"));
    }

    #[test]
    fn family_relations() {
        let base = dn("DC=contoso,DC=com");
        let child = base.child("CN", "a, b");
        assert_eq!(child.to_string(), r"CN=a\, b,DC=contoso,DC=com");
        assert_eq!(child.parent(), Some(base.clone()));
        assert!(child.is_within(&base) && base.is_within(&base) && !base.is_within(&child));
        assert!(!dn("DC=xcontoso,DC=com").is_within(&base));
        assert_eq!(child.domain(), "contoso.com");
        assert_eq!(dn("DC=com").parent(), None);
        assert_eq!(child.renamed("c=d").expect("a child").rdn().to_string(), r"CN=c\=d");
        assert_eq!(
            (child.renamed("x").expect("a child").parent(), dn("DC=com").renamed("x")),
            (Some(base), None)
        );
    }

    #[test]
    fn what_is_no_dn_is_refused() {
        for bad in ["", " ", "CN", "=x", "CN=", "CN=a,", r"CN=a\", r"CN=a\4", "CN=a<b", "C N=x", r"CN=\ff"] {
            assert!(Dn::parse(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_value_survives_escaping(value in "\\PC{1,40}") {
            let child = dn("DC=x").child("CN", &value);
            let again = dn(child.as_str());
            prop_assert_eq!(&again.rdn().value, &value);
            prop_assert_eq!(again, child);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,80}") {
            let _ = Dn::parse(&text);
        }
    }
}
