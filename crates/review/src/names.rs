//! Operations and tokens as numbers, which keeps facts small and maps bounded.

use std::collections::HashMap;

use nightaudit_exchange::Pseudonym;
use nightaudit_mews::{operation, suggest};

use crate::body::hash;

/// The most operations tracked; requests may name any.
pub(crate) const MOST_OPERATIONS: usize = 1000;

/// The most tokens of a kind tracked.
pub(crate) const MOST_TOKENS: usize = 1000;

/// The name for all operations beyond [`MOST_OPERATIONS`].
pub(crate) const OTHERS: &str = "(others)";

/// The longest operation name kept, in bytes.
const LONGEST: usize = 200;

/// An operation's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct OperationNo(pub(crate) u16);

/// A token's number; 0 for no token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TokenNo(pub(crate) u16);

/// What related operations have in common.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Family {
    /// Equal for all versions of an operation, and for misspelt paths of it.
    pub(crate) number: u64,
    /// Equal for all operations on the same resource.
    pub(crate) resource: u64,
    /// Whether it reads and changes nothing.
    pub(crate) is_read: bool,
}

/// The lists of an operation's own resource.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct OwnLists {
    /// The resource as in the path: `reservations`. Empty for unknown operations.
    list: &'static str,
    /// Hashes of the possible names of the resource's own id lists: `ReservationIds`.
    own_ids: [u64; 3],
}

/// Whether the operation at this path reads and changes nothing.
pub(crate) fn is_read(path: &str) -> bool {
    is_read_action(path.split('/').nth(1).unwrap_or_default())
}

fn is_read_action(action: &str) -> bool {
    ["get", "search", "price"].iter().any(|verb| action.starts_with(verb))
}

/// The path that was meant by this one.
fn meant(name: &str) -> &str {
    match operation(name) {
        Some(_) => name,
        None => suggest(name).map_or(name, |suggestion| &suggestion.operation.path),
    }
}

impl Family {
    fn of(name: &str) -> Self {
        let mut parts = meant(name).trim_matches('/').split('/');
        let (resource, action) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        Self {
            number: hash(format!("{resource}/{action}").as_bytes()),
            resource: hash(resource.as_bytes()),
            is_read: is_read_action(action),
        }
    }
}

impl OwnLists {
    fn of(name: &str) -> Self {
        let known = operation(name).map(|known| &*known.path);
        let resource = meant(name).trim_matches('/').split('/').next().unwrap_or_default();
        Self { list: known.and_then(|path| path.split('/').next()).unwrap_or_default(), own_ids: own_ids(resource) }
    }

    /// The name of the list in a response.
    pub(crate) fn list_name(&self) -> &'static str {
        self.list
    }

    /// Whether a property, given by the hash of its name, holds ids of the operation's own resource.
    pub(crate) fn is_own_ids(&self, name: u64) -> bool {
        self.own_ids.contains(&name)
    }
}

/// The hashes of `CompanieIds`, `CompaniIds` and `CompanyIds` for `companies`; one of them is the name in the API.
fn own_ids(resource: &str) -> [u64; 3] {
    let mut letters = resource.chars();
    let capitalised: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    let stem = |end: &str, with: &str| capitalised.strip_suffix(end).map(|stem| format!("{stem}{with}Ids"));
    ["s", "es", "ies"].map(|end| {
        let name = stem(end, if end == "ies" { "y" } else { "" });
        name.map_or(0, |name| hash(name.as_bytes()))
    })
}

/// The operations of a session, in the order of their first call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Operations {
    numbers: HashMap<Box<str>, OperationNo>,
    names: Vec<Box<str>>,
    families: Vec<(Family, OwnLists)>,
    /// Calls of operations without a number of their own.
    pub(crate) unnumbered: u64,
}

impl Operations {
    /// The number of an operation.
    pub(crate) fn number(&mut self, name: &str) -> OperationNo {
        let name = truncated(name);
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        if self.names.len() >= MOST_OPERATIONS {
            self.unnumbered += 1;
            if name != OTHERS {
                return self.others();
            }
        }
        self.insert(name)
    }

    fn others(&mut self) -> OperationNo {
        match self.numbers.get(OTHERS) {
            Some(number) => *number,
            None => self.insert(OTHERS),
        }
    }

