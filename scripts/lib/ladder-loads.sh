# The loads of scripts/ladder: each writes its table to standard output. Sourced; it uses that script's settings.
# shellcheck shell=bash disable=SC2034,SC2154

# Threads of the gateway's process whose CPU is the gateway's.
data_plane=shard-,journal-,control

compare() { # HAPROXY PRINCIPAL OPTION...
    local haproxy=$1 principal=$2 code=0 others
    shift 2
    all_alive
    proxy_options "${proxies[@]}"
    begin_load_of "${proxies[@]}"
    # Errors are counted in the table; they end the script only in the exit code.
    taskset -c 1 "$loadgen" compare --quiet --topic orders --seconds "$seconds" --rounds "$rounds" --warm-up-seconds 1 \
        --target "direct=127.0.0.1:$sink_port" \
        --target "$haproxy=127.0.0.1:${haproxy_ports[$haproxy]}" \
        --target "gateway=127.0.0.1:${gateway_ports[gateway]}" \
        --with "gateway.token-url=${token_urls[gateway]}/token" \
        --with "gateway.client-id=$principal" --with "gateway.client-secret-file=$run/secrets/$principal" \
        --baseline "$haproxy" --watch "$haproxy=${pids[$haproxy]}" --watch "gateway=${pids[gateway]}/$data_plane" \
        "${others[@]}" "$@" || code=1
    echo
    end_load_of "${proxies[@]}" || code=1
    return "$code"
}

# TLS between client and proxy, and between proxy and broker; the gateway in plain text beside them.
compare_tls() { # PRINCIPAL OPTION...
    local principal=$1 name code=0 logins=() others
    shift
    start_tls
    all_alive
    rm -f "$run/tls.json"
    proxy_options "${tls_proxies[@]}"
    begin_load_of "${tls_proxies[@]}"
    for name in direct haproxy-tls gateway-tls; do
        logins+=(--with "$name.tls-roots=$run/tls/ca.pem")
    done
    for name in gateway-tls gateway; do
        logins+=(--with "$name.token-url=${token_urls[$name]}/token" --with "$name.client-id=$principal"
            --with "$name.client-secret-file=$run/secrets/$principal")
    done
    taskset -c 1 "$loadgen" compare --quiet --topic orders --seconds "$seconds" --rounds "$rounds" --warm-up-seconds 1 \
        --target "direct=127.0.0.1:$sink_tls_port" --target "haproxy-tls=127.0.0.1:$haproxy_tls_port" \
        --target "gateway-tls=127.0.0.1:${gateway_ports[gateway-tls]}" \
        --target "gateway=127.0.0.1:${gateway_ports[gateway]}" "${logins[@]}" \
        --baseline haproxy-tls --watch "haproxy-tls=${pids[haproxy-tls]}" \
        --watch "gateway-tls=${pids[gateway-tls]}/$data_plane" --watch "gateway=${pids[gateway]}/$data_plane" \
        --json-file "$run/tls.json" "${others[@]}" "$@" || code=1
    echo
    end_load_of "${tls_proxies[@]}" || code=1
    without_tls
    python3 scripts/lib/ladder-tables.py tls "$run/tls.json"
    return "$code"
}

# What `loadgen run` is told of a target: where it is, and the login there.
run_options() { # TARGET PRINCIPAL; into $options
    case $1 in
    direct) options=(--target "127.0.0.1:$sink_port") ;;
    haproxy*) options=(--target "127.0.0.1:${haproxy_ports[$1]}") ;;
    gateway*)
        options=(--target "127.0.0.1:${gateway_ports[$1]}" --token-url "${token_urls[$1]}/token" --client-id "$2"
            --client-secret-file "$run/secrets/$2")
        ;;
    *) options=(--target "${proxy_hosts[$1]}:${proxy_ports[$1]}") ;;
    esac
    [[ $1 != *-tls ]] || options+=(--tls-roots "$run/tls/ca.pem")
}

