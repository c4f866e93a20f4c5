//! Reads CloudFormation's YAML as its JSON: `!Sub a` becomes `{"Fn::Sub": "a"}`.

use saphyr::{LoadableYamlNode, ScalarOwned, YamlOwned};
use serde_json::{Map, Value, json};

use super::TemplateError;

pub(super) fn read(text: &str) -> Result<Value, TemplateError> {
    let mut documents =
        YamlOwned::load_from_str(text).map_err(|error| TemplateError::Yaml(error.to_string()))?;
    if documents.len() != 1 {
        return Err(TemplateError::Yaml(format!("{} documents in place of one", documents.len())));
    }
    value(documents.remove(0))
}

fn value(node: YamlOwned) -> Result<Value, TemplateError> {
    Ok(match node {
        YamlOwned::Value(scalar) => match scalar {
            ScalarOwned::Null => Value::Null,
            ScalarOwned::Boolean(is) => Value::Bool(is),
            ScalarOwned::Integer(number) => json!(number),
            ScalarOwned::FloatingPoint(number) => json!(number.into_inner()),
            ScalarOwned::String(text) => Value::String(text),
        },
        YamlOwned::Representation(text, ..) => Value::String(text),
        YamlOwned::Sequence(items) => {
            Value::Array(items.into_iter().map(value).collect::<Result<_, TemplateError>>()?)
        }
        YamlOwned::Mapping(members) => {
            let mut object = Map::new();
            for (name, member) in members {
                let name = match value(name)? {
                    Value::String(name) => name,
                    other => other.to_string(),
                };
                object.insert(name, value(member)?);
            }
            Value::Object(object)
        }
        YamlOwned::Tagged(tag, node) => short_form(&tag.suffix, value(*node)?),
        YamlOwned::Alias(_) => return Err(TemplateError::Yaml("an alias".to_owned())),
        YamlOwned::BadValue => return Err(TemplateError::Yaml("a value that is none".to_owned())),
    })
}

fn short_form(tag: &str, value: Value) -> Value {
    match (tag, value) {
        ("Ref" | "Condition", value) => json!({ tag: value }),
        ("GetAtt", Value::String(path)) => {
            let (resource, attribute) = path.split_once('.').unwrap_or((&path, ""));
            json!({ "Fn::GetAtt": [resource, attribute] })
        }
        (tag, value) => json!({ format!("Fn::{tag}"): value }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_become_long_ones() {
        let text = "
a: !Ref B
c: !GetAtt D.E.F
g: !Sub ${H}-i
j: !If [K, !Ref L, !Join ['-', [m, 1]]]
n: !Equals [!Ref O, 'true']
p: true
q: 2010-09-09
r: { Condition: S }
t: !Select [0, !Split [',', u]]
";
        assert_eq!(
            read(text),
            Ok(json!({
                "a": { "Ref": "B" },
                "c": { "Fn::GetAtt": ["D", "E.F"] },
                "g": { "Fn::Sub": "${H}-i" },
                "j": { "Fn::If": ["K", { "Ref": "L" }, { "Fn::Join": ["-", ["m", 1]] }] },
                "n": { "Fn::Equals": [{ "Ref": "O" }, "true"] },
                "p": true,
                "q": "2010-09-09",
                "r": { "Condition": "S" },
                "t": { "Fn::Select": [0, { "Fn::Split": [",", "u"] }] },
            }))
        );
    }
}
