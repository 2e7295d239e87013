#!/bin/sh
# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
#
# A stand-in for the installers of Miniconda and Miniforge, which conda/constructor makes (header.sh there): the same options,
# refusals and traces in a home, and a `conda` that is a stand-in too. Conda's interpreter is the Python that
# EVENKEEL_STANDIN_PYTHON names, copied to where it takes its new folder for its own. EVENKEEL_STANDIN_FAULT makes a step fail:
# unpack, full, slow, wrong.
set -eu

fail() {
    echo "ERROR: (stand-in) $1" >&2
    exit "${2:-1}"
}

echo "$0" | grep -q '\.sh$' || fail 'Please run using "bash"/"sh", and with a name that ends in .sh'
prefix='' batch=0 force=0
while getopts bfhkp:smutc option; do
    case $option in
    b) batch=1 ;;
    f | u) force=1 ;;
    p) prefix=$OPTARG ;;
    h) fail 'usage: installer [-b] [-u] [-p PREFIX]' 2 ;;
    s | k | m | t | c) ;;
    *) fail 'did not recognize option, please try -h' ;;
    esac
done
[ -n "$prefix" ] || prefix=$HOME/miniconda3
[ "$batch" = 1 ] || fail 'it would ask: Do you accept the license terms? [yes|no]' 2
case $prefix in *\ *) fail 'Cannot install into directories with spaces' ;; esac
[ "$force" = 1 ] || [ ! -e "$prefix" ] || fail "File or directory already exists: '$prefix'"
mkdir -p "$prefix/bin" "$prefix/conda-meta" "$prefix/pkgs/conda-25.3.1-0" "$prefix/envs"
prefix=$(cd "$prefix" && pwd)
echo "PREFIX=$prefix"
# It leaves a folder for temporary files, as the real one does.
mktemp -d >/dev/null
echo "Unpacking payload..."
echo 'the stand-in of a package' >"$prefix/pkgs/conda-25.3.1-0/file"
[ "${EVENKEEL_STANDIN_FAULT:-}" != unpack ] || fail 'executing pre_install.sh failed'
[ "${EVENKEEL_STANDIN_FAULT:-}" != full ] || fail "[Errno 28] No space left on device: '$prefix/bin'"
[ "${EVENKEEL_STANDIN_FAULT:-}" != slow ] || sleep 30
mkdir -p "$HOME/.conda"
echo "$prefix" >>"$HOME/.conda/environments.txt"
echo 'channels: [a-channel-of-its-own]' >"$prefix/.condarc"
cat >"$prefix/bin/conda" <<'CONDA'
#!/bin/sh
# A stand-in for conda: `create` makes an interpreter, from a channel that must answer.
set -eu
[ "$1" = create ] || { echo "conda (stand-in): cannot do: conda $*" >&2; exit 2; }
shift
prefix='' channel='' wanted='' own=1
while [ $# -gt 0 ]; do
    case $1 in
    --yes | --quiet | --no-default-packages) ;;
    --prefix) prefix=$2; shift ;;
    --channel) channel=$2; shift ;;
    --override-channels) own=0 ;;
    python=*) wanted=${1#python=} ;;
    *) echo "conda create (stand-in): cannot do: $1" >&2; exit 2 ;;
    esac
    shift
done
[ "$own" = 0 ] || { echo "conda (stand-in): would also use the channel of its own .condarc" >&2; exit 2; }
[ ! -e "$HOME/.condarc" ] || { echo "conda (stand-in): reads $HOME/.condarc" >&2; exit 2; }
[ -z "${CONDARC:-}${CONDA_PREFIX:-}${PYTHONPATH:-}" ] || { echo "conda (stand-in): another environment is active" >&2; exit 2; }
python=$EVENKEEL_STANDIN_PYTHON
"$python" -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=10)' "$channel/noarch/repodata.json" || {
    echo "CondaHTTPError (stand-in): no connection for url <$channel/noarch/repodata.json>" >&2
    exit 1
}
there=$("$python" -c 'import platform; print(platform.python_version())')
[ "$there" = "$wanted" ] || {
    echo "PackagesNotFoundError (stand-in): python=$wanted is not available from $channel" >&2
    exit 1
}
[ "$CONDA_REGISTER_ENVS" = false ] || echo "$prefix" >>"$HOME/.conda/environments.txt"
[ "$CONDA_NUMBER_CHANNEL_NOTICES" = 0 ] || mkdir -p "$XDG_CACHE_HOME/conda/notices"
mkdir -p "$CONDA_PKGS_DIRS/python-$wanted"
short=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
mkdir -p "$prefix/bin" "$prefix/lib" "$prefix/conda-meta"
cp "$("$python" -c 'import os, sys; print(os.path.realpath(sys.executable))')" "$prefix/bin/$short"
ln -s "$("$python" -c 'import os; print(os.path.dirname(os.__file__))')" "$prefix/lib/$short"
ln -s "$short" "$prefix/bin/python"
if [ "${EVENKEEL_STANDIN_FAULT:-}" = wrong ]; then
    rm "$prefix/bin/python"
    printf '#!/bin/sh\necho 3.9.9\n' >"$prefix/bin/python"
    chmod 0755 "$prefix/bin/python"
fi
CONDA
chmod 0755 "$prefix/bin/conda"
echo 'installation finished.'
