//! Exchanges over recorded and hostile answers.

use proptest::prelude::*;

use super::*;
use crate::auth::{Authenticator, BearerAuthenticator, PasswordAuthenticator};

fn request() -> Request {
    Request {
        method: Method::Get,
        host: "db1.example.com".into(),
        port: 8091,
        path: "/pools/default/bs/travel-sample".into(),
        authorization: None,
        user_agent: "settee/0.1".into(),
    }
}

/// What became of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
struct Read {
    heads: Vec<HttpEvent>,
    body: Vec<u8>,
    ended: bool,
    reusable: bool,
    error: Option<HttpError>,
}

/// Reads an answer whose slices have the given lengths in turn, then the end of the stream if `close`.
fn read_sliced(stream: &[u8], lens: &[usize], close: bool) -> Read {
    let mut exchange = Exchange::new(&request());
    exchange.consume(usize::MAX);
    let mut read = Read::default();
    let mut rest = stream;
    let mut lens = lens.iter().cycle();
    loop {
        let (slice, tail) =
            rest.split_at((*lens.next().unwrap()).clamp(1, rest.len().max(1)).min(rest.len()));
        rest = tail;
        let result = if slice.is_empty() {
            read.reusable = exchange.may_be_reused();
            if close { exchange.closed() } else { Ok(()) }
        } else {
            exchange.receive(slice)
        };
        while let Some(event) = exchange.poll_event() {
            assert!(!read.ended, "{event:?} behind the end");
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
        if let Err(error) = result {
            assert_eq!(exchange.receive(b"x"), Err(error.clone()), "it stays failed");
            assert_eq!(exchange.closed(), Err(error.clone()));
            read.reusable = false;
            read.error = Some(error);
            return read;
        }
        if slice.is_empty() {
            return read;
        }
    }
}

/// Reads an answer whole and byte by byte, up to the end of the stream.
fn read(stream: impl AsRef<[u8]>) -> Read {
    let whole = read_sliced(stream.as_ref(), &[usize::MAX], true);
    assert_same(&read_sliced(stream.as_ref(), &[1], true), &whole);
    whole
}

/// The data of a faulty chunk may come or not; all else is the same.
fn assert_same(one: &Read, other: &Read) {
    let mut one = one.clone();
    if one.error == Some(HttpError::Chunk)
        && (one.body.starts_with(&other.body) || other.body.starts_with(&one.body))
    {
        one.body.clone_from(&other.body);
    }
    assert_eq!(&one, other);
}

fn fault(stream: impl AsRef<[u8]>) -> HttpError {
    read(stream).error.expect("an error")
}

fn status(read: &Read) -> u16 {
    match read.heads.as_slice() {
        [HttpEvent::Head { status, .. }] => *status,
        other => panic!("{other:?}"),
    }
}

const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nServer: Couchbase Server\r\n\
    Date: Tue, 24 Nov 2026 10:00:00 GMT\r\nContent-Type: application/json; charset=utf-8\r\n\r\n\
    9\r\n{\"rev\":1}\r\n4\r\n\n\n\n\n\r\n9\r\n{\"rev\":2}\r\n4\r\n\n\n\n\n\r\n0\r\n\r\n";

fn written(request: &Request) -> String {
    let exchange = Exchange::new(request);
    String::from_utf8(exchange.output().to_vec()).unwrap()
}

#[test]
fn requests_are_written_in_the_form_of_http_1_1() {
    let expected = "GET /pools/default/bs/travel-sample HTTP/1.1\r\nHost: db1.example.com:8091\r\nAccept: */*\r\n\
                    User-Agent: settee/0.1\r\n\r\n";
    assert_eq!(written(&request()), expected);
    for host in ["::1", "[::1]"] {
        let request = Request { host: host.into(), user_agent: String::new(), path: "/".into(), ..request() };
        assert_eq!(written(&request), "GET / HTTP/1.1\r\nHost: [::1]:8091\r\nAccept: */*\r\n\r\n");
    }
}

#[test]
fn no_field_can_add_a_line_to_the_request() {
    let evil = "a\r\nX-Evil: 1\r\n\r\nGET /\u{85}\u{1}\u{e4} HTTP/1.1";
    let token = zeroize::Zeroizing::new(evil.to_owned());
    let request = Request {
        host: evil.into(),
        path: evil.into(),
        user_agent: evil.into(),
        authorization: Some(Authorization::Bearer(token)),
        ..request()
    };
    let head = written(&request);
    let lines: Vec<_> = head.split("\r\n").map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(lines, ["GET", "Host:", "Accept:", "User-Agent:", "Authorization:", "", ""]);
    assert!(!head.contains("\r\nX-Evil"), "{head}");
    assert!(
        head.starts_with("GET /a%0D%0AX-Evil:%201%0D%0A%0D%0AGET%20/%C2%85%01%C3%A4%20HTTP/1.1 HTTP/1.1\r\n")
    );
}

#[test]
fn boot_18_bucket_names_are_one_segment() {
    assert_eq!(path_segment("a/b?c#d%e f"), "a%2Fb%3Fc%23d%25e%20f");
    assert_eq!(path_segment("A-z_0.~"), "A-z_0.~");
    assert_eq!(path_segment("\u{e4}\0"), "%C3%A4%00");
}

#[test]
fn credentials_become_basic_or_bearer_and_are_never_shown() {
    let password = PasswordAuthenticator::new("Aladdin", "open sesame").unwrap();
    let bearer = BearerAuthenticator::new("eyJ0.e30.c2ln").unwrap();
    for (authenticator, value) in [
        (Authenticator::Password(password), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        (Authenticator::Bearer(bearer), "Bearer eyJ0.e30.c2ln"),
    ] {
        let authorization = Authorization::from_authenticator(&authenticator);
        let request = Request { authorization, ..request() };
        let head = written(&request);
        assert!(head.ends_with(&format!("\r\nAuthorization: {value}\r\n\r\n")), "{head}");
        let shown = format!("{request:?} {:?}", Exchange::new(&request));
        for secret in ["Aladdin", "sesame", "QWxh", "eyJ0", &format!("{:?}", head.as_bytes())[1..40]] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

#[test]
fn auth_9_written_bytes_are_wiped() {
    let authorization = Some(Authorization::Bearer(zeroize::Zeroizing::new("secret".into())));
    let mut exchange = Exchange::new(&Request { authorization, ..request() });
    let all = exchange.output().to_vec();
    exchange.consume(10);
    assert_eq!(exchange.output(), &all[10..]);
    exchange.consume(all.len() - 11);
    assert_eq!(exchange.output(), b"\n");
    exchange.consume(usize::MAX);
    assert!(exchange.output().is_empty());
    assert!(exchange.is_wiped(all.len()));
}

#[test]
fn boot_20_a_chunked_stream_is_decoded_as_it_comes() {
    let read = read(STREAM);
    assert_eq!(read.body, b"{\"rev\":1}\n\n\n\n{\"rev\":2}\n\n\n\n");
    assert!(read.ended && read.reusable && read.error.is_none());
    let head = HttpEvent::Head {
        status: 200,
        server: Some("Couchbase Server".into()),
        date: Some("Tue, 24 Nov 2026 10:00:00 GMT".into()),
        content_type: Some("application/json; charset=utf-8".into()),
    };
    assert_eq!(read.heads, [head]);

    let mut exchange = Exchange::new(&request());
    let at = STREAM.windows(4).position(|window| window == b"\n\n\n\n").unwrap();
    exchange.receive(&STREAM[..at]).unwrap();
    assert!(matches!(exchange.poll_event(), Some(HttpEvent::Head { .. })));
    assert_eq!(exchange.poll_event(), Some(HttpEvent::Body("{\"rev\":1}".into())), "before the next chunk");
    assert_eq!(exchange.poll_event(), None);
}

#[test]
fn bodies_end_by_their_length_or_with_the_stream() {
    let known = read("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!((known.body.as_slice(), known.ended, known.reusable), (&b"hello"[..], true, true));
    let open = read("HTTP/1.1 200 OK\r\n\r\nhello");
    assert_eq!((open.body.as_slice(), open.ended, open.reusable), (&b"hello"[..], true, false));
    assert!(!read_sliced(b"HTTP/1.1 200 OK\r\n\r\nhello", &[1], false).ended);
    let none = read("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!((none.body.len(), none.ended, none.reusable, status(&none)), (0, true, true, 204));
    let empty = read("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert!(empty.ended && empty.reusable);
}

#[test]
fn every_status_is_reported_and_interim_ones_are_skipped() {
    for (line, code) in
        [("401 Unauthorized", 401), ("404 Object Not Found", 404), ("503 Busy", 503), ("302 Found", 302)]
    {
        let answer =
            read(format!("HTTP/1.1 {line}\r\nLocation: http://other/\r\nContent-Length: 2\r\n\r\nno"));
        assert_eq!((status(&answer), answer.body.as_slice(), answer.reusable), (code, &b"no"[..], true));
    }
    let moved = read("HTTP/1.1 301 Moved\r\nContent-Length: 0\r\n\r\n");
    assert!(moved.ended && moved.reusable);
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\nDate: x\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\n";
    let answer = read(format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    assert_eq!((status(&answer), answer.ended, answer.reusable), (200, true, true));
}

#[test]
fn connections_are_kept_only_when_the_peer_keeps_them() {
    for (head, kept) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", false),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", false),
    ] {
        let answer = read(head);
        assert!(answer.ended, "{head}");
        assert_eq!(answer.reusable, kept, "{head}");
    }
    let mut exchange = Exchange::new(&request());
    exchange.receive(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").unwrap();
    assert!(exchange.is_done() && !exchange.may_be_reused(), "the request is not written");
    exchange.consume(usize::MAX);
    assert!(exchange.may_be_reused());
    exchange.closed().unwrap();
    assert!(!exchange.may_be_reused());
}

#[test]
fn bytes_behind_the_answer_are_dropped_with_the_connection() {
    for stream in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nx",
    ] {
        let answer = read(stream);
        assert_eq!((answer.body.as_slice(), answer.ended, answer.reusable), (&b"ok"[..], true, false));
        assert_eq!(answer.error, None);
    }
}

#[test]
fn peers_that_speak_something_else_are_named() {
    for (first, speaks) in [
        (&b"\x15\x03\x01\x00\x02\x02\x28"[..], Speaks::Tls),
        (b"\x16\x03\x03", Speaks::Tls),
        (b"\x81\x00\x00\x00", Speaks::KeyValue),
        (b"\x18", Speaks::KeyValue),
        (b"SSH-2.0-OpenSSH", Speaks::Unknown),
        (b"HTTP/2 200\r\n", Speaks::Unknown),
        (b"\0", Speaks::Unknown),
        (b"\r\n\r\n", Speaks::Unknown),
    ] {
        assert_eq!(fault(first), HttpError::NotHttp(speaks), "{first:?}");
    }
    assert!(fault(b"\x15\x03").to_string().contains("TLS"));
    assert!(fault(b"\x81\0").to_string().contains("key-value"));
}

#[test]
fn malformed_heads_are_refused() {
    for head in [
        "HTTP/1.1 099 No\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.7 200 OK\r\n\r\n",
        "HTTP/1.1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: nul\0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA\0: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 100 Continue\r\nA\0: b\r\n\r\n",
    ] {
        assert!(matches!(fault(head), HttpError::Head(_)), "{head:?}: {:?}", fault(head));
    }
}

#[test]
fn heads_have_ceilings() {
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "a".repeat(MAX_HEAD));
    assert_eq!(fault(&endless), HttpError::HeadTooLong);
    assert_eq!(fault(format!("HTTP/1.1 {}", "a".repeat(MAX_HEAD))), HttpError::HeadTooLong);
    assert_eq!(fault("HTTP/1.1 102 Processing\r\n\r\n".repeat(MAX_HEAD / 27 + 1)), HttpError::HeadTooLong);

    let fill = MAX_HEAD - "HTTP/1.1 204 OK\r\nX: \r\n\r\n".len();
    assert!(read(format!("HTTP/1.1 204 OK\r\nX: {}\r\n\r\n", "a".repeat(fill))).ended);
    let over = format!("HTTP/1.1 204 OK\r\nX: {}\r\n\r\n", "a".repeat(fill + 1));
    assert_eq!(fault(over), HttpError::HeadTooLong);

    let headers = |count| format!("HTTP/1.1 204 OK\r\n{}\r\n", "A: b\r\n".repeat(count));
    assert!(read(headers(MAX_HEADERS)).ended);
    assert_eq!(fault(headers(MAX_HEADERS + 1)), HttpError::TooManyHeaders);
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn bad_chunks_are_refused() {
    for body in [
        "-1\r\nx\r\n",
        "\r\nx",
        "xyz\r\n",
        "10000000000000000\r\n",
        "fffffffffffffffff\r\n",
        "1\r\nxy\r\n",
        "1\r\nx\n\n",
        "1\r\nxGET / HTTP/1.1 and more",
        "0x1\r\nx\r\n",
        "1\rx\r\n",
        "0\r\nA: b\rc\r\n\r\n",
        "1;ext=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "\0\r\n",
        "\u{ff}\r\n",
    ] {
        let stream = format!("{CHUNKED}2\r\nok\r\n{body}");
        let answer = read(&stream);
        // Bytes that are no end of a chunk may still become one until the peer closes.
        assert!(
            matches!(answer.error, Some(HttpError::Chunk | HttpError::Closed(Part::Body))),
            "{body:?}: {answer:?}"
        );
        assert!(answer.body.starts_with(b"ok") && !answer.ended);
    }
    assert_eq!(fault(format!("{CHUNKED}-1\r\n")), HttpError::Chunk);
}

#[test]
fn a_claimed_size_is_only_a_claim() {
    let answer = read(format!("{CHUNKED}ffffffffffffffff\r\nabc"));
    assert_eq!((answer.body.as_slice(), answer.error), (&b"abc"[..], Some(HttpError::Closed(Part::Body))));
    let answer = read("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\nabc");
    assert_eq!((answer.body.as_slice(), answer.error), (&b"abc"[..], Some(HttpError::Closed(Part::Body))));
}

#[test]
fn trailers_are_dropped_and_have_a_ceiling() {
    let answer = read(format!("{CHUNKED}1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n"));
    assert!(answer.ended && answer.reusable && answer.body == b"x");
    let cut = read(format!("{CHUNKED}1\r\nx\r\n0\r\nA: b"));
    assert!(cut.ended && !cut.reusable && cut.error.is_none(), "the body is whole: {cut:?}");
    assert_eq!(
        fault(format!("{CHUNKED}0\r\n{}", "A: b\r\n".repeat(MAX_HEAD / 6 + 1))),
        HttpError::TrailerTooLong
    );
    assert_eq!(fault(format!("{CHUNKED}0\r\n{}", "a".repeat(MAX_HEAD))), HttpError::TrailerTooLong);
    let fill = MAX_HEAD - "0\r\n\r\n\r\n".len();
    assert!(read(format!("{CHUNKED}0\r\n{}\r\n\r\n", "a".repeat(fill))).reusable);
    let over = format!("{CHUNKED}0\r\n{}\r\n\r\n", "a".repeat(fill + 1));
    assert_eq!(fault(over), HttpError::TrailerTooLong);
}

#[test]
fn the_end_of_the_stream_tells_where_it_came() {
    assert_eq!(fault(""), HttpError::Closed(Part::Nothing));
    assert_eq!(fault("HTTP/1.1 200"), HttpError::Closed(Part::Head));
    assert_eq!(fault("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx"), HttpError::Closed(Part::Body));
    assert_eq!(fault(format!("{CHUNKED}1\r\nx")), HttpError::Closed(Part::Body));
}

#[test]
fn large_bodies_come_in_bounded_pieces() {
    let text = vec![b'x'; 100_000];
    let mut stream = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n".to_vec();
    stream.extend_from_slice(&text);
    let mut exchange = Exchange::new(&request());
    exchange.receive(&stream).unwrap();
    let mut total = 0;
    while let Some(event) = exchange.poll_event() {
        if let HttpEvent::Body(piece) = event {
            assert!(piece.len() <= 16 * 1024);
            total += piece.len();
        }
    }
    assert_eq!(total, text.len());
}

/// Bytes that are often nearly an answer.
fn nearly_an_answer() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => prop::sample::select(vec![
            "HTTP/1.1 200 OK\r\n", "HTTP/1.0 404 No\r\n", "HTTP/1.1 100 Continue\r\n\r\n", "Transfer-Encoding: chunked\r\n",
            "Content-Length: 7\r\n", "Content-Length: 99999999999999999999\r\n", "Connection: close\r\n", "X: y\r\n",
            "\r\n", "\n", "\r", "0\r\n", "0\r\n\r\n", "5\r\nhello\r\n", "5", "+5\r\nhello\r\n", "-5\r\n", "ffffffffffffffff\r\n",
            "1;a=b\r\nx\r\n", "{\"rev\":1}", "\n\n\n\n", "\0", ": ", "a",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..30),
    ];
    let parts = prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat());
    let head = prop::sample::select(vec![
        "",
        "HTTP/1.1 200 OK\r\n",
        CHUNKED,
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
    ]);
    (head, parts).prop_map(|(head, parts)| [head.as_bytes(), &parts].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn any_slicing_of_any_answer_reads_the_same(
        stream in nearly_an_answer(),
        lens in prop::collection::vec(1..40_usize, 1..6),
        close: bool,
    ) {
        let whole = read_sliced(&stream, &[usize::MAX], close);
        assert_same(&read_sliced(&stream, &lens, close), &whole);
        assert_same(&read_sliced(&stream, &[1], close), &whole);
    }

    #[test]
    fn any_slicing_of_a_recorded_stream_reads_the_same(lens in prop::collection::vec(1..200_usize, 1..20)) {
        prop_assert_eq!(read_sliced(STREAM, &lens, true), read(STREAM));
    }
}
