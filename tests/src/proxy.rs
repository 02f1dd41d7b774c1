//! A TCP path that can be cut, held and slowed, to the byte: what a network does to a request
//! that the server has carried out and whose answer is lost.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Requests. Cut here: the effect did not happen.
    ToServer,
    /// Answers. Cut here: the effect happened and the client does not know.
    ToClient,
}

/// What the path does to its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Pass,
    /// Connections stay open; what comes waits here.
    Hold,
    /// Connections are closed; new ones are accepted and closed at once.
    Cut,
}

#[derive(Debug)]
struct State {
    mode: Mode,
    delay: Duration,
    /// Bytes that still pass in one direction, and what happens at the next one.
    limit: Option<(Direction, u64, Mode)>,
    passed: [u64; 2],
    connections: u64,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Bumped with every change of the mode.
    changed: watch::Sender<u64>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, mode: Mode, limit: Option<(Direction, u64, Mode)>) {
        {
            let mut state = self.lock();
            state.mode = mode;
            state.limit = limit;
        }
        self.changed.send_modify(|version| *version += 1);
    }

    /// How many of `wanted` bytes may go now: `None` when the path is cut, 0 when they must wait.
    fn allow(&self, direction: Direction, wanted: usize) -> Option<usize> {
        let mut state = self.lock();
        let allowed = match (state.mode, state.limit) {
            (Mode::Cut, _) => return None,
            (Mode::Hold, _) => return Some(0),
            (Mode::Pass, Some((limited, left, _))) if limited == direction => {
                wanted.min(usize::try_from(left).unwrap_or(usize::MAX))
            }
            (Mode::Pass, _) => wanted,
        };
        if let Some((limited, left, then)) = state.limit.filter(|(limited, ..)| *limited == direction) {
            if allowed == 0 {
                state.mode = then;
                state.limit = None;
                drop(state);
                self.changed.send_modify(|version| *version += 1);
                return if then == Mode::Cut { None } else { Some(0) };
            }
            state.limit = Some((limited, left - allowed as u64, then));
        }
        state.passed[direction as usize] += allowed as u64;
        Some(allowed)
    }
}

/// A proxy on a loopback port in front of one server. Everything ends with it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _accepting: AbortOnDropHandle<()>,
}

impl Proxy {
    /// `target` is `host:port`; it need not answer yet.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start(target: impl Into<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("the address of the listener");
        let state =
            State { mode: Mode::Pass, delay: Duration::ZERO, limit: None, passed: [0; 2], connections: 0 };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: watch::Sender::new(0) });
        let accepting = tokio::spawn(accept(listener, target.into(), Arc::clone(&shared)));
        Self { address, shared, _accepting: AbortOnDropHandle::new(accepting) }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Closes every connection; new ones are closed at once.
    pub fn cut(&self) {
        self.shared.set(Mode::Cut, None);
    }

    /// Keeps connections open and passes nothing, as a frozen server or a full pipe.
    pub fn hold(&self) {
        self.shared.set(Mode::Hold, None);
    }

    /// Passes everything again, what was held too, without a limit or delay.
    pub fn heal(&self) {
        self.shared.lock().delay = Duration::ZERO;
        self.shared.set(Mode::Pass, None);
    }

    /// From now on every piece of data waits that long.
    pub fn delay(&self, delay: Duration) {
        self.shared.lock().delay = delay;
    }

    /// Passes `bytes` more in that direction (all connections together), then cuts at the next byte.
    pub fn cut_after(&self, direction: Direction, bytes: u64) {
        self.shared.set(Mode::Pass, Some((direction, bytes, Mode::Cut)));
    }

    /// Passes `bytes` more in that direction (all connections together), then holds both.
    pub fn hold_after(&self, direction: Direction, bytes: u64) {
        self.shared.set(Mode::Pass, Some((direction, bytes, Mode::Hold)));
    }

    /// Bytes that passed so far.
    pub fn passed(&self, direction: Direction) -> u64 {
        self.shared.lock().passed[direction as usize]
    }

    /// Connections accepted so far, refused ones too.
    pub fn connections(&self) -> u64 {
        self.shared.lock().connections
    }

    /// Whether it is cut: by [`Self::cut`], or because a limit was reached.
    pub fn is_cut(&self) -> bool {
        self.shared.lock().mode == Mode::Cut
    }
}

async fn accept(listener: TcpListener, target: String, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let cut = {
            let mut state = shared.lock();
            state.connections += 1;
            state.mode == Mode::Cut
        };
        if !cut {
            connections.spawn(connection(client, target.clone(), Arc::clone(&shared)));
        }
    }
}

/// One connection; both ends close when either does or the path is cut.
async fn connection(client: TcpStream, target: String, shared: Arc<Shared>) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::join!(
        pump(from_client, to_server, Direction::ToServer, &shared),
        pump(from_server, to_client, Direction::ToClient, &shared),
    );
}

/// Copies until the end of the stream or a cut, which both halves see.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, direction: Direction, shared: &Shared) {
    let mut changed = shared.changed.subscribe();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            _ = changed.changed() => {
                if shared.lock().mode == Mode::Cut { return } else { continue }
            }
        };
        let Ok(length @ 1..) = read else { break };
        let delay = shared.lock().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let mut at = 0;
        while at < length {
            changed.mark_unchanged();
            match shared.allow(direction, length - at) {
                None => return,
                Some(0) => {
                    let _ = changed.changed().await;
                }
                Some(allowed) => {
                    if to.write_all(&buffer[at..at + allowed]).await.is_err() {
                        return;
                    }
                    at += allowed;
                }
            }
        }
    }
    // The other direction may still have something to say (a half-closed connection).
    let _ = to.shutdown().await;
}

#[cfg(test)]
mod tests;
