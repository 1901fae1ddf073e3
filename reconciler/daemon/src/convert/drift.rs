//! Drift, as the API says it.

use reconciler_api::v1::{
    self, DriftAction, DriftOutline, DriftStanding, DriftedAttribute, DriftedResource, StageDrift,
};
use reconciler_domain::drift::{
    Basis, DriftRecord, DriftSnapshot, DriftSummary, Found, Standing, StateDrift,
};
use reconciler_domain::duration;
use reconciler_domain::infra::{Action, AttributeChange, Drift};

/// What is known of a stage's drift: of each of its states as the last apply left it.
pub(crate) fn stage_drift(snapshot: &DriftSnapshot) -> StageDrift {
    let record = snapshot.record.as_ref();
    let states: Vec<v1::StateDrift> =
        snapshot.bases.iter().map(|basis| state_drift(basis, record)).collect();
    let standing = over_all(&states, record.is_some());
    StageDrift {
        stage: snapshot.stage.name.to_string(),
        every: snapshot.stage.drift.map(|watch| duration::print(watch.every)),
        standing,
        message: message(snapshot, standing),
        looked_at: record.map(|record| record.ended_at),
        next_look_at: snapshot.due(),
        asked: snapshot.is_asked(),
        waits_for: snapshot.slot.as_ref().map(ToString::to_string),
        states,
    }
}

fn over_all(states: &[v1::StateDrift], looked: bool) -> DriftStanding {
    let any = |standing| states.iter().any(|state| state.standing == standing);
    if any(DriftStanding::Drifted) {
        DriftStanding::Drifted
    } else if any(DriftStanding::Unknown) || (looked && any(DriftStanding::Unseen)) {
        DriftStanding::Unknown
    } else if states.is_empty() || any(DriftStanding::Unseen) {
        DriftStanding::Unseen
    } else {
        DriftStanding::Clean
    }
}

fn message(snapshot: &DriftSnapshot, standing: DriftStanding) -> String {
    match (standing, &snapshot.record) {
        (DriftStanding::Unseen, _) | (_, None) if snapshot.bases.is_empty() => {
            "no promotion applied infra here".to_owned()
        }
        (DriftStanding::Unseen, _) | (_, None) => "nobody looked yet".to_owned(),
        (_, Some(record)) => {
            let current = |state: &&StateDrift| {
                snapshot.bases.iter().any(|basis| basis.plan.state_key() == state.state)
            };
            let states = record.states.iter().filter(current).cloned().collect();
            DriftRecord { states, ..record.clone() }.describe()
        }
    }
}

fn state_drift(basis: &Basis, record: Option<&DriftRecord>) -> v1::StateDrift {
    let key = basis.plan.state_key();
    let mut looked = record.into_iter().flat_map(|record| &record.states);
    let looked = looked.find(|state| state.state == key);
    let (standing, why, drifted) = match looked {
        None => (DriftStanding::Unseen, None, None),
        Some(state) if state.outdated_by.is_some() || !state.is_of(basis) => {
            let why = format!("not looked at since promotion {} applied it", basis.promotion);
            (DriftStanding::Unknown, Some(why), None)
        }
        Some(state) => match &state.found {
            Found::Clean => (DriftStanding::Clean, None, None),
            Found::Drifted(summary) => (DriftStanding::Drifted, None, Some(summary)),
            Found::Unknown { why, before } => {
                (DriftStanding::Unknown, Some(why.clone()), before.as_ref())
            }
        },
    };
    let DriftSummary { resources, outputs, more: _ } = drifted.cloned().unwrap_or_default();
    v1::StateDrift {
        state: key.name().to_owned(),
        workspace: key.workspace().to_owned(),
        dir: basis.plan.dir.clone(),
        promotion: basis.promotion.to_string(),
        step: basis.step.to_string(),
        standing,
        why,
        resources: resources.iter().map(resource).collect(),
        outputs: outputs.into_iter().collect(),
    }
}

fn resource(drift: &Drift) -> DriftedResource {
    let attribute = |attribute: &AttributeChange| {
        let AttributeChange { name, before, after } = attribute.clone();
        DriftedAttribute { name, before, after }
    };
    DriftedResource {
        address: drift.address.to_string(),
        action: match drift.action {
            Action::Delete => DriftAction::Deleted,
            Action::Forget => DriftAction::Lost,
            Action::Create | Action::Update | Action::Replace | Action::NoOp | Action::Read => {
                DriftAction::Changed
            }
        },
        attributes: drift.attributes.iter().map(attribute).collect(),
        configured: drift.configured,
    }
}

/// What the last look found, in short.
pub(crate) fn drift_outline(record: &DriftRecord) -> DriftOutline {
    DriftOutline {
        standing: match record.standing() {
            Standing::Clean => DriftStanding::Clean,
            Standing::Unknown => DriftStanding::Unknown,
            Standing::Drifted => DriftStanding::Drifted,
        },
        message: record.describe(),
        looked_at: Some(record.ended_at),
    }
}