    fn insert(&mut self, name: &str) -> OperationNo {
        let number = OperationNo(u16::try_from(self.names.len()).unwrap_or(u16::MAX));
        self.names.push(name.into());
        self.families.push((Family::of(name), OwnLists::of(name)));
        self.numbers.insert(name.into(), number);
        number
    }

    /// The family of an operation.
    pub(crate) fn family(&self, number: OperationNo) -> Family {
        self.families.get(usize::from(number.0)).copied().unwrap_or_default().0
    }

    /// The lists of an operation's own resource.
    pub(crate) fn own_lists(&self, number: OperationNo) -> OwnLists {
        self.families.get(usize::from(number.0)).copied().unwrap_or_default().1
    }

    /// The name of a number.
    pub(crate) fn name(&self, number: OperationNo) -> &str {
        self.names.get(usize::from(number.0)).map_or(OTHERS, |name| name)
    }
}

fn truncated(name: &str) -> &str {
    match name.char_indices().find(|(at, letter)| at + letter.len_utf8() > LONGEST) {
        Some((at, _)) => &name[..at],
        None => name,
    }
}

/// The tokens of a session, in the order of their first use.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tokens {
    numbers: HashMap<Pseudonym, TokenNo>,
    tokens: Vec<Pseudonym>,
    /// Requests with tokens without a number of their own.
    pub(crate) unnumbered: u64,
}

impl Tokens {
    /// The number of a token. Tokens beyond [`MOST_TOKENS`] share the last number.
    pub(crate) fn number(&mut self, token: Option<Pseudonym>) -> TokenNo {
        let Some(token) = token else { return TokenNo(0) };
        if let Some(number) = self.numbers.get(&token) {
            return *number;
        }
        if self.tokens.len() >= MOST_TOKENS {
            self.unnumbered += 1;
            return TokenNo(u16::MAX);
        }
        self.tokens.push(token);
        let number = TokenNo(u16::try_from(self.tokens.len()).unwrap_or(u16::MAX));
        self.numbers.insert(token, number);
        number
    }

    /// The token of a number.
    pub(crate) fn token(&self, number: TokenNo) -> Option<Pseudonym> {
        self.tokens.get(usize::from(number.0).checked_sub(1)?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_beyond_the_bound_share_a_number() {
        let mut operations = Operations::default();
        for n in 0..2 * MOST_OPERATIONS {
            let number = operations.number(&n.to_string());
            assert_eq!(operations.name(number) == OTHERS, n >= MOST_OPERATIONS);
        }
        assert_eq!((operations.names.len(), operations.unnumbered), (MOST_OPERATIONS + 1, MOST_OPERATIONS as u64));
        assert_eq!(operations.number("0"), OperationNo(0));
    }

    #[test]
    fn versions_and_misspelt_paths_share_a_family() {
        let family = Family::of("reservations/getAll/2023-06-06");
        assert_eq!(family.number, Family::of("reservations/getAll").number);
        assert_eq!(family.number, Family::of("reservations/getall/2023-06-06").number);
        assert!(family.is_read && !Family::of("reservations/cancel").is_read);
        assert_ne!(family.number, Family::of("customers/getAll").number);
    }

    #[test]
    fn own_ids_are_distinguished_from_others() {
        for (operation, name) in [
            ("reservations/getAll/2023-06-06", "ReservationIds"),
            ("companies/getAll", "CompanyIds"),
            ("addresses/getAll", "AddressIds"),
        ] {
            assert!(OwnLists::of(operation).is_own_ids(hash(name.as_bytes())), "{operation}");
            assert!(!OwnLists::of(operation).is_own_ids(hash(b"CustomerIds")), "{operation}");
        }
    }

    #[test]
    fn a_long_name_is_truncated_between_characters() {
        let mut operations = Operations::default();
        let number = operations.number(&"é".repeat(1000));
        assert_eq!(operations.name(number), "é".repeat(100));
    }

    #[test]
    fn tokens_are_numbered_up_to_the_bound() {
        let mut tokens = Tokens::default();
        assert_eq!(tokens.number(None), TokenNo(0));
        let token = |n: usize| Pseudonym::of(n.to_string().as_bytes());
        for n in 0..MOST_TOKENS + 5 {
            let number = tokens.number(Some(token(n)));
            assert_eq!(tokens.token(number), (n < MOST_TOKENS).then(|| token(n)));
        }
        assert_eq!(tokens.unnumbered, 5);
    }
}
