//! Positional arguments with a connection string in front or without one: their number tells.

use crate::failure::Failure;

/// `[CONNSTR] KEY`.
pub(crate) fn with_key(words: &[String]) -> Result<(Option<&str>, &str), Failure> {
    match words {
        [text] if is_connection_string(text) => {
            Err(Failure::usage("a key is needed behind the connection string"))
        }
        [key] => Ok((None, key)),
        [connection_string, key] => Ok((Some(connection_string), key)),
        _ => Err(Failure::usage("a key is needed, and perhaps a connection string in front of it")),
    }
}

/// `[CONNSTR] KEY VALUE`.
pub(crate) fn with_value(words: &[String]) -> Result<(Option<&str>, &str, &str), Failure> {
    match words {
        [text, _] if is_connection_string(text) => {
            Err(Failure::usage("a key and a value are needed behind the connection string"))
        }
        [key, value] => Ok((None, key, value)),
        [connection_string, key, value] => Ok((Some(connection_string), key, value)),
        _ => Err(Failure::usage(
            "a key and a value are needed, and perhaps a connection string in front of them",
        )),
    }
}

/// Whether this is certainly no key: with the connection string elsewhere such a key would be an accident.
fn is_connection_string(text: &str) -> bool {
    text.starts_with("couchbase://") || text.starts_with("couchbases://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_words_tells_their_meaning() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(with_key(&words("k")).unwrap(), (None, "k"));
        assert_eq!(with_key(&words("couchbase://h k")).unwrap(), (Some("couchbase://h"), "k"));
        assert_eq!(with_value(&words("k v")).unwrap(), (None, "k", "v"));
        assert_eq!(with_value(&words("h k v")).unwrap(), (Some("h"), "k", "v"));
        assert!(
            with_key(&words("couchbase://h")).is_err() && with_value(&words("couchbases://h k")).is_err()
        );
        assert!(with_key(&words("a b c")).is_err() && with_value(&words("a")).is_err());
    }
}
