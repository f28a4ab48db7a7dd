//! SOAP 1.1: envelopes around operations, replies and faults.

use std::collections::BTreeMap;
use std::fmt;

use quick_xml::escape::escape;

use super::xml::{self, Element, XmlError};

/// The namespace of SOAP 1.1 envelopes.
pub(crate) const ENVELOPE_NAMESPACE: &str = "http://schemas.xmlsoap.org/soap/envelope/";
/// The namespace of the financial service's operations.
pub(crate) const FINANCIAL_NAMESPACE: &str = "urn:agora:financial:v1";
/// The content type of SOAP 1.1 messages.
pub(crate) const CONTENT_TYPE: &str = "text/xml; charset=utf-8";
/// Longest message that is read, in bytes.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Who is at fault, in the terms of SOAP 1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultCode {
    VersionMismatch,
    MustUnderstand,
    Client,
    Server,
}

impl fmt::Display for FaultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FaultCode::VersionMismatch => "VersionMismatch",
            FaultCode::MustUnderstand => "MustUnderstand",
            FaultCode::Client => "Client",
            FaultCode::Server => "Server",
        })
    }
}

/// An answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {text}")]
pub(crate) struct Fault {
    pub code: FaultCode,
    /// For people.
    pub text: String,
}

impl Fault {
    /// The message is wrong.
    pub(crate) fn client(text: impl Into<String>) -> Self {
        Fault { code: FaultCode::Client, text: text.into() }
    }

    /// The message is right, but can't be served now.
    pub(crate) fn server(text: impl Into<String>) -> Self {
        Fault { code: FaultCode::Server, text: text.into() }
    }
}

impl From<XmlError> for Fault {
    fn from(error: XmlError) -> Self {
        Fault::client(format!("malformed XML: {error}"))
    }
}

/// The one element in the body of an envelope.
pub(crate) fn read_body(message: &[u8]) -> Result<Element, Fault> {
    let envelope = xml::parse(message)?;
    if envelope.name != "Envelope" {
        return Err(Fault::client("the root element must be a SOAP 1.1 Envelope"));
    }
    if envelope.namespace != ENVELOPE_NAMESPACE {
        let text = format!("the Envelope must be of SOAP 1.1, in the namespace {ENVELOPE_NAMESPACE}");
        return Err(Fault { code: FaultCode::VersionMismatch, text });
    }
    let mut parts = envelope.children.into_iter();
    let mut part = parts.next();
    if let Some(header) = part.take_if(|part| part.is(ENVELOPE_NAMESPACE, "Header")) {
        check_headers(&header)?;
        part = parts.next();
    }
    let body = part.filter(|part| part.is(ENVELOPE_NAMESPACE, "Body"));
    let body = body.ok_or_else(|| Fault::client("the Envelope must have a Body"))?;
    if parts.next().is_some() {
        return Err(Fault::client("nothing may follow the Body"));
    }
    let mut content = body.children.into_iter();
    match (content.next(), content.next()) {
        (Some(element), None) if body.text.trim_ascii().is_empty() => Ok(element),
        _ => Err(Fault::client("the Body must have exactly one element")),
    }
}

/// No header is known here, so that none may insist on being understood.
fn check_headers(header: &Element) -> Result<(), Fault> {
    for entry in &header.children {
        let insists = |(name, value): &(String, String)| {
            name.ends_with(":mustUnderstand") && matches!(value.trim_ascii(), "1" | "true")
        };
        if entry.attributes.iter().any(insists) {
            let text = format!("the header {} is not understood", entry.name);
            return Err(Fault { code: FaultCode::MustUnderstand, text });
        }
    }
    Ok(())
}

/// The parameters of an operation or a reply: elements with text only, each once and all of them known.
pub(crate) fn read_parameters(element: &Element, known: &[&str]) -> Result<BTreeMap<String, String>, Fault> {
    if !element.text.trim_ascii().is_empty() {
        return Err(Fault::client(format!("{} must have elements, and no text beside them", element.name)));
    }
    let mut parameters = BTreeMap::new();
    for child in &element.children {
        let ours = child.namespace.is_empty() || child.namespace == FINANCIAL_NAMESPACE;
        if !ours || !known.contains(&child.name.as_str()) {
            return Err(Fault::client(format!("{} has no parameter {}", element.name, child.name)));
        }
        if !child.children.is_empty() {
            return Err(Fault::client(format!("{} must have text only", child.name)));
        }
        let value = child.text.trim_ascii().to_owned();
        if parameters.insert(child.name.clone(), value).is_some() {
            return Err(Fault::client(format!("{} is given twice", child.name)));
        }
    }
    for name in known {
        if !parameters.contains_key(*name) {
            return Err(Fault::client(format!("{name} is missing")));
        }
    }
    Ok(parameters)
}

