//! A farm manifest from a request body, written as JSON or YAML.

use axum::http::HeaderMap;
use domain::{ErrorCode, FarmManifest, Violation};

use super::errors::ApiError;
use super::extract;
use crate::requests::{self, form};

const YAML: [&str; 4] = ["application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"];

/// Parses without judging the content.
pub(crate) fn parse(headers: &HeaderMap, body: &[u8]) -> Result<FarmManifest, ApiError> {
    let media_type = extract::media_type(headers);
    let parsed = match media_type.as_str() {
        "application/json" => form::parse_json(body),
        yaml if YAML.contains(&yaml) => parse_yaml(body),
        other => {
            return Err(extract::unsupported_media_type(other, "application/yaml or application/json"));
        }
    };
    parsed.map_err(|violation| requests::malformed(ErrorCode::InvalidManifest, "manifest", violation).into())
}

/// The parser bounds nesting, aliases and size, so that no document eats the memory.
fn parse_yaml(body: &[u8]) -> Result<FarmManifest, Violation> {
    let text = std::str::from_utf8(body)
        .map_err(|error| form::violation(".".to_owned(), format!("not UTF-8: {error}")))?;
    let mut path = ".".to_owned();
    let parsed = serde_saphyr::with_deserializer_from_str(text, |yaml| {
        serde_path_to_error::deserialize(yaml).map_err(|error| {
            path = error.path().to_string();
            error.into_inner()
        })
    });
    parsed.map_err(|error| form::violation(path, error.without_snippet().to_string()))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, header};

    use super::*;
    use crate::http::testing::MANIFEST;

    fn parse_as(media_type: &str, body: &str) -> Result<FarmManifest, Violation> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(media_type).expect("valid"));
        parse(&headers, body.as_bytes()).map_err(|error| error.violations()[0].clone())
    }

    #[test]
    fn yaml_and_json_of_one_manifest_are_the_same() {
        let yaml = parse_as("application/yaml; charset=utf-8", MANIFEST).expect("valid");
        let json = serde_json::to_string(&yaml).expect("serialises");
        assert_eq!(parse_as("application/json", &json).expect("valid"), yaml);
    }

    #[test]
    fn an_unknown_key_is_named_with_its_place() {
        let typo = MANIFEST.replace("dnsHostName", "dnsHostname");
        let wrong = parse_as("application/yaml", &typo).expect_err("unknown");
        assert_eq!((wrong.field.as_str(), wrong.rule.as_str()), ("spec.account.dnsHostname", "unknown-key"));
        assert!(wrong.message.contains("line 7"), "{}", wrong.message);
        let wrong = parse_as("application/yaml", &format!("{MANIFEST}extra: 1\n")).expect_err("unknown");
        assert_eq!(wrong.field, "extra");
    }

    #[test]
    fn what_is_no_yaml_is_refused_in_one_line() {
        for (bad, field) in [("apiVersion: [", "apiVersion"), ("", "(document)"), ("spec: 3", "spec")] {
            let wrong = parse_as("application/yaml", bad).expect_err("bad");
            assert_eq!(wrong.rule, "form", "{bad}");
            assert_eq!(wrong.field, field, "{bad}");
            assert!(!wrong.message.contains('\n'), "{}", wrong.message);
        }
        let twice = format!("{MANIFEST}kind: Farm\n");
        assert!(parse_as("application/yaml", &twice).is_err(), "a key that stands twice");
    }

    #[test]
    fn a_bomb_of_aliases_is_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..10 {
            let below = vec![format!("*a{}", level - 1); 10].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{below}]\n"));
        }
        assert!(parse_as("application/yaml", &bomb).is_err());
    }
}
