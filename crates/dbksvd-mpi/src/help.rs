//! What `--help` prints.

/// One screen.
pub const TEXT: &str = "\
Learns a dictionary of samples (K-SVD) by the processes of an MPI job: the same bits on any number.

Usage: mpirun -n 4 dbksvd-mpi learn --data FILE... --atoms M --sparsity K [OPTIONS]

What to learn from, and what: as the example `learn` of dbksvd
  --data FILE...     samples, a row each: .npy or .safetensors; every process opens all of them, and
                     reads its own part
  --tensor NAME      the tensor of .safetensors files
  --precision P      f32 or f64                                                 [f32]
  --held-out SHARE   measures on this share of the rows, above 0 and below 1, which is not learned
  --mean, --scale    subtract the mean of the rows, divide by their mean norm; the model keeps them
  --clip-norm F, --drop-norm F
                     scale down, or leave out, rows beyond F times the median norm (not both)
  --atoms M, --sparsity K
                     size of the dictionary, most atoms a row
  --non-negative     coefficients of at least 0
How to learn, and how long
  --shards S         parts that a minibatch is cut into: 1, 2, 4, 8, 16 or 32, at least as many as
                     there are processes with work; other S give other bits   [of the problem]
  --minibatch B      rows a step, all processes together      [4 M or a quarter, but at least 20 M/K]
  --epochs E         passes over the rows                                       [20]
  --steps N, --time T, --target-fvu X
                     ends earlier: after N steps, a time in seconds, at this error
  --evaluate-every N measures after each N steps                                [each epoch]
  --seed S           of all randomness                                          [0]
  --threads T        threads of each process                                    [all cores]
What comes out, of the first process
  --out DIR          for dictionary.safetensors, best.safetensors if another dictionary did better
                     on held-out rows, and checkpoints; the other processes write nothing  [out]
  --checkpoint-every N
                     saves the state to DIR/checkpoints after each N steps      [10 minutes]
  --resume           goes on from DIR/checkpoints, if there is one, with any number of processes
  --quiet            prints nothing

A process that fails ends the job with an error that names it; the last checkpoint is whole.
";
