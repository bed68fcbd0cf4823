#!/usr/bin/env bash
# The recipe of builtin:phantom-64: a base that has seen no patient.
#
#   examples/bases/phantom-64.sh OUT_FOLDER
#
# Simulates 3,000 patients, trains on the 1,800 that the lottery gives to training, measures and
# audits what comes out, and writes the model card. About 40 minutes on one core for the training.
# Stopped in the middle, the same command goes on.
set -euo pipefail
out=${1:?give a folder for the results}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"

[ -e "$out/cohort" ] ||
  bussynth phantom "$out/cohort" --patients 3000 --image-size 64 --seed 64 --workers 2
bussynth inspect "$out/cohort" --json | grep -q '"assignment_sha256"' ||
  bussynth split "$out/cohort" --control 0.25 --test 0.15 --seed 64
bussynth train "$out/cohort" --out "$out/model" --preset small-64 --steps 6000 \
  --augment 0.12 --noise-mean -1.2 --store float16
exec "$here/measure.sh" "$out" "$here/phantom-64.toml"
