#!/usr/bin/env bash
# The whole road on BUS-BRA: real images in, a signed synthetic package out.
#
#   examples/busbra/run.sh BUSBRA_FOLDER OUT_FOLDER [MINUTES_OF_TRAINING]
#
# BUSBRA_FOLDER holds bus_data.csv, Images/ and Masks/ as published (doi 10.1002/mp.16812).
# Stopped in the middle of the training, the same command goes on; finished steps are kept.
set -euo pipefail
source=${1:?give the folder of BUS-BRA}
out=${2:?give a folder for the results}
minutes=${3:-80}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"

done_before() { [ -e "$out/$1" ] && echo "keeping $out/$1" >&2; }

done_before cohort || bussynth ingest "$source" "$out/cohort" --table "$source/bus_data.csv" \
  --map "$here/busbra.toml" --site-key "$out/site.key" --image-size 64 --workers 2
# One in four for control: 266 patients, above the 200 that a conclusive audit needs.
bussynth inspect "$out/cohort" --json | grep -q '"assignment_sha256"' ||
  bussynth split "$out/cohort" --control 0.25 --test 0.15 --seed 20261122
# The time ends the training, whatever the number of steps of the preset.
bussynth train "$out/cohort" --out "$out/model" --preset small-64 --minutes "$minutes" --steps 1000000
done_before synthetic || bussynth generate "$out/model" --out "$out/synthetic" -n 1000 --seed 1
[ -e "$out/samples.png" ] ||
  bussynth inspect "$out/synthetic" --grid "$out/samples.png" --beside "$out/cohort"
python "$here/lesion_in_box.py" "$out/cohort" "$out/synthetic"
# The lines are drawn and recorded before anybody looks; the model is to be published as well.
audit=("$out/synthetic" --real "$out/cohort" --out "$out/audit" --model "$out/model" --release-model)
done_before audit.toml || bussynth audit "${audit[@]}" --register
done_before audit || bussynth audit "${audit[@]}" --config "$out/audit.toml"
[ -e "$out/publisher.key" ] || bussynth keygen "$out/publisher.key"
done_before package || bussynth export "$out/synthetic" --audit "$out/audit" \
  --key "$out/publisher.key" --out "$out/package" --license LicenseRef-research-only
bussynth verify "$out/package" --trust "$out/publisher.key.pub"
