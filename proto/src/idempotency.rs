//! How a frontend turns a client's idempotency key and request into what the databases remember.

use sha2::{Digest, Sha256};

use crate::common::Idempotency;

/// Length of an idempotency key's hash and of a fingerprint, in bytes.
pub const IDEMPOTENCY_HASH_BYTES: usize = 32;

/// SHA-256 of the parts, each preceded by its length, so that no two lists of parts collide.
pub fn key_hash(parts: &[&[u8]]) -> [u8; IDEMPOTENCY_HASH_BYTES] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

impl Idempotency {
    /// From the scope within which the caller's keys are its own, its key, and the parts that make up its request.
    pub fn new(scope: &str, key: &[u8], request: &[&[u8]]) -> Self {
        Idempotency {
            key: key_hash(&[scope.as_bytes(), key]).to_vec().into(),
            fingerprint: key_hash(request).to_vec().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(key_hash(&[b"ab", b"c"]), key_hash(&[b"a", b"bc"]));
    }
}
