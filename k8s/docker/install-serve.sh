#!/bin/sh
# The environment of the image `serve`, in the folder VENV: the gateway, and no training stack.
#   k8s/docker/install-serve.sh VENV        from the repository's root
set -eu
"${PYTHON:-python3}" -m venv "$1"
"$1/bin/pip" install --quiet -c constraints.txt '.[serve,triton]'
"$1/bin/pip" check
