#!/usr/bin/env bash
# Runs the scenarios on a cluster: the one of $KUBECONFIG (kind, minikube, your own),
# else the development cluster, which is started and ended if it does not run.
#
#   deploy/e2e.sh [-only PATTERN] [-parallel N] [-race=false]
#   deploy/e2e.sh bench      measures instead how long a pod takes to its first cell
#
#   KUBECONFIG               the cluster; it must have, or be able to pull, the images:
#   NBPRESS_E2E_IMAGE        of reports (localhost/nbpress-kernel:dev)
#   NBPRESS_E2E_AGENT_IMAGE  of the agent (localhost/nbpress-agent:dev)
#   NBPRESS_E2E_SLOTS        runs that are due at once (40)
#   NBPRESS_E2E_KILLS        agents that are killed beside another's pods (8)
#
# One scenario stops the node for a while. It wants a development cluster of its own:
#
#   DEVCLUSTER_DIR=/var/tmp/second DEVCLUSTER_NET=10.201 DEVCLUSTER_BIN=/var/tmp/devcluster/bin \
#   DEVCLUSTER_SILENCE=20 NBPRESS_E2E_NODE_CLUSTER=1 deploy/e2e.sh -only NodeLost
#
# With kind: make kernel-image agent-image test-images, then kind load image-archive
# build/kernel-image.tar, and so on.
set -euo pipefail
cd "$(dirname "$0")/.."
devcluster=deploy/devcluster/devcluster
own=${DEVCLUSTER_DIR:-/var/tmp/devcluster}/kubeconfig

if [ -z "${KUBECONFIG:-}" ]; then
	"$devcluster" status >/dev/null 2>&1 || exec "$devcluster" with "$0" "$@"
	export KUBECONFIG=$own
fi
export NBPRESS_E2E_IMAGE=${NBPRESS_E2E_IMAGE:-localhost/nbpress-kernel:dev}
export NBPRESS_E2E_AGENT_IMAGE=${NBPRESS_E2E_AGENT_IMAGE:-localhost/nbpress-agent:dev}
export PATH=$PATH:${DEVCLUSTER_BIN:-$(dirname "$own")/bin} # kubectl
command -v kubectl >/dev/null || { echo "e2e: no kubectl on PATH: https://kubernetes.io/docs/tasks/tools/" >&2; exit 1; }

if [ "$(realpath -m "$KUBECONFIG")" = "$(realpath -m "$own")" ]; then
	names=(kernel bare python agent)
	[ "${1:-}" != bench ] || names=(kernel)
	for name in "${names[@]}"; do
		archive=build/$name-image.tar
		# The agent's holds our own binary, which may have changed.
		[ -f "$archive" ] && [ "$name" != agent ] || deploy/images.sh "$name"
		"$devcluster" load "$archive"
	done
fi
[ "${1:-}" != bench ] || exec go run ./internal/bench -pods
exec go run ./internal/e2e "$@"
