//! The chapters of the story.

use std::time::Duration;

use agora_clients::model::{Condition, NewItem, Page, Search, Vote};
use agora_clients::{Cents, ItemId};
use anyhow::{Context, bail, ensure};
use futures::future::try_join_all;

use super::books::{Books, Expected};
use super::cast::{Bought, Buyer, Cast, Seller, refused};
use super::narrator::Narrator;
use crate::cluster::Cluster;

/// How long processes may take to be back.
const BACK_WITHIN: Duration = Duration::from_secs(15);

/// The story so far.
pub(crate) struct Story<'a> {
    cluster: &'a Cluster,
    tell: &'a mut Narrator,
    cast: Cast,
    books: Books,
    killed: Vec<String>,
    wares: Wares,
    /// Ada's purchase, with its idempotency key.
    adas: Option<Bought>,
}

/// What is traded.
struct Wares {
    desk_lamp: ItemId,
    reading_lamp: ItemId,
    tea: ItemId,
    tea_pot: ItemId,
}

const LAMPS: u32 = 1;
const TEA: u32 = 2;

impl<'a> Story<'a> {
    pub fn new(cluster: &'a Cluster, tell: &'a mut Narrator) -> anyhow::Result<Self> {
        let cast = Cast::new(&cluster.endpoints())?;
        let nothing = ItemId { category: 0, number: 0 };
        let wares = Wares { desk_lamp: nothing, reading_lamp: nothing, tea: nothing, tea_pot: nothing };
        Ok(Story { cluster, tell, cast, books: Books::default(), killed: Vec::new(), wares, adas: None })
    }

    /// What must be true now, and who can tell.
    pub fn end(self) -> (Books, Cast) {
        (self.books, self.cast)
    }

    pub async fn open_the_market(&mut self) -> anyhow::Result<()> {
        self.tell.chapter("Two sellers open their shops");
        let Cast { mina, noah, .. } = &mut self.cast;
        self.tell.step("Mina creates an account and logs in", mina.join()).await?;
        self.tell.step("Noah creates an account and logs in", noah.join()).await?;
        let (mina, noah) = (self.cast.mina.clone(), self.cast.noah.clone());
        self.wares.desk_lamp =
            self.list(&mina, item("Desk lamp", LAMPS, &["lamp", "desk"], Condition::New, 2490, 5)).await?;
        self.wares.reading_lamp =
            self.list(&mina, item("Reading lamp", LAMPS, &["lamp", "book"], Condition::Used, 950, 2)).await?;
        self.wares.tea =
            self.list(&noah, item("Green tea", TEA, &["tea", "green"], Condition::New, 420, 40)).await?;
        self.wares.tea_pot =
            self.list(&noah, item("Tea pot", TEA, &["tea", "pot"], Condition::New, 3100, 3)).await?;
        self.list_again(&mina).await?;
        self.restock(&noah).await
    }

    async fn list(&mut self, seller: &Seller, item: NewItem) -> anyhow::Result<ItemId> {
        let what =
            format!("{} puts {} × {} on sale at ${}", seller.name, item.quantity, item.name, item.price);
        let listing = async { Ok(seller.client.register_item(&item).await?) };
        let registered = self.tell.step_with(what, listing, |item| format!("item {}", item.item_id)).await?;
        ensure!(!registered.merged, "a new item was merged into {}", registered.item_id);
        let expected = Expected {
            name: item.name,
            seller: seller.id,
            price: item.price,
            listed: item.quantity,
            sold: 0,
            thumbs_up: 0,
            thumbs_down: 0,
        };
        self.books.items.insert(registered.item_id, expected);
        Ok(registered.item_id)
    }

    async fn list_again(&mut self, mina: &Seller) -> anyhow::Result<()> {
        let again = item("Desk lamp", LAMPS, &["desk", "LAMP"], Condition::New, 2490, 3);
        let id = self.wares.desk_lamp;
        let listing = async {
            let registered = mina.client.register_item(&again).await?;
            ensure!(registered.merged && registered.item_id == id, "it became item {}", registered.item_id);
            Ok(registered.quantity)
        };
        let what = "Mina lists 3 more of the same desk lamp, and they join the first";
        self.tell.step_with(what, listing, |units| format!("{units} units")).await?;
        self.books.item(id)?.listed += 3;
        Ok(())
    }

