# What scripts/ladder starts: the sink, the HAProxies, the gateways, and what they need. Sourced; it uses that script's settings.
# shellcheck shell=bash disable=SC2034,SC2154

source scripts/lib/measured.sh
declare -A watched=() # process ids of what CPU and memory are looked at

say() {
    printf 'ladder: %s\n' "$*" >&2
}

# One P-256 certificate for whoever listens under TLS here, and the authority that everybody else trusts.
make_certificates() {
    local tls=$run/tls
    mkdir -p "$tls"
    {
        openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$tls/ca.key"
        openssl req -x509 -new -key "$tls/ca.key" -subj '/CN=ladder' -days 30 -out "$tls/ca.pem"
        openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$tls/key.pem"
        openssl req -new -key "$tls/key.pem" -subj '/CN=localhost' -out "$tls/request.pem"
        printf 'basicConstraints = CA:FALSE\nsubjectAltName = DNS:localhost, IP:127.0.0.1\n' >"$tls/extensions"
        openssl x509 -req -in "$tls/request.pem" -CA "$tls/ca.pem" -CAkey "$tls/ca.key" -CAcreateserial -days 30 \
            -extfile "$tls/extensions" -out "$tls/certificate.pem"
        cat "$tls/certificate.pem" "$tls/key.pem" >"$tls/haproxy.pem"
    } >"$run/tls.log" 2>&1
}

# The further listeners tell clients to come by way of a HAProxy, which reads no answer and so rewrites no address.
start_sink() {
    local listens
    sink_listens_for_proxies
    taskset -c 1 "$loadgen" sink --listen "127.0.0.1:$sink_port" \
        --listen "127.0.0.1:$proxied_port=127.0.0.1:$haproxy_port" \
        --listen "127.0.0.1:$spliced_port=127.0.0.1:$haproxy_splice_port" \
        --listen-tls "127.0.0.1:$sink_tls_port" \
        --listen-tls "127.0.0.1:$proxied_tls_port=127.0.0.1:$haproxy_tls_port" \
        "${listens[@]}" --tls-certificate "$run/tls/certificate.pem" --tls-key "$run/tls/key.pem" --cpu 1 --topic orders=4 \
        --json-records --record-bytes 1024 --records-per-batch 100 >"$run/sink.ready" 2>"$run/sink.log" &
    pids[sink]=$!
    await sink 'sink' grep -q 'sink is ready' "$run/sink.ready"
}

port_answers() { # PORT
    (: <"/dev/tcp/127.0.0.1/$1")
}

start_haproxy() { # NAME GLOBAL_LINES DEFAULT_LINES BIND SERVER; where it listens and where its server is, with what follows
    local name=$1 port=${4%% *}
    {
        printf 'global\n    nbthread 1\n    maxconn %s\n%s\n' "$((connections_count + 100))" "$2"
        printf 'defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 1h\n    timeout server 1h\n%s\n' "$3"
        printf 'listen sink\n    bind 127.0.0.1:%s\n    server sink 127.0.0.1:%s\n' "$4" "$5"
    } >"$run/$name.cfg"
    # In the foreground, one process: its id is the one whose CPU counts.
    taskset -c 0 haproxy -db -f "$run/$name.cfg" >"$run/$name.log" 2>&1 &
    pids[$name]=$! watched[$name]=$!
    await "$name" "$name" port_answers "$port"
}

# PORTS: bootstrap, gRPC, dashboard, provider, and the base of the brokers', of which the sink has the one behind it.
start_gateway() { # NAME PORTS SINK_PORT SED_OPTION...
    local name=$1 sink=$3 ports task
    read -r -a ports <<<"$2"
    shift 3
    {
        sed -e "s|@STATE_DIR@|$run/state/$name|" \
            -e "s|@BOOTSTRAP_PORT@|${ports[0]}|" \
            -e "s|@GRPC_PORT@|${ports[1]}|" \
            -e "s|@DASHBOARD_PORT@|${ports[2]}|" \
            -e "s|@PROVIDER_PORT@|${ports[3]}|" \
            -e "s|@BROKER_PORT_BASE@|${ports[4]}|" \
            -e "s|@BROKERS@|127.0.0.1:$sink|" \
            -e "s|scram-sha-512:|plain:|" \
            -e "s|@BROKER_PASSWORD_FILE@|$run/secrets/sluice-gateway|" \
            "$@" demo/sluice.yaml.in
        echo "shards: {cpus: [0], hot_us: $hot_us}"
    } >"$run/$name.yaml"
    SLUICE_LOG=${SLUICE_LOG:-warn} taskset -c 0 "$sluice" up --config "$run/$name.yaml" \
        >"$run/$name.ready" 2>"$run/$name.log" &
    pids[$name]=$! watched[$name]=$!
    gateway_ports[$name]=${ports[0]} grpc_ports[$name]=${ports[1]} token_urls[$name]=http://127.0.0.1:${ports[3]}
    await "$name" 'token for the author' author_token "$name"
    await "$name" 'policy in force' apply_policy "$name" demo/policy.yaml
    await "$name" 'gateway' grep -q 'sluice is ready' "$run/$name.ready"
    control_plane_gives_way "${pids[$name]}"
}

declare -A gateway_ports=() grpc_ports=() token_urls=() # by gateway

author_token() { # GATEWAY
    "$sluice" token --issuer "${token_urls[$1]}" --client-id frank \
        --client-secret-file "$run/secrets/frank" >"$run/secrets/token-$1"
}
apply_policy() { # GATEWAY FILE
    "$sluice" apply --file "$2" --control "https://127.0.0.1:${grpc_ports[$1]}" \
        --control-roots "$run/state/$1/control/ca.pem" --token-file "$run/secrets/token-$1"
}

# The proxies with TLS on both sides. They wait until a load wants them: what is idle there has no part in the others.
start_tls() {
    [[ -z ${pids[gateway-tls]:-} ]] || return 0
    local tls=$run/tls target
    say 'starting the proxies with TLS'
    # TLS 1.3 with AES-256, which the gateway and its clients agree upon, too.
    start_haproxy haproxy-tls "    ssl-default-bind-options ssl-min-ver TLSv1.3
    ssl-default-server-options ssl-min-ver TLSv1.3
    ssl-default-bind-ciphersuites TLS_AES_256_GCM_SHA384
    ssl-default-server-ciphersuites TLS_AES_256_GCM_SHA384" '' \
        "$haproxy_tls_port ssl crt $tls/haproxy.pem" \
        "$proxied_tls_port ssl verify required ca-file $tls/ca.pem sni str(localhost) verifyhost localhost"
    start_gateway gateway-tls "$gateway_tls_ports" "$sink_tls_port" \
        -e "/broker_port_base:/a\\  tls: {certificate: $tls/certificate.pem, key: $tls/key.pem}" \
        -e "/bootstrap: \[/a\\  tls: {roots: $tls/ca.pem}"
    for target in "${tls_proxies[@]}"; do
        start_proxy "$target"
    done
}
