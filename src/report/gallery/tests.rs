//! The section on real pages: what is there without a script, what is said where something is missing.

use std::fs;
use std::path::Path;

use ferrite_core::store::record::Record;

use crate::report::example::images::decode;
use crate::report::example::{many, page, records, write_all};
use crate::report::tests::in_study;

/// Lays the images that judge `records` where the sweep leaves them.
fn with_images(records: &mut [Record], runs: &Path) {
    decode(&records[0], runs, ["train", "valid", "test"]);
    let classes = &records[0].facts.dataset.as_ref().unwrap().classes;
    let data = format!(
        "source = {{ manifest = {{ table = \"t.csv\", classes = {classes:?} }} }}\n\
         split = {{ train = \"train\", valid = \"valid\", test = \"test\" }}\n"
    );
    let data: toml::Table = data.parse().unwrap();
    for it in records {
        it.settings.insert("data".into(), data.clone().into());
    }
}

/// The text of the section of `page`.
fn section(page: &str) -> &str {
    let from = page.split_once("<section id=\"gallery\">").expect("there is a section").1;
    from.split_once("</section>").unwrap().0
}

fn index(records: &[Record], runs: &Path) -> String {
    fs::read_to_string(write_all(records, &[], runs).unwrap()).unwrap()
}

/// What the script is given.
fn data(section: &str) -> serde_json::Value {
    let text = section.split_once("id=\"gallery-data\" type=\"application/json\">").unwrap().1;
    serde_json::from_str(text.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn faces_are_on_the_page_once_and_the_hardest_need_no_script() {
    in_study(|runs| {
        let mut records = records(runs);
        with_images(&mut records, runs);
        let page = index(&records, runs);
        let section = section(&page);
        let data = data(section);
        assert_eq!(data["ids"].as_array().unwrap().len(), 3589, "all are small enough to be there");
        let sheets = data["sheets"].as_array().unwrap().len();
        let static_ones = section.matches("data:image/jpeg;base64,/9j/").count();
        assert_eq!(static_ones, 1);
        assert_eq!(section.matches("<script type=\"text/plain\"").count(), sheets - static_ones);
        let hardest = section.split_once("The hardest fifty").unwrap().1;
        let hardest = hardest.split_once("</ol>").unwrap().0;
        assert_eq!(hardest.matches("<use href=\"#sheet-0\">").count(), 50);
        assert!(!section.contains("no longer there") && !section.contains("are on this page"));
        for part in [
            "has an equal training image",
            "Mean gray level",
            "darkest third, below",
            "person 2",
            "arXiv 1911.00068",
            "Commonest mistakes: ",
            "all 3 seeds of",
        ] {
            assert!(section.contains(part), "{part}");
        }
        assert!(page.len() < 3_000_000, "{}", page.len());
    });
}

#[test]
fn the_same_records_give_the_same_section_and_images_that_come_or_go_make_another() {
    let written = || {
        in_study(|runs| {
            let mut records = many(runs, 6);
            with_images(&mut records, runs);
            let first = index(&records, runs);
            // How to repeat the run names its folder.
            let run = page(&records[0]).replace(&runs.display().to_string(), "runs");
            fs::remove_dir_all(runs.join(".store")).unwrap();
            (first, run, index(&records, runs))
        })
    };
    let (first, run, without) = written();
    let (again, run_again, _) = written();
    assert!(section(&first) == section(&again) && section(&run) == section(&run_again));
    assert!(section(&run).contains("256 of 3,589 images are on this page"));
    assert!(section(&run).contains("../../index.html#gallery"));
    assert!(section(&without).contains("The decoded images are no longer there"));
    assert!(!section(&first).contains("no longer there"));
}

#[test]
fn without_images_all_tables_are_there() {
    in_study(|runs| {
        let records = many(runs, 6);
        let page = index(&records, runs);
        let section = section(&page);
        assert!(section.contains("no longer there") && !section.contains("data:image"));
        assert!(section.contains("class=\"confusion\"") && section.contains("class=\"slices\""));
        assert!(section.contains("no picture") && section.contains("All pairs"));
        let data = data(section);
        assert_eq!(data["sheets"].as_array().unwrap().len(), 0);
        assert_eq!(data["ids"].as_array().unwrap().len(), 3589);
    });
}

#[test]
fn an_image_that_is_not_among_the_decoded_ones_is_told() {
    in_study(|runs| {
        let mut records = many(runs, 3);
        with_images(&mut records, runs);
        for it in records.iter_mut().flat_map(|it| &mut it.predictions).take(1) {
            it.id = "elsewhere".into();
        }
        let page = index(&records, runs);
        let section = section(&page);
        assert!(section.contains("1 image is not among the decoded images"), "{}", &section[..900]);
    });
}

#[test]
fn names_are_shown_and_not_carried_out() {
    in_study(|runs| {
        let mut records = many(runs, 6);
        let evil = "</script><script>alert(1)</script>";
        for it in &mut records {
            it.facts.dataset.as_mut().unwrap().classes[3] = evil.into();
            it.predictions[0].id = evil.into();
        }
        let page = index(&records, runs);
        let section = section(&page);
        assert!(!page.contains("<script>alert"));
        let data = data(section);
        assert_eq!(data["classes"][3], evil);
        assert!(data["ids"].as_array().unwrap().iter().any(|it| it == evil));
    });
}

#[test]
fn what_the_script_counts_is_what_the_tables_count() {
    in_study(|runs| {
        let records = many(runs, 6);
        let page = index(&records, runs);
        let data = data(section(&page));
        let panel = &data["panels"][0];
        let mut answers = 0;
        for (truth, row) in panel["cells"].as_array().unwrap().iter().enumerate() {
            for (named, cell) in row.as_array().unwrap().iter().enumerate() {
                let [all, images] = [0, 1].map(|it| cell[it].as_u64().unwrap());
                assert!(images <= all && all <= 3 * images, "{truth} {named}");
                answers += all;
            }
        }
        assert_eq!(answers, 3 * 3589, "three seeds");
        assert_eq!(panel["named"].as_array().unwrap().len(), 3);
        let only = data["only"][0][1].as_u64().unwrap();
        assert!(page.contains(&format!("<strong>{only}</strong> right")), "{only}");
    });
}
