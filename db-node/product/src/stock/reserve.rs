//! Reservations: a purchase's hold on stock. It is made for all lines or for none, and ends once: committed, released, or
//! run out.
//!
//! A hold runs out at the very replicated time that it names: a commit or a repetition that is applied then or later finds
//! it released, whether or not a sweep has been there, so that when a sweep runs decides nothing. Units that ran out are
//! back on sale as soon as anybody sweeps or asks for the reservation.

use std::sync::Arc;

use agora_machine::Timestamp;
use agora_proto::common::{Code, ItemId, Refusal};
use agora_proto::limits::{CART_LINE_UNITS, CART_LINES, RESERVATION_HOLD};
use agora_proto::product::{ReserveLine, response::Body};
use agora_sabotage::Promise;

use super::{Line, Movement, PurchaseId, Reservation, Standing};
use crate::bounds::{MARKS_MAX, RESERVATIONS_MAX};
use crate::feedback::Rating;
use crate::item::ItemKey;
use crate::state::ProductDb;
use crate::validate;

impl ProductDb {
    /// Takes all lines out of the stock. Repeated, it answers with the reservation as it is now.
    pub(crate) fn reserve(
        &mut self,
        now: Timestamp,
        id: PurchaseId,
        buyer: u64,
        lines: &[ReserveLine],
    ) -> Result<Body, Refusal> {
        let wanted = wanted_lines(lines)?;
        if let Some(made) = self.reservation_at(now, id) {
            return made.repeated(buyer, &wanted).map(|()| Body::Reservation(made.to_proto(id)));
        }
        if self.reservations.len() >= RESERVATIONS_MAX {
            return Err(validate::full("reservations"));
        }
        let lines =
            wanted.iter().map(|(key, quantity)| self.line(*key, *quantity)).collect::<Result<Vec<_>, _>>()?;
        for line in &lines {
            self.move_units(line.item, Movement::Hold, line.quantity.into());
        }
        self.update_books(|books| books.held += 1);
        let expires_ms = now.0.saturating_add(RESERVATION_HOLD.as_millis() as u64);
        let held = Reservation {
            buyer,
            standing: Standing::Held,
            lines,
            expires_ms,
            ended_ms: 0,
            authorization_id: "".into(),
        };
        Ok(Body::Reservation(self.keep_reservation(id, held).to_proto(id)))
    }

    /// A line of a new reservation, if there are so many units on sale.
    fn line(&self, key: ItemKey, quantity: u32) -> Result<Line, Refusal> {
        let id = ItemId::from(key);
        let short =
            |detail| Refusal { field: "lines".into(), ..Refusal::new(Code::InsufficientStock, detail) };
        let item = self.offered(key).ok_or_else(|| short(format!("item {id} is no longer on sale")))?;
        if item.quantity < u64::from(quantity) {
            let left = item.quantity;
            return Err(short(format!(
                "item {id} has {left} units on sale, fewer than the {quantity} wanted"
            )));
        }
        let (price_cents, name, seller) = (item.price_cents, item.name.clone(), item.seller);
        Ok(Line { item: key, quantity, price_cents, name, seller })
    }

    /// The units become sold, and count for their sellers; the approved payment is recorded with it, so that whoever finds
    /// the reservation committed can complete the purchase. Committed already: so it stays.
    pub(crate) fn commit_reservation(
        &mut self,
        now: Timestamp,
        id: PurchaseId,
        authorization_id: &str,
    ) -> Result<Body, Refusal> {
        validate::authorization_id(authorization_id)?;
        let reservation = self.reservation_at(now, id).filter(|found| found.standing != Standing::Released);
        let Some(reservation) = reservation else {
            return Err(Refusal::new(
                Code::ReservationNotFound,
                "there is no such reservation, or it was released",
            ));
        };
        if reservation.standing == Standing::Committed {
            return Ok(Body::Reservation(reservation.to_proto(id)));
        }
        for line in &reservation.lines {
            self.move_units(line.item, Movement::Sell, line.quantity.into());
            self.update_rating(line.seller, |rating: &mut Rating| {
                rating.items_sold += u64::from(line.quantity)
            });
        }
        let paid = Reservation { authorization_id: authorization_id.into(), ..(*reservation).clone() };
        Ok(Body::Reservation(self.end_reservation(now, id, &paid, Standing::Committed).to_proto(id)))
    }

    /// The units go back on sale, unless they are sold. Unknown: leaves a mark, so that it can't be made any more. Ended
    /// already: so it stays, and the answer tells how it ended.
    pub(crate) fn release_reservation(&mut self, now: Timestamp, id: PurchaseId) -> Result<Body, Refusal> {
        let Some(reservation) = self.reservation_at(now, id) else {
            return self.mark_released(now, id);
        };
        match reservation.standing {
            Standing::Held => Ok(Body::Reservation(self.release(now, id, &reservation).to_proto(id))),
            Standing::Released | Standing::Committed => Ok(Body::Reservation(reservation.to_proto(id))),
        }
    }

