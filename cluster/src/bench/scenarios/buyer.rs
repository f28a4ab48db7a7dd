//! A buyer: searches, fills a cart, saves it, buys, looks back, votes.

use agora_clients::model::{Card, Condition, NewAccount, NewItem, Page, Search, Vote};
use agora_clients::{BuyerClient, Cents, ClientOptions, Error, ItemId, SellerClient, Start};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use uuid::Uuid;

use super::function::Function;
use super::seller::PASSWORD;

/// The category of the shop that never sells out, so that what a buyer is refused is never due to another buyer.
const SHOP: u32 = 1_000;
const SHOP_ITEMS: u64 = 50;
const SHOP_UNITS: u64 = 1_000_000;
const WORDS: [&str; 5] = ["lamp", "desk", "tea", "book", "chair"];

/// A shop with enough of everything.
#[derive(Clone, Debug)]
pub(crate) struct Shop {
    items: Vec<ItemId>,
    seller_id: u64,
}

impl Shop {
    pub async fn open(servers: Vec<String>) -> anyhow::Result<Self> {
        let client = SellerClient::new(servers, ClientOptions::default())?;
        let username = Uuid::new_v4().simple().to_string();
        let seller_id = client.create_account(&NewAccount::new(&username, PASSWORD, "The shop")).await?;
        client.login(&username, PASSWORD).await?;
        let mut items = Vec::new();
        for n in 0..SHOP_ITEMS {
            let keywords =
                WORDS.iter().cycle().skip(n as usize).take(2).map(|word| (*word).to_owned()).collect();
            let item = NewItem {
                name: format!("Ware {n}"),
                category: SHOP,
                keywords,
                condition: Condition::New,
                price: Cents(100 + n),
                quantity: SHOP_UNITS,
            };
            items.push(client.register_item(&item).await?.item_id);
        }
        Ok(Shop { items, seller_id })
    }
}

#[derive(Debug)]
pub(crate) struct Buyer {
    client: BuyerClient,
    username: String,
    created: bool,
    shop: Shop,
    /// What is in the cart for sure.
    cart: Vec<ItemId>,
    /// The same of the saved cart, with which each session begins.
    saved: Vec<ItemId>,
}

impl Buyer {
    pub fn new(servers: Vec<String>, first: usize, shop: Shop) -> anyhow::Result<Self> {
        let options = ClientOptions { start: Start::At(first), ..ClientOptions::default() };
        let client = BuyerClient::new(servers, options)?;
        let username = Uuid::new_v4().simple().to_string();
        Ok(Buyer { client, username, created: false, shop, cart: Vec::new(), saved: Vec::new() })
    }

    /// What can be done in place of a call that makes no sense just now.
    pub fn instead(&self, wanted: Function) -> Function {
        match wanted {
            Function::CreateBuyer => wanted,
            _ if !self.created => Function::CreateBuyer,
            Function::LoginBuyer => wanted,
            _ if self.client.token().is_none() => Function::LoginBuyer,
            Function::RemoveCart | Function::MakePurchase if self.cart.is_empty() => Function::AddToCart,
            wanted => wanted,
        }
    }

    pub async fn call(&mut self, function: Function, random: &mut StdRng) -> Result<(), Error> {
        let client = &self.client;
        match function {
            Function::CreateBuyer => {
                client.create_account(&NewAccount::new(&self.username, PASSWORD, "A buyer")).await?;
                self.created = true;
            }
            Function::LoginBuyer => {
                client.login(&self.username, PASSWORD).await?;
                self.cart.clone_from(&self.saved);
            }
            Function::LogoutBuyer => client.logout().await?,
            Function::DisplayCart => drop(client.cart().await?),
            Function::AddToCart => {
                if let Some(item) = self.shop.items.choose(random) {
                    client.add_to_cart(*item, random.random_range(1..=3)).await?;
                    if !self.cart.contains(item) {
                        self.cart.push(*item);
                    }
                }
            }
            Function::RemoveCart => {
                if let Some(item) = self.cart.pop() {
                    client.remove_from_cart(item, None).await?;
                }
            }
            Function::SaveCart => {
                client.save_cart(None).await?;
                self.saved.clone_from(&self.cart);
            }
            Function::ClearCart => {
                client.clear_cart().await?;
                self.cart.clear();
                self.saved.clear();
            }
            Function::SearchItems => {
                let keywords = WORDS.choose(random).map(|word| (*word).to_owned()).into_iter().collect();
                drop(client.search(&Search { keywords, ..Search::category(SHOP) }).await?);
            }
            Function::GetItem => {
                if let Some(item) = self.shop.items.choose(random) {
                    client.item(*item).await?;
                }
            }
            Function::GetPurchaseHistory => drop(client.purchases(&Page::default()).await?),
            Function::MakePurchase => {
                client.purchase(&card()).await?;
                self.cart.clear();
                // What was bought is not in the saved cart any more either.
                self.saved.clear();
            }
            Function::ProvideFeedback => {
                if let Some(item) = self.shop.items.choose(random) {
                    let vote = if random.random() { Vote::Up } else { Vote::Down };
                    client.give_feedback(*item, vote).await?;
                }
            }
            Function::GetSellerRatingByBuyer => {
                client.seller_rating(self.shop.seller_id).await.map(|_| ())?
            }
            sellers => {
                // The scripts of buyers hold nothing but what buyers do.
                return Err(Error::Configuration(format!("{} is no call of buyers", sellers.name())));
            }
        }
        Ok(())
    }
}

fn card() -> Card {
    Card {
        name: "A Buyer".into(),
        number: "4111111111111111".into(),
        expiry: "12/2049".into(),
        security_code: "737".into(),
    }
}
