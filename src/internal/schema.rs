//! The JSON Schema of the manifest, derived from the types that read it.

use schemars::Schema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Value, json};

use crate::chain::{ReasoningMode, Stage};
use crate::modality::Modality;
use crate::package::{Manifest, Purpose, SCHEMA};
use crate::prompt::{Role, TaskName};

/// Returns the JSON Schema (draft 2020-12) of the newest form of the manifest: fields, types and names. Sizes, ids and references
/// between sections are checked by [`Package::open`](crate::Package::open).
pub fn manifest_schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let keys = key_schemas(&mut generator);
    let mut schema = generator.root_schema_for::<Manifest>();
    schema.insert("title".to_owned(), json!("Manifest of a ualm package"));
    set(&mut schema, "/properties/schema", "const", json!(SCHEMA));
    for (map, names) in keys {
        set(&mut schema, map, "propertyNames", names.to_value());
    }
    schema.to_value()
}

/// Returns the pointer of every map whose keys are of an enumeration, with the schema of the keys, which schemars leaves open.
fn key_schemas(generator: &mut SchemaGenerator) -> [(&'static str, Schema); 9] {
    [
        ("/properties/modalities", generator.subschema_for::<Modality>()),
        ("/properties/absent", generator.subschema_for::<Modality>()),
        ("/properties/settings", generator.subschema_for::<Purpose>()),
        ("/$defs/Template/properties/tasks", generator.subschema_for::<TaskName>()),
        ("/$defs/Template/properties/content", generator.subschema_for::<Modality>()),
        ("/$defs/Template/properties/segments", generator.subschema_for::<Modality>()),
        ("/$defs/Task/properties/turns", generator.subschema_for::<Role>()),
        ("/$defs/ReasoningConfig/properties/prompts", generator.subschema_for::<ReasoningMode>()),
        ("/$defs/Wording", generator.subschema_for::<Stage>()),
    ]
}

/// Sets a keyword of the schema at `pointer`.
fn set(schema: &mut Schema, pointer: &str, keyword: &str, value: Value) {
    if let Some(Value::Object(found)) = schema.pointer_mut(pointer) {
        found.insert(keyword.to_owned(), value);
    }
}
