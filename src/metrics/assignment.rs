//! The linear assignment problem: give each row a column of its own, so that the sum of costs is
//! least.

use crate::Scalar;

/// Marks a column that no row has been given.
const FREE: u32 = u32::MAX;

/// For each row its column in an assignment of least total cost; no column is taken twice.
///
/// `entries` is row-major with `columns` columns, of which there must be at least as many as rows.
/// The cost of an entry is `cost(entry)`, which must be finite. Ties go to free columns first, then
/// to the lowest index.
///
/// ```text
/// potentials u = 0, v = 0                     # c_ij − u_i − v_j ≥ 0, and 0 for assigned pairs
/// for each row i:
///     Dijkstra over columns from i, edge lengths c − u − v, until it reaches a free column
///     u, v ← raised by what each reached node lacked to that distance
///     flip the assignments along the path
/// ```
///
/// O(n² m) for n rows and m columns at worst; less if shortest paths are short. Memory besides the
/// entries: O(n + m).
///
/// References: R. Jonker & A. Volgenant, *A shortest augmenting path algorithm for dense and sparse
/// linear assignment problems*, Computing 38, 1987; D. F. Crouse, *On implementing 2D rectangular
/// assignment algorithms*, IEEE Trans. Aerospace and Electronic Systems 52, 2016 (the form for
/// rectangular problems, which SciPy implements).
pub(crate) fn assign<T: Scalar>(
    entries: &[T],
    columns: usize,
    cost: impl Fn(T) -> f64,
) -> Vec<u32> {
    let rows = entries.len().checked_div(columns).unwrap_or(0);
    assert!(rows <= columns, "{rows} rows do not fit {columns} columns");
    let mut search = Search::new(rows, columns);
    for row in 0..rows {
        let free = search.shortest_path(row, entries, &cost);
        search.raise_potentials(row);
        search.augment(row, free);
    }
    search.column_of
}

/// The assignment so far, the potentials, and the scratch of one row's search.
struct Search {
    row_of: Vec<u32>,
    column_of: Vec<u32>,
    u: Vec<f64>,
    v: Vec<f64>,
    /// Length of the shortest path found so far to each column.
    distance: Vec<f64>,
    /// The row that precedes each column on that path.
    before: Vec<u32>,
    /// Whether the column's distance is final.
    done: Vec<bool>,
    /// The columns whose distance is final, in the order in which it became so, without the free
    /// column.
    scanned: Vec<u32>,
    /// Distance of the free column that was reached.
    reach: f64,
}

impl Search {
    fn new(rows: usize, columns: usize) -> Self {
        Self {
            row_of: vec![FREE; columns],
            column_of: vec![FREE; rows],
            u: vec![0.0; rows],
            v: vec![0.0; columns],
            distance: vec![0.0; columns],
            before: vec![0; columns],
            done: vec![false; columns],
            scanned: Vec::with_capacity(rows),
            reach: 0.0,
        }
    }

    /// Searches from `start`, a row without a column, and returns the nearest free column.
    fn shortest_path<T: Scalar>(
        &mut self,
        start: usize,
        entries: &[T],
        cost: &impl Fn(T) -> f64,
    ) -> usize {
        let columns = self.v.len();
        self.distance.fill(f64::INFINITY);
        self.done.fill(false);
        self.scanned.clear();
        self.reach = 0.0;
        let mut row = start;
        loop {
            let offset = self.reach - self.u[row];
            let costs = &entries[row * columns..][..columns];
            let (mut nearest, mut least) = (0, f64::INFINITY);
            for (j, &entry) in costs.iter().enumerate() {
                if self.done[j] {
                    continue;
                }
                let distance = cost(entry) - self.v[j] + offset;
                if distance < self.distance[j] {
                    self.distance[j] = distance;
                    self.before[j] = row as u32;
                }
                let distance = self.distance[j];
                let frees = || self.row_of[j] == FREE && self.row_of[nearest] != FREE;
                if distance < least || (distance == least && frees()) {
                    (nearest, least) = (j, distance);
                }
            }
            self.reach = least;
            match self.row_of[nearest] {
                FREE => return nearest,
                next => row = next as usize,
            }
            self.done[nearest] = true;
            self.scanned.push(nearest as u32);
        }
    }

