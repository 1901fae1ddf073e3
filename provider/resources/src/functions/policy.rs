//! Functions over policies: the unit tests of them, without a daemon.
//!
//! A policy is given as the resource itself, `lockstep_promotion_policy.prod`, or as an object of the
//! same form. It is read by the parsers of the daemon and judged by the gates of the reconciler.

use provider_protocol::cty::{Type, Value, json};
use provider_protocol::provider::{Function, FunctionError, Parameter, Signature};
use reconciler_api::v1::{PolicySpec, WindowRule};
use reconciler_convert::{Fields, parse_policy, parse_windows};
use reconciler_domain::evaluate::{StatedFacts, StatedFreight, evaluate};
use reconciler_domain::gate::{Gate, Verdict, overall};
use reconciler_domain::window::{Action, Schedule, Window};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};
use std::collections::BTreeSet;

use crate::form;
use crate::words::sentence;

/// `window_open(window, time)`.
pub(crate) struct WindowOpen;

/// `evaluate_policy(policy, freight, facts)`.
pub(crate) struct EvaluatePolicy;

/// What a policy is called by its resource but not by the API, which has it elsewhere.
const NOT_OF_THE_SPEC: [&str; 7] =
    ["id", "name", "project", "impact", "adopt_existing", "deletion_protection", "timeouts"];
/// Blocks of which there are several, and the name of their list.
const LISTS: [(&str, &str); 7] = [
    ("approval", "approvals"),
    ("condition", "conditions"),
    ("rate", "rates"),
    ("ticket", "tickets"),
    ("attestation", "attestations"),
    ("window", "windows"),
    ("bypass", "bypass"),
];
/// Blocks of which there is one.
const SINGLE: [&str; 3] = ["stages", "infra", "rollback"];

impl Function for WindowOpen {
    fn name(&self) -> &'static str {
        "window_open"
    }

    fn signature(&self) -> Signature {
        let window = Parameter::new("window", Type::Dynamic).describe(
            "An object with the attributes of the block `window` of `lockstep_promotion_policy`, or \
             a list of them, such as `lockstep_promotion_policy.prod.window`.",
        );
        let time = Parameter::new("time", Type::String)
            .describe("An instant with its offset, such as `2026-07-06T09:00:00+02:00`.");
        Signature::new([window, time], Type::Bool).describe(
            "Whether windows let promotions through at an instant.",
            "Whether windows let promotions through at an instant: no window with `deny` runs, and \
             some window with `allow` runs or there is none. Windows that are about other actions, \
             or about certain groups only, are left out, as for a promotion of automation.",
        )
    }

    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError> {
        let [window, time] = arguments else {
            return Err(FunctionError::new("Write it as (window, time)."));
        };
        let at = time.as_str().unwrap_or_default().parse().map_err(|_| {
            let text = "It must be an instant such as 2026-07-06T09:00:00+02:00.";
            FunctionError::argument(1, text)
        })?;
        let given = match plain(window) {
            Json::Array(windows) => windows,
            window => vec![window],
        };
        let windows = windows(given).map_err(|text| FunctionError::argument(0, text))?;
        let schedule = Schedule::of([windows.as_slice()], Action::Promote, &BTreeSet::new());
        Ok(schedule.open_at(at).into())
    }
}

/// One window is told about without its index.
fn windows(given: Vec<Json>) -> Result<Vec<Window>, String> {
    let is_one = given.len() == 1;
    let mut rules = Vec::new();
    for window in given {
        rules.push(read::<WindowRule>(without_nulls(window))?);
    }
    let mut fields = Fields::default();
    let windows = parse_windows(&mut fields, &rules);
    fields.finish(Some(windows)).map_err(|problems| {
        let line = |path: &str, message: &str| {
            let path = if is_one { path.trim_start_matches("windows[0].") } else { path };
            format!("{path}: {}", sentence(message))
        };
        let lines: Vec<String> = problems.iter().map(|p| line(&p.path, &p.message)).collect();
        lines.join("\n")
    })
}

