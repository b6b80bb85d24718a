use super::*;
use crate::hex;
use crate::terminal::Colours;

/// GET of the key `hello`, opaque 1.
const GET: &str = "80000005000000000000000500000001000000000000000068656c6c6f";

fn decoded(text: &str, collections: bool) -> (Vec<(usize, Value)>, Option<Fault>) {
    let mut frames = Vec::new();
    let bytes = hex::parse(text).unwrap();
    let context = Context { collections, specs: None };
    let fault = decode(&bytes, context, |offset, object| {
        frames.push((offset, object.clone()));
        Ok(())
    });
    (frames, fault.unwrap())
}

#[test]
fn frames_follow_each_other() {
    let answer = "810000000000000100000000000000010000000000000000";
    let (frames, fault) = decoded(&format!("{GET}{answer}"), false);
    assert_eq!(fault, None);
    assert_eq!((frames[0].0, frames[1].0), (0, 29));
    assert_eq!(frames[0].1["fields"]["key"], "hello");
    assert_eq!(
        (frames[1].1["kind"].as_str(), frames[1].1["status"].as_str()),
        (Some("client_response"), Some("0x0001"))
    );
}

#[test]
fn collections_change_the_meaning_of_keys() {
    let prefixed = "8000000600000000000000060000000100000000000000000868656c6c6f";
    assert_eq!(decoded(prefixed, true).0[0].1["fields"]["key"], "hello");
    assert_eq!(decoded(prefixed, true).0[0].1["fields"]["collection_id"], "0x8");
    assert_eq!(decoded(prefixed, false).0[0].1["fields"]["key"], "\u{8}hello");
}

#[test]
fn malformed_input_is_told_with_its_byte() {
    for (text, offset, words, frames) in [
        (format!("{GET}42"), 30, "header of the frame at byte 29: 1 of 24", 1),
        (format!("{GET}{}", GET.replace("8000", "4200")), 29, "0x42 does not begin a frame", 1),
        (GET.replace("68656c6c6f", "6865"), 26, "body of the frame at byte 0: 2 of 5", 0),
        (format!("{GET}{}", GET.replace("80000005", "80000006")), 31, "do not fit a body of 5", 1),
        (String::new(), 0, "nothing to decode", 0),
        ("8100000000000000ffffffff000000010000000000000000".to_owned(), 24, "0 of 4294967295", 0),
    ] {
        let (found, fault) = decoded(&text, false);
        let fault = fault.unwrap();
        assert_eq!((fault.offset, found.len()), (offset, frames), "{fault}");
        assert!(fault.message.contains(words), "{fault}");
    }
}

#[test]
fn a_malformed_answer_does_not_hide_the_next_frame() {
    let short_flags = "810000000200000000000002000000010000000000000001dead";
    let (frames, fault) = decoded(&format!("{GET}{short_flags}{GET}"), false);
    assert_eq!(frames.len(), 3);
    assert!(frames[1].1["malformed"].is_string(), "{}", frames[1].1);
    assert_eq!(fault.unwrap().offset, 29);
}

#[test]
fn a_frame_info_past_the_end_is_a_fault() {
    let text = "18000300040000000000000700000001000000000000000005000100000000";
    assert!(decoded(text, false).1.is_some());
}

#[test]
fn text_names_the_operation_and_its_fields() {
    let mut out = Vec::new();
    let (frames, _) = decoded(GET, false);
    text::write(&mut out, 0, &frames[0].1, Colours::NONE).unwrap();
    let text = String::from_utf8(out).unwrap();
    let first = "     0 client request GET (0x00), vbucket 0, opaque 0x00000001, 5 bytes of body\n";
    assert!(text.starts_with(first), "{text}");
    assert!(text.contains("key          68656c6c6f\n") && text.contains("key = hello\n"), "{text}");
}
