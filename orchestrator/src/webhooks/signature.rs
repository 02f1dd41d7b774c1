//! HMAC-SHA256 over a body, as it is sent and as it is checked.

use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// `v1=` and the HMAC of `timestamp.body` in hexadecimal.
pub(super) fn sign(secret: &SecretString, timestamp: &str, body: &[u8]) -> String {
    let mac = over(secret, &[timestamp.as_bytes(), b".", body]);
    format!("v1={}", hex::encode(mac.finalize().into_bytes()))
}

/// Whether `signature` is that of the body at that time. Takes as long wherever the two differ.
pub(super) fn is_signed(secret: &SecretString, timestamp: &str, body: &[u8], signature: &str) -> bool {
    let mac = over(secret, &[timestamp.as_bytes(), b".", body]);
    is(mac, signature.strip_prefix("v1=").unwrap_or_default())
}

/// As GitHub signs: `sha256=` and the HMAC of the body.
pub(super) fn is_signed_like_github(secret: &SecretString, body: &[u8], signature: &str) -> bool {
    is(over(secret, &[body]), signature.strip_prefix("sha256=").unwrap_or_default())
}

fn is(mac: Hmac<Sha256>, digits: &str) -> bool {
    let claimed = hex::decode(digits).unwrap_or_default();
    mac.verify_slice(&claimed).is_ok()
}

fn over(secret: &SecretString, parts: &[&[u8]]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104, 3)")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).expect("any length");
    parts.iter().for_each(|part| mac.update(part));
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf '%s' '1790000000.{"a":1}' | openssl dgst -sha256 -hmac key`
    const BY_OPENSSL: &str = "7a4d26944722100249410c8c7f2e76c3cc6e9735fcc98b39e44a122da5490ffc";

    #[test]
    fn a_signature_is_what_others_compute() {
        let key = SecretString::from("key");
        assert_eq!(sign(&key, "1790000000", b"{\"a\":1}"), format!("v1={BY_OPENSSL}"));
        // The example of GitHub's documentation.
        let secret = SecretString::from("It's a Secret to Everybody");
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert!(is_signed_like_github(&secret, b"Hello, World!", signature));
    }

    #[test]
    fn only_the_whole_signature_of_the_same_time_body_and_secret_is_taken() {
        let secret = SecretString::from("s");
        let good = sign(&secret, "1", b"body");
        assert!(is_signed(&secret, "1", b"body", &good));
        assert!(!is_signed(&secret, "2", b"body", &good));
        assert!(!is_signed(&secret, "1", b"bodies", &good));
        assert!(!is_signed(&SecretString::from("t"), "1", b"body", &good));
        // The point between keeps a digit from moving into the body.
        assert!(!is_signed(&secret, "", b"1.body", &good.replace("v1=", "")));
        for bad in ["", "v1=", &good[3..], &good[..good.len() - 2], "v1=zz", &format!("{good}00")] {
            assert!(!is_signed(&secret, "1", b"body", bad), "{bad}");
        }
    }
}
