//! What was declared, and what was called.

use crate::rule::text::Text;

pub(crate) const NOT_CALLED: Text = Text {
    title: "A declared operation was never called",
    why: "The reviewers compare the operations in the application with the ones they see. An operation that was \
          asked for and never called is either not needed or not tested; access to it is not granted in either \
          case. Raised for each declared operation without a request.",
    advice: "Exercise the operation in the run, or remove it from the declaration.",
};

pub(crate) const ONLY_FAILED: Text = Text {
    title: "A declared operation never succeeded",
    why: "An operation that was called but never succeeded has not been shown to work. Raised for each declared \
          operation that has requests but not a single 2xx response.",
    advice: "Look at its errors below, fix them, and let it succeed at least once.",
};

pub(crate) const UNDECLARED: Text = Text {
    title: "An operation was called that is not declared",
    why: "The reviewers ask what every operation is for. One that isn't in the application has no stated \
          purpose, and a production token may not be allowed to call it. Raised for each operation that was \
          called and is not in the declaration, if the declaration lists any.",
    advice: "Add the operation to the declaration with its purpose, or stop calling it.",
};

pub(crate) const USE_CASE_MISSING: Text = Text {
    title: "A step of the use case was not seen",
    why: "Mews documents the expected steps for each kind of integration, and the reviewers compare the flow \
          with them. Raised for each section of the declared use case in which no documented operation was \
          called successfully, if more than half of the sections are missing; otherwise they are listed by \
          `usecase/partly`.",
    advice: "Include the step in the run, or be ready to explain why this integration doesn't need it.",
};

pub(crate) const USE_CASE_PARTLY: Text = Text {
    title: "Some steps of the use case were not seen",
    why: "Not every integration of a kind takes all of the documented steps, but the reviewers may ask why one \
          is left out. Raised once, with the sections in which no documented operation was called successfully, \
          if at least half of the sections were seen.",
    advice: "Include these steps in the run too, or be ready to explain why this integration doesn't need them.",
};
