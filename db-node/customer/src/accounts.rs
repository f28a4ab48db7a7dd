//! Accounts: who buyers and sellers are. A username belongs to one account of its role; ids count per role.

use std::sync::Arc;

use agora_machine::{CorruptRecord, Record, Table, TableId};
use agora_proto::common::{Code, Refusal};
use agora_proto::customer::{
    Account, AccountCreated, CreateAccount, Credentials, GetAccount, GetCredentials, response::Body,
};
use agora_proto::limits::{DISPLAY_NAME_CHARS, USERNAME_CHARS};
use imbl::HashMap;
use serde::{Deserialize, Serialize};

use crate::keys::{Role, UserKey};
use crate::limits::ACCOUNTS_MAX;
use crate::state::CustomerDb;
use crate::validate;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AccountRow {
    username: String,
    display_name: String,
    password_hash: String,
    items_purchased: u64,
}

/// All accounts, found by id and by username.
#[derive(Clone, Debug)]
pub(crate) struct Accounts {
    pub(crate) rows: Table<UserKey, AccountRow>,
    buyers: HashMap<Arc<str>, u64>,
    sellers: HashMap<Arc<str>, u64>,
}

impl Accounts {
    pub(crate) fn new(id: TableId) -> Self {
        Accounts { rows: Table::new(id), buyers: HashMap::new(), sellers: HashMap::new() }
    }

    fn usernames(&self, role: Role) -> &HashMap<Arc<str>, u64> {
        match role {
            Role::Buyer => &self.buyers,
            Role::Seller => &self.sellers,
        }
    }

    fn usernames_mut(&mut self, role: Role) -> &mut HashMap<Arc<str>, u64> {
        match role {
            Role::Buyer => &mut self.buyers,
            Role::Seller => &mut self.sellers,
        }
    }

    pub(crate) fn exists(&self, user: UserKey) -> bool {
        self.rows.contains_key(&user)
    }

    /// Accounts are never removed, so that the last id is also the count.
    fn next_id(&self, role: Role) -> u64 {
        let all = UserKey { role, id: 0 }..=UserKey { role, id: u64::MAX };
        self.rows.range(all).next_back().map_or(1, |(last, _)| last.id.saturating_add(1))
    }

    fn create(&mut self, role: Role, row: AccountRow) -> Result<u64, Refusal> {
        if self.usernames(role).contains_key(row.username.as_str()) {
            return Err(Refusal::new(
                Code::UsernameTaken,
                "another account has that username: choose another one",
            ));
        }
        if self.rows.len() >= ACCOUNTS_MAX {
            return Err(Refusal::new(Code::RateLimited, "no more accounts can be created"));
        }
        let id = self.next_id(role);
        self.usernames_mut(role).insert(row.username.as_str().into(), id);
        self.rows.insert(UserKey { role, id }, row);
        Ok(id)
    }

    /// Counts units that a buyer has bought.
    pub(crate) fn add_items_purchased(&mut self, buyer_id: u64, units: u64) {
        self.rows.update(&UserKey::buyer(buyer_id), |row| {
            row.items_purchased = row.items_purchased.saturating_add(units);
        });
    }

    fn find(&self, role: Role, username: &str) -> Option<(u64, &AccountRow)> {
        let id = *self.usernames(role).get(username)?;
        Some((id, self.rows.get(&UserKey { role, id })?))
    }

    /// Takes a record in, with its username.
    pub(crate) fn load(&mut self, record: &Record) -> Result<(), CorruptRecord> {
        self.rows.load(record)
    }

    /// Rebuilds the usernames from the rows.
    pub(crate) fn index(&mut self) -> Result<(), CorruptRecord> {
        let names: Vec<_> = self
            .rows
            .iter()
            .map(|(user, row)| (user.role, Arc::<str>::from(row.username.as_str()), user.id))
            .collect();
        for (role, username, id) in names {
            if let Some(other) = self.usernames_mut(role).insert(username, id) {
                let why = format!("the {role:?}s {other} and {id} have the same username");
                return Err(CorruptRecord { key: vec![self.rows.id().0], why });
            }
        }
        Ok(())
    }
}

impl CustomerDb {
    pub(crate) fn create_account(&mut self, command: CreateAccount) -> Result<Body, Refusal> {
        let role = validate::role(command.role)?;
        validate::name("username", &command.username, USERNAME_CHARS)?;
        validate::name("display_name", &command.display_name, DISPLAY_NAME_CHARS)?;
        validate::password_hash(&command.password_hash)?;
        let row = AccountRow {
            username: command.username,
            display_name: command.display_name,
            password_hash: command.password_hash,
            items_purchased: 0,
        };
        let user_id = self.accounts.create(role, row)?;
        Ok(Body::AccountCreated(AccountCreated { user_id }))
    }

    pub(crate) fn get_account(&self, query: GetAccount) -> Result<Body, Refusal> {
        let role = validate::role(query.role)?;
        let Some(row) = self.accounts.rows.get(&UserKey { role, id: query.user_id }) else {
            return Err(match role {
                Role::Seller => Refusal::new(Code::SellerNotFound, "there is no seller of that id"),
                Role::Buyer => Refusal::field("user_id", "there is no buyer of that id"),
            });
        };
        Ok(Body::Account(Account {
            role: query.role,
            user_id: query.user_id,
            username: row.username.clone(),
            display_name: row.display_name.clone(),
            items_purchased: row.items_purchased,
        }))
    }

    pub(crate) fn get_credentials(&self, query: &GetCredentials) -> Result<Body, Refusal> {
        let role = validate::role(query.role)?;
        match self.accounts.find(role, &query.username) {
            Some((user_id, row)) => {
                Ok(Body::Credentials(Credentials { user_id, password_hash: row.password_hash.clone() }))
            }
            None => Err(Refusal::new(Code::BadCredentials, "wrong username or password")),
        }
    }
}