# Fields 14 (utime) and 15 (stime) of proc_pid_stat(5); the name in field 2 may hold spaces.
cpu_ticks() { # PROCESS
    local stat fields sum=0 stats=("/proc/${watched[$1]}/stat")
    [[ $1 != gateway* ]] || stats=("/proc/${watched[$1]}/task"/*/stat)
    for stat in "${stats[@]}"; do
        stat=$(<"$stat") || continue
        [[ $1 != gateway* || $stat =~ ^[0-9]+\ \((shard-|journal-|control\)) ]] || continue
        read -r -a fields <<<"${stat##*) }"
        sum=$((sum + fields[11] + fields[12]))
    done
    echo "$sum"
}

idle() {
    local name value per_second
    local -A before=()
    all_alive
    sleep 2 # what was started or loaded just now comes to rest
    for name in "${!watched[@]}"; do
        before[$name]=$(cpu_ticks "$name")
    done
    sleep "$idle_seconds"
    per_second=$(getconf CLK_TCK)
    printf '| | CPU ms per s |\n|---|---|\n'
    for name in "${!watched[@]}"; do
        value=$(($(cpu_ticks "$name") - before[$name]))
        printf '| %s | %s |\n' "$name" "$((value * 1000 / per_second / idle_seconds))"
    done
    printf '\nOver %s s, in steps of %s ms.\n\n' "$idle_seconds" "$((1000 / per_second / idle_seconds))"
}

resident_kib() { # PROCESS
    sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/${watched[$1]}/status"
}

descriptors_count() { # PROCESS
    local descriptors=("/proc/${watched[$1]}/fd"/*)
    echo "${#descriptors[@]}"
}

# Connections that are logged in, have been answered and then wait, both sides of each; one request on each in four seconds.
connections() {
    local count=$connections_count name options before after wanted deadline
    start_tls
    all_alive
    ping_all() { # SECONDS CONNECTIONS RATE
        taskset -c 1 "$loadgen" run --quiet --topic orders --mode ping "${options[@]}" --seconds "$1" --connections "$2" \
            --rate "$3" >"$run/connections.out"
    }
    printf '| | KiB a connection |\n|---|---|\n'
    for name in haproxy gateway "${proxies[@]}" haproxy-tls gateway-tls "${tls_proxies[@]}"; do
        run_options "$name" analytics-clear
        ping_all 1 1 100 # what the first connection alone costs
        before=$(resident_kib "$name")
        wanted=$(($(descriptors_count "$name") + 2 * count)) deadline=$((SECONDS + 60))
        ping_all 10 "$count" "$((count / 4))" &
        until (($(descriptors_count "$name") >= wanted || SECONDS > deadline)) || ! kill -0 "$!" 2>/dev/null; do
            sleep 0.2
        done
        sleep 6 # by now each has been answered
        after=$(resident_kib "$name")
        if ! wait "$!"; then
            say "$name did not bear $count connections; its figure would be that of fewer"
            return 1
        fi
        printf '| %s | %s |\n' "$name" "$(((after - before) * 10 / count))" | sed 's/\([0-9]\) |$/.\1 |/'
    done
    printf '\n%s connections, resident memory.\n\n' "$count"
    without_tls
}

# A ping-pong connection alone, then beside connections that consume as fast as they can, over and over. Their generator yields
# to the ping's and to the sink, which share its CPU: what a ping waits for is the one thread in between. `direct` shows what is
# left of the rest.
fairness() {
    local name round options code=0 targets=(direct haproxy-splice gateway "${proxies[@]}")
    all_alive
    ping_pong() { # NAME
        taskset -c 1 "$loadgen" run --quiet --topic orders --mode ping --rate max --in-flight 1 "${options[@]}" \
            --seconds "$seconds" --json-file "$run/fairness-$1.json" >"$run/fairness.out" || code=1
    }
    bulk() { # NAME
        nice -n 10 taskset -c 1 "$loadgen" run --quiet --topic orders --mode consume --rate max --connections 2 \
            "${options[@]}" --in-flight 4 --seconds "$((seconds + 2))" --json-file "$run/fairness-$1.json" >"$run/fairness-bulk.out"
    }
    for ((round = 1; round <= rounds; ++round)); do
        for name in "${targets[@]}"; do
            run_options "$name" analytics-clear
            ping_pong "$name-alone-$round"
            bulk "$name-bulk-$round" &
            sleep 1 # it is there when the ping comes, and it is still there when that has gone
            ping_pong "$name-beside-$round"
            wait "$!" || code=1
        done
    done
    python3 scripts/lib/ladder-tables.py fairness "$run" "$rounds" "${targets[@]}"
    return "$code"
}

# Readers at a steady rate, alone and then beside 64 connections that ask for as much at once and read 16 KiB a second.
slow_consumers() {
    local name round options code=0 targets=(direct haproxy-splice gateway "${proxies[@]}")
    all_alive
    for ((round = 1; round <= rounds; ++round)); do
        for name in "${targets[@]}"; do
            run_options "$name" analytics-clear
            taskset -c 1 "$loadgen" run --quiet --topic orders --mode slow-consumer --slow 64 --rate 1000 --connections 4 \
                --fetch-bytes 262144 "${options[@]}" --seconds "$seconds" --json-file "$run/slow-$name-$round.json" \
                >"$run/slow.out" || code=1
        done
    done
    python3 scripts/lib/ladder-tables.py slow "$run" "$rounds" "${targets[@]}"
    return "$code"
}

# Policy that changes each second under load: one version, then the other, so that every change is one. `direct` has the
# same changes on the same CPUs, and no gateway in its way: what it feels is the command and the control plane, not the change.
# So do further proxies.
churn() { # LOAD PRINCIPAL OPTION...
    local load=$1 principal=$2 name round options code=0 targets=(direct gateway "${proxies[@]}")
    shift 2
    all_alive
    # shellcheck disable=SC2016 # that script expands it
    {
        echo 'set -eu'
        printf 'run=%q\n' "$run"
        echo 'if [ -e "$run/flipped" ]; then rm "$run/flipped"; policy=demo/policy.yaml
            else touch "$run/flipped"; policy=$run/policy.yaml; fi'
        printf 'exec nice -n 10 %q apply --file "$policy" --control %q --control-roots %q --token-file %q\n' "$sluice" \
            "https://127.0.0.1:${grpc_ports[gateway]}" "$run/state/gateway/control/ca.pem" "$run/secrets/token-gateway"
    } >"$run/change-policy"
    sed -e 's/{prefix: analytics-}/{prefix: analytics-}, {prefix: also-}/' -e 's/topics: \[orders\]/topics: [orders, also]/' \
        demo/policy.yaml >"$run/policy.yaml"
    for ((round = 1; round <= rounds; ++round)); do
        for name in "${targets[@]}"; do
            run_options "$name" "$principal"
            taskset -c 1 "$loadgen" run --quiet --topic orders --rate 2000 --connections 1 "${options[@]}" "$@" \
                --seconds "$churn_seconds" --churn-command "sh $(printf %q "$run/change-policy")" --churn-interval 1s \
                --json-file "$run/churn-$load-$name-$round.json" >"$run/churn.out" || code=1
        done
    done
    python3 scripts/lib/ladder-tables.py churn "$run" "$rounds" "$load" "${targets[@]}"
    return "$code"
}
