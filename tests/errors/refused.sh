# What the tests of error messages share: each writes its input into an empty folder and says word for word what tandem
# must answer. Every refusal: exit code 2, this one line of tandem's on stderr, nothing on stdout, no new file.
# shellcheck shell=bash
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
# No daemon for a program that runs without mpirun; those that start together would share a folder, so each test has its own.
export OMPI_MCA_ess_singleton_isolated=1 OMPI_MCA_orte_tmpdir_base=$work.mpi
mkdir "$work.mpi"

checks=0 bad=0

# experiment [SED]: e.json and its cluster c.json, both changed by a sed expression, which has to change something.
experiment()
{
    cat >e.json <<'JSON'
{
  "name": "refused",
  "model": "llama-3.1-8b",
  "cluster": "c",
  "workload": {
    "synthetic": {
      "prompt_tokens": "azure-conv",
      "output_tokens": {"fixed": 20},
      "arrivals": {"poisson": {"rate_per_s": 10}},
      "requests": 50
    }
  },
  "seed": 1
}
JSON
    cat >c.json <<'JSON'
{
  "name": "pair",
  "pools": [
    {"name": "prefill", "role": "prefill", "gpu": "h100-sxm", "instances": 1, "tensor_parallel": 1},
    {"name": "decode", "role": "decode", "gpu": "h100-sxm", "instances": 1, "tensor_parallel": 1}
  ],
  "network": {"kv_link": "ib-ndr-400g"}
}
JSON
    [ $# -gt 0 ] || return 0
    cat e.json c.json >before
    sed -E -i "$1" e.json c.json
    ! cat e.json c.json | cmp -s - before || fail "sed '$1' changes nothing"
    rm before
}

# trace LINE...: t.csv, and e.json that reads it as a csv trace; FORMAT and OPTIONS change how.
trace()
{
    experiment
    printf '%s\n' "$@" >t.csv
    local workload="{\"trace\": {\"format\": \"${FORMAT:-csv}\", \"path\": \"t.csv\"${OPTIONS:+, $OPTIONS}}}"
    printf '{"name": "traced", "model": "llama-3.1-8b", "cluster": "c", "workload": %s}\n' "$workload" >e.json
}

# refused MESSAGE ARGUMENT...: a * in the message stands for any text.
refused()
{
    local message="tandem: error: $1" status=0 said pattern before after
    shift
    pattern=$(sed 's/[][\\?()|]/\\&/g' <<<"$message")
    before=$(find . | sort)
    timeout "$run_timeout_s" "$tandem" "$@" >stdout 2>stderr </dev/null || status=$?
    said=$(grep '^tandem: ' stderr || true) # Open MPI may have its own things to say
    checks=$((checks + 1))
    local wrong=()
    [ "$status" -eq 2 ] || wrong+=("exit code $status, expected 2")
    # shellcheck disable=SC2053 # a pattern
    [[ $said == $pattern ]] || wrong+=("said     $said" "expected $message")
    [ ! -s stdout ] || wrong+=("printed on stdout: $(head -n 3 stdout)")
    rm -f stdout stderr
    after=$(find . | sort)
    [ "$before" = "$after" ] || wrong+=("left files: $({ diff <(echo "$before") <(echo "$after") || true; } | tr '\n' ' ')")
    [ ${#wrong[@]} -gt 0 ] || return 0
    bad=$((bad + 1))
    printf 'FAILED: tandem %s\n' "$*"
    printf '    %s\n' "${wrong[@]}"
}

# refused_run MESSAGE [ARGUMENT...]: of `tandem run e.json`.
refused_run()
{
    local message=$1
    shift
    refused "$message" run e.json -o out "$@"
}

# refused_check MESSAGE [ARGUMENT...]: of `tandem check e.json`, which reads all that a run reads and does not start MPI.
refused_check()
{
    local message=$1
    shift
    refused "$message" check e.json "$@"
}

# refused_edit SED MESSAGE: of the experiment after a change by sed.
refused_edit()
{
    experiment "$1"
    refused_check "$2"
}

# refused_set ARGUMENT MESSAGE: of --set ARGUMENT.
refused_set()
{
    experiment
    refused_check "$2" --set "$1"
}

# refused_trace MESSAGE LINE...: of a trace with these lines.
refused_trace()
{
    local message=$1
    shift
    trace "$@"
    refused_check "$message"
}

# printed PATTERN ARGUMENT...: any command prints a line that is this (extended) expression.
printed()
{
    local pattern=$1
    shift
    checks=$((checks + 1))
    # Not through a pipe: grep stops at the line, and a long report would end on SIGPIPE.
    grep -qxE -- "$pattern" <<<"$("$tandem" "$@" </dev/null)" && return 0
    bad=$((bad + 1))
    printf 'FAILED: tandem %s prints no line\n    %s\n' "$*" "$pattern"
}

# warned MESSAGE ARGUMENT...: the run is done, with this warning.
warned()
{
    local message="tandem: warning: $1" status=0
    shift
    checks=$((checks + 1))
    timeout "$run_timeout_s" "$tandem" run e.json -o out "$@" >/dev/null 2>stderr </dev/null || status=$?
    if [ "$status" -ne 0 ] || [ ! -s out/results.h5 ] || ! grep -qxF "$message" stderr; then
        bad=$((bad + 1))
        printf 'FAILED: exit code %s, %s\nexpected %s\n' "$status" "$(cat stderr)" "$message"
    fi
    rm -rf out stderr
}

# checked MESSAGE ARGUMENT...: `tandem check` accepts, with this warning.
checked()
{
    local message="tandem: warning: $1" status=0
    shift
    checks=$((checks + 1))
    "$tandem" check e.json "$@" >/dev/null 2>stderr </dev/null || status=$?
    if [ "$status" -ne 0 ] || ! grep -qxF "$message" stderr; then
        bad=$((bad + 1))
        printf 'FAILED: exit code %s, %s\nexpected %s\n' "$status" "$(cat stderr)" "$message"
    fi
    rm -f stderr
}

# accepted ARGUMENT...: the neighbour of what is refused, so that a refusal is known to be for its reason.
accepted()
{
    checks=$((checks + 1))
    rm -rf out
    if ! timeout "$run_timeout_s" "$tandem" run e.json -o out "$@" >/dev/null 2>stderr </dev/null || [ ! -s out/results.h5 ]; then
        bad=$((bad + 1))
        printf 'FAILED: refused tandem run e.json %s\n    %s\n' "$*" "$(cat stderr)"
    fi
    rm -rf out stderr
}

finish()
{
    printf '%s checks, %s failed\n' "$checks" "$bad"
    [ "$bad" -eq 0 ]
}
