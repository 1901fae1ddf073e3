//! Forecasts.

use jiff::Timestamp;
use reconciler_api::v1;
use reconciler_domain::forecast::{Arrival, Delay, Forecast, Need, NeedKind, When};
use reconciler_domain::id::StageName;

use super::explain::gate_kind;

/// Says a forecast on the wire.
pub(crate) fn forecast(forecast: &Forecast, until: &StageName) -> v1::Forecast {
    v1::Forecast {
        freight: forecast.freight.to_string(),
        stage: until.to_string(),
        earliest: forecast.path.last().and_then(earliest),
        path: forecast.path.iter().map(arrival).collect(),
    }
}

fn arrival(arrival: &Arrival) -> v1::ForecastStage {
    v1::ForecastStage {
        stage: arrival.stage.to_string(),
        since: match arrival.when {
            When::Since(at) => Some(at),
            When::Earliest(_) | When::Never => None,
        },
        earliest: earliest(arrival),
        delays: arrival.delays.iter().map(delay).collect(),
        needs: arrival.needs.iter().map(need).collect(),
    }
}

fn earliest(arrival: &Arrival) -> Option<Timestamp> {
    match arrival.when {
        When::Earliest(at) => Some(at),
        When::Since(_) | When::Never => None,
    }
}

fn delay(delay: &Delay) -> v1::ForecastDelay {
    v1::ForecastDelay {
        gate: gate_kind(delay.gate),
        policies: delay.policies.iter().map(ToString::to_string).collect(),
        from: delay.from,
        until: delay.until,
        message: delay.message.clone(),
    }
}

fn need(need: &Need) -> v1::ForecastNeed {
    v1::ForecastNeed {
        gate: need.gate.map(gate_kind),
        kind: match need.kind {
            NeedKind::Person => v1::NeedKind::Person,
            NeedKind::Unknown => v1::NeedKind::Unknown,
            NeedKind::Never => v1::NeedKind::Never,
        },
        message: need.message.clone(),
    }
}
