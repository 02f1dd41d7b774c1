use super::*;
use crate::wait::{eventually, never};

/// A server that sends back what it gets, and remembers it.
async fn echo() -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                let mut buffer = [0; 1024];
                while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                    log.lock().unwrap().extend_from_slice(&buffer[..length]);
                    if stream.write_all(&buffer[..length]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (address, seen)
}

async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut got = Vec::new();
    let mut buffer = [0; 64];
    // a reset is an end too
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        got.extend_from_slice(&buffer[..length]);
    }
    got
}

#[tokio::test]
async fn an_answer_is_cut_after_the_request_went_through() {
    let (server, seen) = echo().await;
    let proxy = Proxy::start(server).await;
    proxy.cut_after(Direction::ToClient, 3);
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    client.write_all(b"request").await.unwrap();
    assert_eq!(read_to_end(&mut client).await, b"req");
    assert_eq!(*seen.lock().unwrap(), b"request");
    assert!(proxy.is_cut());
    assert_eq!((proxy.passed(Direction::ToServer), proxy.passed(Direction::ToClient)), (7, 3));
}

#[tokio::test]
async fn a_request_is_cut_before_the_server_sees_it() {
    let (server, seen) = echo().await;
    let proxy = Proxy::start(server).await;
    proxy.cut_after(Direction::ToServer, 0);
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    client.write_all(b"request").await.unwrap();
    assert_eq!(read_to_end(&mut client).await, b"");
    assert_eq!(*seen.lock().unwrap(), b"");
}

#[tokio::test]
async fn a_limit_that_is_exactly_met_cuts_at_the_next_byte_only() {
    let (server, _) = echo().await;
    let proxy = Proxy::start(server).await;
    proxy.cut_after(Direction::ToClient, 4);
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    let mut got = [0; 4];
    client.write_all(b"four").await.unwrap();
    client.read_exact(&mut got).await.unwrap();
    assert!(!proxy.is_cut());
    client.write_all(b"more").await.unwrap();
    assert_eq!(read_to_end(&mut client).await, b"");
    assert!(proxy.is_cut());
}

#[tokio::test]
async fn a_cut_closes_what_is_open_and_refuses_until_healed() {
    let (server, _) = echo().await;
    let proxy = Proxy::start(server).await;
    let mut idle = TcpStream::connect(proxy.address()).await.unwrap();
    eventually("the connection is taken", Duration::from_secs(5), async || {
        (proxy.connections() == 1).then_some(())
    })
    .await;
    proxy.cut();
    assert_eq!(read_to_end(&mut idle).await, b"");
    let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(read_to_end(&mut refused).await, b"");
    proxy.heal();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    let mut got = [0; 2];
    client.write_all(b"hi").await.unwrap();
    client.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"hi");
}

#[tokio::test]
async fn what_was_held_arrives_whole_after_healing() {
    let (server, _) = echo().await;
    let proxy = Proxy::start(server).await;
    proxy.hold_after(Direction::ToServer, 2);
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    client.write_all(b"abcd").await.unwrap();
    eventually("two bytes at the server", Duration::from_secs(5), async || {
        (proxy.passed(Direction::ToServer) == 2).then_some(())
    })
    .await;
    never("a third byte at the server", Duration::from_millis(100), async || {
        Some(proxy.passed(Direction::ToServer)).filter(|passed| *passed > 2)
    })
    .await;
    proxy.heal();
    let mut got = [0; 4];
    client.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"abcd");
}

#[tokio::test]
async fn a_delay_is_felt() {
    let (server, _) = echo().await;
    let proxy = Proxy::start(server).await;
    proxy.delay(Duration::from_millis(60));
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    let begun = std::time::Instant::now();
    client.write_all(b"x").await.unwrap();
    client.read_exact(&mut [0]).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(120), "both ways");
}
