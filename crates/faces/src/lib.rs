//! A face source drawn by our own code, for experiments without any data set.
//!
//! A face is a person (geometry, skin, hair) who performs a mixture of facial action units in a
//! scene (pose, light, backdrop, camera), at a place of a frame; see the files of those names. Painters put it on a
//! canvas as albedo and relief, which is then lit.
//!
//! **Invariant:** a face is a pure function of the settings and its index.

mod action;
mod camera;
mod canvas;
mod cover;
mod eyes;
pub mod frame;
mod hair;
mod head;
mod mouth;
mod nose;
mod person;
mod scene;
mod shape;

use ferrite_random::{Random, Use};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::action::{Actions, Expression};
use crate::canvas::Canvas;
use crate::frame::{Frame, Place};
use crate::person::Person;
use crate::scene::Scene;

/// Rows and columns of a picture that a face fills, in pixels, as in FER2013.
pub const SIZE: usize = 48;

/// The `source = { synthetic = { … } }` table: faces drawn by Ferrite itself.
///
/// Every face is a function of `seed`, its index, `difficulty`, `task` and `frame`: the same table always draws the same
/// faces, and a larger number of `faces` only adds some.
///
/// ```toml
/// [data]
/// source = { synthetic = { faces = 3000, difficulty = 0.4, seed = 1 } }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Synthetic {
    /// Number of faces, at least 1.
    #[schemars(extend("x-unit" = "faces"))]
    pub faces: usize,
    /// Seed of the faces. Another seed draws other people.
    pub seed: u64,
    /// From 0 (posed: full expressions, frontal, evenly lit, nothing in the way) to 1 (subtle and
    /// blended expressions, turned heads, harsh light, hands and scarves before faces, blur and
    /// noise). With `task = "expression"` a share of `0.1 * difficulty` of the labels is wrong,
    /// in the way annotators err: the face shows a similar expression instead.
    pub difficulty: f64,
    /// What the labels say.
    pub task: Task,
    /// Number of persons for `task = "identity"`, 2 to 256. Other tasks ignore it: see
    /// `persons`.
    #[schemars(extend("x-unit" = "persons"))]
    pub identities: usize,
    /// Number of persons who show the expressions for `task = "expression"`, 2 to 10,000. All have as many faces, and each
    /// is a group of images (see `split.groups`). Left out: every face is another person, and there are no groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-unit" = "persons"))]
    pub persons: Option<usize>,
    /// Faces somewhere in larger pictures, turned and small, like `{ size = 96, rotation = 30.0,
    /// scale = [0.4, 0.7] }`: what detection and alignment are for. Left out: each face fills its
    /// picture of 48x48 pixels, nearly upright.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<Frame>,
}

/// What the label of a face says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// The expression: the seven classes of FER2013, in its order and with its imbalance.
    #[default]
    Expression,
    /// The person: one of `identities`, equally frequent, never mislabelled. Expression, pose and
    /// light vary with `difficulty`. Made for pretraining what is then transferred.
    Identity,
}

/// One face with its label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Face {
    /// Brightness of the pixels, row by row: [`Synthetic::size`] rows and columns.
    pub pixels: Vec<u8>,
    /// Position in [`Synthetic::classes`].
    pub label: u8,
}

impl Default for Synthetic {
    fn default() -> Self {
        Self {
            faces: 4000,
            seed: 0,
            difficulty: 0.5,
            task: Task::Expression,
            identities: 40,
            persons: None,
            frame: None,
        }
    }
}

/// Who performs what in which scene and where: all that a painter needs to know.
struct Look {
    person: Person,
    actions: Actions,
    scene: Scene,
    place: Place,
}

impl Synthetic {
    /// The names of the classes, in the order of the labels.
    pub fn classes(&self) -> Vec<String> {
        match self.task {
            Task::Expression => Expression::ALL.iter().map(|it| it.1.to_owned()).collect(),
            Task::Identity => (0..self.identities).map(|it| format!("person-{it:03}")).collect(),
        }
    }

    /// Rows and columns of the pictures, in pixels.
    pub fn size(&self) -> usize {
        self.frame.as_ref().map_or(SIZE, |it| it.size)
    }

    /// Draws the face at `index`. For settings that are as their comments say.
    pub fn draw(&self, index: u64) -> Face {
        let mut random = self.stream(Stream::Face, index);
        let (label, look) = self.look(index, &mut random);
        let mut canvas = Canvas::of(&look.scene, &look.place);
        paint(&mut canvas, &look);
        canvas.light(&look.scene, exposure(&look.person));
        let pixels = camera::expose(canvas.picture(), &look.scene, &mut random);
        Face { pixels, label: label as u8 }
    }

    /// Where the parts of the face at `index` are drawn, whether or not something covers them: the
    /// eye on the left of the picture and the one on the right, the tip of the nose, and the
    /// corners of the mouth on the left and on the right. In pixels from the left and upper border.
    pub fn landmarks(&self, index: u64) -> [[f32; 2]; 5] {
        let (_, look) = self.look(index, &mut self.stream(Stream::Face, index));
        let canvas = Canvas::of(&look.scene, &look.place);
        let [left_eye, right_eye] = eyes::middles(&look);
        let [left_mouth, right_mouth] = mouth::corners(&canvas, &look);
        let parts = [left_eye, right_eye, nose::tip(&canvas, &look), left_mouth, right_mouth];
        parts.map(|it| canvas.seen(it))
    }

