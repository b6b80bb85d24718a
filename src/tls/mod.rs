//! TLS as bytes in, bytes out (`connecting.md` 3).
