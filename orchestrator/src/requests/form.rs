//! Reads JSON of others; what is wrong is named by its place.

use domain::Violation;
use serde::de::DeserializeOwned;

/// What is wrong is named by its path in the document and its line.
pub(crate) fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Violation> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        violation(path, error.into_inner().to_string())
    })?;
    json.end().map_err(|error| violation(".".to_owned(), error.to_string()))?;
    Ok(value)
}

/// An unknown key is told apart, since it is what people mistype.
pub(crate) fn violation(path: String, message: String) -> Violation {
    let rule = if message.contains("unknown field") { "unknown-key" } else { "form" };
    let field = if path == "." { "(document)".to_owned() } else { path };
    Violation::new(field, rule, message)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[expect(dead_code, reason = "only its form matters")]
        name: String,
    }

    #[test]
    fn what_is_wrong_is_named_by_path_and_line() {
        let wrong = parse_json::<Vec<Sample>>(b"[{\"name\": \"a\"},\n{\"name\": 3}]").expect_err("a number");
        assert_eq!((wrong.field.as_str(), wrong.rule.as_str()), ("[1].name", "form"));
        assert!(wrong.message.contains("line 2"), "{}", wrong.message);

        let wrong = parse_json::<Sample>(b"{\"nam\": \"a\"}").expect_err("a typo");
        assert_eq!((wrong.field.as_str(), wrong.rule.as_str()), ("nam", "unknown-key"));

        let wrong = parse_json::<Sample>(b"{\"name\": \"a\"} x").expect_err("more after the end");
        assert_eq!(wrong.field, "(document)");
    }
}
