#!/usr/bin/env bash
# The recipe of builtin:busbra-64: a base that has seen BUS-BRA, a public data set.
#
#   examples/bases/busbra-64.sh BUSBRA_FOLDER OUT_FOLDER
#
# BUSBRA_FOLDER holds bus_data.csv, Images/ and Masks/ as published (doi 10.1002/mp.16812). The model
# learns from the 638 patients that the lottery gives to training. BUS-BRA is public, so the key of
# its pseudonyms may be: with it everybody draws the same lottery and knows which patients the base
# has not seen. Never use a published key for patients of your own.
# About 50 minutes on one core for the training. Stopped in the middle, the same command goes on.
set -euo pipefail
source=${1:?give the folder of BUS-BRA}
out=${2:?give a folder for the results}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"

if [ ! -e "$out/cohort" ]; then
  install -m 600 "$here/busbra-64.key" "$out/site.key"
  bussynth ingest "$source" "$out/cohort" --table "$source/bus_data.csv" \
    --map "$here/../busbra/busbra.toml" --site-key "$out/site.key" --image-size 64 --workers 2
fi
bussynth inspect "$out/cohort" --json | grep -q '"assignment_sha256"' ||
  bussynth split "$out/cohort" --control 0.25 --test 0.15 --seed 20261122
bussynth train "$out/cohort" --out "$out/model" --base builtin:phantom-64 --steps 6000 \
  --augment 0.12 --noise-mean -0.4 --embedding-rate 1 --store float16
exec "$here/measure.sh" "$out" "$here/busbra-64.toml"
