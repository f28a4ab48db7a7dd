//! Refusal codes as clients see them, and short ways to make a refusal.

use std::fmt;

use crate::common::{Code, Refusal};

impl Code {
    /// The stable text of the code: `CODE_ITEM_NOT_FOUND` is `item_not_found`.
    pub fn text(self) -> String {
        self.as_str_name().trim_start_matches("CODE_").to_ascii_lowercase()
    }

    /// The code of a stable text; none for one that is not known.
    pub fn from_text(text: &str) -> Option<Code> {
        Code::from_str_name(&format!("CODE_{}", text.to_ascii_uppercase()))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl Refusal {
    /// A refusal that no single field is to blame for.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Refusal { code: code.into(), detail: detail.into(), field: String::new() }
    }

    /// `invalid_field`: the field, and what it must be.
    pub fn field(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Refusal { code: Code::InvalidField.into(), detail: detail.into(), field: field.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code(), self.detail)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_stable_texts() {
        assert_eq!(Code::ItemNotFound.text(), "item_not_found");
        assert_eq!(Code::from_text("item_not_found"), Some(Code::ItemNotFound));
        assert_eq!(Code::from_text("nonsense"), None);
    }
}
