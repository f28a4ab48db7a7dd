//! Purchases: a cart is frozen, and then the purchase is completed or aborted, once. All three commands are idempotent by
//! the purchase's id, so that any frontend can go on with what another one began.

use agora_machine::Timestamp;
use agora_proto::common::{Code, Refusal};
use agora_proto::customer::{
    AbortPurchase, BeginPurchase, CompletePurchase, GetPurchase, ListPurchases, PurchaseCursor, PurchaseLine,
    PurchasePage, response::Body,
};
use agora_proto::limits::{
    AUTHORIZATION_ID_CHARS, CART_LINES, ITEM_NAME_CHARS, PAGE_ITEMS_MAX, PRICE_MAX_CENTS,
};

use crate::carts::Line;
use crate::keys::{PurchaseKey, TokenHash, UserKey};
use crate::limits::{PAGE_LINES_MAX, PURCHASES_MAX, REASON_CHARS};
use crate::purchase_records::{BoughtLine, Outcome, PurchaseRow, Reason};
use crate::state::CustomerDb;
use crate::validate;

impl CustomerDb {
    pub(crate) fn begin_purchase(
        &mut self,
        now: Timestamp,
        command: &BeginPurchase,
    ) -> Result<Body, Refusal> {
        let token = validate::token_hash(&command.token_hash)?;
        let id = validate::purchase_id(&command.purchase_id)?;
        if let Some(row) = self.purchases.rows.get(&id) {
            self.check_owner(row, token, now)?;
            if matches!(row.outcome, Outcome::Started { .. }) {
                self.purchases.unfinished.lease_to_runner(id, now);
            }
            return self.purchase(id);
        }
        let buyer_id = self.sessions.buyer(&token, now)?;
        if command.only_go_on {
            return Err(Refusal::field("purchase_id", "must be that of a purchase that was begun"));
        }
        let lines = self.carts.active_lines(&token).0;
        if lines.is_empty() {
            return Err(Refusal::new(Code::CartEmpty, "the cart is empty: add something first"));
        }
        if self.purchases.any_under_way(token) {
            let detail = "another purchase of this session is under way: wait until it has ended";
            return Err(Refusal::new(Code::PurchaseConflict, detail));
        }
        if self.purchases.rows.len() >= PURCHASES_MAX {
            return Err(Refusal::new(Code::RateLimited, "no more purchases can be recorded"));
        }
        let outcome = Outcome::Started { lines };
        self.purchases.begin(id, PurchaseRow { buyer_id, token, begun_ms: now.0, outcome }, now);
        self.sessions.used(&token, now);
        self.purchase(id)
    }

    /// A purchase can be begun again by the session that began it, even after that has ended, and by the same buyer.
    fn check_owner(&self, row: &PurchaseRow, token: TokenHash, now: Timestamp) -> Result<(), Refusal> {
        let has_ended = row.token == token && self.sessions.active(&token, now).is_err();
        if has_ended || self.sessions.buyer(&token, now)? == row.buyer_id {
            Ok(())
        } else {
            Err(Refusal::new(Code::PurchaseConflict, "another buyer has a purchase of that id"))
        }
    }

    pub(crate) fn complete_purchase(
        &mut self,
        now: Timestamp,
        command: CompletePurchase,
    ) -> Result<Body, Refusal> {
        let id = validate::purchase_id(&command.purchase_id)?;
        let row = self.purchases.rows.get(&id).ok_or_else(purchase_not_found)?;
        let frozen = match &row.outcome {
            Outcome::Completed { .. } => return self.purchase(id),
            Outcome::Aborted { .. } => {
                return Err(Refusal::new(
                    Code::PurchaseConflict,
                    "the purchase was aborted: it can't be completed",
                ));
            }
            Outcome::Started { lines } => lines.clone(),
        };
        let lines = bought_lines(&frozen, command.lines)?;
        check_total(&lines, command.total_cents)?;
        validate::text("authorization_id", &command.authorization_id, AUTHORIZATION_ID_CHARS)?;

        let (buyer_id, token) = (row.buyer_id, row.token);
        let outcome = Outcome::Completed {
            number: self.purchases.next_number(buyer_id),
            at_ms: now.0,
            lines,
            total_cents: command.total_cents,
            authorization_id: command.authorization_id,
        };
        self.purchases.end(id, PurchaseRow { outcome, ..row.clone() });
        self.accounts.add_items_purchased(buyer_id, frozen.iter().map(|line| u64::from(line.quantity)).sum());
        let session =
            self.sessions.rows.get(&token).filter(|session| session.user == UserKey::buyer(buyer_id));
        self.carts.subtract(session.map(|_| &token), buyer_id, &frozen);
        self.purchase(id)
    }

