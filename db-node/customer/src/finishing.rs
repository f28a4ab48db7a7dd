//! Who finishes what others left: claims of unfinished purchases, and the note that nothing is left to do.

use agora_machine::Timestamp;
use agora_proto::common::{Code, Refusal};
use agora_proto::customer::{self, ClaimPurchases, ClaimedPurchases, SettlePurchase, response::Body};
use agora_proto::limits::PURCHASES_CLAIMED;

use crate::purchase_records::Outcome;
use crate::purchases::purchase_not_found;
use crate::state::CustomerDb;
use crate::validate;

impl CustomerDb {
    pub(crate) fn claim_purchases(
        &mut self,
        now: Timestamp,
        command: &ClaimPurchases,
    ) -> Result<Body, Refusal> {
        let claim = validate::claim_id(&command.claim_id)?;
        if !(1..=PURCHASES_CLAIMED).contains(&command.limit) {
            return Err(Refusal::field("limit", format!("must be 1 to {PURCHASES_CLAIMED}")));
        }
        let claimed = self.purchases.unfinished.claim(claim, now, command.limit as usize);
        let purchases = claimed.into_iter().filter_map(|id| self.purchases.told(id)).collect();
        Ok(Body::ClaimedPurchases(ClaimedPurchases { purchases }))
    }

    pub(crate) fn settle_purchase(&mut self, command: &SettlePurchase) -> Result<Body, Refusal> {
        let id = validate::purchase_id(&command.purchase_id)?;
        let row = self.purchases.rows.get(&id).ok_or_else(purchase_not_found)?;
        if !matches!(row.outcome, Outcome::Aborted { .. }) {
            let detail = "the purchase was not aborted: its payment is not to be void";
            return Err(Refusal::new(Code::PurchaseConflict, detail));
        }
        self.purchases.settle(id);
        self.purchase(id)
    }

    pub(crate) fn get_unfinished(&self) -> Body {
        let unfinished = &self.purchases.unfinished;
        let purchases = u64::try_from(unfinished.rows.len()).unwrap_or(u64::MAX);
        Body::Unfinished(customer::Unfinished { purchases, due: unfinished.any_due(self.clock.now()) })
    }
}
