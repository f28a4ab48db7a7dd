//! A seller: puts items on sale, changes prices and units, looks at its items and its rating.

use std::sync::Arc;

use agora_clients::model::{Condition, NewItem, Page};
use agora_clients::{Cents, ItemId, SellerClient};
use rand::Rng;
use rand::seq::IndexedRandom;
use tokio_util::sync::CancellationToken;

use super::driver::{Done, Driver};
use super::market::{ATTIC, CATEGORIES, KEYWORDS, Known, Market, Supply};
use super::{Person, Place, account};
use crate::history::{Action, Answer, ItemSeen, Offer};

/// Items that a seller begins with: one in two does not run out.
const FIRST_ITEMS: usize = 6;
/// Most items of a seller.
const ITEMS_MAX: usize = 60;
const PLENTY: u64 = 1_000_000;

#[derive(Debug)]
pub(super) struct Seller {
    pub person: Person,
    driver: Driver,
    client: SellerClient,
    market: Arc<Market>,
    items: Vec<Own>,
}

/// An item of the seller's own.
#[derive(Clone, Debug)]
struct Own {
    id: ItemId,
    item: NewItem,
    supply: Supply,
}

impl Seller {
    pub async fn set_up(mut driver: Driver, place: &Place, market: Arc<Market>) -> anyhow::Result<Self> {
        let (person, client) = account::seller(&mut driver, place).await?;
        market.join(person.user_id);
        let mut seller = Seller { person, driver, client, market, items: Vec::new() };
        for n in 0..FIRST_ITEMS {
            let supply = if n % 2 == 0 { Supply::Plenty } else { Supply::Scarce };
            seller.offer(supply).await;
        }
        anyhow::ensure!(
            seller.items.len() == FIRST_ITEMS,
            "{} can't put items on sale",
            seller.person.username
        );
        Ok(seller)
    }

    pub async fn run(&mut self, stop: &CancellationToken) {
        while self.driver.rest(stop).await {
            if self.driver.session.is_none() {
                account::login_seller(&mut self.driver, &self.person, &self.client).await;
                continue;
            }
            match self.driver.rng.random_range(0..100) {
                0..30 => self.change_price().await,
                30..55 => self.change_units().await,
                55..60 if self.items.len() < ITEMS_MAX => {
                    let supply = if self.driver.rng.random() { Supply::Plenty } else { Supply::Scarce };
                    self.offer(supply).await;
                }
                60..65 => self.offer_again().await,
                65..70 => self.offer_and_remove().await,
                70..84 => self.list().await,
                84..98 => self.rating().await,
                _ => self.come_back().await,
            }
        }
    }

    async fn register(&self, item: &NewItem) -> Done<agora_clients::model::RegisteredItem> {
        let NewItem { name, category, price, quantity, .. } = item.clone();
        let action = Action::AddItem(Offer { name, category, price, quantity });
        let call = |key| {
            let client = self.client.with_key(key);
            async move { client.register_item(item).await }
        };
        self.driver
            .change(action, format!("seller:{}", self.person.user_id), call, |item| {
                Answer::Registered(item.clone())
            })
            .await
    }

    /// A new item.
    async fn offer(&mut self, supply: Supply) {
        let number = self.market.number();
        let rng = &mut self.driver.rng;
        let keyword = KEYWORDS.choose(rng).copied().unwrap_or("lamp");
        let item = NewItem {
            name: format!("{keyword} {number}"),
            category: rng.random_range(CATEGORIES),
            keywords: vec![keyword.to_owned(), format!("s{}", self.person.client)],
            condition: if rng.random() { Condition::New } else { Condition::Used },
            price: Cents(rng.random_range(1..10_000)),
            quantity: match supply {
                Supply::Plenty => PLENTY,
                Supply::Scarce => rng.random_range(1..20),
            },
        };
        if let Done::Ok(registered) = self.register(&item).await {
            self.market.tell(Known { id: registered.item_id, seller_id: self.person.user_id, supply });
            self.items.push(Own { id: registered.item_id, item, supply });
        }
    }

    /// An item that is equal to one of the seller's: its units are added. (Or, if a price is not what we think, a new one.)
    async fn offer_again(&mut self) {
        let Some(own) = self.items.choose(&mut self.driver.rng).cloned() else { return };
        let quantity = self.driver.rng.random_range(1..10);
        self.register(&NewItem { quantity, ..own.item }).await;
    }

    /// An item that no buyer hears of, and that is taken off sale at once.
    async fn offer_and_remove(&mut self) {
        let item = NewItem {
            name: format!("attic {}", self.market.number()),
            category: ATTIC,
            keywords: Vec::new(),
            condition: Condition::Used,
            price: Cents(100),
            quantity: self.driver.rng.random_range(0..50),
        };
        if let Done::Ok(registered) = self.register(&item).await {
            let id = registered.item_id;
            let call = |key| {
                let client = self.client.with_key(key);
                async move { client.remove_item(id).await }
            };
            self.driver.change(Action::RemoveItem, id.to_string(), call, |()| Answer::Nothing).await;
        }
    }

    async fn change_price(&mut self) {
        let price = Cents(self.driver.rng.random_range(1..10_000));
        let index = self.driver.rng.random_range(0..self.items.len().max(1));
        let Some(own) = self.items.get(index) else { return };
        let id = own.id;
        let call = |key| {
            let client = self.client.with_key(key);
            async move { client.change_price(id, price).await }
        };
        let done = self
            .driver
            .change(Action::SetPrice(price), id.to_string(), call, |item| Answer::Item(item.into()))
            .await;
        if let (Done::Ok(_), Some(own)) = (done, self.items.get_mut(index)) {
            own.item.price = price;
        }
    }

    async fn change_units(&mut self) {
        let Some(own) = self.items.choose(&mut self.driver.rng).cloned() else { return };
        // Scarce items are filled up more than they are emptied, so that there is always something to buy.
        let most = if own.supply == Supply::Scarce { 15 } else { 5 };
        let delta = self.driver.rng.random_range(-5..=most);
        if delta == 0 {
            return;
        }
        let call = |key| {
            let client = self.client.with_key(key);
            async move { client.update_units(own.id, delta).await }
        };
        self.driver
            .change(Action::AddUnits(delta), own.id.to_string(), call, |units| Answer::Units(units.clone()))
            .await;
    }

    async fn list(&mut self) {
        let page = Page { limit: Some(100), cursor: None };
        let key = format!("seller:{}", self.person.user_id);
        let answer = |page: &agora_clients::model::ItemPage| {
            Answer::Items(page.items.iter().map(ItemSeen::from).collect())
        };
        self.driver.read(Action::ListItems, key, self.client.items(&page), answer).await;
    }

    /// Logs out and in again.
    async fn come_back(&mut self) {
        let call = |key| {
            let client = self.client.with_key(key);
            async move { client.logout().await }
        };
        let key = format!("seller:{}", self.person.username);
        self.driver.change(Action::LogoutSeller, key, call, |()| Answer::Nothing).await;
        account::login_seller(&mut self.driver, &self.person, &self.client).await;
    }

    async fn rating(&mut self) {
        let key = format!("seller:{}", self.person.user_id);
        self.driver
            .read(Action::GetSellerRating, key, self.client.rating(), |rating| Answer::Rating(*rating))
            .await;
    }
}
