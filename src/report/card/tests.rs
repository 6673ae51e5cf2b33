//! The card of a model.

use std::fs;

use crate::report::example::{records, write_all};
use crate::report::tests::in_study;

/// The card of the run at this place of the example, whose settings are changed before.
fn card_of(at: usize, change: impl FnOnce(&mut ferrite_core::store::record::Record)) -> String {
    in_study(|runs| {
        let mut record = records(runs).swap_remove(at);
        change(&mut record);
        write_all(std::slice::from_ref(&record), &[], runs).unwrap();
        fs::read_to_string(record.folder.join("MODEL.md")).unwrap()
    })
}

fn part<'a>(card: &'a str, title: &str) -> &'a str {
    let after = card.split_once(&format!("\n## {title}\n")).unwrap().1;
    after.split("\n## ").next().unwrap()
}

#[test]
fn a_card_tells_what_mitchell_asks_for_and_what_the_record_says() {
    let card = card_of(0, |_| {});
    for (title, said) in [
        ("Model details", "15,771,463: 14,714,688 in the backbone, 1,056,775 in the head"),
        ("Model details", "non-commercial research and educational purposes"),
        ("Model details", "<https://download.pytorch.org/models/vgg16-397923af.pth>"),
        ("Intended use", "Decisions about people"),
        ("Factors", "age, gender or skin colour"),
        ("Metrics", "Wilson's 95 % interval"),
        ("Evaluation data", "288 of them are pixel for pixel among the images"),
        ("Training data", "| happy | 7,215 | 895 | 879 |"),
        ("Training data", "people agree with its labels in about 65 % of the images"),
        ("Training procedure", "`valid_loss` got no better for 5 epochs"),
        ("Quantitative analyses", "| happy | 879 |"),
        ("Quantitative analyses", "accuracy without leaks"),
        ("Ethical considerations", "personal data"),
        ("Caveats and recommendations", "It is one run of its settings"),
        ("How to repeat it", "/trial.toml"),
        ("References", "<https://arxiv.org/abs/1409.1556>"),
        ("References", "<https://arxiv.org/abs/1307.0414>"),
    ] {
        assert!(part(&card, title).contains(said), "{said} in {card}");
    }
    assert!(card.contains("\n    - type: accuracy\n      value: 0."), "{card}");
}

#[test]
fn only_a_finished_run_has_a_card() {
    in_study(|runs| {
        let records = records(runs);
        write_all(&records, &[], runs).unwrap();
        for it in &records {
            let finished = it.state == ferrite_core::store::record::State::Finished;
            assert_eq!(it.folder.join("MODEL.md").exists(), finished, "{}", it.name());
            let page = fs::read_to_string(it.folder.join("index.html")).unwrap();
            assert_eq!(page.contains("href=\"MODEL.md\""), finished);
        }
    });
}

#[test]
fn a_card_that_was_changed_is_written_anew() {
    in_study(|runs| {
        let records: Vec<_> = records(runs).into_iter().take(1).collect();
        let card = records[0].folder.join("MODEL.md");
        write_all(&records, &[], runs).unwrap();
        let first = fs::read(&card).unwrap();
        fs::write(&card, "changed").unwrap();
        write_all(&records, &[], runs).unwrap();
        assert_eq!(fs::read(&card).unwrap(), first);
    });
}

#[test]
fn the_splits_of_the_source_go_by_their_own_names() {
    let card = card_of(0, |it| {
        let split =
            "train = 'Training'\nvalid = 'PrivateTest'\ntest = 'PublicTest'".parse().unwrap();
        let data = it.settings.get_mut("data").unwrap().as_table_mut().unwrap();
        data.insert("split".into(), toml::Value::Table(split));
    });
    assert!(
        part(&card, "Quantitative analyses").starts_with("\nOn `test` (`PublicTest`):"),
        "{card}"
    );
    assert!(part(&card, "Evaluation data").contains("Split `test`: `PublicTest` of the source"));
    assert!(part(&card, "Evaluation data").contains("`valid` (`PrivateTest` of the source)"));
    let results: Vec<_> = card.lines().filter(|it| it.trim_start().starts_with("split:")).collect();
    assert_eq!(results, ["      split: \"PublicTest\"", "      split: \"PrivateTest\""]);
}

