//! JSON objects of which every key is read and checked, so that none is ignored by mistake.

use std::io::Read;
use std::path::{Path, PathBuf};

use dbksvd::error::FileError;
use serde_json::{Map, Value};

/// The longest file that is read, in bytes. The files of the tools have a few thousand bytes.
const LONGEST: u64 = 16 << 20;

/// The keys of a configuration that have not been read yet.
#[derive(Debug)]
pub(super) struct Config {
    path: PathBuf,
    keys: Map<String, Value>,
}

impl Config {
    pub(super) fn open(path: &Path, format: &'static str) -> Result<Self, FileError> {
        let invalid = |reason| FileError::Format { path: path.to_owned(), format, reason };
        let text = read(path)?;
        if text.len() as u64 > LONGEST {
            return Err(invalid(format!("longer than {LONGEST} bytes")));
        }
        match serde_json::from_slice(&text) {
            Ok(Value::Object(keys)) => Ok(Self { path: path.to_owned(), keys }),
            Ok(_) => Err(invalid("it is no JSON object".to_owned())),
            Err(error) => Err(invalid(error.to_string())),
        }
    }

    /// The error for a `key` whose value is `found`.
    pub(super) fn wrong(&self, key: &str, found: impl ToString, expected: &str) -> FileError {
        FileError::Setting {
            path: self.path.clone(),
            key: key.to_owned(),
            found: excerpt(&found.to_string()),
            expected: expected.to_owned(),
        }
    }

    /// The value, or an error if there is none.
    pub(super) fn required<V>(
        &self,
        key: &str,
        value: Option<V>,
        expected: &str,
    ) -> Result<V, FileError> {
        value.ok_or_else(|| self.wrong(key, "absent", expected))
    }

    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>, FileError> {
        self.take(key, "a text", |value| value.as_str().map(str::to_owned))
    }

    pub(super) fn flag(&mut self, key: &str) -> Result<Option<bool>, FileError> {
        self.take(key, "true or false", Value::as_bool)
    }

    pub(super) fn count(&mut self, key: &str) -> Result<Option<usize>, FileError> {
        let count = |value: &Value| value.as_u64().and_then(|count| usize::try_from(count).ok());
        self.take(key, "a whole number, at least 0", count)
    }

    pub(super) fn number(&mut self, key: &str) -> Result<Option<f64>, FileError> {
        self.take(key, "a number", Value::as_f64)
    }

    pub(super) fn object(&mut self, key: &str) -> Result<Option<Map<String, Value>>, FileError> {
        self.take(key, "an object", |value| value.as_object().cloned())
    }

    /// A required count, which must be at least 1.
    pub(super) fn size(&mut self, key: &str, expected: &str) -> Result<usize, FileError> {
        let count = self.count(key)?;
        match self.required(key, count, expected)? {
            0 => Err(self.wrong(key, 0, "at least 1")),
            count => Ok(count),
        }
    }

    /// Sets a key from another key that has the same meaning. If both are there, their values must
    /// agree.
    pub(super) fn replace(
        &mut self,
        key: &str,
        value: Value,
        source: &str,
    ) -> Result<(), FileError> {
        match self.keys.insert(key.to_owned(), value.clone()) {
            Some(found) if found != value => {
                Err(self.wrong(key, found, &format!("{value}, as `{source}`")))
            }
            _ => Ok(()),
        }
    }

    /// Removes a key whose value is null.
    pub(super) fn drop_null(&mut self, key: &str) {
        if self.keys.get(key).is_some_and(Value::is_null) {
            self.keys.remove(key);
        }
    }

    /// Removes keys whose values change nothing.
    pub(super) fn forget(&mut self, keys: &[&str]) {
        keys.iter().for_each(|&key| drop(self.keys.remove(key)));
    }

    /// The value of a key that may have one of several types.
    pub(super) fn any(&mut self, key: &str) -> Option<Value> {
        self.keys.remove(key)
    }

    /// Returns an error that names the keys that were not read.
    pub(super) fn finish(self) -> Result<(), FileError> {
        let keys: Vec<String> = self.keys.into_iter().map(|(key, _)| excerpt(&key)).collect();
        if keys.is_empty() { Ok(()) } else { Err(FileError::UnknownKeys { path: self.path, keys }) }
    }

    fn take<V>(
        &mut self,
        key: &str,
        expected: &str,
        convert: impl FnOnce(&Value) -> Option<V>,
    ) -> Result<Option<V>, FileError> {
        let Some(value) = self.keys.remove(key) else { return Ok(None) };
        match convert(&value) {
            Some(value) => Ok(Some(value)),
            None => Err(self.wrong(key, value, expected)),
        }
    }
}

/// The content of a regular file. At most `LONGEST` + 1 bytes are read.
fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let failed = |source| FileError::Io { path: path.to_owned(), source };
    // The kind is checked before opening, since opening a pipe waits until somebody writes to it.
    let kind = std::fs::metadata(path).map_err(failed)?.file_type();
    if !kind.is_file() {
        let kind = if kind.is_dir() { "a directory" } else { "a special file" };
        return Err(FileError::NotAFile { path: path.to_owned(), kind });
    }
    let mut text = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(LONGEST + 1).read_to_end(&mut text).map_err(failed)?;
    Ok(text)
}

/// The first hundred characters of the text. Error messages show them on one line.
fn excerpt(text: &str) -> String {
    match text.char_indices().nth(100) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
