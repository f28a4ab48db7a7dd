//! XML as SOAP allows it: elements and text, read into a small tree.
//!
//! Document types, and with them entities of their own, are refused before anything is expanded; so are processing
//! instructions. Depth and number of elements are bounded, the length by whoever has read the text.

use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::{PrefixDeclaration, ResolveResult};
use quick_xml::reader::NsReader;

/// Deepest nesting of elements.
const DEPTH_MAX: usize = 16;
/// Most elements of a document.
const ELEMENTS_MAX: usize = 256;

/// An element with all that is in it. Comments are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Element {
    /// The namespace's URI; empty for none.
    pub namespace: String,
    /// The name without its prefix.
    pub name: String,
    /// Names as written (with their prefixes), and values.
    pub attributes: Vec<(String, String)>,
    /// All text directly in the element, put together.
    pub text: String,
    /// The elements directly in the element.
    pub children: Vec<Element>,
}

/// Why a text is not XML, or not such as is taken here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct XmlError(String);

fn refuse<T>(why: impl Into<String>) -> Result<T, XmlError> {
    Err(XmlError(why.into()))
}

impl Element {
    /// Whether it has this name in this namespace.
    pub(crate) fn is(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name == name
    }

    /// The first child of that name, in whatever namespace.
    pub(crate) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }
}

/// The root element of a document.
///
/// # Errors
/// Says what is wrong with the document.
pub(crate) fn parse(document: &[u8]) -> Result<Element, XmlError> {
    let text = std::str::from_utf8(document).or_else(|_| refuse("the document is not UTF-8"))?;
    let mut reader = NsReader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    let config = reader.config_mut();
    config.expand_empty_elements = true;
    config.check_comments = true;
    let mut tree = Tree::default();
    loop {
        let (namespace, event) = reader.read_resolved_event().map_err(|error| XmlError(error.to_string()))?;
        match event {
            Event::Start(start) => tree.open(&namespace, &start)?,
            Event::End(_) => tree.close()?,
            Event::Text(text) => {
                tree.text(&text.xml10_content().map_err(|error| XmlError(error.to_string()))?)?
            }
            Event::CData(text) => {
                tree.text(&text.xml10_content().map_err(|error| XmlError(error.to_string()))?)?
            }
            Event::GeneralRef(reference) => tree.text(&resolve(&reference)?)?,
            Event::Comment(_) => {}
            Event::Decl(declaration) => match declaration.encoding() {
                None => {}
                Some(Ok(name))
                    if name.eq_ignore_ascii_case(b"utf-8") || name.eq_ignore_ascii_case(b"us-ascii") => {}
                Some(_) => return refuse("the only encoding taken is UTF-8"),
            },
            Event::DocType(_) => return refuse("a document type is not allowed in SOAP"),
            Event::PI(_) => return refuse("processing instructions are not allowed in SOAP"),
            Event::Empty(_) => return refuse("an empty element that was not expanded"),
            Event::Eof => return tree.root(),
        }
    }
}

/// What a reference stands for: a character by its number, or one of the five that XML names itself.
fn resolve(reference: &BytesRef<'_>) -> Result<String, XmlError> {
    match reference.resolve_char_ref() {
        Ok(Some(character)) => return Ok(character.to_string()),
        Ok(None) => {}
        Err(error) => return refuse(error.to_string()),
    }
    let name = reference.decode().map_err(|error| XmlError(error.to_string()))?;
    match resolve_xml_entity(&name) {
        Some(text) => Ok(text.to_owned()),
        None => refuse("an entity that XML does not define itself"),
    }
}

/// The tree as far as it has been read.
#[derive(Default)]
struct Tree {
    /// The open elements, the root first.
    open: Vec<Element>,
    root: Option<Element>,
    elements: usize,
}

impl Tree {
    fn open(&mut self, namespace: &ResolveResult<'_>, start: &BytesStart<'_>) -> Result<(), XmlError> {
        if self.root.is_some() {
            return refuse("more than one root element");
        }
        if self.open.len() >= DEPTH_MAX {
            return refuse(format!("elements are nested more than {DEPTH_MAX} deep"));
        }
        self.elements += 1;
        if self.elements > ELEMENTS_MAX {
            return refuse(format!("more than {ELEMENTS_MAX} elements"));
        }
        let namespace = match namespace {
            ResolveResult::Bound(namespace) => String::from_utf8_lossy(namespace.as_ref()).into_owned(),
            ResolveResult::Unbound => String::new(),
            ResolveResult::Unknown(_) => return refuse("a namespace prefix that was not declared"),
        };
        let name = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
        if name.is_empty() || name.contains(['<', '&', '"', '\'', '=']) {
            return refuse("an element with a name that is none");
        }
        let attributes = attributes(start)?;
        self.open.push(Element { namespace, name, attributes, ..Element::default() });
        Ok(())
    }

