//! How long the run was, and where it went.

use crate::rule::text::Text;

pub(crate) const SHORT: Text = Text {
    title: "The run is shorter than 48 hours",
    why: "Mews asks for at least 48 hours of activity in the demo environment, from initial set-up to day-to-day \
          work, as at a real property. A shorter run shows too little of how an integration behaves: no night, \
          no second day, no refresh of what it caches. Raised when less than 48 hours lie between the first \
          request and the end of the last. What Mews sends by itself, in webhooks and over WebSockets, and \
          exchanges that the declaration leaves out show no activity.",
    advice: "Keep the integration running in the same session; `serve --session NAME` continues it after a \
             restart.",
};

pub(crate) const GAP: Text = Text {
    title: "Nothing was sent for hours",
    why: "The 48 hours should look like work at a property. A run that was active only at its start and its end \
          doesn't count as 48 hours. Raised for each pause of more than 8 hours, which is what a quiet night \
          takes; for an integration declared to run on a schedule (`every_hours`), for each pause of more than 8 \
          hours that also exceeds its schedule by more than a tenth.",
    advice: "Keep the integration running the whole time, with guests arriving and leaving as at a property. If \
             it runs on a schedule, declare it with `every_hours`.",
};

pub(crate) const SCHEDULED: Text = Text {
    title: "The integration runs on a schedule",
    why: "An integration that runs every night pauses for a long time in between, and those pauses are not gaps. \
          The declaration states the schedule (`every_hours`), so the reviewers can see it. Raised when a pause \
          of more than 8 hours exceeds the declared schedule by a tenth at most.",
    advice: "No action needed.",
};

pub(crate) const CLOCK: Text = Text {
    title: "The clock of the recording machine was set back",
    why: "Recorded times then run backwards. Durations and windows are computed on a corrected, monotonic clock, \
          so this causes no other findings; how long the adjustment took is unknown, and a minute is assumed. \
          Raised when exchanges end more than 2 seconds before ones that were recorded earlier.",
    advice: "Let NTP keep the machine's clock; it slews the clock instead of setting it.",
};

pub(crate) const ENVIRONMENT: Text = Text {
    title: "Not everything was sent to the demo environment",
    why: "The certification looks at activity in Mews' demo environment. Reviewers can't see requests that went \
          to a simulator, and requests to production concern real guests. Raised for each request that was sent \
          to a host other than Mews Demo over TLS, whatever the environment is called.",
    advice: "Record the run for the certification with `serve --environment demo`, without `--upstream`.",
};
