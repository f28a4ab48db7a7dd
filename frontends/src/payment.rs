//! The client of the financial service, as the purchase saga uses it.
//!
//! What matters to a saga is not what went wrong but what may have happened: see [`PaymentError`]. Both calls are idempotent
//! by transaction id, so that they can be repeated until the outcome is known.

use std::fmt;
use std::time::Duration;

use agora_proto::Cents;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;

use crate::financial::soap;
use crate::financial::xml::Element;

/// What is on a payment card. It shows nothing of itself, so that it gets into no log.
#[derive(Clone, PartialEq, Eq)]
pub struct Card {
    /// The holder's name.
    pub name: String,
    /// 13 to 19 digits.
    pub number: String,
    /// Month and year, as in `07/2031`.
    pub expiry: String,
    /// 3 or 4 digits.
    pub security_code: String,
}

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Card(redacted)")
    }
}

/// A payment to be authorized.
#[derive(Clone, Copy, Debug)]
pub struct Payment<'a> {
    /// What makes it one payment, however often it is asked for. The same id with another card or amount is refused.
    pub transaction_id: &'a str,
    /// The card to charge.
    pub card: &'a Card,
    /// How much to charge; more than nothing.
    pub amount: Cents,
}

/// The service's decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// Whether the payment is made.
    pub approved: bool,
    /// Names an approved payment; empty when declined.
    pub authorization_id: String,
}

/// Why there is no decision.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PaymentError {
    /// The service did not get the request, or turned it away: certainly nothing was done. Repeating may help.
    #[error("the financial service can't be reached: {0}")]
    NotDone(String),
    /// The service found the request wrong, and did nothing. Repeating it is useless.
    #[error("the financial service refused the request: {0}")]
    Refused(String),
    /// It may have been done, or may yet be: repeat it, or void the transaction.
    #[error("the financial service gave no clear answer: {0}")]
    Unknown(String),
}

/// How long the client waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymentTimeouts {
    /// For a connection.
    pub connect: Duration,
    /// For an answer, the connection included.
    pub request: Duration,
}

impl Default for PaymentTimeouts {
    fn default() -> Self {
        PaymentTimeouts { connect: Duration::from_secs(1), request: Duration::from_secs(5) }
    }
}

/// A client of the financial service. Clones share their connections.
#[derive(Clone, Debug)]
pub struct PaymentClient {
    http: reqwest::Client,
    url: String,
}

impl PaymentClient {
    /// A client of the service at this base URL, `http://127.0.0.1:7019`, say. It connects when it is first used.
    ///
    /// # Errors
    /// The HTTP client can't be set up.
    pub fn new(base_url: impl Into<String>, timeouts: PaymentTimeouts) -> Result<Self, PaymentError> {
        let http = reqwest::Client::builder()
            .connect_timeout(timeouts.connect)
            .timeout(timeouts.request)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| PaymentError::NotDone(error.to_string()))?;
        Ok(PaymentClient { http, url: base_url.into() })
    }

    /// Authorizes a payment, once per transaction id.
    ///
    /// # Errors
    /// There is no decision; the error tells what may have happened.
    pub async fn authorize(&self, payment: &Payment<'_>) -> Result<Authorization, PaymentError> {
        let Card { name, number, expiry, security_code } = payment.card;
        let amount_cents = payment.amount.0.to_string();
        let parameters = [
            ("transaction_id", payment.transaction_id),
            ("card_name", name),
            ("card_number", number),
            ("expiry", expiry),
            ("security_code", security_code),
            ("amount_cents", &amount_cents),
        ];
        let reply = self.call("AuthorizePayment", &parameters).await?;
        let parameters = read_reply(&reply, "AuthorizePaymentResponse", &["approved", "authorization_id"])?;
        let [approved, authorization_id] = parameters;
        let approved = boolean(&approved)?;
        if approved && authorization_id.is_empty() {
            return Err(PaymentError::Unknown("an approval without an authorization id".into()));
        }
        Ok(Authorization { approved, authorization_id })
    }

    /// Makes sure that nothing is, or ever will be, charged for a transaction; true when that is so.
    ///
    /// # Errors
    /// There is no answer; the error tells what may have happened.
    pub async fn void(&self, transaction_id: &str) -> Result<bool, PaymentError> {
        let reply = self.call("VoidPayment", &[("transaction_id", transaction_id)]).await?;
        let [voided] = read_reply(&reply, "VoidPaymentResponse", &["voided"])?;
        boolean(&voided)
    }

    /// Sends an operation, and returns the body of the reply if it is no fault.
    async fn call(&self, operation: &str, parameters: &[(&str, &str)]) -> Result<Element, PaymentError> {
        let request = self
            .http
            .post(&self.url)
            .header(CONTENT_TYPE, soap::CONTENT_TYPE)
            .header("SOAPAction", format!("\"{}:{operation}\"", soap::FINANCIAL_NAMESPACE))
            .body(soap::write_message(operation, parameters));
        let response = request.send().await.map_err(|error| not_sent_or_unknown(&error))?;
        let status = response.status();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return Err(PaymentError::NotDone("it is overloaded".into()));
        }
        let message = read_bounded(response).await?;
        let body = soap::read_body(&message).map_err(|fault| {
            PaymentError::Unknown(format!("status {status}, and no SOAP message: {}", fault.text))
        })?;
        match soap::as_fault(&body) {
            Some((code, text)) if code == "Client" => Err(PaymentError::Refused(text)),
            Some((code, text)) => Err(PaymentError::Unknown(format!("{code}: {text}"))),
            None if status.is_success() => Ok(body),
            None => Err(PaymentError::Unknown(format!("status {status}"))),
        }
    }
}

/// The values of a reply's parameters, in the order of their names.
fn read_reply<const N: usize>(
    reply: &Element,
    name: &str,
    names: &[&str; N],
) -> Result<[String; N], PaymentError> {
    if !reply.is(soap::FINANCIAL_NAMESPACE, name) {
        return Err(PaymentError::Unknown(format!("a reply that is no {name}")));
    }
    let mut parameters =
        soap::read_parameters(reply, names).map_err(|fault| PaymentError::Unknown(fault.text))?;
    Ok(names.map(|name| parameters.remove(name).unwrap_or_default()))
}

fn boolean(text: &str) -> Result<bool, PaymentError> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(PaymentError::Unknown("a truth value that is none".into())),
    }
}

/// Without a connection nothing was sent; anything later may have reached the service.
fn not_sent_or_unknown(error: &reqwest::Error) -> PaymentError {
    // The text of reqwest's errors names the URL and nothing of the request's content.
    if error.is_connect() || error.is_builder() {
        PaymentError::NotDone(error.to_string())
    } else {
        PaymentError::Unknown(error.to_string())
    }
}

async fn read_bounded(mut response: reqwest::Response) -> Result<Vec<u8>, PaymentError> {
    let mut message = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| PaymentError::Unknown(error.to_string()))?
    {
        if message.len() + chunk.len() > soap::MESSAGE_BYTES_MAX {
            return Err(PaymentError::Unknown("an answer that is too long".into()));
        }
        message.extend_from_slice(&chunk);
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_shows_nothing_of_itself() {
        let card = Card {
            name: "Ada".into(),
            number: "4111111111111111".into(),
            expiry: "07/2031".into(),
            security_code: "123".into(),
        };
        let payment = Payment { transaction_id: "t", card: &card, amount: Cents(5) };
        let shown = format!("{payment:?}");
        assert!(!shown.contains("4111") && !shown.contains("Ada") && !shown.contains("123"), "{shown}");
    }
}
