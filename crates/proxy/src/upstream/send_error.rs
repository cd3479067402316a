//! Why a request got no response.

use http::Request;

use super::body::Error;
use crate::request_body::RequestBody;

/// Why a request got no response.
pub(super) enum SendError {
    /// Certainly not processed. Returns the request, unless it can't be resent.
    Unprocessed {
        request: Option<Box<Request<RequestBody>>>,
        /// Whether the server said so, rather than the connection closing before anything was sent.
        refused: bool,
        reason: String,
    },
    /// May have been processed.
    Failed(Error),
}
