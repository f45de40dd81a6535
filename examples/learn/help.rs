//! What `--help` prints.

/// One screen.
pub const TEXT: &str = "\
Learns a dictionary of samples: atoms of which a few, added up, make each sample (K-SVD). Without
arguments, one of the transformer embeddings in data/: on 7168 rows, measured on the last 1024.

Usage: learn [OPTIONS], --help, --version   (cargo run --release --example learn -- [OPTIONS])

What to learn from
  --data FILE...     samples, a row each: .npy or .safetensors of f16, bf16, f32 or f64; files,
                     directories and patterns ('acts/*.npy') are taken as one, in this order, hidden
                     files left out; an array of shape (B, S, d) is B S rows
  --tensor NAME      the tensor of .safetensors files; needed if several may be the samples
  --precision P      f32 or f64, for reading and all that follows    [f64 if all data are, else f32]
  --mask FILE...     .npy of booleans or of 0 and 1, one for each row of all --data: 1 uses a row, 0
                     leaves it out of everything (padding, BOS); --eval-mask is that of --eval
  --eval FILE...     rows not learned from: measured each epoch and at the end; codes.npz is of them
  --held-out SHARE   or this share of the rows used, above 0 and below 1, in blocks by the seed
  --mean             subtract the mean of the rows; the model keeps it (also --center)
  --scale            divide by their mean norm; the model keeps it
  --clip-norm F      scale rows down to F times the median norm, the norm limit, or (not both)
  --drop-norm F      leave out rows beyond it; with either, rows of zeros are left out as padding
What to learn
  --goal WHICH       error (least), or features: interpretable ones, that one product detects: K on
                     average a row; with --non-negative, --mean, --clip-norm 3, --epochs 16  [error]
  --atoms M          size of the dictionary                                     [1024]
  --sparsity K       most atoms a row                                           [16]
  --non-negative     coefficients of at least 0, as those of sparse autoencoders
  --dictionary FILE  start from a model (.safetensors), whose sparsity, sign, mean, scale and norm
                     limit hold, each but where its own option is given (--mean: that of these rows
                     instead), or an (m, d) array (.npy), scaled to norm 1; --atoms M lets it grow
How to learn, and how long
  --epochs E         passes over the rows; 0 only codes                         [20]
  --steps N, --time T, --target-fvu X
                     ends earlier: after N steps, a time (90s, 15m, 2h), at this error (of rows
                     within the norm limit); so does Ctrl-C, after the current step
  --minibatch B      rows a step              [4 M or a quarter of all, but at least 20 M/K]
  --atom-batch J     most atoms updated at a time                               [32]
  --selection WHICH  of a row's next atom: omp (correlation), ols (error) [omp; or a model's coder]
  --start-at P       where schedules begin, 0 to 1    [0; 0.8 with a --dictionary of M atoms]
  --evaluate-every N measures held-out rows after each N steps                  [each epoch]
  --checkpoint-every N   saves the state to DIR/checkpoints after each N steps, or time (10m)
  --resume           goes on from DIR/checkpoints, if there is one: to the same bits; saves at
                     the end and, unless --checkpoint-every says otherwise, each 10 minutes
  --device WHERE     cpu; learn_gpu (of dbksvd-gpu) has gpu, gpu:NAME and gpu:NUMBER, in f32  [cpu]
  --seed S, --threads T  the same seed gives the same bits [0], on any number of threads [all cores]
What comes out
  --out DIR          for dictionary.safetensors, dictionary.npy (M, d), codes.npz (rows, M; CSR),
                     mean.npy (d) and scale.npy () if any, error.png, usage.png; those of an earlier
                     run are removed; none may be an input; rows left out have empty codes  [out]
  --no-codes         no codes.npz; measures on the first 65,536 rows of each part alone
  --json, --quiet    a JSON object a line (`epoch`, `evaluation` each, `result`); no progress bar

In NumPy, codes @ dictionary * scale + mean gives the rows back, but for the error.
Numbers. An epoch's FVU is that of its minibatches as they were met, each before the update it led
to. All other numbers of the result are of the final dictionary: fvu, explained_variance,
relative_error, l0 and dead_atoms on the rows learned from, eval_fvu on those held out (else null).
fvu is of all rows used, in epochs clipped, else whole; fvu_within is of those within the norm limit
that are not all zero: the best model, --target-fvu, the bar and the plots go by it (without a limit
the two are one). Seconds are those of learning; with --epochs 0, of coding. If a few massive rows
hold most of the variance, a warning says so. `masked` rows are those that --mask leaves out.

Examples
  learn --data acts.npy --atoms 4096 --sparsity 32 --eval held_out.npy --out run1
  learn --data 'acts/*.npy' --mask mask.npy --held-out 0.01 --mean --clip-norm 3 --resume
  learn --data 'acts/*.npy' --goal features --atoms 4096 --sparsity 32 --out run1
  learn --data new.npy --dictionary run1/dictionary.safetensors --epochs 0 --out run2
";