    /// The label of the face at `index`, and how it looks. `random` is its stream, from the start.
    fn look(&self, index: u64, random: &mut Random) -> (usize, Look) {
        let (label, person, actions) = match self.task {
            Task::Expression => self.expressive(index, random),
            Task::Identity => self.of_someone(index, random),
        };
        let scene = Scene::drawn(self.difficulty as f32, random);
        let drawn = |it| Place::drawn(it, &mut self.stream(Stream::Frame, index));
        let place = self.frame.as_ref().map_or_else(Place::whole, drawn);
        (label, Look { person, actions, scene, place })
    }

    /// A new person, or one of the persons, who shows the expression of the label, or nearly.
    fn expressive(&self, index: u64, random: &mut Random) -> (usize, Person, Actions) {
        let difficulty = self.difficulty as f32;
        let label = Expression::common(random);
        let shown = Expression::ALL[label].0.shown(difficulty, random);
        let person = match self.persons {
            None => Person::drawn(random),
            Some(persons) => self.person(self.among(persons, index)),
        };
        (label, person, shown.perform(difficulty, random))
    }

    /// One of the persons, who shows any expression.
    fn of_someone(&self, index: u64, random: &mut Random) -> (usize, Person, Actions) {
        let label = self.among(self.identities, index);
        let person = self.person(label);
        let expression = Expression::ALL[Expression::common(random)].0;
        (label, person, expression.perform(self.difficulty as f32, random))
    }

    /// Who of so many persons is at `index`: each row of that many faces holds everyone once, in random order.
    fn among(&self, persons: usize, index: u64) -> usize {
        let count = persons as u64;
        let mut order: Vec<usize> = (0..persons).collect();
        self.stream(Stream::Order, index / count).shuffle(&mut order);
        order[(index % count) as usize]
    }

    fn person(&self, number: usize) -> Person {
        Person::drawn(&mut self.stream(Stream::Person, number as u64))
    }

    /// Who of a limited number of persons shows the expression at `index`; none where every face is another person, and
    /// where the label says who it is.
    pub fn shown_by(&self, index: u64) -> Option<String> {
        let persons = self.persons.filter(|_| self.task == Task::Expression)?;
        Some(format!("person-{:03}", self.among(persons, index)))
    }

    fn stream(&self, stream: Stream, item: u64) -> Random {
        Random::at(self.seed, Use::Face, stream as u64, item)
    }
}

/// What one of the streams of [`Use::Face`] is for. The two tasks share the first one: only their
/// labels and persons differ in where they come from.
#[derive(Debug, Clone, Copy)]
#[repr(u64)]
enum Stream {
    Face,
    Person,
    Order,
    Frame,
}

/// Paints everything, from back to front.
fn paint(canvas: &mut Canvas, look: &Look) {
    head::paint_backdrop(canvas, look);
    hair::paint_behind(canvas, look);
    head::paint(canvas, look);
    head::paint_forms(canvas, look);
    hair::paint_beard(canvas, look);
    nose::paint_folds(canvas, look);
    nose::paint(canvas, look);
    mouth::paint(canvas, look);
    eyes::paint(canvas, look);
    hair::paint_over(canvas, look);
    cover::paint(canvas, look);
}

/// How strongly a photographer lights this person: more for dark skin, less for pale.
fn exposure(person: &Person) -> f32 {
    1.0 + 0.35 * (0.58 / person.skin - 1.0)
}

