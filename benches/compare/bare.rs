//! The least that a proxy made of hyper does: a server's connection, a client's connection to the upstream, and bodies passed on.
//!
//! It records nothing, limits nothing and checks nothing, so that what this proxy does beside it can be told from what hyper
//! costs. `cargo build --profile dist --example bare`, then `bare LISTEN UPSTREAM`, both as `address:port`.

use std::{
    env,
    net::{SocketAddr, TcpListener},
    process::ExitCode,
    thread,
};

use hyper::{Request, Response, body::Incoming, client::conn, server, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::Mutex, task::LocalSet};

fn main() -> ExitCode {
    let addresses: Vec<Option<SocketAddr>> = env::args().skip(1).map(|address| address.parse().ok()).collect();
    let [Some(listen), Some(upstream)] = addresses[..] else {
        eprintln!("usage: bare LISTEN UPSTREAM, both as address:port");
        return ExitCode::from(2);
    };
    match serve(listen, upstream) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bare: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Gives connections to a thread for each core in turn, as this proxy does.
fn serve(listen: SocketAddr, upstream: SocketAddr) -> std::io::Result<()> {
    let listener = TcpListener::bind(listen)?;
    let workers = (0..thread::available_parallelism()?.get()).map(|_| {
        let (send, mut accepted) = tokio::sync::mpsc::unbounded_channel::<std::net::TcpStream>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::spawn(move || {
            LocalSet::new().block_on(&runtime, async move {
                while let Some(stream) = accepted.recv().await {
                    tokio::task::spawn_local(async move {
                        if let Err(error) = connection(stream, upstream).await {
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
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let connected = TcpStream::connect(upstream).await?;
    connected.set_nodelay(true)?;
    let (sender, driver) = conn::http1::handshake::<_, Incoming>(TokioIo::new(connected)).await?;
    tokio::task::spawn_local(driver);
    let sender = Mutex::new(sender);
    let forward = service_fn(async |request: Request<Incoming>| -> hyper::Result<Response<Incoming>> {
        let mut sender = sender.lock().await;
        sender.ready().await?;
        sender.send_request(request).await
    });
    server::conn::http1::Builder::new().serve_connection(TokioIo::new(TcpStream::from_std(stream)?), forward).await?;
    Ok(())
}