    /// Makes the reduced cost c − u − v of every edge on the path 0, and keeps all others
    /// non-negative.
    fn raise_potentials(&mut self, start: usize) {
        self.u[start] += self.reach;
        for &column in &self.scanned {
            let column = column as usize;
            let lack = self.reach - self.distance[column];
            self.u[self.row_of[column] as usize] += lack;
            self.v[column] -= lack;
        }
    }

    /// Gives column `free` to the row that precedes it, that row's former column to the row before,
    /// and so on back to `start`.
    fn augment(&mut self, start: usize, free: usize) {
        let mut column = free as u32;
        loop {
            let row = self.before[column as usize] as usize;
            self.row_of[column as usize] = row as u32;
            std::mem::swap(&mut self.column_of[row], &mut column);
            if row == start {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn total(entries: &[f64], columns: usize, chosen: &[u32]) -> f64 {
        chosen.iter().enumerate().map(|(i, &j)| entries[i * columns + j as usize]).sum()
    }

    /// The least total cost over all ways to give columns that are not in the set `taken` to the
    /// rows from `row` on.
    fn brute_force(entries: &[f64], columns: usize, row: usize, taken: u32) -> f64 {
        if row * columns == entries.len() {
            return 0.0;
        }
        let free = (0..columns).filter(|j| taken & (1 << j) == 0);
        let totals = free.map(|j| {
            entries[row * columns + j] + brute_force(entries, columns, row + 1, taken | 1 << j)
        });
        totals.fold(f64::INFINITY, f64::min)
    }

    fn problems() -> impl Strategy<Value = (usize, Vec<f64>)> {
        // Few distinct costs, so that ties are common.
        (1..6_usize).prop_flat_map(|columns| {
            (1..=columns).prop_flat_map(move |rows| {
                let costs = prop::collection::vec((-4..5_i32).prop_map(f64::from), rows * columns);
                (Just(columns), costs)
            })
        })
    }

    proptest! {
        #[test]
        fn total_cost_is_that_of_brute_force((columns, costs) in problems()) {
            let chosen = assign(&costs, columns, |c| c);
            let mut distinct = chosen.clone();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), costs.len() / columns);
            let best = brute_force(&costs, columns, 0, 0);
            prop_assert_eq!(total(&costs, columns, &chosen), best);
        }
    }

    #[test]
    fn a_row_gives_way_where_that_is_cheaper_overall() {
        // Row 0 prefers column 0, but row 1 needs it more.
        assert_eq!(assign(&[1.0, 2.0, 1.0, 9.0], 2, |c| c), [1, 0]);
    }

    #[test]
    fn ties_take_the_lowest_free_column() {
        assert_eq!(assign(&[0.0_f32; 6], 3, |c| c.widen()), [0, 1]);
    }

    #[test]
    fn no_entries_assign_nothing() {
        assert!(assign::<f64>(&[], 0, |c| c).is_empty());
        assert!(assign::<f64>(&[], 3, |c| c).is_empty());
    }

    /// The costs of `tests/fixtures/metrics/generate.py`, from the same linear congruential
    /// generator.
    fn congruential_costs(count: usize) -> Vec<f64> {
        let next = |x: &u64| {
            Some(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
        };
        let states = std::iter::successors(Some(1_u64), next).skip(1).take(count);
        states.map(|x| (x >> 11) as f64 / (1_u64 << 53) as f64).collect()
    }

    #[test]
    fn agrees_with_scipy_on_random_costs() {
        let expected: Vec<u32> = include_str!("../../tests/fixtures/metrics/assignment.txt")
            .split_whitespace()
            .map(|column| column.parse().expect("a column index"))
            .collect();
        let costs = congruential_costs(120 * 200);
        assert_eq!(assign(&costs, 200, |c| c), expected);
    }
}
