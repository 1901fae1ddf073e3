//! What a project holds.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use indexmap::IndexMap;
use jiff::Timestamp;
use reconciler_domain::freight::{Freight, FreightFacts, Stay};
use reconciler_domain::hold::AutomaticHold;
use reconciler_domain::id::{
    Alias, FreightId, PromotionId, StageName, SubscriptionName, WarehouseName,
};
use reconciler_domain::policy::Policy;
use reconciler_domain::promotion::{Ended, Ending, Entry, Previous, Promotion, State};
use reconciler_domain::snapshot::Definitions;
use reconciler_domain::step::{KeptAt, KeptChange};
use reconciler_domain::warehouse::Discovery;
use serde_json::{Map, Value};

use crate::bug::Bug;

#[derive(Debug)]
pub(crate) struct Project {
    /// Rises with everything that decisions about others look at.
    pub(crate) revision: u64,
    pub(crate) definitions: Definitions,
    /// The policies without their generations, as a stage's decision sees them.
    pub(crate) policies: Vec<Policy>,
    /// When a policy that selects or selected a stage last came, changed or went.
    pub(crate) policy_changes: BTreeMap<StageName, Timestamp>,
    pub(crate) discovered: BTreeMap<WarehouseName, IndexMap<SubscriptionName, Discovery>>,
    pub(crate) refresh_asked: BTreeMap<WarehouseName, Timestamp>,
    pub(crate) warehouses: BTreeMap<WarehouseName, Shelf>,
    /// Warehouse and place of each freight.
    pub(crate) places: HashMap<FreightId, (WarehouseName, usize)>,
    pub(crate) sequence: i64,
    pub(crate) stages: BTreeMap<StageName, StageRecord>,
    /// Promotions that are not over.
    pub(crate) promotions: BTreeMap<PromotionId, Saga>,
    /// What steps noted about stages.
    pub(crate) noted: BTreeMap<StageName, Map<String, Value>>,
    pub(crate) aliases: BTreeMap<Alias, FreightId>,
}

/// The freight of a warehouse.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    /// Oldest first; shared with the snapshots of whoever looks.
    pub(crate) freight: Vec<Arc<FreightFacts>>,
    pub(crate) ids: BTreeSet<FreightId>,
}

/// What is known of a stage besides its definition.
#[derive(Debug, Default)]
pub(crate) struct StageRecord {
    pub(crate) last_number: u64,
    /// Promotions that are not over, oldest first.
    pub(crate) running: Vec<PromotionId>,
    pub(crate) slot: Option<PromotionId>,
    pub(crate) current: BTreeMap<WarehouseName, FreightId>,
    pub(crate) ended: BTreeMap<FreightId, Ended>,
    /// Which promotion `ended` speaks of.
    pub(crate) ended_numbers: BTreeMap<FreightId, u64>,
    /// Promotions that succeeded, oldest first.
    pub(crate) succeeded: Vec<Succeeded>,
    pub(crate) hold: Option<AutomaticHold>,
}

/// What is kept of a promotion that succeeded.
#[derive(Debug)]
pub(crate) struct Succeeded {
    pub(crate) number: u64,
    /// What it promoted.
    pub(crate) brought: Vec<FreightId>,
    pub(crate) collection: IndexMap<WarehouseName, Freight>,
    pub(crate) previous: Option<Previous>,
}

/// A promotion that is not over.
#[derive(Debug)]
pub(crate) struct Saga {
    pub(crate) promotion: Promotion,
    pub(crate) log: Vec<Entry>,
    /// The log, folded entry by entry as it grew.
    pub(crate) state: State,
}

impl Saga {
    pub(crate) fn last_seq(&self) -> u64 {
        self.log.last().map_or(0, |entry| entry.seq)
    }
}

/// Succeeded promotions and endings that are kept of a stage: more than decisions reach back for.
const KEPT: usize = 128;

impl Project {
    pub(crate) fn new() -> Self {
        Self {
            revision: 0,
            definitions: Definitions::default(),
            policies: Vec::new(),
            policy_changes: BTreeMap::new(),
            discovered: BTreeMap::new(),
            refresh_asked: BTreeMap::new(),
            warehouses: BTreeMap::new(),
            places: HashMap::new(),
            sequence: 0,
            stages: BTreeMap::new(),
            promotions: BTreeMap::new(),
            noted: BTreeMap::new(),
            aliases: BTreeMap::new(),
        }
    }

    /// What is kept there for a promotion of this freight to this stage.
    pub(crate) fn kept(
        &self,
        stage: &StageName,
        freight: &FreightId,
        at: &KeptAt,
    ) -> Option<Value> {
        match at {
            KeptAt::Stage(key) => self.noted.get(stage)?.get(key).cloned(),
            KeptAt::Freight(key) => self.facts(freight)?.metadata.get(key).cloned(),
            KeptAt::Alias(alias) => self.aliases.get(alias).map(|id| Value::from(id.as_str())),
        }
    }

