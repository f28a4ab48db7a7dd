//! The ledger: what was decided on each transaction, kept so that it is never decided twice.
//!
//! What holds for a transaction id: it is decided once, at the first authorization, and an expired card is declined; voiding it makes sure that nothing
//! is, or ever will be, charged for it. A void of an id that was never seen is kept too, and declines an authorization that
//! comes late. After a void an authorization is declined, whatever was decided before: an approval would be taken for money.
//!
//! No card data is kept, but a fingerprint that tells another card from the first one. It is salted, and so short that
//! numerous card numbers have the same one: who finds the ledger can't find the card by trying.
//!
//! All functions block, and nothing is durable before [`Ledger::sync`].

use std::path::{Path, PathBuf};

use agora_proto::key_hash;
use serde::{Deserialize, Serialize};

use super::decision::Decisions;
use super::operations::AuthorizePayment;

/// Most transactions that are kept.
const TRANSACTIONS_MAX: u64 = 50_000_000;
/// How much of the ledger sled may keep in memory.
const CACHE_BYTES: u64 = 32 << 20;
const FORMAT: &[u8] = b"agora-financial-ledger-1";
const ENTRY_VERSION: u8 = 1;

/// A ledger in a directory of its own, open in this process alone.
pub(crate) struct Ledger {
    path: PathBuf,
    database: sled::Db,
    entries: sled::Tree,
    salt: [u8; 32],
    decisions: Decisions,
    totals: Totals,
}

/// The answer to an authorization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub approved: bool,
    /// Empty when declined.
    pub authorization_id: String,
}

/// What is kept of a transaction. Part of the format on disk: variants are only added, at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Entry {
    Decided { card: [u8; 4], amount_cents: u64, authorization_id: Option<String>, voided: bool },
    VoidedUnseen,
}

/// A count of transactions, and their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Total {
    pub count: u64,
    pub cents: u128,
}

/// The books: what was approved is what is charged and what was voided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Totals {
    /// All that were approved, voided or not.
    pub approved: Total,
    pub declined: Total,
    /// Those of the approved that were voided.
    pub voided: Total,
    /// Those of the approved that were not.
    pub charged: Total,
    /// Voids that came before any authorization.
    pub voided_unseen: u64,
}

/// Why the ledger did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LedgerError {
    #[error("the ledger in {path} can't be used: {why}")]
    Storage { path: PathBuf, why: String },
    #[error("the transaction id belongs to a payment with another amount or card")]
    OtherPayment,
    #[error("the ledger is full")]
    Full,
}

impl Total {
    fn add(&mut self, cents: u64) {
        self.count += 1;
        self.cents += u128::from(cents);
    }

    fn subtract(&mut self, cents: u64) {
        self.count = self.count.saturating_sub(1);
        self.cents = self.cents.saturating_sub(u128::from(cents));
    }
}

impl Totals {
    fn transactions(&self) -> u64 {
        self.approved.count + self.declined.count + self.voided_unseen
    }

    fn count(&mut self, entry: &Entry) {
        match entry {
            Entry::Decided { amount_cents, authorization_id: None, .. } => self.declined.add(*amount_cents),
            Entry::Decided { amount_cents, voided, .. } => {
                self.approved.add(*amount_cents);
                if *voided { self.voided.add(*amount_cents) } else { self.charged.add(*amount_cents) }
            }
            Entry::VoidedUnseen => self.voided_unseen += 1,
        }
    }
}

impl Ledger {
    /// Opens the ledger in this directory, or makes a new one if there is nothing there.
    ///
    /// # Errors
    /// The directory holds something else, or is in use, or damaged, or the file system refuses.
    pub(crate) fn open(path: &Path, decisions: Decisions) -> Result<Self, LedgerError> {
        let storage = |why: String| LedgerError::Storage { path: path.to_owned(), why };
        let is_new = is_new(path).map_err(storage)?;
        let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        let database = config.open().map_err(|error| storage(error.to_string()))?;
        let salt = if is_new { create(&database) } else { check(&database) }.map_err(storage)?;
        let entries = database.open_tree("entries").map_err(|error| storage(error.to_string()))?;
        let mut totals = Totals::default();
        for record in &entries {
            let (id, value) = record.map_err(|error| storage(error.to_string()))?;
            let entry =
                decode(&value).map_err(|why| storage(format!("{}: {why}", String::from_utf8_lossy(&id))))?;
            totals.count(&entry);
        }
        Ok(Ledger { path: path.to_owned(), database, entries, salt, decisions, totals })
    }

