//! How long a step takes on so many machines: a model, with the numbers of a user's own.

use std::fmt::Write;

use dbksvd::ProblemShape;

/// What one core needs, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// To code a sample.
    pub coding: f64,
    /// For the Gram matrix of a dictionary.
    pub gram: f64,
    /// To update the dictionary on a sample, in all sweeps.
    pub update: f64,
}

/// What moves messages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Network {
    /// Gigabits a second of each machine.
    pub gigabits: f64,
    /// Seconds until a short message is there.
    pub latency: f64,
}

/// What is asked for: a problem, machines, and what they need.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub shape: ProblemShape,
    pub minibatch: usize,
    pub sweeps: usize,
    pub atom_batch: usize,
    /// Bytes of a number.
    pub bytes: usize,
    /// Cores of a machine.
    pub cores: usize,
    pub machines: Vec<usize>,
    pub networks: Vec<Network>,
    pub work: Work,
    /// Seconds that a process needs for each message of a reduction, besides the network's.
    pub message: f64,
}

/// Seconds of a step, by what they go into.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seconds {
    pub coding: f64,
    pub gram: f64,
    pub update: f64,
    /// Directions on their way.
    pub bytes: f64,
    /// Calls, each of which waits for the slowest.
    pub calls: f64,
}

impl Seconds {
    pub fn total(&self) -> f64 {
        self.coding + self.gram + self.update + self.bytes + self.calls
    }
}

/// The largest minibatch that is looked at.
const MOST: usize = 1 << 30;

impl Plan {
    /// Bytes of directions that each of `machines` sends a step.
    pub fn sent(&self, machines: usize) -> f64 {
        let others = (machines - 1) as f64 / machines as f64;
        let [dim, atoms, sweeps] =
            [self.shape.dim, self.shape.atoms, self.sweeps].map(|n| n as f64);
        2.0 * sweeps * (dim + 2.0) * atoms * self.bytes as f64 * others
    }

    /// Bytes of the Gram matrix, in 16 bits, that each of `machines` sends if it is shared out.
    pub fn gram_sent(&self, machines: usize) -> f64 {
        let others = (machines - 1) as f64 / machines as f64;
        2.0 * (self.shape.atoms as f64).powi(2) * others
    }

    /// Calls in which all machines meet: three for each batch of atoms.
    pub fn calls(&self) -> f64 {
        3.0 * self.sweeps as f64 * self.shape.atoms.div_ceil(self.atom_batch) as f64
    }

    /// Seconds of a step on so many samples.
    pub fn seconds(&self, minibatch: usize, machines: usize, network: &Network) -> Seconds {
        let Self { work, cores, .. } = self;
        let (all, own) = (machines as f64 * *cores as f64, *cores as f64);
        let samples = minibatch as f64;
        let per_second = network.gigabits * 1e9 / 8.0;
        // The Gram matrix is shared out where that takes less time than to compute it whole.
        let shared = work.gram / all + self.gram_sent(machines) / per_second;
        let call = network.latency + (machines - 1) as f64 * self.message;
        let calls = if machines > 1 { self.calls() * call } else { 0.0 };
        Seconds {
            coding: samples * work.coding / all,
            gram: shared.min(work.gram / own),
            update: samples * work.update / all,
            bytes: self.sent(machines) / per_second,
            calls,
        }
    }

    /// How many times as fast as one machine these are.
    pub fn gain(&self, minibatch: usize, machines: usize, network: &Network) -> f64 {
        let alone = self.seconds(minibatch, 1, network).total();
        alone / self.seconds(minibatch, machines, network).total()
    }

    /// The smallest minibatch, among those of 2, 4, 8, … times the plan's, with which so many
    /// machines are at least half as many times as fast as one; the plan's own if that is enough.
    pub fn needed(&self, machines: usize, network: &Network) -> Option<usize> {
        let twice = |&minibatch: &usize| minibatch.checked_mul(2).filter(|&twice| twice <= MOST);
        let mut sizes = std::iter::successors(Some(self.minibatch.max(1)), twice);
        sizes.find(|&size| self.gain(size, machines, network) >= machines as f64 / 2.0)
    }

