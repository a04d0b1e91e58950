#!/bin/sh
# Runs the example reports from a repository of their own, as an agent would in earnest:
# local sandboxes, a folder as the store, a bare Git repository. The merge is dated a
# week and a day ago, so that one slot of every report is due when the agent starts.
set -eu
cd "$(dirname "$0")/../.."
nbpress=$PWD/build/nbpress
python=$PWD/.venv/bin/python
demo=$PWD/build/demo

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

cat >"$demo/nbpress.yaml" <<EOF
repository:
  url: reports.git
store:
  dir: store
executor:
  local:
    python: $python
EOF

echo "== nbpress agent --config build/demo/nbpress.yaml --once"
"$nbpress" agent --config "$demo/nbpress.yaml" --once

pages=$(find "$demo/store/pages" -path '*/latest/*' -name index.html | sort)
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
echo "== Open these in a browser"
echo "$pages" | sed 's,^,file://,'
