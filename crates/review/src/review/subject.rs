//! Identity, habits, and possible personal data.

use nightaudit_exchange::{ExchangeId, Pseudonym, Timestamp};
use serde::{Deserialize, Serialize};

use crate::rule::Rule;

/// `Client` values and tokens.
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
    /// Whether it is a public token from the documentation.
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
    /// Occurrences; below the rule's threshold there is no finding.
    pub count: u64,
    /// Calls of the operation.
    pub calls: u64,
    /// A detail in a few words.
    pub detail: Option<String>,
    /// The first exchanges that show it.
    pub exchanges: Vec<ExchangeId>,
}

/// Data that may belong to real people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PersonalDataReview {
    /// The kind of data.
    pub kind: DataKind,
    /// The operation.
    pub operation: String,
    /// The property's name.
    pub field: String,
    /// The first value, masked; never shown in full.
    pub masked: String,
    /// The number of requests.
    pub count: u64,
    /// The first exchanges that contain it.
    pub exchanges: Vec<ExchangeId>,
}

/// A kind of personal data.
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
