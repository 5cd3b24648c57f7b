#!/usr/bin/env bash
# Sets this checkout up and starts whatever it is asked for. Safe to run again at any time.
# It works from every folder, as root or not, and with the bash 3.2 of macOS.
set -euo pipefail

readonly UNAVAILABLE=69   # sysexits.h: something this needs from the host is missing
readonly CALLED_FROM=$PWD
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
readonly VENV=.venv
readonly PY=$VENV/bin/python
# The product reads .env itself and expands nothing in it; Flask's own reading would.
export FLASK_SKIP_DOTENV=1
readonly IS_311='import sys; sys.exit(sys.version_info < (3, 11))'

usage() {
    cat <<'TEXT'
Email Delivery System: campaigns over SendGrid, Amazon SES and Postmark, from your own machine.

  ./setup.sh                set up: .venv, packages, .env with generated keys, database
  ./setup.sh demo           the main job on this machine alone: a campaign through all three ESPs,
                            an outage, a killed worker, and the ledger at the end (--serve keeps it up)
  ./setup.sh test           lint, types and tests (--long: full sizes; other words go to pytest)
  ./setup.sh simulator drill  a bad day in three minutes: five kinds of outage, and what they cost
  ./setup.sh run            web and worker in the foreground; Ctrl-C stops both
  ./setup.sh <command>      any other command of the product, each with --help:
                            worker import-subscribers export-subscribers imports migrate-json
                            send simulator verify db backup restore ...
  ./setup.sh help           this page

Settings are in .env (see .env.example). `demo` and `test` neither read it nor inherit your keys.
TEXT
}

say()  { printf '%s\n' "$*"; }
stop() { printf 'setup.sh: %s\n' "$2" >&2; exit "$1"; }
have() { command -v "$1" >/dev/null 2>&1; }

# --- something moving while a slow step works --------------------------------------------------

TICKER=
stop_ticker() {
    [[ -z $TICKER ]] || kill "$TICKER" 2>/dev/null || true
    TICKER=
}
trap stop_ticker EXIT

# On a terminal one line counts the seconds; in a log one line every five seconds is enough.
tick() {
    local began=$SECONDS every=5 mark='\n'
    [[ -t 1 ]] && every=1 mark='\r'
    while kill -0 $$ 2>/dev/null; do
        printf "  %s ... %s s$mark" "$1" $((SECONDS - began))
        sleep $every </dev/null >/dev/null 2>&1 9>&-
    done
}

# clocked NAME COMMAND...: run it, show its words only if it fails, and stop there.
clocked() {
    local name=$1 began=$SECONDS status=0 words
    shift
    tick "$name" & TICKER=$!
    words=$("$@" 2>&1 </dev/null) || status=$?
    stop_ticker
    if ((status)); then
        printf '%s\n' "$words" >&2
        stop "$status" "stopped at: $name (exit $status)"
    fi
    say "  $name: done in $((SECONDS - began)) s"
}

# --- Python and packages -----------------------------------------------------------------------

find_python() {
    local name
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        if have "$name" && "$name" -c "$IS_311" >/dev/null 2>&1; then
            command -v "$name"
            return
        fi
    done
    have uv && uv python find --no-python-downloads '>=3.11' 2>/dev/null
}

refuse_without_python() {
    local found='no python3 is on PATH'
    ! have python3 || found="python3 is $(python3 -V 2>&1 || true)"
    stop $UNAVAILABLE "Python 3.11 or newer is needed; $found. Install a newer one (Debian 12, Ubuntu 24.04: apt-get install python3 python3-venv) and run this again."
}

# Debian and Ubuntu ship venv without the part that puts pip into it.
ensure_venv_module() {
    local python=$1 package
    ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 || return 0
    package="$(basename -- "$python")-venv"
    if [[ $(id -u) == 0 ]] && have apt-get; then
        export DEBIAN_FRONTEND=noninteractive
        clocked 'package lists (apt)' apt-get update -qq
        clocked "$package (apt)" apt-get install -y -qq --no-install-recommends "$package"
        return
    fi
    stop $UNAVAILABLE "this Python cannot make virtual environments. Run this, then ./setup.sh again:
    sudo apt-get install -y $package"
}

make_venv() {
    local python
    python=$(find_python) || true
    [[ -n $python ]] || refuse_without_python
    if have uv; then
        clocked "$VENV" uv venv --quiet --python "$python" "$VENV"
    else
        ensure_venv_module "$python"
        clocked "$VENV" "$python" -m venv "$VENV"
    fi
}

remove_broken_venv() {
    [[ -e $VENV || -L $VENV ]] || return 0
    [[ -f $VENV/pyvenv.cfg ]] || stop 73 "$VENV is there but is no virtual environment; move it away."
    say "  $VENV cannot take packages; making it anew"
    rm -rf -- "$VENV"
}

# pip installs into a .venv of its own making; one made by uv has no pip inside.
venv_takes_packages() {
    [[ -x $PY ]] && "$PY" -c "$IS_311" 2>/dev/null && { have uv || "$PY" -c 'import pip' 2>/dev/null; }
}

# The stamp is a copy of the lock as it was installed: equal text, nothing to do.
installed() {
    local stamp=$VENV/.installed-$1
    [[ -f $stamp && $(<"$stamp") == "$(<"$1")" ]] && "$PY" -c "$IS_311" 2>/dev/null
}

