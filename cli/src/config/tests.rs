use std::path::Path;

use sluice_dataplane::config::BrokerNames;

use super::fields::Mistake;
use super::*;

const UP: &str = "\
name: gateway-1
state_dir: state
listen:
  host: 127.0.0.1
  advertised_host: kafka.example
  bootstrap_port: 0
brokers:
  bootstrap: [127.0.0.1:9092, 'localhost:9093']
  credential:
    scram-sha-512: {username: sluice-gateway, password_file: secrets/broker}
shards: {cpus: [0, 1], hot_us: 50}
connections_memory_mib: 1024
metrics: {listen: 127.0.0.1:9464}
issuers:
  - {name: local, url: 'http://127.0.0.1:9000', development: true}
development_provider:
  name: demo
  clients:
    - {id: alice, secret: '007', claims: {groups: [authors], level: 3, sub: alice}, ttl_s: 60}
control:
  grpc: 127.0.0.1:0
  dashboard: false
  store: {etcd: {endpoints: ['http://127.0.0.1:2379']}}
  bootstrap_author: {issuer: demo, value: frank}
";

fn read_up(text: &str) -> Result<Config, Vec<Mistake>> {
    read(text, Planes::Both, Path::new("/base"))
}

fn mistakes(text: &str, planes: Planes) -> Vec<(usize, String)> {
    let mistakes = read(text, planes, Path::new("")).expect_err("mistakes");
    mistakes
        .into_iter()
        .map(|mistake| (mistake.line, mistake.message))
        .collect()
}

#[track_caller]
fn finds(found: &[(usize, String)], line: usize, words: &str) {
    assert!(
        found
            .iter()
            .any(|(at, message)| *at == line && message.contains(words)),
        "no `{words}` at {line} in {found:#?}"
    );
}

#[test]
fn brokers_go_by_name_only_where_tls_tells_the_names_apart() {
    let listen = |listen: &str| {
        let start = UP.find("listen:").unwrap();
        let end = start + UP[start..].find("\nbrokers:").unwrap();
        let text = format!("{}listen: {listen}{}", &UP[..start], &UP[end..]);
        read_up(&text).map_err(|mistakes| {
            mistakes
                .into_iter()
                .map(|mistake| (mistake.line, mistake.message))
                .collect::<Vec<_>>()
        })
    };
    let tls = "tls: {certificate: c.pem, key: k.pem}";
    let config = listen(&format!(
        "{{broker_names: 'b{{node}}.kafka.example', {tls}}}"
    ))
    .unwrap();
    let names = BrokerNames::parse("b{node}.kafka.example").unwrap();
    assert_eq!(
        config.gateway.unwrap().listen.brokers,
        BrokerAddresses::Names(names)
    );
    let found = listen("{broker_names: 'b{node}.kafka.example', broker_port_base: 5}").unwrap_err();
    finds(&found, 3, "keep one");
    finds(&found, 3, "needs `tls`");
    let same = "advertised_host: b0.kafka.example, broker_names: 'b{node}.kafka.example'";
    let found = listen(&format!("{{{same}, {tls}}}")).unwrap_err();
    finds(&found, 3, "another one to start from");
    let found = listen(&format!("{{broker_names: kafka.example, {tls}}}")).unwrap_err();
    finds(&found, 3, "first label");
}

#[test]
fn a_whole_configuration_is_read_with_its_defaults() {
    let config = read_up(UP).unwrap();
    assert_eq!(config.state_dir, Path::new("/base/state"));
    let gateway = config.gateway.unwrap();
    assert_eq!(
        (gateway.listen.bootstrap_port, gateway.listen.brokers),
        (0, BrokerAddresses::Ports { base: 19_093 })
    );
    assert_eq!((gateway.shard_cpus, gateway.hot_us), (vec![0, 1], 50));
    assert_eq!(gateway.connections_bytes_max, 1 << 30);
    assert_eq!(
        gateway.brokers.credential,
        BrokerCredential::Sasl {
            mechanism: SaslMechanism::ScramSha512,
            username: "sluice-gateway".into(),
            password: Secret::File("/base/secrets/broker".into()),
        }
    );
    let control = config.control.unwrap();
    assert_eq!(
        (control.dashboard, control.evidence_origin.as_str()),
        (None, "gateway-1")
    );
    assert_eq!(
        control.store,
        Store::Etcd {
            endpoints: vec!["http://127.0.0.1:2379".into()],
            prefix: "/sluice/".into()
        }
    );
    assert_eq!(control.bootstrap_author.unwrap().claim, "sub");
    let provider = config.development_provider.unwrap();
    assert_eq!(provider.listen.port(), 7_081);
    let [alice] = provider.clients.as_slice() else {
        panic!("{provider:?}")
    };
    assert_eq!(
        alice.secret,
        Secret::Text("007".into()),
        "quoted numbers stay as written"
    );
    assert_eq!(
        serde_json::Value::Object(alice.claims.clone()),
        serde_json::json!({"groups": ["authors"], "level": 3, "sub": "alice"})
    );
}

