//! Forms (`multipart/form-data`).

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::stream::once;
use multer::Multipart;

use super::Refusal;

/// The maximum number of fields of a form.
const MAX_FIELDS: usize = 64;

/// A field of a form.
pub struct Field {
    pub name: String,
    pub content: Bytes,
}

/// Parses the fields of `body`, in order.
pub fn parse(body: Bytes, boundary: &str) -> Result<Vec<Field>, Refusal> {
    let mut form = Multipart::new(once(async { Ok::<_, std::io::Error>(body) }), boundary);
    // the body is complete, so that reading never waits
    read(&mut form).now_or_never().unwrap_or_else(|| Err(malformed("it is incomplete")))
}

async fn read(form: &mut Multipart<'_>) -> Result<Vec<Field>, Refusal> {
    let mut fields = Vec::new();
    while let Some(field) = form.next_field().await.map_err(|e| malformed(&e.to_string()))? {
        let name = field.name().unwrap_or_default().to_owned();
        let content = field.bytes().await.map_err(|e| malformed(&e.to_string()))?;
        fields.push(Field { name, content });
        if fields.len() > MAX_FIELDS {
            return Err(malformed(&format!("more than {MAX_FIELDS} fields")));
        }
    }
    Ok(fields)
}

fn malformed(what: &str) -> Refusal {
    Refusal { param: None, ..Refusal::invalid("", format!("the body is not a valid form: {what}")) }
}
