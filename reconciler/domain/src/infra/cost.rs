//! What infrastructure costs, as an estimate says that a step made.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::InfraRules;

/// An estimate, in one currency, by the month.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// All of it, once the plan is applied; absent: nobody knows.
    #[serde(default)]
    pub monthly: Option<f64>,
    /// How much more that is than now; absent: nobody knows.
    #[serde(default)]
    pub increase: Option<f64>,
}

/// What rules say of an estimate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CostVerdict {
    /// What is too much.
    pub over: Vec<String>,
    /// What nobody knows.
    pub unknown: Vec<String>,
}

impl Cost {
    /// That of the arguments of a step, rendered: numbers, or texts of numbers, as estimates have them. What is neither, or
    /// waits for an effect, is not known.
    #[must_use]
    pub fn of_config(config: &Value) -> Self {
        let number = |name: &str| {
            let number = match config.get("cost")?.get(name)? {
                Value::Number(number) => number.as_f64(),
                Value::String(text) => text.trim().parse().ok(),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
            };
            number.filter(|number: &f64| number.is_finite())
        };
        Self { monthly: number("monthly"), increase: number("increase") }
    }

    /// Judges it.
    #[must_use]
    pub fn judge(&self, rules: &InfraRules) -> CostVerdict {
        let mut verdict = CostVerdict::default();
        let limits = [
            ("monthly cost", self.monthly, rules.max_monthly_cost),
            ("increase of the monthly cost", self.increase, rules.max_cost_increase),
        ];
        for (what, known, most) in limits {
            match (known, most) {
                (_, None) => {}
                (None, Some(most)) => verdict.unknown.push(format!(
                    "nobody estimated the {what}, and at most {most} is allowed: give the `tf_apply` step its `cost`"
                )),
                (Some(found), Some(most)) if found > f64::from(most) => {
                    verdict.over.push(format!("the {what} is {found:.2}, at most {most} is allowed"));
                }
                (Some(_), Some(_)) => {}
            }
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(cost: &Value, over: &str, unknown: &str) {
        let rules = InfraRules {
            max_monthly_cost: Some(500),
            max_cost_increase: Some(0),
            ..InfraRules::default()
        };
        let cost = Cost::of_config(&json!({ "cost": cost }));
        let verdict = cost.judge(&rules);
        assert_eq!(
            (verdict.over.join("; "), verdict.unknown.join("; ")),
            (over.to_owned(), unknown.to_owned())
        );
        assert_eq!(cost.judge(&InfraRules::default()), CostVerdict::default());
    }

    #[test]
    fn an_estimate_is_within_its_limits_or_not_or_missing() {
        check(&json!({ "monthly": "500", "increase": -3.5 }), "", "");
        check(
            &json!({ "monthly": 500.01, "increase": "0.0" }),
            "the monthly cost is 500.01, at most 500 is allowed",
            "",
        );
        check(
            &json!({ "monthly": 1, "increase": " 12.5 " }),
            "the increase of the monthly cost is 12.50, at most 0 is allowed",
            "",
        );
        let missing = "nobody estimated the increase of the monthly cost, and at most 0 is allowed: give the \
                       `tf_apply` step its `cost`";
        for increase in
            [Value::Null, json!("n/a"), json!("NaN"), json!({ "$deferred": "{{ steps.x.y }}" })]
        {
            check(&json!({ "monthly": 1, "increase": increase }), "", missing);
        }
    }
}