#[test]
fn all_mistakes_are_reported_at_once_with_their_lines() {
    let found = mistakes(
        "\
name: Gateway_1
stat_dir: state
listen:
  host: 0.0.0.0
  bootstrap_port: 99999
  colour: blue
brokers:
  bootstrap: [nowhere]
  credential:
    plain: {username: u, password: p, password_file: f}
issuers:
  - name: corporate
    url: http://idp.example
development_provider:
  listen: 0.0.0.0:7081
  clients:
    - {id: a, secret: x, ttl_s: 0}
    - {id: a, secret: x, claims: {iss: me}}
control:
  grpc: here
  bootstrap_author: {issuer: nobody, value: frank}
",
        Planes::Both,
    );
    finds(&found, 1, "DNS name");
    finds(&found, 1, "no `state_dir`");
    finds(&found, 2, "no key `stat_dir`");
    finds(&found, 4, "advertised_host");
    finds(&found, 4, "not loopback");
    finds(&found, 5, "a port");
    finds(&found, 6, "no key `colour`");
    finds(&found, 8, "not host:port");
    finds(&found, 10, "exactly one of `password_file`");
    finds(&found, 12, "plain http");
    finds(&found, 15, "loopback only");
    finds(&found, 17, "ttl_s");
    finds(&found, 18, "stands here twice");
    finds(&found, 18, "provider's own");
    finds(&found, 20, "an address and a port");
    finds(&found, 21, "no issuer nobody");
    assert!(found.is_sorted(), "{found:#?}");
}

#[test]
fn a_gateway_and_a_control_plane_alone_refuse_development_issuers() {
    for planes in [Planes::Gateway, Planes::Control] {
        let found = mistakes(UP, planes);
        finds(&found, 15, "Only `sluice up` accepts it");
        finds(&found, 17, "only inside `sluice up`");
    }
}

#[test]
fn connections_have_room_for_the_longest_request_and_answer() {
    let small = UP.replace(
        "connections_memory_mib: 1024",
        "connections_memory_mib: 511",
    );
    finds(&mistakes(&small, Planes::Both), 12, "MiB, 512 or more");
}

#[test]
fn an_issuer_without_tls_is_on_loopback_or_a_mistake() {
    let local = "\
name: gateway-1
state_dir: state
listen: {host: 127.0.0.1}
brokers: {bootstrap: [b:9092], credential: {plain: {username: u, password: p}}}
issuers: [{name: proxied, url: 'http://127.0.0.1:9000'}]
";
    let config = read(local, Planes::Gateway, Path::new("")).unwrap();
    assert_eq!(config.issuers[0].url, "http://127.0.0.1:9000");
    for planes in [Planes::Both, Planes::Gateway, Planes::Control] {
        let remote = local.replace("127.0.0.1:9000", "idp.example");
        finds(&mistakes(&remote, planes), 5, "plain http");
    }
}

#[test]
fn only_up_allows_the_development_provider_in_both_planes() {
    use super::material;
    use sluice_controlplane::config as control;
    use sluice_dataplane::config::DevelopmentIssuers::{Allow, Refuse};
    let config = read_up(&UP.replace("password_file: secrets/broker", "password: p")).unwrap();
    let section = config.gateway.as_ref().unwrap();
    for (development, expected) in [
        (control::DevelopmentIssuers::Allow, Allow),
        (control::DevelopmentIssuers::Refuse, Refuse),
    ] {
        let gateway =
            material::gateway(&config, section, &config.issuers, development, None).unwrap();
        assert!(!gateway.issuers.is_empty());
        assert!(
            gateway
                .issuers
                .iter()
                .all(|issuer| issuer.development == expected)
        );
    }
    assert_eq!(
        crate::run::development_issuers(&config),
        control::DevelopmentIssuers::Allow
    );
    let mut alone = config.clone();
    alone.control = None;
    assert_eq!(
        crate::run::development_issuers(&alone),
        control::DevelopmentIssuers::Refuse
    );
    let mut alone = config;
    alone.gateway = None;
    assert_eq!(
        crate::run::development_issuers(&alone),
        control::DevelopmentIssuers::Refuse
    );
}