    /// The table, in Markdown.
    pub fn table(&self) -> String {
        let Self { shape, minibatch, work, cores, .. } = self;
        let mut text = format!(
            "d {}, m {}, k {}; minibatch {minibatch}, {} sweeps by batches of {} atoms; {cores} \
             cores a machine\none core: coding {:.4} ms a sample, Gram matrix {:.3} s, update {:.4} ms a \
             sample; {:.1} µs a message\n\n\
             | Gb/s | µs | machines | coding | Gram | update | bytes | calls | step, s | gain | for \
             half of all: minibatch | step, s |\n\
             |---|---|---|---|---|---|---|---|---|---|---|---|\n",
            shape.dim,
            shape.atoms,
            shape.sparsity,
            self.sweeps,
            self.atom_batch,
            work.coding * 1e3,
            work.gram,
            work.update * 1e3,
            self.message * 1e6,
        );
        for network in &self.networks {
            for &machines in &self.machines {
                let step = self.seconds(*minibatch, machines, network);
                let needed = match self.needed(machines, network) {
                    None => "– | –".to_owned(),
                    Some(size) => {
                        format!("{size} | {:.2}", self.seconds(size, machines, network).total())
                    }
                };
                let Seconds { coding, gram, update, bytes, calls } = step;
                // A text takes all that is written.
                let _ = writeln!(
                    text,
                    "| {} | {:.0} | {machines} | {coding:.3} | {gram:.3} | {update:.3} | \
                     {bytes:.3} | {calls:.3} | {:.3} | {:.1} | {needed} |",
                    network.gigabits,
                    network.latency * 1e6,
                    step.total(),
                    self.gain(*minibatch, machines, network),
                );
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use dbksvd::Sign;

    use super::*;

    fn plan() -> Plan {
        Plan {
            shape: ProblemShape { dim: 2304, atoms: 16_384, sparsity: 32, sign: Sign::Signed },
            minibatch: 65_536,
            sweeps: 2,
            atom_batch: 32,
            bytes: 4,
            cores: 32,
            machines: vec![1, 8, 64],
            networks: vec![Network { gigabits: 100.0, latency: 2e-6 }],
            work: Work { coding: 1.05e-3, gram: 20.0, update: 6.9e-5 },
            message: 0.0,
        }
    }

    #[test]
    fn the_parts_are_those_of_paper() {
        let (plan, network) = (plan(), Network { gigabits: 100.0, latency: 2e-6 });
        let near = |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 0.02);
        let alone = plan.seconds(65_536, 1, &network);
        near(alone.coding, 2.15);
        near(alone.gram, 0.625);
        assert_eq!((alone.bytes, alone.calls), (0.0, 0.0));
        let eight = plan.seconds(65_536, 8, &network);
        near(eight.coding, 0.269);
        near(eight.gram, 0.078 + 0.0376);
        near(plan.sent(8), 2.0 * 2.0 * 0.875 * 2304.0 * 16_384.0 * 4.0);
        near(eight.bytes, plan.sent(8) / 12.5e9);
        near(eight.calls, 3072.0 * 2e-6);
        assert_eq!(plan.calls(), 3072.0);
    }

    #[test]
    fn slow_networks_want_larger_minibatches_and_compute_the_gram_matrix_everywhere() {
        let (mut plan, network) = (plan(), Network { gigabits: 1.0, latency: 6e-5 });
        plan.cores = 8;
        assert_eq!(plan.seconds(65_536, 4, &network).gram, 2.5);
        let needed = plan.needed(4, &network).expect("a minibatch");
        assert!(needed > 65_536 && needed.is_multiple_of(65_536), "{needed}");
        assert!(plan.gain(needed, 4, &network) >= 2.0);
        assert!(plan.gain(needed / 2, 4, &network) < 2.0);
        assert_eq!(plan.needed(1, &network), Some(65_536));
        let never = Network { gigabits: 1e-9, latency: 1.0 };
        assert_eq!(plan.needed(4, &never), None);
        let table = plan.table();
        assert_eq!(table.lines().count(), 5 + plan.machines.len());
        assert!(table.contains("| 100 | 2 | 64 |"), "{table}");
    }
}
