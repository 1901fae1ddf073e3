//! `lockstep_stage`.

use std::collections::BTreeMap;

use provider_protocol::Diagnostics;
use provider_protocol::cty::Value;
use provider_protocol::provider::{Field, Reader};
use provider_protocol::schema::{Block, NestedBlock};
use reconciler_api::v1::{
    self, Choose, DriftWatch, Request, RequestMatch, StageSpec, VerificationUse,
};
use reconciler_domain::expression::{Function, Names, Shape};
use reconciler_domain::id::{StageName, VerificationName, WarehouseName};

use super::steps;
use crate::attribute::{
    count, filled, filled_list, name_list, parsed, span, text_map, word, words,
};
use crate::form::{self, Keyed, Read as _};
use crate::managed::{Definition, Item, block};
use crate::place::Moved;

pub(crate) struct Stage;

impl Definition for Stage {
    type Object = v1::Stage;
    type Name = StageName;

    const TYPE_NAME: &'static str = "lockstep_stage";
    const DESCRIPTION: &'static str = "A place where freight is promoted to: which freight it \
        requests, the steps that bring it there, and the verifications that decide whether it \
        vouches for it. A stage without steps only passes freight on.";
    const PROTECTED: bool = true;
    const KEYED: Keyed = &[(&["request"], "warehouse"), (&["verification"], "name")];
    const MOVED: Moved = &[("requests", "request"), ("verifications", "verification")];

    fn fields() -> Vec<(&'static str, Item)> {
        let choose =
            word(words(Choose::ALL, Choose::as_str)).default(Choose::default().as_str()).describe(
                "Which of several candidates goes first. `latest`: the newest; a newer one \
                 supersedes one that has not started. `queue`: each in its order. \
                 `match_upstream`: what the upstream stage holds now.",
            );
        let vars = text_map().describe("Values that steps use as `vars.<name>`.");
        let settable_vars = filled_list().describe(
            "Names of `vars` to which a person may give another value for one promotion \
             (`lockstep promote --var`). Conditions of policies see that value.",
        );
        vec![
            ("vars", vars.into()),
            ("settable_vars", settable_vars.into()),
            ("labels", text_map().describe("Free names and values.").into()),
            ("choose", choose.into()),
            ("steps", steps::attribute("`vars`").into()),
            ("request", NestedBlock::list(request()).min(1).into()),
            ("verification", NestedBlock::list(verification()).into()),
            ("drift", NestedBlock::list(drift()).max(1).into()),
        ]
    }

    fn validate(config: &Reader<'_>, diags: &mut Diagnostics) {
        itself_is_no_upstream(config, diags);
        steps::validate(config, given(config), diags);
    }

    fn spec(value: &Reader<'_>) -> StageSpec {
        StageSpec {
            vars: value.text_map("vars"),
            settable_vars: value.texts("settable_vars"),
            requests: value.blocks("request").iter().map(request_spec).collect(),
            steps: value.blocks("steps").iter().map(steps::spec).collect(),
            verifications: value.blocks("verification").iter().map(verification_spec).collect(),
            choose: word_of(value, "choose"),
            labels: value.text_map("labels"),
            deletion_protection: value.flag("deletion_protection"),
            drift: value.block("drift").map(|drift| DriftWatch { every: drift.required("every") }),
        }
    }

    fn value(object: &v1::Stage) -> Value {
        let StageSpec {
            vars,
            settable_vars,
            requests,
            steps,
            verifications,
            choose,
            labels,
            deletion_protection,
            drift,
        } = &object.spec;
        Value::object([
            ("vars", form::text_map(vars)),
            ("settable_vars", form::texts(settable_vars)),
            ("labels", form::text_map(labels)),
            ("deletion_protection", (*deletion_protection).into()),
            ("choose", choose.as_str().into()),
            ("steps", steps::value(steps)),
            ("request", Value::list(requests.iter().map(request_value))),
            ("verification", Value::list(verifications.iter().map(verification_value))),
            ("drift", Value::list(drift.iter().map(drift_value))),
        ])
    }

    fn in_form_of(prior: &Value, read: Value) -> Value {
        let mut value = form::keep(read, prior, Self::KEYED);
        if let (Some(read), Some(before)) = (value.get("steps"), prior.get("steps")) {
            let kept = steps::keep_texts(read.clone(), before);
            value.set("steps", kept);
        }
        value
    }

    fn definition(spec: StageSpec) -> Option<v1::Definition> {
        Some(v1::Definition::Stage(spec))
    }
}

