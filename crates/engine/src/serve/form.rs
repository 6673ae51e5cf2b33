//! The picture in a request: its whole body, or the field `file` of a form.

use http_body_util::{BodyDataStream, Full};
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use multer::{Multipart, parse_boundary};

use crate::serve::arrival::Held;
use crate::serve::refusal::Refusal;

/// The field that holds a picture.
const FIELD: &str = "file";

/// What a form may have besides its picture, in bytes.
pub(super) const AROUND: usize = 16 << 10;

/// How a picture lies in the body of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// As it is.
    Plain,
    /// In a form whose fields this boundary sets apart.
    Fields(String),
}

impl Form {
    /// How a request with these headers brings its picture.
    ///
    /// # Errors
    /// If they say that it brings something else.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let refused = |message: String, help: &str| {
            Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message, help)
        };
        let encoded = headers.get(CONTENT_ENCODING).filter(|it| *it != "identity");
        if let Some(encoding) = encoded.map(shown) {
            let message = format!("the body is encoded as `{encoding}`");
            return Err(refused(message, "send it without `Content-Encoding`"));
        }
        let named = headers.get(CONTENT_TYPE).map(shown).unwrap_or_default();
        let (kind, _) = named.split_once(';').unwrap_or((&named, ""));
        let kind = kind.trim().to_ascii_lowercase();
        if kind == "multipart/form-data" {
            let boundary = parse_boundary(&named).map_err(unreadable)?;
            return Ok(Self::Fields(boundary));
        }
        if kind.starts_with("image/") || kind == "application/octet-stream" {
            return Ok(Self::Plain);
        }
        let message = match kind.as_str() {
            "" => "the request does not say what it brings".to_owned(),
            kind => format!("the request brings `{kind}`"),
        };
        let help = "send the file of a picture with `Content-Type: image/png` (or another `image/…`), or a form \
                    (`multipart/form-data`) with the file in its field `file`";
        Err(refused(message, help))
    }

    /// How many bytes a body may have whose picture has at most `largest`.
    pub(super) fn most(&self, largest: usize) -> usize {
        match self {
            Self::Plain => largest,
            Self::Fields(_) => largest + AROUND,
        }
    }

    /// The picture in `body`, of at most `largest` bytes.
    ///
    /// # Errors
    /// If there is none, or something else beside it.
    pub(super) async fn picture(self, body: Held, largest: usize) -> Result<Held, Refusal> {
        let picture = match self {
            Self::Plain => body,
            Self::Fields(boundary) => body.replaced(async |it| field(it, &boundary).await).await?,
        };
        match picture.as_ref().len() {
            0 => Err(bad("there is no picture in the request", "send the bytes of its file")),
            length if length > largest => Err(Refusal::too_many_bytes(largest)),
            _ => Ok(picture),
        }
    }
}

/// What the one field of a form holds.
async fn field(body: Bytes, boundary: &str) -> Result<Bytes, Refusal> {
    let mut fields = Multipart::new(BodyDataStream::new(Full::new(body)), boundary);
    let mut picture = None;
    while let Some(field) = fields.next_field().await.map_err(unreadable)? {
        if field.name() != Some(FIELD) {
            let name = field.name().unwrap_or_default().to_owned();
            let message = format!("the form has a field `{name}`, which nobody reads");
            return Err(bad(message, "send one field, `file`, with the picture"));
        }
        if picture.is_some() {
            let help = "ask about each picture in a request of its own";
            return Err(bad("the form has several pictures", help));
        }
        picture = Some(field.bytes().await.map_err(unreadable)?);
    }
    let help = "send the picture as the field `file`: `curl -F file=@photo.jpg`";
    picture.ok_or_else(|| bad("the form has no field `file`", help))
}

fn bad(message: impl Into<String>, help: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, message, help)
}

fn unreadable(error: multer::Error) -> Refusal {
    let help = "send it as `curl -F file=@photo.jpg` does";
    bad(format!("the form cannot be read: {error}"), help)
}

/// A header as text, whatever bytes it has.
fn shown(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &'static str) -> Result<Form, u16> {
        let headers = [(CONTENT_TYPE, HeaderValue::from_static(kind))].into_iter().collect();
        Form::of(&headers).map_err(|it| it.status.as_u16())
    }

    /// The picture of a form with this body, or how it is refused.
    fn picture(body: &str) -> Result<String, u16> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = Bytes::from(body.replace('\n', "\r\n"));
        let picture = runtime.block_on(field(body, "X")).map_err(|it| it.status.as_u16());
        picture.map(|it| String::from_utf8(it.to_vec()).unwrap())
    }

    #[test]
    fn a_request_says_how_it_brings_a_picture() {
        for kind in ["image/png", "IMAGE/jpeg", "image/whatever; x=1", "application/octet-stream"] {
            assert_eq!(of(kind), Ok(Form::Plain), "{kind}");
        }
        let form = Ok(Form::Fields("a b".into()));
        assert_eq!(of("multipart/form-data; boundary=\"a b\""), form);
        assert_eq!(of("multipart/form-data"), Err(400));
        for kind in ["", "text/html", "application/x-www-form-urlencoded", "multipart/mixed"] {
            assert_eq!(of(kind), Err(415), "{kind}");
        }
        let encoded = [(CONTENT_ENCODING, HeaderValue::from_static("gzip"))].into_iter().collect();
        assert_eq!(Form::of(&encoded).unwrap_err().status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }

    #[test]
    fn a_form_has_one_field_and_that_is_the_picture() {
        let part = |name: &str, text: &str| {
            format!(
                "--X\nContent-Disposition: form-data; name=\"{name}\"; filename=\"a\"\n\n{text}\n"
            )
        };
        let file = part("file", "12345");
        assert_eq!(picture(&format!("{file}--X--\n")), Ok("12345".into()));
        for body in [
            String::new(),
            "--X--\n".into(),
            file.clone(),
            format!("{file}{file}--X--\n"),
            format!("{file}{}--X--\n", part("other", "1")),
            "no form at all".into(),
        ] {
            assert_eq!(picture(&body), Err(400), "{body}");
        }
    }
}
