#!/bin/sh
# Runs the example reports from a repository of their own, as an agent would in earnest:
# local sandboxes, a folder as the store, a bare Git repository. The merge is dated a
# week and a day ago, so that one slot of every report is due when the agent starts.
#
# demo.sh s3: with a bucket as the store, of an S3 server that lives as long as this script.
set -eu
cd "$(dirname "$0")/../.."
nbpress=$PWD/build/nbpress
python=$PWD/.venv/bin/python
demo=$PWD/build/demo
[ "${1:-}" != s3 ] || demo=$PWD/build/demo-s3

rm -rf "$demo"
mkdir -p "$demo/merge"
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
cp -R reports-example/. "$demo/merge"
merged=$(date -u -d '8 days ago' +%Y-%m-%dT%H:%M:%SZ 2>/dev/null || date -u -v-8d +%Y-%m-%dT%H:%M:%SZ)
git -C "$demo/merge" init -q -b main
git -C "$demo/merge" add .
GIT_AUTHOR_DATE=$merged GIT_COMMITTER_DATE=$merged \
	git -C "$demo/merge" -c user.name='Ada Analyst' -c user.email=ada@example.com \
	commit -q -m 'Publish the example reports'
git clone -q --bare "$demo/merge" "$demo/reports.git"
rm -rf "$demo/merge"

# serve_s3 starts the server on a port of its own, and waits until it listens.
serve_s3() {
	mkdir -p "$demo/s3/reports"
	export AWS_ACCESS_KEY_ID=nbpress-demo AWS_SECRET_ACCESS_KEY=only-for-this-demo AWS_REGION=eu-central-1
	endpoint=127.0.0.1:$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	build/versitygw --port "$endpoint" --access "$AWS_ACCESS_KEY_ID" --secret "$AWS_SECRET_ACCESS_KEY" --region "$AWS_REGION" \
		--quiet posix "$demo/s3" >"$demo/versitygw.log" 2>&1 &
	server=$!
	trap 'kill -9 $server 2>/dev/null || :' EXIT
	"$python" - "$endpoint" <<-'EOF' || { cat "$demo/versitygw.log" >&2; exit 1; }
		import socket, sys, time
		host, port = sys.argv[1].split(":")
		for _ in range(300):
		    try:
		        socket.create_connection((host, int(port)), timeout=10).close()
		        sys.exit()
		    except OSError:
		        time.sleep(0.1)
		sys.exit("demo: the S3 server does not listen after 30 s")
	EOF
}

store="{dir: store}"
files=$demo/store
if [ "${1:-}" = s3 ]; then
	serve_s3
	store="{s3: {bucket: reports, prefix: demo, endpoint: 'http://$endpoint'}}"
	files=$demo/s3/reports/demo # what the server keeps, an object a file
fi

cat >"$demo/nbpress.yaml" <<EOF
repository:
  url: reports.git
store: $store
executor:
  local:
    python: $python
EOF

echo "== nbpress agent --config build/${demo##*/}/nbpress.yaml --once"
"$nbpress" agent --config "$demo/nbpress.yaml" --once

pages=$(find "$files/pages" -path '*/latest/*' -name index.html | sort)
[ -n "$pages" ] || { echo "demo: the agent published no page" >&2; exit 1; }

echo
echo "== The ledger's log, as everybody sees it in Git"
git -C "$demo/reports.git" for-each-ref --format='%(refname:short)' 'refs/heads/runs/2*' | while read -r branch; do
	git -C "$demo/reports.git" log --no-color --format='%h %s%n%w(0,4,4)%b' "$branch"
done
echo "== One manifest that completed"
"$nbpress" show --config "$demo/nbpress.yaml" weekly-energy/plant-1/latest
echo
echo "== One that failed"
"$nbpress" show --config "$demo/nbpress.yaml" data-quality/meter-9/latest
echo
echo "== The status board, runs/status:README.md"
git -C "$demo/reports.git" show runs/status:README.md
echo
if [ "${1:-}" = s3 ]; then
	echo "== A link to a page, which anybody may follow while this server runs, for an hour"
	link=$("$nbpress" show --config "$demo/nbpress.yaml" weekly-energy/plant-1/latest --links --for 1h | sed -n 's,^en/index.html  ,,p')
	echo "$link"
	"$python" -c 'import sys, urllib.request; print("the page has", len(urllib.request.urlopen(sys.argv[1]).read()), "bytes")' "$link"
	echo
fi
echo "== Open these in a browser"
echo "$pages" | sed 's,^,file://,'