    fn close(&mut self) -> Result<(), XmlError> {
        let Some(element) = self.open.pop() else { return refuse("an end without a start") };
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = Some(element),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), XmlError> {
        match self.open.last_mut() {
            _ if text.chars().any(not_xml) => refuse("a character that XML does not allow"),
            Some(element) => {
                element.text.push_str(text);
                Ok(())
            }
            None if text.trim_ascii().is_empty() => Ok(()),
            None => refuse("text outside of the root element"),
        }
    }

    fn root(self) -> Result<Element, XmlError> {
        match (self.root, self.open.last()) {
            (Some(root), None) => Ok(root),
            (_, Some(open)) => refuse(format!("<{}> is not closed", open.name)),
            (None, None) => refuse("no root element"),
        }
    }
}

fn attributes(start: &BytesStart<'_>) -> Result<Vec<(String, String)>, XmlError> {
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| XmlError(error.to_string()))?;
        if attribute.key.as_namespace_binding().is_some_and(|binding| binding != PrefixDeclaration::Default)
            && attribute.value.is_empty()
        {
            return refuse("a namespace prefix that stands for nothing");
        }
        let value = attribute.unescape_value().map_err(|error| XmlError(error.to_string()))?;
        attributes.push((String::from_utf8_lossy(attribute.key.as_ref()).into_owned(), value.into_owned()));
    }
    Ok(attributes)
}

/// Characters that no XML 1.0 document may have, even by number.
fn not_xml(character: char) -> bool {
    matches!(character, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_text_and_references_are_read() {
        let root = parse(b"<?xml version='1.0' encoding='UTF-8'?><!-- c --><a xmlns='u' k='v&lt;'>x&amp;&#x41;<![CDATA[<]]><b/></a>\n");
        let root = root.unwrap();
        assert!(root.is("u", "a"));
        assert_eq!(root.text, "x&A<");
        assert_eq!(root.attributes[1], ("k".to_owned(), "v<".to_owned()));
        assert!(root.child("b").unwrap().is("u", "b"));
    }

    #[test]
    fn what_is_not_allowed_is_refused_with_the_reason() {
        let refused = |document: &str, reason: &str| {
            let error = parse(document.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(reason), "{document}: {error}");
        };
        refused("", "no root");
        refused("   ", "no root");
        refused("text", "outside of the root");
        refused("<a>", "not closed");
        refused("<a></b>", "");
        refused("</a>", "");
        refused("<a/><b/>", "more than one root");
        refused("<a/>x", "outside of the root");
        refused("<a x='1' x='2'/>", "duplicated");
        refused("<a x=1/>", "");
        refused("<a x/>", "");
        refused("<p:a/>", "not declared");
        refused("<a>&b;</a>", "entity");
        refused("<a>&#0;</a>", "");
        refused("<a>&#xFFFF;</a>", "not allow");
        refused("<a>\u{1}</a>", "not allow");
        refused("<a>&", "");
        refused("<a", "");
        refused("<", "");
        refused("<a><!-- -- --></a>", "");
        refused("<!DOCTYPE a [<!ENTITY l 'lol'><!ENTITY m '&l;&l;'>]><a>&m;</a>", "document type");
        refused("<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>", "document type");
        refused("<?php x?><a/>", "processing");
        refused("<?xml version='1.0' encoding='UTF-16'?><a/>", "UTF-8");
        refused(&"<a>".repeat(DEPTH_MAX + 1), "nested");
        refused(&format!("<a>{}</a>", "<b/>".repeat(ELEMENTS_MAX)), "elements");
        assert_eq!(parse(b"<a>\xff</a>"), refuse("the document is not UTF-8"));
        assert_eq!(parse(b"\xff\xfe<\0a\0/\0>\0"), refuse("the document is not UTF-8"));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(document: Vec<u8>, text: String) {
            let _ = parse(&document);
            let _ = parse(format!("<a>{text}</a>").as_bytes());
        }

        #[test]
        fn a_damaged_document_is_read_or_refused(at in 0_usize..80, byte: u8) {
            let mut document = b"<?xml version='1.0'?><a xmlns='u' xmlns:p='v'><p:b c='d'>&lt;e&#65;</p:b><!--f--></a>".to_vec();
            document[at] = byte;
            let _ = parse(&document);
        }
    }
}
