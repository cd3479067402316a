//! How the integration uses the API.

use crate::rule::text::Text;

pub(crate) const UNPAGED: Text = Text {
    title: "A list is fetched without pagination",
    why: "Mews asks for pagination wherever an operation supports it: lists that are short in the demo \
          environment are long at a property. Raised for each paginated operation that was called without a \
          `Limitation`.",
    advice: "Send `Limitation` with a `Count` of up to 1000, and follow `Cursor` until a page has fewer items \
             than that.",
};

pub(crate) const UNFINISHED_PAGES: Text = Text {
    title: "Pages were left unread",
    why: "If a list's next pages are not fetched, the integration works with a part of it; if it starts over \
          from the first page, it does the work twice. Mews returns a `Cursor` with every page that isn't empty, \
          so the last page is the one with fewer items than `Count`. Raised when a page was full and no request \
          of the same operation and token used its `Cursor` within 10 minutes. A page that has all the requested \
          ids is complete; requests in the session's last minute don't count.",
    advice: "Send the `Cursor` of each response in the next request's `Limitation` until a page has fewer items \
             than `Count`.",
};

pub(crate) const REPEATED_QUESTION: Text = Text {
    title: "The same read was repeated within a minute",
    why: "The data had just been returned. Another request costs Mews time and counts against the limit. Raised \
          when a read that had already succeeded was sent again within 60 seconds, with no change to the same \
          resource or the same ids in between, three times or more within an hour for one operation, and in at \
          least one in twenty of its calls.",
    advice: "Cache the response for as long as it is valid, and share it between the integration's parts.",
};

pub(crate) const POLLING: Text = Text {
    title: "An operation is polled although Mews sends events",
    why: "Mews sends webhooks and WebSocket events for these, and asks integrations to use them instead of \
          polling. Raised when an operation whose changes Mews announces was called without ids and with the \
          same properties at intervals of at most 15 minutes: ten times in a row at the same interval, or 17 \
          times in a row at intervals between half of their median and 1.8 times it, which allows for 40 % of \
          jitter. Calls within 2 seconds count as one.",
    advice: "Subscribe to the event, and fetch what it names.",
};

pub(crate) const PAST_INTERVAL: Text = Text {
    title: "A past interval is requested again and again",
    why: "What was created or changed in a past interval is known from the first response. Raised when the same \
          read, for an interval that had ended before it was sent, succeeded and was repeated between a minute \
          and 12 hours later, three times or more for one operation.",
    advice: "Start at the end of the last interval, and keep what was returned before.",
};

pub(crate) const ONE_BY_ONE: Text = Text {
    title: "Ids are fetched one by one",
    why: "Lists take up to 1,000 ids at once; one call per id uses up the limit and is slow. Raised when, within \
          30 seconds, at least 20 reads of one operation and token had exactly one id each, all of them \
          different.",
    advice: "Collect the ids, and fetch all of them in one call.",
};

pub(crate) const SAME_CHANGE: Text = Text {
    title: "The same change was sent twice within seconds",
    why: "A change that is sent twice is made twice: two orders, two payments. The cause is often a double \
          click, or two workers with the same task. Raised when a change that succeeded was sent again within 10 \
          seconds, with the same body apart from the envelope, and succeeded too. Device commands, which may be \
          repeated on purpose, and retries of failed calls are excluded.",
    advice: "Send each change once: disable the button, or keep track of the changes already sent.",
};

pub(crate) const STATIC_DATA: Text = Text {
    title: "Data that seldom changes is fetched again and again",
    why: "Configuration, services, products, categories, taxes, languages, currencies and countries change \
          seldom. Mews asks integrations to cache them. Raised when the same read of such data was repeated \
          within an hour, five times or more in 24 hours.",
    advice: "Cache the response for a day, or until a webhook announces a change.",
};

pub(crate) const UNFILTERED: Text = Text {
    title: "A growing list is fetched without a filter",
    why: "The list keeps growing over the property's lifetime. Without ids or an interval each call fetches all \
          of it. Raised for each operation over such a list that was called without anything to narrow it.",
    advice: "Filter by ids, or by an interval of `UpdatedUtc` or the like of at most three months.",
};

pub(crate) const EXTENTS: Text = Text {
    title: "Many extents are fetched at once",
    why: "Each extent makes the response larger and slower, and most integrations use few of them. Raised when a \
          request asked for more than four.",
    advice: "Ask only for the extents you use.",
};
