//! Data larger than memory, and runs that end, survive and go on.

mod scale {
    mod checkpoints;
    mod norm_limits;
    mod observers;
    mod preprocessing;
    mod restarts;
    mod runs;
    mod sessions;
    mod sources;
    mod warm_starts;
}
