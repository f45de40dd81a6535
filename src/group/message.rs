//! What owners tell each other, as bytes.

use pulp::bytemuck::{self, Pod};

/// Values, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Adds one value.
    pub(crate) fn put<P: Pod>(&mut self, value: P) {
        self.0.extend_from_slice(bytemuck::bytes_of(&value));
    }

    /// Adds values, and how many they are.
    pub(crate) fn put_all<P: Pod>(&mut self, values: &[P]) {
        self.put(values.len() as u64);
        self.0.extend_from_slice(bytemuck::cast_slice(values));
    }
}

/// Takes values from a message, in the order in which they were put.
#[derive(Debug)]
pub(crate) struct Reading<'a>(&'a [u8]);

impl<'a> Reading<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn take<P: Pod>(&mut self) -> Result<P, String> {
        Ok(bytemuck::pod_read_unaligned(self.bytes(size_of::<P>())?))
    }

    pub(crate) fn take_all<P: Pod>(&mut self) -> Result<Vec<P>, String> {
        let count = self.take::<u64>()?;
        let bytes = usize::try_from(count).ok().and_then(|n| n.checked_mul(size_of::<P>()));
        let values = self.bytes(bytes.ok_or_else(too_short)?)?.chunks_exact(size_of::<P>());
        Ok(values.map(bytemuck::pod_read_unaligned).collect())
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(too_short)?;
        self.0 = rest;
        Ok(taken)
    }
}

fn too_short() -> String {
    "a message is shorter than it says".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_taken_and_no_more() {
        let mut message = Message::new();
        message.put(7_u8);
        message.put_all(&[0.5_f64, -0.0]);
        message.put_all::<f32>(&[]);
        let mut reading = Reading::new(message.as_bytes());
        assert_eq!(reading.take::<u8>(), Ok(7));
        let numbers = reading.take_all::<f64>().expect("two numbers");
        assert_eq!(
            numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
            [0.5_f64, -0.0].map(f64::to_bits)
        );
        assert_eq!(reading.take_all::<f32>(), Ok(vec![]));
        assert!(reading.is_empty() && reading.take::<u8>().is_err());
        assert!(Reading::new(&[255; 12]).take_all::<u8>().is_err());
    }
}
