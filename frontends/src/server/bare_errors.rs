//! The HTTP library below us answers what it can't read — garbage, a request line or headers beyond all measure — by a bare
//! status, before any of our code sees a request. On its way out such an answer is exchanged for a problem document.

use bytes::Bytes;

use crate::problem::Problem;

/// What every answer of ours has, and none of the library's own.
const OURS: &[u8] = b"x-request-id";

/// What to send instead of this, if this is an answer of the library's own.
pub fn instead_of(written: &[u8]) -> Option<Bytes> {
    if !written.starts_with(b"HTTP/1.1 4") || !written.ends_with(b"\r\n\r\n") {
        return None;
    }
    let has = |text: &[u8]| written.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text));
    if !has(b"\ncontent-length: 0\r") || has(OURS) {
        return None;
    }
    let problem = match written.get(9..12) {
        Some(b"414") => Problem::uri_too_long(),
        Some(b"431") => Problem::headers_too_large(),
        _ => Problem::malformed("this is no HTTP request that can be understood"),
    };
    Some(problem.on_the_wire())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_error_becomes_a_problem_and_nothing_else_is_touched() {
        for (status, code) in [
            ("431 Too Large", "headers_too_large"),
            ("414 Too Long", "uri_too_long"),
            ("400 Bad", "malformed_request"),
        ] {
            let bare =
                format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\ndate: now\r\n\r\n");
            let instead = String::from_utf8(instead_of(bare.as_bytes()).unwrap().to_vec()).unwrap();
            let (head, body) = instead.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {}", &status[..3])), "{head}");
            assert!(head.contains("content-type: application/problem+json"), "{head}");
            assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(body["code"], code);
        }
        for other in [
            "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nx-request-id: 1\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n",
            "{\"HTTP/1.1 4\":1}",
            "",
        ] {
            assert_eq!(instead_of(other.as_bytes()), None, "{other}");
        }
    }
}
