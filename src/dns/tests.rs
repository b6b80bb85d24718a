//! The resolver against a scripted name server, in virtual time.
