//! Arguments that commands of both programs have.

use std::path::PathBuf;

use clap::Args;

/// Where the runs are.
#[derive(Debug, Args)]
pub struct Place {
    /// The folder of runs
    #[arg(long, default_value = "runs", value_name = "FOLDER")]
    pub runs: PathBuf,
}

/// A trained model, or several that answer together, and what of a picture is asked about.
#[derive(Debug, Args)]
pub struct ModelArguments {
    /// A finished run: `fruit/seed-0` or its folder; or an experiment, `fruit`, whose seeds answer together by the mean of
    /// their probabilities if it has several
    pub run: PathBuf,
    /// Another run, or experiment, that answers together with it; may be given more than once
    #[arg(long, value_name = "RUN")]
    pub with: Vec<PathBuf>,
    /// Find the faces in each picture, as runs with `data.faces` do by themselves
    #[arg(long)]
    pub find_faces: bool,
    /// Take each picture for a face as it is, without looking for one
    #[arg(long, conflicts_with = "find_faces")]
    pub assume_face: bool,
    /// Which of its weights: `final`, or a metric that it kept a checkpoint for; of several runs those of each
    #[arg(long, default_value = "final")]
    pub weights: String,
    /// Where to compute: `auto`, `cpu`, `cuda`, `cuda:N`
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Where the runs are.
    #[command(flatten)]
    pub place: Place,
}

/// A distance in time, of at least a thousandth of a second.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "it is no number".to_owned())?;
    if (0.001..=86_400.0).contains(&seconds) {
        return Ok(seconds);
    }
    Err("it must be between 0.001 and 86400".into())
}

/// What is asked of a trained model.
#[derive(Debug, Args)]
pub struct PredictArguments {
    /// The model.
    #[command(flatten)]
    pub model: ModelArguments,
    /// Pictures (PNG, JPEG, WebP, TIFF, BMP, GIF, PGM, PPM), folders of them, patterns like `'photos/*.jpg'`, or videos
    /// (with `ffmpeg`)
    #[arg(required_unless_present = "list")]
    pub pictures: Vec<PathBuf>,
    /// A file that names pictures, one a line, from the folder you stand in; `-` reads them from the standard input
    #[arg(long, value_name = "FILE")]
    pub list: Option<PathBuf>,
    /// Write each picture as PNG into this folder, with the faces and what is said of them drawn in; of a video a sheet of
    /// up to 48 pictures
    #[arg(long, value_name = "FOLDER")]
    pub annotate: Option<PathBuf>,
    /// Of a video, ask about the picture every so many seconds
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS", value_parser = seconds)]
    pub every: f64,
    /// Print a JSON object for each picture, one a line
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Print CSV: path, the face's place where faces are looked for, prediction, of several runs how many answer and how many
    /// of them say so, and a column for each class
    #[arg(long)]
    pub csv: bool,
}

/// The origin of a page, as browsers send it: scheme, host and port, in small letters and without the scheme's own port.
fn origin(text: &str) -> Result<String, String> {
    if ["*", "null"].contains(&text) {
        return Err("it would let the pages of anybody ask; name each origin".into());
    }
    let text = text.to_ascii_lowercase();
    let parts = text.split_once("://").filter(|(scheme, place)| {
        let name = |it: &str| {
            !it.is_empty() && it.chars().all(|it| it.is_ascii_alphanumeric() || "+-._".contains(it))
        };
        let address = |it: &str| it.parse::<std::net::Ipv6Addr>().is_ok();
        let (host, port) = match place.split_once(']') {
            Some((host, port)) => (host, port.strip_prefix(':').or(port.is_empty().then_some("0"))),
            None => {
                place.split_once(':').map_or((*place, Some("0")), |(host, port)| (host, Some(port)))
            }
        };
        let host = host.strip_prefix('[').map_or_else(|| name(host), address);
        name(scheme) && host && port.is_some_and(|it| it.parse::<u16>().is_ok())
    });
    let (scheme, place) = parts.ok_or(
        "write it as browsers do, without a path: `https://example.org`, `http://localhost:5173`",
    )?;
    let own = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    Ok(format!("{scheme}://{}", place.strip_suffix(own).unwrap_or(place)))
}

/// How a trained model answers over HTTP.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ferrite serve fruit/seed-0                             # then open http://127.0.0.1:8000/ in a browser
  ferrite serve fruit --with pear/seed-0                 # all runs of fruit and one of pear answer together
  curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' http://127.0.0.1:8000/predict
  curl -F file=@photo.jpg http://127.0.0.1:8000/predict

