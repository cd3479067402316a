//! The Connector API as recording and redaction see it.

use nightaudit_exchange::{Api, TokenForm};

use crate::address::OPERATION_PREFIX;

/// What is particular to the Connector API in a recording. Whoever records, redacts or forwards is given it.
pub static API: Api = Api {
    name: "Mews",
    possessive: "Mews'",
    operation_prefix: OPERATION_PREFIX,
    request_id_header: "Request-Id",
    request_id_property: "RequestId",
    message_property: "Message",
    // The tokens of the Connector API, and the `ConnectionToken` of Mews' other interfaces.
    token_words: &["access", "client", "connection"],
    // As in the tokens that Mews publishes.
    token_form: TokenForm::new(32, 31),
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PUBLISHED_TOKENS, error_body};

    #[test]
    fn published_tokens_have_the_form() {
        let parts = |token: &'static str| token.split_once('-').map(|(before, after)| (before.len(), after.len()));
        let form = Some((API.token_form.before(), API.token_form.after()));
        assert!(PUBLISHED_TOKENS.iter().all(|pair| parts(pair.client) == form && parts(pair.access) == form));
    }

    #[test]
    fn an_error_has_the_same_body_wherever_it_is_made() {
        for message in ["", "Invalid \"Id\".", "a\nb\u{1f}é"] {
            assert_eq!(API.error_body(message), error_body(message, None));
        }
    }
}
