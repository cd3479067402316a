//! A client of a running `serve`'s console.

use std::{io, net::SocketAddr, rc::Rc, time::Duration};

use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Response,
    body::{Body, Incoming},
};
use hyper_util::rt::TokioIo;
use nightaudit_console::Token;
use nightaudit_exchange::JsonContent;
use serde::de::DeserializeOwned;
use tokio::{net::TcpStream, runtime::Runtime};
use tokio_util::sync::CancellationToken;

use crate::{error::ConsoleError, upload::Upload};

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
    /// For a request to Mews, which may be delayed by a limit and then take as long as the proxy waits.
    const EXCHANGE: Duration = Duration::from_secs(900);
    /// For event streams, which send a heartbeat every 15 seconds.
    const EVENTS: Duration = Duration::from_secs(60);
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
    /// A client of the console at `http://host:port`, which has to be on this machine.
    ///
    /// # Errors
    ///
    /// [`ConsoleError::Foreign`] if it isn't; [`ConsoleError::Runtime`] if the system has no resources for it.
    pub fn new(address: &str, token: Token) -> Result<Self, ConsoleError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(ConsoleError::Runtime)?;
        let address = address.strip_prefix("http://").unwrap_or(address).trim_end_matches('/').to_owned();
        // The address is read from a file: anyone who can write it could otherwise capture the token.
        if !address.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback()) {
            return Err(ConsoleError::Foreign(address));
        }
        Ok(Self { address, token, runtime: Rc::new(runtime), timeouts: Timeouts::COMMAND })
    }

    /// The console's URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The URL that opens its page, with the token.
    #[must_use]
    pub fn page_url(&self) -> String {
        self.token.page_url(&self.url())
    }

    /// The same client with other timeouts.
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    /// Gets `path` and reads the whole response.
    ///
    /// # Errors
    ///
    /// [`ConsoleError::Argument`] if what the path or query names doesn't exist, isn't the only one or is invalid;
    /// otherwise another [`ConsoleError`].
    pub fn get<T: DeserializeOwned>(&self, path: &str, query: &[(String, String)]) -> Result<T, ConsoleError> {
        self.read(self.send(Method::GET, path, query, None, self.timeouts.head).map_err(ConsoleError::of_reading)?)
    }

    /// Sends a change, with a JSON body if given, and reads the response.
    ///
    /// # Errors
    ///
    /// [`ConsoleError::Argument`] if a value is invalid; otherwise as [`get`](Self::get).
    pub fn change<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<T, ConsoleError> {
        self.read(self.send(method, path, &[], body, Timeouts::CHANGE).map_err(ConsoleError::of_changing)?)
    }

    /// Sends a file as it is read, and reads the response. Calls `progress` with the bytes sent so far, a few times a
    /// second. Times out once nothing more of the file is taken for as long as a response may pause.
    ///
    /// # Errors
    ///
    /// The file can't be read, or is refused; otherwise as [`change`](Self::change).
    pub fn upload<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(String, String)],
        file: impl io::Read + Send + 'static,
        progress: &mut dyn FnMut(u64),
    ) -> Result<T, ConsoleError> {
        let (upload, state) = Upload::start(file);
        let request = self.request(Method::POST, path, query, upload)?;
        let answered = self.runtime.block_on(async {
            let mut asking = std::pin::pin!(self.ask(request));
            let mut stalled = Stalled::default();
            loop {
                tokio::select! {
                    answered = &mut asking => break answered,
                    () = tokio::time::sleep(Stalled::TICK) => {}
                }
                let sent = state.sent();
                progress(sent);
                if stalled.is(sent, self.timeouts.body) {
                    break Err(self.silent(self.timeouts.body));
                }
            }
        });
        // What could not be read is the reason for whatever the console made of it.
        match (answered, state.failure()) {
            (_, Some(error)) => Err(ConsoleError::File(error)),
            (answered, None) => self.read(answered?),
        }
    }

    /// Has a request sent to Mews and reads what became of it.
    ///
    /// # Errors
    ///
    /// As [`change`](Self::change).
    pub fn have_sent<T: DeserializeOwned>(&self, path: &str, body: &serde_json::Value) -> Result<T, ConsoleError> {
        let sent = self.send(Method::POST, path, &[], Some(body), Timeouts::EXCHANGE);
        self.read(sent.map_err(ConsoleError::of_changing)?)
    }

    /// Gets `path` and reads the response line by line.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn lines(&self, path: &str, query: &[(String, String)]) -> Result<Lines, ConsoleError> {
        self.stream(path, query, CancellationToken::new(), self.timeouts.body)
    }

    /// Gets an event stream and reads it line by line, until it ends or `stop` is cancelled.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn events(
        &self,
        path: &str,
        query: &[(String, String)],
        stop: CancellationToken,
    ) -> Result<Lines, ConsoleError> {
        self.stream(path, query, stop, Timeouts::EVENTS)
    }

    fn stream(
        &self,
        path: &str,
        query: &[(String, String)],
        stop: CancellationToken,
        timeout: Duration,
    ) -> Result<Lines, ConsoleError> {
        let response = self.send(Method::GET, path, query, None, self.timeouts.head);
        let body = response.map_err(ConsoleError::of_reading)?.into_body();
        let runtime = Rc::clone(&self.runtime);
        Ok(Lines {
            runtime,
            body,
            stop,
            timeout,
            buffer: Vec::new(),
            searched: 0,
            content: JsonContent::default(),
            ended: false,
        })
    }

    fn read<T: DeserializeOwned>(&self, response: Response<Incoming>) -> Result<T, ConsoleError> {
        let timeout = self.timeouts.body;
        let collecting = async { tokio::time::timeout(timeout, response.into_body().collect()).await };
        let body = self.runtime.block_on(collecting).map_err(|_| self.silent(timeout))?;
        let body = body.map_err(ConsoleError::Truncated)?.to_bytes();
        serde_json::from_slice(&body)
            .map_err(|source| ConsoleError::Unexpected { address: self.address.clone(), source })
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(String, String)],
        body: Option<&serde_json::Value>,
        timeout: Duration,
    ) -> Result<Response<Incoming>, ConsoleError> {
        let body = Full::<bytes::Bytes>::from(body.map(serde_json::Value::to_string).unwrap_or_default());
        let asking = self.ask(self.request(method, path, query, body)?);
        let answered = self.runtime.block_on(async { tokio::time::timeout(timeout, asking).await });
        answered.unwrap_or_else(|_| Err(self.silent(timeout)))
    }

    fn request<B>(
        &self,
        method: Method,
        path: &str,
        query: &[(String, String)],
        body: B,
    ) -> Result<Request<B>, ConsoleError> {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        Request::builder()
            .method(method)
            .uri(format!("{path}?{query}"))
            .header(header::HOST, &self.address)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token.as_str()))
            .body(body)
            .map_err(|source| ConsoleError::Path { path: path.to_owned(), source })
    }

    async fn ask<B>(&self, request: Request<B>) -> Result<Response<Incoming>, ConsoleError>
    where
        B: Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let stream = TcpStream::connect(&self.address).await.map_err(|error| self.unreachable(error))?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| self.unreachable(error))?;
        tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.into_body().collect().await.map_err(ConsoleError::Truncated)?.to_bytes();
        let told = serde_json::from_slice::<serde_json::Value>(&body).ok();
        let message = match told.as_ref().and_then(|told| told["error"].as_str()) {
            Some(error) => error.to_owned(),
            None => format!("the console at {} responded with {status}", self.address),
        };
        Err(ConsoleError::Refused { status, message })
    }

    fn unreachable(&self, source: impl std::error::Error + Send + Sync + 'static) -> ConsoleError {
        ConsoleError::Unreachable { address: self.address.clone(), source: Box::new(source) }
    }

    fn silent(&self, timeout: Duration) -> ConsoleError {
        ConsoleError::Silent { address: self.address.clone(), timeout }
    }
}

