//! The log: lines of JSON on standard error, with the keys that the host reads.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::Write as _;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Scope};
use tracing_subscriber::util::SubscriberInitExt as _;

use super::handshake::Launch;
use crate::secret::mask;

/// Longer lines are cut in pieces by the host, and read as plain text; a field alone gets less.
const MAX_FIELD: usize = 8 << 10;

/// Starts the log at the level the host wants to see; without one nothing is written, so that
/// nothing has to be read.
pub(super) fn install(launch: &Launch) {
    let Some(level) = launch.log.as_deref().and_then(level) else { return };
    let layer = HostLog {
        write: |line: &str| {
            // There is nowhere to tell that the log cannot be written.
            drop(std::io::stderr().lock().write_all(line.as_bytes()));
        },
    };
    let filtered = tracing_subscriber::registry().with(layer.with_filter(level));
    // A log that is there already is as good.
    drop(filtered.try_init());
}

fn level(name: &str) -> Option<LevelFilter> {
    Some(match name.to_ascii_uppercase().as_str() {
        "OFF" => return None,
        "ERROR" => LevelFilter::ERROR,
        "WARN" => LevelFilter::WARN,
        "INFO" => LevelFilter::INFO,
        "DEBUG" => LevelFilter::DEBUG,
        // `JSON` is trace in another form; anything else the host itself takes for trace.
        _ => LevelFilter::TRACE,
    })
}

struct HostLog<W> {
    write: W,
}

impl<S, W> Layer<S> for HostLog<W>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    W: Fn(&str) + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, cx: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = cx.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, cx: Context<'_, S>) {
        let Some(span) = cx.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, cx: Context<'_, S>) {
        let mut line = Map::new();
        for span in cx.event_scope(event).into_iter().flat_map(Scope::from_root) {
            if let Some(Fields { fields, .. }) = span.extensions().get() {
                line.extend(fields.clone());
            }
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        line.extend(fields.fields);
        // Last, so that no field can take their place: the host relies on their types.
        let metadata = event.metadata();
        line.insert("@level".into(), host_level(*metadata.level()).into());
        line.insert("@message".into(), fields.message.into());
        line.insert("@module".into(), metadata.target().into());
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ");
        line.insert("@timestamp".into(), now.to_string().into());
        (self.write)(&format!("{}\n", Value::Object(line)));
    }
}

fn host_level(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// The fields of a span or an event.
#[derive(Default)]
struct Fields {
    message: String,
    fields: Map<String, Value>,
}

impl Fields {
    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        self.fields.insert(field.name().to_owned(), value.into());
    }

    fn text(&mut self, field: &Field, text: String) {
        let mut text = match mask(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(masked) => masked,
        };
        if text.len() > MAX_FIELD {
            let mut end = MAX_FIELD;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            text.push('…');
        }
        if field.name() == "message" {
            self.message = text;
        } else {
            self.set(field, text);
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        if write!(text, "{value:?}").is_ok() {
            self.text(field, text);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.to_owned());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::sync::{Arc, Mutex};

    use super::*;

    fn lines(log: impl FnOnce()) -> Vec<Value> {
        let written = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&written);
        let layer = HostLog {
            write: move |line: &str| sink.lock().unwrap().push(serde_json::from_str(line).unwrap()),
        };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        Arc::try_unwrap(written).unwrap().into_inner().unwrap()
    }

    #[test]
    fn a_line_has_what_the_host_reads() {
        let lines = lines(|| {
            let span = tracing::info_span!("rpc", tf_rpc = "ReadResource", status = 1);
            let _inside = span.enter();
            tracing::warn!(status = 2, "slow {}", "answer");
        });
        let mut line = lines[0].clone();
        let timestamp = line.as_object_mut().unwrap().remove("@timestamp").unwrap();
        assert_eq!(
            line,
            serde_json::json!({
                "@level": "warn",
                "@message": "slow answer",
                "@module": "provider_protocol::plugin::logging::tests",
                "tf_rpc": "ReadResource",
                "status": 2,
            })
        );
        let timestamp = timestamp.as_str().unwrap();
        assert_eq!(timestamp.len(), "2006-01-02T15:04:05.000000Z".len(), "{timestamp}");
    }

    #[test]
    fn long_fields_are_cut() {
        let lines = lines(|| tracing::info!(body = "ä".repeat(100_000), "x"));
        assert!(lines[0]["body"].as_str().unwrap().len() <= MAX_FIELD + 4);
    }

    #[test]
    fn levels_are_those_of_the_host() {
        assert_eq!(level("off"), None);
        assert_eq!(level("Warn"), Some(LevelFilter::WARN));
        assert_eq!(level("JSON"), Some(LevelFilter::TRACE));
    }
}