/// What a stage gives its steps. Which fields freight has is the warehouse's to say, and that is not known
/// without the daemon.
fn given(config: &Reader<'_>) -> Names {
    let mut names = steps::given().name("vars", vars(config));
    let warehouses = warehouses(config);
    if warehouses.as_ref().is_none_or(|warehouses| warehouses.len() == 1) {
        names = names.name("freight", Shape::Any);
    }
    let freight_from = match warehouses {
        Some(known) => {
            Function::by_name(known.into_iter().map(|name| (name, Shape::Any)).collect())
        }
        None => Function::new(1..=1, Shape::Any),
    };
    names.function("freight_from", freight_from)
}

fn vars(config: &Reader<'_>) -> Shape {
    match config.get("vars") {
        Value::Unknown(_) => Shape::Any,
        vars => {
            let names = vars.as_map().into_iter().flat_map(BTreeMap::keys);
            Shape::object(names.map(|name| (name.as_str(), Shape::Scalar)))
        }
    }
}

/// The requested warehouses; none if one of them is not known.
fn warehouses(config: &Reader<'_>) -> Option<Vec<String>> {
    if config.get("request").is_unknown() {
        return None;
    }
    let requests = config.blocks("request").into_iter();
    requests.map(|request| request.string("warehouse").known().map(str::to_owned)).collect()
}

/// A word of an enumeration; its default if it is not set.
fn word_of<T: std::str::FromStr + Default>(value: &Reader<'_>, name: &str) -> T {
    value.text(name).and_then(|word| word.parse().ok()).unwrap_or_default()
}

fn itself_is_no_upstream(config: &Reader<'_>, diags: &mut Diagnostics) {
    let Field::Known(name) = config.string("name") else { return };
    for request in config.blocks("request") {
        let from = request.get("from").as_list().unwrap_or_default();
        let itself = from.iter().position(|from| from.as_str() == Some(name));
        if let Some(which) = itself {
            diags.error_at(
                request.path_of("from").index(which),
                "Circle of stages",
                format!("Stage {name:?} would wait for itself: {name} -> {name}."),
            );
        }
    }
}

fn request() -> Block {
    block(vec![
        ("warehouse", parsed::<WarehouseName>().required().describe("Whose freight.").into()),
        (
            "from",
            name_list::<StageName>()
                .describe(
                    "The stages that must have verified it first. Default: none, it comes straight \
                     from the warehouse.",
                )
                .into(),
        ),
        (
            "match",
            word(words(RequestMatch::ALL, RequestMatch::as_str))
                .default(RequestMatch::default().as_str())
                .describe("How many of the stages in `from` must have verified it: `any`, `all`.")
                .into(),
        ),
        (
            "at_least",
            count(1)
                .describe(
                    "So many of the stages in `from` must have verified it, instead of `match`.",
                )
                .into(),
        ),
    ])
    .describe("A wish for the freight of one warehouse. One block per warehouse.")
}

fn verification() -> Block {
    block(vec![
        ("name", filled().required().describe("Its name in this stage.").into()),
        (
            "template",
            parsed::<VerificationName>()
                .required()
                .describe("The name of a `lockstep_verification`.")
                .into(),
        ),
        ("args", text_map().describe("Values that the template uses as `args.<name>`.").into()),
    ])
    .describe("What is measured after a promotion.")
}

fn drift() -> Block {
    block(vec![(
        "every",
        span()
            .required()
            .describe(
                "Time from the end of a look, or of a promotion, to the next look, a duration such as `6h`; at \
                 least `1m`, at most `30d`. Up to a tenth is added, so that stages are not looked at together.",
            )
            .into(),
    )])
    .describe(
        "Has the daemon look at the infra of the stage by itself: whether it is as the last applies of promotions left \
         it. A look plans with `-refresh-only`, changes nothing, takes no lock of the state, and waits for promotions. \
         What it finds is the condition `Undrifted` of the stage. With this block, drift which the plans of a promotion \
         would write over holds that promotion back, unless a policy says otherwise (`on_drift`).",
    )
}

fn drift_value(drift: &DriftWatch) -> Value {
    Value::object([("every", Value::from(&drift.every))])
}

fn request_spec(request: &Reader<'_>) -> Request {
    Request {
        warehouse: request.required("warehouse"),
        from: request.texts("from"),
        matching: word_of(request, "match"),
        at_least: request.count("at_least"),
    }
}

fn request_value(request: &Request) -> Value {
    let Request { warehouse, from, matching, at_least } = request;
    Value::object([
        ("warehouse", Value::from(warehouse)),
        ("from", form::texts(from)),
        ("match", matching.as_str().into()),
        ("at_least", (*at_least).into()),
    ])
}

fn verification_spec(used: &Reader<'_>) -> VerificationUse {
    VerificationUse {
        name: used.required("name"),
        template: used.required("template"),
        args: used.text_map("args"),
    }
}

fn verification_value(used: &VerificationUse) -> Value {
    let VerificationUse { name, template, args } = used;
    Value::object([
        ("name", Value::from(name)),
        ("template", template.into()),
        ("args", form::text_map(args)),
    ])
}