docs/serve.md says what is answered, and what is refused.")]
pub struct ServeArguments {
    /// The model.
    #[command(flatten)]
    pub model: ModelArguments,
    /// The address to listen at. At another than this machine's own, whoever reaches it may ask: there is no password
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    /// The port to listen at; 0 takes a free one
    #[arg(long, default_value_t = 8000)]
    pub port: u16,
    /// Let the pages of this origin ask as well, like `https://example.org` or `http://localhost:5173` (CORS); may be given more
    /// than once
    #[arg(long, value_name = "ORIGIN", value_parser = origin)]
    pub allow_origin: Vec<String>,
    /// How many pictures may wait for the network; further ones are refused until there is room
    #[arg(long, default_value_t = 256, value_name = "PICTURES", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub queue: u32,
    /// How many waiting pictures go through the network together. With 1 no decimal of an answer depends on who else asks
    /// [default: as many as `predict` takes, and where faces are looked for, one for each core]
    #[arg(long, value_name = "PICTURES", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub batch: Option<u32>,
    /// The largest file of a picture, in MiB
    #[arg(long, default_value_t = 20, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..=381))]
    pub largest: u32,
    /// The most pixels of a picture, in millions
    #[arg(long, default_value_t = 50, value_name = "MILLIONS", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub most_pixels: u32,
    /// How much memory the files of pictures that arrive and wait may take, in MiB; further ones are refused until there is
    /// room
    #[arg(long, default_value_t = 256, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub memory: u32,
    /// How long a request may take to arrive
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub send_timeout: u32,
    /// How long a picture that has arrived may wait for its answer
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub wait_timeout: u32,
    /// Print where it listens, and what it serves, as JSON
    #[arg(long)]
    pub json: bool,
}

/// What of a finished run is explained.
#[derive(Debug, Args)]
#[command(after_help = "\
Grad-CAM weighs the feature maps of a layer by what they do for a class's score, and shows where in the image their sum is. \
Results lie in the folder of the run: `plots/gradcam.png` for people, `gradcam.json` for programs; `ferrite report` shows them \
on the page of the run.

Examples:
  ferrite explain fruit/seed-0                           # the hardest images of each class and some that it is sure of
  ferrite explain fruit/seed-0 --class pear --images 12
  ferrite explain fruit/seed-0 --ids pears/3.jpg pears/7.jpg --layer features.13")]
pub struct ExplainArguments {
    /// A finished run: `fruit/seed-0`, its folder, or its experiment if that has one run
    pub run: PathBuf,
    /// How many images: of each class in turn its hardest ones and some that the network is right and surest of
    #[arg(long, default_value_t = 42, value_name = "N")]
    pub images: usize,
    /// These images instead, as the first column of the run's `predictions.csv` calls them
    #[arg(long, value_name = "ID", num_args = 1.., conflicts_with_all = ["images", "class"])]
    pub ids: Vec<String>,
    /// Only images of this class
    #[arg(long)]
    pub class: Option<String>,
    /// The block of the backbone whose feature maps are looked into, e.g. `features.13` [default: the deepest with feature
    /// maps of at least 4x4]
    #[arg(long, value_name = "BLOCK")]
    pub layer: Option<String>,
    /// Where to compute: `auto`, `cpu`, `cuda`, `cuda:N`
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Where the runs are.
    #[command(flatten)]
    pub place: Place,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_taken_as_browsers_send_it_and_never_means_everybody() {
        for (written, sent) in [
            ("https://example.org", "https://example.org"),
            ("HTTPS://App.Example.org:443", "https://app.example.org"),
            ("http://localhost:5173", "http://localhost:5173"),
            ("http://127.0.0.1:80", "http://127.0.0.1"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("https://[::1]", "https://[::1]"),
            ("https://example.org:80", "https://example.org:80"),
            ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ] {
            assert_eq!(origin(written).as_deref(), Ok(sent));
        }
        for everybody in ["*", "null"] {
            assert!(origin(everybody).unwrap_err().contains("name each origin"));
        }
        for wrong in [
            "",
            "example.org",
            "https://",
            "https://example.org/",
            "https://example.org/a",
            "https://*.example.org",
            "https://a b",
            "https://user@example.org",
            "https://example.org:",
            "https://example.org:port",
            "https://example.org:99999",
            "https://[::1",
            "https://[x]",
            "https://[::1]x",
            "https://bücher.example",
            "://a",
            "https://a, https://b",
        ] {
            assert!(origin(wrong).unwrap_err().contains("as browsers do"), "{wrong}");
        }
    }
}