    async fn restock(&mut self, noah: &Seller) -> anyhow::Result<()> {
        let Wares { tea, tea_pot, .. } = self.wares;
        let price = Cents(2900);
        let changing = async { Ok(noah.client.change_price(tea_pot, price).await?) };
        self.tell
            .step_with("Noah changes the price of the tea pot", changing, |item| format!("${}", item.price))
            .await?;
        self.books.item(tea_pot)?.price = price;
        let adding = async { Ok(noah.client.update_units(tea, 10).await?) };
        self.tell
            .step_with("Noah adds 10 packs of tea", adding, |tea| format!("{} units", tea.quantity))
            .await?;
        self.books.item(tea)?.listed += 10;
        let not_his =
            async { refused(noah.client.change_price(self.wares.desk_lamp, Cents(1)).await, "not_owner") };
        self.tell.step("Noah can't change the price of Mina's lamp", not_his).await
    }

    pub async fn go_shopping(&mut self) -> anyhow::Result<()> {
        self.tell.chapter("Three buyers come to the market");
        let Cast { ada, bob, cleo, .. } = &mut self.cast;
        self.tell.step("Ada creates an account and logs in", ada.join()).await?;
        self.tell.step("Bob creates an account and logs in", bob.join()).await?;
        self.tell.step("Cleo creates an account and logs in", cleo.join()).await?;
        let ada = self.cast.ada.clone();
        let searching = async {
            let found = ada.client.search(&Search::keywords(["lamp", "book"])).await?.items;
            let of_ours = |id| found.iter().position(|item| item.item_id == id);
            let (reading, desk) = (of_ours(self.wares.reading_lamp), of_ours(self.wares.desk_lamp));
            ensure!(
                reading.is_some() && desk.is_some() && reading < desk,
                "the lamp that matches both words comes first"
            );
            Ok(found.into_iter().map(|item| item.name).collect::<Vec<_>>().join(", "))
        };
        self.tell.step_with("Ada searches for \"lamp book\"", searching, Clone::clone).await?;
        self.fill(&ada, self.wares.desk_lamp, 2).await?;
        self.fill(&ada, self.wares.reading_lamp, 1).await?;
        let too_many =
            async { refused(ada.client.add_to_cart(self.wares.desk_lamp, 7).await, "insufficient_stock") };
        self.tell.step("Ada can't have 7 more: there are only 8", too_many).await?;
        self.keep_a_cart(&ada).await
    }

    async fn fill(&mut self, buyer: &Buyer, id: ItemId, quantity: u32) -> anyhow::Result<()> {
        let name = self.books.item(id)?.name.clone();
        let filling = async { Ok(buyer.client.add_to_cart(id, quantity).await?) };
        let what = format!("{} puts {quantity} × {name} into the cart", buyer.name);
        self.tell.step_with(what, filling, |cart| format!("${} in all", cart.total)).await?;
        Ok(())
    }

    async fn keep_a_cart(&mut self, ada: &Buyer) -> anyhow::Result<()> {
        let keeping = async {
            let before = ada.client.cart().await?.lines;
            ada.client.save_cart(None).await?;
            let token = ada.client.token();
            ada.client.logout().await?;
            let after_logout = ada.client.clone();
            after_logout.set_token(token);
            refused(after_logout.cart().await, "invalid_session")
                .context("the old token after the logout")?;
            ada.login().await?;
            ensure!(ada.client.cart().await?.lines == before, "the new session has another cart");
            Ok(())
        };
        self.tell
            .step("Ada saves the cart, logs out (the token is dead), logs in: the cart is back", keeping)
            .await
    }

