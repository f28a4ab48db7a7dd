//! What clients and frontends say to each other, typed. Prices are [`Cents`](crate::Cents) and item ids
//! [`ItemId`](crate::ItemId) here, and texts (`"12.34"`, `"3-17"`) on the wire.

mod account;
mod cart;
mod item;
mod page;
mod problem;
mod purchase;
mod rating;
mod text;
mod words;

pub(crate) use account::{AccountCreated, Credentials, OpenedSession};
pub use account::{NewAccount, Session};
pub(crate) use cart::{AddToCart, SaveCart};
pub use cart::{Cart, CartLine, SavedCart};
pub(crate) use item::{ChangePrice, UpdateUnits};
pub use item::{Condition, Item, ItemPage, NewItem, RegisteredItem, UnitsOnSale};
pub use page::{Page, Search};
pub(crate) use problem::Problem;
pub(crate) use purchase::MakePurchase;
pub use purchase::{Card, Purchase, PurchaseLine, PurchasePage};
pub(crate) use rating::GiveFeedback;
pub use rating::{Feedback, Rating, Vote};