    pub(crate) fn abort_purchase(&mut self, now: Timestamp, command: AbortPurchase) -> Result<Body, Refusal> {
        let id = validate::purchase_id(&command.purchase_id)?;
        let row = self.purchases.rows.get(&id).ok_or_else(purchase_not_found)?;
        let lines = match &row.outcome {
            Outcome::Aborted { .. } => return self.purchase(id),
            Outcome::Completed { .. } => {
                return Err(Refusal::new(
                    Code::PurchaseConflict,
                    "the purchase was completed: it can't be aborted",
                ));
            }
            Outcome::Started { lines } => lines.clone(),
        };
        let reason = reason(command.reason)?;
        let aborted =
            PurchaseRow { outcome: Outcome::Aborted { at_ms: now.0, lines, reason }, ..row.clone() };
        if command.void_owed {
            self.purchases.end_owing(id, aborted);
        } else {
            self.purchases.end(id, aborted);
        }
        self.purchase(id)
    }

    pub(crate) fn get_purchase(&self, query: &GetPurchase) -> Result<Body, Refusal> {
        self.purchase(validate::purchase_id(&query.purchase_id)?)
    }

    pub(crate) fn list_purchases(&self, query: &ListPurchases) -> Result<Body, Refusal> {
        let token = validate::token_hash(&query.token_hash)?;
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        if query.limit == 0 || query.limit > PAGE_ITEMS_MAX {
            return Err(Refusal::field("limit", format!("must be 1 to {PAGE_ITEMS_MAX}")));
        }
        let buyer_id = self.sessions.buyer(&token, self.clock.now())?;
        let before = query.after.map_or(u64::MAX, |cursor| cursor.number);
        let mut page = PurchasePage::default();
        let mut lines = 0_usize;
        let mut last = before;
        for (number, row, told) in self.purchases.completed_before(buyer_id, before) {
            lines = lines.saturating_add(row.line_count());
            let full = page.purchases.len() == limit || lines > PAGE_LINES_MAX;
            if full && !page.purchases.is_empty() {
                page.next = Some(PurchaseCursor { number: last });
                break;
            }
            page.purchases.push(told);
            last = number;
        }
        Ok(Body::PurchasePage(page))
    }

    pub(crate) fn purchase(&self, id: PurchaseKey) -> Result<Body, Refusal> {
        self.purchases.told(id).map(Body::Purchase).ok_or_else(purchase_not_found)
    }
}

pub(crate) fn purchase_not_found() -> Refusal {
    Refusal::new(Code::PurchaseNotFound, "there is no purchase of that id")
}

/// The lines as reserved, which must be the frozen ones, in whatever order.
fn bought_lines(frozen: &[Line], given: Vec<PurchaseLine>) -> Result<Vec<BoughtLine>, Refusal> {
    if given.len() > CART_LINES {
        return Err(Refusal::field("lines", format!("must be at most {CART_LINES}")));
    }
    let mut lines = given.into_iter().map(bought_line).collect::<Result<Vec<_>, _>>()?;
    lines.sort_by_key(|line| line.item);
    let same = lines
        .iter()
        .map(|line| (line.item, line.quantity))
        .eq(frozen.iter().map(|line| (line.item, line.quantity)));
    if same { Ok(lines) } else { Err(Refusal::field("lines", "must be those that the purchase froze")) }
}

fn bought_line(line: PurchaseLine) -> Result<BoughtLine, Refusal> {
    let item = validate::item(line.item)?;
    let quantity = validate::quantity(line.quantity)?;
    if line.price_cents == 0 || line.price_cents > PRICE_MAX_CENTS {
        return Err(Refusal::field("price_cents", format!("must be 1 to {PRICE_MAX_CENTS}")));
    }
    validate::text("name", &line.name, ITEM_NAME_CHARS)?;
    if line.seller_id == 0 {
        return Err(Refusal::field("seller_id", "must be a seller's id"));
    }
    Ok(BoughtLine {
        item,
        quantity,
        price_cents: line.price_cents,
        name: line.name,
        seller_id: line.seller_id,
    })
}

fn check_total(lines: &[BoughtLine], total_cents: u64) -> Result<(), Refusal> {
    let sum = lines.iter().try_fold(0_u64, |sum, line| {
        line.price_cents.checked_mul(u64::from(line.quantity)).and_then(|cents| sum.checked_add(cents))
    });
    if sum == Some(total_cents) {
        Ok(())
    } else {
        Err(Refusal::field("total_cents", "must be the sum of the lines"))
    }
}

/// A reason is kept whatever its length, cut off: a purchase that can't be aborted would be worse.
fn reason(given: Option<Refusal>) -> Result<Reason, Refusal> {
    let given = given.ok_or_else(|| Refusal::field("reason", "is missing"))?;
    match Code::try_from(given.code) {
        Ok(Code::Unspecified) | Err(_) => Err(Refusal::field("reason", "must have a known code")),
        Ok(code) => Ok(Reason {
            code: code.into(),
            detail: validate::cut(given.detail, REASON_CHARS),
            field: validate::cut(given.field, REASON_CHARS),
        }),
    }
}
