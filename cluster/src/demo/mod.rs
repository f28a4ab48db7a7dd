//! The demonstration: a short shopping story against a cluster whose processes are killed on the way, and then a check of
//! everything that was promised.
//!
//! - `narrator`: tells each step and how long it took.
//! - `cast`: who plays: two sellers, three buyers, and how they behave.
//! - `books`: what must be true if nothing is lost, doubled or invented.
//! - `story`: the chapters.
//! - `promises`: the check at the end, against the databases and the financial service.

mod books;
mod cast;
mod narrator;
mod promises;
mod story;

pub(crate) use narrator::Narrator;

use crate::cluster::Cluster;

/// Plays the story and checks the promises.
///
/// # Errors
/// A step failed or a promise was broken; which, was told already.
pub(crate) async fn play(cluster: &Cluster, narrator: &mut Narrator) -> anyhow::Result<()> {
    let mut story = story::Story::new(cluster, narrator)?;
    story.open_the_market().await?;
    story.go_shopping().await?;
    story.lose_frontends().await?;
    story.buy().await?;
    story.lose_the_product_leader().await?;
    story.lose_the_customer_sequencer().await?;
    story.race_for_the_last_one().await?;
    story.give_feedback().await?;
    story.bring_everyone_back().await?;
    story.lose_all_databases().await?;
    let (books, cast) = story.end();
    promises::check(cluster, narrator, &books, &cast).await
}
