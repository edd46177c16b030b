# What the shell tests share. A test runs in a folder of its own, which is removed at the end.
# shellcheck shell=bash disable=SC2034

tests_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$tests_folder/../cmake/setup.sh"
setup_mpi
tandem=${TANDEM:-$setup_root/build/tandem}
shared=${TANDEM_SHARED:-$setup_root/../shared}
run_timeout_s=${TANDEM_TEST_RUN_TIMEOUT_S:-120}

work=$(mktemp -d "${TMPDIR:-/tmp}/tandem-test.XXXXXXXX")
trap 'rm -rf "$work" "$work.mpi"' EXIT
cd "$work" || exit

fail()
{
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

skip()
{
    printf 'skipped: %s\n' "$*"
    exit 77
}

# The only places where tests start mpirun: tandem_on RANKS ARGUMENT...
tandem_on()
{
    local ranks=$1
    shift
    timeout --kill-after=10 "$run_timeout_s" mpirun -n "$ranks" "$tandem" "$@"
}

# batch_on RANKS FILE: the runs that the file's lines name (mpi/batch.c), with one start of MPI.
batch_on()
{
    local log newest=
    timeout --kill-after=10 280 mpirun -n "$1" "${tandem%/*}/tests/mpi_batch" "$2" 2>mpirun.err && return
    for log in *.log; do
        [ "$log" -ot "${newest:-$log}" ] || newest=$log
    done
    cat mpirun.err "$newest" >&2
    fail "${newest%.log} failed on $1 ranks"
}
