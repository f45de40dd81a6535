//! The command line, option by option. Each value is checked as it is read, and what is wrong with
//! it is said in one line that names the option.

#![allow(dead_code, reason = "no example needs all of it")]

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::fmt::{self, Display};
use std::path::PathBuf;
use std::str::FromStr;

use lexopt::{Arg, Parser};

/// More threads than any machine has processors; starting them takes minutes and serves nothing.
const MOST_THREADS: usize = 1024;

/// What is wrong with the command line.
#[derive(Debug)]
pub struct Usage(pub String);

impl Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Usage {}

impl From<lexopt::Error> for Usage {
    fn from(error: lexopt::Error) -> Self {
        Self(format!("{error} (see --help)"))
    }
}

/// The arguments of the program. An option that takes one value may be repeated with the same value
/// alone: of two values, neither could be ignored.
pub struct Options {
    parser: Parser,
    /// The option at hand, without its hyphens.
    name: String,
    /// The values of the options read so far.
    given: BTreeMap<String, OsString>,
    /// Arguments that are no options, if the program takes any.
    words: Option<Vec<String>>,
}

impl Options {
    /// The options of this program, which takes nothing else.
    pub fn from_env() -> Self {
        Self::of(Parser::from_env())
    }

    /// The options that a parser finds.
    pub fn of(parser: Parser) -> Self {
        Self { parser, name: String::new(), given: BTreeMap::new(), words: None }
    }

    /// The options of this program, which takes words besides.
    pub fn with_words() -> Self {
        Self { words: Some(Vec::new()), ..Self::from_env() }
    }

    /// The arguments of a program that takes words and no options; `None` if it is asked for help.
    pub fn words() -> Result<Option<Vec<String>>, Usage> {
        let mut options = Self::with_words();
        match options.next()? {
            None => Ok(options.words),
            Some(name) if name == "help" => Ok(None),
            Some(_) => Err(options.unknown()),
        }
    }

    /// The name of the next option, or `None` at the end.
    pub fn next(&mut self) -> Result<Option<String>, Usage> {
        loop {
            match (self.parser.next()?, &mut self.words) {
                (None, _) => return Ok(None),
                (Some(Arg::Long(name)), _) => self.name = name.to_owned(),
                (Some(Arg::Short('h')), _) => self.name = "help".to_owned(),
                (Some(Arg::Short('V')), _) => self.name = "version".to_owned(),
                (Some(Arg::Value(word)), Some(words)) => {
                    words.push(word.into_string().map_err(|word| {
                        Usage(format!("{word:?} is an argument, expected UTF-8"))
                    })?);
                    continue;
                }
                (Some(other), _) => return Err(other.unexpected().into()),
            }
            return Ok(Some(self.name.clone()));
        }
    }

    /// The arguments that are no options, in their order.
    pub fn into_words(self) -> Vec<String> {
        self.words.unwrap_or_default()
    }

    /// The program has no such option.
    pub fn unknown(&self) -> Usage {
        Usage(format!("invalid option '--{}' (see --help)", self.name))
    }

    /// A value that cannot be.
    pub fn wrong(&self, found: impl Display, expected: impl Display) -> Usage {
        Usage(format!("--{} is {found}, expected {expected}", self.name))
    }

    /// The value of the option at hand.
    fn value(&mut self) -> Result<OsString, Usage> {
        let value = match self.parser.optional_value() {
            Some(value) => value,
            None => {
                let value = self.parser.value()?;
                // Another option, where a value was forgotten.
                if value.to_str().is_some_and(|text| text.starts_with("--")) {
                    let value = value.display();
                    return Err(self.wrong(format!("followed by {value}"), "a value"));
                }
                value
            }
        };
        if value.is_empty() {
            return Err(self.wrong("empty", "a value"));
        }
        if let Some(before) = self.given.insert(self.name.clone(), value.clone())
            && before != value
        {
            let found = format!("both {} and {}", before.display(), value.display());
            return Err(self.wrong(found, "one value"));
        }
        Ok(value)
    }

    pub fn text(&mut self) -> Result<String, Usage> {
        self.value()?.into_string().map_err(|value| self.wrong(format!("{value:?}"), "UTF-8"))
    }

    pub fn path(&mut self) -> Result<PathBuf, Usage> {
        Ok(self.value()?.into())
    }

    /// One or more paths; the option may be repeated to give more.
    pub fn paths(&mut self) -> Result<Vec<PathBuf>, Usage> {
        let paths: Vec<PathBuf> = self.parser.values()?.map(PathBuf::from).collect();
        if paths.iter().any(|path| path.as_os_str().is_empty()) {
            return Err(self.wrong("empty", "paths"));
        }
        Ok(paths)
    }

    /// One of the values that have these names.
    pub fn choice<C: Copy>(&mut self, choices: &[(&str, C)]) -> Result<C, Usage> {
        let text = self.text()?;
        let names: Vec<&str> = choices.iter().map(|&(name, _)| name).collect();
        let found = choices.iter().find(|(name, _)| *name == text);
        found
            .map(|&(_, choice)| choice)
            .ok_or_else(|| self.wrong(format!("{text:?}"), names.join(" or ")))
    }

    /// A whole number, at least `least`.
    pub fn whole<N>(&mut self, least: N) -> Result<N, Usage>
    where
        N: FromStr + PartialOrd + Display,
    {
        let expected = format!("a whole number, at least {least}");
        self.number(&expected, |number| *number >= least)
    }

    /// A number of threads.
    pub fn threads(&mut self) -> Result<usize, Usage> {
        let expected = format!("a whole number from 1 to {MOST_THREADS}");
        self.number(&expected, |threads| (1..=MOST_THREADS).contains(threads))
    }

    /// A number for which `is_legal` holds; `expected` says in words what is.
    pub fn number<N>(&mut self, expected: &str, is_legal: impl Fn(&N) -> bool) -> Result<N, Usage>
    where
        N: FromStr + Display,
    {
        let text = self.text()?;
        match text.parse() {
            Ok(number) if is_legal(&number) => Ok(number),
            Ok(number) => Err(self.wrong(number, expected)),
            Err(_) => Err(self.wrong(format!("{text:?}"), expected)),
        }
    }

    /// Values with commas between them, for each of which `is_legal` holds.
    pub fn list<V: FromStr>(
        &mut self,
        expected: &str,
        is_legal: impl Fn(&V) -> bool,
    ) -> Result<Vec<V>, Usage> {
        let text = self.text()?;
        let values: Option<Vec<V>> =
            text.split(',').map(|value| value.parse().ok().filter(&is_legal)).collect();
        values.ok_or_else(|| self.wrong(format!("{text:?}"), expected))
    }

    /// Whole numbers from 1 on with commas between them.
    pub fn sizes(&mut self) -> Result<Vec<usize>, Usage> {
        self.list("whole numbers, at least 1, with commas between them", |&size| size > 0)
    }
}
