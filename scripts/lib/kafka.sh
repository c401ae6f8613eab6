#!/usr/bin/env bash
# The one place that knows how a Kafka for tests and for the demo is configured: KRaft, one to three combined nodes on
# loopback, SASL on every listener, and Kafka's own authorizer with nobody allowed but the super users.
#
#   kafka.sh configure DIR PORT...   format DIR for one node per pair of ports (clients, controller)
#   kafka.sh run DIR NODE            become the node (1, 2, 3), in the foreground
#   kafka.sh start DIR               run every configured node in the background and wait until all are ready
#   kafka.sh stop DIR                end what `start` began
#
# DIR/bootstrap holds the addresses, DIR/credentials one `user=password` a line (readable by the owner only):
#   sluice-gateway   super user: the principal of the gateway
#   harness          super user: for looking at the brokers behind the gateway's back
#   broker           super user: the nodes among themselves
#   stranger         a right password and no permission at all
# KAFKA_OVERRIDES  server properties to add, one a line, read by `configure`
# KAFKA_OPTS       options for the node's Java, read by `run` and `start`
# KAFKA_HEAP       heap of one node (default 512m)
# KAFKA_READY_S    how long `start` waits (default 60)
set -euo pipefail

kafka_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
kafka_jars=$kafka_root/.cache/kafka/broker
kafka_ready_line='Kafka Server started'

# 16 random bytes as Kafka writes an id: URL-safe base64 without padding, never with a leading dash.
kafka_id() {
    local id
    while :; do
        id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=')
        [[ $id == -* ]] || break
    done
    printf '%s' "$id"
}

kafka_java() { # replaces this shell
    exec java "$@"
}

kafka_password() { # DIR USER
    sed -n "s/^$2=//p" "$1/credentials"
}

kafka_jaas() { # DIR: what a listener accepts (user_*), and what the node itself says to its peers
    local user line='org.apache.kafka.common.security.plain.PlainLoginModule required'
    line+=" username=\"broker\" password=\"$(kafka_password "$1" broker)\""
    for user in broker sluice-gateway harness stranger; do
        line+=" user_$user=\"$(kafka_password "$1" "$user")\""
    done
    printf '%s;' "$line"
}

kafka_node_properties() { # DIR NODE NODES CLIENT_PORT CONTROLLER_PORT VOTERS
    local dir=$1 node=$2 nodes=$3 client_port=$4 controller_port=$5 voters=$6
    local in_sync=$((nodes > 1 ? 2 : 1))
    cat <<PROPERTIES
process.roles=broker,controller
node.id=$node
controller.quorum.voters=$voters
listeners=CLIENT://127.0.0.1:$client_port,CONTROLLER://127.0.0.1:$controller_port
advertised.listeners=CLIENT://127.0.0.1:$client_port
listener.security.protocol.map=CLIENT:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=CLIENT
sasl.mechanism.inter.broker.protocol=PLAIN
sasl.mechanism.controller.protocol=PLAIN
listener.name.client.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.client.plain.sasl.jaas.config=$(kafka_jaas "$dir")
listener.name.client.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.controller.sasl.enabled.mechanisms=PLAIN
listener.name.controller.plain.sasl.jaas.config=$(kafka_jaas "$dir")
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users=User:broker;User:sluice-gateway;User:harness
log.dirs=$dir/node-$node/data
default.replication.factor=$nodes
min.insync.replicas=$in_sync
num.partitions=1
auto.create.topics.enable=false
offsets.topic.replication.factor=$nodes
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=$nodes
transaction.state.log.min.isr=$in_sync
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor=$nodes
share.coordinator.state.topic.min.isr=$in_sync
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=16777216
num.network.threads=2
num.io.threads=4
PROPERTIES
    printf '%s\n' "${KAFKA_OVERRIDES:-}"
}

