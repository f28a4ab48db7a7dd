//! The buyer's commands.

mod cart;
mod purchases;
mod search;

use clap::Subcommand;

use super::failure::CliError;
use super::items;
use super::program::{Program, Texts};
use super::shown::Shown;
use crate::model::{NewAccount, Session, Vote};
use crate::{BuyerClient, ClientOptions, Error, ItemId};

#[derive(Subcommand)]
pub(in crate::cli) enum BuyerCommand {
    /// Search items on sale, by category and keywords
    Search(search::SearchArguments),
    /// Show one item
    Item {
        /// As in 3-17
        item_id: ItemId,
    },
    /// Show the cart, at the prices and stock of now
    Cart,
    /// Put units of an item into the cart
    Add {
        /// As in 3-17
        item_id: ItemId,
        /// How many
        #[arg(default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        quantity: u32,
    },
    /// Take units of an item out of the cart
    Remove {
        /// As in 3-17
        item_id: ItemId,
        /// How many [default: all]
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        quantity: Option<u32>,
    },
    /// Save the cart for later sessions
    Save {
        /// Replace the saved cart of this version [default: the version that this session last saw]
        #[arg(long, value_name = "N")]
        expected_version: Option<u64>,
    },
    /// Empty the cart and the saved cart
    Clear,
    /// Buy all that is in the cart
    Buy(purchases::CardArguments),
    /// Show what was bought, newest first
    Purchases(super::paging::Paging),
    /// Give an item a thumbs-up or a thumbs-down; it replaces an earlier one
    Feedback {
        /// As in 3-17
        item_id: ItemId,
        /// Up or down
        vote: Vote,
    },
    /// Show what is known of a seller
    Rating {
        /// The seller's id
        seller_id: u64,
    },
}

impl Program for BuyerClient {
    type Command = BuyerCommand;
    const TEXTS: Texts = Texts {
        name: "buyer",
        about: "Search, fill a cart and buy at the marketplace",
        examples: "Examples:\n  buyer create-account ada --display-name \"Ada Example\"\n  buyer login ada\n  \
                   buyer search lamp desk --category 3\n  buyer add 3-17 2\n  buyer cart\n  buyer buy --card-name \"Ada Example\" \
                   --expiry 12/2031\n  buyer purchases --json\n  buyer shell",
        servers_variable: "AGORA_BUYER_SERVERS",
        session_variable: "AGORA_BUYER_SESSION",
        first_port: 8201,
    };

    fn connect(servers: Vec<String>, options: ClientOptions) -> Result<Self, Error> {
        BuyerClient::new(servers, options)
    }

    fn keyed(&self, key: &str) -> Self {
        self.with_key(key)
    }

    fn take_up(&self, token: Option<String>) {
        self.set_token(token);
    }

    async fn create_account(&self, account: &NewAccount) -> Result<u64, Error> {
        BuyerClient::create_account(self, account).await
    }

    async fn login(&self, username: &str, password: &str) -> Result<Session, Error> {
        BuyerClient::login(self, username, password).await
    }

    async fn logout(&self) -> Result<(), Error> {
        BuyerClient::logout(self).await
    }

    fn prepare(command: BuyerCommand) -> Result<BuyerCommand, CliError> {
        match command {
            BuyerCommand::Buy(card) => Ok(BuyerCommand::Buy(card.asked()?)),
            command => Ok(command),
        }
    }

    fn changes(command: &BuyerCommand) -> bool {
        use BuyerCommand::{Cart, Item, Purchases, Rating, Search};
        !matches!(command, Search(_) | Item { .. } | Cart | Purchases(_) | Rating { .. })
    }

    async fn run(&self, command: BuyerCommand) -> Result<Shown, CliError> {
        match command {
            BuyerCommand::Search(search) => search::search(self, &search).await,
            BuyerCommand::Item { item_id } => items::item(&self.item(item_id).await?),
            BuyerCommand::Cart => cart::show(&self.cart().await?),
            BuyerCommand::Add { item_id, quantity } => {
                cart::show(&self.add_to_cart(item_id, quantity).await?)
            }
            BuyerCommand::Remove { item_id, quantity } => {
                cart::show(&self.remove_from_cart(item_id, quantity).await?)
            }
            BuyerCommand::Save { expected_version } => cart::saved(self.save_cart(expected_version).await?),
            BuyerCommand::Clear => cart::cleared(self.clear_cart().await?),
            BuyerCommand::Buy(card) => purchases::bought(&self.purchase(&card.card()?).await?),
            BuyerCommand::Purchases(paging) => purchases::list(self, &paging).await,
            BuyerCommand::Feedback { item_id, vote } => {
                purchases::feedback(item_id, self.give_feedback(item_id, vote).await?)
            }
            BuyerCommand::Rating { seller_id } => items::rating(&self.seller_rating(seller_id).await?),
        }
    }
}
