//! TLS over shard sockets, in both roles, against itself and against a blocking rustls peer.

#[path = "support/mod.rs"]
mod support;

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::{or, zip};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};
use sluice_dataplane::net::{Readiness, Sock, Stream, TlsRole};
use support::{Watchdog, on_one_shard, pattern, sock_pair};

const SETS: [Readiness; 2] = [Readiness::Uring, Readiness::Epoll];

/// Both ends' configurations; the server asks for the client's certificate.
#[derive(Clone)]
struct Ends {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    client_certificate: CertificateDer<'static>,
}

fn ends() -> Ends {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let issue = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()])
            .unwrap()
            .signed_by(&key, &authority)
            .unwrap();
        (
            certificate.der().clone(),
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
    };
    let mut roots = RootCertStore::empty();
    roots.add(authority.as_ref().der().clone()).unwrap();
    let roots = Arc::new(roots);
    let (server_certificate, server_key) = issue("broker.test");
    let (client_certificate, client_key) = issue("client.test");
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .unwrap();
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![server_certificate], server_key)
        .unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![client_certificate.clone()], client_key)
        .unwrap();
    Ends {
        server: Arc::new(server),
        client: Arc::new(client),
        client_certificate,
    }
}

fn name() -> ServerName<'static> {
    ServerName::try_from("broker.test").unwrap()
}

async fn tls_pair(shard: &sluice_dataplane::shard::ShardContext, ends: &Ends) -> (Stream, Stream) {
    let (a, b) = sock_pair(shard).await;
    let client = Stream::open(a, Some(TlsRole::Client(Arc::clone(&ends.client), name())));
    let server = Stream::open(b, Some(TlsRole::Server(Arc::clone(&ends.server))));
    let (client, server) = zip(client, server).await;
    (client.unwrap(), server.unwrap())
}

/// A server role on the shard, a blocking rustls client on a thread.
#[test]
fn echoes_to_a_blocking_client_as_server() {
    let _watchdog = Watchdog::start("TLS server");
    let ends = ends();
    for readiness in SETS {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let config = Arc::clone(&ends.client);
        let client = std::thread::spawn(move || {
            let tls = ClientConnection::new(config, name()).unwrap();
            let mut stream = StreamOwned::new(tls, TcpStream::connect(addr).unwrap());
            for length in [1, 17, 16 * 1024, 16 * 1024 + 1, 200_000] {
                let sent = pattern(length as u64, length);
                // In pieces: client and echo both block on full buffers otherwise.
                for piece in sent.chunks(50_000) {
                    stream.write_all(piece).unwrap();
                    let mut back = vec![0; piece.len()];
                    stream.read_exact(&mut back).unwrap();
                    assert!(back == piece);
                }
            }
            stream.conn.send_close_notify();
            stream.flush().unwrap();
            assert_eq!(stream.read(&mut [0]).unwrap(), 0, "close_notify comes back");
        });
        let ends = ends.clone();
        let listener = Arc::new(listener);
        on_one_shard(readiness, move |shard| {
            let (ends, listener) = (ends.clone(), Arc::clone(&listener));
            async move {
                let (fd, peer) = listener.accept().unwrap();
                let sock = Sock::from_accepted(shard.driver(), fd.into(), peer).unwrap();
                let stream = Stream::open(sock, Some(TlsRole::Server(ends.server)))
                    .await
                    .unwrap();
                assert_eq!(
                    stream.peer_certificates().unwrap(),
                    [ends.client_certificate]
                );
                let mut buf = vec![0; 3000];
                while let count @ 1.. = stream.read(&mut buf).await.unwrap() {
                    stream.write_all(&buf[..count]).await.unwrap();
                }
                stream.shutdown(Shutdown::Write).await.unwrap();
            }
        });
        client.join().unwrap();
    }
}

/// The client role on the shard, a blocking rustls server on a thread that also refreshes keys.
#[test]
fn echoes_from_a_blocking_server_as_client_across_key_updates() {
    let _watchdog = Watchdog::start("TLS client");
    let ends = ends();
    for readiness in SETS {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let config = Arc::clone(&ends.server);
        let server = std::thread::spawn(move || {
            let tls = ServerConnection::new(config).unwrap();
            let mut stream = StreamOwned::new(tls, listener.accept().unwrap().0);
            let mut buf = vec![0; 20_000];
            while let count @ 1.. = stream.read(&mut buf).unwrap() {
                stream.write_all(&buf[..count]).unwrap();
                stream.conn.refresh_traffic_keys().unwrap();
            }
            stream.conn.send_close_notify();
            stream.flush().unwrap();
        });
        let ends = ends.clone();
        on_one_shard(readiness, move |shard| {
            let ends = ends.clone();
            async move {
                let sock = Sock::connect(shard.driver(), addr, Duration::from_secs(30))
                    .await
                    .unwrap();
                let stream = Stream::open(sock, Some(TlsRole::Client(ends.client, name())))
                    .await
                    .unwrap();
                for turn in 0..40 {
                    let sent = pattern(turn, 9000);
                    let (head, body) = sent.split_at(20);
                    stream
                        .write_vectored_all(&mut [IoSlice::new(head), IoSlice::new(body)])
                        .await
                        .unwrap();
                    let mut back = vec![0; sent.len()];
                    let mut filled = 0;
                    while filled < back.len() {
                        filled += stream.read(&mut back[filled..]).await.unwrap();
                    }
                    assert!(back == sent);
                }
                stream.shutdown(Shutdown::Write).await.unwrap();
                assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
            }
        });
        server.join().unwrap();
    }
}

