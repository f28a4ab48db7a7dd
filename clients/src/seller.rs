//! Everything that a seller can ask for.

use std::time::Duration;

use reqwest::Method;

use crate::caller::{Caller, Role, parse};
use crate::error::Error;
use crate::model::{
    ChangePrice, Item, ItemPage, NewAccount, NewItem, Page, Rating, RegisteredItem, Session, UnitsOnSale,
    UpdateUnits,
};
use crate::options::ClientOptions;
use crate::transport::Request;
use crate::{Cents, ItemId};

/// The status of an item that is new, and not merged into an equal one.
const CREATED: u16 = 201;

/// A seller at the marketplace. Clones share the session.
#[derive(Clone, Debug)]
pub struct SellerClient {
    caller: Caller,
}

impl SellerClient {
    /// A seller who knows these seller frontends (`http://host:port`). Nothing is sent yet.
    ///
    /// # Errors
    /// There is no server among them, or one that is no address.
    pub fn new(servers: Vec<String>, options: ClientOptions) -> Result<Self, Error> {
        Ok(SellerClient { caller: Caller::new(Role::Seller, &servers, options)? })
    }

    /// Another seller, not logged in, who shares connections and what is known of the frontends' health.
    #[must_use]
    pub fn sibling(&self) -> Self {
        SellerClient { caller: self.caller.sibling() }
    }

    /// The same seller, whose next change goes under this idempotency key instead of a fresh one. Make one for each call.
    #[must_use]
    pub fn with_key(&self, key: impl Into<String>) -> Self {
        SellerClient { caller: self.caller.with_key(key) }
    }

    /// The same seller, whose calls have this deadline.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        SellerClient { caller: self.caller.with_deadline(deadline) }
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

    /// Creates an account, and gives the seller's id.
    ///
    /// # Errors
    /// `username_taken`, `invalid_field`, or see [`Error`].
    pub async fn create_account(&self, account: &NewAccount) -> Result<u64, Error> {
        self.caller.create_account("/sellers", account).await
    }

    /// Opens a session, which all later calls of this client belong to.
    ///
    /// # Errors
    /// `bad_credentials`, or see [`Error`].
    pub async fn login(&self, username: &str, password: &str) -> Result<Session, Error> {
        self.caller.login(username, password).await
    }

    /// Ends the session.
    ///
    /// # Errors
    /// `invalid_session`, or see [`Error`].
    pub async fn logout(&self) -> Result<(), Error> {
        self.caller.logout().await
    }

    /// What is known of this seller.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn rating(&self) -> Result<Rating, Error> {
        self.caller.read(Request::get("/rating", Vec::new())).await
    }

    /// What is known of any seller.
    ///
    /// # Errors
    /// `seller_not_found`, or see [`Error`].
    pub async fn seller_rating(&self, seller_id: u64) -> Result<Rating, Error> {
        self.caller.seller_rating(seller_id).await
    }

    /// Puts an item on sale. One that equals another of this seller in all but its quantity is added to it.
    ///
    /// # Errors
    /// `invalid_field`, or see [`Error`].
    pub async fn register_item(&self, item: &NewItem) -> Result<RegisteredItem, Error> {
        let answer = self.caller.change_answer(Request::change(Method::POST, "/items").json(item)?).await?;
        let merged = answer.status != CREATED;
        let registered: RegisteredItem = parse(answer)?;
        Ok(RegisteredItem { merged, ..registered })
    }

    /// The seller's own items, those without units too.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn items(&self, page: &Page) -> Result<ItemPage, Error> {
        self.caller.read(Request::get("/items", page.query())).await
    }

    /// Changes what a unit costs.
    ///
    /// # Errors
    /// `item_not_found`, `not_owner`, `invalid_field`, or see [`Error`].
    pub async fn change_price(&self, item: ItemId, price: Cents) -> Result<Item, Error> {
        let request =
            Request::change(Method::PATCH, format!("/items/{item}")).json(&ChangePrice { price })?;
        self.caller.change(request).await
    }

    /// Adds units, or takes units away.
    ///
    /// # Errors
    /// `insufficient_stock`, `item_not_found`, `not_owner`, or see [`Error`].
    pub async fn update_units(&self, item: ItemId, delta: i64) -> Result<UnitsOnSale, Error> {
        let request =
            Request::change(Method::POST, format!("/items/{item}/units")).json(&UpdateUnits { delta })?;
        self.caller.change(request).await
    }

    /// Takes an item off sale.
    ///
    /// # Errors
    /// `item_not_found`, `not_owner`, or see [`Error`].
    pub async fn remove_item(&self, item: ItemId) -> Result<(), Error> {
        self.caller.change_answer(Request::change(Method::DELETE, format!("/items/{item}"))).await.map(drop)
    }
}
