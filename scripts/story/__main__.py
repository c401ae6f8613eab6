"""The parts of scripts/demo that talk: `ports`, `prepare`, `play`, `addresses`, `remove`, each with the run's folder first."""

import os
import secrets
import sys
import time

import clients
import prepare
from stage import Differs, Stage
from steps import STEPS


def ports(wanted):
    """For each wanted port one that is free, all on one line."""
    found = []
    for port in wanted:
        found.append(prepare.free_port(int(port), found))
    print(*found)


def ready(run, options):
    """Fills in the configuration and the policy, after asking the brokers who they are."""
    own_brokers = options["own"] == "yes"
    place = prepare.Place(
        run,
        sluice=options["sluice"],
        brokers=options["brokers"],
        mechanism=options["mechanism"].upper(),
        username=options["username"],
        password_file=os.path.abspath(options["password_file"]),
        roots=os.path.abspath(options["roots"]) if options["roots"] else "",
        own_brokers=own_brokers,
        prefix=f"sluice-demo-{secrets.token_hex(3)}-" if own_brokers else "",
        stranger=options["stranger"],
    )
    driver = clients.librdkafka(place)
    try:
        answer = driver.order("describe_cluster", clients.to_brokers(place)).result(clients.ANSWER_WITHIN_S)
    finally:
        driver.end()
    if "error" in answer:
        raise SystemExit(f"demo: {place.brokers} does not answer {place.username}: {answer['error']['message']}")
    nodes = [node["id"] for node in answer["nodes"]]
    place.facts["ports"] = prepare.gateway_ports(nodes)
    if own_brokers:
        print(f"demo: cluster {answer['cluster_id']}, nodes {', '.join(map(str, nodes))}")
        print(f"demo: every topic and every group of this demo starts with {place.prefix}")
        print("demo: they are all removed at the end, and nothing else is touched")
    prepare.write_policy(place)
    prepare.write_config(place)
    place.save()


def play(run):
    """All steps; 1 if any was not as told."""
    began = time.monotonic()
    stage = Stage(prepare.Place.load(run))
    told = []
    try:
        for step in STEPS:
            proves = "nothing: it broke off."
            try:
                proves = step(stage)
            except Differs:
                pass
            except Exception as thrown:  # whatever broke is what differed
                stage.check("the step goes through", False, f"{type(thrown).__name__}: {thrown}")
            told.append((step.__name__.replace("_", " "), stage.finish(proves)))
    finally:
        stage.end()
    print(f"\n== {sum(ok for _, ok in told)} of {len(told)} steps as told, in {time.monotonic() - began:.0f} s")
    for name, ok in told:
        print(f"   {'ok       ' if ok else 'DIFFERENT'}  {name}")
    return 0 if all(ok for _, ok in told) else 1


def addresses(run):
    """Where everything is, and what to try."""
    place = prepare.Place.load(run)
    host, at = prepare.LOOPBACK, place.ports
    sluice = os.path.relpath(place.sluice, prepare.ROOT)
    sluice = place.sluice if sluice.startswith("..") else sluice
    issuer = clients.issuer(place)
    print(f"""
== Everything keeps running until Ctrl-C

   Kafka through the gateway   {host}:{at['bootstrap']}  SASL_PLAINTEXT, OAUTHBEARER
   the dashboard               http://{host}:{at['dashboard']}
   the identity provider       {issuer}  clients svc-orders, analytics, carol, dave, erin, ...; secret: the name and -secret
   the brokers themselves      {place.brokers}
   configuration, state, logs  {place.run}

   For a shell:
      alias sluice={sluice}
      export SLUICE_CONTROL=https://{host}:{at['grpc']} SLUICE_CONTROL_ROOTS={place.state}/control/ca.pem
      as() {{ SLUICE_CLIENT_SECRET=$1-secret {sluice} token --issuer {issuer} --client-id "$1"; }}
   The dashboard asks for a token: this prints erin's, the auditor.
      as erin

   Try:
      SLUICE_TOKEN=$(as frank) sluice explain User:carol Delete topic {place.prefix}ledger
      SLUICE_TOKEN=$(as erin) sluice evidence search --kind Denied --from 15m
      SLUICE_TOKEN=$(as erin) sluice sessions list""", flush=True)


def remove(run):
    """Takes everything off somebody's own cluster whose name starts with the prefix, and looks that it is gone."""
    place = prepare.Place.load(run)
    if not place.own_brokers or not place.prefix.startswith("sluice-demo-"):
        return 0
    driver = clients.librdkafka(place)

    def ask(verb, **fields):
        return driver.order(verb, clients.to_brokers(place), **fields).result(clients.ANSWER_WITHIN_S)

    def left():
        found = {}
        for verb, kind in [("list_topics", "topics"), ("list_groups", "groups")]:
            answer = ask(verb)
            if "error" in answer:
                raise SystemExit(f"demo: {kind} cannot be listed: {answer['error']['message']}; look for {place.prefix}*")
            found[kind] = [name for name in answer[kind] if name.startswith(place.prefix)]
        return found

    try:
        end = time.monotonic() + 30
        while any((found := left()).values()) and time.monotonic() < end:
            for group in found["groups"]:
                ask("delete_group", group=group)
            for topic in found["topics"]:
                ask("delete_topic", topic=topic)
            time.sleep(0.2)
    finally:
        driver.end()
    for kind, names in found.items():
        if names:
            print(f"demo: these {kind} are still on your cluster: {' '.join(names)}")
    if not any(found.values()):
        print(f"demo: nothing named {place.prefix}* is left on your cluster")
    return 1 if any(found.values()) else 0


def main():
    verb, *words = sys.argv[1:]
    if verb == "ports":
        return ports(words)
    run, *words = words
    if verb == "prepare":
        return ready(run, dict(word.split("=", 1) for word in words))
    return {"play": play, "addresses": addresses, "remove": remove}[verb](run)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
