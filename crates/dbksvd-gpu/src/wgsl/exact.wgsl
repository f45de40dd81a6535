// Exact sums in integers, since few devices have numbers of 64 bits, and drivers may rewrite
// compensated sums of floats. They do not depend on the order of their terms.
//
// A sum is one of 96 bits in units of 2^(2 (e - 127) - 73), where e is the exponent field of the
// largest term: a term is the square of a 24-bit integer, moved 27 bits up for the largest ones,
// which leaves room for the sum of 2^20 terms, and down for others. What falls off below is less
// than 2^-73 of the largest term.

struct Sum { low: u32, middle: u32, high: u32 }

fn add64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2(low, a.y + b.y + u32(low < a.x));
}

fn add96(a: Sum, b: Sum) -> Sum {
    let low = a.low + b.low;
    let carry = u32(low < a.low);
    let middle = a.middle + b.middle;
    let over = u32(middle < a.middle);
    let carried = middle + carry;
    return Sum(low, carried, a.high + b.high + over + u32(carried < middle));
}

// The integer of 24 bits that a number is, in units of 2^(e - 150), for its exponent field e.
fn mantissa(bits: u32) -> u32 {
    let fraction = bits & 0x7fffffu;
    return select(fraction | 0x800000u, fraction, (bits & 0x7f800000u) == 0u);
}

fn exponent(bits: u32) -> u32 {
    return max((bits >> 23u) & 0xffu, 1u);
}

// x² for the largest exponent field `most` of all terms.
fn square(x: f32, most: u32) -> Sum {
    let bits = bitcast<u32>(x);
    let m = mantissa(bits);
    let high = m >> 12u;
    let low = m & 0xfffu;
    let cross = 2u * high * low;
    let square = high * high;
    var s = add64(vec2(low * low, 0u), vec2(cross << 12u, cross >> 20u));
    s = add64(s, vec2(square << 24u, square >> 8u));
    let down = 2u * (most - exponent(bits));
    if down < 27u {
        let up = 27u - down;
        return Sum(s.x << up, (s.y << up) | (s.x >> (32u - up)), s.y >> (32u - up));
    }
    let off = down - 27u;
    if off == 0u { return Sum(s.x, s.y, 0u); }
    if off < 32u { return Sum((s.x >> off) | (s.y << (32u - off)), s.y >> off, 0u); }
    if off < 64u { return Sum(s.y >> (off - 32u), 0u, 0u); }
    return Sum(0u, 0u, 0u);
}
