//! Device memory for numbers of 32 bits, in as many parts as bindings of a kernel need.
//!
//! A binding holds less than a device: 128 MiB on some, 2 GiB on most. A matrix that is larger
//! lies in parts of equal size, a power of two, and a kernel gets a binding a part. A kernel that
//! takes such a matrix as binding 3 says so by
//!
//! ```text
//! @group(0) @binding(3) var<parts, read_write> x: array<f32>;
//! ```
//!
//! and reads it by `x_at(i)` and writes it by `set_x(i, value)`; [`in_parts`] makes WGSL of that.
//! Where a matrix is in one part, these are plain accesses.

use std::fmt::Write;
use std::ops::Range;

/// Numbers of 32 bits in device memory.
#[derive(Debug)]
pub(crate) struct Buffer {
    pub(crate) parts: Vec<wgpu::Buffer>,
    /// Numbers of a part but the last, a power of two.
    pub(crate) part: usize,
}

/// What marks a binding as one that may be in parts.
const MARK: &str = "var<parts, ";

/// The number of the first binding that a further part gets.
pub(crate) const FURTHER: u32 = 32;

impl Buffer {
    /// How many numbers it holds.
    pub(crate) fn numbers(&self) -> usize {
        let last = self.parts.last().map_or(0, |part| part.size() as usize / 4);
        (self.parts.len() - 1) * self.part + last
    }

    /// The parts that a range of numbers lies in: each with the first number there, and how many.
    pub(crate) fn pieces(
        &self,
        range: Range<usize>,
    ) -> impl Iterator<Item = (&wgpu::Buffer, usize, usize)> {
        let is_whole = self.parts.len() == 1;
        let part = if is_whole { usize::MAX } else { self.part };
        let mut next = range.start;
        std::iter::from_fn(move || {
            if next >= range.end {
                return None;
            }
            let (number, first) = (next / part, next % part);
            let count = (range.end - next).min(part - first);
            next += count;
            Some((&self.parts[number], first, count))
        })
    }
}

/// The source of a kernel whose bindings are in so many parts.
pub(crate) fn in_parts(source: &str, counts: &[usize], part: usize) -> String {
    let mut text = String::with_capacity(source.len() + 1024);
    for line in source.lines() {
        let Some((binding, access, name, number_type)) = marked(line) else {
            text.push_str(line);
            text.push('\n');
            continue;
        };
        let of = |binding: usize| counts.get(binding).copied().unwrap_or(1);
        let count = of(binding);
        // Further parts are numbered in the order of bindings, which need not be that of lines.
        let before: usize = (0..binding).map(|earlier| of(earlier) - 1).sum();
        for number in 0..count {
            let own = match number {
                0 => binding,
                _ => FURTHER as usize + before + number - 1,
            };
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "@group(0) @binding({own}) \
                 var<storage, {access}> {name}_{number}: array<{number_type}>;"
            );
        }
        accessors(&mut text, (name, number_type), access, count, part);
    }
    text
}

/// The number, the access, the name and the type of numbers of a marked binding.
fn marked(line: &str) -> Option<(usize, &str, &str, &str)> {
    let (before, after) = line.split_once(MARK)?;
    let number = before.split_once("@binding(")?.1.split_once(')')?.0;
    let (access, rest) = after.split_once('>')?;
    let (name, array) = rest.split_once(':')?;
    let number_type = array.split_once('<')?.1.split_once('>')?.0;
    Some((number.parse().ok()?, access, name.trim(), number_type))
}

fn accessors(
    text: &mut String,
    (name, number_type): (&str, &str),
    access: &str,
    count: usize,
    part: usize,
) {
    let (shift, mask) = (part.trailing_zeros(), part - 1);
    let mut body = |head: String, of: &dyn Fn(usize, &str) -> String| {
        text.push_str(&head);
        if count == 1 {
            let _ = writeln!(text, "    {}", of(0, "i"));
        } else {
            let _ = writeln!(text, "    let part = i >> {shift}u;\n    let at = i & {mask}u;");
            for number in 0..count - 1 {
                let _ = writeln!(text, "    if part == {number}u {{ {} }}", of(number, "at"));
            }
            let _ = writeln!(text, "    {}", of(count - 1, "at"));
        }
        text.push_str("}\n");
    };
    body(format!("fn {name}_at(i: u32) -> {number_type} {{\n"), &|number, at| {
        format!("return {name}_{number}[{at}];")
    });
    if access == "read_write" {
        let head = format!("fn set_{name}(i: u32, value: {number_type}) {{\n");
        body(head, &|number, at| format!("{name}_{number}[{at}] = value; return;"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "@group(0) @binding(0) var<storage, read> order: array<u32>;\n\
                          @group(0) @binding(1) var<parts, read> a: array<f32>;\n\
                          @group(0) @binding(2) var<parts, read_write> b: array<f32>;\n";

    #[test]
    fn every_further_part_has_a_binding_of_its_own() {
        let text = in_parts(SOURCE, &[1, 3, 2], 256);
        for (binding, name) in [(1, "a_0"), (32, "a_1"), (33, "a_2"), (2, "b_0"), (34, "b_1")] {
            let line = text.lines().find(|line| line.contains(&format!(" {name}: ")));
            assert!(line.expect("a part").contains(&format!("@binding({binding})")), "{text}");
        }
        assert!(text.contains("i >> 8u") && text.contains("i & 255u"), "{text}");
        assert!(text.contains("fn set_b(") && !text.contains("fn set_a("), "{text}");
    }

    #[test]
    fn bindings_of_parts_do_not_depend_on_the_order_of_lines() {
        let lines: Vec<&str> = SOURCE.lines().rev().collect();
        let text = in_parts(&lines.join("\n"), &[1, 3, 2], 256);
        for (binding, name) in [(32, "a_1"), (33, "a_2"), (34, "b_1")] {
            let line = text.lines().find(|line| line.contains(&format!(" {name}: ")));
            assert!(line.expect("a part").contains(&format!("@binding({binding})")), "{text}");
        }
    }

    #[test]
    fn a_matrix_in_one_part_is_accessed_as_it_is() {
        let text = in_parts(SOURCE, &[1, 1, 1], 256);
        assert!(text.contains("fn a_at(i: u32) -> f32 {\n    return a_0[i];\n}"), "{text}");
        assert!(!text.contains(">>"), "{text}");
    }
}