/// Tells when nothing more of an upload is taken.
#[derive(Default)]
struct Stalled {
    sent: u64,
    ticks: u32,
}

impl Stalled {
    const TICK: Duration = Duration::from_millis(250);

    /// Whether so many bytes were sent for so long.
    fn is(&mut self, sent: u64, timeout: Duration) -> bool {
        self.ticks = if sent == self.sent { self.ticks + 1 } else { 0 };
        self.sent = sent;
        Self::TICK * self.ticks >= timeout
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
    /// What was searched of the line.
    content: JsonContent,
    ended: bool,
}

impl Iterator for Lines {
    type Item = Result<Vec<u8>, ConsoleError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(end) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let rest = self.buffer.split_off(self.searched + end + 1);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                line.pop();
                (self.searched, self.content) = (0, JsonContent::default());
                return Some(Ok(line));
            }
            if self.ended {
                return (!self.buffer.is_empty()).then(|| Ok(std::mem::take(&mut self.buffer)));
            }
            self.content.feed(&self.buffer[self.searched..]);
            self.searched = self.buffer.len();
            let frame = self.runtime.block_on(async {
                let frame = self.stop.run_until_cancelled(self.body.frame());
                tokio::time::timeout(self.timeout, frame).await
            });
            let Ok(frame) = frame else {
                (self.ended, self.buffer) = (true, Vec::new());
                self.searched = 0;
                return Some(Err(ConsoleError::Stalled(self.timeout)));
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
                    return Some(Err(ConsoleError::Truncated(error)));
                }
            }
            if self.content.is_too_much() {
                (self.ended, self.buffer) = (true, Vec::new());
                self.searched = 0;
                return Some(Err(ConsoleError::Overlong));
            }
        }
    }
}