impl Function for EvaluatePolicy {
    fn name(&self) -> &'static str {
        "evaluate_policy"
    }

    fn signature(&self) -> Signature {
        let policy = Parameter::new("policy", Type::Dynamic)
            .allow_unknown()
            .describe("A policy: `lockstep_promotion_policy.prod`, or an object of the same form.");
        let freight = Parameter::new("freight", Type::Dynamic).describe(
            "Freight: `data.lockstep_freight.x`, or as much of the same form as matters, such as \
             `{ artifacts = { api = { tag = \"1.4.2\" } } }`.",
        );
        let facts = Parameter::new("facts", Type::Dynamic)
            .describe("Everything else: `at` and `stage`, and what of the following matters.");
        Signature::new([policy, freight, facts], result_type())
            .describe("What the gates of a policy say, without a daemon.", DESCRIPTION)
    }

    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError> {
        let [policy, freight, facts] = arguments else {
            return Err(FunctionError::new("Write it as (policy, freight, facts)."));
        };
        let refuse = |at: usize| move |text: String| FunctionError::argument(at, text);
        let Some(policy) = known_policy(policy) else { return Ok(Value::unknown()) };
        let spec = spec(policy).map_err(refuse(0))?;
        let name = "policy".parse().expect("a word is a name");
        let policy = parse_policy(name, &spec).map_err(|problems| {
            let line = |path: &str, message: &str| format!("{path}: {}", sentence(message));
            let lines: Vec<String> = problems.iter().map(|p| line(&p.path, &p.message)).collect();
            FunctionError::argument(0, lines.join("\n"))
        })?;
        let freight: StatedFreight = read(without_nulls(plain(freight))).map_err(refuse(1))?;
        let facts: StatedFacts = read(without_nulls(plain(facts))).map_err(refuse(2))?;
        let gates = evaluate(&policy, &freight, &facts)
            .map_err(|error| FunctionError::argument(2, sentence(&error.to_string())))?;
        Ok(judged(&gates))
    }
}

const DESCRIPTION: &str = "What the gates of a policy say of freight under stated facts, judged by \
the code of the reconciler: the unit test of a policy, for `terraform test`.

Facts:

- `at` (instant, required) When is judged.
- `stage` (text, required) The stage that the freight would go to; the policy must select it.
- `vars` (map of text) The stage's variables.
- `from` (list of text) Stages that the freight has to come from; without any it comes straight from \
its warehouse.
- `match_all` (true or false) Whether all of them have to vouch for it.
- `at_least` (number) How many of them have to, if it is neither one nor all.
- `requester` (text) Who asks for the promotion; without it, automation.
- `groups` (list of text) Their groups.
- `bypass` (list of text) The gates that they ask to skip.
- `approvals` (list of objects) Who approved: `by`, `groups`.
- `tickets` (map) What is answered when tickets are asked about, by name: `status`, `headers`, `body`, \
`json`, as much of it as matters.
- `attestations` (map) What attestations say, by name: what their `success` sees as `payload`.
- `policy_author` (text) Who changed the policy last.
- `prepared` (true or false) Whether it is known what the promotion will do. Default: `true`.
- `plans` (map) Infra plans by directory, as `jsondecode` of `terraform show -json` gives them.
- `commits` (list of objects) Promotions that committed before: `at`, `stage`, `over`.
- `hold` (text) Why automation is held on the stage.

The result has `verdict` (`pass`, `fail` or `unknown`), `earliest` (the earliest instant at which it \
can pass by time alone, or null), and `gates`: for each `gate`, `verdict`, `message`, `until` and \
`bypassed`. What is not stated is not known, and unknown never passes.";

const GATE_TEXTS: [&str; 4] = ["gate", "verdict", "message", "until"];

fn result_type() -> Type {
    let texts = GATE_TEXTS.map(|name| (name, Type::String));
    let gate = Type::object(texts.into_iter().chain([("bypassed", Type::Bool)]));
    Type::object([
        ("verdict", Type::String),
        ("earliest", Type::String),
        ("gates", Type::list(gate)),
    ])
}

