#!/usr/bin/env bash
# The private road, on phantoms in the place of patients: a package with the claim formal-dp.
#
#   examples/private/run.sh OUT_FOLDER [EPSILON] [PATIENTS]
#
# PATIENTS is the public number of patients to learn from; of the phantoms drawn, 60 % train. Ten
# minutes on two cores. Stopped in the middle of the training, the same command goes on.
set -euo pipefail
out=${1:?give a folder for the results}
epsilon=${2:-8}
patients=${3:-300}
mkdir -p "$out"

done_before() { [ -e "$out/$1" ] && echo "keeping $out/$1" >&2; }

done_before hospital || bussynth phantom "$out/hospital" --patients $((patients * 5 / 3)) --seed 7
bussynth inspect "$out/hospital" --json | grep -q '"assignment_sha256"' ||
  bussynth split "$out/hospital" --control 0.2 --test 0.2
private=(--base builtin:phantom-64 --out "$out/adapter" --dp-epsilon "$epsilon"
  --dp-patients "$patients" --noise-multiplicity 1)
done_before adapter || bussynth adapt "$out/hospital" "${private[@]}" --dry-run
bussynth adapt "$out/hospital" "${private[@]}"
bussynth ledger "$out/hospital"
done_before synthetic || bussynth generate "$out/adapter" --out "$out/synthetic" -n 200 --seed 1
[ -e "$out/publisher.key" ] || bussynth keygen "$out/publisher.key"
done_before package || bussynth export "$out/synthetic" --claim formal-dp --ledger "$out/hospital" \
  --key "$out/publisher.key" --out "$out/package" --license CC0-1.0
bussynth verify "$out/package" --trust "$out/publisher.key.pub"
