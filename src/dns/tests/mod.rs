//! The resolver against scripted name servers, in virtual time. Their messages are built by a foreign implementation.

mod hostile;
mod messages;
mod rules;
mod script;
mod tcp;
mod text;
