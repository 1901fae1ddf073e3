//! Approvals for which there are not enough people.

use super::Warning;
use crate::policy::Policy;
use crate::preview::People;

/// Groups of which more people are asked than there are.
pub(super) fn of_policy(new: &Policy, people: &People) -> Vec<Warning> {
    let asked = new.approvals.iter().enumerate();
    let few = asked.filter_map(|(at, asked)| {
        let there = people.of_group(&asked.group);
        if usize::try_from(asked.count).is_ok_and(|asked| asked <= there) {
            return None;
        }
        // Who they are is for administrators to know.
        let who = match there {
            0 => "nobody has a token with that group".to_owned(),
            1 => "only one person has a token with that group".to_owned(),
            several => format!("only {several} people have tokens with that group"),
        };
        Some(Warning {
            change: 0,
            path: format!("approvals[{at}].count"),
            summary: "There are not enough people to approve".to_owned(),
            detail: format!(
                "Policy {} asks for {} of group {}, but {who}: until there are more, nothing that it \
                 guards can be promoted.",
                new.name, asked.count, asked.group,
            ),
        })
    });
    few.collect()
}
