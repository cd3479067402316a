//! Requests against the documentation.

use crate::rule::text::Text;

pub(crate) const CONTRACT: Text = Text {
    title: "A request doesn't match the documentation",
    why: "The reviewers check the accuracy of requests against the specification. Mews silently ignores a \
          property that it doesn't know, so the integration doesn't do what it means to. Raised for each \
          property of an operation that differs from Mews' documented tables, even if the call succeeded. The \
          documentation contradicts itself in places: a finding deserves a look but proves nothing.",
    advice: "Compare the property with the operation's page in Mews' documentation.",
};

pub(crate) const DISPUTED: Text = Text {
    title: "A request doesn't match, but Mews' sources contradict each other",
    why: "The tables of the documentation, its samples and Mews' OpenAPI document don't always agree, and some \
          rules depend on what a request doesn't contain. Raised for each such property so that it can be \
          checked; it is not counted as a mistake of the integration.",
    advice: "No action needed as long as the calls succeed.",
};

pub(crate) const OTHER_API: Text = Text {
    title: "Another Mews API was called",
    why: "The Booking Engine, Channel Manager and POS APIs have documentation, limits and certifications of \
          their own. Their requests are recorded but not checked. Raised for each of these APIs.",
    advice: "No action needed here; ask Mews about the requirements of the other API.",
};

pub(crate) const UNKNOWN_OPERATION: Text = Text {
    title: "A path was called that Mews doesn't have",
    why: "Mews matches paths exactly: case counts, and a trailing slash is a 404. Raised for each path that is \
          not an operation of the Connector API.",
    advice: "Call the documented path.",
};

pub(crate) const METHOD: Text = Text {
    title: "An operation was called with a method other than POST",
    why: "Every operation of the Connector API is a POST with a JSON body. Raised for each other method.",
    advice: "Send the request as a POST.",
};

pub(crate) const DEPRECATED: Text = Text {
    title: "Something deprecated is used",
    why: "New integrations are not certified on operations, properties and values that Mews plans to remove. \
          Raised for each deprecated operation, and for each deprecated property or value of a request.",
    advice: "Move to the replacement.",
};

pub(crate) const DISCONTINUED: Text = Text {
    title: "Something discontinued is used",
    why: "It no longer works, or may stop working at any time. Raised for each operation that was discontinued \
          before the day of the request.",
    advice: "Move to the replacement.",
};

pub(crate) const RESTRICTED: Text = Text {
    title: "A restricted operation is used",
    why: "Operations in restricted beta are open to selected partners only, and may change. Raised for each such \
          operation that was called.",
    advice: "Ask Mews for access before the certification, or do without it.",
};
