//! HTTP/1.1 exchanges as bytes in, bytes out (`connecting.md` 4.6).