#[test]
fn carries_both_directions_at_once_from_two_tasks_in_small_reads_and_large() {
    let _watchdog = Watchdog::start("TLS full duplex");
    let ends = ends();
    for (readiness, read_bytes) in SETS.into_iter().zip([7001, 300_000]) {
        let ends = ends.clone();
        on_one_shard(readiness, move |shard| {
            let ends = ends.clone();
            async move {
                let (client, server) = tls_pair(&shard, &ends).await;
                let exchange = |stream: Rc<Stream>, seed: u64| {
                    let shard = shard.clone();
                    async move {
                        let writer = Rc::clone(&stream);
                        shard.spawn_guarded("writer", async move {
                            writer.write_all(&pattern(seed, 3 << 20)).await.unwrap();
                            writer.shutdown(Shutdown::Write).await.unwrap();
                        });
                        let (mut all, mut buf) = (Vec::new(), vec![0; read_bytes]);
                        while let count @ 1.. = stream.read(&mut buf).await.unwrap() {
                            all.extend_from_slice(&buf[..count]);
                        }
                        all
                    }
                };
                let (at_client, at_server) =
                    zip(exchange(Rc::new(client), 1), exchange(Rc::new(server), 2)).await;
                assert!(at_client == pattern(2, 3 << 20) && at_server == pattern(1, 3 << 20));
                shard.guarded_ended().await;
            }
        });
    }
}

/// What a given-up write left inside rustls leaves with the reads that follow.
#[test]
fn a_task_that_only_reads_sends_what_a_given_up_write_left_behind() {
    const PART: usize = sluice_dataplane::limits::TLS_WRITE_BYTES_MAX;
    let _watchdog = Watchdog::start("TLS left behind");
    let ends = ends();
    for readiness in SETS {
        let ends = ends.clone();
        on_one_shard(readiness, move |shard| {
            let ends = ends.clone();
            async move {
                let (client, server) = tls_pair(&shard, &ends).await;
                let driver = shard.driver();
                let quiet = || async {
                    for _ in 0..300 {
                        driver.turn().await;
                    }
                };
                let bytes = pattern(3, 32 << 20);
                let given_up = or(async { Some(client.write_all(&bytes).await) }, async {
                    quiet().await;
                    None
                })
                .await;
                assert!(
                    given_up.is_none(),
                    "the kernel took all: nothing was given up"
                );
                let take = async {
                    let (mut all, mut buf) = (Vec::new(), vec![0; 100_000]);
                    while let Some(count) = or(
                        async { Some(server.read(&mut buf).await.unwrap()) },
                        async {
                            quiet().await;
                            None
                        },
                    )
                    .await
                    {
                        all.extend_from_slice(&buf[..count]);
                    }
                    assert!(all == bytes[..all.len()]);
                    assert!(
                        !all.is_empty() && all.len().is_multiple_of(PART),
                        "{} bytes came",
                        all.len()
                    );
                    server.write_all(b"!").await.unwrap();
                };
                let mut answer = [0; 8];
                let (read, ()) = zip(client.read(&mut answer), take).await;
                assert_eq!(read.unwrap(), 1);
            }
        });
    }
}

#[test]
fn a_tcp_end_without_close_notify_is_truncation() {
    let _watchdog = Watchdog::start("TLS truncation");
    let ends = ends();
    for readiness in SETS {
        let ends = ends.clone();
        on_one_shard(readiness, move |shard| {
            let ends = ends.clone();
            async move {
                let (client, server) = tls_pair(&shard, &ends).await;
                client.write_all(b"and then").await.unwrap();
                drop(client); // FIN, and no close_notify
                let mut buf = [0; 64];
                assert_eq!(server.read(&mut buf).await.unwrap(), 8);
                assert_eq!(
                    server.read(&mut buf).await.unwrap_err().kind(),
                    ErrorKind::UnexpectedEof
                );
                assert_eq!(
                    server.read(&mut buf).await.unwrap_err().kind(),
                    ErrorKind::UnexpectedEof,
                    "for good"
                );
            }
        });
    }
}

#[test]
fn a_handshake_fails_on_garbage_on_an_early_end_and_on_a_wrong_name() {
    let _watchdog = Watchdog::start("TLS handshake fails");
    let ends = ends();
    for readiness in SETS {
        let ends = ends.clone();
        on_one_shard(readiness, move |shard| {
            let ends = ends.clone();
            async move {
                let server = || Some(TlsRole::Server(Arc::clone(&ends.server)));
                let (far, near) = sock_pair(&shard).await;
                far.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
                assert_eq!(
                    Stream::open(near, server()).await.unwrap_err().kind(),
                    ErrorKind::InvalidData
                );
                let mut alert = [0; 64];
                assert!(far.read(&mut alert).await.unwrap() > 0, "the peer is told");
                assert_eq!(alert[0], 21, "by an alert record");

                let (far, near) = sock_pair(&shard).await;
                drop(far);
                assert_eq!(
                    Stream::open(near, server()).await.unwrap_err().kind(),
                    ErrorKind::UnexpectedEof
                );

                let (a, b) = sock_pair(&shard).await;
                let wrong = ServerName::try_from("elsewhere.test").unwrap();
                let client =
                    Stream::open(a, Some(TlsRole::Client(Arc::clone(&ends.client), wrong)));
                let (client, server) = zip(client, Stream::open(b, server())).await;
                assert_eq!(client.unwrap_err().kind(), ErrorKind::InvalidData);
                assert!(server.is_err());
            }
        });
    }
}
