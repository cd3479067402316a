//! The rules: what the review looks for, how severe it is, why reviewers care, and what to do about it.

mod id;
mod severity;

pub use id::UnknownRule;
pub use severity::Severity;

macro_rules! rules {
    ($($name:ident $id:literal $severity:ident { $title:literal, why: $why:literal, advice: $advice:literal })*) => {
        /// A check of the review. The meaning of an id never changes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Rule {
            $(#[doc = $title] $name,)*
        }

        impl Rule {
            /// All rules, grouped as they are reported.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The id: `limits/over`.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id),* }
            }

            /// The severity of its findings unless the declaration changes it.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity),* }
            }

            /// What was found, in one line.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title),* }
            }

            /// Why reviewers care, and exactly what raises it.
            #[must_use]
            pub const fn why(self) -> &'static str {
                match self { $(Self::$name => $why),* }
            }

            /// What to do about it.
            #[must_use]
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice),* }
            }
        }
    };
}

rules! {
    RunShort "run/short" Error {
        "The run is shorter than 48 hours",
        why: "Mews asks for at least 48 hours of activity in the demo environment, from initial set-up to day-to-day \
              work, as at a real property. A shorter run shows too little of how an integration behaves: no night, \
              no second day, no refresh of what it caches. Raised when less than 48 hours lie between the first \
              request and the end of the last.",
        advice: "Keep the integration running in the same session; `serve --session NAME` continues it after a \
                 restart."
    }
    RunGap "run/gap" Warning {
        "Nothing was sent for hours",
        why: "The 48 hours should look like work at a property. A run that was active only at its start and its end \
              doesn't count as 48 hours. Raised for each pause of more than 8 hours, which is what a quiet night \
              takes; for an integration declared to run on a schedule (`every_hours`), for each pause of more than 8 \
              hours that also exceeds its schedule by more than a tenth.",
        advice: "Keep the integration running the whole time, with guests arriving and leaving as at a property. If \
                 it runs on a schedule, declare it with `every_hours`."
    }
    RunScheduled "run/scheduled" Note {
        "The integration runs on a schedule",
        why: "An integration that runs every night pauses for a long time in between, and those pauses are not gaps. \
              The declaration states the schedule (`every_hours`), so the reviewers can see it. Raised when a pause \
              of more than 8 hours exceeds the declared schedule by a tenth at most.",
        advice: "No action needed."
    }
    RunClock "run/clock" Note {
        "The clock of the recording machine was set back",
        why: "Recorded times then run backwards. Durations and windows are computed on a corrected, monotonic clock, \
              so this causes no other findings; how long the adjustment took is unknown, and a minute is assumed. \
              Raised when exchanges end more than 2 seconds before ones that were recorded earlier.",
        advice: "Let NTP keep the machine's clock; it slews the clock instead of setting it."
    }
    RunEnvironment "run/environment" Warning {
        "Not everything was sent to the demo environment",
        why: "The certification looks at activity in Mews' demo environment. Reviewers can't see requests that went \
              to a simulator, and requests to production concern real guests. Raised for each request that was sent \
              to a host other than Mews Demo over TLS, whatever the environment is called.",
        advice: "Record the run for the certification with `serve --environment demo`, without `--upstream`."
    }
    CoverageNotCalled "coverage/not-called" Error {
        "A declared operation was never called",
        why: "The reviewers compare the operations in the application with the ones they see. An operation that was \
              asked for and never called is either not needed or not tested; access to it is not granted in either \
              case. Raised for each declared operation without a request.",
        advice: "Exercise the operation in the run, or remove it from the declaration."
    }
    CoverageOnlyFailed "coverage/only-failed" Error {
        "A declared operation never succeeded",
        why: "An operation that was called but never succeeded has not been shown to work. Raised for each declared \
              operation that has requests but not a single 2xx response.",
        advice: "Look at its errors below, fix them, and let it succeed at least once."
    }
    CoverageUndeclared "coverage/undeclared" Warning {
        "An operation was called that is not declared",
        why: "The reviewers ask what every operation is for. One that isn't in the application has no stated \
              purpose, and a production token may not be allowed to call it. Raised for each operation that was \
              called and is not in the declaration, if the declaration lists any.",
        advice: "Add the operation to the declaration with its purpose, or stop calling it."
    }
    UseCaseMissing "usecase/missing" Warning {
        "A step of the use case was not seen",
        why: "Mews documents the expected steps for each kind of integration, and the reviewers compare the flow \
              with them. Raised for each section of the declared use case in which no documented operation was \
              called successfully, if more than half of the sections are missing; otherwise they are listed by \
              `usecase/partly`.",
        advice: "Include the step in the run, or be ready to explain why this integration doesn't need it."
    }
    UseCasePartly "usecase/partly" Note {
        "Some steps of the use case were not seen",
        why: "Not every integration of a kind takes all of the documented steps, but the reviewers may ask why one \
              is left out. Raised once, with the sections in which no documented operation was called successfully, \
              if at least half of the sections were seen.",
        advice: "Include these steps in the run too, or be ready to explain why this integration doesn't need them."
    }
    LimitsOver "limits/over" Error {
        "More requests were sent than the limit allows",
        why: "The limit is part of the API's contract; an integration that exceeds it in the demo environment will \
              cause trouble in production, where its token may be blocked. Raised when more requests with the same \
              key left for Mews within one window than the rule allows. The time of sending counts.",
        advice: "Send less at once: fewer workers per token, larger pages, narrower filters; or pace requests with \
                 `serve --on-limit delay` while you find out what sends them."
    }
    LimitsRefusedByUs "limits/refused-by-us" Warning {
        "nightaudit refused requests repeatedly because the limit was used up",
        why: "Without nightaudit in between, Mews would have received these requests and rejected them. An \
              occasional 429 that the integration respects is fine; whether it respects them is judged by the retry \
              rules. An integration that hits the limit all the time depends on something else to pace it. Raised \
              when nightaudit refused five requests of a token or more with 429, and at least one in twenty of them.",
        advice: "Pace the requests in the integration, per access token, below the published limit."
    }
    LimitsRefusedByMews "limits/refused-by-mews" Warning {
        "Mews returned 429 repeatedly",
        why: "An occasional 429 that the integration respects is fine; whether it respects them is judged by the \
              retry rules. Many of them are the first thing that reviewers see in their own logs. Raised when Mews \
              returned 429 for five requests of a token or more, and for at least one in twenty of them. If the \
              token is shared with others, like the demo tokens in the documentation, this integration may not be \
              the cause.",
        advice: "Use a token of your own, stay below the limit, and respect `Retry-After`."
    }
    RetryIgnoredRetryAfter "retry/ignored-retry-after" Error {
        "Requests were sent before `Retry-After` had passed",
        why: "`Retry-After` is when Mews will accept requests again. Earlier ones are rejected too, and an \
              integration that keeps sending them may be blocked. Raised when a request with the same access token \
              was sent after a 429 had arrived and more than 250 ms before its `Retry-After` expired. The refused \
              request itself counts immediately, another one of the same operation after 250 ms, one of another \
              operation after a second; a request received before the 429 never counts, even if it was forwarded \
              afterwards.",
        advice: "After a 429, hold back every request of that token until `Retry-After` has passed."
    }
    RetryNoBackoff "retry/no-backoff" Warning {
        "Retries did not back off",
        why: "Without a `Retry-After`, Mews expects exponential back-off: each pause longer than the one before. \
              Raised when the same request failed three times or more in a row with 408, 429 or 5xx, or without a \
              response, and the later half of the pauses was not at least a tenth longer than the first half. A \
              series continues if the body changes slightly (the same properties, half of the same ids, an interval \
              that moves with the time), and ends with a success or after 30 minutes. Pauses that follow a \
              `Retry-After` don't count, and pauses of a minute or more need not grow.",
        advice: "Double the pause after each failure, with some jitter, up to a minute or so."
    }
    RetryFixedPause "retry/fixed-pause" Warning {
        "Retries used the same pause each time",
        why: "With fixed pauses all clients retry at the same moment, and Mews' guidelines advise against them \
              explicitly. Raised when the same request failed four times or more in a row and the pauses, each under \
              a minute, differ by less than a tenth. `retry/no-backoff` defines a series.",
        advice: "Double the pause after each failure, with some jitter, up to a minute or so."
    }
    RetryHammering "retry/hammering" Error {
        "Requests continued at volume while being refused",
        why: "An integration that keeps sending at volume after a 429 may be blocked by Mews. Raised when, within 10 \
              seconds of a 429, five or more further requests of the same access token were sent and refused, or \
              when the same request was repeated after failures five times or more with less than a second in \
              between.",
        advice: "Stop all workers of the token at the first 429, and let one of them retry later."
    }
    ErrorsUnresolved "errors/unresolved" Error {
        "A call failed and was never resolved",
        why: "The reviewers check whether errors were resolved by later calls. An unresolved failure means that data \
              at the property stays wrong, or that the failure went unnoticed. Raised for failed calls, except 5xx \
              and 408, that were not followed by a successful call of the same operation and token for the same \
              thing, with the mistake fixed. That call must have been sent after the failure was known. It is for \
              the same thing if it has the same properties and all the ids of the failed call, in one call or in \
              several; without ids, half of the same texts; and an interval that covers the original one. Whatever \
              the message of a 400 or the contract names may have changed, and after a 401 the token.",
        advice: "Fix the request and send it again."
    }
    ErrorsServer "errors/server" Error {
        "Mews failed, and the call was never resolved",
        why: "A 5xx or a 408 is a failure of Mews, or of a request too heavy for it. The reviewers want to see that \
              the integration copes with it; one that was followed by the same call with success is fine. Raised for \
              calls with a 5xx or 408 from Mews that were not later resolved, as defined by `errors/unresolved`.",
        advice: "Send the call again after a pause, each longer than the one before; make requests that end in 408 \
                 lighter: fewer extents, shorter intervals, smaller pages."
    }
    ErrorsShare "errors/share" Error {
        "A large share of an operation's calls failed",
        why: "An integration whose calls are rejected again and again doesn't follow the API, even if it succeeds in \
              the end; failed calls count against the limit like any others. Raised for an operation if at least \
              five calls, and a tenth of all, ended in 401, in 404 or 405, or in another client error (400, 413 and \
              the like); or if at least five, and half of all, ended in 403, 408, 409 or 5xx or got no response. \
              Raised for all operations together if none of them fails that often alone. 429s are judged by the \
              limit and retry rules.",
        advice: "Look at the messages of the failed calls, and fix the code that sends them."
    }
    ErrorsNoAnswer "errors/no-answer" Warning {
        "No response from Mews",
        why: "Whether the call took effect is unknown. In their log, reviewers may see a different outcome than the \
              integration did. Raised for each change that Mews may have received without returning a complete \
              response. Reads, and calls for which no connection was made, have no effect; for them it is enough \
              that a later call resolved them (`errors/unresolved`).",
        advice: "Read the current state from Mews before you send the change again."
    }
    ErrorsRejected "errors/rejected" Warning {
        "Requests could not be forwarded",
        why: "They are malformed, incomplete or meant for another host; Mews never received them, so no other rule \
              considers them. Raised for each request that nightaudit had to reject.",
        advice: "Look at the error of the exchange: it says what is wrong with the request."
    }
    ErrorsAbandoned "errors/abandoned" Note {
        "The integration disconnected before the response was complete",
        why: "Mews keeps working on a request whose client has disconnected, and the response is lost. Often a \
              timeout in the integration is too short. Raised for each aborted exchange.",
        advice: "Wait at least as long as Mews takes for its slowest responses; ask for smaller pages."
    }
    RequestContract "request/contract" Warning {
        "A request doesn't match the documentation",
        why: "The reviewers check the accuracy of requests against the specification. Mews silently ignores a \
              property that it doesn't know, so the integration doesn't do what it means to. Raised for each \
              property of an operation that differs from Mews' documented tables, even if the call succeeded. The \
              documentation contradicts itself in places: a finding deserves a look but proves nothing.",
        advice: "Compare the property with the operation's page in Mews' documentation."
    }
    RequestDisputed "request/disputed" Note {
        "A request doesn't match, but Mews' sources contradict each other",
        why: "The tables of the documentation, its samples and Mews' OpenAPI document don't always agree, and some \
              rules depend on what a request doesn't contain. Raised for each such property so that it can be \
              checked; it is not counted as a mistake of the integration.",
        advice: "No action needed as long as the calls succeed."
    }
    RequestOtherApi "request/other-api" Note {
        "Another Mews API was called",
        why: "The Booking Engine, Channel Manager and POS APIs have documentation, limits and certifications of \
              their own. Their requests are recorded but not checked. Raised for each of these APIs.",
        advice: "No action needed here; ask Mews about the requirements of the other API."
    }
    RequestUnknownOperation "request/unknown-operation" Error {
        "A path was called that Mews doesn't have",
        why: "Mews matches paths exactly: case counts, and a trailing slash is a 404. Raised for each path that is \
              not an operation of the Connector API.",
        advice: "Call the documented path."
    }
    RequestMethod "request/method" Warning {
        "An operation was called with a method other than POST",
        why: "Every operation of the Connector API is a POST with a JSON body. Raised for each other method.",
        advice: "Send the request as a POST."
    }
    RequestDeprecated "request/deprecated" Warning {
        "Something deprecated is used",
        why: "New integrations are not certified on operations, properties and values that Mews plans to remove. \
              Raised for each deprecated operation, and for each deprecated property or value of a request.",
        advice: "Move to the replacement."
    }
    RequestDiscontinued "request/discontinued" Error {
        "Something discontinued is used",
        why: "It no longer works, or may stop working at any time. Raised for each operation that was discontinued \
              before the day of the request.",
        advice: "Move to the replacement."
    }
    RequestRestricted "request/restricted" Warning {
        "A restricted operation is used",
        why: "Operations in restricted beta are open to selected partners only, and may change. Raised for each such \
              operation that was called.",
        advice: "Ask Mews for access before the certification, or do without it."
    }
    ClientMissing "identity/client-missing" Error {
        "Requests don't identify the integration",
        why: "The reviewers find an integration's activity by its `Client`. Requests without it can't be reviewed at \
              all. Raised for each request without a `Client`.",
        advice: "Send `Client` with the integration's name and version in every request: \"Acme Kiosk 2.1.0\"."
    }
    ClientVersion "identity/client-version" Warning {
        "`Client` has no version",
        why: "`Client` should name the integration and its version, so that reviewers and Mews' support know which \
              one they are looking at. Raised for requests whose `Client` has neither a word that begins with a \
              digit (ignoring a leading `v`) nor digits with a dot between them.",
        advice: "Append the version to the name: \"Acme Kiosk 2.1.0\"."
    }
    ClientTool "identity/client-tool" Error {
        "`Client` names a tool, not the integration",
        why: "Requests sent by hand, or by a library under its own name, can't be attributed to the integration and \
              show nothing of it. Raised for requests whose `Client` begins with the name of a tool: Postman, \
              Insomnia, curl, HTTPie, Bruno, Swagger, SoapUI, Thunder Client, Paw, wget, or the name of an HTTP \
              library.",
        advice: "Send the integration's own name and version in every request, and record the run without manual \
                 requests; single ones can be left out in the declaration (`leave_out`)."
    }
    ClientChanges "identity/client-changes" Warning {
        "The name of the integration changes",
        why: "The reviewers search for one name. Activity under another is not counted, and a version that changes \
              in the middle of the run raises the question which one is to be certified. Raised when a session has \
              more than one `Client`.",
        advice: "Set the name in one place in the code, and run the version that is to be certified."
    }
    ClientSample "identity/client-sample" Error {
        "The integration uses the name of the documentation's example",
        why: "Many who copy the documentation send `Sample Client 1.0.0`, so the activity can't be attributed to \
              anyone. Raised for each request with that name.",
        advice: "Send a name of your own that no other integration uses."
    }
    ClientDiffers "identity/client-differs" Warning {
        "The integration's name is not the declared one",
        why: "The reviewers search for the name that the application gives. Raised when requests have a `Client` \
              that doesn't begin with the declaration's `client`.",
        advice: "Use the same name in the declaration and in the integration."
    }
    SeveralClientTokens "identity/several-client-tokens" Warning {
        "More than one client token is used",
        why: "A client token identifies one integration. Two in one session mean that two integrations are mixed, or \
              that the token was changed during the run. Raised when a session has more than one.",
        advice: "Record one integration per session: `serve --session`, or the header `X-Nightaudit-Session`."
    }
    SharedDemoToken "identity/shared-demo-token" Error {
        "A token from the documentation's examples is used",
        why: "Everybody uses these tokens. Their activity can't be told apart, and others use up their limits. For \
              the certification Mews gives every integration an access token of its own. Raised for each request \
              with an access token that is printed in the documentation.",
        advice: "Ask Mews for an access token of your own in the demo environment."
    }
    Unpaged "habits/unpaged" Warning {
        "A list is fetched without pagination",
        why: "Mews asks for pagination wherever an operation supports it: lists that are short in the demo \
              environment are long at a property. Raised for each paginated operation that was called without a \
              `Limitation`.",
        advice: "Send `Limitation` with a `Count` of up to 1000, and follow `Cursor` until a page has fewer items \
                 than that."
    }
    UnfinishedPages "habits/unfinished-pages" Warning {
        "Pages were left unread",
        why: "If a list's next pages are not fetched, the integration works with a part of it; if it starts over \
              from the first page, it does the work twice. Mews returns a `Cursor` with every page that isn't empty, \
              so the last page is the one with fewer items than `Count`. Raised when a page was full and no request \
              of the same operation and token used its `Cursor` within 10 minutes. A page that has all the requested \
              ids is complete; requests in the session's last minute don't count.",
        advice: "Send the `Cursor` of each response in the next request's `Limitation` until a page has fewer items \
                 than `Count`."
    }
    RepeatedQuestion "habits/repeated-question" Warning {
        "The same read was repeated within a minute",
        why: "The data had just been returned. Another request costs Mews time and counts against the limit. Raised \
              when a read that had already succeeded was sent again within 60 seconds, with no change to the same \
              resource or the same ids in between, three times or more within an hour for one operation, and in at \
              least one in twenty of its calls.",
        advice: "Cache the response for as long as it is valid, and share it between the integration's parts."
    }
    Polling "habits/polling" Warning {
        "An operation is polled although Mews sends events",
        why: "Mews sends webhooks and WebSocket events for these, and asks integrations to use them instead of \
              polling. Raised when an operation whose changes Mews announces was called without ids and with the \
              same properties at intervals of at most 15 minutes: ten times in a row at the same interval, or 17 \
              times in a row at intervals between half of their median and 1.8 times it, which allows for 40 % of \
              jitter. Calls within 2 seconds count as one.",
        advice: "Subscribe to the event, and fetch what it names."
    }
    PastInterval "habits/past-interval" Warning {
        "A past interval is requested again and again",
        why: "What was created or changed in a past interval is known from the first response. Raised when the same \
              read, for an interval that had ended before it was sent, succeeded and was repeated between a minute \
              and 12 hours later, three times or more for one operation.",
        advice: "Start at the end of the last interval, and keep what was returned before."
    }
    OneByOne "habits/one-by-one" Warning {
        "Ids are fetched one by one",
        why: "Lists take up to 1,000 ids at once; one call per id uses up the limit and is slow. Raised when, within \
              30 seconds, at least 20 reads of one operation and token had exactly one id each, all of them \
              different.",
        advice: "Collect the ids, and fetch all of them in one call."
    }
    SameChange "habits/same-change" Warning {
        "The same change was sent twice within seconds",
        why: "A change that is sent twice is made twice: two orders, two payments. The cause is often a double \
              click, or two workers with the same task. Raised when a change that succeeded was sent again within 10 \
              seconds, with the same body apart from the envelope, and succeeded too. Device commands, which may be \
              repeated on purpose, and retries of failed calls are excluded.",
        advice: "Send each change once: disable the button, or keep track of the changes already sent."
    }
    StaticData "habits/static-data" Warning {
        "Data that seldom changes is fetched again and again",
        why: "Configuration, services, products, categories, taxes, languages, currencies and countries change \
              seldom. Mews asks integrations to cache them. Raised when the same read of such data was repeated \
              within an hour, five times or more in 24 hours.",
        advice: "Cache the response for a day, or until a webhook announces a change."
    }
    Unfiltered "habits/unfiltered" Warning {
        "A growing list is fetched without a filter",
        why: "The list keeps growing over the property's lifetime. Without ids or an interval each call fetches all \
              of it. Raised for each operation over such a list that was called without anything to narrow it.",
        advice: "Filter by ids, or by an interval of `UpdatedUtc` or the like of at most three months."
    }
    Extents "habits/extents" Note {
        "Many extents are fetched at once",
        why: "Each extent makes the response larger and slower, and most integrations use few of them. Raised when a \
              request asked for more than four.",
        advice: "Ask only for the extents you use."
    }
    CardNumber "data/card-number" Error {
        "What looks like a real card number was sent",
        why: "No real guest's data may be sent to the demo environment, and card numbers must never be sent in the \
              clear. Raised for numbers with a card brand's format and length and a valid check digit, except known \
              test cards. They are never shown in full.",
        advice: "Use test cards. If the number is real, treat it as leaked: it is in this log and at Mews."
    }
    Personal "data/personal" Warning {
        "What looks like real people's data was sent",
        why: "No real guest's data may be sent to the demo environment. Raised for mail addresses outside the \
              domains reserved for examples (example.com, .test and the like) and the declaration's own `domains`; \
              telephone numbers of 9 to 15 digits that are not in a range reserved for fiction and have no run of \
              five digits that are equal or count up or down; numbers of passports and the like, of 6 to 15 letters \
              and digits, by the same rule; bank accounts (IBAN) with their country's length and a valid checksum, \
              except known examples; a first and a last name, neither of them a placeholder, together with a date of \
              birth other than 1 January and 31 December, or with any of the others, in one object without an \
              example.com address. Mail addresses are shown by their first letters only, everything else not at all.",
        advice: "Use addresses at example.com and telephone numbers reserved for fiction (+1 202 555 01xx), or list \
                 your own domains in the declaration."
    }
    RecordOrigin "record/origin" Warning {
        "The origin of responses is not proven",
        why: "The evidence must show that Mews sent the responses. Each exchange names the host that it was sent to, \
              and the authority that issued the host's certificate. Raised for responses for which that was not \
              recorded, as in earlier versions, and for those from Mews' names whose certificate was not issued by a \
              public authority (`upstream_ca`, or a local authority of the machine).",
        advice: "Record the run again without `upstream_ca`, on a network where no proxy inspects TLS."
    }
    RecordAltered "record/altered" Error {
        "Exchanges are not as they were recorded",
        why: "Each exchange's hash covers its recorded data and the exchange before it. Raised when the session was \
              imported and exchanges did not match their hashes, had none, or had values masked on export. Exporting \
              and importing it again doesn't change that.",
        advice: "Export the evidence where the session was recorded."
    }
    RecordImported "record/imported" Note {
        "The session was recorded elsewhere",
        why: "Matching hashes show that nothing was changed by accident. Anyone who can edit an export can also \
              recompute them, so an imported session proves nothing on its own. What another tool recorded has no \
              hashes: its times and bytes are as that tool's file has them. Raised for every imported session.",
        advice: "Export the evidence where the session was recorded; there it is signed."
    }
    RecordFaults "record/faults" Warning {
        "Faults were injected on purpose",
        why: "A made-up error shows how the integration bears trouble, and nothing about Mews: the reviewers never saw \
              those requests, or saw other responses than the integration. Retries after injected faults are judged \
              like any others; they count as no errors of Mews. Raised when fault rules (`serve --fault`) made up, \
              delayed or altered responses of the session.",
        advice: "Record the run for the certification in a session without faults."
    }
    RecordDates "record/dates" Error {
        "Recorded times disagree with Mews' clock",
        why: "Mews' responses carry the time in `Date`. If the recorded times differ from it, the machine's clock \
              was wrong or the record was edited. Raised when a response's `Date` is more than 2 minutes away from \
              the recorded time.",
        advice: "Let NTP keep the machine's clock, and record the run again."
    }
    RecordInterrupted "record/interrupted" Note {
        "nightaudit was killed while requests were in flight",
        why: "They may have reached Mews, so the reviewers may see calls whose end is not in the record. Raised for \
              each interrupted exchange.",
        advice: "Stop `serve` with Ctrl-C or SIGTERM, which waits for requests in flight."
    }
    RecordIncomplete "record/incomplete" Warning {
        "Exchanges are missing from the record",
        why: "Evidence with gaps proves less: missing exchanges can't be reviewed. Raised when exchanges passed \
              unrecorded, or the sequence of the session has gaps.",
        advice: "Record the run again; `nightaudit log check` shows whether the log is damaged."
    }
    RecordTruncated "record/truncated" Note {
        "Request bodies were truncated in the record",
        why: "The log keeps only the start of a long body (`body.keep`), so these requests could not be checked \
              against the documentation. Raised for each truncated JSON request body.",
        advice: "Raise `body.keep` for the run if these requests matter."
    }
    RecordBounds "record/bounds" Note {
        "The session exceeds a limit of the review",
        why: "The review uses bounded memory, whatever the size of a session. Where it reached a bound, this finding \
              says what was left out. The figures are correct for what they cover.",
        advice: "Review part of the run as a session of its own if the rest matters."
    }
}

impl Rule {
    /// Whether a declaration may silence this rule or change its severity. Rules that the evidence depends on can only
    /// be explained.
    #[must_use]
    pub fn can_be_changed(self) -> bool {
        !matches!(self, Self::RunShort | Self::RunEnvironment | Self::SharedDemoToken)
            && !self.id().starts_with("record/")
    }
}
