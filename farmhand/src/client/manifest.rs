//! Reads a farm manifest. Its form is judged here, with line and column; its content by the server.

use std::path::Path;

use domain::FarmManifest;

use super::document;
use crate::failure::Failure;

const CODE: &str = "invalid-manifest";
const HINT: &str = "deploy/samples/itfarm1.yaml shows every field";

/// YAML or JSON (which is YAML, too); `-` is standard input.
pub fn read(path: &Path) -> Result<FarmManifest, Failure> {
    document::read(path, CODE, HINT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str, text: &str) -> Result<FarmManifest, Failure> {
        document::parse(name, text, CODE, HINT)
    }

    fn sample(name: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/samples").join(name);
        std::fs::read_to_string(path).expect("a sample")
    }

    #[test]
    fn every_sample_manifest_is_valid() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/samples");
        let files =
            std::fs::read_dir(folder).expect("samples").map(|entry| entry.expect("an entry").file_name());
        let names: Vec<String> = files.map(|name| name.to_string_lossy().into_owned()).collect();
        let manifests: Vec<_> = names.iter().filter(|name| name.ends_with(".yaml")).collect();
        assert!(manifests.len() >= 2, "{names:?}");
        for name in manifests {
            let manifest = parse(name, &sample(name)).unwrap_or_else(|e| panic!("{e}"));
            manifest.validate().unwrap_or_else(|e| panic!("{name}: {e:?}"));
        }
    }

    #[test]
    fn the_guides_farm_is_the_guides_farm() {
        let farm = parse("itfarm1.yaml", &sample("itfarm1.yaml")).expect("parses").validate().expect("valid");
        assert_eq!(farm.account.sam_account_name.to_string().trim_end_matches('$'), "ITFarm1");
        assert_eq!(farm.account.service_principal_names.len(), 4);
        assert_eq!(farm.account.kerberos_encryption_types.bits(), 28);
        assert_eq!(farm.account.managed_password_interval_in_days.days(), 30);
        assert_eq!(farm.hosts.len(), 3);
    }

    #[test]
    fn a_syntax_error_names_line_and_column() {
        let failure = parse("farm.yaml", "apiVersion: farmhand/v1\nkind: [\n").expect_err("broken");
        assert!(failure.message.starts_with("farm.yaml:"), "{failure}");
        assert!(!failure.message.contains('\n'), "{failure}");
    }

    #[test]
    fn an_unknown_key_is_named_with_its_place() {
        let text = sample("itfarm1.yaml").replace("dnsHostName:", "dnsHostname:");
        let failure = parse("farm.yaml", &text).expect_err("unknown key");
        assert!(failure.message.contains("dnsHostname"), "{failure}");
        let line = text.lines().position(|line| line.contains("dnsHostname:")).expect("there") + 1;
        assert!(failure.message.starts_with(&format!("farm.yaml:{line}:")), "{failure}");
    }

    #[test]
    fn json_is_read_as_well() {
        let manifest = parse("a", &sample("itfarm1.yaml")).expect("parses");
        let json = serde_json::to_string_pretty(&manifest).expect("serialises");
        assert_eq!(parse("b", &json).expect("parses"), manifest);
    }
}
