//! Clients who share a seller's and a buyer's account, and change the same things at the same time: prices and units of a few
//! items that nobody buys, one cart, one saved cart. What they are told shows whether calls that overlap have one order.

use std::sync::Arc;

use agora_clients::model::{Condition, NewItem, Page};
use agora_clients::{BuyerClient, Cents, ItemId, SellerClient};
use rand::seq::{IndexedRandom, IteratorRandom};
use tokio_util::sync::CancellationToken;

use super::driver::{Done, Driver};
use super::market::Market;
use super::{Person, Place, account};
use crate::history::{Action, Answer, CartSeen, ItemSeen, Offer, Units};

/// Items that rivals fight for: few, so that their calls meet.
const ITEMS: usize = 3;
/// A category where no buyer looks.
const SHELF: u32 = 901;
/// So many rivals use the first one's session.
const SHARING: usize = 2;

#[derive(Debug)]
pub(super) struct Rival {
    seller: Person,
    pub buyer: Person,
    /// At the seller frontends, and at the buyer frontends: two sessions.
    selling: (Driver, SellerClient),
    buying: (Driver, BuyerClient),
    session: Session,
    market: Arc<Market>,
    items: Vec<ItemId>,
    cart: CartSeen,
}

/// Whose the buyer's session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Session {
    Own,
    Shared,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Rivals {
    pub all: Vec<Rival>,
}

impl Rivals {
    /// So many rivals; each needs two drivers.
    pub async fn set_up(
        count: u32,
        mut driver: impl FnMut() -> Driver,
        place: &Place,
        market: &Arc<Market>,
    ) -> anyhow::Result<Self> {
        let mut rivals = Rivals::default();
        if count == 0 {
            return Ok(rivals);
        }
        let (mut selling, mut buying) = (driver(), driver());
        let (seller, seller_client) = account::seller(&mut selling, place).await?;
        let (buyer, buyer_client) = account::buyer(&mut buying, place).await?;
        market.join(seller.user_id);
        let items = put_on_shelf(&selling, &seller, &seller_client).await?;
        let first_session = buying.session;
        rivals.all.push(Rival {
            seller: seller.clone(),
            buyer: buyer.clone(),
            selling: (selling, seller_client),
            buying: (buying, buyer_client.clone()),
            session: Session::Shared,
            market: Arc::clone(market),
            items: items.clone(),
            cart: CartSeen::default(),
        });
        for n in 1..count as usize {
            let (mut selling, mut buying) = (driver(), driver());
            let seller_client = account::seller_client(&selling, place)?;
            let logged_in = account::login_seller(&mut selling, &seller, &seller_client).await;
            anyhow::ensure!(logged_in, "{} can't log in again", seller.username);
            let own_client = account::buyer_client(&buying, place)?;
            let session = if n < SHARING {
                own_client.set_token(buyer_client.token());
                buying.session = first_session;
                Session::Shared
            } else {
                let logged_in = account::login_buyer(&mut buying, &buyer, &own_client).await;
                anyhow::ensure!(logged_in, "{} can't log in again", buyer.username);
                Session::Own
            };
            rivals.all.push(Rival {
                seller: seller.clone(),
                buyer: buyer.clone(),
                selling: (selling, seller_client),
                buying: (buying, own_client),
                session,
                market: Arc::clone(market),
                items: items.clone(),
                cart: CartSeen::default(),
            });
        }
        Ok(rivals)
    }

    /// The accounts that they share.
    pub fn people(&self) -> Option<(&Person, &Person)> {
        self.all.first().map(|rival| (&rival.seller, &rival.buyer))
    }
}

async fn put_on_shelf(
    driver: &Driver,
    seller: &Person,
    client: &SellerClient,
) -> anyhow::Result<Vec<ItemId>> {
    let mut items = Vec::new();
    for n in 0..ITEMS {
        let item = &NewItem {
            name: format!("shelf {n}"),
            category: SHELF,
            keywords: Vec::new(),
            condition: Condition::New,
            price: Cents(100),
            quantity: 50,
        };
        let call = |key| {
            let client = client.with_key(key);
            async move { client.register_item(item).await }
        };
        let NewItem { name, category, price, quantity, .. } = item.clone();
        let action = Action::AddItem(Offer { name, category, price, quantity });
        let key = format!("seller:{}", seller.user_id);
        let done = driver.change(action, key, call, |item| Answer::Registered(item.clone())).await;
        items.extend(done.ok().map(|item| item.item_id));
    }
    anyhow::ensure!(items.len() == ITEMS, "{} can't put items on sale", seller.username);
    Ok(items)
}

impl Rival {
    pub async fn run(&mut self, stop: &CancellationToken) {
        while self.buying.0.rest(stop).await {
            match self.buying.0.random(100) {
                0..12 => self.change_price().await,
                12..28 => self.change_units().await,
                28..45 => self.look().await,
                45..50 => self.list().await,
                50..66 => self.add().await,
                66..76 => self.remove().await,
                76..86 => self.display().await,
                86..94 => self.save().await,
                94..96 => self.clear().await,
                _ if self.session == Session::Own => self.come_back().await,
                _ => self.display().await,
            }
        }
    }

