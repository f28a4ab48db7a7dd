//! Passwords: hashed with argon2id, away from the async workers, a few at a time and with a bounded queue.
//!
//! A hash costs 19 MiB and some 20 ms on purpose; a login takes two. Whoever finds the queue full is told to come back at once: that is better
//! than to make everybody wait. An unknown user costs a hash too, so that the time an answer takes tells nobody whether there
//! is such a user.

use std::fmt;
use std::sync::Arc;

use argon2::password_hash::{Error as HashError, PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::problem::Problem;

/// As the OWASP cheat sheet has it: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// How many may wait for each that is being hashed.
const WAITING_PER_HASH: usize = 64;

/// A password as its owner typed it. Never shown.
pub struct Password(String);

impl Password {
    /// This text.
    pub fn new(text: String) -> Self {
        Password(text)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Hashes passwords, so many at a time.
pub struct Passwords {
    argon2: Argon2<'static>,
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
    /// What an unknown user's password is compared with.
    nobody: String,
}

impl Passwords {
    /// So many at a time, and a bounded number waiting.
    ///
    /// # Errors
    /// The parameters are none that argon2 takes.
    pub fn new(at_a_time: usize) -> Result<Self, HashError> {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, None)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let at_a_time = at_a_time.clamp(1, 1024);
        let nobody = phc(&argon2, Uuid::new_v4().as_bytes(), Uuid::new_v4().as_bytes())?;
        Ok(Passwords {
            argon2,
            running: Arc::new(Semaphore::new(at_a_time)),
            admitted: Arc::new(Semaphore::new(at_a_time * (1 + WAITING_PER_HASH))),
            nobody,
        })
    }

    /// The PHC string of a password.
    ///
    /// # Errors
    /// `unavailable`: too many wait already.
    pub async fn hash(&self, password: Password, salt: [u8; 16]) -> Result<String, Problem> {
        let argon2 = self.argon2.clone();
        self.run(move || phc(&argon2, password.0.as_bytes(), &salt)).await
    }

    /// If this is the password behind the PHC string: a secret of the password, which is the same for the same salt. Without a
    /// PHC string, it never is.
    ///
    /// The secret costs a second hash. So whoever knows the salt, and some quick hash of the secret, can try out passwords no
    /// faster than with the PHC string.
    ///
    /// # Errors
    /// `unavailable`: too many wait already.
    pub async fn secret(
        &self,
        password: Password,
        expected: Option<String>,
        salt: [u8; 16],
    ) -> Result<Option<[u8; 16]>, Problem> {
        let argon2 = self.argon2.clone();
        let known = expected.is_some();
        let expected = expected.unwrap_or_else(|| self.nobody.clone());
        let verify = move || {
            let expected = PasswordHash::new(&expected)?;
            match argon2.verify_password(password.0.as_bytes(), &expected) {
                Ok(()) if known => {
                    let mut secret = [0; 16];
                    argon2.hash_password_into(password.0.as_bytes(), &salt, &mut secret)?;
                    Ok(Some(secret))
                }
                Ok(()) | Err(HashError::Password) => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.run(verify).await
    }

    async fn run<T, F>(&self, work: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, HashError> + Send + 'static,
    {
        let full = || Problem::unavailable("too many are logging in just now; nothing happened");
        let admitted = Arc::clone(&self.admitted).try_acquire_owned().map_err(|_| full())?;
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(|_| full())?;
        // The permits go with the work: a caller who leaves does not free a core.
        let guarded = move || {
            let _permits: [OwnedSemaphorePermit; 2] = [admitted, running];
            work()
        };
        match tokio::task::spawn_blocking(guarded).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => {
                tracing::error!(%error, "can't hash a password");
                Err(Problem::internal())
            }
            Err(error) => {
                tracing::error!(%error, "hashing a password broke off");
                Err(Problem::internal())
            }
        }
    }
}

fn phc(argon2: &Argon2<'_>, password: &[u8], salt: &[u8]) -> Result<String, HashError> {
    let salt = SaltString::encode_b64(salt)?;
    Ok(argon2.hash_password(password, &salt)?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::new(text.to_owned())
    }

    #[tokio::test]
    async fn a_password_is_known_again_and_another_is_not() {
        let passwords = Passwords::new(1).unwrap();
        let hash = passwords.hash(password("open sesame"), [7; 16]).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(hash.len() <= agora_proto::limits::PASSWORD_HASH_BYTES);
        assert_eq!(
            hash,
            passwords.hash(password("open sesame"), [7; 16]).await.unwrap(),
            "a repeat is the same"
        );
        let secret = async |text: &str, hash: Option<&String>, salt| {
            passwords.secret(password(text), hash.cloned(), salt).await.unwrap()
        };
        assert!(secret("open sesame", Some(&hash), [1; 16]).await.is_some());
        assert_eq!(secret("open barley", Some(&hash), [1; 16]).await, None);
        assert_eq!(secret("open sesame", None, [1; 16]).await, None);
    }

    #[tokio::test]
    async fn a_secret_is_that_of_password_and_salt_and_not_in_what_is_kept() {
        let passwords = Passwords::new(1).unwrap();
        let secret = async |text: &str, salt| {
            let hash = passwords.hash(password(text), [7; 16]).await.unwrap();
            passwords.secret(password(text), Some(hash), salt).await.unwrap().unwrap()
        };
        let ours = secret("open sesame", [1; 16]).await;
        assert_eq!(secret("open sesame", [1; 16]).await, ours, "a repeat is the same");
        assert_ne!(secret("open sesame", [2; 16]).await, ours);
        assert_ne!(secret("open barley", [1; 16]).await, ours);
        let kept = passwords.hash(password("open sesame"), [1; 16]).await.unwrap();
        let kept = PasswordHash::new(&kept).unwrap().hash.unwrap();
        assert_ne!(kept.as_bytes()[..16], ours, "it is no part of a hash with that salt");
    }

    #[tokio::test]
    async fn who_finds_the_queue_full_is_sent_away_at_once() {
        let passwords = Passwords::new(1).unwrap();
        let hold = Arc::clone(&passwords.running).acquire_owned().await.unwrap();
        let places = passwords.admitted.available_permits();
        let filled =
            Arc::clone(&passwords.admitted).acquire_many_owned(u32::try_from(places).unwrap()).await.unwrap();
        let refused = passwords.hash(password("p"), [0; 16]).await.unwrap_err();
        assert_eq!(refused.code(), "unavailable");
        drop((hold, filled));
        passwords.hash(password("p"), [0; 16]).await.unwrap();
    }

    #[test]
    fn a_password_does_not_show_itself() {
        assert_eq!(format!("{:?}", password("secret")), "Password(…)");
    }
}
