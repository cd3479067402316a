//! The least that a record of each exchange costs, as this proxy's log makes it: both heads and bodies copied once and journaled
//! before the response ends, then hashed, chained and compressed in blocks by a thread of their own.
//!
//! Nothing is redacted, indexed or bounded, so that what this proxy does beside it can be told from what must be done.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use http_body_util::{BodyExt, Either, Full};
use hyper::{Request, Response, body::Bytes, body::Incoming, client::conn::http1::SendRequest};
use sha2::{Digest, Sha256};

/// A body as it passes, or one that was read to record it.
pub(crate) type Body = Either<Incoming, Full<Bytes>>;

/// How long the thread of the log gathers, as long as this proxy's log does.
const GATHERED: Duration = Duration::from_millis(3);
/// How large a block is before it is compressed, in bytes; this proxy's are as large.
const BLOCK: usize = 192 << 10;
/// The journal is written anew from its start, so that it doesn't fill the disk.
const JOURNAL: u64 = 64 << 20;

#[derive(Clone)]
pub(crate) struct Log {
    journal: Arc<File>,
    written: Arc<AtomicU64>,
    entries: Sender<Entry>,
}

struct Entry {
    bodies: [Bytes; 2],
    bytes: Vec<u8>,
}

impl Log {
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        let journal = File::create(folder.join("journal"))?;
        journal.set_len(JOURNAL)?;
        let (entries, received) = channel();
        let mut blocks = Blocks::create(&folder.join("blocks"))?;
        thread::spawn(move || {
            if let Err(error) = write(&received, &mut blocks) {
                eprintln!("bare: {error}");
            }
        });
        Ok(Self { journal: Arc::new(journal), written: Arc::default(), entries })
    }

    /// Forwards a request and records the exchange.
    pub(crate) async fn forward(
        &self,
        sender: &mut SendRequest<Body>,
        request: Request<Incoming>,
    ) -> hyper::Result<Response<Body>> {
        let mut bytes = Vec::with_capacity(4096);
        let (head, body) = request.into_parts();
        let request = body.collect().await?.to_bytes();
        bytes.extend_from_slice(head.method.as_str().as_bytes());
        bytes.extend_from_slice(head.uri.path().as_bytes());
        copy(&head.headers, &request, &mut bytes);
        let forwarded = Request::from_parts(head, Either::Right(Full::new(request.clone())));
        let (head, body) = sender.send_request(forwarded).await?.into_parts();
        let response = body.collect().await?.to_bytes();
        copy(&head.headers, &response, &mut bytes);
        let length = bytes.len() as u64;
        let at = self.written.fetch_add(length, Ordering::Relaxed) % (JOURNAL - length.min(JOURNAL));
        if let Err(error) = self.journal.write_all_at(&bytes, at) {
            eprintln!("bare: {error}");
        }
        // It fails only if the thread has ended, which has said why.
        let _ = self.entries.send(Entry { bodies: [request, response.clone()], bytes });
        Ok(Response::from_parts(head, Either::Right(Full::new(response))))
    }
}

fn copy(headers: &hyper::HeaderMap, body: &[u8], bytes: &mut Vec<u8>) {
    for (name, value) in headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(value.as_bytes());
    }
    bytes.extend_from_slice(body);
}

fn write(received: &Receiver<Entry>, blocks: &mut Blocks) -> io::Result<()> {
    while let Ok(first) = received.recv() {
        thread::sleep(GATHERED);
        for entry in [first].into_iter().chain(received.try_iter()) {
            blocks.add(&entry)?;
        }
        blocks.flush()?;
    }
    Ok(())
}

struct Blocks {
    file: File,
    length: u64,
    chain: [u8; 32],
    raw: Vec<u8>,
    packed: Vec<u8>,
    zstd: zstd::bulk::Compressor<'static>,
}

impl Blocks {
    fn create(path: &Path) -> io::Result<Self> {
        let (file, zstd) = (File::create(path)?, zstd::bulk::Compressor::new(1)?);
        Ok(Self { file, length: 0, chain: [0; 32], raw: Vec::new(), packed: Vec::new(), zstd })
    }

    fn add(&mut self, entry: &Entry) -> io::Result<()> {
        let [request, response] = entry.bodies.each_ref().map(Sha256::digest);
        self.chain = Sha256::new_with_prefix(self.chain).chain_update(request).chain_update(response).finalize().into();
        for part in [&request[..], &response, &self.chain, &entry.bytes] {
            self.raw.extend_from_slice(part);
        }
        if self.raw.len() < BLOCK { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.raw.is_empty() {
            return Ok(());
        }
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(self.raw.len()));
        self.zstd.compress_to_buffer(&self.raw, &mut self.packed)?;
        self.file.write_all_at(&self.packed, self.length)?;
        self.length += self.packed.len() as u64;
        self.raw.clear();
        Ok(())
    }
}
