//! Calls to the two databases: a response of the expected kind, or why there is none.

use std::time::Instant;

use agora_db_client::{CallError, Customer, Database, Product};
use agora_proto::common::{Idempotency, Refusal};
use agora_proto::{customer, product};

use crate::problem::Problem;

/// Why a database did not do, or not tell, what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// Its rules forbid it. Nothing happened.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It did not answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It answered with something else. For people: what was expected.
    #[error("the database's response is not {0}")]
    Unexpected(&'static str),
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refusal) => refusal.into(),
            Failure::Call(error) => error.into(),
            Failure::Unexpected(expected) => {
                tracing::error!(expected, "a database answered with something else");
                Problem::internal()
            }
        }
    }
}

/// Both databases, for one request: every call ends at its deadline, and at once when a database has too much under way, so
/// that the caller is told to come back.
#[derive(Clone)]
pub struct Databases {
    /// The customer database.
    pub customer: Database<Customer>,
    /// The product database.
    pub product: Database<Product>,
}

impl Databases {
    /// The same, for what was begun and must not be left half done: an overloaded database is waited for until the deadline.
    #[must_use]
    pub fn patient(&self) -> Self {
        Databases { customer: self.customer.patient(), product: self.product.patient() }
    }

    /// Changes the customer database.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn change_customer(
        &self,
        deadline: Instant,
        idempotency: Option<Idempotency>,
        body: customer::command::Body,
    ) -> Result<customer::response::Body, Failure> {
        let command = customer::Command { idempotency, body: Some(body) };
        customer_body(self.customer.execute(&command, deadline).await?)
    }

    /// Asks the customer database.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn ask_customer(
        &self,
        deadline: Instant,
        body: customer::query::Body,
    ) -> Result<customer::response::Body, Failure> {
        customer_body(self.customer.query(&customer::Query { body: Some(body) }, deadline).await?)
    }

    /// Changes the product database.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn change_product(
        &self,
        deadline: Instant,
        idempotency: Option<Idempotency>,
        body: product::command::Body,
    ) -> Result<product::response::Body, Failure> {
        let command = product::Command { idempotency, body: Some(body) };
        product_body(self.product.execute(&command, deadline).await?)
    }

    /// Asks the product database.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn ask_product(
        &self,
        deadline: Instant,
        body: product::query::Body,
    ) -> Result<product::response::Body, Failure> {
        product_body(self.product.query(&product::Query { body: Some(body) }, deadline).await?)
    }
}

fn customer_body(response: customer::Response) -> Result<customer::response::Body, Failure> {
    match response.body {
        Some(customer::response::Body::Refusal(refusal)) => Err(Failure::Refused(refusal)),
        Some(body) => Ok(body),
        None => Err(Failure::Unexpected("a response of this version")),
    }
}

fn product_body(response: product::Response) -> Result<product::response::Body, Failure> {
    match response.body {
        Some(product::response::Body::Refusal(refusal)) => Err(Failure::Refused(refusal)),
        Some(body) => Ok(body),
        None => Err(Failure::Unexpected("a response of this version")),
    }
}

/// Takes a response of one kind out of all kinds: `expected!(customer::Cart, response)`.
macro_rules! expected {
    ($database:ident :: $kind:ident, $body:expr) => {
        match $body {
            agora_proto::$database::response::Body::$kind(value) => Ok(value),
            _ => Err($crate::databases::Failure::Unexpected(stringify!($kind))),
        }
    };
}
pub(crate) use expected;
