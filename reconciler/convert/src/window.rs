//! Windows of policies.

use reconciler_api::problem::FieldCode;
use reconciler_api::v1::{WindowAction, WindowRule};
use reconciler_domain::duration;
use reconciler_domain::window::{Action, Recurrence, Window, WindowKind, WindowSpec, Zone};

use crate::Fields;

/// Reads the windows of a policy.
pub fn parse_windows(fields: &mut Fields, rules: &[WindowRule]) -> Vec<Window> {
    let parse = |(at, rule): (usize, &WindowRule)| {
        let path = format!("windows[{at}]");
        let (field, kind, text) = which(fields, &path, rule)?;
        let spec = parse_spec(fields, &path, rule, (field, kind, text));
        match Window::new(spec?) {
            Ok(window) => Some(window),
            Err(error) => {
                let code = if error.never { FieldCode::NeverSatisfied } else { FieldCode::Invalid };
                let at = if error.field == "rule" { field } else { error.field };
                fields.add(&format!("{path}.{at}"), code, error.message);
                None
            }
        }
    };
    rules.iter().enumerate().filter_map(parse).collect()
}

type Which<'a> = (&'static str, WindowKind, &'a str);

fn which<'a>(fields: &mut Fields, path: &str, rule: &'a WindowRule) -> Option<Which<'a>> {
    if rule.name.is_empty() {
        fields.add(&format!("{path}.name"), FieldCode::Missing, "the name of the window");
    }
    match (&rule.allow, &rule.deny) {
        (Some(allow), None) => Some(("allow", WindowKind::Allow, allow)),
        (None, Some(deny)) => Some(("deny", WindowKind::Deny, deny)),
        (Some(_), Some(_)) => {
            let message = "a window either allows or denies; write two windows";
            fields.add(&format!("{path}.deny"), FieldCode::Conflicting, message);
            None
        }
        (None, None) => {
            let message = "a window has a rule: allow or deny";
            fields.add(&format!("{path}.allow"), FieldCode::Missing, message);
            None
        }
    }
}

fn parse_spec(
    fields: &mut Fields,
    path: &str,
    rule: &WindowRule,
    (field, kind, text): Which<'_>,
) -> Option<WindowSpec> {
    let at = |field: &str| format!("{path}.{field}");
    let recurrence = fields.parse::<Recurrence>(&at(field), FieldCode::BadRecurrence, text);
    let duration = fields.duration(&at("duration"), &rule.duration);
    let timezone = fields.parse::<Zone>(&at("timezone"), FieldCode::BadTimezone, &rule.timezone);
    let start = match rule.start.as_deref() {
        None => Some(None),
        Some(text) => fields
            .result(&at("start"), FieldCode::Invalid, reconciler_domain::window::local(text))
            .map(Some),
    };
    Some(WindowSpec {
        name: rule.name.clone(),
        kind,
        rule: recurrence?,
        start: start?,
        duration: duration?,
        timezone: timezone?,
        actions: rule.actions.iter().map(domain_action).collect(),
        groups: rule.groups.iter().cloned().collect(),
        exempt: rule.exempt.iter().cloned().collect(),
    })
}

/// The domain's name of what a window is about.
pub fn domain_action(action: &WindowAction) -> Action {
    match action {
        WindowAction::Promote => Action::Promote,
        WindowAction::Rollback => Action::Rollback,
        WindowAction::Bypass => Action::Bypass,
    }
}

/// The wire's name of what a window is about.
pub fn wire_action(action: &Action) -> WindowAction {
    match action {
        Action::Promote => WindowAction::Promote,
        Action::Rollback => WindowAction::Rollback,
        Action::Bypass => WindowAction::Bypass,
    }
}

/// Says a window on the wire.
pub fn window_rule(window: &Window) -> WindowRule {
    let spec = window.spec();
    let rule = || Some(spec.rule.to_string());
    let (allow, deny) = match spec.kind {
        WindowKind::Allow => (rule(), None),
        WindowKind::Deny => (None, rule()),
    };
    WindowRule {
        name: spec.name.clone(),
        allow,
        deny,
        duration: duration::print(spec.duration),
        timezone: spec.timezone.to_string(),
        start: spec.start.map(|start| start.to_string()),
        actions: spec.actions.iter().map(wire_action).collect(),
        groups: spec.groups.iter().cloned().collect(),
        exempt: spec.exempt.iter().cloned().collect(),
    }
}
