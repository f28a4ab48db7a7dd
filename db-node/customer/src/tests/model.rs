//! The customer database told again in plain collections, with no thought for speed, bounds on memory or disk.

use std::collections::BTreeMap;

use agora_proto::common::{Code, ItemId, Role};
use agora_proto::customer::command::Body as Change;
use agora_proto::customer::query::Body as Question;
use agora_proto::customer::response::Body;
use agora_proto::customer::*;
use bytes::Bytes;

/// What a refusal is compared by: its code and the field at fault.
pub(super) type Refused = (Code, &'static str);
pub(super) type Outcome = Result<Body, Refused>;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const KEPT_MS: u64 = 25 * 60 * 60 * 1000;
const LEASE_MS: u64 = 20_000;

type Lines = BTreeMap<ItemId, u32>;

struct Open {
    role: Role,
    user: u64,
    touched: u64,
    lines: Lines,
    seen: u64,
}

struct Answer {
    fingerprint: Bytes,
    at: u64,
    /// Answers are forgotten in the order in which they came.
    number: u64,
    outcome: Outcome,
}

/// A purchase as it is told, with what else is known of it.
struct Bought {
    told: Purchase,
    token: Bytes,
    ended: u64,
    /// While something is left to do: who is to do it, and until when.
    lease: Option<(Bytes, u64)>,
}

#[derive(Default)]
pub(super) struct Model {
    now: u64,
    accounts: Vec<(Role, u64, CreateAccount, u64)>,
    sessions: BTreeMap<Bytes, Open>,
    saved: BTreeMap<u64, (u64, Lines)>,
    purchases: BTreeMap<Bytes, Bought>,
    /// Ids of completed purchases in the order of their completion.
    history: Vec<Bytes>,
    answers: BTreeMap<Bytes, Answer>,
    answered: u64,
}

fn field(name: &'static str) -> Refused {
    (Code::InvalidField, name)
}

fn refuse<T>(code: Code) -> Result<T, Refused> {
    Err((code, ""))
}

fn check_hash(name: &'static str, hash: &Bytes, length: usize) -> Result<(), Refused> {
    if hash.len() == length { Ok(()) } else { Err(field(name)) }
}

fn is_by_purchase_id(change: &Change) -> bool {
    matches!(change, Change::BeginPurchase(_) | Change::CompletePurchase(_) | Change::AbortPurchase(_))
}

fn check_item(item: Option<ItemId>) -> Result<ItemId, Refused> {
    item.filter(|item| item.number > 0).ok_or(field("item"))
}

fn check_quantity(quantity: u32) -> Result<u32, Refused> {
    if quantity == 0 { Err(field("quantity")) } else { Ok(quantity) }
}

fn check_role(role: i32) -> Result<Role, Refused> {
    Role::try_from(role).ok().filter(|role| *role != Role::Unspecified).ok_or(field("role"))
}

fn subtract(lines: &mut Lines, bought: &[PurchaseLine]) -> bool {
    let mut changed = false;
    for line in bought {
        let item = line.item.unwrap();
        if let Some(there) = lines.get_mut(&item) {
            *there = there.saturating_sub(line.quantity);
            changed = true;
        }
    }
    lines.retain(|_, quantity| *quantity > 0);
    changed
}

impl Model {
    pub(super) fn apply(&mut self, now: u64, command: &Command) -> Outcome {
        self.now = self.now.max(now);
        let now = self.now;
        self.sessions.retain(|_, session| now < session.touched + 320_000);
        let change = command.body.as_ref().unwrap();
        let Some(once) = &command.idempotency else { return self.execute(change) };
        self.forget_answers(2);
        if let Some(answer) = self.answers.get(&once.key) {
            if answer.fingerprint != once.fingerprint {
                return refuse(Code::IdempotencyKeyReused);
            }
            return match answer.outcome.clone() {
                Ok(Body::Purchase(_)) if is_by_purchase_id(change) => self.execute(change),
                outcome => outcome,
            };
        }
        let outcome = self.execute(change);
        if !matches!(outcome, Err((Code::InvalidField | Code::InvalidSession, _))) {
            self.answered += 1;
            let (fingerprint, number) = (once.fingerprint.clone(), self.answered);
            let answer = Answer { fingerprint, at: now, number, outcome: outcome.clone() };
            self.answers.insert(once.key.clone(), answer);
        }
        outcome
    }

    fn forget_answers(&mut self, most: usize) {
        let mut old: Vec<_> = self
            .answers
            .iter()
            .filter(|(_, a)| a.at + DAY_MS < self.now)
            .map(|(k, a)| (a.number, k.clone()))
            .collect();
        old.sort();
        for (_, key) in old.into_iter().take(most) {
            self.answers.remove(&key);
        }
    }

    fn execute(&mut self, change: &Change) -> Outcome {
        match change {
            Change::CreateAccount(command) => self.create_account(command),
            Change::OpenSession(command) => self.open_session(command),
            Change::CloseSession(CloseSession { token_hash }) => {
                self.session(token_hash)?;
                self.sessions.remove(token_hash);
                Ok(Body::Done(Done {}))
            }
            Change::TouchSession(TouchSession { token_hash }) => {
                let now = self.now;
                self.session(token_hash)?.touched = now;
                Ok(Body::Done(Done {}))
            }
            Change::AddToCart(command) => self.add(command),
            Change::RemoveFromCart(command) => self.remove(command),
            Change::SaveCart(command) => self.save(command),
            Change::ClearCart(command) => self.clear(command),
            Change::BeginPurchase(command) => self.begin(command),
            Change::CompletePurchase(command) => self.complete(command),
            Change::AbortPurchase(command) => self.abort(command),
            Change::SettlePurchase(command) => self.settle(command),
            Change::ClaimPurchases(command) => self.claim(command),
            Change::Sweep(_) => {
                self.forget_answers(usize::MAX);
                let now = self.now;
                self.purchases.retain(|_, bought| {
                    let aborted = bought.told.state() == PurchaseState::Aborted && bought.lease.is_none();
                    !aborted || bought.ended + KEPT_MS >= now
                });
                Ok(Body::Done(Done {}))
            }
        }
    }

    pub(super) fn answer(&mut self, local_now: u64, question: &Question) -> Outcome {
        match question {
            Question::GetCredentials(GetCredentials { role, username }) => {
                let role = check_role(*role)?;
                let found = self
                    .accounts
                    .iter()
                    .find(|(r, _, created, _)| *r == role && created.username == *username);
                let (_, user_id, created, _) = found.ok_or((Code::BadCredentials, ""))?;
                let password_hash = created.password_hash.clone();
                Ok(Body::Credentials(Credentials { user_id: *user_id, password_hash }))
            }
            Question::GetSession(GetSession { token_hash }) => {
                let now = self.now;
                let session = self.session(token_hash)?;
                Ok(Body::Session(Session {
                    role: session.role.into(),
                    user_id: session.user,
                    touched_ms: session.touched,
                    now_ms: now,
                    touch_due: now.max(local_now) >= session.touched + 15_000,
                }))
            }
            Question::GetCart(GetCart { token_hash }) => {
                self.buyer(token_hash)?;
                Ok(self.cart(token_hash))
            }
            Question::ListPurchases(ListPurchases { token_hash, limit, after }) => {
                check_hash("token_hash", token_hash, 32)?;
                if !(1..=100).contains(limit) {
                    return Err(field("limit"));
                }
                let buyer = self.buyer(token_hash)?.user;
                let own = self
                    .history
                    .iter()
                    .map(|id| &self.purchases[id].told)
                    .filter(|told| told.buyer_id == buyer);
                let numbered =
                    own.enumerate().map(|(n, told)| (n as u64 + 1, told.clone())).collect::<Vec<_>>();
                let before = after.map_or(u64::MAX, |cursor| cursor.number);
                let mut left = numbered.into_iter().rev().filter(|(number, _)| *number < before);
                let page: Vec<_> = left.by_ref().take(*limit as usize).collect();
                let last = page.last().map(|(number, _)| PurchaseCursor { number: *number });
                let next = left.next().and(last);
                Ok(Body::PurchasePage(PurchasePage {
                    purchases: page.into_iter().map(|(_, told)| told).collect(),
                    next,
                }))
            }
            Question::GetPurchase(GetPurchase { purchase_id }) => {
                check_hash("purchase_id", purchase_id, 16)?;
                self.told(purchase_id)
            }
            Question::GetUnfinished(_) => {
                let leases: Vec<u64> = self.leases().map(|(until, _)| until).collect();
                let due = leases.iter().any(|until| *until <= self.now);
                Ok(Body::Unfinished(Unfinished { purchases: leases.len() as u64, due }))
            }
            Question::GetAccount(GetAccount { role, user_id }) => {
                let role = check_role(*role)?;
                let missing =
                    if role == Role::Seller { (Code::SellerNotFound, "") } else { field("user_id") };
                let found =
                    self.accounts.iter().find(|(r, id, _, _)| (*r, id) == (role, user_id)).ok_or(missing)?;
                Ok(Body::Account(Account {
                    role: role.into(),
                    user_id: *user_id,
                    username: found.2.username.clone(),
                    display_name: found.2.display_name.clone(),
                    items_purchased: found.3,
                }))
            }
        }
    }

    fn create_account(&mut self, command: &CreateAccount) -> Outcome {
        let role = check_role(command.role)?;
        if command.username.is_empty() {
            return Err(field("username"));
        }
        if self.accounts.iter().any(|(r, _, created, _)| *r == role && created.username == command.username) {
            return refuse(Code::UsernameTaken);
        }
        let user_id = self.accounts.iter().filter(|(r, ..)| *r == role).count() as u64 + 1;
        self.accounts.push((role, user_id, command.clone(), 0));
        Ok(Body::AccountCreated(AccountCreated { user_id }))
    }

    fn open_session(&mut self, command: &OpenSession) -> Outcome {
        let role = check_role(command.role)?;
        check_hash("token_hash", &command.token_hash, 32)?;
        let user = command.user_id;
        if !self.accounts.iter().any(|(r, id, ..)| (*r, *id) == (role, user)) {
            return refuse(Code::BadCredentials);
        }
        match self.sessions.get(&command.token_hash) {
            Some(session) if (session.role, session.user) != (role, user) => return Err(field("token_hash")),
            Some(_) => {}
            None => {
                let saved = self.saved.get(&user).cloned().filter(|_| role == Role::Buyer);
                let (seen, lines) = saved.unwrap_or_default();
                let session = Open { role, user, touched: self.now, lines, seen };
                self.sessions.insert(command.token_hash.clone(), session);
            }
        }
        Ok(Body::SessionOpened(SessionOpened { role: role.into(), user_id: user, idle_timeout_s: 300 }))
    }

    fn session(&mut self, token: &Bytes) -> Result<&mut Open, Refused> {
        check_hash("token_hash", token, 32)?;
        self.sessions.get_mut(token).ok_or((Code::InvalidSession, ""))
    }

    fn buyer(&mut self, token: &Bytes) -> Result<&mut Open, Refused> {
        let session = self.session(token)?;
        if session.role == Role::Buyer { Ok(session) } else { refuse(Code::WrongRole) }
    }

    fn used(&mut self, token: &Bytes) {
        let now = self.now;
        let session = self.sessions.get_mut(token).unwrap();
        if now >= session.touched + 15_000 {
            session.touched = now;
        }
    }

    fn cart(&self, token: &Bytes) -> Body {
        let session = &self.sessions[token];
        let lines =
            session.lines.iter().map(|(item, quantity)| CartLine { item: Some(*item), quantity: *quantity });
        let saved_version = self.saved.get(&session.user).map_or(0, |(version, _)| *version);
        Body::Cart(Cart { lines: lines.collect(), saved_version })
    }

    fn add(&mut self, command: &AddToCart) -> Outcome {
        check_hash("token_hash", &command.token_hash, 32)?;
        let item = check_item(command.item)?;
        check_quantity(command.quantity)?;
        let lines = &mut self.buyer(&command.token_hash)?.lines;
        let available = command.available.ok_or((Code::ItemNotFound, ""))?;
        let quantity = lines.get(&item).copied().unwrap_or(0) + command.quantity;
        if u64::from(quantity) > available {
            return refuse(Code::InsufficientStock);
        }
        lines.insert(item, quantity);
        self.used(&command.token_hash);
        Ok(self.cart(&command.token_hash))
    }

    fn remove(&mut self, command: &RemoveFromCart) -> Outcome {
        check_hash("token_hash", &command.token_hash, 32)?;
        let item = check_item(command.item)?;
        command.quantity.map(check_quantity).transpose()?;
        let lines = &mut self.buyer(&command.token_hash)?.lines;
        let there = lines.get(&item).copied().ok_or((Code::NotInCart, ""))?;
        let removed = command.quantity.unwrap_or(there);
        if removed > there {
            return refuse(Code::NotInCart);
        }
        lines.insert(item, there - removed);
        lines.retain(|_, quantity| *quantity > 0);
        self.used(&command.token_hash);
        Ok(self.cart(&command.token_hash))
    }

    fn save(&mut self, command: &SaveCart) -> Outcome {
        let session = self.buyer(&command.token_hash)?;
        let (user, seen, lines) = (session.user, session.seen, session.lines.clone());
        let current = self.saved.get(&user).map_or(0, |(version, _)| *version);
        if command.expected_version.unwrap_or(seen) != current {
            return refuse(Code::SavedCartConflict);
        }
        self.saved.insert(user, (current + 1, lines));
        self.buyer(&command.token_hash)?.seen = current + 1;
        self.used(&command.token_hash);
        Ok(Body::CartSaved(CartSaved { saved_version: current + 1 }))
    }

    fn clear(&mut self, command: &ClearCart) -> Outcome {
        let session = self.buyer(&command.token_hash)?;
        session.lines.clear();
        let user = session.user;
        if let Some((version, lines)) = self.saved.get_mut(&user) {
            *version += u64::from(!lines.is_empty());
            lines.clear();
            let seen = *version;
            self.buyer(&command.token_hash)?.seen = seen;
        }
        self.used(&command.token_hash);
        Ok(Body::Done(Done {}))
    }

    fn told(&self, id: &Bytes) -> Outcome {
        self.purchases
            .get(id)
            .map(|bought| Body::Purchase(bought.told.clone()))
            .ok_or((Code::PurchaseNotFound, ""))
    }

    fn begin(&mut self, command: &BeginPurchase) -> Outcome {
        let (token, id) = (&command.token_hash, &command.purchase_id);
        check_hash("token_hash", token, 32)?;
        check_hash("purchase_id", id, 16)?;
        if let Some(bought) = self.purchases.get(id) {
            let (of_session, buyer) = (bought.token == *token, bought.told.buyer_id);
            let has_ended = of_session && !self.sessions.contains_key(token);
            if !has_ended && self.buyer(token)?.user != buyer {
                return refuse(Code::PurchaseConflict);
            }
            let until = self.now + LEASE_MS;
            if let Some(bought) = self.purchases.get_mut(id)
                && bought.told.state() == PurchaseState::Started
            {
                bought.lease = Some((id.clone(), until));
            }
            return self.told(id);
        }
        let session = self.buyer(token)?;
        if command.only_go_on {
            return Err(field("purchase_id"));
        }
        let (buyer_id, lines) = (session.user, session.lines.clone());
        if lines.is_empty() {
            return refuse(Code::CartEmpty);
        }
        let under_way =
            |bought: &Bought| bought.told.state() == PurchaseState::Started && bought.token == *token;
        if self.purchases.values().any(under_way) {
            return refuse(Code::PurchaseConflict);
        }
        let lines = lines.into_iter().map(|(item, quantity)| PurchaseLine {
            item: Some(item),
            quantity,
            ..Default::default()
        });
        let told = Purchase {
            purchase_id: id.clone(),
            buyer_id,
            state: PurchaseState::Started.into(),
            lines: lines.collect(),
            at_ms: self.now,
            ..Default::default()
        };
        let lease = Some((id.clone(), self.now + LEASE_MS));
        self.purchases.insert(id.clone(), Bought { told, token: token.clone(), ended: 0, lease });
        self.used(token);
        self.told(id)
    }

    fn complete(&mut self, command: &CompletePurchase) -> Outcome {
        let id = &command.purchase_id;
        check_hash("purchase_id", id, 16)?;
        let Some(bought) = self.purchases.get_mut(id) else { return refuse(Code::PurchaseNotFound) };
        match bought.told.state() {
            PurchaseState::Completed => return self.told(id),
            PurchaseState::Aborted => return refuse(Code::PurchaseConflict),
            _ => {}
        }
        let mut lines = command.lines.clone();
        lines.sort_by_key(|line| line.item);
        let pairs =
            |lines: &[PurchaseLine]| lines.iter().map(|line| (line.item, line.quantity)).collect::<Vec<_>>();
        if pairs(&lines) != pairs(&bought.told.lines) {
            return Err(field("lines"));
        }
        bought.told.state = PurchaseState::Completed.into();
        bought.lease = None;
        bought.told.at_ms = self.now;
        bought.told.lines = lines.clone();
        bought.told.total_cents = command.total_cents;
        bought.told.authorization_id = command.authorization_id.clone();
        let (buyer, token) = (bought.told.buyer_id, bought.token.clone());
        self.history.push(id.clone());
        let account =
            self.accounts.iter_mut().find(|(role, id, ..)| (*role, *id) == (Role::Buyer, buyer)).unwrap();
        account.3 += lines.iter().map(|line| u64::from(line.quantity)).sum::<u64>();

        let mut session = self.sessions.get_mut(&token).filter(|s| (s.role, s.user) == (Role::Buyer, buyer));
        if let Some(session) = &mut session {
            subtract(&mut session.lines, &lines);
        }
        if let Some((version, saved)) = self.saved.get_mut(&buyer)
            && subtract(saved, &lines)
        {
            *version += 1;
            if let Some(session) = session
                && session.seen + 1 == *version
            {
                session.seen = *version;
            }
        }
        self.told(id)
    }

    fn abort(&mut self, command: &AbortPurchase) -> Outcome {
        let id = &command.purchase_id;
        check_hash("purchase_id", id, 16)?;
        let Some(bought) = self.purchases.get_mut(id) else { return refuse(Code::PurchaseNotFound) };
        match bought.told.state() {
            PurchaseState::Completed => return refuse(Code::PurchaseConflict),
            PurchaseState::Aborted => {}
            _ => {
                bought.told.state = PurchaseState::Aborted.into();
                bought.told.reason = command.reason.clone();
                bought.told.void_owed = command.void_owed;
                bought.ended = self.now;
                if !command.void_owed {
                    bought.lease = None;
                }
            }
        }
        self.told(id)
    }

    fn settle(&mut self, command: &SettlePurchase) -> Outcome {
        let id = &command.purchase_id;
        check_hash("purchase_id", id, 16)?;
        let Some(bought) = self.purchases.get_mut(id) else { return refuse(Code::PurchaseNotFound) };
        if bought.told.state() != PurchaseState::Aborted {
            return refuse(Code::PurchaseConflict);
        }
        (bought.told.void_owed, bought.lease) = (false, None);
        self.told(id)
    }

    /// When the leases of unfinished purchases run out.
    fn leases(&self) -> impl Iterator<Item = (u64, &Bytes)> {
        self.purchases.iter().filter_map(|(id, bought)| Some((bought.lease.as_ref()?.1, id)))
    }

    fn claim(&mut self, command: &ClaimPurchases) -> Outcome {
        check_hash("claim_id", &command.claim_id, 16)?;
        if !(1..=16).contains(&command.limit) {
            return Err(field("limit"));
        }
        let holds = |bought: &Bought| bought.lease.as_ref().is_some_and(|lease| lease.0 == command.claim_id);
        let held = self.purchases.iter().filter(|(_, bought)| holds(bought));
        let mut claimed: Vec<Bytes> = held.map(|(id, _)| id.clone()).collect();
        if claimed.is_empty() {
            let mut due: Vec<_> = self.leases().filter(|(until, _)| *until <= self.now).collect();
            due.sort();
            claimed = due.into_iter().take(command.limit as usize).map(|(_, id)| id.clone()).collect();
            for id in &claimed {
                let lease = Some((command.claim_id.clone(), self.now + LEASE_MS));
                self.purchases.get_mut(id).unwrap().lease = lease;
            }
        }
        let purchases = claimed.iter().map(|id| self.purchases[id].told.clone()).collect();
        Ok(Body::ClaimedPurchases(ClaimedPurchases { purchases }))
    }

    /// The frozen lines of a purchase that can be completed, priced at 5 cents.
    pub(super) fn completion(&self, id: &Bytes) -> Option<Vec<(u64, u32)>> {
        let bought = self.purchases.get(id)?;
        Some(
            bought
                .told
                .lines
                .iter()
                .map(|line| (line.item.unwrap_or_default().number, line.quantity))
                .collect(),
        )
    }
}
