//! HTTP answers: any slicing of a stream reads the same, no more is kept than came, and a fault stays a fault.

use settee::http::{Exchange, HttpError, HttpEvent, MessageSplitter, Method, Request};

/// Longest message of the splitter; small, so that the fuzzer gets there.
const LIMIT: usize = 64;

/// One byte chooses the slicing and whether the stream ends, the rest is what a peer sends.
pub fn http(data: &[u8]) {
    let Some((&choice, stream)) = data.split_first() else { return };
    let close = choice & 1 == 1;
    let whole = read(stream, stream.len().max(1), close);
    let sliced = read(stream, 1 + usize::from(choice >> 1) % 40, close);
    if whole.error == Some(HttpError::Chunk) {
        // The data of the faulty chunk itself may come or not.
        assert!(whole.body.starts_with(&sliced.body) || sliced.body.starts_with(&whole.body));
        assert_eq!((&sliced.heads, &sliced.error), (&whole.heads, &whole.error));
        return;
    }
    assert_eq!(sliced, whole, "the slicing of the stream changes what is read");
    assert_eq!(split(&whole.body, 1), split(&whole.body, whole.body.len().max(1)));
}

/// What became of an answer.
#[derive(Debug, Default, PartialEq)]
struct Read {
    heads: Vec<HttpEvent>,
    body: Vec<u8>,
    ended: bool,
    reusable: bool,
    error: Option<HttpError>,
}

fn read(stream: &[u8], len: usize, close: bool) -> Read {
    let request = Request {
        method: Method::Get,
        host: "::1".into(),
        port: 8091,
        path: "/".into(),
        authorization: None,
        user_agent: String::new(),
    };
    let mut exchange = Exchange::new(&request);
    exchange.consume(exchange.output().len());
    let mut read = Read::default();
    for slice in stream.chunks(len) {
        read.error = exchange.receive(slice).err();
        drain(&mut exchange, &mut read);
        if read.error.is_some() {
            break;
        }
    }
    read.reusable = exchange.may_be_reused();
    assert!(!read.reusable || read.ended);
    if let Some(error) = &read.error {
        assert_eq!(exchange.receive(b"x").as_ref(), Err(error), "it stays failed");
        assert_eq!(exchange.closed().as_ref(), Err(error));
    } else if close {
        read.error = exchange.closed().err();
        drain(&mut exchange, &mut read);
        assert!(read.ended != read.error.is_some(), "the end of the stream decides");
    }
    assert!(read.body.len() <= stream.len(), "more body than was received");
    read
}

fn drain(exchange: &mut Exchange, read: &mut Read) {
    while let Some(event) = exchange.poll_event() {
        assert!(!read.ended, "an event behind the end");
        match event {
            HttpEvent::Body(piece) => {
                assert!(!piece.is_empty() && read.heads.len() == 1);
                read.body.extend_from_slice(&piece);
            }
            HttpEvent::End => read.ended = true,
            head => read.heads.push(head),
        }
    }
    assert_eq!(exchange.is_done(), read.ended);
}

/// The messages of a body, and the fault behind them.
fn split(body: &[u8], len: usize) -> (Vec<Vec<u8>>, Option<HttpError>) {
    let mut splitter = MessageSplitter::new(LIMIT);
    let error = body.chunks(len).find_map(|piece| splitter.push(piece).err());
    splitter.finish();
    let messages: Vec<_> = std::iter::from_fn(|| splitter.next()).map(|message| message.to_vec()).collect();
    assert!(messages.iter().all(|message| message.len() <= LIMIT && !message.is_empty()));
    (messages, error)
}