install_lock() {
    local lock=$1
    ! installed "$lock" || return 0
    venv_takes_packages || { remove_broken_venv; make_venv; }
    if have uv; then
        clocked "$lock (uv)" uv pip install --quiet --python "$PY" --require-hashes -r "$lock"
    else
        clocked "$lock (pip)" "$PY" -m pip install --quiet --disable-pip-version-check --no-input \
            --require-hashes -r "$lock"
    fi
    cp -- "$lock" "$VENV/.installed-$lock"
}

# Two set-ups at once would write into one .venv: the second waits, where the host can lock.
ensure_packages() {
    local lock missing=
    for lock in "$@"; do installed "$lock" || missing=1; done
    [[ -n $missing ]] || return 0
    (
        trap stop_ticker EXIT
        ! have flock || flock 9
        for lock in "$@"; do install_lock "$lock"; done
    ) 9>.setup.lock
}

# --- .env and database -------------------------------------------------------------------------

ensure_keys() { [[ -e .env ]] || "$PY" -m cli.first_run; }

upgrade_database() {
    [[ -f app.py ]] || return 0
    say '  database:'
    "$PY" -m flask --app app db upgrade
}

# Lists of the older version. The file stays, a copy is kept, and the second time there is nothing to do.
migrate_legacy_lists() {
    local file IFS=,
    [[ -f app.py ]] || return 0
    for file in ${LEGACY_JSON-subscribers.json,data/subscribers.json}; do
        [[ -f $file ]] || continue
        say '  list of the older version:'
        "$PY" -m flask --app app migrate-json "$file" ||
            say "  $file was not migrated; mend it and run ./setup.sh migrate-json $file"
    done
}

set_up() {
    say "Setting up in $PWD"
    ensure_packages requirements.txt
    "$PY" -m cli.first_run
    upgrade_database
    migrate_legacy_lists
    say 'Ready. Next: ./setup.sh demo, or ./setup.sh run'
}

# --- demo and tests: alone on this machine -----------------------------------------------------

# Nothing that names a real ESP, database or installation may reach a rehearsal.
forget_settings() {
    local name
    for name in $(compgen -e); do
        case $name in
            SENDGRID_* | SES_* | POSTMARK_* | AWS_* | BOTO_* | MAIL_* | API_KEY* | PG* | FLASK_* | \
            MODE | HOST | PORT | PUBLIC_URL | TRUSTED_PROXIES | SIMULATOR_URL | WORKER | \
            DATABASE_URL | QUEUE_URL | SECRET_KEY | ERASURE_KEY | INBOUND_SECRET | \
            POSTAL_ADDRESS | UNSUBSCRIBE_MAILTO | TRANSACTIONAL_RESERVE_PERCENT | \
            LEASE_SECONDS | IN_DOUBT_WAIT_SECONDS | SCHEDULE_GRACE_SECONDS | \
            ON_SUSPENSION | DNS_RESOLVERS | LOG_FORMAT | LEGACY_JSON | MAX_REQUEST_MB | DRILL_CLOCK | \
            REFUSE_ADDRESSES)
                unset "$name" ;;
        esac
    done
    export EDS_NO_DOTENV=1 FLASK_SKIP_DOTENV=1
    # A proxy of the host must not sit between us and the simulator.
    export NO_PROXY="127.0.0.1,localhost,::1${NO_PROXY:+,$NO_PROXY}"
    export no_proxy=$NO_PROXY
}

demo() {
    forget_settings
    ensure_packages requirements.txt
    exec "$PY" -u -m cli.demo "$@"
}

# A chosen few tests cannot meet the coverage gate of all of them: they run without it.
run_tests() {
    local word words=() coverage=(--cov --cov-report=term) limit=()
    for word in "$@"; do
        if [[ $word == --long ]]; then
            export EDS_LONG=1
            limit=(--timeout=3600)
        else
            words+=("$word")
            coverage=()
        fi
    done
    forget_settings
    ensure_packages requirements.txt requirements-dev.txt
    clocked 'ruff check' "$PY" -m ruff check .
    clocked 'ruff format --check' "$PY" -m ruff format --check .
    clocked 'mypy' "$PY" -m mypy
    say '  pytest:'
    exec "$PY" -m pytest -n auto --dist loadgroup ${coverage[@]+"${coverage[@]}"} \
        ${limit[@]+"${limit[@]}"} ${words[@]+"${words[@]}"}
}

# --- everything else ---------------------------------------------------------------------------

run() {
    ensure_packages requirements.txt
    ensure_keys
    exec "$PY" app.py "$@"
}

# The command runs in this folder; a file named from the caller's folder is still found.
pass_on() {
    local word words=()
    ensure_packages requirements.txt
    ensure_keys
    for word in "$@"; do
        [[ $word == [-/]* || ! -f $CALLED_FROM/$word ]] || word=$CALLED_FROM/$word
        words+=("$word")
    done
    exec "$PY" -m flask --app app "${words[@]}"
}

case ${1-} in
    '')               set_up ;;
    -h | --help | help) usage ;;
    demo)             shift; demo "$@" ;;
    test)             shift; run_tests "$@" ;;
    run)              shift; run "$@" ;;
    *)                pass_on "$@" ;;
esac