    /// Decides on a payment, or repeats what was decided. The answer may be given after the next [`Ledger::sync`].
    pub(crate) fn authorize(&mut self, payment: &AuthorizePayment) -> Result<Decision, LedgerError> {
        let card = self.fingerprint(payment);
        let id = payment.transaction_id.as_str();
        let authorization_id = match self.entry(id)? {
            Some(Entry::Decided { card: first_card, amount_cents, authorization_id, voided }) => {
                if first_card != card || amount_cents != payment.amount_cents {
                    return Err(LedgerError::OtherPayment);
                }
                authorization_id.filter(|_| !voided)
            }
            Some(Entry::VoidedUnseen) => None,
            None => {
                self.check_room()?;
                let approved = self.decisions.approves(id) && !payment.expired;
                let authorization_id = approved.then(|| self.decisions.authorization_id(id));
                let amount_cents = payment.amount_cents;
                let entry = Entry::Decided {
                    card,
                    amount_cents,
                    authorization_id: authorization_id.clone(),
                    voided: false,
                };
                self.write(id, &entry)?;
                self.totals.count(&entry);
                authorization_id
            }
        };
        let approved = authorization_id.is_some();
        Ok(Decision { approved, authorization_id: authorization_id.unwrap_or_default() })
    }

    /// Makes sure that nothing is charged for a transaction, now or later.
    pub(crate) fn void(&mut self, id: &str) -> Result<(), LedgerError> {
        match self.entry(id)? {
            Some(Entry::Decided {
                card,
                amount_cents,
                authorization_id: Some(authorization_id),
                voided: false,
            }) => {
                let authorization_id = Some(authorization_id);
                self.write(id, &Entry::Decided { card, amount_cents, authorization_id, voided: true })?;
                self.totals.voided.add(amount_cents);
                self.totals.charged.subtract(amount_cents);
                Ok(())
            }
            // Voided already, or never charged.
            Some(Entry::Decided { .. } | Entry::VoidedUnseen) => Ok(()),
            None => {
                self.check_room()?;
                self.write(id, &Entry::VoidedUnseen)?;
                self.totals.count(&Entry::VoidedUnseen);
                Ok(())
            }
        }
    }

    /// Makes durable all that was written.
    pub(crate) fn sync(&self) -> Result<(), LedgerError> {
        self.database.flush().map(drop).map_err(|error| self.storage(error.to_string()))
    }

    /// The books as they are now.
    pub(crate) fn totals(&self) -> Totals {
        self.totals
    }

    fn fingerprint(&self, payment: &AuthorizePayment) -> [u8; 4] {
        let AuthorizePayment { transaction_id, card_name, card_number, expiry, .. } = payment;
        let [id, name, number, expiry] =
            [transaction_id, card_name, card_number, expiry].map(String::as_bytes);
        let [a, b, c, d, ..] = key_hash(&[&self.salt, id, name, number, expiry]);
        [a, b, c, d]
    }

    fn check_room(&self) -> Result<(), LedgerError> {
        if self.totals.transactions() < TRANSACTIONS_MAX { Ok(()) } else { Err(LedgerError::Full) }
    }

    fn entry(&self, id: &str) -> Result<Option<Entry>, LedgerError> {
        let value = self.entries.get(id).map_err(|error| self.storage(error.to_string()))?;
        value.map(|value| decode(&value)).transpose().map_err(|why| self.storage(format!("{id}: {why}")))
    }

    fn write(&self, id: &str, entry: &Entry) -> Result<(), LedgerError> {
        let mut value = vec![ENTRY_VERSION];
        bincode::serde::encode_into_std_write(entry, &mut value, bincode::config::standard())
            .map_err(|error| self.storage(error.to_string()))?;
        self.entries.insert(id, value).map(drop).map_err(|error| self.storage(error.to_string()))
    }

    fn storage(&self, why: String) -> LedgerError {
        LedgerError::Storage { path: self.path.clone(), why }
    }
}

fn is_new(path: &Path) -> Result<bool, String> {
    std::fs::create_dir_all(path).map_err(|error| error.to_string())?;
    let mut files = std::fs::read_dir(path).map_err(|error| error.to_string())?;
    let is_empty = files.next().is_none();
    // A process that was killed while it made the ledger may have left only one of sled's files.
    if !is_empty && !["conf", "db"].iter().any(|file| path.join(file).exists()) {
        return Err("the directory is not empty, and holds no ledger: name another one, or empty it".into());
    }
    Ok(is_empty)
}

fn create(database: &sled::Db) -> Result<[u8; 32], String> {
    let salt: [u8; 32] = rand::random();
    let mut batch = sled::Batch::default();
    batch.insert("format", FORMAT);
    batch.insert("salt", &salt[..]);
    database.apply_batch(batch).and_then(|()| database.flush()).map_err(|error| error.to_string())?;
    Ok(salt)
}

fn check(database: &sled::Db) -> Result<[u8; 32], String> {
    let read = |key: &str| database.get(key).map_err(|error| error.to_string());
    match (read("format")?, read("salt")?) {
        (Some(format), Some(salt)) if format == FORMAT => {
            <[u8; 32]>::try_from(&salt[..]).map_err(|_| "its salt is damaged".to_owned())
        }
        (None, None) if database.is_empty() && database.tree_names().len() == 1 => create(database),
        _ => Err("it is damaged, or not of this version: restore it, or name another directory".into()),
    }
}

