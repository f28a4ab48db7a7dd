//! Asking for listings page by page.

/// Which page of a listing is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Most entries; none: as the server likes.
    pub limit: Option<u32>,
    /// Where the last page said that the next one begins; none: the first page.
    pub cursor: Option<String>,
}

impl Page {
    pub(crate) fn query(&self) -> Vec<(&'static str, String)> {
        let limit = self.limit.map(|limit| ("limit", limit.to_string()));
        let cursor = self.cursor.clone().map(|cursor| ("cursor", cursor));
        limit.into_iter().chain(cursor).collect()
    }
}

/// What a buyer is looking for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// Only in this category.
    pub category: Option<u32>,
    /// An item is found if any of these is among its keywords. None at all: every item of the category.
    pub keywords: Vec<String>,
    /// Which page.
    pub page: Page,
}

impl Search {
    /// Everything in a category.
    #[must_use]
    pub fn category(category: u32) -> Self {
        Search { category: Some(category), ..Search::default() }
    }

    /// By keywords, in all categories.
    pub fn keywords<K: Into<String>>(keywords: impl IntoIterator<Item = K>) -> Self {
        Search { keywords: keywords.into_iter().map(Into::into).collect(), ..Search::default() }
    }

    pub(crate) fn query(&self) -> Vec<(&'static str, String)> {
        let category = self.category.map(|category| ("category", category.to_string()));
        let keywords = self.keywords.iter().map(|keyword| ("keyword", keyword.clone()));
        category.into_iter().chain(keywords).chain(self.page.query()).collect()
    }
}