fn judged(gates: &[Gate]) -> Value {
    let together = overall(gates);
    let gate = |gate: &Gate| {
        Value::object([
            ("gate", Value::from(gate.kind.name())),
            ("verdict", verdict(gate.verdict).into()),
            ("message", gate.message.as_str().into()),
            ("until", form::instant(gate.until)),
            ("bypassed", gate.bypassed.into()),
        ])
    };
    Value::object([
        ("verdict", Value::from(verdict(together.verdict))),
        ("earliest", form::instant(together.earliest)),
        ("gates", Value::list(gates.iter().map(gate))),
    ])
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Unknown => "unknown",
    }
}

/// The policy without what is not of its spec, and may be unknown in a plan; `None` while something
/// else is unknown.
fn known_policy(policy: &Value) -> Option<Json> {
    let policy = policy.undynamic();
    if let Some(fields) = policy.as_map() {
        let ours = fields.iter().filter(|(name, _)| !NOT_OF_THE_SPEC.contains(&name.as_str()));
        let known = ours.clone().all(|(_, value)| value.is_wholly_known());
        return known.then(|| ours.map(|(name, value)| (name.clone(), plain(value))).collect());
    }
    policy.is_wholly_known().then(|| plain(policy))
}

/// A policy that is given as the resource, as an object of the same form, or as that in JSON. The
/// error is a sentence.
pub(crate) fn policy_spec(policy: &Value) -> Result<PolicySpec, String> {
    match known_policy(policy) {
        Some(Json::String(text)) => {
            let policy = serde_json::from_str(&text);
            spec(policy.map_err(|error| format!("It must be a policy in JSON: {error}."))?)
        }
        Some(policy) => spec(policy),
        None => Err("It is not known yet.".to_owned()),
    }
}

/// The form of the resource as that of the API.
fn spec(policy: Json) -> Result<PolicySpec, String> {
    let Json::Object(fields) = without_nulls(policy) else {
        return Err("It must be a policy: a resource, or an object of the same form.".to_owned());
    };
    let mut spec = Map::new();
    for (name, value) in fields {
        if SINGLE.contains(&name.as_str()) {
            let one = match value {
                Json::Array(blocks) => blocks.into_iter().next(),
                block => Some(block),
            };
            let one = if name == "infra" { one.map(with_rules) } else { one };
            spec.extend(one.map(|one| (name, one)));
        } else if let Some((_, list)) = LISTS.iter().find(|(block, _)| *block == name) {
            spec.insert((*list).to_owned(), blocks(value));
        } else if !NOT_OF_THE_SPEC.contains(&name.as_str()) {
            spec.insert(name, value);
        }
    }
    read(Json::Object(spec))
}

/// Several blocks; one may be stated alone.
fn blocks(value: Json) -> Json {
    match value {
        blocks @ Json::Array(_) => blocks,
        block => Json::Array(vec![block]),
    }
}

/// The block `infra`, whose blocks `rule` are a list of the API.
fn with_rules(infra: Json) -> Json {
    let Json::Object(mut fields) = infra else { return infra };
    let rules = fields.remove("rule");
    fields.extend(rules.map(|rules| ("rules".to_owned(), blocks(rules))));
    Json::Object(fields)
}

fn read<T: DeserializeOwned>(value: Json) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| sentence(&error.to_string()))
}

fn plain(value: &Value) -> Json {
    json::to_plain(value)
}

