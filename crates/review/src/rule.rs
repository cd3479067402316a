//! The rules: what the review looks for, how severe it is, why reviewers care, and what to do about it.

mod id;
mod severity;
mod text;
mod texts;

pub use id::UnknownRule;
pub use severity::Severity;
use text::Text;
use texts::{coverage, data, errors, events, habits, identity, limits, record, requests, run};

macro_rules! rules {
    ($($name:ident $id:literal $severity:ident $group:ident::$text:ident)*) => {
        /// A check of the review. The meaning of an id never changes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Rule {
            $(#[doc = concat!("`", $id, "`")] $name,)*
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

            const fn text(self) -> &'static Text {
                match self { $(Self::$name => &$group::$text),* }
            }
        }
    };
}

rules! {
    RunShort "run/short" Error run::SHORT
    RunGap "run/gap" Warning run::GAP
    RunScheduled "run/scheduled" Note run::SCHEDULED
    RunClock "run/clock" Note run::CLOCK
    RunEnvironment "run/environment" Warning run::ENVIRONMENT
    CoverageNotCalled "coverage/not-called" Error coverage::NOT_CALLED
    CoverageOnlyFailed "coverage/only-failed" Error coverage::ONLY_FAILED
    CoverageUndeclared "coverage/undeclared" Warning coverage::UNDECLARED
    UseCaseMissing "usecase/missing" Warning coverage::USE_CASE_MISSING
    UseCasePartly "usecase/partly" Note coverage::USE_CASE_PARTLY
    LimitsOver "limits/over" Error limits::OVER
    LimitsRefusedByUs "limits/refused-by-us" Warning limits::REFUSED_BY_US
    LimitsRefusedByMews "limits/refused-by-mews" Warning limits::REFUSED_BY_MEWS
    RetryIgnoredRetryAfter "retry/ignored-retry-after" Error limits::RETRY_IGNORED_RETRY_AFTER
    RetryNoBackoff "retry/no-backoff" Warning limits::RETRY_NO_BACKOFF
    RetryFixedPause "retry/fixed-pause" Warning limits::RETRY_FIXED_PAUSE
    RetryHammering "retry/hammering" Error limits::RETRY_HAMMERING
    ErrorsUnresolved "errors/unresolved" Error errors::UNRESOLVED
    ErrorsServer "errors/server" Error errors::SERVER
    ErrorsShare "errors/share" Error errors::SHARE
    ErrorsNoAnswer "errors/no-answer" Warning errors::NO_ANSWER
    ErrorsRejected "errors/rejected" Warning errors::REJECTED
    ErrorsAbandoned "errors/abandoned" Note errors::ABANDONED
    RequestContract "request/contract" Warning requests::CONTRACT
    RequestDisputed "request/disputed" Note requests::DISPUTED
    RequestOtherApi "request/other-api" Note requests::OTHER_API
    RequestUnknownOperation "request/unknown-operation" Error requests::UNKNOWN_OPERATION
    RequestMethod "request/method" Warning requests::METHOD
    RequestDeprecated "request/deprecated" Warning requests::DEPRECATED
    RequestDiscontinued "request/discontinued" Error requests::DISCONTINUED
    RequestRestricted "request/restricted" Warning requests::RESTRICTED
    ClientMissing "identity/client-missing" Error identity::CLIENT_MISSING
    ClientVersion "identity/client-version" Warning identity::CLIENT_VERSION
    ClientTool "identity/client-tool" Error identity::CLIENT_TOOL
    ClientChanges "identity/client-changes" Warning identity::CLIENT_CHANGES
    ClientSample "identity/client-sample" Error identity::CLIENT_SAMPLE
    ClientDiffers "identity/client-differs" Warning identity::CLIENT_DIFFERS
    SeveralClientTokens "identity/several-client-tokens" Warning identity::SEVERAL_CLIENT_TOKENS
    SharedDemoToken "identity/shared-demo-token" Error identity::SHARED_DEMO_TOKEN
    Unpaged "habits/unpaged" Warning habits::UNPAGED
    UnfinishedPages "habits/unfinished-pages" Warning habits::UNFINISHED_PAGES
    RepeatedQuestion "habits/repeated-question" Warning habits::REPEATED_QUESTION
    Polling "habits/polling" Warning habits::POLLING
    PastInterval "habits/past-interval" Warning habits::PAST_INTERVAL
    OneByOne "habits/one-by-one" Warning habits::ONE_BY_ONE
    SameChange "habits/same-change" Warning habits::SAME_CHANGE
    StaticData "habits/static-data" Warning habits::STATIC_DATA
    Unfiltered "habits/unfiltered" Warning habits::UNFILTERED
    Extents "habits/extents" Note habits::EXTENTS
    EventsLate "events/late" Warning events::LATE
    EventsFailed "events/failed" Warning events::FAILED
    EventsTwice "events/twice" Warning events::TWICE
    EventsNotFetched "events/not-fetched" Warning events::NOT_FETCHED
    EventsSocketNotFetched "events/socket-not-fetched" Note events::SOCKET_NOT_FETCHED
    EventsSocketGap "events/socket-gap" Warning events::SOCKET_GAP
    EventsSocketNoCatchUp "events/socket-no-catch-up" Warning events::SOCKET_NO_CATCH_UP
    CardNumber "data/card-number" Error data::CARD_NUMBER
    Personal "data/personal" Warning data::PERSONAL
    RecordOrigin "record/origin" Warning record::ORIGIN
    RecordAltered "record/altered" Error record::ALTERED
    RecordImported "record/imported" Note record::IMPORTED
    RecordFaults "record/faults" Warning record::FAULTS
    RecordDates "record/dates" Error record::DATES
    RecordInterrupted "record/interrupted" Note record::INTERRUPTED
    RecordIncomplete "record/incomplete" Warning record::INCOMPLETE
    RecordTruncated "record/truncated" Note record::TRUNCATED
    RecordBounds "record/bounds" Note record::BOUNDS
}

impl Rule {
    /// What was found, in one line.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.text().title
    }

    /// Why reviewers care, and exactly what raises it.
    #[must_use]
    pub const fn why(self) -> &'static str {
        self.text().why
    }

    /// What to do about it.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        self.text().advice
    }

    /// Whether the rule is about what isn't there, about shares, or about what came in between: a part of a session, as a
    /// filter leaves it, may raise it where the whole doesn't.
    #[must_use]
    pub const fn needs_whole_session(self) -> bool {
        matches!(
            self,
            Self::RunShort
                | Self::RunGap
                | Self::RunScheduled
                | Self::CoverageNotCalled
                | Self::CoverageOnlyFailed
                | Self::UseCaseMissing
                | Self::UseCasePartly
                | Self::LimitsRefusedByUs
                | Self::LimitsRefusedByMews
                | Self::RetryNoBackoff
                | Self::RetryFixedPause
                | Self::RetryHammering
                | Self::ErrorsUnresolved
                | Self::ErrorsServer
                | Self::ErrorsShare
                | Self::UnfinishedPages
                | Self::RepeatedQuestion
                | Self::EventsFailed
                | Self::EventsTwice
                | Self::EventsNotFetched
                | Self::EventsSocketNotFetched
                | Self::EventsSocketGap
                | Self::EventsSocketNoCatchUp
        )
    }

    /// Whether a declaration may silence this rule or change its severity. Rules that the evidence depends on can only
    /// be explained.
    #[must_use]
    pub fn can_be_changed(self) -> bool {
        !matches!(self, Self::RunShort | Self::RunEnvironment | Self::SharedDemoToken)
            && !self.id().starts_with("record/")
    }
}
