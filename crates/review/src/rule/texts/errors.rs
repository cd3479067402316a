//! Calls that failed.

use crate::rule::text::Text;

pub(crate) const UNRESOLVED: Text = Text {
    title: "A call failed and was never resolved",
    why: "The reviewers check whether errors were resolved by later calls. An unresolved failure means that data \
          at the property stays wrong, or that the failure went unnoticed. Raised for failed calls, except 5xx \
          and 408, that were not followed by a successful call of the same operation and token for the same \
          thing, with the mistake fixed. That call must have been sent after the failure was known. It is for \
          the same thing if it has the same properties and all the ids of the failed call, in one call or in \
          several; without ids, half of the same texts; and an interval that covers the original one, alone or \
          together with those of other such calls. Whatever \
          the message of a 400 or the contract names may have changed, and after a 401 the token.",
    advice: "Fix the request and send it again.",
};

pub(crate) const SERVER: Text = Text {
    title: "Mews failed, and the call was never resolved",
    why: "A 5xx or a 408 is a failure of Mews, or of a request too heavy for it. The reviewers want to see that \
          the integration copes with it; one that was followed by the same call with success is fine. Raised for \
          calls with a 5xx or 408 from Mews that were not later resolved, as defined by `errors/unresolved`.",
    advice: "Send the call again after a pause, each longer than the one before; make requests that end in 408 \
             lighter: fewer extents, shorter intervals, smaller pages.",
};

pub(crate) const SHARE: Text = Text {
    title: "A large share of an operation's calls failed",
    why: "An integration whose calls are rejected again and again doesn't follow the API, even if it succeeds in \
          the end; failed calls count against the limit like any others. Raised for an operation if at least \
          five calls, and a tenth of all, ended in 401, in 404 or 405, or in another client error (400, 413 and \
          the like); or if at least five, and half of all, ended in 403, 408, 409 or 5xx or got no response. \
          Raised for all operations together if none of them fails that often alone. 429s are judged by the \
          limit and retry rules.",
    advice: "Look at the messages of the failed calls, and fix the code that sends them.",
};

pub(crate) const NO_ANSWER: Text = Text {
    title: "No response from Mews",
    why: "Whether the call took effect is unknown. In their log, reviewers may see a different outcome than the \
          integration did. Raised for each change that Mews may have received without returning a complete \
          response. Reads, and calls for which no connection was made, have no effect; for them it is enough \
          that a later call resolved them (`errors/unresolved`).",
    advice: "Read the current state from Mews before you send the change again.",
};

pub(crate) const REJECTED: Text = Text {
    title: "Requests could not be forwarded",
    why: "They are malformed, incomplete or meant for another host; Mews never received them, so no other rule \
          considers them. Raised for each request that nightaudit had to reject.",
    advice: "Look at the error of the exchange: it says what is wrong with the request.",
};

pub(crate) const ABANDONED: Text = Text {
    title: "The integration disconnected before the response was complete",
    why: "Mews keeps working on a request whose client has disconnected, and the response is lost. Often a \
          timeout in the integration is too short. Raised for each aborted exchange.",
    advice: "Wait at least as long as Mews takes for its slowest responses; ask for smaller pages.",
};
