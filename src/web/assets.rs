//! The files of `static/`, in the binary; and the rhythms of the light as a stylesheet, from the table that the pin has.

use std::{fmt::Write, sync::LazyLock};

use axum::{
    Router,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use ring::digest;

use super::Site;
use crate::runtime::{
    led::{self, Colour, Sign},
    partner::key::hex,
};

const CSS: &str = include_str!("../../static/twinlease.css");
const SCRIPT: &str = include_str!("../../static/twinlease.js");
const ICONS: &str = include_str!("../../static/icons.svg");
const MARK: &str = include_str!("../../static/mark.svg");

/// With the digest by which a browser asks whether it is still the same: after an update it is not.
struct Asset {
    kind: &'static str,
    content: String,
    tag: String,
}

static STYLE: LazyLock<Asset> = LazyLock::new(|| Asset::new("text/css; charset=utf-8", format!("{CSS}{}", lights())));
static MODULE: LazyLock<Asset> = LazyLock::new(|| Asset::new("text/javascript; charset=utf-8", SCRIPT.into()));
static SPRITE: LazyLock<Asset> = LazyLock::new(|| Asset::new("image/svg+xml", ICONS.into()));
static ICON: LazyLock<Asset> = LazyLock::new(|| Asset::new("image/svg+xml", MARK.into()));

pub fn routes() -> Router<Site> {
    Router::new()
        .route("/static/twinlease.css", get(|asked: HeaderMap| async move { STYLE.answer(&asked) }))
        .route("/static/twinlease.js", get(|asked: HeaderMap| async move { MODULE.answer(&asked) }))
        .route("/static/icons.svg", get(|asked: HeaderMap| async move { SPRITE.answer(&asked) }))
        .route("/static/mark.svg", get(|asked: HeaderMap| async move { ICON.answer(&asked) }))
}

impl Asset {
    fn new(kind: &'static str, content: String) -> Asset {
        let digest = digest::digest(&digest::SHA256, content.as_bytes());
        let tag = format!("\"{}\"", hex(&digest.as_ref()[..8]));
        Asset { kind, content, tag }
    }

    fn answer(&self, asked: &HeaderMap) -> Response {
        let known = [(header::ETAG, self.tag.as_str()), (header::CACHE_CONTROL, "no-cache")];
        if asked.get(header::IF_NONE_MATCH).is_some_and(|tag| tag.as_bytes() == self.tag.as_bytes()) {
            return (StatusCode::NOT_MODIFIED, known).into_response();
        }
        (known, [(header::CONTENT_TYPE, self.kind)], self.content.clone()).into_response()
    }
}

/// One class and one rhythm for each sign. Who wants no motion sees the lamp in its colour, and the words beside it.
fn lights() -> String {
    let mut css = String::from("\n/* Lights */\n");
    for sign in Sign::ALL {
        let (class, pattern) = (sign.word(), led::pattern(sign));
        let length_ms = pattern.length().as_millis().max(1) as f64;
        let lamp = pattern.steps.first().map_or("transparent", |step| lamp(step.colour));
        let lamp = if sign == Sign::Off { "transparent" } else { lamp };
        let _ = write!(css, ".light.{class} {{ --lamp: {lamp}; }}\n.light.{class}::before {{ animation: light-{class} ");
        let _ = writeln!(css, "{length_ms}ms linear infinite; }}\n@keyframes light-{class} {{");
        let mut at_ms = 0.0;
        for step in &pattern.steps {
            // A jump is two frames at nearly the same moment.
            let (from, to) = (at_ms / length_ms * 100.0, (at_ms + f64::from(step.ms)) / length_ms * 100.0 - 0.01);
            for (at, level) in [(from, step.from), (to, step.to)] {
                let opacity = f64::from(level) / 255.0;
                let _ = write!(css, "{at:.2}%{{opacity:{opacity};background:{}}}", lamp_or_dark(step.colour, level));
            }
            at_ms += f64::from(step.ms);
        }
        css.push_str("\n}\n");
    }
    css
}

fn lamp_or_dark(colour: Colour, level: u8) -> &'static str {
    if level == 0 { "transparent" } else { lamp(colour) }
}

fn lamp(colour: Colour) -> &'static str {
    match colour {
        Colour::White => "#ffffff",
        Colour::Blue => "#5aa9ff",
        Colour::Green => "#3fe07a",
        Colour::Amber => "#ffb02e",
        Colour::Cyan => "#35e0ea",
        Colour::Magenta => "#ff6ad5",
        Colour::Red => "#ff4f4a",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sign_has_its_rhythm_in_the_stylesheet() {
        let css = lights();
        for sign in Sign::ALL {
            assert!(css.contains(&format!(".light.{} {{", sign.word())), "{sign:?}");
        }
        assert!(css.contains("light-active 4000ms linear infinite"), "{css}");
        // On for 3.7 of 4 s, then dark.
        assert!(css.contains("92.49%{opacity:1;background:#3fe07a}92.50%{opacity:0;"), "{css}");
    }

    #[test]
    fn a_browser_that_has_it_is_not_sent_it_again() {
        let mut asked = HeaderMap::new();
        assert_eq!(STYLE.answer(&asked).status(), StatusCode::OK);
        asked.insert(header::IF_NONE_MATCH, STYLE.tag.parse().expect("a header"));
        assert_eq!(STYLE.answer(&asked).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(MODULE.answer(&asked).status(), StatusCode::OK);
    }

    #[test]
    fn every_icon_that_a_template_names_is_in_the_sprite() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        for file in std::fs::read_dir(folder).expect("templates").filter_map(Result::ok) {
            let text = std::fs::read_to_string(file.path()).unwrap_or_default();
            for name in text.split("icon(\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(ICONS.contains(&format!("id=\"{name}\"")), "{name} in {:?}", file.path());
            }
        }
    }
}
