"""What a run needs before anything starts: free ports, and demo/'s documents filled in for it."""

import json
import pathlib
import re
import socket

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1"


class Place:
    """Everything that one run has, kept in RUN/place.json between the calls that scripts/demo makes."""

    def __init__(self, run, **facts):
        self.run = pathlib.Path(run)
        self.facts = facts

    @classmethod
    def load(cls, run):
        return cls(run, **json.loads((pathlib.Path(run) / "place.json").read_text()))

    def save(self):
        (self.run / "place.json").write_text(json.dumps(self.facts, indent=2) + "\n")

    def __getattr__(self, name):
        try:
            return self.__dict__["facts"][name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def state(self):
        return self.run / "state"

    @property
    def policy(self):
        return self.run / "policy"


def is_free(port):
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port(wanted, taken=()):
    """The wanted port if nobody has it, else one further up."""
    port = wanted
    while port in taken or not is_free(port):
        port += 1
    return port


def free_base(wanted, nodes, taken):
    """The gateway opens one port for each broker, at this base plus the broker's node id."""
    base = wanted
    while any(base + node in taken or not is_free(base + node) for node in nodes):
        base += 1
    if base + max(nodes) > 65_535:
        raise SystemExit(f"demo: node id {max(nodes)} leaves no room for a port; the demonstration takes ids up to 45000")
    return base


def gateway_ports(nodes):
    ports = {}
    for name, wanted in [("bootstrap", 19092), ("grpc", 7443), ("dashboard", 7080), ("provider", 7081)]:
        ports[name] = free_port(wanted, ports.values())
    ports["base"] = free_base(19093, nodes, ports.values())
    for name, wanted in [("bootstrap", 19092), ("grpc", 7443), ("dashboard", 7080), ("provider", 7081), ("base", 19093)]:
        if ports[name] != wanted:
            print(f"demo: port {wanted} is taken, {name} is at {ports[name]}")
    return ports


def with_prefix(text, prefix):
    """The policy for topics and groups that all start with `prefix`; carol's "every topic" becomes every topic of the demo."""
    text = re.sub(r'\{prefix: "?([^"}]*)"?\}', lambda found: f'{{prefix: "{prefix}{found[1]}"}}', text)

    def names(found):
        items = [item.strip() for item in found[1].split(",")]
        return "topics: [" + ", ".join(item if item.startswith("{") else prefix + item for item in items) + "]"

    return re.sub(r"topics: \[([^\]]*)\]", names, text)


def write_policy(place):
    place.policy.mkdir()
    for name in ["policy.yaml", "conflict.yaml", "revoke.yaml"]:
        text = (ROOT / "demo" / name).read_text()
        (place.policy / name).write_text(with_prefix(text, place.prefix) if place.prefix else text)


def write_config(place):
    ports = place.ports
    values = {
        "STATE_DIR": place.state,
        "BOOTSTRAP_PORT": ports["bootstrap"],
        "BROKER_PORT_BASE": ports["base"],
        "BROKERS": place.brokers,
        "BROKER_PASSWORD_FILE": place.password_file,
        "GRPC_PORT": ports["grpc"],
        "DASHBOARD_PORT": ports["dashboard"],
        "PROVIDER_PORT": ports["provider"],
    }
    text = (ROOT / "demo" / "sluice.yaml.in").read_text()
    text = re.sub(r"@([A-Z_]+)@", lambda found: str(values[found[1]]), text)
    credential = re.compile(r"scram-sha-512: \{username: sluice-gateway,")
    lines = f"{place.mechanism.lower()}: {{username: {json.dumps(place.username)},"
    text, count = credential.subn(lambda _: lines, text)
    if count != 1:
        raise SystemExit("demo: demo/sluice.yaml.in has no credential where this script expects it")
    if place.roots:
        text = text.replace("\ncontrol:", f"  tls: {{roots: {json.dumps(place.roots)}}}\n\ncontrol:", 1)
    (place.run / "sluice.yaml").write_text(text)
