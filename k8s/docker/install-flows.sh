#!/bin/sh
# The environment of the image `flows`, in the folder VENV: Prefect's server and workers, and DVC, without torch.
#   k8s/docker/install-flows.sh VENV        from the repository's root
set -eu
"${PYTHON:-python3}" -m venv "$1"
"$1/bin/pip" install --quiet -c constraints.txt '.[flows]' prefect-kubernetes==0.8.0
"$1/bin/pip" check
