//! Who plays: sellers and buyers, and what they do when a payment is declined.

use agora_clients::model::{Card, NewAccount, Purchase};
use agora_clients::{BuyerClient, ClientOptions, Error, SellerClient, Start};
use anyhow::bail;
use uuid::Uuid;

use crate::endpoints::Endpoints;

/// Nine payments of ten are approved, so this many declines in a row are one in 10^20.
const PAYMENT_TRIES: u32 = 20;

#[derive(Clone, Debug)]
pub(crate) struct Seller {
    pub name: &'static str,
    pub username: String,
    pub id: u64,
    pub client: SellerClient,
}

#[derive(Clone, Debug)]
pub(crate) struct Buyer {
    pub name: &'static str,
    pub username: String,
    pub id: u64,
    pub client: BuyerClient,
}

/// Everyone.
#[derive(Clone, Debug)]
pub(crate) struct Cast {
    pub mina: Seller,
    pub noah: Seller,
    pub ada: Buyer,
    pub bob: Buyer,
    pub cleo: Buyer,
}

impl Cast {
    pub fn new(endpoints: &Endpoints) -> anyhow::Result<Self> {
        let options = |server: usize| ClientOptions { start: Start::At(server), ..ClientOptions::default() };
        // Names are taken for good, so a second story on the same data needs others.
        let run = Uuid::new_v4().simple().to_string();
        let username = |name: &str| format!("{}-{}", name.to_lowercase(), run.get(..8).unwrap_or(&run));
        let seller = |name: &'static str, server| {
            let client = SellerClient::new(endpoints.seller.clone(), options(server))?;
            anyhow::Ok(Seller { name, username: username(name), id: 0, client })
        };
        let buyer = |name: &'static str, server| {
            let client = BuyerClient::new(endpoints.buyer.clone(), options(server))?;
            anyhow::Ok(Buyer { name, username: username(name), id: 0, client })
        };
        Ok(Cast {
            mina: seller("Mina", 0)?,
            noah: seller("Noah", 1)?,
            ada: buyer("Ada", 0)?,
            bob: buyer("Bob", 0)?,
            cleo: buyer("Cleo", 1)?,
        })
    }

    pub fn sellers(&self) -> [&Seller; 2] {
        [&self.mina, &self.noah]
    }

    pub fn buyers(&self) -> [&Buyer; 3] {
        [&self.ada, &self.bob, &self.cleo]
    }
}

fn password(username: &str) -> String {
    format!("the password of {username}")
}

impl Seller {
    pub async fn join(&mut self) -> anyhow::Result<()> {
        let account = NewAccount::new(&self.username, password(&self.username), self.name);
        self.id = self.client.create_account(&account).await?;
        self.client.login(&self.username, &password(&self.username)).await?;
        Ok(())
    }
}

/// A purchase, and under which key it was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Bought {
    pub purchase: Purchase,
    pub key: String,
    pub declined: u32,
}

impl Buyer {
    pub async fn join(&mut self) -> anyhow::Result<()> {
        let account = NewAccount::new(&self.username, password(&self.username), self.name);
        self.id = self.client.create_account(&account).await?;
        self.login().await
    }

    pub async fn login(&self) -> anyhow::Result<()> {
        self.client.login(&self.username, &password(&self.username)).await?;
        Ok(())
    }

    pub fn card(&self) -> Card {
        Card {
            name: self.name.to_owned(),
            number: "4111111111111111".into(),
            expiry: "12/2049".into(),
            security_code: "737".into(),
        }
    }

    /// Buys the cart. A declined payment is tried again under another key, as a person would press the button again; that
    /// the decline left the cart as it was is checked on the way.
    pub async fn buy(&self) -> Result<Bought, BuyError> {
        for declined in 0..PAYMENT_TRIES {
            let key = Uuid::new_v4().to_string();
            let before = self.client.cart().await?;
            match self.client.with_key(&key).purchase(&self.card()).await {
                Ok(purchase) => return Ok(Bought { purchase, key, declined }),
                Err(error) if error.code() == Some("payment_declined") => {
                    let after = self.client.cart().await?;
                    if after.lines.len() != before.lines.len() {
                        return Err(BuyError::CartChanged);
                    }
                }
                Err(error) => return Err(BuyError::Client(error)),
            }
        }
        Err(BuyError::AlwaysDeclined)
    }
}

/// Why nothing was bought.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuyError {
    #[error(transparent)]
    Client(#[from] Error),
    #[error("a declined payment changed the cart")]
    CartChanged,
    #[error("{PAYMENT_TRIES} payments in a row were declined")]
    AlwaysDeclined,
}

impl BuyError {
    pub fn code(&self) -> Option<&str> {
        match self {
            BuyError::Client(error) => error.code(),
            _ => None,
        }
    }
}

impl Bought {
    /// For people: how much, for how much, and whether it took several tries.
    pub fn told(&self) -> String {
        let units: u32 = self.purchase.lines.iter().map(|line| line.quantity).sum();
        let units = if units == 1 { "1 unit".to_owned() } else { format!("{units} units") };
        let tries = match self.declined {
            0 => String::new(),
            1 => ", after one declined payment".to_owned(),
            more => format!(", after {more} declined payments"),
        };
        format!("{units} for ${}{tries}", self.purchase.total)
    }
}

/// That a call was refused with this code, as it should have been.
pub(crate) fn refused<T>(result: Result<T, Error>, code: &str) -> anyhow::Result<()> {
    match result {
        Err(error) if error.code() == Some(code) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => bail!("it was done, but should have been refused with {code}"),
    }
}
