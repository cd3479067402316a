//! A request as code that sends it again.

mod csharp;
mod fetch;
mod httpie;
mod literal;
mod parts;
mod python;

use std::{fmt, str::FromStr};

use nightaudit_exchange::Exchange;

use self::parts::Parts;
use crate::curl;

/// A program or language that sends a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Language {
    /// A `curl` command, as in the format `curl`.
    Curl,
    /// An HTTPie command.
    Httpie,
    /// JavaScript with `fetch`, for Node.
    Fetch,
    /// C# with `HttpClient`.
    CSharp,
    /// Python with `requests`.
    Python,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Curl, Self::Httpie, Self::Fetch, Self::CSharp, Self::Python];

    /// The name, as in `show --as`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Curl => "curl",
            Self::Httpie => "httpie",
            Self::Fetch => "fetch",
            Self::CSharp => "csharp",
            Self::Python => "python",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Language {
    type Err = UnknownLanguage;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|known| known.name() == text).ok_or_else(|| UnknownLanguage(text.to_owned()))
    }
}

/// Not the name of a [`Language`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not one of curl, httpie, fetch, csharp and python")]
pub struct UnknownLanguage(String);

/// Code that sends an exchange's request again, with its tokens taken from the environment; `None` for messages of a
/// WebSocket, which are no request.
///
/// Whatever the request contains is data in that code: it can't end a string, start a command or open a file.
///
/// ```
/// use nightaudit_export::{Language, code};
/// # let json = r#"{"id":"01KAS00000000000000000000A","session":"01KAS000000000000000000000","sessionName":"a","sequence":1,
/// # "environment":"demo","operation":"configuration/get","startedAt":"2026-11-23T12:00:00Z","timesUs":{"forwarded":null,
/// # "responseHead":null,"responseEnd":null},"peer":null,"envelope":{"client":null,"clientToken":null,"accessToken":null,
/// # "paginated":false},"request":{"method":"POST","url":"http://127.0.0.1/","httpVersion":"HTTP/1.1","headers":[],"body":"{}",
/// # "bodyEncoding":"utf-8","bodyLength":2,"bodySha256":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
/// # "truncated":false},"response":null,"limit":null,"outcome":"answered","error":null}"#;
/// # let exchange: nightaudit_exchange::Exchange = serde_json::from_str(json)?;
/// let python = code(&exchange, Language::Python).expect("it is a request");
/// assert!(python.contains("requests.request(\n    \"POST\",\n    \"http://127.0.0.1/\","));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn code(exchange: &Exchange, language: Language) -> Option<String> {
    if exchange.web_socket.is_some() {
        return None;
    }
    Some(match language {
        Language::Curl => curl::script(exchange),
        Language::Httpie => httpie::code(&Parts::of(exchange)),
        Language::Fetch => fetch::code(&Parts::of(exchange)),
        Language::CSharp => csharp::code(&Parts::of(exchange)),
        Language::Python => python::code(&Parts::of(exchange)),
    })
}
