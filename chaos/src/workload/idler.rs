//! Somebody who logs in and then does nothing for minutes. A session that is used again within five minutes must be served, one that
//! is used after five and a half must not be. Only long runs have the time to see it.

use std::time::Duration;

use agora_clients::{BuyerClient, SellerClient};
use tokio_util::sync::CancellationToken;

use super::driver::Driver;
use super::{Person, Place, account};
use crate::history::{Action, Answer};

/// Soon enough, however late the call itself arrives while the marketplace is being broken.
const IN_TIME: Duration = Duration::from_secs(270);
const TOO_LATE: Duration = Duration::from_secs(360);

#[derive(Debug)]
pub(super) struct Idler {
    pub person: Person,
    driver: Driver,
    client: Client,
    idles: Idles,
}

#[derive(Debug)]
enum Client {
    Buyer(BuyerClient),
    Seller(SellerClient),
}

/// How long somebody does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Idles {
    /// And comes back in time.
    Briefly,
    /// Until the session must have ended.
    Long,
}

impl Idler {
    pub async fn buyer(mut driver: Driver, place: &Place, idles: Idles) -> anyhow::Result<Self> {
        let (person, client) = account::buyer(&mut driver, place).await?;
        Ok(Idler { person, driver, client: Client::Buyer(client), idles })
    }

    pub async fn seller(mut driver: Driver, place: &Place, idles: Idles) -> anyhow::Result<Self> {
        let (person, client) = account::seller(&mut driver, place).await?;
        Ok(Idler { person, driver, client: Client::Seller(client), idles })
    }

    pub fn is_seller(&self) -> bool {
        matches!(self.client, Client::Seller(_))
    }

    pub async fn run(&mut self, stop: &CancellationToken) {
        let idle = match self.idles {
            Idles::Briefly => IN_TIME,
            Idles::Long => TOO_LATE,
        };
        while stop.run_until_cancelled(tokio::time::sleep(idle)).await.is_some() {
            let served = self.driver.session.is_some() && self.look().await;
            if !served || self.idles == Idles::Long {
                self.log_in().await;
            }
        }
    }

    /// Uses the session. False if it does not serve.
    async fn look(&self) -> bool {
        match &self.client {
            Client::Buyer(client) => {
                let key = format!("cart:{}", self.person.user_id);
                let answer = |cart: &agora_clients::model::Cart| Answer::Cart(cart.into());
                self.driver.read(Action::DisplayCart, key, client.cart(), answer).await.is_some()
            }
            Client::Seller(client) => {
                let key = format!("seller:{}", self.person.user_id);
                let answer = |rating: &agora_clients::model::Rating| Answer::Rating(*rating);
                self.driver.read(Action::GetSellerRating, key, client.rating(), answer).await.is_some()
            }
        }
    }

    async fn log_in(&mut self) {
        match &self.client {
            Client::Buyer(client) => account::login_buyer(&mut self.driver, &self.person, client).await,
            Client::Seller(client) => account::login_seller(&mut self.driver, &self.person, client).await,
        };
    }
}
