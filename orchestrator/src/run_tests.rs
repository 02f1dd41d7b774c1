use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::http::testing::{FlakyBus, MANIFEST, clock, options, store, until};
use domain::{SystemClock, SystemRng};
use secrecy::{ExposeSecret, SecretString};
use store::Store;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

struct Server {
    address: SocketAddr,
    store: Store,
    bus: Arc<FlakyBus>,
    secret: SecretString,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), RunError>>,
    folder: tempfile::TempDir,
}

async fn serve() -> Server {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(&folder).await;
    let secret =
        crate::bootstrap(&store, &SystemClock, &SystemRng, "admin").await.expect("works").expect("a token");
    let bus = Arc::new(FlakyBus::default());
    let mut options = options(store.clone(), clock());
    options.bus = bus.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(Orchestrator::new(options).run(listener, shutdown.clone()));
    Server { address, store, bus, secret, shutdown, task, folder }
}

impl Server {
    async fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.expect("connects");
        let (secret, length) = (self.secret.expose_secret(), body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\n{headers}content-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.expect("sends");
        stream
    }

    async fn answer(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let mut stream = self.send(method, path, &format!("connection: close\r\n{headers}"), body).await;
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("an answer");
        text
    }

    /// The store with the folder it lives in, for who wants to look once more.
    async fn stop(self) -> (Store, tempfile::TempDir) {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(20), self.task).await.expect("ends in time");
        ended.expect("no panic").expect("ends well");
        (self.store, self.folder)
    }
}

#[tokio::test]
async fn a_request_is_recorded_and_its_event_published_without_waiting_for_a_poll() {
    let server = serve().await;
    let text = server.answer("POST", "/api/v1/farms", "content-type: application/yaml\r\n", MANIFEST).await;
    assert!(text.starts_with("HTTP/1.1 202"), "{text}");
    until("published", || async { server.bus.published().len() == 1 }).await;
    let (store, _folder) = server.stop().await;
    assert_eq!(store.outbox_depth().await.expect("works").rows, 0);
}

#[tokio::test]
async fn an_open_event_stream_does_not_hold_up_the_stop() {
    let server = serve().await;
    let text = server.answer("POST", "/api/v1/farms", "content-type: application/yaml\r\n", MANIFEST).await;
    let location =
        text.lines().find_map(|line| line.strip_prefix("location: ")).expect("a location").to_owned();
    let mut stream = server.send("GET", &format!("{location}/events"), "", "").await;
    let mut seen = String::new();
    while !seen.contains("event: workflow") {
        let mut buffer = [0; 1024];
        let read = stream.read(&mut buffer).await.expect("reads");
        assert_ne!(read, 0, "{seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    let began = tokio::time::Instant::now();
    server.stop().await;
    assert!(began.elapsed() < Duration::from_secs(5), "it was drained, not cut off");
}

#[tokio::test]
async fn a_task_that_panics_is_started_again() {
    let starts = Arc::new(AtomicUsize::new(0));
    let counted = starts.clone();
    let stop = CancellationToken::new();
    #[expect(clippy::panic, reason = "what this test is about")]
    let task = supervise("test", stop.clone(), move |stop| {
        let start = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            if start == 0 {
                panic!("once");
            }
            stop.cancelled().await;
        }
    });
    until("started again", || async { starts.load(Ordering::SeqCst) == 2 }).await;
    stop.cancel();
    task.await.expect("no panic");
}
