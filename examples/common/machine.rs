//! Whether a problem fits the machine, found out before anything is read or allocated.

use std::fs;

/// Why a dictionary of `atoms` atoms of dimension `dim` in `T` cannot be had here, or codes with at
/// most `sparsity` atoms of `rows` rows that are in memory at the same time.
///
/// What is counted is the least that learning and coding take: the crate's documentation has the
/// whole formula. The system may allow more than there is and end the program later, without a
/// word.
pub fn check<T>(dim: usize, atoms: usize, sparsity: usize, rows: usize) -> Result<(), String> {
    let Some(memory) = memory() else { return Ok(()) };
    let [dim, sparsity, memory] = [dim as f64, sparsity as f64, memory as f64];
    let threads = rayon::current_num_threads() as f64;
    let of_number = size_of::<T>() as f64;
    // Three dictionaries, and for every thread the correlations of 128 samples with all atoms.
    let of_atom = of_number * (3.0 * dim + 128.0 * threads);
    // The sample, and its coefficients with the indices of their atoms.
    let of_row = of_number * dim + (of_number + 4.0) * sparsity;
    let gibibytes = |bytes: f64| bytes / f64::from(1 << 30);
    let of_both = [(atoms, of_atom, "atoms"), (rows, of_row, "rows in memory")];
    for (count, bytes, what) in of_both {
        let needed = count as f64 * bytes;
        if needed > memory {
            return Err(format!(
                "{count} {what} of dimension {dim} take at least {:.0} GiB, this machine has {:.1}: at \
                 most {:.0} fit",
                gibibytes(needed),
                gibibytes(memory),
                (memory / bytes).floor()
            ));
        }
    }
    Ok(())
}

/// The bytes of memory that this process can have, where the system tells (Linux).
fn memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kibibytes = |key: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    };
    let machine = 1024 * (kibibytes("MemTotal:")? + kibibytes("SwapTotal:").unwrap_or(0));
    // Containers have less; a limit that is none is a word or a huge number.
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limits =
        limits.iter().filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
    Some(limits.fold(machine, u64::min))
}
