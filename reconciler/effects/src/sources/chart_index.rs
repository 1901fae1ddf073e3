//! One chart's versions, read from a repository's `index.yaml` without keeping the rest of it.
//!
//! The indexes of large repositories have tens of megabytes; what is not asked for is passed over. The
//! format is that of helm's chart repositories: `entries` by chart, each a list of versions.

use granit_parser::{Event, Options, Parser, ScanError, Span};

/// A version of a chart, as an index lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Listed {
    /// The version.
    pub(crate) version: String,
    /// Where the archive is, perhaps relative to the repository.
    pub(crate) url: Option<String>,
    /// The SHA-256 of the archive in hexadecimal digits, if the index says it.
    pub(crate) digest: Option<String>,
}

/// The versions of a chart, in the order of the index; none: the index has no such chart.
///
/// # Errors
/// What is wrong with the index.
pub(crate) fn versions(index: &str, chart: &str) -> Result<Option<Vec<Listed>>, String> {
    let mut reader = Reader(Parser::new_from_str_with_options(index, Options::default()));
    let mut found = None;
    if reader.next()? != Token::Map {
        return Err("it holds no map".to_owned());
    }
    while let Some(key) = reader.key()? {
        match reader.next()? {
            Token::Map if key == "entries" => {
                while let Some(name) = reader.key()? {
                    match reader.next()? {
                        Token::List if name == chart => found = Some(reader.list()?),
                        other => reader.pass(&other)?,
                    }
                }
            }
            other => reader.pass(&other)?,
        }
    }
    Ok(found)
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Map,
    List,
    End,
    Text(String),
}

struct Reader<P>(P);

impl<'i, P: Iterator<Item = Result<(Event<'i>, Span), ScanError>>> Reader<P> {
    fn next(&mut self) -> Result<Token, String> {
        loop {
            let event = self.0.next().ok_or("it ends too early")?;
            let (event, _) = event.map_err(|error| error.to_string())?;
            return Ok(match event {
                Event::MappingStart(..) => Token::Map,
                Event::SequenceStart(..) => Token::List,
                Event::MappingEnd | Event::SequenceEnd => Token::End,
                Event::Scalar(text, ..) => Token::Text(text.into_owned()),
                // Nothing that is asked for is written so.
                Event::Alias(_) => Token::Text(String::new()),
                Event::StreamEnd | Event::DocumentEnd => return Err("it ends too early".to_owned()),
                // The beginning, comments, and what the options leave off.
                _ => continue,
            });
        }
    }

    /// The next key of a map; none: the map ends.
    fn key(&mut self) -> Result<Option<String>, String> {
        match self.next()? {
            Token::Text(key) => Ok(Some(key)),
            Token::End => Ok(None),
            Token::Map | Token::List => Err("a key of it is no text".to_owned()),
        }
    }

    /// The rest of what begins with a token.
    fn pass(&mut self, first: &Token) -> Result<(), String> {
        let mut depth = match first {
            Token::Map | Token::List => 1_usize,
            Token::Text(_) | Token::End => 0,
        };
        while depth > 0 {
            match self.next()? {
                Token::Map | Token::List => depth += 1,
                Token::End => depth -= 1,
                Token::Text(_) => {}
            }
        }
        Ok(())
    }

    /// The rest of a list of versions.
    fn list(&mut self) -> Result<Vec<Listed>, String> {
        let mut versions = Vec::new();
        loop {
            match self.next()? {
                Token::End => return Ok(versions),
                Token::Map => versions.push(self.version()?),
                other => self.pass(&other)?,
            }
        }
    }

    /// The rest of a version.
    fn version(&mut self) -> Result<Listed, String> {
        let mut listed = Listed::default();
        while let Some(key) = self.key()? {
            match (key.as_str(), self.next()?) {
                ("version", Token::Text(version)) => listed.version = version,
                ("digest", Token::Text(digest)) => listed.digest = Some(digest),
                ("urls", Token::List) => {
                    let first = self.next()?;
                    if let Token::Text(url) = &first {
                        listed.url = Some(url.clone());
                    }
                    if first != Token::End {
                        self.pass(&first)?;
                        self.pass(&Token::List)?;
                    }
                }
                (_, other) => self.pass(&other)?,
            }
        }
        Ok(listed)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const INDEX: &str = r#"
apiVersion: v1
entries:
  other:
  - version: 9.0.0
    annotations: {images: [a, b]}
    urls: [other-9.0.0.tgz]
  shop:
  # The newest.
  - apiVersion: v2
    dependencies:
    - {name: redis, version: 1.0.0}
    digest: abc
    name: shop
    urls:
    - shop-1.1.0.tgz
    - https://mirror.example.com/shop-1.1.0.tgz
    version: 1.1.0
  - version: "1.0.0"
    urls: []
generated: "2026-11-22T00:00:00Z"
"#;

    fn listed(version: &str, url: Option<&str>, digest: Option<&str>) -> Listed {
        let (url, digest) = (url.map(str::to_owned), digest.map(str::to_owned));
        Listed { version: version.to_owned(), url, digest }
    }

    #[test]
    fn the_versions_of_one_chart_are_read() {
        let shop =
            [listed("1.1.0", Some("shop-1.1.0.tgz"), Some("abc")), listed("1.0.0", None, None)];
        assert_eq!(versions(INDEX, "shop").unwrap().unwrap(), shop);
        let json = r#"{"entries":{"shop":[{"version":"1.0.0","urls":["a"]}]}}"#;
        assert_eq!(versions(json, "shop").unwrap().unwrap(), [listed("1.0.0", Some("a"), None)]);
        assert_eq!(versions(INDEX, "gone").unwrap(), None);
    }

    #[test]
    fn what_is_no_index_is_said() {
        for bad in ["", "- a", "<html>", "entries: {shop: [{version: 1", "entries: {[a]: b}"] {
            assert!(versions(bad, "shop").is_err(), "{bad:?}");
        }
        assert_eq!(versions("entries: {}", "shop").unwrap(), None);
        assert_eq!(versions("entries:", "shop").unwrap(), None);
    }
}
