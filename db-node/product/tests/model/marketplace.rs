//! The marketplace's rules on plain collections, the slow and obvious way: every item in one list, every search a scan.
//! Nothing here is shared with the machine but its bounds.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use agora_product::bounds::{FORGET_ALONG, SWEEP_MOST};
use agora_proto::common::{Code, ItemId};
use agora_proto::limits::*;
use agora_proto::product::response::Body;
use agora_proto::product::*;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// An answer, or the refusal's code and field.
pub type Outcome = Result<Body, (Code, &'static str)>;

struct Thing {
    id: ItemId,
    seller: u64,
    name: String,
    keywords: Vec<String>,
    condition: i32,
    price: u64,
    on_sale: u64,
    reserved: u64,
    removed: bool,
}

struct Hold {
    buyer: u64,
    state: ReservationState,
    lines: Vec<ReservedLine>,
    expires: u64,
    ended: u64,
    paid: String,
}

/// The whole marketplace.
#[derive(Default)]
pub struct Marketplace {
    now: u64,
    /// All that were ever registered, in that order.
    things: Vec<Thing>,
    holds: BTreeMap<Vec<u8>, Hold>,
    /// By item and buyer, of all items ever.
    votes: BTreeMap<(ItemId, u64), i32>,
    sold: BTreeMap<u64, u64>,
    /// By key: the command, its outcome, when it was given, and as which one.
    answers: BTreeMap<u64, (command::Body, Outcome, u64, u64)>,
    answered: u64,
}

fn lower(words: &[String]) -> BTreeSet<String> {
    words.iter().map(|word| word.to_lowercase()).collect()
}

fn has_bad_text(text: &str, most: usize) -> bool {
    text.trim().is_empty() || text.chars().count() > most || text.chars().any(char::is_control)
}

impl Marketplace {
    /// A command at a time; with a key, or without one.
    pub fn apply(&mut self, now: u64, key: Option<u64>, body: &command::Body) -> Outcome {
        self.now = now;
        let Some(key) = key else { return self.execute(body) };
        match self.answers.get(&key) {
            Some((first, outcome, ..)) if first == body => outcome.clone(),
            Some(_) => Err((Code::IdempotencyKeyReused, "")),
            None => {
                let outcome = self.execute(body);
                self.answered += 1;
                self.answers.insert(key, (body.clone(), outcome.clone(), now, self.answered));
                self.forget(FORGET_ALONG);
                outcome
            }
        }
    }

    /// The oldest first.
    fn forget(&mut self, most: usize) {
        let now = self.now;
        let old = self.answers.iter().filter(|(_, (_, _, at, _))| at + DAY_MS < now);
        let mut old: Vec<_> = old.map(|(key, (.., number))| (*number, *key)).collect();
        old.sort_unstable();
        old.iter().take(most).for_each(|(_, key)| {
            self.answers.remove(key);
        });
    }

    fn execute(&mut self, body: &command::Body) -> Outcome {
        match body {
            command::Body::RegisterItem(wanted) => self.register(wanted),
            command::Body::ChangePrice(change) => self.change_price(change),
            command::Body::UpdateUnits(update) => self.update_units(update),
            command::Body::RemoveItem(remove) => {
                let thing = self.own(remove.seller_id, remove.item)?;
                (thing.removed, thing.on_sale) = (true, 0);
                Ok(Body::Done(Done {}))
            }
            command::Body::GiveFeedback(feedback) => self.vote(feedback),
            command::Body::Reserve(reserve) => self.reserve(reserve),
            command::Body::CommitReservation(commit) => {
                self.commit(&commit.purchase_id, &commit.authorization_id)
            }
            command::Body::ReleaseReservation(release) => self.release(&release.purchase_id),
            command::Body::Sweep(_) => {
                self.sweep();
                Ok(Body::Done(Done {}))
            }
        }
    }

    fn thing(&mut self, id: Option<ItemId>) -> Option<&mut Thing> {
        self.things.iter_mut().find(|thing| Some(thing.id) == id)
    }

    fn own(&mut self, seller: u64, id: Option<ItemId>) -> Result<&mut Thing, (Code, &'static str)> {
        match self.thing(id) {
            None => Err((Code::ItemNotFound, "")),
            Some(thing) if thing.removed => Err((Code::ItemNotFound, "")),
            Some(thing) if thing.seller != seller => Err((Code::NotOwner, "")),
            Some(thing) => Ok(thing),
        }
    }

    fn register(&mut self, wanted: &RegisterItem) -> Outcome {
        let RegisterItem { seller_id, name, category, keywords, condition, price_cents, quantity } =
            wanted.clone();
        let bad = |field| Err((Code::InvalidField, field));
        if has_bad_text(&name, ITEM_NAME_CHARS) {
            return bad("name");
        }
        if category > CATEGORY_MAX {
            return bad("category");
        }
        if keywords.len() > KEYWORDS || keywords.iter().any(|word| has_bad_text(word, KEYWORD_CHARS)) {
            return bad("keywords");
        }
        if !(1..=2).contains(&condition) {
            return bad("condition");
        }
        if price_cents == 0 || price_cents > PRICE_MAX_CENTS {
            return bad("price");
        }
        if quantity > UNITS_MAX {
            return bad("quantity");
        }
        let equal = self.things.iter_mut().find(|thing| {
            let (a, b) = (lower(&thing.keywords), lower(&keywords));
            let this = (thing.seller, &thing.name, thing.id.category, thing.condition, thing.price);
            !thing.removed && a == b && this == (seller_id, &name, category, condition, price_cents)
        });
        if let Some(thing) = equal {
            if thing.on_sale + thing.reserved + quantity > UNITS_MAX {
                return bad("quantity");
            }
            thing.on_sale += quantity;
            let (id, quantity) = (Some(thing.id), thing.on_sale);
            return Ok(Body::ItemRegistered(ItemRegistered { id, quantity, merged: true }));
        }
        let number = self.things.iter().filter(|thing| thing.id.category == category).count() as u64 + 1;
        let id = ItemId { category, number };
        let mut distinct: Vec<String> = Vec::new();
        for word in keywords {
            if !lower(&distinct).contains(&word.to_lowercase()) {
                distinct.push(word);
            }
        }
        self.things.push(Thing {
            id,
            seller: seller_id,
            name,
            keywords: distinct,
            condition,
            price: price_cents,
            on_sale: quantity,
            reserved: 0,
            removed: false,
        });
        Ok(Body::ItemRegistered(ItemRegistered { id: Some(id), quantity, merged: false }))
    }

    fn change_price(&mut self, change: &ChangePrice) -> Outcome {
        let thing = self.own(change.seller_id, change.item)?;
        if change.price_cents == 0 || change.price_cents > PRICE_MAX_CENTS {
            return Err((Code::InvalidField, "price"));
        }
        thing.price = change.price_cents;
        let id = thing.id;
        Ok(Body::Item(self.shown(id)))
    }

    fn update_units(&mut self, update: &UpdateUnits) -> Outcome {
        let thing = self.own(update.seller_id, update.item)?;
        let after = i128::from(thing.on_sale) + i128::from(update.delta);
        let most = i128::from(UNITS_MAX);
        if i128::from(update.delta).abs() > most || after + i128::from(thing.reserved) > most {
            return Err((Code::InvalidField, "delta"));
        }
        thing.on_sale = u64::try_from(after).map_err(|_| (Code::InsufficientStock, "delta"))?;
        Ok(Body::UnitsUpdated(UnitsUpdated { id: Some(thing.id), quantity: thing.on_sale }))
    }

    fn vote(&mut self, feedback: &GiveFeedback) -> Outcome {
        if !(1..=2).contains(&feedback.vote) {
            return Err((Code::InvalidField, "vote"));
        }
        let id = match self.thing(feedback.item) {
            Some(thing) if !thing.removed => thing.id,
            _ => return Err((Code::ItemNotFound, "")),
        };
        self.votes.insert((id, feedback.buyer_id), feedback.vote);
        let (thumbs_up, thumbs_down) = self.thumbs(|voted| voted == id);
        Ok(Body::Feedback(Feedback { thumbs_up, thumbs_down }))
    }

    fn thumbs(&self, of: impl Fn(ItemId) -> bool) -> (u64, u64) {
        let count =
            |vote| self.votes.iter().filter(|((id, _), cast)| of(*id) && **cast == vote).count() as u64;
        (count(1), count(2))
    }

    // ---- reservations

    fn reserve(&mut self, wanted: &Reserve) -> Outcome {
        let mut lines: Vec<(ItemId, u32)> =
            wanted.lines.iter().filter_map(|line| Some((line.item?, line.quantity))).collect();
        lines.sort_unstable();
        let ids: BTreeSet<ItemId> = lines.iter().map(|(id, _)| *id).collect();
        let sound = lines.iter().all(|(_, quantity)| (1..=CART_LINE_UNITS).contains(quantity));
        if lines.is_empty() || lines.len() > CART_LINES || !sound || ids.len() < lines.len() {
            return Err((Code::InvalidField, "lines"));
        }
        self.expire(&wanted.purchase_id);
        if let Some(hold) = self.holds.get(&*wanted.purchase_id) {
            let held: Vec<_> =
                hold.lines.iter().filter_map(|line| Some((line.item?, line.quantity))).collect();
            return if hold.buyer == wanted.buyer_id && held == lines {
                Ok(self.reservation(&wanted.purchase_id))
            } else {
                Err((Code::PurchaseConflict, ""))
            };
        }
        for (id, quantity) in &lines {
            match self.thing(Some(*id)) {
                Some(thing) if !thing.removed && thing.on_sale >= u64::from(*quantity) => {}
                _ => return Err((Code::InsufficientStock, "lines")),
            }
        }
        let mut reserved = Vec::new();
        for (id, quantity) in lines {
            let Some(thing) = self.thing(Some(id)) else { continue };
            thing.on_sale -= u64::from(quantity);
            thing.reserved += u64::from(quantity);
            let (price_cents, name, seller_id) = (thing.price, thing.name.clone(), thing.seller);
            reserved.push(ReservedLine { item: Some(id), quantity, price_cents, name, seller_id });
        }
        let expires = self.now + RESERVATION_HOLD.as_millis() as u64;
        let hold = Hold {
            buyer: wanted.buyer_id,
            state: ReservationState::Held,
            lines: reserved,
            expires,
            ended: 0,
            paid: String::new(),
        };
        self.holds.insert(wanted.purchase_id.to_vec(), hold);
        Ok(self.reservation(&wanted.purchase_id))
    }

    fn reservation(&self, id: &[u8]) -> Body {
        let hold = &self.holds[id];
        Body::Reservation(Reservation {
            purchase_id: id.to_vec().into(),
            state: hold.state.into(),
            lines: hold.lines.clone(),
            total_cents: hold.lines.iter().map(|line| line.price_cents * u64::from(line.quantity)).sum(),
            expires_ms: hold.expires,
            authorization_id: hold.paid.clone(),
        })
    }

    fn expire(&mut self, id: &[u8]) {
        let ran_out = |hold: &Hold| hold.state == ReservationState::Held && hold.expires <= self.now;
        if self.holds.get(id).is_some_and(ran_out) {
            self.end(id, ReservationState::Released);
        }
    }

    fn end(&mut self, id: &[u8], state: ReservationState) {
        let Some(hold) = self.holds.get_mut(id) else { return };
        (hold.state, hold.ended) = (state, self.now);
        for line in hold.lines.clone() {
            let units = u64::from(line.quantity);
            let Some(thing) = self.thing(line.item) else { continue };
            thing.reserved -= units;
            if state == ReservationState::Committed {
                *self.sold.entry(line.seller_id).or_default() += units;
            } else if !thing.removed {
                thing.on_sale += units;
            }
        }
    }

    fn commit(&mut self, id: &[u8], authorization_id: &str) -> Outcome {
        if authorization_id.is_empty() {
            return Err((Code::InvalidField, "authorization_id"));
        }
        self.expire(id);
        match self.holds.get_mut(id).map(|hold| (hold.state, hold)) {
            Some((ReservationState::Held, hold)) => {
                hold.paid = authorization_id.into();
                self.end(id, ReservationState::Committed);
            }
            Some((ReservationState::Committed, _)) => {}
            _ => return Err((Code::ReservationNotFound, "")),
        }
        Ok(self.reservation(id))
    }

    fn release(&mut self, id: &[u8]) -> Outcome {
        match self.holds.get(id).map(|hold| hold.state) {
            Some(ReservationState::Held) => self.end(id, ReservationState::Released),
            Some(_) => {}
            None => {
                let (state, ended) = (ReservationState::Released, self.now);
                self.holds.insert(
                    id.to_vec(),
                    Hold { buyer: 0, state, lines: vec![], expires: 0, ended, paid: String::new() },
                );
            }
        }
        Ok(self.reservation(id))
    }

    fn sweep(&mut self) {
        let ids: Vec<Vec<u8>> = self.holds.keys().cloned().collect();
        // Fewer than a sweep does at most, so that none is left to the next.
        assert!(ids.len() < SWEEP_MOST);
        for id in ids {
            let hold = &self.holds[&id];
            if hold.state != ReservationState::Held && hold.ended + DAY_MS <= self.now {
                self.holds.remove(&id);
            } else {
                self.expire(&id);
            }
        }
        self.forget(SWEEP_MOST);
    }

    // ---- queries

    fn shown(&self, id: ItemId) -> Item {
        let (thumbs_up, thumbs_down) = self.thumbs(|voted| voted == id);
        let thing = self.things.iter().find(|thing| thing.id == id).expect("it is there");
        Item {
            id: Some(id),
            seller_id: thing.seller,
            name: thing.name.clone(),
            keywords: thing.keywords.clone(),
            condition: thing.condition,
            price_cents: thing.price,
            quantity: thing.on_sale,
            thumbs_up,
            thumbs_down,
        }
    }

    pub fn query(&self, body: &query::Body) -> Outcome {
        let offered = || self.things.iter().filter(|thing| !thing.removed);
        match body {
            query::Body::GetItems(get) => {
                let there = |id: &&ItemId| offered().any(|thing| thing.id == **id);
                let items = get.ids.iter().filter(there).map(|id| self.shown(*id)).collect();
                Ok(Body::Items(Items { items }))
            }
            query::Body::Search(search) => self.search(search),
            query::Body::ListItemsOfSeller(list) => {
                let own = offered().filter(|thing| thing.seller == list.seller_id).map(|thing| thing.id);
                let mut ids: Vec<ItemId> = own.filter(|id| Some(*id) > list.after).collect();
                ids.sort_unstable();
                let limit = list.limit as usize;
                let next_item = if ids.len() > limit { Some(ids[limit - 1]) } else { None };
                let items = ids.into_iter().take(limit).map(|id| self.shown(id)).collect();
                Ok(Body::ItemPage(ItemPage { items, next_search: None, next_item }))
            }
            query::Body::GetSellerRating(get) => {
                let by = |id| self.things.iter().any(|thing| thing.id == id && thing.seller == get.seller_id);
                let (thumbs_up, thumbs_down) = self.thumbs(by);
                let items_sold = self.sold.get(&get.seller_id).copied().unwrap_or(0);
                Ok(Body::SellerRating(SellerRating {
                    seller_id: get.seller_id,
                    thumbs_up,
                    thumbs_down,
                    items_sold,
                }))
            }
            query::Body::GetTotals(_) => {
                let units_on_sale = self.things.iter().map(|thing| thing.on_sale).sum();
                let units_reserved = self.things.iter().map(|thing| thing.reserved).sum();
                let units_sold = self.sold.values().sum();
                let held = self.holds.values().filter(|hold| hold.state == ReservationState::Held);
                Ok(Body::Totals(Totals {
                    items: self.things.len() as u64,
                    units_on_sale,
                    units_reserved,
                    units_sold,
                    units_listed: units_on_sale + units_reserved + units_sold,
                    reservations_held: held.count() as u64,
                }))
            }
        }
    }

    fn search(&self, search: &Search) -> Outcome {
        let wanted = lower(&search.keywords);
        let mut found: Vec<(Reverse<(u32, u64)>, ItemId)> = Vec::new();
        for (thing, created) in self.things.iter().zip(1_u64..) {
            let matched = lower(&thing.keywords).intersection(&wanted).count() as u32;
            let in_category = search.category.is_none_or(|category| thing.id.category == category);
            let place = (matched, created);
            let behind = search.after.is_none_or(|after| place < (after.matched, after.created));
            if thing.on_sale > 0 && in_category && behind && (matched > 0 || wanted.is_empty()) {
                found.push((Reverse(place), thing.id));
            }
        }
        found.sort_unstable();
        let limit = search.limit as usize;
        let last = found.get(limit - 1).filter(|_| found.len() > limit);
        let next_search = last
            .map(|(Reverse((matched, created)), _)| SearchCursor { matched: *matched, created: *created });
        let items = found.iter().take(limit).map(|(_, id)| self.shown(*id)).collect();
        Ok(Body::ItemPage(ItemPage { items, next_search, next_item: None }))
    }
}
