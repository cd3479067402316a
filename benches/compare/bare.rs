//! The least that a proxy made of hyper does: a server's connection, a client's connection to the upstream, and bodies passed on.
//!
//! It limits nothing, checks nothing, and records nothing unless it is given a folder, so that what this proxy does beside it can
//! be told from what hyper costs, and from what [recording](recording) costs in any case. `cargo build --profile dist --example
//! bare`, then `bare LISTEN UPSTREAM [FOLDER]`, the first two as `address:port`.

mod recording;

use std::{
    env,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::ExitCode,
    thread,
};

use http_body_util::Either;
use hyper::{Request, Response, body::Incoming, client::conn, server, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::Mutex, task::LocalSet};

use crate::recording::{Body, Log};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let addresses: Vec<Option<SocketAddr>> = arguments.iter().take(2).map(|address| address.parse().ok()).collect();
    let [Some(listen), Some(upstream)] = addresses[..] else {
        eprintln!("usage: bare LISTEN UPSTREAM [FOLDER], the first two as address:port");
        return ExitCode::from(2);
    };
    let log = arguments.get(2).map(|folder| Log::create(Path::new(folder))).transpose();
    match log.and_then(|log| serve(listen, upstream, log.as_ref())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bare: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Gives connections to a thread for each core in turn, as this proxy does.
fn serve(listen: SocketAddr, upstream: SocketAddr, log: Option<&Log>) -> std::io::Result<()> {
    let listener = TcpListener::bind(listen)?;
    let workers = (0..thread::available_parallelism()?.get()).map(|_| {
        let (send, mut accepted) = tokio::sync::mpsc::unbounded_channel::<std::net::TcpStream>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let log = log.cloned();
        thread::spawn(move || {
            LocalSet::new().block_on(&runtime, async move {
                while let Some(stream) = accepted.recv().await {
                    let log = log.clone();
                    tokio::task::spawn_local(async move {
                        if let Err(error) = connection(stream, upstream, log).await {
                            eprintln!("bare: {error}");
                        }
                    });
                }
            });
        });
        Ok(send)
    });
    let workers: Vec<_> = workers.collect::<std::io::Result<_>>()?;
    for worker in workers.iter().cycle() {
        let (stream, _) = listener.accept()?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        if worker.send(stream).is_err() {
            break;
        }
    }
    Ok(())
}

/// One connection to the upstream for each of a client's.
async fn connection(
    stream: std::net::TcpStream,
    upstream: SocketAddr,
    log: Option<Log>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let connected = TcpStream::connect(upstream).await?;
    connected.set_nodelay(true)?;
    let (sender, driver) = conn::http1::handshake::<_, Body>(TokioIo::new(connected)).await?;
    tokio::task::spawn_local(driver);
    let sender = Mutex::new(sender);
    let forward = service_fn(async |request: Request<Incoming>| -> hyper::Result<Response<Body>> {
        let mut sender = sender.lock().await;
        sender.ready().await?;
        match &log {
            Some(log) => log.forward(&mut sender, request).await,
            None => Ok(sender.send_request(request.map(Either::Left)).await?.map(Either::Left)),
        }
    });
    server::conn::http1::Builder::new().serve_connection(TokioIo::new(TcpStream::from_std(stream)?), forward).await?;
    Ok(())
}
