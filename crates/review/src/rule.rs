//! The rules: what is looked for, how much it weighs, why a reviewer cares, and what to do about it.

mod id;
mod severity;

pub use id::UnknownRule;
pub use severity::Severity;

macro_rules! rules {
    ($($name:ident $id:literal $severity:ident { $title:literal, why: $why:literal, advice: $advice:literal })*) => {
        /// Something that is looked for in a session. Its id never changes its meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Rule {
            $(#[doc = $title] $name,)*
        }

        impl Rule {
            /// All there are, grouped as they are told.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The id: `limits/over`.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id),* }
            }

            /// How much a finding weighs unless the declaration says otherwise.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity),* }
            }

            /// What is found, in a line.
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
        why: "Mews asks for at least 48 hours of activity in the demo environment, from the set-up to day-to-day \
              work, as at a real property. Anything shorter shows too little of an integration's life: no night, no \
              second day, no renewal of what it caches. Raised when less than 48 hours lie between the first request \
              and the end of the last.",
        advice: "Let the integration run on in the same session; `serve --session NAME` continues it after a restart."
    }
    RunGap "run/gap" Warning {
        "Nothing was sent for hours",
        why: "The 48 hours are to look like work at a property. A run that was active at its beginning and its end \
              only is no run of 48 hours. Raised for each pause of more than 8 hours, which is what a quiet night \
              takes; of an integration that is declared to run on a schedule (`every_hours`), for each pause that is \
              more than a tenth longer than that, too.",
        advice: "Keep the integration running through the whole time, with guests arriving and leaving as at a property. \
                 If it runs on a schedule, declare that: `every_hours`."
    }
    RunScheduled "run/scheduled" Note {
        "The integration runs on a schedule",
        why: "An integration that runs every night has long pauses, and none of them is a gap in its run. The declaration \
              says so (`every_hours`), and the reviewers read it there. Raised when a pause of more than 8 hours is no \
              longer than the declared schedule and a tenth of it.",
        advice: "Nothing has to be done here."
    }
    RunClock "run/clock" Note {
        "The clock of the recording machine was set back",
        why: "Times in the record then run backwards. Lengths and windows are counted on a clock that goes on evenly, \
              so that nothing else is found because of it; how long the setting took can't be told, and a minute is \
              assumed. Raised when exchanges end more than 2 seconds before ones that were recorded earlier.",
        advice: "Let the machine's clock be kept by NTP, which slews it instead of setting it."
    }
    RunEnvironment "run/environment" Warning {
        "Not everything was sent to the demo environment",
        why: "The certification looks at activity in Mews' demo environment. Reviewers see nothing of what went to a \
              stand-in, and what went to production concerns real guests. Raised for each request that was sent to \
              another host than those of Mews Demo over TLS, whatever the environment is called.",
        advice: "Record the run for the certification with `serve --environment demo`, without `--upstream`."
    }
    CoverageNotCalled "coverage/not-called" Error {
        "A declared operation was never called",
        why: "The reviewers compare the operations in the application with the ones they see. An operation that was \
              asked for and never called is either not needed or not tested; in both cases it is not granted. Raised \
              for each operation of the declaration without a request.",
        advice: "Let the run exercise the operation, or take it out of the declaration."
    }
    CoverageOnlyFailed "coverage/only-failed" Error {
        "A declared operation never succeeded",
        why: "An operation that was called and never once answered with success has not been shown to work. Raised for \
              each operation of the declaration with requests, none of which was answered 2xx.",
        advice: "Look at its errors below, mend them, and let it succeed at least once."
    }
    CoverageUndeclared "coverage/undeclared" Warning {
        "An operation was called that is not declared",
        why: "The reviewers ask what every operation is for. One that isn't in the application has no purpose on \
              record, and a token for production may not be allowed to call it. Raised for each operation that was \
              called and is not in the declaration, where the declaration has any.",
        advice: "Add the operation to the declaration with its purpose, or stop calling it."
    }
    UseCaseMissing "usecase/missing" Warning {
        "A step of the use case was not seen",
        why: "Mews documents, for each kind of integration, the steps that it is expected to take, and the reviewers \
              hold the flow against them. Raised for each section of the use case that the declaration names in which \
              none of the documented operations was called with success, where these are more than half of its \
              sections; otherwise they are noted by `usecase/partly`.",
        advice: "Let the run go through the step, or be ready to say why this integration does without it."
    }
    UseCasePartly "usecase/partly" Note {
        "Some steps of the use case were not seen",
        why: "Not every integration of a kind takes all of the documented steps, and the reviewers may ask why one is \
              left out. Raised once, with the sections in which none of the documented operations was called with \
              success, where at least half of the sections were seen.",
        advice: "Let the run go through these steps too, or be ready to say why this integration does without them."
    }
    LimitsOver "limits/over" Error {
        "More requests were sent than the limit allows",
        why: "The limit is part of the API's contract; exceeding it in the demo environment promises trouble in \
              production, where a token may be blocked. Raised when more requests of one key left for Mews within one \
              window than the rule allows. What counts is when they were sent.",
        advice: "Send less at once: fewer workers per token, larger pages, narrower filters; or let `serve --on-limit \
                 delay` pace them while you find out who sends them."
    }
    LimitsRefusedByUs "limits/refused-by-us" Warning {
        "Requests were kept back again and again because the limit was used up",
        why: "Without nightaudit in between, Mews would have seen these requests and refused them. To meet a 429 now and \
              then, and to heed it, is as it should be, and whether it was heeded is judged by the rules of retries. An \
              integration that runs into the limit all the time depends on something to pace it. Raised when nightaudit \
              answered 429 in Mews' place to five requests of a token or more, and to one in twenty of them.",
        advice: "Pace the requests in the integration, per access token, below the published limit."
    }
    LimitsRefusedByMews "limits/refused-by-mews" Warning {
        "Mews answered 429 again and again",
        why: "To meet a 429 now and then, and to heed it, is as it should be, and whether it was heeded is judged by the \
              rules of retries. Many of them are the first thing that reviewers see in their own logs. Raised when Mews \
              answered 429 to five requests of a token or more, and to one in twenty of them. If the token is shared \
              with others, as the demo tokens of the documentation are, it need not be this integration's doing.",
        advice: "Use a token of your own, keep below the limit, and heed `Retry-After`."
    }
    RetryIgnoredRetryAfter "retry/ignored-retry-after" Error {
        "Requests were sent before `Retry-After` had passed",
        why: "Mews says in `Retry-After` when it will listen again. Whoever asks sooner is refused again, and an \
              integration that keeps doing so may be blocked. Raised when a request with the same access token was \
              sent after a 429 had arrived and more than 250 ms before its `Retry-After` was over. The refused request \
              itself counts from the first instant, another one of the same operation from 250 ms later, and one of \
              another operation from a second later; what had come before the 429 never does, also where it left \
              after it.",
        advice: "On a 429 hold back every request of that token until `Retry-After` has passed."
    }
    RetryNoBackoff "retry/no-backoff" Warning {
        "Repeated failures were not met with longer pauses",
        why: "Where there is no `Retry-After`, Mews expects exponential back-off: each pause longer than the one \
              before. Raised when the same request failed three times or more in a row with 408, 429 or 5xx, or got \
              no answer, and the later half of the pauses was not at least a tenth longer than the first half. A row \
              goes on when the body changes a little (the same properties, half of the same ids, an interval that \
              moves with the time), and ends with a success or after 30 minutes. Pauses that follow a `Retry-After` \
              don't count, and pauses of a minute or more need grow no further.",
        advice: "Double the pause after each failure, with a little chance in it, up to a minute or so."
    }
    RetryFixedPause "retry/fixed-pause" Warning {
        "Repeated failures were met with the same pause each time",
        why: "Fixed pauses make all clients come back at the same instant, and Mews' guidelines name them as what not \
              to do. Raised when the same request failed four times or more in a row and the pauses, of less than a \
              minute, differ by less than a tenth. What a row is says `retry/no-backoff`.",
        advice: "Double the pause after each failure, with a little chance in it, up to a minute or so."
    }
    RetryHammering "retry/hammering" Error {
        "Requests went on at volume while they were refused",
        why: "An integration that keeps sending at volume after a 429 may be blocked by Mews. Raised when, within 10 \
              seconds of a 429, five or more further requests of the same access token were sent and refused, or when \
              the same request was repeated after failures five times or more with less than a second in between.",
        advice: "Stop all workers of the token at the first 429, and let one of them try again later."
    }
    ErrorsUnresolved "errors/unresolved" Error {
        "A call failed and was never made good",
        why: "The reviewers look at whether errors were resolved by later calls. A failure that stays means that data \
              at the property stays wrong, or that nobody noticed. Raised for calls that failed, but for 5xx and 408, \
              after which no call of the same operation and token succeeded that asks the same with the mistake \
              mended. It must have been sent once the failure was known. It asks the same if it has the same \
              properties and all the ids of the failed call, in one call or in several; without ids, half of the same \
              texts; and an interval that leaves nothing out. What the message of a 400 or the contract blames may \
              have changed, and with a 401 the token.",
        advice: "Mend the request and send it again."
    }
    ErrorsServer "errors/server" Error {
        "Mews failed, and the call was never made good",
        why: "A 5xx or a 408 is Mews' failure, or that of a request too heavy for it. The reviewers want to see that \
              the integration copes with it. One that was followed by the same call with success is as it should be. \
              Raised for calls that Mews answered 5xx or 408, and that no later one made good, in the sense of \
              `errors/unresolved`.",
        advice: "Send the call again after a pause, each longer than the one before; make requests that end in 408 \
                 lighter: fewer extents, shorter intervals, smaller pages."
    }
    ErrorsShare "errors/share" Error {
        "A large share of an operation's calls failed",
        why: "An integration that is refused again and again doesn't know what Mews takes, whatever succeeds in the end; \
              the failed calls count against the limit like the others. Raised for an operation of which five calls or \
              more, and a tenth of all, were answered 401, 404 or 405, or for another fault of the request (400, 413 \
              and the like); or of which half were answered 403, 408, 409 or 5xx or got no response. Likewise for all \
              operations together, where none of them has so many alone. 429s are judged by the rules of limits and \
              retries.",
        advice: "Look at the messages of the failed calls, and mend what sends them."
    }
    ErrorsNoAnswer "errors/no-answer" Warning {
        "Mews gave no answer",
        why: "Whether the call had an effect is not known. Reviewers may find it in their log with another end than \
              the integration saw. Raised for each change that Mews may have had and gave no whole response to. \
              Questions, and calls for which there was no connection, have no effect; for them it is enough that a \
              later call made them good (`errors/unresolved`).",
        advice: "Ask Mews for the state of what the call was to change before it is sent again."
    }
    ErrorsRejected "errors/rejected" Warning {
        "Requests could not be forwarded",
        why: "They are malformed, for another host, or were not sent to their end; Mews never saw them, so that nothing \
              else is raised about them. Raised for each request that nightaudit had to reject.",
        advice: "Look at the error of the exchange: it names what is wrong with the request."
    }
    ErrorsAbandoned "errors/abandoned" Note {
        "The integration left before it had the answer",
        why: "Mews goes on working on a request whose sender has left, and the answer is lost. Often a time-out in the \
              integration is too short. Raised for each aborted exchange.",
        advice: "Wait at least as long as Mews takes for its slowest answers; ask for smaller pages."
    }
    RequestContract "request/contract" Warning {
        "A request doesn't fit the documentation",
        why: "The reviewers check the accuracy of requests against the specification. A field that Mews doesn't know \
              is ignored without a word, so the integration doesn't do what it means to. Raised for each field of an \
              operation that differs from Mews' documented tables, also where Mews answered with success. The \
              documentation contradicts itself in places: a finding deserves a look and proves nothing.",
        advice: "Compare the field with the operation's page in Mews' documentation."
    }
    RequestDisputed "request/disputed" Note {
        "A request doesn't fit a place where Mews' sources contradict each other",
        why: "The tables of the documentation, its samples and Mews' OpenAPI document don't always agree, and some rules \
              depend on what a request doesn't say. Raised for each such field, so that it can be looked at; it is no \
              mistake of the integration.",
        advice: "Nothing has to be done as long as Mews answers with success."
    }
    RequestOtherApi "request/other-api" Note {
        "Another API of Mews was called",
        why: "The Booking Engine, Channel Manager and POS APIs have documentation, limits and certifications of their own. \
              Their requests are recorded, and held against nothing. Raised for each of these APIs.",
        advice: "Nothing has to be done here; ask Mews what the other API asks for."
    }
    RequestUnknownOperation "request/unknown-operation" Error {
        "An address was called that Mews doesn't have",
        why: "Mews matches addresses exactly: case counts, and a trailing slash is a 404. Raised for each address \
              that is no operation of the Connector API.",
        advice: "Call the documented address."
    }
    RequestMethod "request/method" Warning {
        "An operation was called with another method than POST",
        why: "Every operation of the Connector API is a POST with a JSON body. Raised for each other method.",
        advice: "Send the request as a POST."
    }
    RequestDeprecated "request/deprecated" Warning {
        "Something deprecated is used",
        why: "New integrations are not certified on operations, fields and values that Mews means to take away. \
              Raised for each deprecated operation, and for each deprecated field or value of a request.",
        advice: "Move to what replaces it."
    }
    RequestDiscontinued "request/discontinued" Error {
        "Something discontinued is used",
        why: "It no longer works, or no longer will by the time of the run. Raised for each operation that was \
              discontinued before the day of the request.",
        advice: "Move to what replaces it."
    }
    RequestRestricted "request/restricted" Warning {
        "A restricted operation is used",
        why: "Operations in restricted beta are open to chosen partners only, and may change. Raised for each such \
              operation that was called.",
        advice: "Ask Mews for access before the certification, or do without."
    }
    ClientMissing "identity/client-missing" Error {
        "Requests don't say which integration they come from",
        why: "The reviewers find an integration's activity by its `Client`. What has none can't be reviewed at all. \
              Raised for each request without a `Client`.",
        advice: "Send `Client` with the integration's name and version in every request: \"Acme Kiosk 2.1.0\"."
    }
    ClientVersion "identity/client-version" Warning {
        "`Client` has no version",
        why: "`Client` is to name the integration and its version, so that reviewers and Mews' support know which one \
              they look at. Raised for requests whose `Client` has neither a word that begins with a digit (a `v` before \
              it left aside) nor digits with a dot between them.",
        advice: "Send the version behind the name: \"Acme Kiosk 2.1.0\"."
    }
    ClientTool "identity/client-tool" Error {
        "`Client` names a tool, not the integration",
        why: "What was sent by hand, or by a library under its own name, can't be told from anybody else's and shows \
              nothing of the integration. Raised for requests whose `Client` begins with the name of a tool: Postman, \
              Insomnia, curl, HTTPie, Bruno, Swagger, SoapUI, Thunder Client, Paw, wget, or the name of a library for \
              HTTP.",
        advice: "Send the integration's own name and version in every request, and record the run without requests by \
                 hand; single ones can be left out in the declaration (`leave_out`)."
    }
    ClientChanges "identity/client-changes" Warning {
        "The name of the integration changes",
        why: "The reviewers search for one name. Activity under another is not counted, and a version that changes in \
              the middle of the run asks which one is to be certified. Raised when a session has more than one \
              `Client`.",
        advice: "Send one name from one place in the code, and run the version that is to be certified."
    }
    ClientSample "identity/client-sample" Error {
        "The integration calls itself as the documentation's example does",
        why: "Many who copy the documentation send `Sample Client 1.0.0`, so that nobody can tell whose activity it \
              is. Raised for each request with that name.",
        advice: "Send a name of your own that no other integration has."
    }
    ClientDiffers "identity/client-differs" Warning {
        "The integration calls itself otherwise than declared",
        why: "The reviewers search for the name that the application gives. Raised when requests have a `Client` that \
              doesn't begin with the declaration's `client`.",
        advice: "Make the declaration and the integration say the same."
    }
    SeveralClientTokens "identity/several-client-tokens" Warning {
        "More than one client token is used",
        why: "A client token stands for one integration. Two in one session mean that two integrations are mixed, or \
              that a token was changed on the way. Raised when a session has more than one.",
        advice: "Record one integration per session: `serve --session`, or the header `X-Nightaudit-Session`."
    }
    SharedDemoToken "identity/shared-demo-token" Error {
        "A token of the documentation's examples is used",
        why: "Everybody uses these tokens. Their activity can't be told apart, and their limits are used up by \
              others. For the certification Mews gives every integration an access token of its own. Raised for each \
              request with an access token that the documentation prints.",
        advice: "Ask Mews for an access token of your own in the demo environment."
    }
    Unpaged "habits/unpaged" Warning {
        "A list is fetched without pages",
        why: "Mews asks to page wherever an operation allows it: lists that are short in the demo environment are not \
              at a property. Raised for each operation with pagination that was called without a `Limitation`.",
        advice: "Send `Limitation` with a `Count` of up to 1000, and follow `Cursor` until a page has fewer items than that."
    }
    UnfinishedPages "habits/unfinished-pages" Warning {
        "Pages were left unread",
        why: "Where a list's next pages are not fetched the integration works with a part of it, and where it begins \
              again with the first page it does the work twice. Mews gives a `Cursor` with every page that isn't empty, \
              so what tells the last page is that it has fewer items than `Count`. Raised when a page was full and no \
              request of the same operation and token went on with its `Cursor` within 10 minutes. A page that has all \
              the ids that were asked for is complete, and so is what was asked in the session's last minute.",
        advice: "Send the `Cursor` of each response in the next request's `Limitation` until a page has fewer items than \
                 `Count`."
    }
    RepeatedQuestion "habits/repeated-question" Warning {
        "The same question was asked again within a minute",
        why: "The answer was just given. It costs Mews and counts against the limit. Raised when a request that asks \
              the same as one that was answered was sent within 60 seconds of it, and nothing of its kind, and none of its \
              ids, was changed in between, three times or more within an hour for one operation, and with one in twenty \
              of its calls.",
        advice: "Keep the answer for as long as it is good, and share it between the integration's parts."
    }
    Polling "habits/polling" Warning {
        "An operation is polled where there are events",
        why: "Mews sends webhooks and WebSocket events for these, and asks to use them rather than to poll. Raised \
              when an operation whose changes Mews announces was called without ids and with the same properties at \
              intervals of at most 15 minutes: ten times in a row at the same interval, or 17 times in a row at \
              intervals none of which is shorter than half of their median or longer than 1.8 of it, which is what is \
              left of an interval with a chance of 40 % in it. Calls within 2 seconds count as one.",
        advice: "Subscribe to the event, and fetch what it names."
    }
    PastInterval "habits/past-interval" Warning {
        "An interval that is over is asked for again and again",
        why: "What was created or changed in an interval that is over is known from the first answer. Raised when the \
              same question, with an interval that had ended before it was asked, was answered and asked again between \
              a minute and 12 hours later, three times or more for one operation.",
        advice: "Ask from the end of the last interval on, and keep what was answered."
    }
    OneByOne "habits/one-by-one" Warning {
        "Ids are asked for one by one",
        why: "Lists take up to 1,000 ids at once; a call for each of them uses the limit up and is slow. Raised when, \
              within 30 seconds, 20 questions or more of one operation and token had exactly one id each, all of them \
              different ones.",
        advice: "Gather the ids, and ask for all of them in one call."
    }
    SameChange "habits/same-change" Warning {
        "The same change was sent twice within seconds",
        why: "A change that is sent twice is made twice: two orders, two payments. A button that was pressed twice, or \
              two workers with the same task, do it. Raised when a change that succeeded was sent again, with the same \
              body but for the envelope, within 10 seconds and succeeded too. Commands for devices, which may be meant \
              twice, are left out, and so are retries of calls that failed.",
        advice: "Send each change once: disable the button, or keep a key for each change that was sent."
    }
    StaticData "habits/static-data" Warning {
        "Data that seldom changes is fetched again and again",
        why: "Configuration, services, products, categories, taxes, languages, currencies and countries change seldom. \
              Mews asks to keep them. Raised when the same question for such data was asked again within an hour, five \
              times or more in 24 hours.",
        advice: "Keep the answer for a day, or until a webhook says otherwise."
    }
    Unfiltered "habits/unfiltered" Warning {
        "A list that grows is fetched without a filter",
        why: "The list grows for as long as the property lives. Without ids or an interval each call fetches all of \
              it. Raised for each operation over such a list that was called with nothing to narrow it.",
        advice: "Filter by ids, or by an interval of `UpdatedUtc` or the like of at most three months."
    }
    Extents "habits/extents" Note {
        "Many extents are fetched at once",
        why: "Each extent makes the answer larger and slower, and most integrations use few of them. Raised when a \
              request asked for more than four.",
        advice: "Ask only for the extents that are used."
    }
    CardNumber "data/card-number" Error {
        "What looks like a real card number was sent",
        why: "No real guest's data may be sent to the demo environment, and a card number must not pass in the clear \
              anywhere. Raised for numbers of a card brand's form and length with a right check digit that are none of \
              the known test cards. They are never shown whole.",
        advice: "Use test cards. If the number is real, treat it as leaked: it is in this log and at Mews."
    }
    Personal "data/personal" Warning {
        "What looks like real people's data was sent",
        why: "No real guest's data may be sent to the demo environment. Raised for mail addresses outside of the \
              domains that are kept for examples (example.com, .test and the like) and of the declaration's own \
              `domains`; telephone numbers of 9 to 15 digits that are not in a range kept for fiction and have no five \
              digits in a row that are equal or count up or down; numbers of passports and the like, of 6 to 15 letters \
              and digits, likewise; bank accounts (IBAN) with their country's length and a right checksum, but for the \
              known examples; a first and a last name, neither of them a placeholder, together with a date of birth \
              other than 1 January and 31 December, or with one of the others, in one object without an address at \
              example.com. Mail addresses are shown with their first letters only, all else is not shown at all.",
        advice: "Use addresses at example.com and telephone numbers kept for fiction (+1 202 555 01xx), or name your own \
                 domains in the declaration."
    }
    RecordOrigin "record/origin" Warning {
        "Who answered is not proven",
        why: "Evidence is about Mews. Each exchange names the host that it was sent to, and the authorities that vouch for \
              the host's certificate. Raised for responses of which that was not recorded, as earlier versions did not, \
              and for those of Mews' names whose certificate no public authority vouches for (`upstream_ca`, or an \
              authority of the machine's own).",
        advice: "Record the run again without `upstream_ca`, where no proxy inspects TLS."
    }
    RecordAltered "record/altered" Error {
        "Exchanges are not as they were recorded",
        why: "Each exchange's hash covers what was recorded and the exchange before. Raised when the session was \
              imported and exchanges did not fit their hashes, had none, or had values masked on the way out. Exporting \
              and importing it again changes nothing about it.",
        advice: "Export the evidence where the session was recorded."
    }
    RecordImported "record/imported" Note {
        "The session was recorded elsewhere",
        why: "Hashes that fit show that nothing was changed by accident. Whoever can edit an export can compute them anew, \
              so an imported session proves nothing by itself. Raised for every imported session.",
        advice: "Export the evidence where the session was recorded; there it is signed."
    }
    RecordDates "record/dates" Error {
        "The recorded times disagree with those of Mews",
        why: "Mews' responses have the time in `Date`. A record whose own times are others was made by a clock that was \
              wrong, or was edited. Raised when a response's `Date` is more than 2 minutes away from the time that was \
              recorded.",
        advice: "Let the machine's clock be kept by NTP, and record the run again."
    }
    RecordInterrupted "record/interrupted" Note {
        "nightaudit was killed while requests were under way",
        why: "They may have reached Mews, so that the reviewers see calls that the record can't show the end of. \
              Raised for each interrupted exchange.",
        advice: "Stop `serve` with Ctrl-C or SIGTERM, which waits for what is under way."
    }
    RecordIncomplete "record/incomplete" Warning {
        "Exchanges are missing from the record",
        why: "Evidence with holes proves less: what is missing can't be reviewed. Raised when exchanges passed \
              unrecorded, or the sequence of the session has gaps.",
        advice: "Record the run again; `nightaudit log check` tells whether the log is damaged."
    }
    RecordTruncated "record/truncated" Note {
        "Request bodies were not kept whole",
        why: "Of a long body the log keeps the beginning (`body.keep`), so these requests could not be checked \
              against the documentation. Raised for each JSON request body that was cut.",
        advice: "Raise `body.keep` for the run if these requests matter."
    }
    RecordBounds "record/bounds" Note {
        "The session has more of something than the review keeps",
        why: "The review takes bounded memory, whatever a session holds. Where a bound was met it says so here rather \
              than keep silent about what it dropped. The figures that are given are right for what they cover.",
        advice: "Review a part of the run as a session of its own if the rest matters."
    }
}

impl Rule {
    /// Whether a declaration may silence it, or give it another severity. What the evidence stands on can only be
    /// explained.
    #[must_use]
    pub fn can_be_changed(self) -> bool {
        !matches!(self, Self::RunShort | Self::RunEnvironment | Self::SharedDemoToken)
            && !self.id().starts_with("record/")
    }
}
