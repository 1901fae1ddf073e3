//! Carries one call out as a daemon would, for tests that kill it meanwhile.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use reconciler_domain::id::{ProjectName, PromotionId, StageName, StepName};
use reconciler_domain::step::{Call, StepOutcome};
use reconciler_effects::http::EgressPolicy;
use reconciler_effects::sandbox::Settings;
use reconciler_effects::{Effects, EffectsConfig, RunContext, Workdir};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::sealing::OneKey;

/// What to carry out.
#[derive(Deserialize)]
struct Order {
    data_dir: PathBuf,
    project: ProjectName,
    stage: StageName,
    promotion: PromotionId,
    undo: bool,
    now: Timestamp,
    write: Vec<PathBuf>,
    step: StepName,
    call: Call,
    rebuild: Vec<(StepName, Call)>,
}

/// Carries out the order in the file; `None` if that failed in any way.
pub(crate) fn run(order: &str) -> Option<()> {
    let order: Order = serde_json::from_slice(&std::fs::read(order).ok()?).ok()?;
    let runtime = tokio::runtime::Runtime::new().ok()?;
    runtime.block_on(async {
        let effects = Effects::open(EffectsConfig {
            egress: EgressPolicy::with_private(),
            sandbox: Settings { write: order.write, ..Settings::default() },
            sealing: Arc::new(OneKey(1)),
            ..EffectsConfig::new(order.data_dir, [7; 32])
        });
        let cx = RunContext {
            project: order.project,
            stage: order.stage,
            promotion: order.promotion,
            workdir: if order.undo { Workdir::Undo } else { Workdir::Main },
            now: order.now,
        };
        let outcome = effects
            .ok()?
            .run(&cx, &order.step, &order.call, &order.rebuild, &CancellationToken::new())
            .await;
        matches!(outcome, Ok(StepOutcome::Done { .. })).then_some(())
    })
}
