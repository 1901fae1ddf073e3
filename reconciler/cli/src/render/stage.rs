//! Stages.

use std::collections::BTreeMap;

use jiff::Timestamp;
use reconciler_api::v1::{CurrentFreight, Request, RequestMatch, Stage, Step};

use super::age::{age, age_or_dash};
use super::gates::{holds, waiting};
use super::objects::{conditions, definition, ready};
use super::{Show, joined, or_dash, section, short};

impl Show for Stage {
    const HEADER: &'static [&'static str] =
        &["NAME", "READY", "FREIGHT", "PROMOTION", "WAITS FOR", "AGE"];

    fn row(&self, now: Timestamp) -> Vec<String> {
        let Self { meta, status, .. } = self;
        let promotion = status.promotion.as_ref().map(|it| format!("{} {}", it.id, it.phase));
        vec![
            meta.name.clone(),
            ready(meta),
            joined(status.current.values().map(|it| short(&it.freight).to_owned())),
            or_dash(promotion),
            joined(status.waiting.iter().map(|it| it.reason.clone())),
            age(meta.created_at, now),
        ]
    }

    fn details(&self, now: Timestamp) -> Vec<String> {
        let Self { meta, spec, status } = self;
        vec![
            section(
                "requests",
                &["WAREHOUSE", "FROM"],
                spec.requests.iter().map(request).collect(),
            ),
            section("steps", &["NAME", "USES"], spec.steps.iter().map(step).collect()),
            current(&status.current, now),
            holds(&status.holds),
            waiting(&status.waiting),
            definition(meta, now),
            conditions(meta),
        ]
    }
}

fn request(request: &Request) -> Vec<String> {
    let Request { warehouse, from, matching, at_least } = request;
    let separator = match matching {
        RequestMatch::Any => " or ",
        RequestMatch::All => " and ",
    };
    let from = match at_least {
        _ if from.is_empty() => "the warehouse".to_owned(),
        Some(count) => format!("at least {count} of {}", from.join(", ")),
        None => from.join(separator),
    };
    vec![warehouse.clone(), from]
}

fn step(step: &Step) -> Vec<String> {
    vec![step.name.clone(), step.uses.clone()]
}

/// The freight that a stage holds.
pub(super) fn current(current: &BTreeMap<String, CurrentFreight>, now: Timestamp) -> String {
    let row = |(warehouse, it): (&String, &CurrentFreight)| {
        vec![
            warehouse.clone(),
            short(&it.freight).to_owned(),
            age(it.entered_at, now),
            age_or_dash(it.verified_at, now),
            or_dash(it.promotion.clone()),
        ]
    };
    let header = ["WAREHOUSE", "FREIGHT", "HERE FOR", "VERIFIED FOR", "PROMOTION"];
    section("holds", &header, current.iter().map(row).collect())
}
