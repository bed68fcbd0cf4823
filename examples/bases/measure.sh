#!/usr/bin/env bash
# Measure a model of a cohort, audit it, and write its card: the second half of both recipes.
#
#   examples/bases/measure.sh FOLDER ABOUT.toml
#
# FOLDER holds cohort/ and model/; evaluation/, audit/ and card/ come beside them.
set -euo pipefail
out=${1:?give the folder of a recipe}
about=${2:?give the file with data, licence and attribution}

[ -e "$out/synthetic" ] ||
  bussynth generate "$out/model" --out "$out/synthetic" -n 1000 --seed 1 --steps 12
[ -e "$out/evaluation" ] ||
  bussynth evaluate "$out/synthetic" --real "$out/cohort" --out "$out/evaluation"
# The lines are drawn and recorded before anybody looks.
audit=("$out/synthetic" --real "$out/cohort" --out "$out/audit" --model "$out/model" --release-model)
[ -e "$out/audit.toml" ] || bussynth audit "${audit[@]}" --register
[ -e "$out/audit" ] || bussynth audit "${audit[@]}" --config "$out/audit.toml"
bussynth card "$out/model" --evaluation "$out/evaluation" --audit "$out/audit" \
  --samples "$out/synthetic" --about "$about" --out "$out/card" --force
