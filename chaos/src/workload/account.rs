//! How sellers and buyers come to the marketplace.

use agora_clients::model::NewAccount;
use agora_clients::{BuyerClient, ClientOptions, SellerClient, Start};
use anyhow::Context;

use super::driver::Driver;
use super::names::PASSWORD;
use super::{Person, Place, client_options};
use crate::history::{Action, Answer};

fn options(driver: &Driver) -> ClientOptions {
    ClientOptions { start: Start::At(driver.client as usize), ..client_options() }
}

/// A buyer who knows the buyer frontends, and is not logged in.
pub(super) fn buyer_client(driver: &Driver, place: &Place) -> anyhow::Result<BuyerClient> {
    Ok(BuyerClient::new(place.buyer_servers.clone(), options(driver))?)
}

/// A seller who knows the seller frontends, and is not logged in.
pub(super) fn seller_client(driver: &Driver, place: &Place) -> anyhow::Result<SellerClient> {
    Ok(SellerClient::new(place.seller_servers.clone(), options(driver))?)
}

/// A buyer creates an account and logs in.
pub(super) async fn buyer(driver: &mut Driver, place: &Place) -> anyhow::Result<(Person, BuyerClient)> {
    let client = buyer_client(driver, place)?;
    let username = format!("buyer-{}-{}", place.run, driver.client);
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
    anyhow::ensure!(login_buyer(driver, &person, &client).await, "{} can't log in", person.username);
    Ok((person, client))
}

/// Opens a new session. False if that did not work.
pub(super) async fn login_buyer(driver: &mut Driver, person: &Person, client: &BuyerClient) -> bool {
    let call = |key| {
        let client = client.with_key(key);
        async move { client.login(&person.username, PASSWORD).await }
    };
    driver.login(Action::LoginBuyer, format!("cart:{}", person.user_id), call).await
}

/// A seller creates an account and logs in.
pub(super) async fn seller(driver: &mut Driver, place: &Place) -> anyhow::Result<(Person, SellerClient)> {
    let client = seller_client(driver, place)?;
    let username = format!("seller-{}-{}", place.run, driver.client);
    let account = &NewAccount::new(&username, PASSWORD, "Chaos Seller");
    let call = |key| {
        let client = client.with_key(key);
        async move { client.create_account(account).await }
    };
    let created = driver
        .change(Action::CreateSeller, format!("seller:{username}"), call, |id| Answer::User { user_id: *id })
        .await;
    let user_id = created.ok().with_context(|| format!("{username} can't get an account"))?;
    let person = Person { client: driver.client, user_id, username };
    anyhow::ensure!(login_seller(driver, &person, &client).await, "{} can't log in", person.username);
    Ok((person, client))
}

/// Opens a new session. False if that did not work.
pub(super) async fn login_seller(driver: &mut Driver, person: &Person, client: &SellerClient) -> bool {
    let call = |key| {
        let client = client.with_key(key);
        async move { client.login(&person.username, PASSWORD).await }
    };
    driver.login(Action::LoginSeller, format!("seller:{}", person.username), call).await
}
