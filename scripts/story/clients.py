"""Real Kafka clients under tests/drivers, and the verbs of `sluice`: who calls, what was said, in the callers' own words."""

import concurrent.futures
import itertools
import json
import os
import subprocess
import threading
import time

from prepare import LOOPBACK, ROOT

ANSWER_WITHIN_S = 90
TOKEN_KEPT_S = 60


class Driver:
    """A process full of Kafka clients (tests/drivers/README.md): orders in, answers out, many at once."""

    def __init__(self, name, command, log):
        self.name = name
        with open(log, "ab") as errors:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, cwd=ROOT, text=True
            )
        self.waiting = {}
        self.numbers = itertools.count(1)
        self.lock = threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            answer = json.loads(line)
            with self.lock:
                future = self.waiting.pop(answer["id"])
            future.set_result(answer)
        with self.lock:
            for future in self.waiting.values():
                future.set_exception(RuntimeError(f"the {self.name} driver ended"))

    def order(self, verb, config, **fields):
        """A future of the answer."""
        future = concurrent.futures.Future()
        with self.lock:
            number = next(self.numbers)
            self.waiting[number] = future
            self.process.stdin.write(json.dumps({"id": number, "verb": verb, "config": config, **fields}) + "\n")
            self.process.stdin.flush()
        return future

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()


def librdkafka(place):
    command = [str(ROOT / ".cache/venv/bin/python"), "tests/drivers/driver.py"]
    return Driver("librdkafka", command, place.run / "librdkafka.log")


def java(place):
    driver = Driver(
        "Java",
        [
            "java",
            "-Xmx384m",
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            f"-Dlog4j2.configurationFile={ROOT}/tests/kafka/log4j2-clients.properties",
            "-cp",
            f"{ROOT}/.cache/java:{ROOT}/.cache/kafka/broker/*",
            "Driver",
        ],
        place.run / "java.log",
    )
    # Java asks no endpoint for tokens that is not named beforehand.
    driver.order("allow_token_endpoint", {}, urls=token_endpoint(place))
    return driver


def issuer(place):
    return f"http://{LOOPBACK}:{place.ports['provider']}"


def token_endpoint(place):
    return issuer(place) + "/token"


def secret_of(name):
    """As demo/sluice.yaml.in has it."""
    return f"{name}-secret"


def through_gateway(place, name, library):
    """A client that gets its tokens by its own credentials, as `name`."""
    return {
        "bootstrap.servers": f"{LOOPBACK}:{place.ports['bootstrap']}",
        "security.protocol": "SASL_PLAINTEXT",
        "client.id": name,
        **by_token(place, name, library),
    }


def by_token(place, name, library):
    login = {"sasl.mechanism": "OAUTHBEARER", "sasl.oauthbearer.token.endpoint.url": token_endpoint(place)}
    if library == "librdkafka":
        login |= {
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.client.id": name,
            "sasl.oauthbearer.client.secret": secret_of(name),
        }
    else:
        package = "org.apache.kafka.common.security.oauthbearer"
        login |= {
            "sasl.login.callback.handler.class": f"{package}.OAuthBearerLoginCallbackHandler",
            "sasl.jaas.config": f'{package}.OAuthBearerLoginModule required clientId="{name}" '
            f'clientSecret="{secret_of(name)}";',
        }
    return login


def to_brokers(place, username=None, password=None):
    """librdkafka straight to the brokers; as the gateway itself, to look behind its back, unless told otherwise."""
    with open(place.password_file) as file:
        own = file.read().strip()
    return {
        **brokers_address(place),
        "sasl.mechanism": place.mechanism,
        "sasl.username": username or place.username,
        "sasl.password": password or own,
    }


def brokers_address(place):
    reach = {"bootstrap.servers": place.brokers, "security.protocol": "SASL_PLAINTEXT"}
    if place.roots:
        reach |= {"security.protocol": "SASL_SSL", "ssl.ca.location": place.roots}
    return reach


class Sluice:
    """The verbs of `sluice`, each as somebody."""

    def __init__(self, place):
        self.place = place
        self.tokens = {}

    def token(self, name):
        """By client credentials, as `sluice token` gets it."""
        token, until = self.tokens.get(name, (None, 0))
        if time.monotonic() > until:
            said = subprocess.run(
                [self.place.sluice, "token", "--issuer", issuer(self.place), "--client-id", name],
                env={**os.environ, "SLUICE_CLIENT_SECRET": secret_of(name)},
                capture_output=True,
                text=True,
                timeout=ANSWER_WITHIN_S,
                check=False,
            )
            if said.returncode:
                raise RuntimeError(f"no token for {name}: {said.stderr.strip()}")
            token = said.stdout.strip()
            self.tokens[name] = (token, time.monotonic() + TOKEN_KEPT_S)
        return token

    def call(self, name, *words):
        """The exit code, what it printed, and what it complained of."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")}
        if name:
            environment |= {
                "SLUICE_TOKEN": self.token(name),
                "SLUICE_CONTROL": f"https://{LOOPBACK}:{self.place.ports['grpc']}",
                "SLUICE_CONTROL_ROOTS": str(self.place.state / "control" / "ca.pem"),
            }
        said = subprocess.run(
            [self.place.sluice, *map(str, words)],
            env=environment,
            cwd=self.place.run,
            capture_output=True,
            text=True,
            timeout=ANSWER_WITHIN_S,
            check=False,
        )
        return said.returncode, said.stdout, said.stderr
