//! Questions to the platform's resolver, under way.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use settee::engine::LookupError;

use crate::mailbox::{Mailbox, Signal, Source};
use crate::runtime::BoxFuture;

/// All of them; `I` is what the engine calls one.
pub(super) struct Lookups<I> {
    places: Vec<Option<Task<I>>>,
}

struct Task<I> {
    id: I,
    answer: Answer,
    signal: Arc<Signal>,
    waker: Waker,
}

type Answer = BoxFuture<io::Result<Vec<IpAddr>>>;

impl<I> Lookups<I> {
    pub(super) const fn new() -> Self {
        Self { places: Vec::new() }
    }

    pub(super) fn clear(&mut self) {
        self.places.clear();
    }
}

impl<I: Copy + PartialEq> Lookups<I> {
    /// Takes a question and returns the place that is to be polled.
    pub(super) fn begin(&mut self, id: I, answer: Answer, mailbox: &Arc<Mailbox>) -> usize {
        let place = self.places.iter().position(Option::is_none).unwrap_or(self.places.len());
        let signal = Signal::new(mailbox, Source::Lookup(place));
        let waker = Waker::from(Arc::clone(&signal));
        let task = Some(Task { id, answer, signal, waker });
        match self.places.get_mut(place) {
            Some(free) => *free = task,
            None => self.places.push(task),
        }
        place
    }

    /// Gives a question up.
    pub(super) fn cancel(&mut self, id: I) {
        for place in &mut self.places {
            place.take_if(|task| task.id == id);
        }
    }

    /// The answer of one, which is done then.
    pub(super) fn poll(&mut self, place: usize) -> Poll<(I, Result<Vec<IpAddr>, LookupError>)> {
        let Some(place) = self.places.get_mut(place) else { return Poll::Pending };
        let Some(task) = place else { return Poll::Pending };
        task.signal.clear();
        let Poll::Ready(answer) = task.answer.as_mut().poll(&mut Context::from_waker(&task.waker)) else {
            return Poll::Pending;
        };
        let id = task.id;
        *place = None;
        let answer = match answer {
            Ok(addresses) if addresses.is_empty() => Err(LookupError::NotFound),
            Ok(addresses) => Ok(addresses),
            Err(error) => Err(lookup_error(&error)),
        };
        Poll::Ready((id, answer))
    }
}

/// The standard library gives a resolver's answer as text only; these are the words of the common C libraries and of
/// Windows for a name without addresses.
fn lookup_error(error: &io::Error) -> LookupError {
    const NOT_FOUND: [&str; 5] = [
        "not known",
        "does not resolve",
        "No such host",
        "No address associated",
        "no data of the requested type",
    ];
    match error.kind() {
        io::ErrorKind::TimedOut => LookupError::TimedOut,
        io::ErrorKind::NotFound => LookupError::NotFound,
        _ => {
            let text = error.to_string();
            if NOT_FOUND.iter().any(|words| text.contains(words)) {
                LookupError::NotFound
            } else {
                LookupError::Failed
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::net::Ipv4Addr;

    use super::*;

    /// An answer that never comes, and holds a share of `token` while somebody waits for it.
    fn never(token: &Arc<()>) -> Answer {
        let held = Arc::clone(token);
        Box::pin(async move {
            let answer = pending().await;
            drop(held);
            answer
        })
    }

    #[test]
    fn a_cancelled_lookup_is_dropped_at_once_and_others_go_on() {
        let (mut lookups, mailbox, token) = (Lookups::new(), Arc::default(), Arc::new(()));
        let first = lookups.begin(1, never(&token), &mailbox);
        let address = IpAddr::from(Ipv4Addr::LOCALHOST);
        let second = lookups.begin(2, Box::pin(ready(Ok(vec![address]))), &mailbox);
        assert!(lookups.poll(first).is_pending());
        assert_eq!(Arc::strong_count(&token), 2);
        lookups.cancel(1);
        assert_eq!(Arc::strong_count(&token), 1);
        assert!(lookups.poll(first).is_pending(), "a free place is served without harm");
        assert_eq!(lookups.poll(second), Poll::Ready((2, Ok(vec![address]))));
        assert!(lookups.poll(second).is_pending());
        assert_eq!(lookups.begin(3, never(&token), &mailbox), first);
        lookups.cancel(2);
        assert_eq!(Arc::strong_count(&token), 2, "an id that is gone cancels nothing");
    }

    #[test]
    fn no_addresses_are_not_an_answer() {
        let (mut lookups, mailbox) = (Lookups::new(), Arc::default());
        let place = lookups.begin(1, Box::pin(ready(Ok(Vec::new()))), &mailbox);
        assert_eq!(lookups.poll(place), Poll::Ready((1, Err(LookupError::NotFound))));
    }

    #[test]
    fn resolvers_words_for_a_name_without_addresses() {
        let other = |text: &str| lookup_error(&io::Error::other(text));
        assert_eq!(
            other("failed to lookup address information: Name or service not known"),
            LookupError::NotFound
        );
        assert_eq!(
            other("failed to lookup address information: nodename nor servname provided, or not known"),
            LookupError::NotFound
        );
        assert_eq!(other("No such host is known. (os error 11001)"), LookupError::NotFound);
        assert_eq!(
            other("failed to lookup address information: Temporary failure in name resolution"),
            LookupError::Failed
        );
        assert_eq!(lookup_error(&io::ErrorKind::TimedOut.into()), LookupError::TimedOut);
    }
}