    fn mark_released(&mut self, now: Timestamp, id: PurchaseId) -> Result<Body, Refusal> {
        if self.reservations.len() >= RESERVATIONS_MAX + MARKS_MAX {
            return Err(validate::full("reservations"));
        }
        let mark = Reservation {
            buyer: 0,
            standing: Standing::Released,
            lines: Vec::new(),
            expires_ms: 0,
            ended_ms: now.0,
            authorization_id: "".into(),
        };
        Ok(Body::Reservation(self.keep_reservation(id, mark).to_proto(id)))
    }

    /// The reservation as it stands at this time: if its hold ran out, it is released now.
    fn reservation_at(&mut self, now: Timestamp, id: PurchaseId) -> Option<Arc<Reservation>> {
        let reservation = self.reservations.get(&id)?.clone();
        if reservation.standing == Standing::Held && reservation.expires_ms <= now.0 {
            return Some(self.release(now, id, &reservation));
        }
        Some(reservation)
    }

    fn release(&mut self, now: Timestamp, id: PurchaseId, held: &Reservation) -> Arc<Reservation> {
        for line in &held.lines {
            if !agora_sabotage::breaks(Promise::UnitsComeBack) {
                self.move_units(line.item, Movement::Unhold, line.quantity.into());
            }
        }
        self.end_reservation(now, id, held, Standing::Released)
    }

    fn end_reservation(
        &mut self,
        now: Timestamp,
        id: PurchaseId,
        held: &Reservation,
        standing: Standing,
    ) -> Arc<Reservation> {
        self.due.remove(&(held.due_ms(), id));
        self.update_books(|books| books.held -= 1);
        self.keep_reservation(id, Reservation { standing, ended_ms: now.0, ..held.clone() })
    }

    fn keep_reservation(&mut self, id: PurchaseId, reservation: Reservation) -> Arc<Reservation> {
        let reservation = Arc::new(reservation);
        self.due.insert((reservation.due_ms(), id));
        self.reservations.insert(id, reservation.clone());
        reservation
    }

    /// Does what is due about reservations, at most `most`: releases those that ran out, forgets those that ended long ago.
    pub(crate) fn sweep_reservations(&mut self, now: Timestamp, most: usize) {
        for _ in 0..most {
            let Some((_, id)) = self.due.get_min().copied().filter(|(due_ms, _)| *due_ms <= now.0) else {
                return;
            };
            let Some(reservation) = self.reservations.get(&id).cloned() else { return };
            match reservation.standing {
                Standing::Held => {
                    self.release(now, id, &reservation);
                }
                Standing::Committed | Standing::Released => {
                    self.due.remove(&(reservation.due_ms(), id));
                    self.reservations.remove(&id);
                }
            }
        }
    }
}

impl Reservation {
    /// Whether a reservation that is made again is this one.
    fn repeated(&self, buyer: u64, wanted: &[(ItemKey, u32)]) -> Result<(), Refusal> {
        let conflict = |detail: &str| Err(Refusal::new(Code::PurchaseConflict, detail));
        if self.lines.is_empty() {
            return conflict("the purchase was released before its stock was reserved");
        }
        let same_lines = self.lines.iter().map(|line| (line.item, line.quantity)).eq(wanted.iter().copied());
        if self.buyer == buyer && same_lines {
            Ok(())
        } else {
            conflict("the purchase has reserved other lines")
        }
    }
}

/// The lines that are wanted, in the order of their items.
fn wanted_lines(lines: &[ReserveLine]) -> Result<Vec<(ItemKey, u32)>, Refusal> {
    if lines.is_empty() || lines.len() > CART_LINES {
        return Err(Refusal::field("lines", format!("from 1 to {CART_LINES} lines, not {}", lines.len())));
    }
    let mut wanted = Vec::with_capacity(lines.len());
    for line in lines {
        let item = line.item.ok_or_else(|| Refusal::new(Code::MalformedRequest, "a line without an item"))?;
        if !(1..=CART_LINE_UNITS).contains(&line.quantity) {
            let detail = format!("item {item}: from 1 to {CART_LINE_UNITS} units, not {}", line.quantity);
            return Err(Refusal::field("lines", detail));
        }
        wanted.push((ItemKey::from(item), line.quantity));
    }
    wanted.sort_unstable();
    match wanted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(Refusal::field("lines", format!("item {} has two lines", ItemId::from(pair[0].0)))),
        None => Ok(wanted),
    }
}
