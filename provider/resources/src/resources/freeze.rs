//! `lockstep_freeze`, and what `lockstep_instance_freeze` shares with it.

use provider_protocol::Diagnostics;
use provider_protocol::cty::Value;
use provider_protocol::provider::Reader;
use provider_protocol::schema::{Block, NestedBlock};
use reconciler_api::v1::{self, FreezeExceptions, FreezeSpec, FreezeWindow, WindowAction};
use reconciler_domain::id::FreezeName;
use reconciler_domain::window::{Recurrence, local};
use reconciler_domain::{duration, freeze};

use crate::attribute::{
    filled, filled_list, instant, local_time, parsed, span, stage_globs, word_list, words, zone,
};
use crate::form::{self, Keyed, Read as _};
use crate::managed::{Definition, Item, block};
use crate::place::Moved;
use crate::words::sentence;

const EXCEPTIONS: [&str; 3] = ["stages", "principals", "groups"];

pub(crate) struct Freeze;

impl Definition for Freeze {
    type Object = v1::Freeze;
    type Name = FreezeName;

    const TYPE_NAME: &'static str = "lockstep_freeze";
    const DESCRIPTION: &'static str = "A time in which nothing happens in a project, whatever its \
        policies say: promotions are prepared and approved, and wait. It has a reason, maybe an \
        end, and exceptions; no right to skip gates skips it. What fails is undone all the same, \
        unless the freeze is about `rollback`. Destroying the resource ends the freeze.";
    const KEYED: Keyed = &[];
    const MOVED: Moved = &[("window", "window[0]"), ("except", "except[0]")];

    fn fields() -> Vec<(&'static str, Item)> {
        fields(except(Vec::new()))
    }

    fn validate(config: &Reader<'_>, diags: &mut Diagnostics) {
        validate(config, &EXCEPTIONS, diags);
    }

    fn spec(value: &Reader<'_>) -> FreezeSpec {
        spec(value)
    }

    fn value(object: &v1::Freeze) -> Value {
        let excepts = object.spec.except != FreezeExceptions::default();
        value(&object.spec, excepts.then(|| Value::object(except_values(&object.spec.except))))
    }

    fn definition(spec: FreezeSpec) -> Option<v1::Definition> {
        Some(v1::Definition::Freeze(spec))
    }
}

/// What a freeze has, of a project or of all of them.
pub(super) fn fields(except: Block) -> Vec<(&'static str, Item)> {
    let from = instant().describe(
        "When it begins, such as `2030-12-20T00:00:00Z`. Without it, as soon as it is there.",
    );
    let until = instant()
        .describe("When it ends by itself. Without it, it lasts until the resource is destroyed.");
    let actions = word_list(words(WindowAction::ALL, WindowAction::as_str))
        .default(Value::list(["promote", "bypass"]))
        .describe(
            "What it is about: `promote`, the commit of a promotion; `rollback`, the undo of a \
             failed one, and going back; `bypass`, skipping a gate by right.",
        );
    vec![
        ("reason", filled().required().describe("Why; whoever it stops reads it.").into()),
        ("from", from.into()),
        ("until", until.into()),
        ("window", NestedBlock::list(window()).max(1).into()),
        ("actions", actions.into()),
        ("except", NestedBlock::list(except).max(1).into()),
    ]
}

/// Checks a freeze that can except these.
pub(super) fn validate(config: &Reader<'_>, exceptions: &[&str], diags: &mut Diagnostics) {
    let at = |name| config.instant(name);
    if let (Some(from), Some(until)) = (at("from"), at("until"))
        && until <= from
    {
        let text = "It is not after `from`: the freeze would never run.";
        diags.error_at(config.path_of("until"), "A freeze has to run", text);
    }
    if matches!(config.get("actions"), Value::List(actions) if actions.is_empty()) {
        let text = "Name what it is about, or leave it out.";
        diags.error_at(config.path_of("actions"), "A freeze is about something", text);
    }
    for except in config.blocks("except") {
        let says_nothing = |name: &&str| match except.get(name) {
            Value::Null => true,
            Value::List(items) => items.is_empty(),
            _ => false,
        };
        if exceptions.iter().all(says_nothing) {
            let names: Vec<String> = exceptions.iter().map(|name| format!("`{name}`")).collect();
            let text = format!("Set {}, or leave the block out.", any_of(&names));
            diags.error_at(except.path().clone(), "Nothing is excepted", text);
        }
    }
    for window in config.blocks("window") {
        runs(&window, diags);
    }
}