kafka_configure() { # DIR PORT...
    local dir nodes node voters='' user data
    mkdir -p "$1"
    dir=$(cd "$1" && pwd)
    shift
    if (($# == 0 || $# % 2)); then
        echo "kafka.sh configure: two ports for each node, please" >&2
        return 2
    fi
    local ports=("$@")
    nodes=$(($# / 2))

    (
        umask 077
        for user in broker sluice-gateway harness stranger; do
            echo "$user=$(kafka_id)"
        done >"$dir/credentials"
    )
    : >"$dir/bootstrap"
    for ((node = 1; node <= nodes; node++)); do
        voters+=${voters:+,}$node@127.0.0.1:${ports[node * 2 - 1]}
        echo "127.0.0.1:${ports[node * 2 - 2]}" >>"$dir/bootstrap"
    done
    for ((node = 1; node <= nodes; node++)); do
        mkdir -p "$dir/node-$node"
        (
            umask 077
            kafka_node_properties "$dir" "$node" "$nodes" "${ports[node * 2 - 2]}" "${ports[node * 2 - 1]}" "$voters" \
                >"$dir/node-$node/server.properties"
        )
    done

    local scram=()
    for user in sluice-gateway harness stranger; do
        scram+=(--add-scram "SCRAM-SHA-512=[name=$user,password=$(kafka_password "$dir" "$user")]")
    done
    if ! (kafka_java -Xmx256m -XX:TieredStopAtLevel=1 -cp "$kafka_jars/*" kafka.tools.StorageTool \
        format -c "$dir/node-1/server.properties" -t "$(kafka_id)" "${scram[@]}" >"$dir/format.log" 2>&1); then
        cat "$dir/format.log" >&2
        return 1
    fi
    rm "$dir/format.log" # it repeats the credentials
    # Formatting takes a Java start; the other nodes get a copy, under their own number and directory id.
    for ((node = 2; node <= nodes; node++)); do
        data=$dir/node-$node/data
        cp -r "$dir/node-1/data" "$data"
        sed -e "s/^node.id=.*/node.id=$node/" -e "s/^directory.id=.*/directory.id=$(kafka_id)/" \
            "$dir/node-1/data/meta.properties" >"$data/meta.properties"
    done
}

kafka_run() { # DIR NODE
    local options=()
    read -ra options <<<"${KAFKA_OPTS:-}"
    kafka_java "-Xmx${KAFKA_HEAP:-512m}" "-Xms${KAFKA_HEAP:-512m}" -XX:+UseSerialGC -XX:+ExitOnOutOfMemoryError \
        "-Dlog4j2.configurationFile=$kafka_root/tests/kafka/log4j2.properties" \
        "${options[@]}" -cp "$kafka_jars/*" kafka.Kafka "$1/node-$2/server.properties"
}

kafka_nodes() { # DIR
    local path
    for path in "$1"/node-*; do
        echo "${path##*-}"
    done
}

kafka_start() { # DIR
    local node deadline=$((SECONDS + ${KAFKA_READY_S:-60}))
    for node in $(kafka_nodes "$1"); do
        (kafka_run "$1" "$node") >"$1/node-$node/log" 2>&1 </dev/null &
        echo $! >"$1/node-$node/pid"
    done
    for node in $(kafka_nodes "$1"); do
        until grep -q "$kafka_ready_line" "$1/node-$node/log"; do
            if ! kill -0 "$(cat "$1/node-$node/pid")" 2>/dev/null || ((SECONDS > deadline)); then
                echo "kafka: node $node did not start; the end of $1/node-$node/log:" >&2
                tail -n 30 "$1/node-$node/log" >&2
                kafka_stop "$1"
                return 1
            fi
            sleep 0.1
        done
    done
}

kafka_stop() { # DIR
    local node pid
    for node in $(kafka_nodes "$1"); do
        [[ -f $1/node-$node/pid ]] || continue
        pid=$(cat "$1/node-$node/pid")
        kill -TERM "$pid" 2>/dev/null || true
    done
    for node in $(kafka_nodes "$1"); do
        [[ -f $1/node-$node/pid ]] || continue
        pid=$(cat "$1/node-$node/pid")
        # Ten seconds to leave by itself, then not.
        for _ in {1..100}; do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL "$pid" 2>/dev/null || true
        rm -f "$1/node-$node/pid"
    done
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    case ${1:-} in
    configure | run | start | stop) "kafka_$1" "${@:2}" ;;
    *)
        sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
    esac
fi
