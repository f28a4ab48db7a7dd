//! `buyer search`.

use clap::Args;

use crate::BuyerClient;
use crate::cli::failure::CliError;
use crate::cli::items::items;
use crate::cli::paging::Paging;
use crate::cli::shown::Shown;
use crate::model::Search;

#[derive(Args)]
pub(in crate::cli) struct SearchArguments {
    /// An item is found if any of these is one of its keywords [default: every item of the category]
    keywords: Vec<String>,
    /// Only in this category
    #[arg(long, short, value_name = "N")]
    category: Option<u32>,
    #[command(flatten)]
    paging: Paging,
}

pub(super) async fn search(client: &BuyerClient, arguments: &SearchArguments) -> Result<Shown, CliError> {
    let fetch = async |page| {
        let search = Search { category: arguments.category, keywords: arguments.keywords.clone(), page };
        let page = client.search(&search).await?;
        Ok((page.items, page.next_cursor))
    };
    let (found, next) = arguments.paging.fetch(fetch).await?;
    items(&found, next.as_deref())
}
