//! A buyer who buys: searches, looks at items, fills the cart, pays, votes, and looks at what was bought.

use std::sync::Arc;

use agora_clients::BuyerClient;
use agora_clients::model::{Page, Search, Vote};
use rand::Rng;
use rand::seq::IndexedRandom;
use tokio_util::sync::CancellationToken;

use super::driver::{Done, Driver};
use super::market::{CATEGORIES, KEYWORDS, Market};
use super::names::card;
use super::{Person, Place, account};
use crate::history::{Action, Answer, CartSeen, ItemSeen, Units};

#[derive(Debug)]
pub(super) struct Shopper {
    pub person: Person,
    driver: Driver,
    client: BuyerClient,
    market: Arc<Market>,
    /// What is certainly in the cart; `None` when nobody can say.
    cart: Option<CartSeen>,
}

impl Shopper {
    pub async fn set_up(mut driver: Driver, place: &Place, market: Arc<Market>) -> anyhow::Result<Self> {
        let (person, client) = account::buyer(&mut driver, place).await?;
        Ok(Shopper { person, driver, client, market, cart: Some(CartSeen::default()) })
    }

    pub async fn run(&mut self, stop: &CancellationToken) {
        while self.driver.rest(stop).await {
            match self.driver.rng.random_range(0..100) {
                0..15 => self.search().await,
                15..30 => self.look().await,
                30..60 => self.add_to_cart().await,
                60..80 => self.buy().await,
                80..90 => self.vote().await,
                90..95 => self.rating().await,
                _ => self.look_back().await,
            }
        }
    }

    fn cart_key(&self) -> String {
        format!("cart:{}", self.person.user_id)
    }

    async fn search(&mut self) {
        let rng = &mut self.driver.rng;
        let category = rng.random_bool(0.5).then(|| rng.random_range(CATEGORIES));
        let keywords: Vec<String> = KEYWORDS.choose_multiple(rng, 2).map(|word| (*word).to_owned()).collect();
        let search = Search { category, keywords: keywords.clone(), page: Page::default() };
        let answer = |page: &agora_clients::model::ItemPage| {
            let ours = page.items.iter().filter(|item| self.market.knows(item.seller_id));
            Answer::Items(ours.map(ItemSeen::from).collect())
        };
        self.driver
            .read(Action::SearchItems { category, keywords }, "items", self.client.search(&search), answer)
            .await;
    }

    async fn look(&mut self) {
        let Some(item) = self.market.any(&mut self.driver.rng) else { return };
        let call = self.client.item(item.id);
        self.driver.read(Action::GetItem, item.id.to_string(), call, |item| Answer::Item(item.into())).await;
    }

    async fn add_to_cart(&mut self) {
        let Some(item) = self.market.any(&mut self.driver.rng) else { return };
        let units = Units { item_id: item.id, quantity: self.driver.rng.random_range(1..=3) };
        let call = |key| {
            let client = self.client.with_key(key);
            async move { client.add_to_cart(units.item_id, units.quantity).await }
        };
        let done = self
            .driver
            .change(Action::AddToCart(units), self.cart_key(), call, |cart| Answer::Cart(cart.into()))
            .await;
        match done {
            Done::Ok(cart) => self.cart = self.cart.is_some().then(|| (&cart).into()),
            Done::Not => {}
            Done::Unknown => self.cart = None,
        }
    }

    async fn buy(&mut self) {
        let lines = match &self.cart {
            Some(cart) if cart.lines.is_empty() => return self.add_to_cart().await,
            Some(cart) => cart
                .lines
                .iter()
                .map(|(item_id, quantity)| Units { item_id: *item_id, quantity: *quantity })
                .collect(),
            None => Vec::new(),
        };
        let card = &card();
        let call = |key| {
            let client = self.client.with_key(key);
            async move { client.purchase(card).await }
        };
        let answer = |purchase: &agora_clients::model::Purchase| Answer::Purchase(purchase.into());
        let done = self.driver.change(Action::MakePurchase(lines), self.cart_key(), call, answer).await;
        match done {
            Done::Ok(_) if self.cart.is_some() => self.cart = Some(CartSeen::default()),
            // What could not be bought once may never be: begin anew.
            Done::Ok(_) | Done::Not => self.begin_anew().await,
            // It may yet buy whatever is in this session's cart.
            Done::Unknown => {
                self.cart = None;
                self.begin_anew().await;
            }
        }
    }

    /// A new session, whose cart is certainly empty: a late effect of an earlier call can only reach the old session.
    async fn begin_anew(&mut self) {
        let unknown = self.cart.is_none();
        let call = |key| {
            let client = self.client.with_key(key);
            async move { client.clear_cart().await }
        };
        let cleared =
            self.driver.change(Action::ClearCart, self.cart_key(), call, |()| Answer::Nothing).await;
        self.cart = match cleared {
            Done::Ok(()) if !unknown => Some(CartSeen::default()),
            _ if account::login_buyer(&mut self.driver, &self.person, &self.client).await => {
                Some(CartSeen::default())
            }
            _ => None,
        };
    }

    async fn vote(&mut self) {
        let Some(item) = self.market.any(&mut self.driver.rng) else { return };
        let vote = if self.driver.rng.random_bool(0.7) { Vote::Up } else { Vote::Down };
        let call = |key| {
            let client = self.client.with_key(key);
            async move { client.give_feedback(item.id, vote).await }
        };
        let answer = |feedback: &agora_clients::model::Feedback| Answer::Feedback(*feedback);
        self.driver.change(Action::GiveFeedback(vote), item.id.to_string(), call, answer).await;
    }

    async fn rating(&mut self) {
        let Some(item) = self.market.any(&mut self.driver.rng) else { return };
        let key = format!("seller:{}", item.seller_id);
        let call = self.client.seller_rating(item.seller_id);
        self.driver.read(Action::GetSellerRating, key, call, |rating| Answer::Rating(*rating)).await;
    }

    async fn look_back(&mut self) {
        let page = Page::default();
        let answer = |page: &agora_clients::model::PurchasePage| {
            Answer::Purchases(page.purchases.iter().map(|purchase| purchase.purchase_id.clone()).collect())
        };
        let key = format!("buyer:{}", self.person.user_id);
        self.driver.read(Action::ListPurchases, key, self.client.purchases(&page), answer).await;
    }
}
