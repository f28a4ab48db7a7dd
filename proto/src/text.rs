//! What can be seen of a text.

/// Whether there is nothing in a text that people could see: it is empty, or all spaces and characters of no width.
pub fn is_blank(text: &str) -> bool {
    text.chars().all(is_invisible)
}

/// White space, control characters, what Unicode calls default-ignorable, and the letters that are drawn as nothing.
fn is_invisible(character: char) -> bool {
    character.is_whitespace()
        || character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_can_see_is_blank() {
        for blank in ["", " ", "\u{a0}\u{2003}", "\u{200b}", "\u{feff}\u{ad}", "\u{3164}", "\u{2800} "] {
            assert!(is_blank(blank), "{blank:?}");
        }
        for shown in ["a", " a", "é", "語", "🦀", "👩\u{200d}🚀", "."] {
            assert!(!is_blank(shown), "{shown:?}");
        }
    }
}
