//! The header of a `.npy` file, and the parser that reads it.
//!
//! NumPy evaluates the header as a Python literal. Other programs write headers that differ from
//! NumPy's: numbers of Python 2 (`400L`), types without a byte order (`f4`) or with the machine's
//! (`=f4`). The parser accepts only the dictionary that a header is. It reads the text once,
//! without recursion, and allocates memory only for the shape and the text of the type, whatever
//! the input is.

use std::ops::Range;

use super::element::{ByteOrder, Element};
use crate::printable::excerpt;

/// The longest header that is read. NumPy itself refuses more than 10,000 bytes by default.
pub(super) const LONGEST: usize = 64 * 1024;

/// The most axes that a NumPy array can have.
const MOST_AXES: usize = 64;

/// What the header of a `.npy` file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The type of the elements: a name such as `<f4`, or the text of a type without a name.
    pub(super) descr: String,
    pub(super) fortran_order: bool,
    pub(super) shape: Vec<u64>,
}

/// The range of the header's text in the file. It follows the magic string, the version and the
/// length of the header; the array follows the text.
pub(super) fn text_range(preamble: &[u8]) -> Result<Range<usize>, String> {
    let Some(rest) = preamble.strip_prefix(b"\x93NUMPY") else {
        return Err("it does not start with the magic string".to_owned());
    };
    let (start, length) = match *rest {
        [1, 0, a, b, ..] => (10, u32::from(u16::from_le_bytes([a, b]))),
        [2 | 3, 0, a, b, c, d, ..] => (12, u32::from_le_bytes([a, b, c, d])),
        [major, minor, _, _, ..] if !matches!((major, minor), (2 | 3, 0)) => {
            return Err(format!("unknown version {major}.{minor}"));
        }
        _ => return Err("it ends within its first 12 bytes".to_owned()),
    };
    match usize::try_from(length).ok().and_then(|length| length.checked_add(start)) {
        Some(end) if end - start <= LONGEST => Ok(start..end),
        _ => Err(format!("a header of {length} bytes, expected at most {LONGEST}")),
    }
}

/// Parses the text of a header.
pub(super) fn parse(text: &[u8]) -> Result<Header, String> {
    let mut parser = Parser { text, at: 0 };
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    parser.expect(b'{')?;
    while !parser.accept(b'}') {
        let key = parser.string()?;
        parser.expect(b':')?;
        let is_new = match key {
            b"descr" => descr.replace(parser.descr()?).is_none(),
            b"fortran_order" => fortran_order.replace(parser.truth()?).is_none(),
            b"shape" => shape.replace(parser.shape()?).is_none(),
            other => return Err(format!("the header has an unknown key {}", quoted(other))),
        };
        if !is_new {
            return Err(format!("the header has the key {} twice", quoted(key)));
        }
        if !parser.accept(b',') {
            parser.expect(b'}')?;
            break;
        }
    }
    parser.skip_spaces();
    if parser.at < text.len() {
        return Err(parser.unexpected("the end"));
    }
    let missing = |key: &str| format!("the header has no `{key}`");
    Ok(Header {
        descr: descr.ok_or_else(|| missing("descr"))?,
        fortran_order: fortran_order.ok_or_else(|| missing("fortran_order"))?,
        shape: shape.ok_or_else(|| missing("shape"))?,
    })
}

/// The element type of this name and its byte order, if it is a type of floating-point numbers.
///
/// For a type without a byte order, or with the order `|` (none), NumPy takes the machine's order.
/// `V2` is the name that `ml_dtypes`, and so JAX, gives to bfloat16; NumPy has no name for it.
pub(super) fn element(descr: &str) -> Option<(Element, ByteOrder)> {
    let (order, kind) = match descr.split_at_checked(1) {
        Some(("<", kind)) => (ByteOrder::Little, kind),
        Some((">", kind)) => (ByteOrder::Big, kind),
        Some(("=" | "|", kind)) => (ByteOrder::NATIVE, kind),
        _ => (ByteOrder::NATIVE, descr),
    };
    let element = match kind {
        "f2" | "e" => Element::F16,
        "f4" | "f" => Element::F32,
        "f8" | "d" => Element::F64,
        "V2" if order == ByteOrder::Little => Element::Bf16,
        // Names that are words have no byte order.
        "float16" | "half" if kind.len() == descr.len() => Element::F16,
        "bfloat16" if kind.len() == descr.len() => Element::Bf16,
        "float32" | "single" if kind.len() == descr.len() => Element::F32,
        "float64" | "double" | "float" if kind.len() == descr.len() => Element::F64,
        _ => return None,
    };
    Some((element, order))
}