/// An envelope around an element of the financial service with these parameters.
pub(crate) fn write_message(name: &str, parameters: &[(&str, &str)]) -> String {
    let mut content = format!("<fin:{name} xmlns:fin=\"{FINANCIAL_NAMESPACE}\">");
    for (parameter, value) in parameters {
        content.push_str(&format!("<fin:{parameter}>{}</fin:{parameter}>", escape(*value)));
    }
    content.push_str(&format!("</fin:{name}>"));
    write_envelope(&content)
}

/// An envelope around a fault.
pub(crate) fn write_fault(fault: &Fault) -> String {
    let Fault { code, text } = fault;
    // The names within a Fault have no namespace in SOAP 1.1.
    write_envelope(&format!(
        "<soap:Fault><faultcode>soap:{code}</faultcode><faultstring>{}</faultstring></soap:Fault>",
        escape(text.as_str())
    ))
}

fn write_envelope(content: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<soap:Envelope xmlns:soap=\"{ENVELOPE_NAMESPACE}\"><soap:Body>{content}\
         </soap:Body></soap:Envelope>"
    )
}

/// The fault that an element is, if it is one: its code without the prefix, and its text.
pub(crate) fn as_fault(element: &Element) -> Option<(String, String)> {
    if !element.is(ENVELOPE_NAMESPACE, "Fault") {
        return None;
    }
    let text =
        |name: &str| element.child(name).map(|child| child.text.trim_ascii().to_owned()).unwrap_or_default();
    let code = text("faultcode");
    let code = code.rsplit_once(':').map_or(code.clone(), |(_, local)| local.to_owned());
    Some((code, text("faultstring")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(content: &str) -> String {
        format!("<e:Envelope xmlns:e='{ENVELOPE_NAMESPACE}'>{content}</e:Envelope>")
    }

    fn fault(message: &str) -> Fault {
        read_body(message.as_bytes()).unwrap_err()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let message = write_message("VoidPayment", &[("transaction_id", "a<b>&\"c\"")]);
        let body = read_body(message.as_bytes()).unwrap();
        assert!(body.is(FINANCIAL_NAMESPACE, "VoidPayment"));
        assert_eq!(read_parameters(&body, &["transaction_id"]).unwrap()["transaction_id"], "a<b>&\"c\"");
        let message = write_fault(&Fault::client("no <such> thing"));
        let fault = as_fault(&read_body(message.as_bytes()).unwrap()).unwrap();
        assert_eq!(fault, ("Client".to_owned(), "no <such> thing".to_owned()));
    }

    #[test]
    fn a_wrong_envelope_is_the_clients_fault() {
        for message in [
            "<a/>".to_owned(),
            envelope(""),
            envelope("<e:Header/>"),
            envelope("<e:Body/>"),
            envelope("<e:Body>text</e:Body>"),
            envelope("<e:Body><a/><b/></e:Body>"),
            envelope("<e:Body><a/></e:Body><e:Body><a/></e:Body>"),
            envelope("<e:Body><a/></e:Body><e:Header/>"),
            envelope("<Body><a/></Body>"),
            envelope("<e:Body><a></e:Body>"),
        ] {
            assert_eq!(fault(&message).code, FaultCode::Client, "{message}");
        }
    }

    #[test]
    fn soap_1_2_and_headers_that_insist_have_faults_of_their_own() {
        let newer = "<e:Envelope xmlns:e='http://www.w3.org/2003/05/soap-envelope'><e:Body><a/></e:Body></e:Envelope>";
        assert_eq!(fault(newer).code, FaultCode::VersionMismatch);
        let insists = envelope("<e:Header><h e:mustUnderstand='1'/></e:Header><e:Body><a/></e:Body>");
        assert_eq!(fault(&insists).code, FaultCode::MustUnderstand);
        let does_not = envelope("<e:Header><h e:mustUnderstand='0'/></e:Header><e:Body><a/></e:Body>");
        assert!(read_body(does_not.as_bytes()).is_ok());
    }

    #[test]
    fn parameters_are_each_given_once_and_none_is_made_up() {
        let read = |content: &str| {
            let body = read_body(
                envelope(&format!("<e:Body><o xmlns='{FINANCIAL_NAMESPACE}'>{content}</o></e:Body>"))
                    .as_bytes(),
            );
            read_parameters(&body.unwrap(), &["x", "y"])
        };
        assert_eq!(read("<x> 1\n</x><y xmlns=''/>").unwrap()["x"], "1");
        for (wrong, reason) in [
            ("<x>1</x>", "y is missing"),
            ("<x>1</x><x>1</x><y>2</y>", "twice"),
            ("<x>1</x><y>2</y><z>3</z>", "no parameter z"),
            ("<x><y/></x><y>2</y>", "text only"),
            ("<x>1</x>text<y>2</y>", "no text"),
            ("<x xmlns='urn:other'>1</x><y>2</y>", "no parameter x"),
        ] {
            let fault = read(wrong).unwrap_err();
            assert!(fault.code == FaultCode::Client && fault.text.contains(reason), "{wrong}: {fault}");
        }
    }
}
