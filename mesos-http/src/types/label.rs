//! Labels: the key-value pairs a task, executor or framework carries.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One label. The value may be absent, and a key may come several times.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Label {
    /// The key.
    pub key: String,
    /// The value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// A list of labels, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Labels(pub Vec<Label>);

#[derive(Serialize)]
struct Borrowed<'a> {
    labels: &'a [Label],
}

#[derive(Deserialize)]
struct Owned {
    #[serde(default)]
    labels: Vec<Label>,
}

impl Labels {
    /// No labels.
    pub fn new() -> Labels {
        Labels::default()
    }

    /// Adds a label at the end.
    pub fn push(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.push(Label {
            key: key.into(),
            value: Some(value.into()),
        });
    }

    /// The value of the first label with this key; an absent value is the empty text.
    pub fn get(&self, key: &str) -> Option<&str> {
        let label = self.0.iter().find(|label| label.key == key)?;
        Some(label.value.as_deref().unwrap_or_default())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keys and values in order; an absent value is the empty text.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|label| (label.key.as_str(), label.value.as_deref().unwrap_or_default()))
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut labels = Labels::new();
        for (key, value) in pairs {
            labels.push(key, value);
        }
        labels
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Borrowed { labels: &self.0 }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Owned::deserialize(deserializer).map(|owned| Labels(owned.labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_order_duplicates_and_absent_values() {
        let json = r#"{"labels":[{"key":"a","value":"1"},{"key":"b"},{"key":"a","value":"2"}]}"#;
        let labels: Labels = serde_json::from_str(json).unwrap();
        assert_eq!(labels.get("a"), Some("1"));
        assert_eq!(labels.get("b"), Some(""));
        assert_eq!(labels.get("c"), None);
        assert_eq!(serde_json::to_string(&labels).unwrap(), json);
    }
}
