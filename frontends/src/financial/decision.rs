//! Which payments are approved. A draw from the seed and the transaction id, so that a run can be repeated.

use sha2::{Digest, Sha256};

/// How decisions are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decisions {
    /// The share of payments that are approved, 0 to 1.
    pub approval_rate: f64,
    /// Other seeds approve other transactions.
    pub seed: u64,
}

impl Decisions {
    /// Whether a new transaction is approved.
    pub(crate) fn approves(&self, transaction_id: &str) -> bool {
        // The upper 53 bits make a float in [0, 1), evenly.
        let draw = (self.draw(transaction_id, b"decision") >> 11) as f64 / (1_u64 << 53) as f64;
        draw < self.approval_rate
    }

    /// The authorization id of an approved transaction.
    pub(crate) fn authorization_id(&self, transaction_id: &str) -> String {
        format!("auth-{:016x}", self.draw(transaction_id, b"authorization"))
    }

    fn draw(&self, transaction_id: &str, purpose: &[u8]) -> u64 {
        let mut hash = Sha256::new();
        hash.update(purpose);
        hash.update(self.seed.to_be_bytes());
        hash.update(transaction_id);
        hash.finalize().iter().take(8).fold(0, |draw, byte| draw << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_and_the_seed_decides_which() {
        let approved = |approval_rate, seed| -> Vec<bool> {
            let decisions = Decisions { approval_rate, seed };
            (0..10_000).map(|n| decisions.approves(&format!("t-{n}"))).collect()
        };
        let count = |decisions: &[bool]| decisions.iter().filter(|approved| **approved).count();
        assert_eq!(count(&approved(0.0, 1)), 0);
        assert_eq!(count(&approved(1.0, 1)), 10_000);
        let usual = approved(0.9, 1);
        assert!((8_850..=9_150).contains(&count(&usual)), "{}", count(&usual));
        assert_eq!(usual, approved(0.9, 1));
        assert_ne!(usual, approved(0.9, 2));
    }
}
