#!/bin/sh
# Put Stepladder and everything it needs into .venv:
#     sh .ci/setup.sh        to use it
#     sh .ci/setup.sh dev    to test and change it, too
# This file only finds a Python that is new enough; .ci/install.py does the work.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

for python in python3 python3.14 python3.13 python3.12 python3.11 python; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        exec "$python" "$here/install.py" "$@"
    fi
done
echo "setup: no Python 3.11 or newer on the PATH; install one (https://www.python.org/downloads/) and run this again" >&2
exit 1
