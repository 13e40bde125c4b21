#!/bin/sh
# The environment of the image `train`, in the folder VENV: every stage, drift checks and releases. DEVICE is cpu or cuda; TORCH_INDEX is an index
# of torch builds for it, the default one of pip unless given.
#   DEVICE=cpu TORCH_INDEX=... k8s/docker/install-train.sh VENV        from the repository's root
set -eu
: "${DEVICE:?say cpu or cuda}"
"${PYTHON:-python3}" -m venv "$1"
# torch first and pinned: asked for later, through another package, pip would take the newest build
"$1/bin/pip" install --quiet ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$(grep '^torch==' constraints.txt)"
"$1/bin/pip" install --quiet -c constraints.txt '.[train,monitor,flows]'
"$1/bin/pip" check
"$1/bin/python" -c '
import sys, torch
found = "cuda" if torch.version.cuda else "cpu"
sys.exit(None if found == sys.argv[1] else f"this torch is built for {found}, not for {sys.argv[1]}: see TORCH_INDEX")
' "$DEVICE"
