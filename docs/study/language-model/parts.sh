#!/usr/bin/env bash
# What each part of the recipe is good for: the recipe without it, by all measures but the losses of the
# language model. FOLDER is one that run.sh has made activations in.
#
#     docs/study/language-model/parts.sh FOLDER [SEEDS]
#
# ATOMS (2304) and SPARSITY (32) are those of all variants.
set -euo pipefail
scripts=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$scripts/../../.." && pwd)
cd "$1"
seeds=${2:-1}
export LAYER=${LAYER:-15} PYTHONPATH=$scripts
acts=acts$LAYER parts=parts$LAYER

cargo build --quiet --release --example feature_parts --manifest-path "$root/Cargo.toml"
target=$(cargo metadata --format-version 1 --no-deps --manifest-path "$root/Cargo.toml" |
    python -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
for ((seed = 0; seed < seeds; seed++)); do
    for part in nothing centring clipping growth first-stage second-stage nesting renewal; do
        out=$parts/without-$part-$seed
        [ ! -f "$out/scores.json" ] || continue
        mkdir -p "$out"
        "$target/release/examples/feature_parts" --data "$acts/train.npy" --eval "$acts/eval.npy" \
            --atoms "${ATOMS:-2304}" --sparsity "${SPARSITY:-32}" \
            --without "$part" --seed "$seed" --out "$out" >"$out/log.txt"
        python "$scripts/evaluate.py" "$out" --no-ce
    done
done
python "$scripts/table.py" "$parts" | tee "$parts/table.md"
