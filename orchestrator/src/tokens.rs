//! API tokens: `fh_` and 32 random bytes in hexadecimal. Only the SHA-256 of the text is stored;
//! with 256 random bits there is nothing for a slow hash to protect.

use domain::{Clock, Rng, Role, TokenId};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use store::{Store, StoreError, Token};

const PREFIX: &str = "fh_";
const RANDOM_BYTES: usize = 32;

pub fn new_secret(rng: &dyn Rng) -> SecretString {
    let mut bytes = [0; RANDOM_BYTES];
    rng.fill(&mut bytes);
    SecretString::from(format!("{PREFIX}{}", hex::encode(bytes)))
}

/// The form that is stored and looked up.
pub fn hash(secret: &str) -> String {
    hex::encode(Sha256::digest(secret))
}

/// Whether a text can be a token at all; what cannot is not looked up.
pub(crate) fn is_well_formed(text: &str) -> bool {
    let digits = text.strip_prefix(PREFIX).unwrap_or_default();
    digits.len() == 2 * RANDOM_BYTES && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Makes the first admin token of a new database; `None` when there is or ever was a token, so
/// that nobody with a shell on a used system gets one this way.
pub async fn bootstrap(
    store: &Store,
    clock: &dyn Clock,
    rng: &dyn Rng,
    principal: &str,
) -> Result<Option<SecretString>, StoreError> {
    let secret = new_secret(rng);
    let created = bootstrap_with(store, clock, rng, principal, &secret).await?;
    Ok(created.then_some(secret))
}

/// As [`bootstrap`], for a caller who has put the secret into safety first: a crash in between
/// then leaves a secret without a token, never a token whose secret nobody knows.
pub async fn bootstrap_with(
    store: &Store,
    clock: &dyn Clock,
    rng: &dyn Rng,
    principal: &str,
    secret: &SecretString,
) -> Result<bool, StoreError> {
    let now = clock.now();
    let token = Token {
        id: TokenId::new(now, rng),
        principal: principal.to_owned(),
        roles: [Role::Admin].into(),
        created_at: now,
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    };
    store.create_first_token(&token, &hash(secret.expose_secret())).await
}

#[cfg(test)]
mod tests {
    use domain::{SystemClock, SystemRng};

    use super::*;
    use crate::http::testing;

    #[test]
    fn a_secret_is_well_formed_unique_and_does_not_print() {
        let (one, two) = (new_secret(&SystemRng), new_secret(&SystemRng));
        assert!(is_well_formed(one.expose_secret()));
        assert_ne!(one.expose_secret(), two.expose_secret());
        assert!(!format!("{one:?}").contains(&one.expose_secret()[3..]));
    }

    #[test]
    fn what_cannot_be_a_token_is_not_looked_up() {
        for bad in ["", "fh_", "fh_12", &"f".repeat(67), &format!("fh_{}", "x".repeat(64))] {
            assert!(!is_well_formed(bad), "{bad}");
        }
    }

    #[tokio::test]
    async fn only_the_first_bootstrap_of_a_database_gives_a_token() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = testing::store(&folder).await;
        let first = bootstrap(&store, &SystemClock, &SystemRng, "admin").await.expect("works");
        let secret = first.expect("a token");
        let found = store.token_by_hash(&hash(secret.expose_secret()), SystemClock.now()).await;
        let token = found.expect("works").expect("is there");
        assert_eq!((token.principal.as_str(), token.roles.contains(&Role::Admin)), ("admin", true));

        let again = bootstrap(&store, &SystemClock, &SystemRng, "admin").await.expect("works");
        assert!(again.is_none());
        store.revoke_token(token.id, SystemClock.now()).await.expect("works");
        let after = bootstrap(&store, &SystemClock, &SystemRng, "admin").await.expect("works");
        assert!(after.is_none(), "a revoked token still counts");
    }
}
