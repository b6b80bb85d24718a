//! Answers, and how their heads are written.

use crate::cluster::State;
use serde_json::Value;

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    content_type: &'static str,
    /// One more header, whole.
    header: Option<&'static str>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn json(status: u16, body: Vec<u8>) -> Self {
        Self { status, content_type: "application/json", header: None, body }
    }

    pub(super) fn value(value: &Value) -> Self {
        Self::json(200, value.to_string().into_bytes())
    }

    pub(super) fn text(status: u16, body: &str) -> Self {
        Self { status, content_type: "text/plain", header: None, body: body.as_bytes().to_vec() }
    }

    /// The status with which a server asks for credentials.
    pub(super) fn unauthorized() -> Self {
        let header = Some("WWW-Authenticate: Basic realm=\"Couchbase Server Admin / REST\"");
        Self { header, ..Self::text(401, "") }
    }

    pub(super) fn forbidden(permission: &str) -> Self {
        let body = serde_json::json!({
            "message": "Forbidden. User needs the following permissions",
            "permissions": [permission],
        });
        Self::json(403, body.to_string().into_bytes())
    }

    pub(super) fn not_found() -> Self {
        Self::text(404, "Requested resource not found.")
    }

    /// The manager's front page is elsewhere.
    pub(super) fn moved() -> Self {
        Self { header: Some("Location: /ui/index.html"), ..Self::text(301, "") }
    }

    /// Writes the head. `len` is that of the body, `None` where it is chunked or ends with the connection.
    pub(super) fn write_head(
        &self,
        state: &State,
        len: Option<usize>,
        chunked: bool,
        keep_alive: bool,
        out: &mut Vec<u8>,
    ) {
        let mut head = format!(
            "HTTP/1.1 {} {}\r\nServer: Couchbase Server\r\nDate: {}\r\nCache-Control: no-cache\r\nContent-Type: {}\r\n",
            self.status,
            reason(self.status),
            date(state.clock.unix_secs()),
            self.content_type,
        );
        if let Some(header) = self.header {
            head = head + header + "\r\n";
        }
        match len {
            Some(len) => head += &format!("Content-Length: {len}\r\n"),
            None if chunked => head += "Transfer-Encoding: chunked\r\n",
            None => {}
        }
        if !keep_alive || (len.is_none() && !chunked) {
            head += "Connection: close\r\n";
        }
        head += "\r\n";
        out.extend_from_slice(head.as_bytes());
    }
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        301 => "Moved Permanently",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Object Not Found",
        405 => "Method Not Allowed",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Simulated",
    }
}

/// Seconds since 1970 in the form of HTTP, such as `Tue, 24 Nov 2026 10:00:00 GMT`.
fn date(secs: u32) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [(&str, u32); 12] = [
        ("Jan", 31),
        ("Feb", 28),
        ("Mar", 31),
        ("Apr", 30),
        ("May", 31),
        ("Jun", 30),
        ("Jul", 31),
        ("Aug", 31),
        ("Sep", 30),
        ("Oct", 31),
        ("Nov", 30),
        ("Dec", 31),
    ];
    let (days, time) = (secs / 86_400, secs % 86_400);
    let weekday = DAYS[days as usize % 7];
    let is_leap =
        |year: u32| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (mut year, mut day) = (1970, days);
    while day >= 365 + u32::from(is_leap(year)) {
        day -= 365 + u32::from(is_leap(year));
        year += 1;
    }
    let mut month = "Jan";
    for (name, len) in MONTHS {
        month = name;
        let len = len + u32::from(name == "Feb" && is_leap(year));
        if day < len {
            break;
        }
        day -= len;
    }
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{weekday}, {:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT", day + 1)
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates() {
        for (secs, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_700_000_000, "Tue, 14 Nov 2023 22:13:20 GMT"),
            (1_735_603_200, "Tue, 31 Dec 2024 00:00:00 GMT"),
            (u32::MAX, "Sun, 07 Feb 2106 06:28:15 GMT"),
        ] {
            assert_eq!(date(secs), text);
        }
    }
}
