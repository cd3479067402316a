//! Who sent the requests.

use crate::rule::text::Text;

pub(crate) const CLIENT_MISSING: Text = Text {
    title: "Requests don't identify the integration",
    why: "The reviewers find an integration's activity by its `Client`. Requests without it can't be reviewed at \
          all. Raised for each request without a `Client`.",
    advice: "Send `Client` with the integration's name and version in every request: \"Acme Kiosk 2.1.0\".",
};

pub(crate) const CLIENT_VERSION: Text = Text {
    title: "`Client` has no version",
    why: "`Client` should name the integration and its version, so that reviewers and Mews' support know which \
          one they are looking at. Raised for requests whose `Client` has neither a word that begins with a \
          digit (ignoring a leading `v`) nor digits with a dot between them.",
    advice: "Append the version to the name: \"Acme Kiosk 2.1.0\".",
};

pub(crate) const CLIENT_TOOL: Text = Text {
    title: "`Client` names a tool, not the integration",
    why: "Requests sent by hand, or by a library under its own name, can't be attributed to the integration and \
          show nothing of it. Raised for requests whose `Client` begins with the name of a tool: Postman, \
          Insomnia, curl, HTTPie, Bruno, Swagger, SoapUI, Thunder Client, Paw, wget, or the name of an HTTP \
          library.",
    advice: "Send the integration's own name and version in every request, and record the run without manual \
             requests; single ones can be left out in the declaration (`leave_out`).",
};

pub(crate) const CLIENT_CHANGES: Text = Text {
    title: "The name of the integration changes",
    why: "The reviewers search for one name. Activity under another is not counted, and a version that changes \
          in the middle of the run raises the question which one is to be certified. Raised when a session has \
          more than one `Client`.",
    advice: "Set the name in one place in the code, and run the version that is to be certified.",
};

pub(crate) const CLIENT_SAMPLE: Text = Text {
    title: "The integration uses the name of the documentation's example",
    why: "Many who copy the documentation send `Sample Client 1.0.0`, so the activity can't be attributed to \
          anyone. Raised for each request with that name.",
    advice: "Send a name of your own that no other integration uses.",
};

pub(crate) const CLIENT_DIFFERS: Text = Text {
    title: "The integration's name is not the declared one",
    why: "The reviewers search for the name that the application gives. Raised when requests have a `Client` \
          that doesn't begin with the declaration's `client`.",
    advice: "Use the same name in the declaration and in the integration.",
};

pub(crate) const SEVERAL_CLIENT_TOKENS: Text = Text {
    title: "More than one client token is used",
    why: "A client token identifies one integration. Two in one session mean that two integrations are mixed, or \
          that the token was changed during the run. Raised when a session has more than one.",
    advice: "Record one integration per session: `serve --session`, or the header `X-Nightaudit-Session`.",
};

pub(crate) const SHARED_DEMO_TOKEN: Text = Text {
    title: "A token from the documentation's examples is used",
    why: "Everybody uses these tokens. Their activity can't be told apart, and others use up their limits. For \
          the certification Mews gives every integration an access token of its own. Raised for each request \
          with an access token that is printed in the documentation.",
    advice: "Ask Mews for an access token of your own in the demo environment.",
};
