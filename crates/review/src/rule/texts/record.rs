//! Whether the record can be trusted.

use crate::rule::text::Text;

pub(crate) const ORIGIN: Text = Text {
    title: "The origin of responses is not proven",
    why: "The evidence must show that Mews sent the responses. Each exchange names the host that it was sent to, \
          and the authority that issued the host's certificate. Raised for responses for which that was not \
          recorded, as in earlier versions, and for those from Mews' names whose certificate was not issued by a \
          public authority (`upstream_ca`, or a local authority of the machine).",
    advice: "Record the run again without `upstream_ca`, on a network where no proxy inspects TLS.",
};

pub(crate) const ALTERED: Text = Text {
    title: "Exchanges are not as they were recorded",
    why: "Each exchange's hash covers its recorded data and the exchange before it. Raised when the session was \
          imported and exchanges did not match their hashes, had none, or had values masked on export. Exporting \
          and importing it again doesn't change that.",
    advice: "Export the evidence where the session was recorded.",
};

pub(crate) const IMPORTED: Text = Text {
    title: "The session was recorded elsewhere",
    why: "Matching hashes show that nothing was changed by accident. Anyone who can edit an export can also \
          recompute them, so an imported session proves nothing on its own. What another tool recorded has no \
          hashes: its times and bytes are as that tool's file has them. Raised for every imported session.",
    advice: "Export the evidence where the session was recorded; there it is signed.",
};

pub(crate) const FAULTS: Text = Text {
    title: "Faults were injected on purpose",
    why: "A made-up error shows how the integration bears trouble, and nothing about Mews: the reviewers never saw \
          those requests, or saw other responses than the integration. Retries after injected faults are judged \
          like any others; they count as no errors of Mews. Raised when fault rules (`serve --fault`) made up, \
          delayed or altered responses of the session.",
    advice: "Record the run for the certification in a session without faults.",
};

pub(crate) const DATES: Text = Text {
    title: "Recorded times disagree with Mews' clock",
    why: "Mews' responses carry the time in `Date`. If the recorded times differ from it, the machine's clock \
          was wrong or the record was edited. Raised when a response's `Date` is more than 2 minutes away from \
          the recorded time.",
    advice: "Let NTP keep the machine's clock, and record the run again.",
};

pub(crate) const INTERRUPTED: Text = Text {
    title: "nightaudit was killed while requests were in flight",
    why: "They may have reached Mews, so the reviewers may see calls whose end is not in the record. Raised for \
          each interrupted exchange.",
    advice: "Stop `serve` with Ctrl-C or SIGTERM, which waits for requests in flight.",
};

pub(crate) const INCOMPLETE: Text = Text {
    title: "Exchanges are missing from the record",
    why: "Evidence with gaps proves less: missing exchanges can't be reviewed. Raised when exchanges passed \
          unrecorded, or the sequence of the session has gaps.",
    advice: "Record the run again; `nightaudit log check` shows whether the log is damaged.",
};

pub(crate) const TRUNCATED: Text = Text {
    title: "Request bodies are not whole in the record",
    why: "The log keeps only the start of a long body (`body.keep`), and if the integration disconnects while it \
          is sending, only the start arrives. These requests could not be checked against the documentation. \
          Raised for each request body that is truncated, incomplete or can't be decoded.",
    advice: "Raise `body.keep` for the run if these requests matter.",
};

pub(crate) const BOUNDS: Text = Text {
    title: "The session exceeds a limit of the review",
    why: "The review uses bounded memory, whatever the size of a session. Where it reached a bound, this finding \
          says what was left out. The figures are correct for what they cover.",
    advice: "Review part of the run as a session of its own if the rest matters.",
};
