//! A buyer who fills the cart, changes it, saves it, and comes back for it. It never buys, so each change of its carts is its
//! own doing, and each answer can be told beforehand.

use std::sync::Arc;

use agora_clients::BuyerClient;
use rand::Rng;
use rand::seq::IteratorRandom;
use tokio_util::sync::CancellationToken;

use super::driver::{Done, Driver};
use super::market::Market;
use super::{Person, Place, account};
use crate::history::{Action, Answer, CartSeen, Units};

#[derive(Debug)]
pub(super) struct Saver {
    pub person: Person,
    driver: Driver,
    client: BuyerClient,
    market: Arc<Market>,
    /// As last seen, for choosing what to take out of it.
    cart: CartSeen,
}

impl Saver {
    pub async fn set_up(mut driver: Driver, place: &Place, market: Arc<Market>) -> anyhow::Result<Self> {
        let (person, client) = account::buyer(&mut driver, place).await?;
        Ok(Saver { person, driver, client, market, cart: CartSeen::default() })
    }

    pub async fn run(&mut self, stop: &CancellationToken) {
        while self.driver.rest(stop).await {
            match self.driver.rng.random_range(0..100) {
                0..40 => self.add().await,
                40..55 => self.remove().await,
                55..75 => self.display().await,
                75..90 => self.save().await,
                90..93 => self.clear().await,
                _ => self.come_back().await,
            }
        }
    }

    /// The cart of this session, then the saved cart, as a new session gets it.
    pub async fn look_back(&mut self) {
        self.display().await;
        self.come_back().await;
        self.display().await;
    }

    fn key(&self) -> String {
        format!("cart:{}", self.person.user_id)
    }

    async fn add(&mut self) {
        let Some(item) = self.market.any_plenty(&mut self.driver.rng) else { return };
        let units = Units { item_id: item.id, quantity: self.driver.rng.random_range(1..=3) };
        let call = |key| {
            let client = self.client.with_key(key);
            async move { client.add_to_cart(units.item_id, units.quantity).await }
        };
        let done = self
            .driver
            .change(Action::AddToCart(units), self.key(), call, |cart| Answer::Cart(cart.into()))
            .await;
        self.seen(done).await;
    }

    async fn remove(&mut self) {
        let Some((item_id, quantity)) = self.cart.lines.iter().choose(&mut self.driver.rng) else { return };
        let units = Units { item_id: *item_id, quantity: (*quantity).min(2) };
        let call = |key| {
            let client = self.client.with_key(key);
            async move { client.remove_from_cart(units.item_id, Some(units.quantity)).await }
        };
        let done = self
            .driver
            .change(Action::RemoveFromCart(units), self.key(), call, |cart| Answer::Cart(cart.into()))
            .await;
        self.seen(done).await;
    }

    async fn seen(&mut self, done: Done<agora_clients::model::Cart>) {
        match done {
            Done::Ok(cart) => self.cart = (&cart).into(),
            Done::Not => {}
            // A new session has a cart about which everything is known again.
            Done::Unknown => self.come_back().await,
        }
    }

    async fn display(&mut self) {
        let cart = self
            .driver
            .read(Action::DisplayCart, self.key(), self.client.cart(), |cart| Answer::Cart(cart.into()))
            .await;
        if let Some(cart) = cart {
            self.cart = (&cart).into();
        }
    }

    async fn save(&mut self) {
        let call = |key| {
            let client = self.client.with_key(key);
            async move { client.save_cart(None).await }
        };
        let done =
            self.driver.change(Action::SaveCart(None), self.key(), call, |saved| Answer::Saved(*saved)).await;
        if matches!(done, Done::Unknown) {
            self.come_back().await;
        }
    }

    async fn clear(&mut self) {
        let call = |key| {
            let client = self.client.with_key(key);
            async move { client.clear_cart().await }
        };
        match self.driver.change(Action::ClearCart, self.key(), call, |()| Answer::Nothing).await {
            Done::Ok(()) => self.cart = CartSeen::default(),
            Done::Not => {}
            Done::Unknown => self.come_back().await,
        }
    }

    /// Logs out and in again: the new session's cart is a copy of the saved cart.
    async fn come_back(&mut self) {
        let call = |key| {
            let client = self.client.with_key(key);
            async move { client.logout().await }
        };
        self.driver.change(Action::LogoutBuyer, self.key(), call, |()| Answer::Nothing).await;
        if account::login_buyer(&mut self.driver, &self.person, &self.client).await {
            self.display().await;
        }
    }
}
