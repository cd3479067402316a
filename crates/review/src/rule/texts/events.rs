//! Webhooks and WebSocket events. Where a figure is from Mews, its page of "API Events" is named.

use crate::rule::text::Text;

pub(crate) const LATE: Text = Text {
    title: "Webhooks were answered too late",
    why: "Mews waits 5 seconds for the response to a webhook. A later one counts as none: the message comes again \
          minutes later, and after several attempts it is discarded (Webhooks FAQ). Raised for each webhook whose \
          response began more than 5 seconds after the webhook had arrived, and for each whose sender disconnected \
          before there was a response.",
    advice: "Queue the message and respond at once; fetch and process afterwards.",
};

pub(crate) const FAILED: Text = Text {
    title: "Webhooks were not accepted",
    why: "A webhook is accepted by a 2xx, and handed on by a 307 or 308. After anything else Mews sends it again, and \
          discards it after several attempts: the integration never learns of the change (Webhooks FAQ). Raised for \
          each message that got another status, or no response, and was not accepted later in the session either. \
          An error is fine if the message was accepted when it came again.",
    advice: "Respond with 2xx once the message is stored, also to events that the integration doesn't need; keep the \
             endpoint reachable.",
};

pub(crate) const TWICE: Text = Text {
    title: "The same event was handled more than once",
    why: "Mews sends a message again if its response was late, and a new guest comes as two events with one id. \
          Handling each costs requests, and may book or notify twice; Mews asks to process each entity once (General \
          Webhooks). Raised when, within 10 minutes of an event, its entity was fetched by a call that was then \
          repeated: within a minute, or because the accepted message came again; three times or more in a session. A \
          different message about the entity, or a change to it, makes another call right.",
    advice: "Remember the ids of recent messages, and fetch each entity once per message.",
};

pub(crate) const NOT_FETCHED: Text = Text {
    title: "Webhooks were followed by no call",
    why: "A webhook names an entity and says nothing else of it; what has changed must be fetched (General Webhooks). \
          Events without any call were not handled, or the subscription isn't needed. Raised for a type of event if, \
          for at least one event in twenty, no call read that kind of entity, or named its id, within an hour of an \
          accepted webhook; for an integration declared to run on a schedule (`every_hours`), within that time and a \
          tenth. Events within 10 minutes of the integration's own change to that kind of entity, those of the \
          session's last hour, and those before a restart of nightaudit are not judged; nor is any if exchanges are \
          missing, or if the session has no calls.",
    advice: "Fetch the entities that a message names, with one call for all of them; ask Mews to unsubscribe the \
             integration from events that it doesn't need.",
};

pub(crate) const SOCKET_NOT_FETCHED: Text = Text {
    title: "WebSocket events were followed by no call",
    why: "A WebSocket event has the state of its entity, and for some integrations that is enough; for the rest the \
          entity must be fetched (WebSockets). The reviewers see no other trace of an event than the calls after it. \
          Raised as `events/not-fetched`, for events that came over a WebSocket.",
    advice: "Fetch what the event names, unless its state is all that the integration needs.",
};

pub(crate) const SOCKET_GAP: Text = Text {
    title: "The WebSocket was closed for a while",
    why: "Mews keeps no events for later: what happens while the WebSocket is closed is never announced (WebSockets). \
          Raised for each time that the integration's last WebSocket with an access token had ended and none was \
          open for more than a minute, while the session went on. Times at which nightaudit was stopped don't count; \
          nor do sessions that another tool recorded, or with exchanges missing, or of an integration declared to run \
          on a schedule (`every_hours`).",
    advice: "Reconnect as soon as the connection ends, with growing pauses between failed attempts of up to a minute.",
};

pub(crate) const SOCKET_NO_CATCH_UP: Text = Text {
    title: "Nothing was fetched after a reconnect",
    why: "What happened while the WebSocket was closed has to be fetched: pending commands, and reservations by \
          `UpdatedUtc` (Mews' use cases for devices and revenue management). Raised for each WebSocket that was \
          opened after an earlier one with the same token had ended, if no commands, reservations, resources or \
          rates were read within 10 minutes. Reconnects in the session's last 10 minutes are not judged; nor is any \
          if exchanges are missing.",
    advice: "After each reconnect, fetch what has changed since the connection ended.",
};
