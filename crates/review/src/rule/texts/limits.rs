//! Request limits, and retries after refusals and failures.

use crate::rule::text::Text;

pub(crate) const OVER: Text = Text {
    title: "More requests were sent than the limit allows",
    why: "The limit is part of the API's contract; an integration that exceeds it in the demo environment will \
          cause trouble in production, where its token may be blocked. Raised when more requests with the same \
          key left for Mews within one window than the rule allows. The time of sending counts.",
    advice: "Send less at once: fewer workers per token, larger pages, narrower filters; or pace requests with \
             `serve --on-limit delay` while you find out what sends them.",
};

pub(crate) const REFUSED_BY_US: Text = Text {
    title: "nightaudit refused requests repeatedly because the limit was used up",
    why: "Without nightaudit in between, Mews would have received these requests and rejected them. An \
          occasional 429 that the integration respects is fine; whether it respects them is judged by the retry \
          rules. An integration that hits the limit all the time depends on something else to pace it. Raised \
          when nightaudit refused five requests of a token or more with 429, and at least one in twenty of them.",
    advice: "Pace the requests in the integration, per access token, below the published limit.",
};

pub(crate) const REFUSED_BY_MEWS: Text = Text {
    title: "Mews returned 429 repeatedly",
    why: "An occasional 429 that the integration respects is fine; whether it respects them is judged by the \
          retry rules. Many of them are the first thing that reviewers see in their own logs. Raised when Mews \
          returned 429 for five requests of a token or more, and for at least one in twenty of them. If the \
          token is shared with others, like the demo tokens in the documentation, this integration may not be \
          the cause.",
    advice: "Use a token of your own, stay below the limit, and respect `Retry-After`.",
};

pub(crate) const RETRY_IGNORED_RETRY_AFTER: Text = Text {
    title: "Requests were sent before `Retry-After` had passed",
    why: "`Retry-After` is when Mews will accept requests again. Earlier ones are rejected too, and an \
          integration that keeps sending them may be blocked. Raised when a request with the same access token \
          was sent after a 429 had arrived and more than 250 ms before its `Retry-After` expired. The refused \
          request itself counts immediately, another one of the same operation after 250 ms, one of another \
          operation after a second; a request received before the 429 never counts, even if it was forwarded \
          afterwards.",
    advice: "After a 429, hold back every request of that token until `Retry-After` has passed.",
};

pub(crate) const RETRY_NO_BACKOFF: Text = Text {
    title: "Retries did not back off",
    why: "Without a `Retry-After`, Mews expects exponential back-off: each pause longer than the one before. \
          Raised when the same request failed three times or more in a row with 408, 429 or 5xx, or without a \
          response, and the later half of the pauses was not at least a tenth longer than the first half. A \
          series continues if the body changes slightly (the same properties, half of the same ids, an interval \
          that moves with the time), and ends with a success or after 30 minutes. Pauses that follow a \
          `Retry-After` don't count, and pauses of a minute or more need not grow.",
    advice: "Double the pause after each failure, with some jitter, up to a minute or so.",
};

pub(crate) const RETRY_FIXED_PAUSE: Text = Text {
    title: "Retries used the same pause each time",
    why: "With fixed pauses all clients retry at the same moment, and Mews' guidelines advise against them \
          explicitly. Raised when the same request failed four times or more in a row and the pauses, each under \
          a minute, differ by less than a tenth. `retry/no-backoff` defines a series.",
    advice: "Double the pause after each failure, with some jitter, up to a minute or so.",
};

pub(crate) const RETRY_HAMMERING: Text = Text {
    title: "Requests continued at volume while being refused",
    why: "An integration that keeps sending at volume after a 429 may be blocked by Mews. Raised when, within 10 \
          seconds of a 429, five or more further requests of the same access token were sent and refused, or \
          when the same request was repeated after failures five times or more with less than a second in \
          between.",
    advice: "Stop all workers of the token at the first 429, and let one of them retry later.",
};
