#!/usr/bin/env bash
# From a scanner's DICOM files to a signed package, on a hospital of phantoms.
#
#   examples/hospital/run.sh OUT_FOLDER [PATIENTS]
#
# Two minutes on two cores with 60 patients.
# Stopped anywhere, the same command goes on.
set -euo pipefail
out=${1:?give a folder for the results}
patients=${2:-60}
mkdir -p "$out"

done_before() { [ -e "$out/$1" ] && echo "keeping $out/$1" >&2; }

# What a hospital has: files with names everywhere, and a table of findings.
done_before hospital || bussynth phantom "$out/hospital" --dicom --patients "$patients" --seed 7 \
  --normal 0.2 --workers 2
done_before cohort || bussynth ingest "$out/hospital/DICOM" "$out/cohort" --workers 2 \
  --table "$out/hospital/labels.csv" --map "$out/hospital/map.toml" --site-key "$out/site.key"
# The pages of the review open in a browser; here nobody looks, so nothing is approved.
done_before cohort/review/pages || bussynth review "$out/cohort"
bussynth inspect "$out/cohort" --json | grep -q '"assignment_sha256"' ||
  bussynth split "$out/cohort" --control 0.2 --test 0.2
# Half of the patients is the public number that the guarantee is planned for.
bussynth adapt "$out/cohort" --base builtin:phantom-64 --out "$out/adapter" --dp-epsilon 8 \
  --dp-patients $((patients / 2)) --noise-multiplicity 1
bussynth ledger "$out/cohort"
done_before synthetic || bussynth generate "$out/adapter" --out "$out/synthetic" -n 100 --seed 1
[ -e "$out/publisher.key" ] || bussynth keygen "$out/publisher.key"
done_before package || bussynth export "$out/synthetic" --claim formal-dp --ledger "$out/cohort" \
  --key "$out/publisher.key" --out "$out/package" --license CC0-1.0
bussynth verify "$out/package" --trust "$out/publisher.key.pub"