    /// Writes what a step keeps.
    pub(crate) fn keep(&mut self, stage: &StageName, freight: &FreightId, changes: &[KeptChange]) {
        for KeptChange { at, after, .. } in changes {
            let after = after.clone();
            match at {
                KeptAt::Stage(key) => put(self.noted.entry(stage.clone()).or_default(), key, after),
                KeptAt::Freight(key) => {
                    if let Some(facts) = self.facts_mut(freight) {
                        put(&mut facts.metadata, key, after);
                    }
                }
                KeptAt::Alias(alias) => {
                    self.aliases.remove(alias);
                    let freight = after.and_then(|id| id.as_str()?.parse().ok());
                    self.aliases.extend(freight.map(|freight| (alias.clone(), freight)));
                }
            }
        }
    }

    pub(crate) fn facts(&self, id: &FreightId) -> Option<&FreightFacts> {
        let (warehouse, at) = self.places.get(id)?;
        self.warehouses[warehouse].freight.get(*at).map(Arc::as_ref)
    }

    pub(crate) fn facts_mut(&mut self, id: &FreightId) -> Option<&mut FreightFacts> {
        let (warehouse, at) = self.places.get(id)?;
        self.warehouses.get_mut(warehouse)?.freight.get_mut(*at).map(Arc::make_mut)
    }

    /// The stage vouches for the freight; whether it did not before.
    pub(crate) fn vouch(&mut self, freight: &FreightId, stage: &StageName, at: Timestamp) -> bool {
        let Some(facts) = self.facts_mut(freight) else { return false };
        if facts.verified_in.contains_key(stage) {
            return false;
        }
        facts.verified_in.insert(stage.clone(), at);
        true
    }

    /// The stage no longer vouches for the freight.
    pub(crate) fn withdraw(&mut self, freight: &FreightId, stage: &StageName) {
        if let Some(facts) = self.facts_mut(freight) {
            facts.verified_in.remove(stage);
        }
    }

    /// Makes these the freight in the stage. Stays that go on are not interrupted.
    pub(crate) fn enter(&mut self, stage: &StageName, freight: &[FreightId], at: Timestamp) {
        let record = self.stages.entry(stage.clone()).or_default();
        let there: Vec<FreightId> = std::mem::take(&mut record.current).into_values().collect();
        for gone in there.iter().filter(|id| !freight.contains(id)) {
            let facts = self.facts_mut(gone).expect("what is in a stage is known");
            let stays = facts.stays.get_mut(stage).expect("it stayed there");
            stays.last_mut().expect("it stayed there").left_at = Some(at);
        }
        for id in freight {
            let facts = self.facts_mut(id).expect("what is promoted is known");
            let warehouse = facts.freight.warehouse.clone();
            if !there.contains(id) {
                let stay = Stay { entered_at: at, left_at: None };
                facts.stays.entry(stage.clone()).or_default().push(stay);
            }
            let record = self.stages.get_mut(stage).expect("made above");
            record.current.insert(warehouse, id.clone());
        }
    }

    /// Keeps of a promotion that is over what later decisions look at.
    pub(crate) fn retire(&mut self, id: &PromotionId, ending: Ending, bug: Option<Bug>) -> Saga {
        let saga = self.promotions.remove(id).expect("it was not over");
        let record = self.stages.get_mut(&saga.promotion.stage).expect("its stage was there");
        record.running.retain(|running| running != id);
        for (freight, ended) in Ended::of(&saga.promotion, ending) {
            if bug == Some(Bug::EndedOfLeading) && freight != saga.promotion.freight {
                continue;
            }
            let last = record.ended_numbers.get(&freight).copied().unwrap_or(0);
            if id.number() > last {
                record.ended_numbers.insert(freight.clone(), id.number());
                record.ended.insert(freight, ended);
            }
        }
        if ending == Ending::Succeeded {
            let frozen = saga.state.frozen.as_ref();
            record.succeeded.push(Succeeded {
                number: id.number(),
                brought: saga.promotion.promoted().map(|(_, freight)| freight.clone()).collect(),
                collection: frozen.map(|frozen| frozen.collection.clone()).unwrap_or_default(),
                previous: saga.state.as_previous(&saga.promotion),
            });
            record.succeeded.sort_by_key(|succeeded| succeeded.number);
        }
        self.forget_old(&saga.promotion.stage);
        saga
    }

    fn forget_old(&mut self, stage: &StageName) {
        let newest = self.sequence;
        let places = &self.places;
        let shelves = &self.warehouses;
        let old = |id: &FreightId| {
            let (warehouse, at) = &places[id];
            let sequence = shelves[warehouse].freight[*at].freight.sequence;
            newest - sequence > 16 * i64::try_from(KEPT).unwrap_or(i64::MAX)
        };
        let record = self.stages.get_mut(stage).expect("its stage was there");
        if record.succeeded.len() > 2 * KEPT {
            let there: Vec<&FreightId> = record.current.values().collect();
            let cut = record.succeeded.len() - KEPT;
            let mut at = 0;
            record.succeeded.retain(|succeeded| {
                at += 1;
                at > cut || there.iter().any(|id| succeeded.brought.contains(id))
            });
        }
        if record.ended.len() > 32 * KEPT {
            record.ended.retain(|id, _| !old(id));
            record.ended_numbers.retain(|id, _| !old(id));
        }
    }
}

fn put(noted: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    match value {
        Some(value) => drop(noted.insert(key.to_owned(), value)),
        None => drop(noted.shift_remove(key)),
    }
}
