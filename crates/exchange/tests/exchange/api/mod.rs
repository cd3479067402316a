//! The API whose exchanges the tests and the fuzz target record.

use nightaudit_exchange::{Api, TokenForm};

/// With the names and the token form of the Connector API; `mews` has the real description.
pub(crate) static API: Api = Api {
    name: "Mews",
    possessive: "Mews'",
    operation_prefix: "/api/connector/v1/",
    request_id_header: "Request-Id",
    request_id_property: "RequestId",
    message_property: "Message",
    token_words: &["access", "client", "connection"],
    token_form: TokenForm::new(32, 31),
};