/// The whole numbers of this name, if it is a type of booleans or whole numbers. The byte order is
/// the one that [`element`] takes.
pub(super) fn whole_number(descr: &str) -> Option<WholeNumber> {
    let (order, kind) = match descr.split_at_checked(1) {
        Some(("<", kind)) => (ByteOrder::Little, kind),
        Some((">", kind)) => (ByteOrder::Big, kind),
        Some(("=" | "|", kind)) => (ByteOrder::NATIVE, kind),
        _ => (ByteOrder::NATIVE, descr),
    };
    let (size, is_signed) = match kind {
        "b1" | "?" | "u1" => (1, false),
        "u2" => (2, false),
        "u4" => (4, false),
        "u8" => (8, false),
        "i1" => (1, true),
        "i2" => (2, true),
        "i4" => (4, true),
        "i8" => (8, true),
        // Names that are words have no byte order.
        "bool" | "uint8" if kind.len() == descr.len() => (1, false),
        "int32" if kind.len() == descr.len() => (4, true),
        "int64" if kind.len() == descr.len() => (8, true),
        _ => return None,
    };
    Some(WholeNumber { size, is_signed, order })
}

/// How whole numbers lie in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WholeNumber {
    /// 1, 2, 4 or 8 bytes.
    pub(super) size: usize,
    pub(super) is_signed: bool,
    pub(super) order: ByteOrder,
}

impl WholeNumber {
    /// The number that these bytes are.
    pub(super) fn value(self, bytes: &[u8]) -> i128 {
        let digit = |number: u64, &byte: &u8| number << 8 | u64::from(byte);
        let number = match self.order {
            ByteOrder::Big => bytes.iter().fold(0, digit),
            ByteOrder::Little => bytes.iter().rev().fold(0, digit),
        };
        let limit = 1_i128 << (8 * self.size);
        let number = i128::from(number);
        if self.is_signed && 2 * number >= limit { number - limit } else { number }
    }
}

/// A position in the text of a header.
struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    fn skip_spaces(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    }

    /// The next byte that is not a space.
    fn peek(&mut self) -> Option<u8> {
        self.skip_spaces();
        self.text.get(self.at).copied()
    }

    /// Takes `byte` if it is the next one.
    fn accept(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, byte: u8) -> Result<(), String> {
        if self.accept(byte) {
            return Ok(());
        }
        Err(self.unexpected(&format!("`{}`", char::from(byte))))
    }

    fn unexpected(&self, expected: &str) -> String {
        let found = match self.text.get(self.at) {
            None => "its end".to_owned(),
            Some(byte) => format!("`{}`", byte.escape_ascii()),
        };
        let at = self.at;
        format!("the header has {found} at byte {at}, expected {expected}")
    }

    /// A string in single or double quotes, without escapes. Python 2 may have marked it as
    /// Unicode.
    fn string(&mut self) -> Result<&'a [u8], String> {
        if self.peek() == Some(b'u') {
            self.at += 1;
        }
        let quote = match self.text.get(self.at) {
            Some(&quote @ (b'\'' | b'"')) => quote,
            _ => return Err(self.unexpected("a string")),
        };
        let rest = &self.text[self.at + 1..];
        let length = rest.iter().position(|&byte| byte == quote || byte == b'\\');
        match length {
            Some(length) if rest[length] == quote => {
                self.at += length + 2;
                Ok(&rest[..length])
            }
            _ => Err(self.unexpected("a string that ends and has no escapes")),
        }
    }

    /// The name of a type, or the text of a type that is described by a list or a tuple.
    fn descr(&mut self) -> Result<String, String> {
        if !matches!(self.peek(), Some(b'[' | b'(')) {
            let name = self.string()?;
            return Ok(excerpt(&String::from_utf8_lossy(name)));
        }
        let (start, mut depth) = (self.at, 0_usize);
        loop {
            match self.peek() {
                Some(b'[' | b'(') => depth += 1,
                Some(b']' | b')') => depth -= 1,
                Some(b'\'' | b'"') => {
                    self.string()?;
                    continue;
                }
                Some(_) => {}
                None => return Err(self.unexpected("the end of `descr`")),
            }
            self.at += 1;
            if depth == 0 {
                return Ok(excerpt(&String::from_utf8_lossy(&self.text[start..self.at])));
            }
        }
    }

    fn truth(&mut self) -> Result<bool, String> {
        self.skip_spaces();
        for (word, value) in [(&b"True"[..], true), (b"False", false)] {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.unexpected("True or False"))
    }

    /// A tuple of numbers.
    fn shape(&mut self) -> Result<Vec<u64>, String> {
        let mut shape = Vec::new();
        self.expect(b'(')?;
        while !self.accept(b')') {
            if shape.len() == MOST_AXES {
                return Err(format!("the header's shape has more than {MOST_AXES} axes"));
            }
            shape.push(self.number()?);
            if !self.accept(b',') {
                self.expect(b')')?;
                break;
            }
        }
        Ok(shape)
    }

    /// A number in decimal digits. Python 2 may end it with `L`.
    fn number(&mut self) -> Result<u64, String> {
        self.skip_spaces();
        let rest = &self.text[self.at..];
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if length == 0 {
            return Err(self.unexpected("a number in decimal digits"));
        }
        let number = rest[..length].iter().try_fold(0_u64, |number, digit| {
            number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        });
        self.at += length + usize::from(rest.get(length) == Some(&b'L'));
        number.ok_or_else(|| "the sizes in the header overflow".to_owned())
    }
}

