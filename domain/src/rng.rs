//! Randomness as a parameter: ids, tokens and jitter come through here.

use rand::TryRngCore;

/// A source of random bytes fit for secrets.
pub trait Rng: Send + Sync + 'static {
    fn fill(&self, bytes: &mut [u8]);

    /// A number in `0.0..1.0`, for jitter.
    fn fraction(&self) -> f64 {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
    }
}

/// The operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRng;

impl Rng for SystemRng {
    fn fill(&self, bytes: &mut [u8]) {
        // A kernel without entropy cannot make a token that is safe to hand out;
        // going on with a weak one would be worse than stopping.
        #[expect(clippy::expect_used, reason = "no safe way to go on without randomness")]
        rand::rngs::OsRng.try_fill_bytes(bytes).expect("the operating system gives random bytes");
    }
}
