//! The console of a running `serve`, asked.

use std::rc::Rc;

use anyhow::Context as _;
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

/// What the console says is wrong with a request.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refused {
    message: String,
}

/// A client of the console, which blocks.
#[derive(Debug)]
pub(crate) struct Client {
    address: String,
    token: Token,
    runtime: Rc<Runtime>,
}

impl Client {
    /// A client of the console at `http://host:port`.
    pub(crate) fn new(address: &str, token: Token) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let address = address.strip_prefix("http://").unwrap_or(address).trim_end_matches('/').to_owned();
        Ok(Self { address, token, runtime: Rc::new(runtime) })
    }

    /// Asks for `path` and reads the answer whole.
    ///
    /// # Errors
    ///
    /// [`Refused`] with what the console says is wrong, or that it can't be reached.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str, query: &[(String, String)]) -> anyhow::Result<T> {
        self.read(self.send(Method::GET, path, query, None)?)
    }

    /// Has the console change something, with a JSON body if need be, and reads what it answers.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub(crate) fn change<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> anyhow::Result<T> {
        self.read(self.send(method, path, &[], body)?)
    }

    /// Asks for `path` and reads the answer line by line, until it ends or `stop` is cancelled.
    pub(crate) fn lines(
        &self,
        path: &str,
        query: &[(String, String)],
        stop: CancellationToken,
    ) -> anyhow::Result<Lines> {
        let body = self.send(Method::GET, path, query, None)?.into_body();
        Ok(Lines { runtime: Rc::clone(&self.runtime), body, stop, buffer: Vec::new(), searched: 0, ended: false })
    }

    fn read<T: DeserializeOwned>(&self, response: Response<Incoming>) -> anyhow::Result<T> {
        let body = self.runtime.block_on(response.into_body().collect())?.to_bytes();
        serde_json::from_slice(&body).with_context(|| format!("the console at {} answers something else", self.address))
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(String, String)],
        body: Option<&serde_json::Value>,
    ) -> anyhow::Result<Response<Incoming>> {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let request = Request::builder()
            .method(method)
            .uri(format!("{path}?{query}"))
            .header(header::HOST, &self.address)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token.as_str()))
            .body(Full::<bytes::Bytes>::from(body.map(serde_json::Value::to_string).unwrap_or_default()))?;
        self.runtime.block_on(async {
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
        })
    }
}

/// The lines of an answer as they arrive, without their ends.
#[derive(Debug)]
pub(crate) struct Lines {
    runtime: Rc<Runtime>,
    body: Incoming,
    stop: CancellationToken,
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
            let frame = self.stop.run_until_cancelled(self.body.frame());
            match self.runtime.block_on(frame).flatten() {
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
