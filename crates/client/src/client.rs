//! A client of a running `serve`'s console.

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

/// The maximum length of a line: an exchange with both bodies at their limit, encoded and decoded.
const MAX_LINE: usize = 512 << 20;

/// Timeouts for the console: one that accepts a connection and stays silent must not hang a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From connecting to the head of the response.
    pub head: Duration,
    /// Between two chunks of the response. A search of a large log with few matches stays silent for long.
    pub body: Duration,
}

impl Timeouts {
    /// For commands that a user waits for.
    pub const COMMAND: Self = Self { head: Duration::from_secs(10), body: Duration::from_secs(300) };
    /// For shell completion.
    pub const TYPING: Self = Self { head: Duration::from_millis(500), body: Duration::from_millis(500) };
    /// For changes on disk, such as deleting a large session.
    const CHANGE: Duration = Duration::from_secs(60);
    /// For event streams, which send a heartbeat every 15 seconds.
    const EVENTS: Duration = Duration::from_secs(60);
}

/// An error response from the console.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    message: String,
}

/// A blocking client of the console.
#[derive(Debug)]
pub struct Client {
    address: String,
    token: Token,
    runtime: Rc<Runtime>,
    timeouts: Timeouts,
}

impl Client {
    /// Connects to the console at `http://host:port`, which has to be on this machine.
    pub fn new(address: &str, token: Token) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let address = address.strip_prefix("http://").unwrap_or(address).trim_end_matches('/').to_owned();
        // The address is read from a file: anyone who can write it could otherwise capture the token.
        if !address.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback()) {
            bail!("the lock file has the console at {address}: the token is sent to this machine only");
        }
        Ok(Self { address, token, runtime: Rc::new(runtime), timeouts: Timeouts::COMMAND })
    }

    /// The same client with other timeouts.
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    /// Gets `path` and reads the whole response.
    ///
    /// # Errors
    ///
    /// [`Refused`] with the console's error, or the console can't be reached.
    pub fn get<T: DeserializeOwned>(&self, path: &str, query: &[(String, String)]) -> anyhow::Result<T> {
        self.read(self.send(Method::GET, path, query, None, self.timeouts.head)?)
    }

    /// Sends a change, with a JSON body if given, and reads the response.
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
        self.read(self.send(method, path, &[], body, Timeouts::CHANGE)?)
    }

    /// Gets `path` and reads the response line by line.
    pub fn lines(&self, path: &str, query: &[(String, String)]) -> anyhow::Result<Lines> {
        self.stream(path, query, CancellationToken::new(), self.timeouts.body)
    }

    /// Gets an event stream and reads it line by line, until it ends or `stop` is cancelled.
    pub fn events(&self, path: &str, query: &[(String, String)], stop: CancellationToken) -> anyhow::Result<Lines> {
        self.stream(path, query, stop, Timeouts::EVENTS)
    }

    fn stream(
        &self,
        path: &str,
        query: &[(String, String)],
        stop: CancellationToken,
        timeout: Duration,
    ) -> anyhow::Result<Lines> {
        let body = self.send(Method::GET, path, query, None, self.timeouts.head)?.into_body();
        let runtime = Rc::clone(&self.runtime);
        Ok(Lines { runtime, body, stop, timeout, buffer: Vec::new(), searched: 0, ended: false })
    }

    fn read<T: DeserializeOwned>(&self, response: Response<Incoming>) -> anyhow::Result<T> {
        let body = self.runtime.block_on(async {
            let collecting = response.into_body().collect();
            tokio::time::timeout(self.timeouts.body, collecting).await.map_err(|_| self.silent(self.timeouts.body))
        });
        let body = body??.to_bytes();
        serde_json::from_slice(&body)
            .with_context(|| format!("unexpected response from the console at {}", self.address))
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(String, String)],
        body: Option<&serde_json::Value>,
        timeout: Duration,
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
                None => format!("the console at {} responded with {status}", self.address),
            };
            Err(Refused { message }.into())
        };
        let answered = self.runtime.block_on(async { tokio::time::timeout(timeout, asking).await });
        answered.unwrap_or_else(|_| Err(self.silent(timeout)))
    }

    fn silent(&self, timeout: Duration) -> anyhow::Error {
        anyhow::anyhow!(
            "no response from the console at {} within {timeout:?}: the `nightaudit serve` that has the log open hangs, or \
             another program listens there",
            self.address
        )
    }
}

/// The lines of a response as they arrive, without line endings.
#[derive(Debug)]
pub struct Lines {
    runtime: Rc<Runtime>,
    body: Incoming,
    stop: CancellationToken,
    timeout: Duration,
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
                tokio::time::timeout(self.timeout, frame).await
            });
            let Ok(frame) = frame else {
                (self.ended, self.buffer) = (true, Vec::new());
                self.searched = 0;
                let silent = format!("no data from the console within {:?}", self.timeout);
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
                    return Some(Err(anyhow::Error::new(error).context("the console's response was truncated")));
                }
            }
            if self.buffer.len() > MAX_LINE {
                (self.ended, self.buffer) = (true, Vec::new());
                self.searched = 0;
                return Some(Err(anyhow::Error::msg("the console's response has an overlong line")));
            }
        }
    }
}