    pub async fn lose_frontends(&mut self) -> anyhow::Result<()> {
        self.tell.chapter("A frontend of each kind is killed (kill -9), the ones that Ada and Mina use");
        let (ada, mina) = (self.cast.ada.clone(), self.cast.mina.clone());
        self.kill(&self.frontend_at(ada.client.server())?).await?;
        self.kill(&self.frontend_at(mina.client.server())?).await?;
        self.fill(&ada, self.wares.tea, 3).await?;
        let price = Cents(2290);
        let changing = async { Ok(mina.client.change_price(self.wares.desk_lamp, price).await?) };
        self.tell
            .step_with("Mina makes the desk lamp cheaper", changing, |item| format!("${}", item.price))
            .await?;
        self.books.item(self.wares.desk_lamp)?.price = price;
        Ok(())
    }

    fn frontend_at(&self, url: &str) -> anyhow::Result<String> {
        let file = self.cluster.file();
        let mut frontends = file.buyer.iter().chain(&file.seller);
        let at =
            frontends.find(|frontend| url.trim_end_matches('/').ends_with(&frontend.address.to_string()));
        at.map(|frontend| frontend.name.clone()).with_context(|| format!("no frontend is at {url}"))
    }

    async fn kill(&mut self, name: &str) -> anyhow::Result<()> {
        let killing = async { Ok(self.cluster.kill(name).await?) };
        let killed = self.tell.step_with(format!("kill -9 {name}"), killing, |killed| {
            if killed == name { String::new() } else { format!("that was {killed}") }
        });
        let killed = killed.await?;
        self.killed.push(killed);
        Ok(())
    }

    pub async fn buy(&mut self) -> anyhow::Result<()> {
        self.tell.chapter("Ada buys");
        let ada = self.cast.ada.clone();
        let bought = self.buy_cart(&ada).await?;
        let again = bought_again(&ada, &bought);
        self.tell.step("Ada's impatient second click, with the same key, buys nothing more", again).await?;
        self.adas = Some(bought);
        let empty = async {
            let lines = ada.client.cart().await?.lines;
            ensure!(lines.is_empty(), "there are still {} lines in it", lines.len());
            Ok(())
        };
        self.tell.step("Ada's cart is empty", empty).await
    }

    async fn buy_cart(&mut self, buyer: &Buyer) -> anyhow::Result<Bought> {
        let buying = async { Ok(buyer.buy().await?) };
        let what = format!("{} pays by card", buyer.name);
        let bought = self.tell.step_with(what, buying, Bought::told).await?;
        self.books.bought(&bought.purchase);
        Ok(bought)
    }

    pub async fn lose_the_product_leader(&mut self) -> anyhow::Result<()> {
        self.tell.chapter("The leader of the product database is killed while Bob shops");
        let bob = self.cast.bob.clone();
        self.fill(&bob, self.wares.tea, 5).await?;
        self.kill("product-leader").await?;
        self.fill(&bob, self.wares.tea_pot, 1).await?;
        self.buy_cart(&bob).await?;
        Ok(())
    }

    pub async fn lose_the_customer_sequencer(&mut self) -> anyhow::Result<()> {
        self.tell.chapter("The customer node whose turn it is to order writes is killed while Cleo shops");
        let cleo = self.cast.cleo.clone();
        self.fill(&cleo, self.wares.tea, 2).await?;
        self.kill("customer-sequencer").await?;
        self.fill(&cleo, self.wares.desk_lamp, 1).await?;
        self.buy_cart(&cleo).await?;
        Ok(())
    }

    pub async fn race_for_the_last_one(&mut self) -> anyhow::Result<()> {
        self.tell.chapter("Bob and Cleo both want the last reading lamp");
        let (bob, cleo) = (self.cast.bob.clone(), self.cast.cleo.clone());
        self.fill(&bob, self.wares.reading_lamp, 1).await?;
        self.fill(&cleo, self.wares.reading_lamp, 1).await?;
        let racing = async {
            let outcomes = tokio::join!(bob.buy(), cleo.buy());
            let (winner, bought, loser) = match outcomes {
                (Ok(bought), Err(lost)) => (bob.name, bought, lost),
                (Err(lost), Ok(bought)) => (cleo.name, bought, lost),
                (Ok(_), Ok(_)) => bail!("both got it: it was sold twice"),
                (Err(bob), Err(cleo)) => bail!("nobody got it: Bob: {bob}; Cleo: {cleo}"),
            };
            ensure!(loser.code() == Some("insufficient_stock"), "the other one failed otherwise: {loser}");
            Ok((winner, bought))
        };
        let what = "both pay at the same time, and one gets it";
        let (_, bought) = self.tell.step_with(what, racing, |(winner, _)| (*winner).to_owned()).await?;
        self.books.bought(&bought.purchase);
        Ok(())
    }

