//! The seller's commands.

use clap::{Args, Subcommand};
use serde_json::json;

use super::failure::CliError;
use super::items;
use super::paging::Paging;
use super::program::{Program, Texts};
use super::shown::Shown;
use crate::model::{Condition, NewAccount, NewItem, Session};
use crate::{Cents, ClientOptions, Error, ItemId, SellerClient};

#[derive(Subcommand)]
pub(super) enum SellerCommand {
    /// Put an item on sale; one that equals another of yours is added to it
    ///
    /// Two items are equal when their names, categories, keywords (whatever their case and order), conditions and prices are.
    #[command(visible_alias = "register")]
    Sell(SellArguments),
    /// Show your items, those without units too
    Items(Paging),
    /// Change what a unit costs
    Price {
        /// As in 3-17
        item_id: ItemId,
        /// In dollars, as in 12.34
        price: Cents,
    },
    /// Add units, or take units away
    Units {
        /// As in 3-17
        item_id: ItemId,
        /// How many more, or (as in -3) how many fewer
        #[arg(value_parser = delta)]
        delta: i64,
    },
    /// Take an item off sale
    Remove {
        /// As in 3-17
        item_id: ItemId,
    },
    /// Show what is known of a seller
    Rating {
        /// The seller's id [default: your own]
        seller_id: Option<u64>,
    },
}

#[derive(Args)]
pub(super) struct SellArguments {
    /// What it is called (at most 32 characters)
    name: String,
    /// Any number from 0
    #[arg(long, short, value_name = "N")]
    category: u32,
    /// What it is found by: at most five, of at most eight characters each; may be given several times
    #[arg(long = "keyword", short, value_name = "WORD")]
    keywords: Vec<String>,
    /// New or used
    #[arg(long, default_value = "new")]
    condition: Condition,
    /// What a unit costs, in dollars, as in 12.34
    #[arg(long, short, value_name = "DOLLARS")]
    price: Cents,
    /// How many units
    #[arg(long, short, value_name = "N", default_value_t = 1)]
    quantity: u64,
}

fn delta(text: &str) -> Result<i64, String> {
    match text.parse() {
        Ok(0) => Err("no units are no change".into()),
        Ok(delta) => Ok(delta),
        Err(_) => Err("a whole number like 5, +5 or -5 is needed".into()),
    }
}

impl Program for SellerClient {
    type Command = SellerCommand;
    const TEXTS: Texts = Texts {
        name: "seller",
        about: "Put items on sale at the marketplace and look after them",
        examples: "Examples:\n  seller create-account bert --display-name \"Bert's Lamps\"\n  seller login bert\n  \
                   seller sell \"Desk lamp\" --category 3 --keyword lamp --keyword desk --price 19.99 --quantity 10\n  \
                   seller price 3-17 17.50\n  seller units 3-17 -2\n  seller items --all --json\n  seller shell",
        servers_variable: "AGORA_SELLER_SERVERS",
        session_variable: "AGORA_SELLER_SESSION",
        first_port: 8101,
    };

    fn connect(servers: Vec<String>, options: ClientOptions) -> Result<Self, Error> {
        SellerClient::new(servers, options)
    }

    fn keyed(&self, key: &str) -> Self {
        self.with_key(key)
    }

    fn take_up(&self, token: Option<String>) {
        self.set_token(token);
    }

    async fn create_account(&self, account: &NewAccount) -> Result<u64, Error> {
        SellerClient::create_account(self, account).await
    }

    async fn login(&self, username: &str, password: &str) -> Result<Session, Error> {
        SellerClient::login(self, username, password).await
    }

    async fn logout(&self) -> Result<(), Error> {
        SellerClient::logout(self).await
    }

    fn changes(command: &SellerCommand) -> bool {
        !matches!(command, SellerCommand::Items(_) | SellerCommand::Rating { .. })
    }

    async fn run(&self, command: SellerCommand) -> Result<Shown, CliError> {
        match command {
            SellerCommand::Sell(item) => sell(self, item).await,
            SellerCommand::Items(paging) => list(self, &paging).await,
            SellerCommand::Price { item_id, price } => items::item(&self.change_price(item_id, price).await?),
            SellerCommand::Units { item_id, delta } => {
                let units = self.update_units(item_id, delta).await?;
                Shown::new(format!("{item_id} has {} units on sale now.", units.quantity), &units)
            }
            SellerCommand::Remove { item_id } => {
                self.remove_item(item_id).await?;
                Shown::new(format!("{item_id} is off sale."), &json!({ "item_id": item_id.to_string() }))
            }
            SellerCommand::Rating { seller_id: None } => items::rating(&self.rating().await?),
            SellerCommand::Rating { seller_id: Some(id) } => items::rating(&self.seller_rating(id).await?),
        }
    }
}

async fn sell(client: &SellerClient, item: SellArguments) -> Result<Shown, CliError> {
    let SellArguments { name, category, keywords, condition, price, quantity } = item;
    let item = NewItem { name, category, keywords, condition, price, quantity };
    let registered = client.register_item(&item).await?;
    let what = if registered.merged { "Added to your equal item" } else { "On sale as" };
    Shown::new(format!("{what} {}, {} units now.", registered.item_id, registered.quantity), &registered)
}

async fn list(client: &SellerClient, paging: &Paging) -> Result<Shown, CliError> {
    let fetch = async |page| {
        let page = client.items(&page).await?;
        Ok((page.items, page.next_cursor))
    };
    let (found, next) = paging.fetch(fetch).await?;
    items::items(&found, next.as_deref())
}
