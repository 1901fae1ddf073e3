//! What people wish for without saying it in full: the same promotion once more, or the same freight
//! further down.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{FreightId, PromotionId, StageName, WarehouseName};
use crate::promotion::{Phase, Promotion};
use crate::snapshot::{Defined, StageSnapshot};
use crate::stage::Stage;

/// What a promotion that is to be made once more had brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Again {
    /// Where to.
    pub stage: StageName,
    /// What.
    pub freight: FreightId,
    /// Freight of other warehouses that it brought along.
    pub along: Vec<FreightId>,
    /// Variables of the stage that it set.
    pub vars: BTreeMap<String, String>,
    /// Whether it went back.
    pub rollback: bool,
}

/// Why a promotion cannot be made once more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RerunError {
    /// It goes on.
    #[error(
        "promotion {promotion} is {phase}: wait for its end, or abort it, before it is made once more"
    )]
    NotOver {
        /// The promotion.
        promotion: PromotionId,
        /// Where it is.
        phase: &'static str,
    },
    /// It never was to change anything.
    #[error(
        "promotion {promotion} was a rehearsal; `lockstep plan {stage} --freight {freight}` shows once more what \
         it would do, `lockstep promote {stage} --freight {freight}` does it"
    )]
    Rehearsal {
        /// The promotion.
        promotion: PromotionId,
        /// Its stage.
        stage: StageName,
        /// Its freight, short.
        freight: String,
    },
}

/// Why nothing can be promoted further down.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DownstreamError {
    /// The stage holds nothing.
    #[error("nothing is in stage {stage}; name the freight to promote")]
    Empty {
        /// The stage.
        stage: StageName,
    },
    /// The stage holds freight of several warehouses.
    #[error("stage {stage} holds freight of several warehouses ({}); name one", warehouses.join(", "))]
    Several {
        /// The stage.
        stage: StageName,
        /// Whose.
        warehouses: Vec<String>,
    },
    /// No stage takes the freight from there.
    #[error("no stage takes freight of warehouse {warehouse} from stage {stage}")]
    Last {
        /// The stage.
        stage: StageName,
        /// Whose freight.
        warehouse: WarehouseName,
    },
}

/// A person's wish to make a promotion once more.
///
/// # Errors
/// It is not over.
pub fn rerun(promotion: &Promotion, phase: Phase) -> Result<Again, RerunError> {
    if promotion.rehearsal {
        return Err(RerunError::Rehearsal {
            promotion: promotion.id.clone(),
            stage: promotion.stage.clone(),
            freight: promotion.freight.short().to_owned(),
        });
    }
    match phase {
        Phase::Ended(_) => Ok(Again {
            stage: promotion.stage.clone(),
            freight: promotion.freight.clone(),
            along: promotion.along.values().cloned().collect(),
            vars: promotion.vars.clone(),
            rollback: promotion.rollback,
        }),
        Phase::Preparing
        | Phase::Waiting
        | Phase::Committing
        | Phase::Verifying
        | Phase::Unwinding => {
            Err(RerunError::NotOver { promotion: promotion.id.clone(), phase: phase.label() })
        }
    }
}

/// Whether this freight is older than what is in the stage now, and the stage vouches for it: only then
/// may a promotion of it be taken for a rollback.
#[must_use]
pub fn goes_back(stage: &StageSnapshot, freight: &FreightId) -> bool {
    let there = stage.companions();
    let known = stage.freight.iter().find(|known| known.freight.id == *freight);
    known.is_some_and(|known| {
        let now = there.get(&known.freight.warehouse);
        now.is_some_and(|now| known.freight.sequence < now.sequence)
            && known.verified_in.contains_key(&stage.stage.spec.name)
    })
}

/// The freight that goes further down where none is named: what is in the stage.
///
/// # Errors
/// There is none, or of several warehouses.
pub fn what_is_there(stage: &StageSnapshot) -> Result<&FreightId, DownstreamError> {
    let name = || stage.stage.spec.name.clone();
    let mut there = stage.current.iter();
    match (there.next(), there.next()) {
        (None, _) => Err(DownstreamError::Empty { stage: name() }),
        (Some((_, freight)), None) => Ok(freight),
        (Some(_), Some(_)) => Err(DownstreamError::Several {
            stage: name(),
            warehouses: stage.current.keys().map(ToString::to_string).collect(),
        }),
    }
}

/// The stages to which freight of a warehouse goes next from a stage: those that take it from there, in
/// the order of their names. A stage without steps passes it on by itself, so those behind it count.
///
/// # Errors
/// There are none.
pub fn downstream(
    stages: &BTreeMap<StageName, Defined<Stage>>,
    from: &StageName,
    warehouse: &WarehouseName,
) -> Result<Vec<StageName>, DownstreamError> {
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::from([from]);
    let mut behind = vec![from];
    while let Some(upstream) = behind.pop() {
        let takes = |stage: &&Stage| {
            stage.request(warehouse).is_some_and(|request| request.from.contains(upstream))
        };
        for stage in stages.values().map(|stage| &stage.spec).filter(takes) {
            if stage.is_control_flow() {
                if seen.insert(&stage.name) {
                    behind.push(&stage.name);
                }
            } else {
                found.insert(stage.name.clone());
            }
        }
    }
    if found.is_empty() {
        let (stage, warehouse) = (from.clone(), warehouse.clone());
        return Err(DownstreamError::Last { stage, warehouse });
    }
    Ok(found.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(name: &str, from: &[&str], steps: bool) -> (StageName, Defined<Stage>) {
        let steps = match steps {
            true => serde_json::json!([{ "name": "stop", "uses": "fail", "config": {} }]),
            false => serde_json::json!([]),
        };
        let spec: Stage = serde_json::from_value(serde_json::json!({
            "name": name, "labels": {}, "vars": {}, "steps": steps, "verifications": [],
            "requests": [{ "warehouse": "shop", "direct": from.is_empty(), "from": from, "matching": "any" }],
            "choose": "latest",
        }))
        .expect("a stage");
        let (generation, changed_at) = (1, jiff::Timestamp::UNIX_EPOCH);
        let changed_by = crate::id::Principal::Automation;
        (spec.name.clone(), Defined { spec, generation, changed_at, changed_by })
    }

    fn check(from: &str, warehouse: &str, expect: &str) {
        let stages = BTreeMap::from([
            stage("dev", &[], true),
            stage("gate", &["dev"], false),
            stage("wall", &["gate"], false),
            stage("qa", &["dev", "gate"], true),
            stage("eu", &["wall"], true),
            stage("us", &["wall", "eu"], true),
        ]);
        let (from, warehouse) =
            (from.parse().expect("a stage"), warehouse.parse().expect("a name"));
        let found = match downstream(&stages, &from, &warehouse) {
            Ok(found) => found.iter().map(StageName::as_str).collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expect, "behind {from}");
    }

    #[test]
    fn stages_without_steps_are_looked_through() {
        check("dev", "shop", "eu qa us");
        check("wall", "shop", "eu us");
        check("eu", "shop", "us");
        check("us", "shop", "no stage takes freight of warehouse shop from stage us");
        check("dev", "data", "no stage takes freight of warehouse data from stage dev");
    }
}
