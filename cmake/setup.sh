# What experiments/quickstart/run, tests/run and .ci/run share: packages, build, environment of mpirun.
# Sourced by bash; needs nothing installed.
# shellcheck shell=bash

setup_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say()
{
    printf '== %s\n' "$*"
}

die()
{
    printf '%s: error: %s\n' "$(basename "$(dirname "$0")")/$(basename "$0")" "$*" >&2
    exit 1
}

# One line a need: group, Debian package, and how to see that it is there. A need is looked for and not its package,
# so that what came in another way counts too.
setup_needs()
{
    cat <<'NEEDS'
build    build-essential       setup_has cc make
build    cmake                 setup_has cmake
build    pkg-config            setup_has pkg-config
build    libopenmpi-dev        setup_has mpicc
build    openmpi-bin           setup_has mpirun
build    libhdf5-openmpi-dev   pkg-config --exists hdf5-openmpi
build    libcjson-dev          pkg-config --exists libcjson
build    nettle-dev            pkg-config --exists nettle
build    zlib1g-dev            pkg-config --exists zlib
build    librandom123-dev      setup_has_header Random123/philox.h
tests    libcunit1-dev         pkg-config --exists cunit
tests    libgsl-dev            pkg-config --exists gsl
tests    hdf5-tools            setup_has h5dump h5diff
tests    procps                setup_has pgrep
lint     git                   setup_has git
lint     clang                 setup_has clang
lint     clang-tidy            setup_has clang-tidy
lint     clang-format          setup_has clang-format
lint     cppcheck              setup_has cppcheck
lint     shellcheck            setup_has shellcheck
analysis python3-h5py          setup_has_python
analysis python3-numpy         setup_has_python
analysis python3-pandas        setup_has_python
analysis python3-matplotlib    setup_has_python
NEEDS
}

setup_has()
{
    local command
    for command; do
        command -v "$command" || return
    done
}

setup_has_header()
{
    printf '#include <%s>\n' "$1" | cc -E -x c -
}

setup_has_python()
{
    "$setup_root/analysis/find-python"
}

# Packages of the groups whose need is not met, one a line.
setup_missing()
{
    local group package check
    while read -r group package check; do
        case " $* " in
        *" $group "*) $check </dev/null >/dev/null 2>&1 || printf '%s\n' "$package" ;;
        esac
    done < <(setup_needs)
}

# setup_install GROUP...: installs what is missing, if anything is.
setup_install()
{
    local packages sudo=()
    mapfile -t packages < <(setup_missing "$@")
    [ ${#packages[@]} -gt 0 ] || return 0
    say "missing for $*: ${packages[*]}"
    command -v apt-get >/dev/null || die "there is no apt-get here; install these (Debian's names): ${packages[*]}"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null ||
            die "neither root nor sudo; have someone run: apt-get install ${packages[*]}"
        sudo=(sudo)
        [ -t 0 ] || sudo+=(-n)
    fi
    local apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
    say "${apt[*]} update"
    "${apt[@]}" update </dev/null || die "apt-get update failed; see above"
    say "${apt[*]} install ${packages[*]}"
    "${apt[@]}" install -y --no-install-recommends "${packages[@]}" </dev/null ||
        die "apt-get install failed; see above, or install by hand: ${packages[*]}"
    hash -r
    mapfile -t packages < <(setup_missing "$@")
    [ ${#packages[@]} -eq 0 ] || die "installed, but still not found: ${packages[*]}"
}

# setup_step LOG COMMAND...: runs it quietly; shows the end of the log when it fails.
setup_step()
{
    local log=$1
    shift
    "$@" </dev/null >>"$log" 2>&1 && return
    tail -n 60 "$log" >&2
    die "failed: $* (all of it in $log)"
}

# setup_build FOLDER TARGET [CMAKE-OPTION...]: configures and builds.
setup_build()
{
    local folder=$1 target=$2 log=$1/build.log
    shift 2
    mkdir -p "$folder"
    : >"$log"
    if ! grep -qsxF "CMAKE_HOME_DIRECTORY:INTERNAL=$setup_root" "$folder/CMakeCache.txt"; then
        rm -rf "$folder/CMakeCache.txt" "$folder/CMakeFiles" # new, or moved here with its folder
    fi
    say "building $target in ${folder#"$setup_root"/}/"
    setup_step "$log" cmake -S "$setup_root" -B "$folder" "$@"
    setup_step "$log" cmake --build "$folder" --parallel "$(nproc)" --target "$target"
}

# The build of quickstart and tests/run: one folder for both.
setup_build_release()
{
    setup_build "$setup_root/build" "$1" -DCMAKE_BUILD_TYPE=Release -DTANDEM_SANITIZE=OFF "${@:2}"
}

# Environment in which `mpirun -n N` runs N ranks of a test anywhere: as root, in a container, and on fewer cores
# than ranks. For Open MPI 4 (OMPI_) and 5 (PRTE_).
setup_mpi()
{
    if [ "$(id -u)" -eq 0 ]; then
        export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
        export PRTE_ALLOW_RUN_AS_ROOT=1 PRTE_ALLOW_RUN_AS_ROOT_CONFIRM=1
    fi
    export OMPI_MCA_rmaps_base_oversubscribe=1 PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
    export OMPI_MCA_hwloc_base_binding_policy=none PRTE_MCA_hwloc_default_binding_policy=none
    export OMPI_MCA_mpi_yield_when_idle=1
}
