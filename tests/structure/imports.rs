//! What a file imports, and which paths it names.

use std::collections::BTreeSet;

use crate::source::Token;

/// One name of a `use` declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Import {
    pub(crate) path: Vec<String>,
    /// The name it has in this module; `*` if it is everything.
    pub(crate) name: String,
    /// Whether it only hands the name on: it is a `pub use`, and the file doesn't have the name elsewhere.
    pub(crate) handed_on: bool,
}

/// Imports, declared modules, and all other paths of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) imports: Vec<Import>,
    pub(crate) children: Vec<String>,
    pub(crate) paths: Vec<Vec<String>>,
    /// The names of items that the file defines.
    pub(crate) defined: BTreeSet<String>,
}

/// The words before the name of an item.
const ITEMS: [&str; 9] = ["fn", "struct", "enum", "union", "trait", "type", "const", "static", "mod"];

impl Names {
    pub(crate) fn of(tokens: &[Token<'_>]) -> Self {
        let mut names = Self::default();
        let mut mentioned = BTreeSet::new();
        let mut at = 0;
        while at < tokens.len() {
            // A method of the same name is no mention.
            if let Token::Name(name) = tokens[at]
                && !matches!(tokens[..at].last(), Some(Token::Other('.') | Token::Name("fn")))
            {
                mentioned.insert(name);
            }
            if let [Token::Name(word), Token::Name(name), ..] = &tokens[at..]
                && ITEMS.contains(word)
                // `&'static T` and `*const T` define nothing.
                && !matches!(tokens[..at].last(), Some(Token::Other('\'' | '*')))
            {
                names.defined.insert((*name).to_owned());
            }
            at = match &tokens[at..] {
                // `impl Trait + use<'a>` imports nothing.
                [Token::Name("use"), next, ..] if *next != Token::Other('<') => {
                    let handed_on = is_public(&tokens[..at]);
                    let end = at + tokens[at..].iter().position(|token| *token == Token::Other(';')).unwrap();
                    names.tree(&tokens[at + 1..end], &mut Vec::new(), handed_on);
                    end
                }
                [Token::Name("mod"), Token::Name(child), Token::Other(';'), ..] => {
                    names.children.push((*child).to_owned());
                    at + 3
                }
                [Token::Name(first), Token::PathSeparator, ..] => {
                    let mut path = vec![(*first).to_owned()];
                    at += 1;
                    while let [Token::PathSeparator, Token::Name(next), ..] = &tokens[at..] {
                        path.push((*next).to_owned());
                        at += 2;
                    }
                    names.paths.push(path);
                    at
                }
                _ => at + 1,
            };
        }
        for import in &mut names.imports {
            import.handed_on &= !mentioned.contains(import.name.as_str());
        }
        names
    }

    /// The names of a `use` declaration's tree. Returns how many tokens it has.
    fn tree(&mut self, tokens: &[Token<'_>], prefix: &mut Vec<String>, handed_on: bool) -> usize {
        let before = prefix.len();
        let mut alias = None;
        let mut at = 0;
        let mut is_leaf = true;
        while let Some(token) = tokens.get(at) {
            match token {
                Token::Name("as") => {
                    let Some(Token::Name(name)) = tokens.get(at + 1) else { panic!("no name after `as`") };
                    alias = Some((*name).to_owned());
                    at += 1;
                }
                Token::Name(name) => prefix.push((*name).to_owned()),
                Token::Other('*') => prefix.push("*".to_owned()),
                Token::Other('{') => {
                    is_leaf = false;
                    at += 1;
                    while tokens[at] != Token::Other('}') {
                        at += self.tree(&tokens[at..], prefix, handed_on);
                        at += usize::from(tokens[at] == Token::Other(','));
                    }
                }
                Token::Other(',' | '}') => break,
                _ => {}
            }
            at += 1;
        }
        if is_leaf {
            if prefix.last().is_some_and(|last| last == "self") {
                prefix.pop();
            }
            let name = alias.or_else(|| prefix.last().cloned()).unwrap_or_default();
            self.imports.push(Import { path: prefix.clone(), name, handed_on });
        }
        prefix.truncate(before);
        at
    }
}

/// Whether a declaration after these tokens has a visibility.
fn is_public(before: &[Token<'_>]) -> bool {
    match before {
        [.., Token::Name("pub")] => true,
        [.., Token::Other(')')] => {
            let open = before.iter().rposition(|token| *token == Token::Other('('));
            open.is_some_and(|open| open > 0 && before[open - 1] == Token::Name("pub"))
        }
        _ => false,
    }
}

#[test]
fn a_tree_is_taken_apart() {
    let source = "mod child; pub(crate) use child::{Item, deep::{self, Other as Renamed}}; use super::*; \
                  pub use child::Kept; fn f(_: Kept) -> impl G + use<'_> { crate::a::b(c::D::e) }";
    let names = Names::of(&crate::source::tokens(source));
    let imports: Vec<String> = names
        .imports
        .iter()
        .map(|import| format!("{} {} {}", import.path.join("::"), import.name, import.handed_on))
        .collect();
    assert_eq!(
        imports,
        [
            "child::Item Item true",
            "child::deep deep true",
            "child::deep::Other Renamed true",
            "super::* * false",
            "child::Kept Kept false"
        ]
    );
    assert_eq!(names.children, ["child"]);
    assert_eq!(names.paths, [vec!["crate", "a", "b"], vec!["c", "D", "e"]]);
}