fn quoted(text: &[u8]) -> String {
    format!("`{}`", excerpt(&String::from_utf8_lossy(text)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(descr: &str, shape: &[u64]) -> Header {
        Header { descr: descr.to_owned(), fortran_order: false, shape: shape.to_vec() }
    }

    #[test]
    fn headers_as_they_are_written() {
        for (text, expected) in [
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (400, 16), }     \n",
                header("<f4", &[400, 16]),
            ),
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (400L, 16L), }\n",
                header("<f4", &[400, 16]),
            ),
            ("{\"shape\":(3,),\n \"fortran_order\":False,\"descr\":u'f8'}", header("f8", &[3])),
            ("{'shape': (), 'descr': '|V2', 'fortran_order': False}", header("|V2", &[])),
            (
                "{'descr': [('x)', '<f4'), ('y', '<f4', (2,))], 'fortran_order': False, 'shape': (0,)}",
                header("[('x)', '<f4'), ('y', '<f4', (2,))]", &[0]),
            ),
        ] {
            assert_eq!(parse(text.as_bytes()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn whole_numbers_are_those_of_numpy() {
        for (descr, bytes, expected) in [
            ("|b1", &[1][..], 1),
            ("|i1", &[0xff], -1),
            ("|u1", &[0xff], 255),
            ("<i2", &[0, 0x80], -32_768),
            (">i2", &[0x7f, 0xff], 32_767),
            ("<u4", &[1, 0, 0, 0x80], 0x8000_0001),
            ("<i8", &[1, 0, 0, 0, 0, 0, 0, 0], 1),
            (">i8", &[0, 0, 0, 0, 0, 0, 0, 1], 1),
            ("<i8", &[0xff; 8], -1),
            ("<u8", &[0xff; 8], i128::from(u64::MAX)),
        ] {
            let number = whole_number(descr).expect(descr);
            assert_eq!((number.size, number.value(bytes)), (bytes.len(), expected), "{descr}");
        }
        for descr in ["<f4", "f8", "V2", "", "<i3", "int", "<bool", "<U1", "O"] {
            assert_eq!(whole_number(descr), None, "{descr}");
        }
    }

    #[test]
    fn where_the_text_lies() {
        let found = |rest: &[u8]| text_range(&[b"\x93NUMPY", rest].concat());
        assert_eq!(found(&[1, 0, 118, 0]), Ok(10..128));
        assert_eq!(found(&[1, 0, 118, 0, b'{', b'\'']), Ok(10..128));
        for major in [2, 3] {
            assert_eq!(found(&[major, 0, 116, 0, 0, 0]), Ok(12..128));
            for length in 0..6 {
                let error = found(&[major, 0, 116, 0, 0, 0][..length]).unwrap_err();
                assert_eq!(error, "it ends within its first 12 bytes");
            }
        }
        for version in [[4, 0], [2, 1], [1, 1]] {
            let error = found(&[&version[..], &[118, 0]].concat()).unwrap_err();
            assert_eq!(error, format!("unknown version {}.{}", version[0], version[1]));
        }
    }

    #[test]
    fn types_as_numpy_understands_them() {
        let native = ByteOrder::NATIVE;
        for (descr, expected) in [
            ("<f2", (Element::F16, ByteOrder::Little)),
            (">f4", (Element::F32, ByteOrder::Big)),
            (">d", (Element::F64, ByteOrder::Big)),
            ("=f4", (Element::F32, native)),
            ("|f8", (Element::F64, native)),
            ("f4", (Element::F32, native)),
            ("e", (Element::F16, native)),
            ("double", (Element::F64, native)),
            ("<V2", (Element::Bf16, ByteOrder::Little)),
            ("|V2", (Element::Bf16, native)),
            ("bfloat16", (Element::Bf16, native)),
        ] {
            assert_eq!(element(descr), Some(expected), "{descr}");
        }
        for descr in
            ["", "<", "<f16", "f", "<i4", "|u1", "<c8", ">V2", "<V4", "<float32", "é", "<f"]
        {
            let is_single = ["f", "<f"].contains(&descr);
            assert_eq!(element(descr).is_some(), is_single, "{descr}");
        }
    }

    proptest! {
        /// For any bytes, the parser returns, and its result is no larger than the input.
        #[test]
        fn any_bytes_return(text in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(header) = parse(&text) {
                prop_assert!(header.shape.len() <= text.len());
            }
            let _ = text_range(&text);
        }

        /// Headers that are nearly right reach more of the parser than random bytes do.
        #[test]
        fn nearly_right_headers_return(at in 0_usize..62, byte: u8, cut in 0_usize..62) {
            let mut text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (40L, 16), }".to_vec();
            text[at] = byte;
            let _ = parse(&text);
            let _ = parse(&text[cut..]);
            let _ = parse(&text[..cut]);
        }
    }
}