#[test]
fn a_gateway_alone_reads_its_link_and_needs_no_control_section() {
    let text = "\
name: gateway-1
state_dir: /var/lib/sluice
listen: {host: 127.0.0.1}
brokers: {bootstrap: [b:9092], credential: {plain: {username: u, password: p}}, tls: {roots: broker-ca.pem}}
issuers: [{name: corporate, url: 'https://idp.example'}]
link: {endpoint: 'https://control.example:7443', certificate: c.pem, key: k.pem, roots: r.pem}
";
    let config = read(text, Planes::Gateway, Path::new("")).unwrap();
    assert!(config.control.is_none());
    let link = config.gateway.unwrap().link.unwrap();
    assert_eq!(link.server_name, "control.example");
    finds(
        &mistakes(text, Planes::Both),
        6,
        "links its two planes itself",
    );
    finds(
        &mistakes(
            &text.replace("https://control", "http://control"),
            Planes::Gateway,
        ),
        6,
        "mask keys",
    );
    finds(&mistakes(text, Planes::Control), 1, "no `control`");
}

#[test]
fn a_control_plane_alone_has_tls() {
    let text = "\
name: control-1
state_dir: /var/lib/sluice
issuers: [{name: corporate, url: 'https://idp.example'}]
control:
  grpc: 0.0.0.0:7443
";
    finds(&mistakes(text, Planes::Control), 5, "no `tls`");
    let with_tls = format!("{text}  tls: {{certificate: c.pem, key: k.pem, gateway_ca: g.pem}}\n");
    let config = read(&with_tls, Planes::Control, Path::new("")).unwrap();
    assert!(config.gateway.is_none() && config.control.unwrap().tls.is_some());
}

#[test]
fn brokers_without_a_credential_need_the_word_danger() {
    let credential = "  credential:\n    scram-sha-512: {username: sluice-gateway, password_file: secrets/broker}\n";
    finds(
        &mistakes(&UP.replace(credential, ""), Planes::Both),
        8,
        "danger_no_credential",
    );
    let config = read_up(&UP.replace(credential, "  danger_no_credential: true\n")).unwrap();
    assert_eq!(
        config.gateway.unwrap().brokers.credential,
        BrokerCredential::DangerNone
    );
    let both = UP.replace("brokers:\n", "brokers:\n  danger_no_credential: true\n");
    finds(&mistakes(&both, Planes::Both), 8, "keep one");
}

#[test]
fn tokens_beyond_loopback_need_tls() {
    let open = UP.replace("  host: 127.0.0.1\n", "  host: 192.0.2.7\n");
    finds(&mistakes(&open, Planes::Both), 4, "readable on the way");
    let with_tls = open.replace(
        "listen:\n",
        "listen:\n  tls: {certificate: c.pem, key: k.pem}\n",
    );
    assert!(read_up(&with_tls).is_ok());
}

#[test]
fn files_that_are_not_one_yaml_mapping_are_refused_with_a_line() {
    for (text, line, words) in [
        ("", 1, "empty"),
        ("name: a\nname: b\n", 2, "YAML"),
        ("name: [a\n", 2, "YAML"),
        ("a: &x {b: 1}\nc: *x\n", 2, "YAML"),
        ("- a\n", 1, "is a mapping"),
        ("name: a\n---\nname: b\n", 3, "one document"),
    ] {
        finds(&mistakes(text, Planes::Both), line, words);
    }
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    assert!(!format!("{:?}", read_up(UP).unwrap()).contains("007"));
}

#[test]
fn a_client_list_is_read_by_itself() {
    let clients =
        read_clients("clients: [{id: svc, secret_file: s}]\n", Path::new("/base")).unwrap();
    assert_eq!(clients[0].secret, Secret::File("/base/s".into()));
    assert!(read_clients("clients: []\n", Path::new("")).is_err());
    assert!(read_clients("clients: [{id: 'a:b', secret: x}]\n", Path::new("")).is_err());
}
