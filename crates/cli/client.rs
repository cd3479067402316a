//! The console of a running `serve`, asked.

use std::{rc::Rc, time::Duration};

use anyhow::{Context as _, bail};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Response, body::Incoming, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use nightaudit_console::{Token, bare};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{net::TcpStream, runtime::Runtime};

/// No line of the console is longer: an exchange with both bodies at their bound, coded and decoded.
const MAX_LINE: usize = 512 << 20;

/// How long a console may take to prove that it is one.
const PATIENCE: Duration = Duration::from_secs(5);

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
        Ok(Self { address: bare(address).to_owned(), token, runtime: Rc::new(runtime) })
    }

    /// Asks for `path` and reads the answer whole.
    ///
    /// # Errors
    ///
    /// What the console says is wrong, or that it can't be reached.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str, query: &[(String, String)]) -> anyhow::Result<T> {
        let response = self.send(path, query)?;
        let body = self.runtime.block_on(response.into_body().collect())?.to_bytes();
        serde_json::from_slice(&body).with_context(|| format!("the console at {} answers something else", self.address))
    }

    /// Asks for `path` and reads the answer line by line.
    pub(crate) fn lines(&self, path: &str, query: &[(String, String)]) -> anyhow::Result<Lines> {
        let body = self.send(path, query)?.into_body();
        Ok(Lines { runtime: Rc::clone(&self.runtime), body, buffer: Vec::new(), searched: 0, ended: false })
    }

    fn send(&self, path: &str, query: &[(String, String)]) -> anyhow::Result<Response<Incoming>> {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let request = Request::get(format!("{path}?{query}"))
            .header(header::HOST, &self.address)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token.as_str()))
            .body(Empty::<bytes::Bytes>::new())?;
        self.runtime.block_on(async {
            let reach = || format!("can't reach the console of the running `nightaudit serve` at {}", self.address);
            let stream = TcpStream::connect(&self.address).await.with_context(reach)?;
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.with_context(reach)?;
            tokio::spawn(connection);
            self.recognise(&mut sender).await?;
            let response = sender.send_request(request).await.with_context(reach)?;
            if response.status() == StatusCode::OK {
                return Ok(response);
            }
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            let told = serde_json::from_slice::<serde_json::Value>(&body).ok();
            match told.as_ref().and_then(|told| told["error"].as_str()) {
                Some(error) => bail!("{error}"),
                None => bail!("the console at {} answers {status}", self.address),
            }
        })
    }
}

/// Whoever listens at the address in the lock file is not the console that it means.
#[derive(Debug, thiserror::Error)]
#[error(
    "what listens at {address} is not the `nightaudit serve` that has this data folder: start it again, or name \
     another folder with --data"
)]
pub(crate) struct Stranger {
    address: String,
}

impl Client {
    /// Has the other side prove that it knows the token, before it is told: an address in a lock file may be left from
    /// a `serve` that was killed, and lead to anybody since.
    async fn recognise(&self, sender: &mut SendRequest<Empty<bytes::Bytes>>) -> anyhow::Result<()> {
        #[derive(Deserialize)]
        struct Answer {
            proof: String,
        }

        const LONGEST: usize = 1024;
        let mut random = [0; 16];
        getrandom::fill(&mut random).context("no random numbers to recognise the console by")?;
        let nonce = format!("{:032x}", u128::from_le_bytes(random));
        let request = Request::get(format!("/api/v1/proof?nonce={nonce}"))
            .header(header::HOST, &self.address)
            .body(Empty::new())?;
        let asked = async {
            let answer = sender.send_request(request).await.ok()?;
            let body = Limited::new(answer.into_body(), LONGEST).collect().await.ok()?.to_bytes();
            serde_json::from_slice::<Answer>(&body).ok()
        };
        let answer = tokio::time::timeout(PATIENCE, asked).await.ok().flatten();
        match answer {
            Some(answer) if self.token.is_proven(&nonce, &self.address, &answer.proof) => Ok(()),
            _ => Err(Stranger { address: self.address.clone() }.into()),
        }
    }
}

/// The lines of an answer as they arrive, without their ends.
#[derive(Debug)]
pub(crate) struct Lines {
    runtime: Rc<Runtime>,
    body: Incoming,
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
            match self.runtime.block_on(self.body.frame()) {
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