fn decode(value: &[u8]) -> Result<Entry, String> {
    let Some((&ENTRY_VERSION, body)) = value.split_first() else { return Err("an unknown version".into()) };
    match bincode::serde::decode_from_slice(body, bincode::config::standard().with_limit::<4096>()) {
        Ok((entry, read)) if read == body.len() => Ok(entry),
        Ok(_) => Err("bytes behind the entry".into()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Decisions = Decisions { approval_rate: 1.0, seed: 1 };
    const NONE: Decisions = Decisions { approval_rate: 0.0, seed: 1 };

    fn payment(id: &str, cents: u64) -> AuthorizePayment {
        AuthorizePayment {
            transaction_id: id.into(),
            card_name: "Ada Lovelace".into(),
            card_number: "4111111111111111".into(),
            expiry: "07/2031".into(),
            expired: false,
            amount_cents: cents,
        }
    }

    #[test]
    fn a_transaction_is_decided_once_whatever_the_rate_is_later() {
        let directory = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(directory.path(), ALL).unwrap();
        let first = ledger.authorize(&payment("t", 5)).unwrap();
        assert!(first.approved && !first.authorization_id.is_empty());
        assert_eq!(ledger.authorize(&payment("t", 5)), Ok(first.clone()));
        ledger.sync().unwrap();
        let totals = ledger.totals();
        drop(ledger);
        let mut ledger = Ledger::open(directory.path(), NONE).unwrap();
        assert_eq!(ledger.totals(), totals);
        assert_eq!(ledger.authorize(&payment("t", 5)), Ok(first));
        assert!(!ledger.authorize(&payment("u", 5)).unwrap().approved);
    }

    #[test]
    fn an_expired_card_is_declined_and_one_that_expired_since_is_as_it_was_decided() {
        let directory = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(directory.path(), ALL).unwrap();
        let expired = |id| AuthorizePayment { expired: true, ..payment(id, 5) };
        assert!(!ledger.authorize(&expired("t")).unwrap().approved);
        assert_eq!(ledger.totals().declined, Total { count: 1, cents: 5 });
        let first = ledger.authorize(&payment("u", 5)).unwrap();
        assert_eq!(ledger.authorize(&expired("u")), Ok(first));
    }

    #[test]
    fn another_payment_under_the_same_id_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(directory.path(), ALL).unwrap();
        ledger.authorize(&payment("t", 5)).unwrap();
        let other_card = AuthorizePayment { card_number: "4111111111111112".into(), ..payment("t", 5) };
        assert_eq!(ledger.authorize(&payment("t", 6)), Err(LedgerError::OtherPayment));
        assert_eq!(ledger.authorize(&other_card), Err(LedgerError::OtherPayment));
        assert_eq!(ledger.totals().approved, Total { count: 1, cents: 5 });
    }

    #[test]
    fn after_a_void_nothing_is_charged_early_late_or_again() {
        let directory = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(directory.path(), ALL).unwrap();
        ledger.authorize(&payment("t", 5)).unwrap();
        ledger.authorize(&payment("kept", 7)).unwrap();
        ledger.void("t").unwrap();
        ledger.void("t").unwrap();
        ledger.void("late").unwrap();
        assert!(!ledger.authorize(&payment("t", 5)).unwrap().approved);
        assert!(!ledger.authorize(&payment("late", 9)).unwrap().approved);
        let totals = Totals {
            approved: Total { count: 2, cents: 12 },
            declined: Total::default(),
            voided: Total { count: 1, cents: 5 },
            charged: Total { count: 1, cents: 7 },
            voided_unseen: 1,
        };
        assert_eq!(ledger.totals(), totals);
        ledger.sync().unwrap();
        drop(ledger);
        assert_eq!(Ledger::open(directory.path(), ALL).unwrap().totals(), totals);
    }

    #[test]
    fn no_card_is_on_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(directory.path(), ALL).unwrap();
        ledger.authorize(&payment("findable-id", 5)).unwrap();
        ledger.sync().unwrap();
        drop(ledger);
        let mut all = Vec::new();
        let mut directories = vec![directory.path().to_owned()];
        while let Some(path) = directories.pop() {
            for entry in std::fs::read_dir(path).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { directories.push(path) } else { all.extend(std::fs::read(path).unwrap()) }
            }
        }
        let finds = |text: &str| all.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(finds("findable-id"));
        assert!(!finds("4111111111111111") && !finds("Lovelace") && !finds("07/2031"));
    }

    #[test]
    fn a_directory_with_something_else_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("thesis.txt"), "irreplaceable").unwrap();
        let error = Ledger::open(directory.path(), ALL).map(drop).unwrap_err().to_string();
        assert!(
            error.contains("not empty") && error.contains(&*directory.path().to_string_lossy()),
            "{error}"
        );
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_ledger_is_open_in_one_place_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let _open = Ledger::open(directory.path(), ALL).unwrap();
        assert!(matches!(Ledger::open(directory.path(), ALL), Err(LedgerError::Storage { .. })));
    }

    #[test]
    fn a_damaged_entry_is_found_at_the_start() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(directory.path(), ALL).unwrap();
        ledger.entries.insert("t", vec![ENTRY_VERSION, 200]).unwrap();
        ledger.sync().unwrap();
        drop(ledger);
        assert!(Ledger::open(directory.path(), ALL).map(drop).unwrap_err().to_string().contains("t: "));
    }
}
