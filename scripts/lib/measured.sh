# What scripts/ladder, scripts/stages and scripts/compare share: processes that are started, waited for, measured and ended. Sourced; it uses
# those scripts' `say`, and `run` once there is something in it.
# shellcheck shell=bash disable=SC2034,SC2154

declare -A pids=()     # of what was started here
declare -A sessions=() # of these, by name too, those that lead a session: all of it ends with them

# An empty directory for one run. With SLUICE_KEEP_RUNS nothing of an earlier run is removed: for five minutes after thousands
# of files were removed ext4 takes a millisecond to make one, and evidence is files.
begin_run() { # NAME
    run=$PWD/.run/$1
    if [[ -n ${SLUICE_KEEP_RUNS-} && -e $run ]]; then
        mv "$run" "$run.before-$$"
    else
        rm -rf "$run"
    fi
    mkdir -p "$run/secrets"
    chmod 700 "$run" "$run/secrets"
    trap finish EXIT
    trap 'exit 130' INT TERM
}

finish() {
    local name
    for name in "${!pids[@]}"; do
        kill -TERM -- "${sessions[$name]:+-}${pids[$name]}" 2>/dev/null || true
    done
    for name in "${!sessions[@]}"; do
        end_session "${sessions[$name]}"
    done
    for name in "${!pids[@]}"; do
        wait "${pids[$name]}" 2>/dev/null || true
    done
    # The evidence of all that load, and keys of masks.
    [[ -n ${SLUICE_KEEP_RUNS-} ]] || rm -rf "$run/state" "$run/relay"
}

# What somebody else's program makes of a request to end is not known here: it has ten seconds for it.
end_session() { # LEADER
    local deadline=$((SECONDS + 10))
    while kill -0 -- "-$1" 2>/dev/null && ((SECONDS < deadline)); do
        sleep 0.1
    done
    kill -KILL -- "-$1" 2>/dev/null || true
}

# Ports in a row that nothing listens on now, below those that the kernel gives to outgoing connections.
free_ports() { # COUNT
    python3 - "$1" <<'PYTHON'
import random, socket, sys
count = int(sys.argv[1])
while True:
    first = random.randrange(10000, 32000)
    held = [socket.socket() for _ in range(count)]
    try:
        for offset, one in enumerate(held):
            one.bind(("127.0.0.1", first + offset))
    except OSError:
        continue
    for one in held: # now: the shell goes on when it has read the line, not when this process has ended
        one.close()
    print(*range(first, first + count))
    break
PYTHON
}

# Tries until it works, the process ends, or half a minute is over.
await() { # PROCESS WHAT COMMAND...
    local process=$1 what=$2 deadline=$((SECONDS + 30))
    shift 2
    until "$@" >"$run/last" 2>&1; do
        if ! kill -0 "${pids[$process]}" 2>/dev/null || ((SECONDS > deadline)); then
            say "no $what; the last answer, and the end of $process's log:"
            tail -n 20 "$run/last" "$run/$process.log" >&2
            exit 1
        fi
        sleep 0.2
    done
}

all_alive() {
    local name ended=0
    for name in "${!pids[@]}"; do
        if ! kill -0 "${pids[$name]}" 2>/dev/null; then
            wait "${pids[$name]}" || ended=$?
            say "$name ended by itself with code $ended; the end of its log, $run/$name.log:"
            tail -n 20 "$run/$name.log" >&2
            exit 1
        fi
    done
}

# The data plane is its own threads; every other thread of a gateway's process is the control plane's. It has a machine of its
# own elsewhere; here it gives way to sink and generator, or its work would be a late answer of theirs.
control_plane_gives_way() { # PID
    local task
    for task in "/proc/$1/task"/*; do
        case $(<"$task/comm") in
        shard-* | journal-* | control) ;;
        *)
            taskset -p -c 1 "${task##*/}" >/dev/null
            chrt --idle -p 0 "${task##*/}"
            ;;
        esac
    done
}

# Waits until a process has little to do: a control plane goes on indexing evidence when the load has ended.
settle() { # PID
    local before now deadline=$((SECONDS + 120))
    now=$(process_ticks "$1")
    while ((SECONDS < deadline)); do
        before=$now
        sleep 1
        now=$(process_ticks "$1")
        ((now - before > 5)) || return 0
    done
    say 'the control plane is still at work on the evidence of the load before'
}
process_ticks() { # PID
    local fields
    read -r -a fields < <(sed 's/.*) //' "/proc/$1/stat")
    echo $((fields[11] + fields[12]))
}
