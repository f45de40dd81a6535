//! What `--help` prints.

/// One screen.
pub const TEXT: &str = "\
Learns a dictionary of samples (K-SVD) by the processes of an MPI job: the same bits on any number.

Usage: mpirun -n 4 dbksvd-mpi learn --data FILE... [OPTIONS]
       [mpirun -n 4] dbksvd-mpi cost [OPTIONS]

What to learn from, and what: as the example `learn` of dbksvd
  --data FILE...     samples, a row each: .npy or .safetensors; every process opens all of them, and
                     reads its own part
  --tensor NAME      the tensor of .safetensors files
  --precision P      f32 or f64                                  [f64 if all data are, else f32]
  --mask FILE...     .npy of booleans: 1 uses a row, 0 leaves it out
  --eval FILE...     measures on these rows, which are not learned (--eval-mask: those used), or
  --held-out SHARE   on this share of the rows of --data, above 0 and below 1
  --mean, --scale    subtract the mean of the rows, divide by their mean norm; the model keeps them
  --clip-norm F, --drop-norm F
                     scale down, or leave out, rows beyond F times the median norm (not both)
  --atoms M, --sparsity K
                     size of the dictionary, most atoms a row                    [1024, 16]
  --non-negative     coefficients of at least 0
  --dictionary FILE  start from a model (.safetensors) or an (m, d) array (.npy); --atoms lets it
                     grow; every process reads it
How to learn, and how long
  --shards S         parts that a minibatch is cut into: 1, 2, 4, … up to 128, at least as many as
                     there are processes with work; other S give other bits   [of the problem]
  --gram WHICH       the Gram matrix: shared out and sent, or computed by each; with slow networks
                     the latter may take less time; the bits are the same     [shared]
  --minibatch B      rows a step, all processes together      [4 M or a quarter, but at least 20 M/K]
  --epochs E         passes over the rows                                       [20]
  --steps N, --time T, --target-fvu X
                     ends earlier: after N steps, a time (90s, 15m, 2h), at this error
  --atom-batch J     most atoms updated at a time                               [32]
  --selection WHICH  of a row's next atom: omp (correlation), ols (error)       [omp]
  --start-at P       where schedules begin, 0 to 1  [0; 0.8 with a --dictionary of M atoms]
  --evaluate-every N measures after each N steps                                [each epoch]
  --seed S           of all randomness                                          [0]
  --threads T        threads of each process                                    [all cores]
What comes out, of the first process
  --out DIR          for dictionary.safetensors, best.safetensors if another dictionary did better
                     on held-out rows, and checkpoints; the other processes write nothing  [out]
  --checkpoint-every N
                     saves the state to DIR/checkpoints after each N steps, or time, and at the end
  --resume           goes on from DIR/checkpoints, if there is one, with any number of processes;
                     saves there, each 10 minutes unless --checkpoint-every says otherwise
  --quiet            prints nothing
  --json             prints an event a line: start, epochs, evaluations, end

What a step takes: dbksvd-mpi cost [OPTIONS], a table of seconds by a model; under mpirun, with the
calls between these processes measured
  --dim D, --atoms M, --sparsity K, --minibatch B, --sweeps S, --atom-batch J
                     the problem                             [2304, 16384, 32, 65536, 2, 32]
  --machines N,N..., --cores C
                     how many, and cores of each             [4,16,64; those of this one]
  --networks G:L,... gigabits a second and microseconds of latency    [1:60,25:10,100:2]
  --coding MS, --gram S, --update MS
                     of one core: milliseconds to code a row, seconds for the Gram matrix,
                     milliseconds to update on a row         [each measured, unless all are given]
  --message US       microseconds of a core for each message of a call          [measured]

A process that fails ends the job with an error that names it; the last checkpoint is whole.
";