/// What is null is as good as not there. Inside of infra plans and answers it has a meaning, and stays.
fn without_nulls(value: Json) -> Json {
    match value {
        Json::Object(fields) => {
            let there = fields.into_iter().filter(|(_, value)| !value.is_null());
            let kept = there.map(|(name, value)| {
                let kept = ["plans", "tickets", "attestations"].contains(&name.as_str());
                let value = if kept { value } else { without_nulls(value) };
                (name, value)
            });
            Json::Object(kept.collect())
        }
        Json::Array(items) => Json::Array(items.into_iter().map(without_nulls).collect()),
        other @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_)) => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(policy: &Json, freight: &Json, facts: &Json) -> String {
        let arguments = [policy, freight, facts].map(|value| Value::from(value).into_dynamic());
        match EvaluatePolicy.call(&arguments) {
            Ok(value) => {
                let value = plain(&value);
                let gates = value["gates"].as_array().cloned().unwrap_or_default();
                let text = |value: &Json| value.as_str().unwrap_or("-").to_owned();
                let gates: Vec<String> = gates
                    .iter()
                    .map(|gate| format!("{} {}", text(&gate["gate"]), text(&gate["verdict"])))
                    .collect();
                let (verdict, earliest) = (text(&value["verdict"]), text(&value["earliest"]));
                format!("{verdict} {earliest}: {}", gates.join(", "))
            }
            Err(error) => format!("{:?}: {}", error.argument, error.text),
        }
    }

    fn policy() -> Json {
        json!({
            "id": "shop/prod", "name": "prod", "impact": null, "mode": "gated", "soak": "24h",
            "stages": [{ "names": ["prod*"] }],
            "approval": [{ "group": "sre", "count": 1, "exclude": ["requester"] }],
            "window": [{ "name": "office", "allow": "FREQ=DAILY;BYHOUR=9", "duration": "7h",
                "timezone": "Europe/Berlin", "deny": null }],
            "condition": [], "rate": [], "infra": [], "rollback": [], "bypass": [],
        })
    }

    #[test]
    fn a_policy_is_judged_on_stated_facts() {
        let freight = json!({
            "artifacts": { "api": { "tag": "1.4.2" } },
            "stages": { "staging": { "verified_at": "2026-07-05T07:00:00Z" } },
        });
        let facts = |at: &str, approved: bool| {
            let approvals =
                if approved { json!([{ "by": "ada", "groups": ["sre"] }]) } else { json!([]) };
            json!({ "at": at, "stage": "prod", "from": ["staging"], "approvals": approvals })
        };
        assert_eq!(
            call(&policy(), &freight, &facts("2026-07-06T07:00:00Z", true)),
            "pass -: upstream pass, soak pass, window pass, approvals pass"
        );
        assert_eq!(
            call(&policy(), &freight, &facts("2026-07-06T06:00:00Z", true)),
            "fail 2026-07-06T07:00:00Z: upstream pass, soak fail, window fail, approvals pass"
        );
        assert_eq!(
            call(&policy(), &freight, &facts("2026-07-06T07:00:00Z", false)),
            "fail -: upstream pass, soak pass, window pass, approvals fail"
        );
    }

    #[test]
    fn infra_rules_judge_stated_plans() {
        let policy = |when: &str| {
            let rule = json!({ "name": "few", "when": when });
            json!({ "mode": "gated", "stages": { "names": ["prod"] }, "infra": [{ "rule": rule }] })
        };
        let facts = json!({ "at": "2026-07-06T07:00:00Z", "stage": "prod", "plans": { "infra": {
            "format_version": "1.2",
            "resource_changes": [{ "address": "a.b", "mode": "managed",
                "change": { "actions": ["delete"], "before": {}, "after": null } }],
        } } });
        let judged = |when: &str| call(&policy(when), &json!({}), &facts);
        assert_eq!(judged("summary.delete == 1"), "pass -: upstream pass, infra pass");
        let each = "changes.all(c, c.type != 'a')";
        assert_eq!(judged(each), "fail -: upstream pass, infra fail");
        assert_eq!(judged("changes[1].type == 'a'"), "unknown -: upstream pass, infra unknown");
        let told = judged("changes.");
        assert!(told.starts_with("Some(0): infra.rules[0].when: "), "{told}");
    }

    #[test]
    fn tickets_and_attestations_judge_stated_answers() {
        let policy = json!({
            "mode": "gated", "stages": { "names": ["prod"] },
            "ticket": [{ "name": "change", "url": "https://changes.example.com/1", "body": null,
                "success": "response.json.approved && response.json.version == freight.api.tag",
                "failure": "response.json.rejected" }],
            "attestation": { "name": "scan", "artifact": "api", "type": "scan", "key": null,
                "success": "payload.criticals == 0" },
        });
        let freight = json!({ "artifacts": { "api": { "tag": "1.4.2" } } });
        let judged = |version: &str, rejected: bool, payload: Json| {
            let answer = json!({ "approved": true, "version": version, "rejected": rejected });
            let facts = json!({ "at": "2026-07-06T07:00:00Z", "stage": "prod",
                "tickets": { "change": { "status": 200, "json": answer } },
                "attestations": payload });
            call(&policy, &freight, &facts)
        };
        let clean = json!({ "scan": { "criticals": 0 } });
        let says = |ticket: &str, scan: &str, all: &str| {
            format!("{all} -: upstream pass, ticket {ticket}, attestation {scan}")
        };
        assert_eq!(judged("1.4.2", false, clean.clone()), says("pass", "pass", "pass"));
        assert_eq!(judged("1.4.1", false, clean.clone()), says("unknown", "pass", "unknown"));
        assert_eq!(judged("1.4.2", true, clean), says("fail", "pass", "fail"));
        assert_eq!(judged("1.4.2", false, json!({})), says("pass", "unknown", "unknown"));
        let found = json!({ "scan": { "criticals": 1 } });
        assert_eq!(judged("1.4.2", false, found), says("pass", "fail", "fail"));
    }

    #[test]
    fn mistakes_are_told_at_their_argument() {
        let facts = json!({ "at": "2026-07-06T07:00:00Z", "stage": "prod" });
        let mut odd = policy();
        odd["soka"] = json!("24h");
        assert!(call(&odd, &json!({}), &facts).starts_with("Some(0): Unknown field `soka`"));
        let mut odd = policy();
        odd["window"][0]["timezone"] = json!("Berlin");
        let told = call(&odd, &json!({}), &facts);
        assert!(told.starts_with("Some(0): windows[0].timezone: There is no time zone"), "{told}");
        let told = call(&policy(), &json!({ "tag": "1" }), &facts);
        assert!(told.starts_with("Some(1): Unknown field `tag`"), "{told}");
        let told = call(&policy(), &json!({}), &json!({ "stage": "prod" }));
        assert!(told.starts_with("Some(2): Missing field `at`"), "{told}");
        let told =
            call(&policy(), &json!({}), &json!({ "at": "2026-07-06T07:00:00Z", "stage": "dev" }));
        assert_eq!(told, "Some(2): The policy does not select stage dev: it selects prod*.");
    }

    #[test]
    fn what_a_plan_does_not_know_yet_is_unknown() {
        let mut known = Value::from(&policy());
        known.set("impact", Value::unknown());
        let facts = json!({ "at": "2026-07-06T07:00:00Z", "stage": "prod" });
        let (freight, facts) = (Value::from(&json!({})), Value::from(&facts));
        let arguments = |policy: Value| [policy.into_dynamic(), freight.clone(), facts.clone()];
        assert!(EvaluatePolicy.call(&arguments(known.clone())).is_ok_and(|it| !it.is_unknown()));
        known.set("soak", Value::unknown());
        assert_eq!(EvaluatePolicy.call(&arguments(known)), Ok(Value::unknown()));
    }

    #[test]
    fn a_window_is_open_or_not() {
        let open = |window: Json, time: &str| {
            let arguments = [Value::from(&window).into_dynamic(), Value::from(time)];
            match WindowOpen.call(&arguments) {
                Ok(value) => plain(&value).to_string(),
                Err(error) => format!("{:?}: {}", error.argument, error.text),
            }
        };
        let office = json!({ "name": "office", "allow": "FREQ=DAILY;BYHOUR=9", "duration": "7h",
            "timezone": "Europe/Berlin" });
        assert_eq!(open(office.clone(), "2026-07-06T09:00:00+02:00"), "true");
        assert_eq!(open(json!([office.clone()]), "2026-07-06T06:59:59Z"), "false");
        // As the resource has it, with everything that the block leaves out.
        let mut held = office.clone();
        for left_out in ["deny", "start", "groups", "exempt"] {
            held[left_out] = Json::Null;
        }
        held["actions"] = json!(["promote"]);
        assert_eq!(open(json!([held]), "2026-07-06T07:00:00Z"), "true");
        assert!(open(office.clone(), "noon").starts_with("Some(1): It must be an instant"));
        let mut odd = office;
        odd["timezone"] = json!("+02:00");
        assert!(open(odd, "2026-07-06T07:00:00Z").starts_with("Some(0): timezone: "));
    }
}
