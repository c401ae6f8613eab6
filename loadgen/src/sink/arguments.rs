//! The command line of a sink.

use std::io::Write as _;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use rustls::ServerConfig;

use super::{Sink, SinkConfig, SinkListener};
use crate::Error;
use crate::arguments::{RecordsArguments, argument, within};
use crate::limits::SINK_PARTITIONS_MAX;
use crate::records::Keys;
use crate::report::Report;
use crate::stream::server_tls_config;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Where to listen. Clients are told the same address, or the one behind `=`: that of a proxy in front which passes
    /// bytes on without reading them. May be given several times. Everybody is let in: stay on loopback.
    #[arg(
        long,
        value_name = "HOST:PORT[=HOST:PORT]",
        default_value = "127.0.0.1:19092"
    )]
    pub listen: Vec<String>,
    /// The same under TLS, with the certificate and key below. May be given several times.
    #[arg(
        long,
        value_name = "HOST:PORT[=HOST:PORT]",
        requires = "tls_certificate"
    )]
    pub listen_tls: Vec<String>,
    /// PEM certificate chain of the TLS listeners, their own first.
    #[arg(long, value_name = "FILE", requires_all = ["tls_key", "listen_tls"])]
    pub tls_certificate: Option<PathBuf>,
    /// PEM private key of that certificate.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
    /// Pin one shard to each of these CPUs; without it there is one shard, not pinned.
    #[arg(long, value_name = "CPU", value_delimiter = ',')]
    pub cpu: Vec<usize>,
    /// Topics that exist, with their numbers of partitions. May be given several times.
    #[arg(long, value_name = "NAME[=PARTITIONS]", required = true)]
    pub topic: Vec<String>,
    /// Records in the one batch that is fetched over and over.
    #[arg(long, default_value_t = 100)]
    pub records_per_batch: usize,
    #[command(flatten)]
    pub records: RecordsArguments,
}

impl Arguments {
    /// Checks everything that can be checked before anything listens.
    ///
    /// # Errors
    /// Arguments that make no sense; the error says what to write.
    pub fn check(&self) -> Result<SinkConfig, Error> {
        within("--records-per-batch", self.records_per_batch, 1, 1_000_000)?;
        let tls = match (&self.tls_certificate, &self.tls_key) {
            (Some(certificate), Some(key)) => Some(server_tls_config(certificate, key)?),
            _ => None,
        };
        let plain = self
            .listen
            .iter()
            .map(|text| listener("--listen", text, None));
        let secured = self
            .listen_tls
            .iter()
            .map(|text| listener("--listen-tls", text, tls.clone()));
        let shape = self.records.shape()?;
        if matches!(shape.keys, Keys::Digits { .. }) {
            return Err(Error::OperatorArgument(
                "--keys: a sink sends one batch over and over; give letters or none".to_owned(),
            ));
        }
        Ok(SinkConfig {
            listeners: plain.chain(secured).collect::<Result<_, _>>()?,
            cpus: self.cpu.clone(),
            topics: self
                .topic
                .iter()
                .map(|text| topic(text))
                .collect::<Result<_, _>>()?,
            shape,
            records_per_batch: self.records_per_batch,
            seed: self.records.seed,
        })
    }
}

/// `loadgen sink`: says when it is ready, and serves until the process is ended.
///
/// # Errors
/// The arguments make no sense, or the sink cannot listen or go on.
pub fn serve_and_report(arguments: &Arguments) -> Result<Report, Error> {
    let sink = Sink::start(&arguments.check()?)?;
    let addresses: Vec<String> = sink.addresses().iter().map(SocketAddr::to_string).collect();
    // Whoever started it may not read on; that is no reason to stop serving.
    let mut out = std::io::stdout();
    let _ = writeln!(out, "sink is ready on {}", addresses.join(" ")).and_then(|()| out.flush());
    sink.wait()?;
    Ok((String::new(), true))
}

fn listener(
    option: &str,
    text: &str,
    tls: Option<Arc<ServerConfig>>,
) -> Result<SinkListener, Error> {
    let (listen, advertised) = match text.split_once('=') {
        Some((listen, advertised)) => (listen, Some(advertised)),
        None => (text, None),
    };
    let found = listen
        .to_socket_addrs()
        .ok()
        .and_then(|mut found| found.next());
    let Some(listen) = found else {
        return argument(format!(
            "{option} {text}: write HOST:PORT, such as 127.0.0.1:19092"
        ));
    };
    let split = |address: &str| {
        let (host, port) = address.rsplit_once(':')?;
        Some((host.trim_matches(['[', ']']).to_owned(), port.parse().ok()?))
    };
    let advertised = match advertised.map(split) {
        Some(None) => {
            let advice = "behind = write the HOST:PORT that clients shall connect to";
            return argument(format!("{option} {text}: {advice}"));
        }
        Some(advertised) => advertised,
        None => None,
    };
    Ok(SinkListener {
        listen,
        advertised,
        tls,
    })
}

fn topic(text: &str) -> Result<(String, i32), Error> {
    let (name, partitions) = text.split_once('=').unwrap_or((text, "1"));
    let partitions = partitions
        .parse()
        .ok()
        .filter(|count| (1..=SINK_PARTITIONS_MAX).contains(count));
    match partitions {
        Some(partitions) if !name.is_empty() && name.len() <= 249 => {
            Ok((name.to_owned(), partitions))
        }
        _ => argument(format!(
            "--topic {text}: write NAME or NAME=PARTITIONS, 1 to {SINK_PARTITIONS_MAX} of them"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_may_advertise_a_proxy_in_front() {
        let listener = |text| listener("--listen", text, None);
        let plain = listener("127.0.0.1:9").unwrap();
        assert_eq!((plain.listen.port(), plain.advertised), (9, None));
        let behind = listener("127.0.0.1:9=proxy:10").unwrap();
        assert_eq!(behind.advertised, Some(("proxy".to_owned(), 10)));
        for text in ["127.0.0.1", "127.0.0.1:9=proxy", "127.0.0.1:9="] {
            assert!(
                listener(text)
                    .unwrap_err()
                    .to_string()
                    .contains("HOST:PORT"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_topic_has_one_partition_unless_it_says_more() {
        assert_eq!(topic("a").unwrap(), ("a".to_owned(), 1));
        assert_eq!(topic("a=4").unwrap(), ("a".to_owned(), 4));
        for text in ["a=0", "a=many", "=3", "a=10001"] {
            assert!(
                topic(text).unwrap_err().to_string().contains("PARTITIONS"),
                "{text}"
            );
        }
    }
}
