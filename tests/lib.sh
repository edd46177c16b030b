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

# points_in FOLDER: how many points of a sweep are done there.
points_in()
{
    { find "$1/points" -name '0*.json' 2>/dev/null || true; } | wc -l
}

# sweep_killed FOLDER RANK MORE ARGUMENT...: `tandem sweep ARGUMENT... -o FOLDER --resume` on two ranks, one of which is killed with
# -9 once so many more points are done. False where the sweep was done before that.
sweep_killed()
{
    local folder=$1 rank=$2 enough mpirun processes status=0
    enough=$(($(points_in "$folder") + $3))
    shift 3
    mpirun -n 2 "$tandem" sweep "$@" -o "$folder" --resume >killed.txt 2>killed.log &
    mpirun=$!
    while [ "$(points_in "$folder")" -lt "$enough" ]; do
        kill -0 "$mpirun" 2>/dev/null || return 1
        sleep 0.01
    done
    mapfile -t processes < <(pgrep -P "$mpirun")
    [ ${#processes[@]} -eq 2 ] || return 1
    kill -9 "${processes[rank]}" || return 1
    wait "$mpirun" || status=$?
    [ "$status" -ne 0 ] && [ ! -e "$folder/results.h5" ]
}
