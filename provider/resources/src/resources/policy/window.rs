//! The blocks `window` of a policy.

use provider_protocol::cty::Value;
use provider_protocol::provider::Reader;
use provider_protocol::schema::Block;
use reconciler_api::v1::{WindowAction, WindowRule};
use reconciler_domain::window::Recurrence;

use crate::attribute::{filled, filled_list, local_time, parsed, span, word_list, words, zone};
use crate::form::{self, Read as _};
use crate::managed::block;

/// The block.
pub(super) fn window() -> Block {
    block(vec![
        ("name", filled().required().describe("Its name in this policy.").into()),
        (
            "allow",
            parsed::<Recurrence>()
                .describe(
                    "When it opens: a recurrence rule of RFC 5545, `HOURLY` to `YEARLY`, such as \
                     `FREQ=WEEKLY;BYDAY=MO,TU,WE,TH;BYHOUR=9`. Set this or `deny`.",
                )
                .into(),
        ),
        (
            "deny",
            parsed::<Recurrence>()
                .describe("When it closes, whatever allow windows say: a recurrence rule.")
                .into(),
        ),
        (
            "duration",
            span()
                .required()
                .describe(
                    "How long each occurrence lasts, in elapsed time: on the day the clocks change, \
                     too. At most `366d`.",
                )
                .into(),
        ),
        (
            "timezone",
            zone()
                .required()
                .describe("The IANA name of the zone that the rule is about: `Europe/Berlin`.")
                .into(),
        ),
        (
            "start",
            local_time()
                .describe(
                    "From when on, in local time, such as `2026-01-05T09:00:00`. Rules with \
                     `COUNT` or `INTERVAL` need it; it also says what a rule leaves out.",
                )
                .into(),
        ),
        (
            "actions",
            word_list(words(WindowAction::ALL, WindowAction::as_str))
                .default(Value::list(["promote"]))
                .describe(
                    "What it is about: `promote`, the commit of a promotion; `rollback`, the undo \
                     of a failed one; `bypass`, skipping a gate by right.",
                )
                .into(),
        ),
        (
            "groups",
            filled_list()
                .describe(
                    "Whom it is about: promotions that a member of one of these groups asked for. \
                     Without it: all, those of automation too.",
                )
                .into(),
        ),
        ("exempt", filled_list().describe("Groups whose members it is not about.").into()),
    ])
    .describe(
        "A gate: when promotions may commit. They may while no window with `deny` runs, and some \
         window with `allow` runs or there is none.",
    )
}

/// What the block says.
pub(crate) fn window_rule(window: &Reader<'_>) -> WindowRule {
    WindowRule {
        name: window.required("name"),
        allow: window.text("allow"),
        deny: window.text("deny"),
        duration: window.required("duration"),
        timezone: window.required("timezone"),
        start: window.text("start"),
        actions: if window.get("actions").is_null() {
            vec![WindowAction::Promote]
        } else {
            window.words("actions")
        },
        groups: window.texts("groups"),
        exempt: window.texts("exempt"),
    }
}

pub(super) fn window_value(window: &WindowRule) -> Value {
    let WindowRule { name, allow, deny, duration, timezone, start, actions, groups, exempt } =
        window;
    Value::object([
        ("name", name.into()),
        ("allow", allow.clone().into()),
        ("deny", deny.clone().into()),
        ("duration", duration.into()),
        ("timezone", timezone.into()),
        ("start", start.clone().into()),
        ("actions", form::texts(actions)),
        ("groups", form::texts(groups)),
        ("exempt", form::texts(exempt)),
    ])
}
