//! Who sent the requests, how, and what in them may be real people's data.

use nightaudit_exchange::{ExchangeId, Pseudonym, Timestamp};
use serde::{Deserialize, Serialize};

use crate::rule::Rule;

/// Who sent the requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// The values of `Client`, in the order of their first use. At most 50.
    pub clients: Vec<ClientReview>,
    /// Requests without a `Client`.
    pub without_client: u64,
    /// The client tokens, in the order of their first use. At most 50.
    pub client_tokens: Vec<TokenReview>,
    /// The access tokens, in the order of their first use. At most 200.
    pub access_tokens: Vec<TokenReview>,
    /// Requests without an access token.
    pub without_access_token: u64,
}

/// A `Client`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientReview {
    /// Name and version, as sent.
    pub client: String,
    /// Requests with it.
    pub calls: u64,
    /// When it was first used.
    pub first: Timestamp,
    /// When it was last used.
    pub last: Timestamp,
}

/// A token, by its pseudonym.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenReview {
    /// The pseudonym.
    pub token: Pseudonym,
    /// Requests with it.
    pub calls: u64,
    /// Whether the documentation prints it, so that everybody uses it.
    pub shared: bool,
}

/// A habit that a reviewer would ask about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HabitReview {
    /// The rule.
    pub rule: Rule,
    /// The operation.
    pub operation: String,
    /// How often; below the rule's threshold it is no finding.
    pub count: u64,
    /// Calls of the operation.
    pub calls: u64,
    /// More about it, in a few words.
    pub detail: Option<String>,
    /// The first exchanges that show it.
    pub exchanges: Vec<ExchangeId>,
}

/// What may be real people's data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PersonalDataReview {
    /// What it looks like.
    pub kind: DataKind,
    /// The operation.
    pub operation: String,
    /// Where in the body: the name of the field.
    pub field: String,
    /// The first value, masked: never the whole of it.
    pub masked: String,
    /// In how many requests.
    pub count: u64,
    /// The first exchanges that have it.
    pub exchanges: Vec<ExchangeId>,
}

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DataKind {
    /// A card number.
    CardNumber,
    /// A mail address.
    MailAddress,
    /// A telephone number.
    Phone,
    /// The number of a passport or the like.
    IdentityDocument,
    /// The number of a bank account (IBAN).
    BankAccount,
    /// A person's first and last name.
    Name,
    /// A person's date of birth.
    BirthDate,
}