/// Uniform in `low..high`, in the precision of pictures.
fn between(random: &mut Random, low: f32, high: f32) -> f32 {
    random.between(low.into(), high.into()) as f32
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::*;

    fn drawn(source: &Synthetic, count: u64) -> Vec<Face> {
        (0..count).into_par_iter().map(|it| source.draw(it)).collect()
    }

    fn distance(one: &[f64], other: &[f64]) -> f64 {
        one.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum()
    }

    /// How brightness changes down the middle of the face: brows, lids and lips, hardly the light.
    fn edges(face: &Face) -> Vec<f64> {
        let at = |row: usize, column: usize| f64::from(face.pixels[row * SIZE + column]);
        (14..SIZE - 1)
            .flat_map(|row| (8..40).map(move |column| (row, column)))
            .map(|(row, column)| ((at(row + 1, column) - at(row, column)) / 10.0).tanh())
            .collect()
    }

    /// Share of `tested` whose label is that of the nearest mean of `known`.
    fn nearest_mean_accuracy(known: &[Face], tested: &[Face], classes: usize) -> f64 {
        let mut means = vec![vec![0.0; (SIZE - 15) * 32]; classes];
        for (label, mean) in means.iter_mut().enumerate() {
            let members: Vec<_> =
                known.iter().filter(|it| usize::from(it.label) == label).collect();
            for face in &members {
                for (sum, value) in mean.iter_mut().zip(edges(face)) {
                    *sum += value / members.len() as f64;
                }
            }
        }
        let right = tested.iter().filter(|face| {
            let values = edges(face);
            let nearest = (0..classes).min_by(|a, b| {
                distance(&means[*a], &values).total_cmp(&distance(&means[*b], &values))
            });
            nearest == Some(usize::from(face.label))
        });
        right.count() as f64 / tested.len() as f64
    }

    #[test]
    fn a_face_depends_on_seed_and_index_alone() {
        let source = Synthetic::default();
        assert_eq!(source.draw(7), source.draw(7));
        assert_eq!(Synthetic { faces: 9, ..source.clone() }.draw(7), source.draw(7));
        assert_ne!(source.draw(8).pixels, source.draw(7).pixels);
        assert_ne!(Synthetic { seed: 1, ..source.clone() }.draw(7).pixels, source.draw(7).pixels);
    }

    #[test]
    fn labels_have_the_shares_of_fer2013_at_every_difficulty() {
        for difficulty in [0.0, 1.0] {
            let source = Synthetic { difficulty, ..Synthetic::default() };
            let n = 20_000;
            let labels: Vec<usize> = (0..n)
                .map(|it| source.expressive(it, &mut source.stream(Stream::Face, it)).0)
                .collect();
            for (label, (_, name, count)) in Expression::ALL.into_iter().enumerate() {
                let found = labels.iter().filter(|it| **it == label).count();
                let (found, expected) = (found as f64 / n as f64, count as f64 / 28_709.0);
                assert!((found - expected).abs() < 0.01, "{name}: {found}, not {expected}");
            }
        }
    }

    #[test]
    fn the_mean_face_of_each_class_tells_expressions_apart() {
        let faces = drawn(&Synthetic { difficulty: 0.0, ..Synthetic::default() }, 600);
        let accuracy = nearest_mean_accuracy(&faces[..400], &faces[400..], 7);
        assert!(accuracy > 0.6, "{accuracy}");
    }

    #[test]
    fn the_mean_face_of_each_person_tells_persons_apart() {
        let task = Task::Identity;
        let source = Synthetic { task, identities: 10, difficulty: 0.5, ..Synthetic::default() };
        let faces = drawn(&source, 300);
        let accuracy = nearest_mean_accuracy(&faces[..200], &faces[200..], 10);
        assert!(accuracy > 0.3, "{accuracy}");
    }

    #[test]
    fn every_person_is_as_frequent_as_the_others() {
        let task = Task::Identity;
        let source = Synthetic { task, identities: 5, ..Synthetic::default() };
        let labels: Vec<usize> = (0..100).map(|it| source.among(5, it)).collect();
        for person in 0..5 {
            assert_eq!(labels.iter().filter(|it| **it == person).count(), 20);
        }
        assert_ne!(labels[..5], labels[5..10]);
    }

    #[test]
    fn faces_of_one_person_have_the_same_geometry() {
        let source = Synthetic { task: Task::Identity, identities: 3, ..Synthetic::default() };
        let looks: Vec<_> = (0..12)
            .map(|index| source.look(index, &mut source.stream(Stream::Face, index)))
            .collect();
        for (label, look) in &looks {
            let (_, other) = looks.iter().rfind(|it| it.0 == *label).unwrap();
            assert_eq!(look.person, other.person);
        }
        assert_ne!(looks[0].1.scene, looks[1].1.scene);
    }

    #[test]
    fn a_limited_number_of_persons_show_every_expression() {
        let source = Synthetic { persons: Some(4), ..Synthetic::default() };
        let of = |it: u64| {
            (source.shown_by(it).unwrap(), source.look(it, &mut source.stream(Stream::Face, it)))
        };
        let all: Vec<_> = (0..80).map(of).collect();
        for (name, (_, look)) in &all {
            let same: Vec<_> = all.iter().filter(|it| it.0 == *name).collect();
            assert_eq!(same.len(), 20, "all are as frequent");
            assert!(same.iter().all(|it| it.1.1.person == look.person));
            assert!(
                same.iter().any(|it| it.1.0 != same[0].1.0),
                "{name} shows one expression only"
            );
        }
        assert_eq!(Synthetic::default().shown_by(3), None);
        assert_eq!(Synthetic { task: Task::Identity, ..source }.shown_by(3), None);
    }

    #[test]
    fn pixels_use_their_range() {
        for difficulty in [0.0, 0.5, 1.0] {
            for face in drawn(&Synthetic { difficulty, ..Synthetic::default() }, 60) {
                let values: Vec<f64> = face.pixels.iter().map(|it| f64::from(*it)).collect();
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                let spread =
                    (distance(&values, &vec![mean; values.len()]) / values.len() as f64).sqrt();
                assert!((10.0..245.0).contains(&mean) && spread > 8.0, "{mean} {spread}");
            }
        }
    }

    #[test]
    fn there_is_a_name_for_every_label() {
        let names = Synthetic::default().classes();
        assert_eq!(names, ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]);
        let source = Synthetic { task: Task::Identity, ..Synthetic::default() };
        assert_eq!(source.classes().len(), 40);
    }
}
