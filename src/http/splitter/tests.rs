//! Streams cut into messages.

use proptest::prelude::*;

use super::*;

/// The messages, and whether the splitter failed.
fn split(stream: &[u8], lens: &[usize], limit: usize) -> (Vec<String>, bool) {
    let mut splitter = MessageSplitter::new(limit);
    let mut rest = stream;
    let mut out = Vec::new();
    let mut failed = false;
    for len in lens.iter().cycle() {
        let (slice, tail) = rest.split_at((*len).max(1).min(rest.len()));
        rest = tail;
        failed |= splitter.push(slice).is_err();
        if rest.is_empty() {
            splitter.finish();
        }
        while let Some(message) = splitter.next() {
            out.push(String::from_utf8(message.to_vec()).unwrap());
        }
        if rest.is_empty() || failed {
            break;
        }
    }
    (out, failed)
}

#[test]
fn boot_18_messages_end_with_four_line_feeds() {
    for (stream, messages) in [
        ("{1}\n\n\n\n{2}\n\n\n\n", &["{1}", "{2}"][..]),
        ("{1}\r\n\r\n\r\n\r\n{2}\r\n\n\r\n\n", &["{1}", "{2}"]),
        ("\n\n {1} \n\n\n\n\n\n\n\n\n\n\n{2}", &["{1}", "{2}"]),
        ("{\n\n\n1}\n\n\n\n", &["{\n\n\n1}"]),
        ("\n\n\n\n\n\n\n\n", &[]),
        ("", &[]),
        ("{1}", &["{1}"]),
    ] {
        for lens in [&[usize::MAX][..], &[1], &[2, 3]] {
            assert_eq!(
                split(stream.as_bytes(), lens, 64),
                (messages.iter().map(|m| (*m).into()).collect(), false)
            );
        }
    }
    let mut splitter = MessageSplitter::default();
    splitter.push(b"{1}\n\n\n").unwrap();
    assert_eq!(splitter.next(), None);
    splitter.push(b"\n").unwrap();
    assert_eq!(splitter.next().as_deref(), Some(&b"{1}"[..]));
}

#[test]
fn a_message_without_end_is_an_error_at_the_limit() {
    for lens in [&[usize::MAX][..], &[1], &[7]] {
        assert_eq!(
            split(b"{1}\n\n\n\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", lens, 16),
            (vec!["{1}".into()], true)
        );
        assert_eq!(split(b"aaaaaaaaaaaa\n\n\n\n", lens, 16), (vec!["aaaaaaaaaaaa".into()], false));
        assert_eq!(split(b"aaaaaaaaaaaaa\n\n\n\n", lens, 16), (vec![], true));
    }
    let mut splitter = MessageSplitter::new(4);
    let error = HttpError::MessageTooLong { limit: 4 };
    assert_eq!(splitter.push(b"12345"), Err(error.clone()));
    assert_eq!(splitter.push(b"\n\n\n\n1\n\n\n\n"), Err(error), "it stays failed");
    splitter.finish();
    assert_eq!(splitter.next(), None);
    let mut blanks = MessageSplitter::new(4);
    blanks.push(&[b' '; 100]).unwrap();
    blanks.push(b"{1}").unwrap();
}

proptest! {
    #[test]
    fn any_slicing_splits_into_the_same_messages(
        stream in "(a|b|\n|\r| |\n\n\n\n){0,40}",
        lens in prop::collection::vec(1..10_usize, 1..6),
        limit in 0..20_usize,
    ) {
        prop_assert_eq!(split(stream.as_bytes(), &lens, limit), split(stream.as_bytes(), &[usize::MAX], limit));
    }
}
