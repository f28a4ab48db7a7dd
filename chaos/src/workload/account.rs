//! How both kinds of buyers come to the marketplace.

use agora_clients::model::NewAccount;
use agora_clients::{BuyerClient, ClientOptions, Start};
use anyhow::Context;

use super::driver::Driver;
use super::names::PASSWORD;
use super::{Person, Place, client_options};
use crate::history::{Action, Answer};

/// Creates an account and logs in.
pub(super) async fn arrive(driver: &Driver, place: &Place) -> anyhow::Result<(Person, BuyerClient)> {
    let options = ClientOptions { start: Start::At(driver.client as usize), ..client_options() };
    let client = BuyerClient::new(place.buyer_servers.clone(), options)?;
    let username = format!("buyer-{}-{}", place.seed, driver.client);
    let account = &NewAccount::new(&username, PASSWORD, "Chaos Buyer");
    let call = |key| {
        let client = client.with_key(key);
        async move { client.create_account(account).await }
    };
    let created = driver
        .change(Action::CreateBuyer, format!("buyer:{username}"), call, |id| Answer::User { user_id: *id })
        .await;
    let user_id = created.ok().with_context(|| format!("{username} can't get an account"))?;
    let person = Person { client: driver.client, user_id, username };
    let logged_in = login(driver, &person, &client).await;
    anyhow::ensure!(logged_in, "{} can't log in", person.username);
    Ok((person, client))
}

/// Opens a new session. False if that did not work.
pub(super) async fn login(driver: &Driver, person: &Person, client: &BuyerClient) -> bool {
    let call = |key| {
        let client = client.with_key(key);
        async move { client.login(&person.username, PASSWORD).await }
    };
    let key = format!("cart:{}", person.user_id);
    let done = driver
        .change(Action::LoginBuyer, key, call, |session| Answer::User { user_id: session.user_id })
        .await;
    done.ok().is_some()
}
