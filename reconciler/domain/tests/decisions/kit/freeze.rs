//! Freezes, in the words of scenarios.

use reconciler_domain::duration;
use reconciler_domain::freeze::{Exceptions, Freeze, Reach, actions_default};
use reconciler_domain::window::Action;

use super::world::World;

/// A freeze of the words `from 1h`, `until 3h`, `about rollback,promote`, `reach instance`,
/// `but STAGE|@GROUP|=NAME|/PROJECT`, in any order.
pub(crate) fn freeze(world: &World, name: &str, words: &[&str]) -> Freeze {
    let mut freeze = Freeze {
        name: name.parse().expect("a name"),
        reach: Reach::Project,
        reason: "books close".to_owned(),
        from: None,
        until: None,
        window: None,
        actions: actions_default(),
        except: Exceptions::default(),
    };
    let after = |time: &str| Some(world.now + duration::parse(time).expect("a duration"));
    for pair in words.chunks(2) {
        match pair {
            ["from", time] => freeze.from = after(time),
            ["until", time] => freeze.until = after(time),
            ["about", actions] => freeze.actions = actions.split(',').map(action).collect(),
            ["reach", "instance"] => freeze.reach = Reach::Instance,
            ["but", whom] => except(&mut freeze.except, whom),
            other => panic!("unknown words {other:?}"),
        }
    }
    freeze
}

fn action(word: &str) -> Action {
    let all = [Action::Promote, Action::Rollback, Action::Bypass];
    all.into_iter().find(|action| action.name() == word).expect("an action")
}

fn except(except: &mut Exceptions, whom: &str) {
    if let Some(project) = whom.strip_prefix('/') {
        except.projects.push(project.to_owned());
        return;
    }
    match (whom.strip_prefix('@'), whom.strip_prefix('=')) {
        (Some(group), _) => drop(except.groups.insert(group.to_owned())),
        (None, Some(name)) => drop(except.principals.insert(name.to_owned())),
        (None, None) => except.stages.push(whom.to_owned()),
    }
}
