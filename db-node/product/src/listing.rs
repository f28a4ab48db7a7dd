//! How items are looked up and listed. Removed items are never shown.

use agora_proto::common::{ItemId, Refusal};
use agora_proto::limits::PAGE_ITEMS_MAX;
use agora_proto::product as proto;
use agora_proto::product::response::Body;

use crate::item::ItemKey;
use crate::search::{Match, Wanted};
use crate::state::ProductDb;
use crate::validate;

impl ProductDb {
    /// Those of these items that are there, in the order asked for.
    pub(crate) fn get_items(&self, ids: &[ItemId]) -> Result<Body, Refusal> {
        if ids.len() > PAGE_ITEMS_MAX as usize {
            return Err(Refusal::field("ids", format!("at most {PAGE_ITEMS_MAX} items, not {}", ids.len())));
        }
        let items = self.show(ids.iter().map(|id| ItemKey::from(*id)));
        Ok(Body::Items(proto::Items { items }))
    }

    /// A page of a search.
    pub(crate) fn search(&self, query: &proto::Search) -> Result<Body, Refusal> {
        query.category.map_or(Ok(()), validate::category)?;
        let wanted = Wanted {
            category: query.category,
            keywords: validate::searched(&query.keywords)?,
            after: query.after.map(|after| Match { matched: after.matched, created: after.created }),
            limit: validate::limit(query.limit)?,
        };
        let found = self.search.find(&wanted);
        let next_search =
            found.next.map(|next| proto::SearchCursor { matched: next.matched, created: next.created });
        Ok(Body::ItemPage(proto::ItemPage { items: self.show(found.items), next_search, next_item: None }))
    }

    /// A seller's own items, with a quantity of 0 too, in the order of their ids.
    pub(crate) fn items_of_seller(
        &self,
        seller: u64,
        limit: u32,
        after: Option<ItemId>,
    ) -> Result<Body, Refusal> {
        let limit = validate::limit(limit)?;
        let after = after.map(ItemKey::from);
        let own = self.of_seller.range((seller, after.unwrap_or(ItemKey::MIN))..=(seller, ItemKey::MAX));
        // One more than the page has: whether there are more.
        let mut keys: Vec<ItemKey> =
            own.map(|(_, key)| *key).filter(|key| after != Some(*key)).take(limit + 1).collect();
        let more = keys.len() > limit;
        keys.truncate(limit);
        let next_item = keys.last().filter(|_| more).map(|last| ItemId::from(*last));
        Ok(Body::ItemPage(proto::ItemPage { items: self.show(keys), next_search: None, next_item }))
    }

    fn show(&self, keys: impl IntoIterator<Item = ItemKey>) -> Vec<proto::Item> {
        keys.into_iter().filter_map(|key| self.offered(key).map(|item| item.to_proto(key))).collect()
    }
}
