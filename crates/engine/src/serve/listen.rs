//! Connections: taken as long as nobody asks this process to stop, then ended in order.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use ferrite_core::error::{Error, Result};
use ferrite_core::terminal::interrupt::interrupted;
use ferrite_core::terminal::notes::tell;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::serve::Served;
use crate::serve::service::Service;

/// The most connections at once; further ones wait until the system turns them away. A process may have 1024 files open.
const CONNECTIONS: usize = 512;

/// How often it is asked whether this process shall stop.
const BEAT: Duration = Duration::from_millis(20);

/// How long no connection is taken after the system had none to give, for want of files, say.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers with `service` what comes to `listener`, until this process is asked to stop and everything is answered.
///
/// # Errors
/// [`Error::File`] if the system does not let it.
pub(super) fn run(listener: TcpListener, service: Service) -> Result<Served> {
    let cannot = |error| Error::file("cannot listen at", "the network")(error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(cannot)?;
    let service = Arc::new(service);
    listener.set_nonblocking(true).map_err(cannot)?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).map_err(cannot)?;
        let connections = GracefulShutdown::new();
        tokio::select! {
            () = take(&listener, &connections, &service) => {}
            () = stop() => {}
        }
        drop(listener);
        tell("answers what it has taken; a second Ctrl-C ends it at once");
        let limits = service.limits;
        // Nothing takes longer than that: a head, a picture, the answer.
        let longest = 2 * limits.sending + limits.waiting;
        let _ = timeout(longest, connections.shutdown()).await;
        Ok(service.served())
    })
}

async fn stop() {
    while !interrupted() {
        sleep(BEAT).await;
    }
}

/// Takes connections, for ever.
async fn take(
    listener: &tokio::net::TcpListener,
    connections: &GracefulShutdown,
    service: &Arc<Service>,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = room.clone().acquire_owned().await.expect("nobody closes it");
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        // Answers are small, and wait for nothing that could go with them.
        let _ = stream.set_nodelay(true);
        let service = service.clone();
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(service.limits.sending);
        let answer = service_fn(move |request| service.clone().respond(request));
        let connection = http.serve_connection(TokioIo::new(stream), answer);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            // Whose connection breaks hears nothing any more.
            let _ = connection.await;
            drop(place);
        });
    }
}
