# The further proxies of scripts/ladder: what --proxy and --proxy-tls say, and how they are started. Sourced; it uses that
# script's settings. A proxy under TLS is a target of its own, NAME-tls.
# shellcheck shell=bash disable=SC2004,SC2034,SC2154

proxies=() tls_proxies=() # targets, in the order in which they were given
declare -A proxy_hosts=() proxy_ports=() proxy_commands=() broker_ports=() # by target

take_proxy() { # --proxy|--proxy-tls NAME=HOST:PORT,COMMAND
    local target list=proxies
    if [[ ! $2 =~ ^([a-z0-9][a-z0-9-]*)=([^,:]+):([0-9]+),(.+)$ ]]; then
        say "$1 $2: write NAME=HOST:PORT,COMMAND or NAME=HOST:PORT,PID; a name is of a-z, 0-9 and -"
        exit 2
    fi
    target=${BASH_REMATCH[1]}
    case $target in
    direct* | haproxy* | gateway* | sink* | *-tls)
        say "$1 $target: that name is taken here, or looks like one that is"
        exit 2
        ;;
    esac
    if [[ $1 == --proxy-tls ]]; then
        target+=-tls list=tls_proxies
    fi
    if [[ -n ${proxy_hosts[$target]:-} ]]; then
        say "$1 $2: there are two of this name"
        exit 2
    fi
    local -n targets=$list
    targets+=("$target")
    proxy_hosts[$target]=${BASH_REMATCH[2]} proxy_ports[$target]=${BASH_REMATCH[3]} proxy_commands[$target]=${BASH_REMATCH[4]}
    if is_running "$target" && [[ -z ${LADDER_SINK_PORT:-} || $1 == --proxy-tls ]]; then
        say "$1 $2: a proxy that runs already wants LADDER_SINK_PORT, the port that it has as its broker, and can have no TLS"
        exit 2
    fi
    if is_running "$target" && ((proxy_ports[$target] == 0)); then
        say "$1 $2: a proxy that runs already has a port"
        exit 2
    fi
    if is_running "$target" && ! kill -0 "${proxy_commands[$target]}" 2>/dev/null; then
        say "$1 $2: there is no process ${proxy_commands[$target]}"
        exit 2
    fi
}

is_running() { # TARGET; was it given by its process?
    [[ ${proxy_commands[$1]} =~ ^[0-9]+$ ]]
}

# Which port each has, and which the sink has for it; its answers there name the proxy as the broker's address.
assign_proxy_ports() { # FREE_PORT...; two for each proxy
    local target
    for target in "${proxies[@]}" "${tls_proxies[@]}"; do
        ((proxy_ports[$target])) || proxy_ports[$target]=$1
        is_running "$target" || broker_ports[$target]=$2
        shift 2
    done
}
sink_listens_for_proxies() { # into $listens
    local target option
    listens=()
    for target in "${!broker_ports[@]}"; do
        option=--listen
        [[ $target != *-tls ]] || option=--listen-tls
        listens+=("$option" "127.0.0.1:${broker_ports[$target]}=${proxy_hosts[$target]}:${proxy_ports[$target]}")
    done
}

proxy_answers() { # TARGET
    (: <"/dev/tcp/${proxy_hosts[$1]}/${proxy_ports[$1]}")
}

start_proxy() { # TARGET
    local target=$1 told=()
    if is_running "$target"; then
        watched[$target]=${proxy_commands[$target]}
        return
    fi
    say "starting $target"
    if proxy_answers "$target" 2>/dev/null; then
        say "something answers at ${proxy_hosts[$target]}:${proxy_ports[$target]} before $target was started"
        exit 1
    fi
    mkdir -p "$run/$target"
    told=(PROXY_LISTEN_HOST="${proxy_hosts[$target]}" PROXY_LISTEN_PORT="${proxy_ports[$target]}"
        PROXY_BROKER_HOST=127.0.0.1 PROXY_BROKER_PORT="${broker_ports[$target]}" PROXY_SINK_PORT="$sink_port"
        PROXY_CONNECTIONS="$((connections_count + 100))" PROXY_DIRECTORY="$run/$target")
    if [[ $target == *-tls ]]; then
        told+=(PROXY_SINK_PORT="$sink_tls_port" PROXY_TLS_CERTIFICATE="$run/tls/certificate.pem"
            PROXY_TLS_KEY="$run/tls/key.pem" PROXY_TLS_ROOTS="$run/tls/ca.pem" PROXY_TLS_NAME=localhost)
    fi
    # A session of its own, by which all its processes are known.
    env "${told[@]}" setsid taskset -c 0 bash -c "${proxy_commands[$target]}" >"$run/$target.log" 2>&1 </dev/null &
    pids[$target]=$! sessions[$target]=$!
    await "$target" "answer of $target at its port (its command must stay in the foreground)" proxy_answers "$target"
    watched[$target]=$(python3 scripts/lib/processes.py serving "${pids[$target]}" "${proxy_ports[$target]}") || {
        say "$target has no one process to look at"
        exit 1
    }
}

# What `loadgen compare` is told of them.
proxy_options() { # TARGET...; into $others
    local target
    others=()
    for target; do
        others+=(--target "$target=${proxy_hosts[$target]}:${proxy_ports[$target]}" --watch "$target=${watched[$target]}")
        [[ $target != *-tls ]] || others+=(--with "$target.tls-roots=$run/tls/ca.pem")
    done
}

# Figures that look well for the wrong reason are told, and fail the load. CPU is that of one process each: what a proxy does in
# others, as one does that forks for each connection, is missing. And a proxy that passes on where the sink is has no clients.
declare -A own_before=() elsewhere_before=()
begin_load_of() { # TARGET...
    local target
    for target; do
        own_before[$target]=$(process_ticks "${watched[$target]}")
        elsewhere_before[$target]=$(ticks_elsewhere "$target")
    done
}
end_load_of() { # TARGET...
    local target elsewhere own fault code=0
    for target; do
        own=$(($(process_ticks "${watched[$target]}") - own_before[$target]))
        elsewhere=$(($(ticks_elsewhere "$target") - elsewhere_before[$target]))
        fault=
        if ((elsewhere > 5 && elsewhere * 20 > own)); then
            fault="CPU is too low: of it, other processes of this command took $elsewhere ticks, the one in the table $own"
        elif ((own < 3)); then
            fault="took $own ticks of CPU for all that load: clients went past it, to where the sink's answers sent them"
        fi
        if [[ -n $fault ]]; then
            printf '**%s: %s.**\n\n' "$target" "$fault" | tee /dev/stderr
            code=1
        fi
    done
    return "$code"
}
ticks_elsewhere() { # TARGET
    if [[ -n ${sessions[$1]:-} ]]; then
        python3 scripts/lib/processes.py others "${sessions[$1]}" "${watched[$1]}"
    else
        echo 0
    fi
}

# Says which proxies a load under TLS does without.
without_tls() {
    local target
    for target in "${proxies[@]}"; do
        if [[ " ${tls_proxies[*]} " != *" $target-tls "* ]]; then
            printf '%s is not there: no --proxy-tls says how it is started with TLS.\n\n' "$target" | tee /dev/stderr
        fi
    done
}