#[test]
fn augmentation_that_is_off_is_not_on_the_card_and_words_are_as_well_as_numbers() {
    let said = |augment: &str| {
        let card = card_of(0, |it| {
            let augment: toml::Table = augment.parse().unwrap();
            it.settings.insert("augment".into(), augment.into());
        });
        let line = card.lines().find(|it| it.starts_with("Augmentation: ")).unwrap();
        line.split(". Every").next().unwrap().to_owned()
    };
    assert_eq!(
        said("flip = 'alternating'\nrotation = 0.0\nzoom = 0.1\nzoom_axes = 'joint'"),
        "Augmentation: `flip = \"alternating\"`, `zoom = 0.1`, `zoom_axes = \"joint\"`"
    );
    assert_eq!(said("flip = 0\nzoom_axes = 'independent'\ncached_views = 2"), "Augmentation: none");
}

#[test]
fn what_nobody_told_is_unknown() {
    let card = card_of(0, |it| {
        let weights = "file = { path = 'data/mine.pth' }".parse().unwrap();
        let model = it.settings.get_mut("model").unwrap().as_table_mut().unwrap();
        model.insert("weights".into(), toml::Value::Table(weights));
        let source = "folder = { path = 'data/my faces' }".parse().unwrap();
        let data = it.settings.get_mut("data").unwrap().as_table_mut().unwrap();
        data.insert("source".into(), toml::Value::Table(source));
    });
    assert!(part(&card, "Model details").contains("Those in the file `data/mine.pth`."), "{card}");
    assert!(part(&card, "Ethical considerations").contains("- first weights: unknown"), "{card}");
    assert!(part(&card, "Ethical considerations").contains("- images: unknown"), "{card}");
    assert!(card.contains("name: \"data/my faces\""), "{card}");
    assert!(part(&card, "Model details").contains("which could not be read"), "{card}");
}

#[test]
fn names_are_shown_and_not_carried_out() {
    let card = card_of(15, |it| {
        it.description.about = "x <img src=y> | [z](http://w) `v`\n# no heading".into();
        let classes = &mut it.facts.dataset.as_mut().unwrap().classes;
        classes[0] = "a|b \"c\": - {d}".into();
    });
    assert!(card.contains("mobilenet\\_v2-noise &lt;script&gt;alert(1)&lt;/script&gt;/"), "{card}");
    assert!(!card.contains("<img") && !card.contains("\n# no heading"), "{card}");
    assert!(part(&card, "Training data").contains("\n| a\\|b \"c\": - {d} | 3,995 |"), "{card}");
    let front = card.split("---\n").nth(1).unwrap();
    assert!(
        front.contains("- name: \"mobilenet_v2-noise <script>alert(1)</script>/lr="),
        "{front}"
    );
}

#[test]
fn the_command_that_repeats_a_run_names_its_file_and_the_folder_of_runs() {
    use std::path::Path;
    let quoted = |it: &str| super::quoted(Path::new(it));
    assert_eq!(quoted("runs/a-b/seed=0/trial.toml"), "runs/a-b/seed=0/trial.toml");
    assert_eq!(quoted("my runs/it's"), "'my runs/it'\\''s'");
    let card = card_of(2, |_| {});
    let command = part(&card, "How to repeat it").lines().find(|it| it.starts_with("ferrite run"));
    let command = command.unwrap();
    assert!(command.contains("/vgg16-finetune/lr=0.01-seed=2-"), "{command}");
    assert!(command.ends_with("/faces/runs"), "{command}");
}

#[test]
fn code_holds_whatever_stands_in_it() {
    let code = super::origin::code;
    assert_eq!(["a", "a`b", "", "a|b"].map(code), ["`a`", "`` a`b ``", "`  `", "`a\\|b`"]);
}
