//! What messages mean for the query.

use std::time::Instant;

use super::{Action, Partial, Query, Stage, Transport};
use crate::dns::message::{Header, Question, Response, rcode};
use crate::dns::outcome::{Answer, Outcome, SrvError};
use crate::dns::stream::Stream;
use crate::dns::targets::{self, Found};

impl Query {
    /// A message whose sender and id are right.
    pub(super) fn on_message(
        &mut self,
        server: usize,
        transport: Transport,
        header: Header,
        message: &[u8],
        now: Instant,
    ) {
        let response = match Response::read(message, header, &self.wire_name) {
            Ok(response) => response,
            Err(error) => return self.refused(server, transport, SrvError::Malformed(error.to_owned()), now),
        };
        let code = response.rcode();
        match (response.question, code) {
            (Question::Foreign, _) => return,
            (Question::Absent, rcode::NO_ERROR | rcode::NAME_ERROR) => return,
            _ => {}
        }
        match code {
            rcode::NO_ERROR if response.is_truncated() => {
                return self.truncated(server, transport, &response, message.len(), now);
            }
            rcode::NO_ERROR | rcode::NAME_ERROR => {}
            rcode::FORMAT_ERROR | rcode::NOT_IMPLEMENTED | rcode::BAD_VERSION if self.drop_edns(server) => {
                return self.repeat(server, transport, now);
            }
            rcode::SERVER_FAILURE => return self.refused(server, transport, SrvError::ServFail, now),
            rcode::REFUSED => return self.refused(server, transport, SrvError::Refused, now),
            _ => return self.refused(server, transport, SrvError::Code(code), now),
        }
        let answer = match targets::read(&response, &self.wire_name) {
            _ if code == rcode::NAME_ERROR => (Answer::NoRecords { nxdomain: true }, 0),
            Ok(found) if !found.targets.is_empty() => (Answer::Records(found.targets), found.left_out),
            Ok(found) if found.left_out == 0 => (Answer::NoRecords { nxdomain: false }, 0),
            Ok(_) => {
                let error = SrvError::Malformed("no record names a host and a port".to_owned());
                return self.refused(server, transport, error, now);
            }
            Err(error) => {
                return self.refused(server, transport, SrvError::Malformed(error.to_owned()), now);
            }
        };
        if self.partial.is_some() && matches!(answer.0, Answer::NoRecords { .. }) {
            // There are some, so this server rather cannot handle as many as there are.
            return self.refused(server, transport, SrvError::TruncatedNoTcp, now);
        }
        let outcome = Outcome {
            left_out: answer.1,
            bytes: message.len(),
            over_tcp: transport == Transport::Tcp,
            ..self.outcome(answer.0, Some(self.server(server)), now)
        };
        self.end(outcome);
    }

    /// Not all of the answer fitted. What did is kept for the case that no server gives more.
    fn truncated(
        &mut self,
        server: usize,
        transport: Transport,
        response: &Response<'_>,
        bytes: usize,
        now: Instant,
    ) {
        if let Ok(found) = targets::read(response, &self.wire_name)
            && self.partial.as_ref().map_or(0, |partial| partial.targets.len()) < found.targets.len()
        {
            let server = self.server(server);
            let Found { targets, left_out } = found;
            self.partial = Some(Partial { targets, left_out, server, bytes });
        }
        let no_tcp = self.servers.get(server).is_none_or(|server| server.no_tcp);
        if transport == Transport::Tcp || no_tcp || self.stream.is_some() {
            return self.refused(server, transport, SrvError::TruncatedNoTcp, now);
        }
        if let Transport::Udp(index) = transport {
            self.asked.remove(index);
        }
        self.stream = Some(Stream::new(server));
        self.actions.push_back(Action::Connect { server: self.server(server) });
        self.stage = Stage::Try { until: self.share(now, self.tries_left + 1) };
    }

    /// A server has answered, but not the question.
    fn refused(&mut self, server: usize, transport: Transport, why: SrvError, now: Instant) {
        match transport {
            Transport::Tcp => self.stream_failed(why, now),
            Transport::Udp(index) => {
                let current = self.stream.is_none() && index + 1 == self.asked.len();
                self.asked.remove(index);
                self.fail(server, why);
                match self.stage {
                    Stage::Try { .. } if current => self.next_try(now),
                    Stage::Linger { .. } => self.linger(now),
                    _ => {}
                }
            }
        }
    }

    /// Whether the server had been asked with EDNS; it no longer will be.
    fn drop_edns(&mut self, server: usize) -> bool {
        self.servers.get_mut(server).is_some_and(|server| std::mem::replace(&mut server.edns, false))
    }

    /// The same question to the same server once more, in the time of the same try.
    fn repeat(&mut self, server: usize, transport: Transport, now: Instant) {
        match transport {
            Transport::Tcp => self.send(now),
            Transport::Udp(index) => {
                self.asked.remove(index);
                self.ask(server, now);
            }
        }
    }
}
