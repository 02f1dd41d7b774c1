//! The listening side: TLS connections, each with its session.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::codec::Framed;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::engine::Engine;
use super::faults::Faults;
use super::session::{Answer, Session};
use super::wire::Wire;

/// InitRecvTimeout of the default query policy.
const HANDSHAKE_TIME: Duration = Duration::from_secs(120);
/// MaxConnIdleTime.
const IDLE_TIME: Duration = Duration::from_secs(900);
/// After a failed accept (no file descriptors left), rather than spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

#[derive(Clone)]
pub struct Server {
    pub engine: Arc<Engine>,
    pub acceptor: TlsAcceptor,
    pub faults: Option<Faults>,
    pub stopping: CancellationToken,
    pub tasks: TaskTracker,
}

impl Server {
    /// Serves until told to stop. `catalog`: as a global catalogue.
    pub fn serve(&self, listener: TcpListener, catalog: bool) {
        let server = self.clone();
        self.tasks.spawn(async move {
            loop {
                let accepted = tokio::select! {
                    () = server.stopping.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                match accepted {
                    Ok((stream, _)) => server.welcome(stream, catalog),
                    Err(error) => {
                        tracing::warn!(%error, "the embedded directory cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        });
    }

    fn welcome(&self, stream: TcpStream, catalog: bool) {
        let server = self.clone();
        self.tasks.spawn(async move {
            // Small answers, each awaited by the client: batching them only adds delay.
            let served = match stream.set_nodelay(true) {
                Ok(()) => server.connection(stream, catalog).await,
                Err(error) => Err(error),
            };
            if let Err(error) = served {
                tracing::debug!(%error, "a connection to the embedded directory ended");
            }
        });
    }

    async fn connection(&self, stream: TcpStream, catalog: bool) -> io::Result<()> {
        let handshake = tokio::time::timeout(HANDSHAKE_TIME, self.acceptor.accept(stream));
        let stream = tokio::select! {
            () = self.stopping.cancelled() => return Ok(()),
            stream = handshake => stream.map_err(|_| io::ErrorKind::TimedOut)??,
        };
        let session =
            Session::new(Arc::clone(&self.engine), catalog, self.faults.clone(), self.stopping.clone());
        self.talk(stream, session).await
    }

    async fn talk(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        mut session: Session,
    ) -> io::Result<()> {
        let mut framed = Framed::new(stream, Wire::default());
        loop {
            // A stop is only heeded between requests: an operation under way is finished and
            // answered.
            let request = tokio::select! {
                () = self.stopping.cancelled() => return Ok(()),
                request = tokio::time::timeout(IDLE_TIME, framed.next()) => request,
            };
            let Ok(Some(request)) = request else { return Ok(()) };
            let Answer { messages, close } = session.answer(request?).await;
            for message in messages {
                framed.feed(message).await?;
            }
            framed.flush().await?;
            if close {
                return Ok(());
            }
        }
    }
}