    /// What all of it came to.
    pub async fn look_back(&mut self) {
        self.list().await;
        self.display().await;
    }

    fn cart_key(&self) -> String {
        format!("cart:{}", self.buyer.user_id)
    }

    fn item(&mut self) -> ItemId {
        self.items.choose(&mut self.buying.0.rng).copied().unwrap_or_default()
    }

    async fn change_price(&mut self) {
        let (item, price) = (self.item(), Cents(1 + self.buying.0.random(10_000)));
        let (driver, client) = &self.selling;
        let call = |key| {
            let client = client.with_key(key);
            async move { client.change_price(item, price).await }
        };
        let answer = |item: &agora_clients::model::Item| Answer::Item(item.into());
        driver.change(Action::SetPrice(price), item.to_string(), call, answer).await;
    }

    async fn change_units(&mut self) {
        let item = self.item();
        let delta: i64 = *[-7, -3, -1, 1, 2, 5].choose(&mut self.buying.0.rng).unwrap_or(&1);
        let (driver, client) = &self.selling;
        let call = |key| {
            let client = client.with_key(key);
            async move { client.update_units(item, delta).await }
        };
        driver
            .change(Action::AddUnits(delta), item.to_string(), call, |units| Answer::Units(units.clone()))
            .await;
    }

    async fn look(&mut self) {
        let item = self.item();
        let (driver, client) = &self.buying;
        driver
            .read(Action::GetItem, item.to_string(), client.item(item), |item| Answer::Item(item.into()))
            .await;
    }

    async fn list(&mut self) {
        let page = Page { limit: Some(100), cursor: None };
        let answer = |page: &agora_clients::model::ItemPage| {
            Answer::Items(page.items.iter().map(ItemSeen::from).collect())
        };
        let (driver, client) = &self.selling;
        let key = format!("seller:{}", self.seller.user_id);
        driver.read(Action::ListItems, key, client.items(&page), answer).await;
    }

    async fn add(&mut self) {
        let Some(item) = self.market.any_plenty(&mut self.buying.0.rng) else { return };
        let units = Units { item_id: item.id, quantity: 1 };
        let (driver, client) = &self.buying;
        let call = |key| {
            let client = client.with_key(key);
            async move { client.add_to_cart(units.item_id, units.quantity).await }
        };
        let done = driver
            .change(Action::AddToCart(units), self.cart_key(), call, |cart| Answer::Cart(cart.into()))
            .await;
        self.seen(done);
    }

    async fn remove(&mut self) {
        let Some(item_id) = self.cart.lines.keys().copied().choose(&mut self.buying.0.rng) else { return };
        let units = Units { item_id, quantity: 1 };
        let (driver, client) = &self.buying;
        let call = |key| {
            let client = client.with_key(key);
            async move { client.remove_from_cart(units.item_id, Some(units.quantity)).await }
        };
        let done = driver
            .change(Action::RemoveFromCart(units), self.cart_key(), call, |cart| Answer::Cart(cart.into()))
            .await;
        self.seen(done);
    }

    fn seen(&mut self, done: Done<agora_clients::model::Cart>) {
        if let Done::Ok(cart) = done {
            self.cart = (&cart).into();
        }
    }

    async fn display(&mut self) {
        let (driver, client) = &self.buying;
        let cart = driver
            .read(Action::DisplayCart, self.cart_key(), client.cart(), |cart| Answer::Cart(cart.into()))
            .await;
        if let Some(cart) = cart {
            self.cart = (&cart).into();
        }
    }

    async fn save(&mut self) {
        let expected = (self.buying.0.random(2) == 0).then_some(self.cart.saved_version);
        let (driver, client) = &self.buying;
        let call = |key| {
            let client = client.with_key(key);
            async move { client.save_cart(expected).await }
        };
        let done = driver
            .change(Action::SaveCart(expected), self.cart_key(), call, |saved| Answer::Saved(*saved))
            .await;
        if let Done::Ok(saved) = done {
            self.cart.saved_version = saved.saved_version;
        }
    }

    async fn clear(&mut self) {
        let (driver, client) = &self.buying;
        let call = |key| {
            let client = client.with_key(key);
            async move { client.clear_cart().await }
        };
        driver.change(Action::ClearCart, self.cart_key(), call, |()| Answer::Nothing).await;
    }

    /// Logs out and in again: the new session's cart is a copy of the saved cart.
    async fn come_back(&mut self) {
        let key = self.cart_key();
        let (driver, client) = &mut self.buying;
        let call = |key| {
            let client = client.with_key(key);
            async move { client.logout().await }
        };
        driver.change(Action::LogoutBuyer, key, call, |()| Answer::Nothing).await;
        account::login_buyer(driver, &self.buyer, client).await;
        self.display().await;
    }
}
