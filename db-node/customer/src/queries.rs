//! Queries: answered from the state as it is, at the time of the last applied command. The node's own time decides nothing but
//! whether a session's use is worth recording.

use agora_machine::{Malformed, Timestamp};
use agora_proto::customer::{Query, query::Body as Question};
use agora_proto::limits::COMMAND_BYTES;
use bytes::Bytes;
use prost::Message;

use crate::commands::respond;
use crate::state::CustomerDb;

impl CustomerDb {
    pub(crate) fn answer(&self, local_now: Timestamp, query: &[u8]) -> Result<Bytes, Malformed> {
        if query.len() > COMMAND_BYTES {
            return Err(Malformed(format!("a query has at most {COMMAND_BYTES} bytes, not {}", query.len())));
        }
        let query = Query::decode(query).map_err(|error| Malformed(format!("no query: {error}")))?;
        let question =
            query.body.ok_or_else(|| Malformed("a query without a body, or of a later version".into()))?;
        Ok(respond(match question {
            Question::GetCredentials(query) => self.get_credentials(&query),
            Question::GetSession(query) => self.get_session(local_now, &query),
            Question::GetCart(query) => self.get_cart(&query),
            Question::ListPurchases(query) => self.list_purchases(&query),
            Question::GetPurchase(query) => self.get_purchase(&query),
            Question::GetAccount(query) => self.get_account(query),
            Question::GetUnfinished(_) => Ok(self.get_unfinished()),
        }))
    }
}
