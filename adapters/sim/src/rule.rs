//! Faults on demand: rules that match requests by opcode and change what becomes of them.

use settee::wire::{Opcode, Status};
use std::time::Duration;

/// Changes one kind of request on one node, a number of times. See [`crate::Cluster::add_rule`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which operation; `None` is any.
    pub opcode: Option<Opcode>,
    /// How many matching requests pass untouched first.
    pub skip: u32,
    /// How many are changed then; `None` is all of them.
    pub times: Option<u32>,
    /// What happens to them.
    pub action: Action,
}

/// What a [`Rule`] does to a request or its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// The request is carried out, its answer is thrown away.
    DropAnswer,
    /// The request is neither carried out nor answered.
    Ignore,
    /// The answer is held back this long. Where the client did not negotiate unordered execution, or the operation
    /// is a barrier, later requests of the connection wait behind it, as they would behind a slow operation.
    Delay(Duration),
    /// The connection is closed and the request not carried out; answers before it are still sent.
    Close,
    /// The request is carried out and the connection closed without its answer: the ambiguous case.
    CloseWithoutAnswer,
    /// The connection is closed behind the answer.
    CloseAfterAnswer,
    /// The request is not carried out; the answer has this status and an empty body.
    Status(Status),
    /// The same with a body and datatype bits.
    StatusWithBody(Status, u8, Vec<u8>),
    /// The request is not carried out; these bytes are sent for an answer, whatever they are.
    Raw(Vec<u8>),
    /// These bytes are sent behind the answer.
    Append(Vec<u8>),
    /// These bytes are sent before the answer.
    Prepend(Vec<u8>),
    /// The answer is sent twice.
    Twice,
    /// Only this many bytes of the answer are sent.
    Truncate(usize),
    /// Sections of the answer are replaced.
    Edit(Box<Edit>),
}

/// Changes to the sections of an answer; what is `None` or empty stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// Another opcode.
    pub opcode: Option<u8>,
    /// Another status.
    pub status: Option<u16>,
    /// Another opaque.
    pub opaque: Option<u32>,
    /// Another CAS.
    pub cas: Option<u64>,
    /// Other datatype bits.
    pub datatype: Option<u8>,
    /// Other framing extras; the frame becomes a flexible one if they are not empty.
    pub framing_extras: Option<Vec<u8>>,
    /// Other extras.
    pub extras: Option<Vec<u8>>,
    /// Another key.
    pub key: Option<Vec<u8>>,
    /// Another value.
    pub value: Option<Vec<u8>>,
    /// Bytes behind the value, such as a trailing blank in a list of mechanisms.
    pub value_suffix: Vec<u8>,
}

impl Rule {
    /// A rule for every request of one operation.
    pub const fn new(opcode: Opcode, action: Action) -> Self {
        Self { opcode: Some(opcode), skip: 0, times: None, action }
    }

    /// A rule for every request.
    pub const fn any(action: Action) -> Self {
        Self { opcode: None, skip: 0, times: None, action }
    }

    /// Limits the rule to this many requests.
    #[must_use]
    pub const fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Lets this many matching requests pass first.
    #[must_use]
    pub const fn skip(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }
}

/// Finds the action for a request in a node's rules: the first that matches and is not used up.
pub(crate) fn take(rules: &mut Vec<Rule>, opcode: Opcode) -> Option<Action> {
    let mut index = 0;
    while let Some(rule) = rules.get_mut(index) {
        if rule.opcode.is_none_or(|wanted| wanted == opcode) {
            if rule.skip > 0 {
                rule.skip -= 1;
            } else {
                let action = rule.action.clone();
                match &mut rule.times {
                    Some(0 | 1) => {
                        rules.remove(index);
                    }
                    Some(times) => *times -= 1,
                    None => {}
                }
                return Some(action);
            }
        }
        index += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_skip_count_and_wear_out() {
        let mut rules =
            vec![Rule::new(Opcode::GET, Action::Twice).skip(1).times(2), Rule::any(Action::Ignore).times(1)];
        assert_eq!(take(&mut rules, Opcode::SET), Some(Action::Ignore));
        assert_eq!(take(&mut rules, Opcode::SET), None);
        let taken: Vec<_> = (0..4).map(|_| take(&mut rules, Opcode::GET)).collect();
        assert_eq!(taken, [None, Some(Action::Twice), Some(Action::Twice), None]);
        assert!(rules.is_empty());
    }
}
