//! Everything that a buyer can ask for.

use std::time::Duration;

use reqwest::Method;

use crate::ItemId;
use crate::caller::{Caller, Role};
use crate::error::Error;
use crate::model::{
    AddToCart, Card, Cart, Feedback, GiveFeedback, Item, ItemPage, MakePurchase, NewAccount, Page, Purchase,
    PurchasePage, Rating, SaveCart, SavedCart, Search, Session, Vote,
};
use crate::options::ClientOptions;
use crate::transport::{Pace, Request};

/// A buyer at the marketplace. Clones share the session.
#[derive(Clone, Debug)]
pub struct BuyerClient {
    caller: Caller,
}

impl BuyerClient {
    /// A buyer who knows these buyer frontends (`http://host:port`). Nothing is sent yet.
    ///
    /// # Errors
    /// There is no server among them, or one that is no address.
    pub fn new(servers: Vec<String>, options: ClientOptions) -> Result<Self, Error> {
        Ok(BuyerClient { caller: Caller::new(Role::Buyer, &servers, options)? })
    }

    /// Another buyer, not logged in, who shares connections and what is known of the frontends' health.
    #[must_use]
    pub fn sibling(&self) -> Self {
        BuyerClient { caller: self.caller.sibling() }
    }

    /// The same buyer, whose next change goes under this idempotency key instead of a fresh one. Make one for each call.
    #[must_use]
    pub fn with_key(&self, key: impl Into<String>) -> Self {
        BuyerClient { caller: self.caller.with_key(key) }
    }

    /// The same buyer, whose calls have this deadline.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        BuyerClient { caller: self.caller.with_deadline(deadline) }
    }

    /// The token of the session, if there is one.
    #[must_use]
    pub fn token(&self) -> Option<String> {
        self.caller.token()
    }

    /// Takes up a session that was opened elsewhere, or forgets the one that there is.
    pub fn set_token(&self, token: Option<String>) {
        self.caller.set_token(token);
    }

    /// The frontend that this client stays with at present.
    #[must_use]
    pub fn server(&self) -> &str {
        self.caller.server()
    }

    /// Creates an account, and gives the buyer's id.
    ///
    /// # Errors
    /// `username_taken`, `invalid_field`, or see [`Error`].
    pub async fn create_account(&self, account: &NewAccount) -> Result<u64, Error> {
        self.caller.create_account("/buyers", account).await
    }

    /// Opens a session, which all later calls of this client belong to.
    ///
    /// # Errors
    /// `bad_credentials`, or see [`Error`].
    pub async fn login(&self, username: &str, password: &str) -> Result<Session, Error> {
        self.caller.login(username, password).await
    }

    /// Ends the session and drops its cart.
    ///
    /// # Errors
    /// `invalid_session`, or see [`Error`].
    pub async fn logout(&self) -> Result<(), Error> {
        self.caller.logout().await
    }

    /// Items on sale, by category and keywords.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn search(&self, search: &Search) -> Result<ItemPage, Error> {
        self.caller.read(Request::get("/items", search.query())).await
    }

    /// One item.
    ///
    /// # Errors
    /// `item_not_found`, or see [`Error`].
    pub async fn item(&self, item: ItemId) -> Result<Item, Error> {
        self.caller.read(Request::get(format!("/items/{item}"), Vec::new())).await
    }

    /// The session's cart, at the prices and stock of now.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn cart(&self) -> Result<Cart, Error> {
        self.caller.read(Request::get("/cart", Vec::new())).await
    }

    /// Puts units into the cart.
    ///
    /// # Errors
    /// `item_not_found`, `insufficient_stock`, or see [`Error`].
    pub async fn add_to_cart(&self, item: ItemId, quantity: u32) -> Result<Cart, Error> {
        let body = AddToCart { item_id: item, quantity };
        self.caller.change(Request::change(Method::POST, "/cart/items").json(&body)?).await
    }

    /// Takes units out of the cart; without a quantity, the whole line.
    ///
    /// # Errors
    /// `not_in_cart`, or see [`Error`].
    pub async fn remove_from_cart(&self, item: ItemId, quantity: Option<u32>) -> Result<Cart, Error> {
        let mut request = Request::change(Method::DELETE, format!("/cart/items/{item}"));
        request.query = quantity.map(|quantity| ("quantity", quantity.to_string())).into_iter().collect();
        self.caller.change(request).await
    }

    /// Saves the cart for later sessions. With a version, only if the saved cart still has it; without, if it still has
    /// the one that this session last saw.
    ///
    /// # Errors
    /// `saved_cart_conflict`, or see [`Error`].
    pub async fn save_cart(&self, expected_version: Option<u64>) -> Result<SavedCart, Error> {
        let body = SaveCart { expected_version };
        self.caller.change(Request::change(Method::PUT, "/saved-cart").json(&body)?).await
    }

    /// Empties the cart and the saved cart.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn clear_cart(&self) -> Result<(), Error> {
        self.caller.change_answer(Request::change(Method::DELETE, "/cart")).await.map(drop)
    }

    /// Buys all that is in the cart, or nothing.
    ///
    /// # Errors
    /// `payment_declined`, `cart_empty`, `insufficient_stock`, or see [`Error`].
    pub async fn purchase(&self, card: &Card) -> Result<Purchase, Error> {
        let request = Request { pace: Pace::Purchase, ..Request::change(Method::POST, "/purchases") };
        self.caller.change(request.json(&MakePurchase { card })?).await
    }

    /// What this buyer has bought, newest first.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn purchases(&self, page: &Page) -> Result<PurchasePage, Error> {
        self.caller.read(Request::get("/purchases", page.query())).await
    }

    /// Gives a vote on an item; it replaces an earlier one.
    ///
    /// # Errors
    /// `item_not_found`, or see [`Error`].
    pub async fn give_feedback(&self, item: ItemId, vote: Vote) -> Result<Feedback, Error> {
        let request =
            Request::change(Method::PUT, format!("/items/{item}/feedback")).json(&GiveFeedback { vote })?;
        self.caller.change(request).await
    }

    /// What is known of a seller.
    ///
    /// # Errors
    /// `seller_not_found`, or see [`Error`].
    pub async fn seller_rating(&self, seller_id: u64) -> Result<Rating, Error> {
        self.caller.seller_rating(seller_id).await
    }
}
