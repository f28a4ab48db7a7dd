//! A seller: lists items, changes their prices and quantities, looks at them, takes some off sale.

use agora_clients::model::{Condition, NewAccount, NewItem, Page};
use agora_clients::{Cents, ClientOptions, Error, ItemId, SellerClient, Start};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use uuid::Uuid;

use super::function::Function;

pub(crate) const PASSWORD: &str = "a password of some length";
const CATEGORIES: u32 = 10;
const WORDS: [&str; 8] = ["lamp", "desk", "tea", "book", "chair", "cup", "pen", "clock"];

#[derive(Debug)]
pub(crate) struct Seller {
    client: SellerClient,
    username: String,
    created: bool,
    items: Vec<ItemId>,
}

impl Seller {
    pub fn new(servers: Vec<String>, first: usize) -> anyhow::Result<Self> {
        let options = ClientOptions { start: Start::At(first), ..ClientOptions::default() };
        let client = SellerClient::new(servers, options)?;
        Ok(Seller {
            client,
            username: Uuid::new_v4().simple().to_string(),
            created: false,
            items: Vec::new(),
        })
    }

    /// What can be done in place of a call that makes no sense just now.
    pub fn instead(&self, wanted: Function) -> Function {
        match wanted {
            Function::CreateSeller => wanted,
            _ if !self.created => Function::CreateSeller,
            Function::LoginSeller => wanted,
            _ if self.client.token().is_none() => Function::LoginSeller,
            Function::RemoveItem | Function::ChangePrice | Function::UpdateUnits if self.items.is_empty() => {
                Function::AddItem
            }
            wanted => wanted,
        }
    }

    pub async fn call(&mut self, function: Function, random: &mut StdRng) -> Result<(), Error> {
        let client = &self.client;
        match function {
            Function::CreateSeller => {
                client.create_account(&NewAccount::new(&self.username, PASSWORD, "A seller")).await?;
                self.created = true;
            }
            Function::LoginSeller => drop(client.login(&self.username, PASSWORD).await?),
            Function::LogoutSeller => client.logout().await?,
            Function::GetSellerRating => client.rating().await.map(|_| ())?,
            Function::AddItem => self.items.push(client.register_item(&new_item(random)).await?.item_id),
            Function::ChangePrice => {
                if let Some(item) = self.items.choose(random) {
                    client.change_price(*item, price(random)).await?;
                }
            }
            Function::UpdateUnits => {
                if let Some(item) = self.items.choose(random) {
                    client.update_units(*item, random.random_range(1..=10)).await?;
                }
            }
            Function::RemoveItem => {
                if let Some(item) = self.items.pop() {
                    client.remove_item(item).await?;
                }
            }
            Function::AllItemsBySeller => drop(client.items(&Page::default()).await?),
            buyers => {
                // The scripts of sellers hold nothing but what sellers do.
                return Err(Error::Configuration(format!("{} is no call of sellers", buyers.name())));
            }
        }
        Ok(())
    }
}

fn new_item(random: &mut StdRng) -> NewItem {
    let mut word = || WORDS.get(random.random_range(0..WORDS.len())).copied().unwrap_or("lamp").to_owned();
    let keywords = vec![word(), word()];
    NewItem {
        name: Uuid::new_v4().simple().to_string(),
        category: random.random_range(1..=CATEGORIES),
        keywords,
        condition: if random.random() { Condition::New } else { Condition::Used },
        price: price(random),
        quantity: random.random_range(1..100),
    }
}

fn price(random: &mut StdRng) -> Cents {
    Cents(random.random_range(100..100_000))
}