/// `a`, `b` or `c`.
fn any_of(names: &[String]) -> String {
    match names {
        [before @ .., last] if !before.is_empty() => format!("{} or {last}", before.join(", ")),
        names => names.concat(),
    }
}

/// What both kinds of freezes say.
pub(super) fn spec(value: &Reader<'_>) -> FreezeSpec {
    let spec = FreezeSpec::default();
    FreezeSpec {
        reason: value.required("reason"),
        from: value.instant("from"),
        until: value.instant("until"),
        window: value.block("window").map(|window| window_spec(&window)),
        actions: if value.get("actions").is_null() { spec.actions } else { value.words("actions") },
        except: value.block("except").map(|it| except_spec(&it)).unwrap_or_default(),
    }
}

/// The same as a value, with what it excepts.
pub(super) fn value(spec: &FreezeSpec, except: Option<Value>) -> Value {
    let FreezeSpec { reason, from, until, window, actions, except: _ } = spec;
    Value::object([
        ("reason", reason.into()),
        ("from", form::instant(*from)),
        ("until", form::instant(*until)),
        ("window", Value::list(window.iter().map(window_value))),
        ("actions", form::texts(actions)),
        ("except", Value::list(except)),
    ])
}

fn window() -> Block {
    let rule = parsed::<Recurrence>().required().describe(
        "When it begins: a recurrence rule of RFC 5545, `HOURLY` to `YEARLY`, such as \
         `FREQ=WEEKLY;BYDAY=FR;BYHOUR=16`.",
    );
    let duration = span().required().describe(
        "How long each occurrence lasts, in elapsed time: on the day the clocks change, too. At \
         most `366d`.",
    );
    let timezone = zone()
        .required()
        .describe("The IANA name of the zone that the rule is about: `Europe/Berlin`.");
    let start = local_time().describe(
        "From when on, in local time, such as `2026-01-05T09:00:00`. Rules with `COUNT` or \
         `INTERVAL` need it; it also says what a rule leaves out.",
    );
    block(vec![
        ("rule", rule.into()),
        ("duration", duration.into()),
        ("timezone", timezone.into()),
        ("start", start.into()),
    ])
    .describe("When it runs between `from` and `until`. Without it: all the time.")
}

/// What goes on, beside what `more` names.
pub(super) fn except(more: Vec<(&'static str, Item)>) -> Block {
    let stages = stage_globs().describe("Names or globs of stages.");
    let principals =
        filled_list().describe("Names of tokens: the promotions that they ask for go on.");
    let groups = filled_list().describe("Groups: the promotions that their members ask for go on.");
    let common: [(&'static str, Item); 3] =
        [("stages", stages.into()), ("principals", principals.into()), ("groups", groups.into())];
    block(more.into_iter().chain(common).collect())
        .describe("What goes on all the same: whatever one of these names.")
}

/// A window that never runs is told here; what a parser refuses, by the schema's own check.
fn runs(window: &Reader<'_>, diags: &mut Diagnostics) {
    if !window.value().is_wholly_known() {
        return;
    }
    let FreezeWindow { rule, duration: lasts, timezone, start } = window_spec(window);
    let (Ok(rule), Ok(lasts), Ok(zone)) = (rule.parse(), duration::parse(&lasts), timezone.parse())
    else {
        return;
    };
    let start = match start.as_deref().map(local) {
        Some(Err(_)) => return,
        Some(Ok(start)) => Some(start),
        None => None,
    };
    if let Err(error) = freeze::window(rule, start, lasts, zone) {
        let text = sentence(&error.message);
        diags.error_at(window.path_of(error.field), "Window cannot be", text);
    }
}

fn window_spec(window: &Reader<'_>) -> FreezeWindow {
    FreezeWindow {
        rule: window.required("rule"),
        duration: window.required("duration"),
        timezone: window.required("timezone"),
        start: window.text("start"),
    }
}

fn window_value(window: &FreezeWindow) -> Value {
    let FreezeWindow { rule, duration, timezone, start } = window;
    Value::object([
        ("rule", rule.into()),
        ("duration", duration.into()),
        ("timezone", timezone.into()),
        ("start", start.clone().into()),
    ])
}

fn except_spec(except: &Reader<'_>) -> FreezeExceptions {
    FreezeExceptions {
        stages: except.texts("stages"),
        principals: except.texts("principals"),
        groups: except.texts("groups"),
    }
}

pub(super) fn except_values(except: &FreezeExceptions) -> [(&'static str, Value); 3] {
    let FreezeExceptions { stages, principals, groups } = except;
    [
        ("stages", form::texts(stages)),
        ("principals", form::texts(principals)),
        ("groups", form::texts(groups)),
    ]
}
