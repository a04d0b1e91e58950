#!/usr/bin/env bash
# Tests the development cluster: it comes up, runs a pod that this machine can reach, loses
# and regains programs, ends, and leaves nothing. It is one of its own, in a folder and with
# addresses that nothing else uses. About 40 seconds, if Kubernetes is compiled.
set -euo pipefail
cd "$(dirname "$0")"

export DEVCLUSTER_BIN=${DEVCLUSTER_BIN:-${DEVCLUSTER_DIR:-/var/tmp/devcluster}/bin}
DEVCLUSTER_DIR=$(mktemp -d /var/tmp/devcluster-test.XXXXXX)
export DEVCLUSTER_DIR DEVCLUSTER_NET=10.238
export KUBECONFIG=$DEVCLUSTER_DIR/kubeconfig PATH=$PATH:$DEVCLUSTER_BIN
trap './devcluster down; rm -rf "$DEVCLUSTER_DIR"' EXIT

fail() { echo "FAIL: $*" >&2; exit 1; }

# world is what of this machine a cluster could change or leave behind. Others mount things too.
world() {
	ip -o link show | sed 's/.*: \(devc-10-238\).*/\1/;t;d'
	ip route show
	mount | grep -F "$DEVCLUSTER_DIR" || true
	ls -d /sys/fs/cgroup/*/devcluster-10-238 /sys/fs/cgroup/devcluster-10-238 2>/dev/null || true
	cat /proc/sys/net/ipv4/ip_forward /proc/sys/vm/overcommit_memory /proc/sys/kernel/panic
	for pid in /proc/[0-9]*; do
		! grep -aq "$DEVCLUSTER_DIR" "$pid/cmdline" || cat "$pid/comm"
	done 2>/dev/null
}
before=$(world)

! ./devcluster status >/dev/null || fail "status of a cluster that is down"
! ./devcluster load /nowhere.tar 2>/dev/null || fail "loaded what is not there"
./devcluster up
./devcluster up # changes nothing
./devcluster status

[ "$(kubectl get nodes -o name)" = node/devnode ] || fail "no node"
kubectl apply -f - <<'POD'
apiVersion: v1
kind: Pod
metadata: {name: one}
spec: {containers: [{name: one, image: localhost/pause:1}]}
POD
kubectl wait --for=condition=Ready --timeout=300s pod/one

./devcluster signal kube-scheduler KILL
! ./devcluster status >/dev/null || fail "status of a cluster without a scheduler"
./devcluster signal kubelet STOP
./devcluster signal kubelet CONT
./devcluster up
./devcluster status
[ "$(kubectl get pod one -o 'jsonpath={.status.phase}')" = Running ] || fail "the pod did not live on"

! DEVCLUSTER_DIR=$DEVCLUSTER_DIR/second ./devcluster up 2>"$DEVCLUSTER_DIR/said" || fail "two clusters with the same addresses"
grep -q 'DEVCLUSTER_NET=' "$DEVCLUSTER_DIR/said" || fail "it is not said what to do: $(cat "$DEVCLUSTER_DIR/said")"

./devcluster down
./devcluster down # nor does this
diff <(echo "$before") <(world) || fail "something was left behind, or changed"
[ "$(find "$DEVCLUSTER_DIR" -mindepth 1 -maxdepth 1 ! -name said ! -name second)" = "" ] || fail "files were left: $(ls "$DEVCLUSTER_DIR")"

status=0
./devcluster with sh -c 'kubectl get --raw /readyz >/dev/null && exit 7' || status=$?
[ $status = 7 ] || fail "with ended with status $status, want the command's own, 7"
diff <(echo "$before") <(world) || fail "with left something behind"
echo "PASS"
