//! `--limit`, `--cursor` and `--all`: listings page by page, or whole.

use clap::Args;

use crate::Error;
use crate::model::Page;

/// Entries of a page when all pages are fetched.
const PAGE_OF_ALL: u32 = 100;

#[derive(Args, Clone, Debug)]
pub(super) struct Paging {
    /// Most entries to show (1 to 100)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: Option<u32>,
    /// Where the last page said that the next one begins
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// All pages, not only one
    #[arg(long)]
    all: bool,
}

impl Paging {
    /// Fetches one page, or all from here on; gives the entries and the cursor of what is left.
    pub async fn fetch<T>(
        &self,
        mut page: impl AsyncFnMut(Page) -> Result<(Vec<T>, Option<String>), Error>,
    ) -> Result<(Vec<T>, Option<String>), Error> {
        let limit = self.limit.or(self.all.then_some(PAGE_OF_ALL));
        let mut entries = Vec::new();
        let mut cursor = self.cursor.clone();
        loop {
            let (more, next) = page(Page { limit, cursor }).await?;
            entries.extend(more);
            if !self.all || next.is_none() {
                return Ok((entries, next));
            }
            cursor = next;
        }
    }
}

/// The line beneath a page that is not the last.
pub(super) fn more(next: Option<&str>) -> String {
    next.map(|cursor| format!("\nThere is more: --cursor {cursor}, or --all")).unwrap_or_default()
}