    pub async fn give_feedback(&mut self) -> anyhow::Result<()> {
        self.tell.chapter("Opinions");
        let (ada, bob) = (self.cast.ada.clone(), self.cast.bob.clone());
        let Wares { desk_lamp, tea, .. } = self.wares;
        let voting = async { Ok(ada.client.give_feedback(desk_lamp, Vote::Up).await?) };
        self.tell.step("Ada likes the desk lamp", voting).await?;
        self.books.item(desk_lamp)?.thumbs_up += 1;
        let voting = async {
            bob.client.give_feedback(tea, Vote::Up).await?;
            Ok(bob.client.give_feedback(tea, Vote::Down).await?)
        };
        self.tell.step("Bob likes the tea, then changes his mind; one vote stands", voting).await?;
        self.books.item(tea)?.thumbs_down += 1;
        let looking = async {
            let page = Page { limit: Some(10), cursor: None };
            Ok(ada.client.purchases(&page).await?.purchases.len())
        };
        let count = self.tell.step_with("Ada looks at her purchases", looking, ToString::to_string).await?;
        ensure!(count == 1, "Ada has {count} purchases instead of one");
        Ok(())
    }

    pub async fn bring_everyone_back(&mut self) -> anyhow::Result<()> {
        self.tell.chapter("The killed processes come back, from their disks");
        for name in std::mem::take(&mut self.killed) {
            let back = async {
                self.cluster.restart(&name).await?;
                self.cluster.wait_ready_of(&[&name], BACK_WITHIN).await?;
                Ok(())
            };
            self.tell.step(format!("{name} is back and ready"), back).await?;
        }
        Ok(())
    }

    pub async fn lose_all_databases(&mut self) -> anyhow::Result<()> {
        self.tell.chapter("The power fails: all nodes of both databases die at the same moment");
        let file = self.cluster.file();
        let nodes: Vec<String> =
            file.customer.iter().chain(&file.product).map(|node| node.name.clone()).collect();
        let killing = async { Ok(try_join_all(nodes.iter().map(|name| self.cluster.kill(name))).await?) };
        self.tell
            .step_with("kill -9 of all of them", killing, |killed| format!("{} nodes", killed.len()))
            .await?;
        let back = async {
            try_join_all(nodes.iter().map(|name| self.cluster.restart(name))).await?;
            let names: Vec<&str> = nodes.iter().map(String::as_str).collect();
            self.cluster.wait_ready_of(&names, BACK_WITHIN).await?;
            Ok(())
        };
        self.tell.step("they are back from their disks, and ready", back).await?;
        let ada = self.cast.ada.clone();
        if let Some(bought) = &self.adas {
            let again = bought_again(&ada, bought);
            self.tell.step("Ada, still logged in, clicks once more: still one purchase", again).await?;
        }
        Ok(())
    }
}

/// Repeats a purchase with its key, which must get the first answer.
async fn bought_again(buyer: &Buyer, bought: &Bought) -> anyhow::Result<()> {
    let again = buyer.client.with_key(&bought.key).purchase(&buyer.card()).await?;
    ensure!(again.purchase_id == bought.purchase.purchase_id, "it was a second purchase");
    Ok(())
}

fn item(
    name: &str,
    category: u32,
    keywords: &[&str],
    condition: Condition,
    cents: u64,
    quantity: u64,
) -> NewItem {
    NewItem {
        name: name.into(),
        category,
        keywords: keywords.iter().map(|keyword| (*keyword).to_owned()).collect(),
        condition,
        price: Cents(cents),
        quantity,
    }
}
