//! The console of a running `serve`, asked.

use std::{net::SocketAddr, rc::Rc, time::Duration};

use anyhow::{Context as _, bail};
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{Response, body::Incoming};
use hyper_util::rt::TokioIo;
use nightaudit_console::Token;
use serde::de::DeserializeOwned;
use tokio::{net::TcpStream, runtime::Runtime};
use tokio_util::sync::CancellationToken;

/// No line of the console is longer: an exchange with both bodies at their bound, coded and decoded.
const MAX_LINE: usize = 512 << 20;

/// How long a console may keep a command waiting: one that is there and says nothing must not hang it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// From the connection being asked for to the head of the response.
    pub head: Duration,
    /// Between two pieces of the response. What searches a large log for little says nothing for long.
    pub body: Duration,
}

impl Patience {
    /// For what a person waits for.
    pub const COMMAND: Self = Self { head: Duration::from_secs(10), body: Duration::from_secs(300) };
    /// For what a shell asks while somebody types.
    pub const TYPING: Self = Self { head: Duration::from_millis(500), body: Duration::from_millis(500) };
    /// For what changes something on the disk, such as the deletion of a large session.
    const CHANGE: Duration = Duration::from_secs(60);
    /// For a stream of events, which says every 15 seconds that it is there.
    const EVENTS: Duration = Duration::from_secs(60);
}

/// What the console says is wrong with a request.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    message: String,
}

/// A client of the console, which blocks.
#[derive(Debug)]
pub struct Client {
    address: String,
    token: Token,
    runtime: Rc<Runtime>,
    patience: Patience,
}

impl Client {
    /// A client of the console at `http://host:port`, which has to be on this machine.
    pub fn new(address: &str, token: Token) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let address = address.strip_prefix("http://").unwrap_or(address).trim_end_matches('/').to_owned();
        // The address stands in a file: whoever could write there would be told the token.
        if !address.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback()) {
            bail!("the lock file names {address} for the console: the token is sent to this machine only");
        }
        Ok(Self { address, token, runtime: Rc::new(runtime), patience: Patience::COMMAND })
    }

    /// The same client with another patience.
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// Asks for `path` and reads the answer whole.
    ///
    /// # Errors
    ///
    /// [`Refused`] with what the console says is wrong, or that it can't be reached.
    pub fn get<T: DeserializeOwned>(&self, path: &str, query: &[(String, String)]) -> anyhow::Result<T> {
        self.read(self.send(Method::GET, path, query, None, self.patience.head)?)
    }

    /// Has the console change something, with a JSON body if need be, and reads what it answers.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn change<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> anyhow::Result<T> {
        self.read(self.send(method, path, &[], body, Patience::CHANGE)?)
    }

    /// Asks for `path` and reads the answer line by line, until it ends.
    pub fn lines(&self, path: &str, query: &[(String, String)]) -> anyhow::Result<Lines> {
        self.stream(path, query, CancellationToken::new(), self.patience.body)
    }

    /// Asks for a stream of events and reads it line by line, until it ends or `stop` is cancelled.
    pub fn events(&self, path: &str, query: &[(String, String)], stop: CancellationToken) -> anyhow::Result<Lines> {
        self.stream(path, query, stop, Patience::EVENTS)
    }

    fn stream(
        &self,
        path: &str,
        query: &[(String, String)],
        stop: CancellationToken,
        patience: Duration,
    ) -> anyhow::Result<Lines> {
        let body = self.send(Method::GET, path, query, None, self.patience.head)?.into_body();
        let runtime = Rc::clone(&self.runtime);
        Ok(Lines { runtime, body, stop, patience, buffer: Vec::new(), searched: 0, ended: false })
    }

    fn read<T: DeserializeOwned>(&self, response: Response<Incoming>) -> anyhow::Result<T> {
        let body = self.runtime.block_on(async {
            let collecting = response.into_body().collect();
            tokio::time::timeout(self.patience.body, collecting).await.map_err(|_| self.silent(self.patience.body))
        });
        let body = body??.to_bytes();
        serde_json::from_slice(&body).with_context(|| format!("the console at {} answers something else", self.address))
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(String, String)],
        body: Option<&serde_json::Value>,
        patience: Duration,
    ) -> anyhow::Result<Response<Incoming>> {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let request = Request::builder()
            .method(method)
            .uri(format!("{path}?{query}"))
            .header(header::HOST, &self.address)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token.as_str()))
            .body(Full::<bytes::Bytes>::from(body.map(serde_json::Value::to_string).unwrap_or_default()))?;
        let asking = async {
            let reach = || format!("can't reach the console of the running `nightaudit serve` at {}", self.address);
            let stream = TcpStream::connect(&self.address).await.with_context(reach)?;
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.with_context(reach)?;
            tokio::spawn(connection);
            let response = sender.send_request(request).await.with_context(reach)?;
            if response.status() == StatusCode::OK {
                return Ok(response);
            }
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            let told = serde_json::from_slice::<serde_json::Value>(&body).ok();
            let message = match told.as_ref().and_then(|told| told["error"].as_str()) {
                Some(error) => error.to_owned(),
                None => format!("the console at {} answers {status}", self.address),
            };
            Err(Refused { message }.into())
        };
        let answered = self.runtime.block_on(async { tokio::time::timeout(patience, asking).await });
        answered.unwrap_or_else(|_| Err(self.silent(patience)))
    }

    fn silent(&self, patience: Duration) -> anyhow::Error {
        anyhow::anyhow!(
            "the console at {} has said nothing for {patience:?}: the `nightaudit serve` that has the log hangs, or \
             something else listens there",
            self.address
        )
    }
}

/// The lines of an answer as they arrive, without their ends.
#[derive(Debug)]
pub struct Lines {
    runtime: Rc<Runtime>,
    body: Incoming,
    stop: CancellationToken,
    patience: Duration,
    buffer: Vec<u8>,
    searched: usize,
    ended: bool,
}

impl Iterator for Lines {
    type Item = anyhow::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(end) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let rest = self.buffer.split_off(self.searched + end + 1);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                line.pop();
                self.searched = 0;
                return Some(Ok(line));
            }
            if self.ended {
                return (!self.buffer.is_empty()).then(|| Ok(std::mem::take(&mut self.buffer)));
            }
            self.searched = self.buffer.len();
            let frame = self.runtime.block_on(async {
                let frame = self.stop.run_until_cancelled(self.body.frame());
                tokio::time::timeout(self.patience, frame).await
            });
            let Ok(frame) = frame else {
                (self.ended, self.buffer) = (true, Vec::new());
                self.searched = 0;
                let silent = format!("the console has said nothing for {:?}", self.patience);
                return Some(Err(anyhow::Error::msg(silent)));
            };
            match frame.flatten() {
                None => {
                    self.ended = true;
                    self.searched = 0;
                }
                Some(Ok(frame)) => self.buffer.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
                Some(Err(error)) => {
                    (self.ended, self.buffer) = (true, Vec::new());
                    self.searched = 0;
                    return Some(Err(anyhow::Error::new(error).context("the console's answer broke off")));
                }
            }
            if self.buffer.len() > MAX_LINE {
                (self.ended, self.buffer) = (true, Vec::new());
                self.searched = 0;
                return Some(Err(anyhow::Error::msg("the console's answer has a line without an end")));
            }
        }
    }
}
